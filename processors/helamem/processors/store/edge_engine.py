"""The threads that Edge's calls run on, and what its errors mean.

`update`, `flush` and `optimize` hold the GIL and belong on the one writer thread, so that writes keep their order
and a read-and-write of ours is never interleaved with another. `query`, `retrieve` and `scroll` release it.

A change of thread costs 0.1 ms at rest, and otherwise as long as other threads keep the interpreter: a recall's reads
took half as long again while messages came in. So short reads that belong together run on the thread that asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from helamem.schemas.errors import ConfigurationError, RetryLater

T = TypeVar("T")

_READERS = 4
_NO_SPACE = ("no space left", "os error 28", "quota exceeded")


class EdgeEngine:
    """One writer thread and a few readers.

    Args:
        name: What the threads are called.
    """

    def __init__(self, name: str) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-writer")
        self._readers = _reader_threads(name)
        self._name = name
        self._gathering = False
        self._alone = False
        self._working: asyncio.Task[Any] | None = None
        self._closed = False

    async def write(self, what: Callable[[], T]) -> T:
        """Run on the writer thread, after every write that was asked for earlier."""
        return await self._run(self._writer, what)

    async def read(self, what: Callable[[], T]) -> T:
        """Run on a reader thread, or where reads are gathered at once."""
        if self._alone:
            raise RetryLater("the store is being written anew without words that are erased; try again soon")
        if self._gathering:
            self._check_open()
            return _translated(what)
        return await self._run(self._readers, what)

    async def alone(self, what: Callable[[], T]) -> T:
        """Run on the writer thread while nobody reads; who asks meanwhile is told to try again."""
        self._check_open()
        if self._alone:
            raise RetryLater("the store is being written anew already; try again soon")
        self._alone = True

        async def work() -> T:
            try:
                readers, self._readers = self._readers, _reader_threads(self._name)
                await asyncio.to_thread(readers.shutdown)
                return await self.write(what)
            finally:
                self._alone = False

        # Whoever asked may go away: what is begun is finished, and only then anybody reads again.
        self._working = asyncio.create_task(work())
        return await asyncio.shield(self._working)

    def gather(self, reads: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines that await nothing but reads to their ends, one after the other on the thread that asks."""
        self._gathering = True
        try:
            return [_finished(read) for read in reads]
        finally:
            self._gathering = False
            for read in reads:
                read.close()

    async def shut(self, last: Callable[[], None] = lambda: None) -> None:
        """End the threads once what they were asked for is done, also for those who were cancelled meanwhile.

        Args:
            last: What is done when nobody reads or writes any more.
        """
        self._closed = True
        if self._working is not None:  # it waits for readers of before, who have files open
            await asyncio.wait([self._working])
        await asyncio.to_thread(self._readers.shutdown)
        try:
            await asyncio.get_running_loop().run_in_executor(self._writer, _translated, last)
        finally:
            await asyncio.to_thread(self._writer.shutdown)

    async def _run(self, pool: ThreadPoolExecutor, what: Callable[[], T]) -> T:
        self._check_open()
        return await asyncio.get_running_loop().run_in_executor(pool, _translated, what)

    def _check_open(self) -> None:
        if self._closed:
            raise ConfigurationError("the store is closed; open it again")


def _reader_threads(name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix=f"{name}-reader")


def _finished(read: Coroutine[Any, Any, T]) -> T:
    """Return the result of a coroutine that never has to wait."""
    try:
        read.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("what is gathered awaits something else than reads of its store; await that before")


def _translated(what: Callable[[], T]) -> T:
    try:
        return what()
    except OSError as error:
        raise RetryLater(f"the store cannot use its files: {error}") from error
    except Exception as error:
        # Edge raises bare exceptions for everything of its own; whatever has a type of its own is a mistake of ours.
        if type(error) is not Exception:
            raise
        raise engine_error(error) from error


def engine_error(error: Exception) -> RetryLater:
    """Return what an error of the engine means to a caller."""
    text = " ".join(str(error).split())
    if any(sign in text.lower() for sign in _NO_SPACE):
        return RetryLater(f"the disk that holds the store is full; free some space ({text})")
    return RetryLater(f"the store failed: {text}")
