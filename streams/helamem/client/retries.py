"""Sending again: what may be sent twice, and how long to wait before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

import httpx
import msgspec
from msgspec import Struct

from helamem.client.answers import ProblemBody
from helamem.client.problems import ProblemError, UnreachableError, problem_class
from helamem.client.requests import Call, Flow
from helamem.schemas.errors import BadInput, HelamemError

_TURNED_AWAY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""What a gateway answers where it did nothing."""
_LOST = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
"""What a proxy answers where the gateway may have done it."""
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SENDABLE = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)
T = TypeVar("T")


class Retries(Struct, frozen=True, kw_only=True):
    """How often to send again what failed, and how long to wait: a random part of a span that doubles each time."""

    attempts: int = 6
    """How often a request is sent at most."""
    first_s: float = 0.1
    """Span before the second attempt."""
    longest_s: float = 10.0
    """Longest span. A gateway that asks for a longer wait (`Retry-After`) has its error raised at once."""


ONCE_AND_AGAIN = Retries()
"""What clients do where nobody says otherwise."""


class Reply(Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """By names in small letters."""
    body: bytes


Outcome = Reply | httpx.RequestError | None
"""A reply, why there is none, or nothing after a wait."""
Steps = Generator[Call[Any] | float, Outcome, T]
"""What a client does: sends each request, waits each number of seconds, and sends in what came of it."""


def steps(
    flow: Flow[T], address: str, retries: Retries, random: Callable[[], float], now: Callable[[], datetime]
) -> Steps[T]:
    """Do a flow: yield what is to be sent and how long to wait, and return what came of it.

    Args:
        flow: The requests.
        address: Where they are sent, to be named in errors.
        retries: How often.
        random: Gives numbers from 0 to 1.
        now: The time, with a zone.

    Raises:
        HelamemError: One of the requests came to nothing.
    """
    try:
        call = next(flow)
        while True:
            try:
                answer = yield from _exchange(call, address, retries, random, now)
            except HelamemError as error:
                call = flow.throw(error)  # it may know what to do about it
            else:
                call = flow.send(answer)
    except StopIteration as done:
        result: T = done.value
        return result


def _exchange(
    call: Call[T], address: str, retries: Retries, random: Callable[[], float], now: Callable[[], datetime]
) -> Steps[T]:
    attempt = 1
    while True:
        outcome = yield call
        assert outcome is not None  # a request has an outcome
        if isinstance(outcome, Reply) and HTTPStatus.OK <= outcome.status < HTTPStatus.MULTIPLE_CHOICES:
            return _answer(outcome, call, address)
        least_s = _least_wait_s(outcome, now)
        if attempt >= retries.attempts or not _may_repeat(call, outcome) or least_s > retries.longest_s:
            raise _error(outcome, address)
        yield least_s + random() * min(retries.longest_s, retries.first_s * 2 ** (attempt - 1))
        attempt += 1


def _may_repeat(call: Call[Any], outcome: Reply | httpx.RequestError) -> bool:
    if isinstance(outcome, Reply):
        return outcome.status in _TURNED_AWAY or (call.safe and outcome.status in _LOST)
    if isinstance(outcome, _SENDABLE):
        return False
    return call.safe or isinstance(outcome, _NEVER_SENT)


def _least_wait_s(outcome: Reply | httpx.RequestError, now: Callable[[], datetime]) -> float:
    """Return how long a reply asks to wait: RFC 9110, 10.2.3, seconds or a date."""
    text = outcome.headers.get("retry-after", "").strip() if isinstance(outcome, Reply) else ""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - now()).total_seconds()) if text else 0.0
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0.0


def _answer(reply: Reply, call: Call[T], address: str) -> T:
    try:
        return msgspec.json.decode(reply.body, type=call.answer)
    except msgspec.MsgspecError as error:
        raise ProblemError(
            f"{address} answered {call.path} with what is no answer of a gateway ({error}); check the address, "
            "and that client and gateway are of the same version",
            status=reply.status,
            kind="unreadable",
        ) from None


def _error(outcome: Reply | httpx.RequestError, address: str) -> Exception:
    if isinstance(outcome, _SENDABLE):
        return BadInput(f"{address} cannot be asked: {outcome}; write it like http://127.0.0.1:8420")
    if not isinstance(outcome, Reply):
        why = str(outcome) or type(outcome).__name__
        return UnreachableError(f"{address} does not answer: {why}; start a gateway there, such as: helamem up")
    try:
        body = msgspec.json.decode(outcome.body, type=ProblemBody)
    except msgspec.MsgspecError:
        detail = f"{address} answered {outcome.status}, and not as a gateway does; check the address"
        return problem_class(outcome.status)(detail, status=outcome.status, kind="unreadable")
    return problem_class(outcome.status)(
        body.detail, status=outcome.status, kind=body.type.rpartition(":")[2], fields=body.errors or ()
    )
