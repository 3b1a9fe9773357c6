"""What a gateway runs on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

import pytest
import uvloop

from helamem.streams.gateway import server
from helamem.streams.gateway.bounded import Together

each_loop = pytest.mark.parametrize("run", [asyncio.run, server.run], ids=["asyncio", "uvloop"])


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_the_quicker_loop_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And Python's own elsewhere."""
    assert isinstance(server.run(_loop()), uvloop.Loop)

    def nothing(_: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(server, "find_spec", nothing)
    assert not isinstance(server.run(_loop()), uvloop.Loop)


def test_what_it_raises_comes_out() -> None:
    """As from any other loop."""

    async def fail() -> None:
        raise ValueError("as wanted")

    with pytest.raises(ValueError, match="as wanted"):
        server.run(fail())


class _Noted(asyncio.Transport):
    """Passes on what is written, and notes it."""

    def __init__(self, transport: Any) -> None:  # uvloop's are of no class of asyncio
        super().__init__()
        self._transport = transport
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(data)
        self._transport.write(data)

    def is_closing(self) -> bool:
        return bool(self._transport.is_closing())

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


async def _answered(how: Callable[[Together, _Noted], None]) -> tuple[list[bytes], bytes, list[dict[str, Any]]]:
    """Answer whoever connects; return what was written, what they were sent, and of what the event loop complained."""
    noted: list[_Noted] = []
    lost, complaints = asyncio.Event(), list[dict[str, Any]]()

    class Answering(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            noted.append(_Noted(transport))
            self._together = Together(noted[0])

        def data_received(self, data: bytes) -> None:
            assert data == b"?"
            how(self._together, noted[0])

        def connection_lost(self, error: Exception | None) -> None:
            assert error is None
            lost.set()

    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    listening = await loop.create_server(Answering, "127.0.0.1", 0)
    try:
        async with asyncio.timeout(30):
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            writer.write(b"?")
            sent = b""
            with contextlib.suppress(ConnectionResetError):
                sent = await reader.read()
            await lost.wait()
            await asyncio.sleep(0)  # what the loop was to do meanwhile
            await asyncio.sleep(0)
            writer.close()
    finally:
        listening.close()
    return noted[0].written, sent, complaints


@each_loop
def test_what_is_written_in_one_turn_is_sent_together(run: Callable[[Any], Any]) -> None:
    """And what nothing follows is sent all the same, before the connection ends."""

    def both(together: Together, _: _Noted) -> None:
        together.write(b"head ")
        together.write(b"body")
        together.write(b", more")
        together.close()

    assert run(_answered(both)) == ([b"head body", b", more"], b"head body, more", [])


@each_loop
def test_whoever_has_gone_is_sent_nothing_more(run: Callable[[Any], Any]) -> None:
    """What was held for them is dropped, and no event loop complains."""

    def late(together: Together, noted: _Noted) -> None:
        noted.abort()
        together.write(b"head ")

    written, sent, complaints = run(_answered(late))
    assert (written, sent, complaints) == ([], b"", [])
