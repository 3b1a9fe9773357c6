"""One client's connection, as the store process sees it: order, bounds, and an end in every case."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Raw

from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError
from helamem.streams.logs import told
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.frames import MAX_HELLO_BYTES, framed, read_body, read_length
from helamem.streams.store_process.service import Service

MOST_REQUESTS = 32
"""Requests of one connection that are under way; while there are as many, nothing more is read from it."""
MOST_BYTES = 8 * 1024**2
"""Bytes of them, likewise."""
LARGE_BYTES = 4 * 1024**2
"""A frame above this waits until no other such one is under way, whoever sent that."""
HELLO_S = 10.0
"""How long a client may take to say who it is."""
STALL_S = 30.0
"""How long it may take for a frame that it has begun, or to fetch an answer; a stopped process comes back anew."""

_READS = 4
"""Reads of one connection that run at once, as many as the engine has threads; it also bounds unfetched answers."""


class _Ended(Exception):  # noqa: N818 - it is no error
    """The connection is to be given up with all that is under way on it."""


class Room(Protocol):
    """What connections have in common.

    Attributes:
        service: What answers.
        welcome: Said first.
        complain: Told of mistakes of ours.
        large: Held by who has a large frame under way.
    """

    service: Service
    welcome: p.Welcome
    complain: Callable[[str], None]
    large: asyncio.Lock

    async def enter(self, client: str, connection: Connection) -> None:
        """Put this connection in the place of the client's last one, once that has ended.

        Raises:
            RetryLater: There are too many.
        """
        ...


class Connection:
    """Serves one client until it ends, misbehaves or is told to finish.

    Args:
        reader: From the client.
        writer: To the client.
        shared: What it shares with the others.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, shared: Room) -> None:
        self._reader = reader
        self._writer = writer
        self._shared = shared
        self._tasks = asyncio.TaskGroup()
        self._changes: asyncio.Queue[tuple[int, p.Change, int]] = asyncio.Queue()
        self._reading = asyncio.Semaphore(_READS)
        self._sending = asyncio.Lock()
        self._requests = 0
        self._bytes = 0
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._account(0, 0)
        self._finishing = asyncio.Event()
        self._greeted = False
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Serve; returns when the connection has ended, however it did."""
        try:
            await self._greet()
            async with self._tasks:
                await self._serve()
        except* (_Ended, ConnectionError, TimeoutError):
            pass  # the client is gone or might as well be, and will ask again
        except* HelamemError as group:
            with contextlib.suppress(ConnectionError, TimeoutError):
                for error in group.exceptions:
                    assert isinstance(error, HelamemError)
                    await self._answer(0, p.refusal_of(error), p.NOTHING)
        finally:
            self._writer.close()
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(1):
                    await self._writer.wait_closed()
            self.abort()
            self.ended.set()

    def finish(self) -> None:
        """Read no more requests, answer those that were read, and end."""
        self._finishing.set()
        if not self._greeted:
            self.abort()

    def abort(self) -> None:
        """End at once."""
        self._writer.transport.abort()
        self._finishing.set()

    async def _refuse(self, error: HelamemError) -> None:
        """Answer with nothing but an error, and end."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(framed(p.encode(p.refusal_of(error))))
        self._writer.close()

    async def _serve(self) -> None:
        self._tasks.create_task(self._work_off())
        receiving = self._tasks.create_task(self._receive())
        finishing = self._tasks.create_task(self._finishing.wait())
        await asyncio.wait({receiving, finishing}, return_when=asyncio.FIRST_COMPLETED)
        if self._finishing.is_set():
            receiving.cancel()
            await self._idle.wait()
        raise _Ended

    async def _greet(self) -> None:
        try:
            async with asyncio.timeout(HELLO_S):
                length = await read_length(self._reader, MAX_HELLO_BYTES)
                if length is None:
                    raise _Ended
                hello = p.decode_hello(await read_body(self._reader, length))
            if hello.protocol != p.PROTOCOL:
                raise BadInput(f"this is helamem's store process, which does not speak {hello.protocol[:50]!r}")
            if hello.version != p.VERSION:
                raise ConfigurationError(
                    f"the store process speaks version {p.VERSION} of its protocol, the client version "
                    f"{hello.version}; run the same helamem on both sides"
                )
            await self._shared.enter(hello.client, self)
        except HelamemError as error:
            await self._refuse(error)
            raise _Ended from None
        except msgspec.MsgspecError:
            await self._refuse(
                BadInput("the first frame is no greeting; speak the protocol of helamem's store process")
            )
            raise _Ended from None
        self._greeted = True
        await self._send(p.encode(self._shared.welcome))

    async def _receive(self) -> None:
        while True:
            await self._room.wait()
            length = await read_length(self._reader)
            if length is None:
                return
            large = length > LARGE_BYTES
            if large:
                await self._shared.large.acquire()
            try:
                async with asyncio.timeout(STALL_S):
                    body = await read_body(self._reader, length)
                await self._take(body)
                if large:
                    # With what came before it: its own end is not to be told apart from theirs, nor need it be.
                    await self._changes.join()
            finally:
                if large:
                    self._shared.large.release()

    async def _take(self, body: bytes) -> None:
        try:
            request = p.decode_request(body)
        except msgspec.MsgspecError:
            raise BadInput("a frame came that is no request; speak the protocol of helamem's store process") from None
        self._account(1, len(body))
        try:
            call = p.decode_call(request.call)
        except msgspec.MsgspecError as error:
            refusal = p.refusal_of(BadInput(f"the store process does not understand a request: {error}"))
            self._tasks.create_task(self._close_request(request.number, refusal, p.NOTHING, len(body)))
            return
        if isinstance(call, p.Change):
            self._changes.put_nowait((request.number, call, len(body)))
        else:
            self._tasks.create_task(self._read(request.number, call, len(body)))

    async def _work_off(self) -> None:
        """Take up changes one after the other; a flush is not waited for, since it covers what came before it."""
        while True:
            number, call, size = await self._changes.get()
            if isinstance(call, p.Flush):
                self._tasks.create_task(self._perform(number, call, size))
            else:
                refusal, result = await self._outcome(call)
                # Whoever does not fetch his answers shall not keep a large frame, and with it all others', waiting.
                self._tasks.create_task(self._close_request(number, refusal, result, size))
            self._changes.task_done()

    async def _read(self, number: int, call: p.Read, size: int) -> None:
        async with self._reading:
            await self._perform(number, call, size)

    async def _perform(self, number: int, call: p.Change | p.Read, size: int) -> None:
        refusal, result = await self._outcome(call)
        await self._close_request(number, refusal, result, size)

    async def _outcome(self, call: p.Change | p.Read) -> tuple[p.Refusal | None, Raw]:
        try:
            return None, Raw(await self._shared.service.perform(call))
        except HelamemError as error:
            return p.refusal_of(error), p.NOTHING
        except Exception as error:  # noqa: BLE001 - one request's mistake must not end the others
            sentence = f"the store process failed at {type(call).__name__}: {told(error)}"
            self._shared.complain(sentence)
            return p.refusal_of(ConfigurationError(f"{sentence}; report it")), p.NOTHING

    async def _close_request(self, number: int, refusal: p.Refusal | None, result: Raw, size: int) -> None:
        await self._answer(number, refusal, result)
        self._account(-1, -size)

    async def _answer(self, number: int, refusal: p.Refusal | None, result: Raw) -> None:
        try:
            await self._send(p.encode(p.Answer(number, refusal, result)))
        except BadInput as error:  # too long for a frame
            await self._send(p.encode(p.Answer(number, p.refusal_of(error), p.NOTHING)))

    async def _send(self, body: bytes) -> None:
        frame = framed(body)
        async with self._sending, asyncio.timeout(STALL_S):
            self._writer.write(frame)
            await self._writer.drain()

    def _account(self, requests: int, size: int) -> None:
        self._requests += requests
        self._bytes += size
        _set(self._room, when=self._requests < MOST_REQUESTS and self._bytes < MOST_BYTES)
        _set(self._idle, when=self._requests == 0)


def _set(event: asyncio.Event, *, when: bool) -> None:
    if when:
        event.set()
    else:
        event.clear()
