"""A command's use of a home that another process serves: the same memory, asked over HTTP on this machine."""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec

from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError, NotFound, RetryLater
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.cli.session import Patience, Session
from helamem.streams.gateway.calls import KIND, PATH, RETURNS, Call, Method
from helamem.streams.gateway.served import Served
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.runner import Appended
from helamem.streams.log.writer_lock import InUseError

_TIMEOUT_S = 60.0
_STREAM = "/v1/messages/stream"


class ServedSession(Session):
    """What `Session` is for a home of one's own; what needs the home to itself raises why it is in use.

    Args:
        home: The home.
        served: Where it is served.
        in_use: What opening it raised.
    """

    counts = False

    def __init__(self, home: Path, served: Served, in_use: InUseError) -> None:
        self._served = served
        self._home = home
        super().__init__(cast("AsyncMemory", _ServedMemory(self, in_use)), Patience(lambda: None))

    async def catch_up(self) -> Counter[str]:
        """Wait until what is in the log can be recalled, where who serves the home processes it; they count."""
        while (done := self.call("catch_up")) is False:
            pass
        self.caught_up = done is True
        return Counter()

    async def append(
        self,
        lines: Iterable[Incoming | BadLine],
        on_progress: Callable[[Appended], None],
        on_bad: Callable[[BadLine], None],
    ) -> Appended:
        """Send what a file holds to who serves the home, as one stream."""
        count = bad = read_bytes = 0

        def sent() -> Iterator[bytes]:
            nonlocal count, bad, read_bytes
            for line in lines:
                count += 1
                read_bytes = line.read_bytes
                if isinstance(line, BadLine):
                    bad += 1
                    on_bad(line)
                else:
                    yield line.record.value + b"\n"

        told = msgspec.json.decode(self._ask(_STREAM, "application/x-ndjson", sent()))
        done = Appended(lines=count, records=told["appended"], bad=bad + told["bad"], read_bytes=read_bytes)
        on_progress(done)
        return done

    @property
    def place(self) -> Path:
        """The home."""
        return self._home

    def call(self, method: Method, *args: Any, **kwargs: Any) -> Any:
        """Return what a method of the memory returns."""
        raw = self._ask(PATH, KIND, msgspec.msgpack.encode(Call(method=method, args=args, kwargs=kwargs)))
        return msgspec.msgpack.decode(raw, type=RETURNS[method])

    def _ask(self, path: str, kind: str, body: bytes | Iterator[bytes]) -> bytes:
        where = urlsplit(self._served.address)
        assert where.hostname is not None  # a gateway wrote it
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self._served.token}", "Content-Type": kind}
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            raw = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RetryLater(
                f"the home {self._home} is served at {self._served.address}, which does not answer ({error}); try "
                "again in a moment"
            ) from None
        finally:
            connection.close()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise _error_of(answer.status, raw)
        return raw


class _ServedMemory:
    """The methods of `AsyncMemory` that are answered by who serves the home."""

    def __init__(self, session: ServedSession, in_use: InUseError) -> None:
        self._session = session
        self._in_use = in_use

    def __getattr__(self, name: str) -> Any:
        if name not in RETURNS:
            raise self._in_use

        async def call(*args: Any, **kwargs: Any) -> Any:
            return self._session.call(name, *args, **kwargs)

        return call


def _error_of(status: int, raw: bytes) -> HelamemError:
    """Return the error that a problem was made of."""
    try:
        detail = str(msgspec.json.decode(raw)["detail"])
    except (msgspec.DecodeError, KeyError, TypeError):
        detail = f"the gateway of the home answered {status}; look at its log"
    if status == http.HTTPStatus.SERVICE_UNAVAILABLE:
        return RetryLater(detail)
    if status == http.HTTPStatus.NOT_FOUND:
        return NotFound(detail)
    return BadInput(detail) if status < http.HTTPStatus.INTERNAL_SERVER_ERROR else ConfigurationError(detail)
