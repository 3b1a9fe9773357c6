"""`Held`: the memory of a home that a gateway holds open, and that can be closed for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    nullcontext,
    suppress,
)

from helamem.schemas.errors import RetryLater
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.backoff import Stopped
from helamem.streams.instance import Instance
from helamem.streams.pump import Progress

Open = Callable[[], AbstractAsyncContextManager[AsyncMemory]]


class Held:
    """A memory that many requests use at once, and that one may have closed meanwhile.

    Args:
        open_memory: Opens it.
        follows: Whether its log is processed as it grows.
        on_progress: Told after every applied batch.
        beside: What goes on while the log is followed.
    """

    def __init__(
        self,
        open_memory: Open,
        *,
        follows: bool,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        beside: Callable[[Instance], AbstractAsyncContextManager[None]] = lambda instance: nullcontext(),
    ) -> None:
        self.open = open_memory
        self.follows = follows
        self._on_progress = on_progress
        self._beside = beside
        self._memory: AsyncMemory | None = None
        self._uses = 0
        self._unused = asyncio.Event()
        self._close = asyncio.Event()
        self._opened = asyncio.Event()
        self._closed = asyncio.Event()
        self._again = asyncio.Event()
        self._in_turn = asyncio.Lock()
        self._ending = False
        self._why = "the memory is just being opened; try again in a moment"

    def use(self) -> AbstractContextManager[AsyncMemory]:
        """Give the memory for as long as a request needs it.

        Raises:
            RetryLater: On entering: it is closed for a while.
        """
        return self

    def __enter__(self) -> AsyncMemory:
        """See `use`."""
        if self._memory is None or self._close.is_set():
            raise RetryLater(self._why)
        self._uses += 1
        return self._memory

    def __exit__(self, *_: object) -> None:
        """See `use`."""
        self._uses -= 1
        if not self._uses:
            self._unused.set()

    @asynccontextmanager
    async def closed(self, why: str) -> AsyncIterator[None]:
        """Have the memory closed, once nobody uses it any more, and opened again at the end.

        Args:
            why: What requests are told meanwhile.
        """
        async with self._in_turn:
            self._why = why
            self._closed.clear()
            self._again.clear()
            self._opened.clear()
            self._close.set()
            await self._closed.wait()
            try:
                yield
            finally:
                self._again.set()
                await self._opened.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[AsyncMemory]:
        """Hold the memory open as long as the context lasts; what makes following its log fail is raised."""
        try:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self._hold())
                try:
                    await self._opened.wait()
                    assert self._memory is not None  # it was opened just now
                    yield self._memory
                finally:
                    self._ending = True
                    self._why = "the gateway is just stopping; ask the one that follows"
                    self._close.set()
                    self._again.set()
                    await asyncio.wait([holding])
        except BaseExceptionGroup as group:
            raise _first(group) from None

    async def _hold(self) -> None:
        """Open and close in one task, since what is opened may want to be closed by the same."""
        while not self._ending:
            async with self.open() as memory, asyncio.TaskGroup() as tasks:
                if not self._ending:
                    self._close.clear()
                self._memory = memory
                self._opened.set()
                if self.follows:
                    tasks.create_task(self._follow(memory))
                await self._close.wait()
                self._unused.clear()
                if self._uses:
                    await self._unused.wait()
                self._memory = None
                memory.stop()
            self._closed.set()
            await self._again.wait()

    async def _follow(self, memory: AsyncMemory) -> None:
        with suppress(Stopped):
            async with self._beside(memory.instance):
                await memory.instance.follow(self._on_progress)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error, however deep."""
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
