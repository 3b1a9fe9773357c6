"""One open connection to a store process, as a client sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from msgspec import Raw

from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError, RetryLater
from helamem.streams.store_process import protocol as p
from helamem.streams.store_process.address import command, find
from helamem.streams.store_process.frames import framed, read_body, read_length

_BUFFER_BYTES = 256 * 1024


class Wire:
    """A connection on which many requests may be under way; made by `Wire.open`.

    Attributes:
        welcome: What the store process said of itself.
    """

    def __init__(
        self, home: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: p.Welcome
    ) -> None:
        self.welcome = welcome
        self._home = home
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Raw]] = {}
        self._failure: HelamemError | None = None
        self._hearing = asyncio.create_task(self._hear(), name=f"answers of the store of {home}")

    @classmethod
    async def open(cls, home: Path, client: str, timeout_s: float) -> Wire:
        """Connect to the store process of a home.

        Args:
            home: Its directory.
            client: Name of this client; whoever connects with the same one ends this connection.
            timeout_s: How long the greeting may take.

        Raises:
            RetryLater: There is none, or it takes no more connections.
            ConfigurationError: It speaks another version, or something else listens there.
        """
        path = find(home)
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_unix_connection(str(path), limit=_BUFFER_BYTES)
                try:
                    welcome = await _greet(reader, writer, client, path)
                except BaseException:
                    writer.transport.abort()
                    raise
        except (OSError, TimeoutError) as error:
            why = "it does not answer" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
            raise RetryLater(
                f"nobody serves the store of {home} ({path}: {why}); start it with: {command(home)}"
            ) from None
        return cls(home, reader, writer, welcome)

    @property
    def alive(self) -> bool:
        """Whether it can still be asked."""
        return self._failure is None

    def send(self, call: p.Change | p.Read | Raw) -> asyncio.Future[Raw]:
        """Send a request behind those that were sent before; the future holds its result.

        Raises:
            BadInput: It is too large for a frame.
        """
        answer: asyncio.Future[Raw] = asyncio.get_running_loop().create_future()
        if self._failure is not None:
            _refuse(answer, self._failure)
            return answer
        number = next(self._numbers)
        body = call if isinstance(call, Raw) else Raw(p.encode(call))
        self._writer.write(framed(p.encode(p.Request(number, body))))
        self._waiting[number] = answer
        answer.add_done_callback(lambda _: self._waiting.pop(number, None))
        return answer

    async def drain(self) -> None:
        """Wait until the store process has taken most of what was sent."""
        with contextlib.suppress(ConnectionError):  # whoever waits for an answer is told
            await self._writer.drain()

    async def ask(self, call: p.Change | p.Read | Raw) -> Raw:
        """Return the result of a call."""
        answer = self.send(call)
        await self.drain()
        return await answer

    @contextlib.asynccontextmanager
    async def patience(self, timeout_s: float | None) -> AsyncIterator[None]:
        """Give the connection up when what is asked for inside is not answered in time.

        Raises:
            RetryLater: It was not.
        """
        try:
            async with asyncio.timeout(timeout_s):
                yield
        except TimeoutError:
            error = RetryLater(
                f"the store process of {self._home} has not answered for {timeout_s} s; where it does not go on by "
                f"itself, end it and start another with: {command(self._home)}"
            )
            self._fail(error)
            raise error from None

    async def close(self) -> None:
        """End the connection."""
        self._fail(ConfigurationError("the store is closed; open it again"))
        self._hearing.cancel()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()
        await asyncio.wait({self._hearing})

    async def _hear(self) -> None:
        failure: HelamemError | None = None
        try:
            while (length := await read_length(self._reader)) is not None:
                answer = p.decode_answer(await read_body(self._reader, length))
                if answer.number == 0 and answer.refusal is not None:
                    failure = p.error_of(answer.refusal)
                    break
                waiting = self._waiting.get(answer.number)
                if waiting is None or waiting.done():
                    continue  # nobody waits any more
                if answer.refusal is None:
                    waiting.set_result(answer.result)
                else:
                    _refuse(waiting, p.error_of(answer.refusal))
        except ConnectionError:
            pass
        except (msgspec.MsgspecError, BadInput) as error:
            failure = ConfigurationError(f"the store process of {self._home} answered with nonsense: {error}")
        finally:
            self._fail(
                failure
                or RetryLater(
                    f"the store process of {self._home} ended before it answered; start it again with: "
                    f"{command(self._home)}"
                )
            )

    def _fail(self, error: HelamemError) -> None:
        """End the connection for everybody who waits on it."""
        if self._failure is None:
            self._failure = error
        self._writer.transport.abort()
        for answer in list(self._waiting.values()):
            if not answer.done():
                _refuse(answer, self._failure)


def _refuse(answer: asyncio.Future[Raw], error: HelamemError) -> None:
    answer.set_exception(error)
    answer.exception()  # otherwise asyncio complains where nobody waits any more


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: str, path: Path) -> p.Welcome:
    writer.write(framed(p.encode(p.Hello(protocol=p.PROTOCOL, version=p.VERSION, client=client))))
    try:
        length = await read_length(reader)
        greeting: p.Welcome | p.Refusal | None = None
        if length is not None:
            greeting = p.decode_greeting(await read_body(reader, length))
    except (msgspec.MsgspecError, BadInput):
        raise ConfigurationError(f"what listens at {path} is no store process of helamem; name another home") from None
    if greeting is None:
        raise ConnectionResetError("it has just ended")
    if isinstance(greeting, p.Refusal):
        raise p.error_of(greeting)
    return greeting
