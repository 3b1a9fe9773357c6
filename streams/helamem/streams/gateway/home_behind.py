"""`HomeBehind`: a home behind a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from helamem.processors.embedder.port import Embedder
from helamem.processors.store.port import MemoryStore
from helamem.schemas.times import format_ms
from helamem.streams.async_memory import Memory
from helamem.streams.erasure.erase import Work, erase
from helamem.streams.erasure.steps import Erasure
from helamem.streams.gateway.held import Held
from helamem.streams.instance import Instance
from helamem.streams.past import in_turn, past


class HomeBehind:
    """Answers for a home that this process has to itself.

    Args:
        home: The home's directory.
        held: Its memory.
    """

    def __init__(self, home: Path, held: Held) -> None:
        self.home = home
        self.held = held

    @property
    def usage(self) -> Path:
        """The home."""
        return self.home

    @property
    def processed(self) -> bool:
        """Whether this process follows the log."""
        return self.held.follows

    def use(self) -> AbstractContextManager[Memory]:
        """Give the memory for as long as a request needs it; see `Behind`."""
        return self.held.use()

    async def erase(self, space: str, subject: str, *, dry_run: bool) -> Erasure:
        """Erase a data subject; see `Behind`. The memory is closed meanwhile, unless it is only a look."""
        if dry_run:
            return await self._look(space, subject)

        @asynccontextmanager
        async def working() -> AsyncIterator[Work]:
            async with self.held.open() as memory:
                yield memory.instance, memory.process

        async with self.held.closed("an erasure is under way; try again in a moment"):
            return await erase(self.home, working, space=space, subject=subject)

    async def _look(self, space: str, subject: str) -> Erasure:
        with self.held.use() as memory:

            @asynccontextmanager
            async def looking() -> AsyncIterator[Work]:
                yield memory.instance, _nothing

            return await erase(self.home, looking, space=space, subject=subject, dry_run=True)

    @asynccontextmanager
    async def states(
        self, memory: Memory, space: str, moments_ms: Sequence[int | None]
    ) -> AsyncIterator[list[MemoryStore]]:
        """Open a space as it was at some moments; see `Behind`. A past one is rebuilt, and kept below the home."""
        embedder = memory.instance.embedder
        async with AsyncExitStack() as stack:
            places = [await self._place(space, moment_ms, embedder) for moment_ms in moments_ms]
            stores: dict[Path, MemoryStore] = {self.home: memory.instance.store}
            for place in places:
                if place not in stores:
                    stores[place] = await stack.enter_async_context(self._opened(place, embedder))
            yield [stores[place] for place in places]

    async def _place(self, space: str, moment_ms: int | None, embedder: Embedder) -> Path:
        """Return the home that holds a space as it was at a moment."""
        if moment_ms is None:
            return self.home
        return (await past(self.home, format_ms(moment_ms), space=space, embedder=embedder)).home

    @asynccontextmanager
    async def _opened(self, place: Path, embedder: Embedder) -> AsyncIterator[MemoryStore]:
        with in_turn(self.home, place.name):
            instance = await Instance.open(place, create=False, embedder=embedder)
        try:
            yield instance.store
        finally:
            await instance.close()


async def _nothing() -> None:
    """Leave what is processed to whoever follows the log: the survey reads the log itself."""
