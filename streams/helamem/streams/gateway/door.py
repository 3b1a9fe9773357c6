"""The door: who comes in, with how much, how often; what each request came to is counted and logged here.

It stands before the application, so nothing of a request is read before its sender is known.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
import time
from collections.abc import Iterable, Mapping

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from helamem.schemas.errors import HelamemError
from helamem.streams.access.records import OWNER
from helamem.streams.gateway.accessed import SCOPE as ACCESSED
from helamem.streams.gateway.accessed import Accessed
from helamem.streams.gateway.callers import SCOPE, Caller
from helamem.streams.gateway.keys import ApiKey, Keys, command
from helamem.streams.gateway.problems import (
    MOST_HEAD_BYTES,
    MOST_HEADERS,
    Problem,
    away,
    failed,
    problem_of,
    too_many_headers,
)
from helamem.streams.gateway.problems import SCOPE as PROBLEM
from helamem.streams.gateway.rights import NEEDED
from helamem.streams.gateway.routes.console import ASSETS
from helamem.streams.gateway.service import Service
from helamem.streams.gateway.token import Token
from helamem.streams.metrics import catalogue as c

MOST_BODY_BYTES = 8 * 2**20
"""Of a body that is read whole."""
STREAMS = frozenset({"/v1/messages/stream"})
"""Paths whose bodies are read line by line and may be of any length."""
_NOSNIFF = (b"x-content-type-options", b"nosniff")
_NO_STORE = (b"cache-control", b"no-store")
_OPEN = frozenset(path for (_, path), rights in NEEDED.items() if not rights)
_LOOPBACK = re.compile(rb"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_Headers = Mapping[bytes, bytes]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DOTS_OF_A_TOKEN = 2
"""Keys have none."""
_ELSEWHERE = "none"
"""What stands for the route of a path that there is none for."""
_log = logging.getLogger(__name__)


class Door:
    """An ASGI application around another one.

    Args:
        app: What is behind it; routes leave their path template in `scope["helamem.route"]`.
        service: What endpoints share.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or say why not."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Visit(self._app, self._service, scope, receive, send).answer()


class _Visit:
    """One request."""

    def __init__(self, app: ASGIApp, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._service = service
        self._scope = scope
        self._receive = receive
        self._send = send
        self._begin_s = time.perf_counter()
        self._status = 0
        self._read_bytes = 0
        self._instead: Problem | None = None
        """What is answered instead of what the application says."""

    async def answer(self) -> None:
        try:
            problem = await self._visit()
            if problem is not None:
                self._instead = None
                await problem.answer(self._scope)(self._scope, self._receive, self._noting)
        finally:
            self._note()

    async def _noting(self, message: Message) -> None:
        """Send a message of the answer, completed and noted."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = _completed(message.get("headers", []))
            if ACCESSED in self._scope:
                self._instead = await self._record()
        if self._instead is None:
            await self._send(message)

    async def _counting(self) -> Message:
        """Receive a message of the request, unless its body becomes too large."""
        message = await self._receive()
        self._read_bytes += len(message.get("body", b""))
        if self._read_bytes > MOST_BODY_BYTES and self._scope["path"] not in STREAMS:
            raise _too_large()
        return message

    async def _visit(self) -> Problem | None:
        """Have the application answer; return what is yet to be answered, where it did not or what it said was kept."""
        try:
            await self._let_in()
            await self._app(self._scope, self._counting, self._noting)
        except asyncio.CancelledError:
            if self._status or not self._service.ending.is_set():
                raise
            # The gateway stops and has waited for long enough: the server would answer, and log, that something failed.
            return away("the gateway is just stopping; send it again to the one that follows")
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked is told something
            problem = _problem(error)  # also where it was answered: it is logged here
            if not self._status:
                return problem
        return self._instead

    async def _record(self) -> Problem | None:
        """Record the access, where it is one; return what is answered instead, since that was not possible."""
        accessed = self._scope.pop(ACCESSED, None)
        if not isinstance(accessed, Accessed):
            return None
        return await accessed.record(self._service.trail, self._scope[SCOPE], self._status)

    async def _let_in(self) -> None:
        """Look who it is and whether they may come in.

        Raises:
            Problem: They may not.
        """
        headers, size_bytes = _first_of(self._scope["headers"])
        size_bytes += len(self._scope.get("raw_path") or b"") + len(self._scope["query_string"])
        if len(self._scope["headers"]) > MOST_HEADERS or size_bytes > MOST_HEAD_BYTES:
            raise too_many_headers()
        _check_origin(headers)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise Problem(400, "bad-request", "the header Content-Length is no number of bytes; mend it")
        if int(length) > MOST_BODY_BYTES and self._scope["path"] not in STREAMS:
            raise _too_large()
        self._scope[SCOPE] = await self._caller(headers)

    async def _caller(self, headers: _Headers) -> Caller:
        keys = self._service.keys
        kind, _, shown = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        shown = shown.strip() if kind.lower() == "bearer" else ""
        if shown and hmac.compare_digest(shown.encode(), self._service.token.encode()):
            return Caller(key=None, owner=True, name=OWNER if self._service.names_callers else None)
        if self._service.open_door and not keys.made():
            _check_host(headers, keys)
            return Caller(key=None)
        if self._scope["path"] in _OPEN or self._scope["path"].startswith(ASSETS):
            return Caller(key=None)
        key = await self._found(shown) if shown else None
        if key is None:
            raise Problem(
                401,
                "unauthorized",
                "this needs a key that is in force; send one as `Authorization: Bearer KEY`, and make one with: "
                f"{_adding(keys)}",
                headers={"WWW-Authenticate": 'Bearer realm="helamem"'},
            )
        if isinstance(key, ApiKey) and (wait_s := keys.wait_s(key)):
            raise _too_often(f"the key {key.id}", key.per_s or 0, keys.gateways, wait_s)
        if wait_s := keys.tenant_wait_s(key.tenant):
            per_s = keys.limit_of(key.tenant).per_s or 0
            raise _too_often(f"all keys of the tenant {key.tenant} together", per_s, keys.gateways, wait_s)
        return Caller(key=key, name=key.id, shared=keys.shared)

    async def _found(self, shown: str) -> ApiKey | Token | None:
        """Return what somebody shows, or None where it is nothing."""
        if self._service.oidc is not None and shown.count(".") == _DOTS_OF_A_TOKEN:
            return await self._service.oidc.token(shown)
        return self._service.keys.find(shown)

    def _note(self) -> None:
        """Count the request and log what it came to: neither its query nor anything that somebody wrote."""
        seconds = time.perf_counter() - self._begin_s
        method = self._scope["method"] if self._scope["method"] in _METHODS else "other"
        route: str = self._scope.get("helamem.route", _ELSEWHERE)
        status = f"{self._status // 100}xx"
        self._service.metrics.add(c.HTTP_REQUESTS, method=method, route=route, status=status)
        self._service.metrics.observe(c.HTTP_SECONDS, seconds, method=method, route=route)
        if PROBLEM in self._scope:
            self._service.metrics.add(c.HTTP_PROBLEMS, problem=self._scope[PROBLEM])
        if not _log.isEnabledFor(logging.DEBUG):
            return
        caller = self._scope.get(SCOPE)
        _log.debug(
            "answered",
            extra={
                "method": method,
                "route": route,
                "status": self._status,
                "ms": round(seconds * 1000, 2),
                "key": caller.key.id if isinstance(caller, Caller) and caller.key is not None else None,
            },
        )


def _first_of(headers: Iterable[tuple[bytes, bytes]]) -> tuple[_Headers, int]:
    """Return the headers of a request by name, of several with a name the first, and the size of all in bytes."""
    found: dict[bytes, bytes] = {}
    size_bytes = 0
    for name, value in headers:
        found.setdefault(name, value)
        size_bytes += len(name) + len(value) + len(b": \r\n")
    return found, size_bytes


def _too_often(who: str, per_s: float, gateways: int, wait_s: float) -> Problem:
    part = f" ({per_s / gateways:g} at each of {gateways} gateways)" if gateways > 1 else ""
    return Problem(
        429,
        "too-many-requests",
        f"{who} may ask {per_s:g} times a second{part}; wait and ask again",
        headers={"Retry-After": str(int(wait_s) + 1)},
    )


def _completed(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with those that all answers have; only the console's files may be kept."""
    found = [*headers, _NOSNIFF]
    return found if any(name.lower() == _NO_STORE[0] for name, _ in found) else [*found, _NO_STORE]


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ClientDisconnect):
        return Problem(400, "bad-request", "the request ended before its body did; send it again")
    return problem_of(error) if isinstance(error, HelamemError) else failed(error)


def _check_origin(headers: _Headers) -> None:
    """Refuse pages of other origins; browsers say whose page asks."""
    origin = headers.get(b"origin")
    if origin is not None and origin.partition(b"://")[2] != headers.get(b"host"):
        raise Problem(403, "forbidden", "pages of other origins may not ask; ask from a server or from this one's page")


def _adding(keys: Keys) -> str:
    return f"{command('add', shared=keys.shared)} --tenant TENANT --rights append,recall"


def _check_host(headers: _Headers, keys: Keys) -> None:
    """Refuse who came by a name that another's DNS led here: without keys, the address is all that protects."""
    if not _LOOPBACK.fullmatch(headers.get(b"host", b"")):
        raise Problem(
            403,
            "forbidden",
            "without keys only this machine may ask, by the name localhost; ask so, or make a key with: "
            f"{_adding(keys)}",
        )


def _too_large() -> Problem:
    return Problem(
        413,
        "too-large",
        f"the body is larger than {MOST_BODY_BYTES:,} bytes; send less at a time, or use /v1/messages/stream",
    )
