"""The client without async."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import update_wrapper
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from helamem.client import requests
from helamem.client.address import address
from helamem.client.requests import Call, Flow
from helamem.client.retries import ONCE_AND_AGAIN, Outcome, Reply, Retries, steps

P = ParamSpec("P")
T = TypeVar("T")


def _asking(build: Callable[P, Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    """Return a method that sends what a flow asks and returns what comes of it."""

    def ask(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.run(build(*args, **kwargs))

    return update_wrapper(ask, build)


class Client:
    """A memory behind a gateway; a context manager.

    Args:
        url: Of the gateway; None takes `HELAMEM_URL`, or `http://127.0.0.1:8420`.
        key: Its API key; None takes `HELAMEM_API_KEY`, or sends none.
        retries: How often to send again what failed.
        timeout_s: How long to wait for an answer, each time.
        transport: What carries requests, such as `httpx.HTTPTransport(uds=…)` to a socket of this machine; None is the
            network.

    Raises:
        BadInput: The address or the key cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        retries: Retries = ONCE_AND_AGAIN,
        timeout_s: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        where = address(url, key)
        self.url = where.url
        self._retries = retries
        self._http = httpx.Client(
            base_url=where.url, headers=where.headers, timeout=timeout_s, transport=transport, trust_env=False
        )

    append = _asking(requests.append)
    recall = _asking(requests.recall)
    recall_several = _asking(requests.recall_several)
    reinforce = _asking(requests.reinforce)
    spaces = _asking(requests.spaces)
    facts = _asking(requests.facts)
    profile = _asking(requests.profile)
    memory = _asking(requests.memory)
    memories = _asking(requests.memories)
    forget = _asking(requests.forget)
    restore = _asking(requests.restore)
    neighbours = _asking(requests.neighbours)
    why = _asking(requests.why)

    def run(self, flow: Flow[T]) -> T:
        """Send what a flow asks, and again where that is safe, and return what comes of it."""
        going = steps(flow, self.url, self._retries, random.random, lambda: datetime.now(UTC))
        outcome: Outcome = None
        while True:
            try:
                step = going.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, float):
                time.sleep(step)
                outcome = None
            else:
                outcome = self._send(step)

    def close(self) -> None:
        """Release the connections; a second call does nothing."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call[Any]) -> Outcome:
        try:
            answer = self._http.request(
                call.method, call.path, params=call.query, content=call.body, headers=call.headers
            )
        except httpx.RequestError as error:
            return error
        return Reply(status=answer.status_code, headers=answer.headers, body=answer.content)
