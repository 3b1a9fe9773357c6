"""`FleetBehind`: a fleet behind a gateway, which keeps nothing: any number of them may stand before one fleet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress

from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import generation_of
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.async_memory import Memory
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.config import Config
from helamem.streams.erasure.steps import Erasure
from helamem.streams.fleet.erasing import erase_from_all_builds
from helamem.streams.fleet.past import past_of_fleet, sweep
from helamem.streams.gateway.problems import Problem
from helamem.streams.instance import Instance
from helamem.streams.replay import TooMuchError
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.fleet import fleet_sealing
from helamem.streams.settings_log import embedded_instead

PROBE_S = 2.0
"""How often it is looked whether broker and store answer."""
PATIENCE_S = 5.0
"""How long they may take to."""
GENERATION_EVERY = 8
"""Looks of which one also asks whether the topics were migrated."""
_OPENING = Backoff(longest_s=2.0)


class FleetBehind:
    """Answers for the fleet that the configuration names.

    Args:
        config: Where the fleet is.
        open_memory: Opens its memory.
        generation: Says which generation of the topics is in use.
        set_ready: Told whether broker and store answer, each time that it is looked.
        on_retry: Told what is away.
    """

    usage = None
    processed = True

    def __init__(
        self,
        config: Config,
        open_memory: Callable[[], AbstractAsyncContextManager[Memory]],
        *,
        generation: Callable[[], Awaitable[int]],
        set_ready: Callable[[bool], None] = lambda ready: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
    ) -> None:
        self._config = config
        self._open = open_memory
        self._generation = generation
        self._set_ready = set_ready
        self._on_retry = on_retry
        self._memory: Memory | None = None
        self._why = "log and store are just being opened; try again in a moment"
        self._ending = asyncio.Event()
        self._erasing = asyncio.Lock()

    @contextmanager
    def use(self) -> Iterator[Memory]:
        """Give the memory for as long as a request needs it; see `Behind`."""
        if self._memory is None:
            raise RetryLater(self._why)
        yield self._memory

    async def erase(self, space: str, subject: str, *, dry_run: bool) -> Erasure:
        """Erase a data subject; see `Behind`. Everybody goes on meanwhile, and workers have to run."""
        keys = fleet_sealing(self._config).keys
        with self.use() as memory:
            at = memory.instance
            async with self._erasing:
                found = await erase_from_all_builds(
                    self._config, at.log, keys, at.embedder, space=space, subject=subject, dry_run=dry_run
                )
        return found.erasure

    @asynccontextmanager
    async def states(
        self, memory: Memory, space: str, moments_ms: Sequence[int | None]
    ) -> AsyncIterator[list[MemoryStore]]:
        """Open a space as it was at some moments; see `Behind`. A past one is replayed, and gone afterwards."""
        moments = sorted({moment_ms for moment_ms in moments_ms if moment_ms is not None})
        if not moments:
            yield [memory.instance.store for _ in moments_ms]
            return
        log, store, embedder = memory.instance.log, memory.instance.store, memory.instance.embedder
        erased_ms = (await read_erased(log)).seen(space)
        instead = embedded_instead(await store.load_checkpoints(ENCODING))
        stores: dict[int | None, MemoryStore] = {None: store}
        async with AsyncExitStack() as stack:
            past = past_of_fleet(self._config, space, moments, embedder=embedder, instead=instead)
            try:
                places = await stack.enter_async_context(past)
            except TooMuchError as error:
                raise Problem(
                    501,
                    "not-here",
                    f"{error}; rebuild {space} at each moment with: helamem replay --kafka --spaces {space} --until "
                    "TIME --into DIR, and then: helamem diff DIR DIR",
                ) from None
            for moment_ms, place in zip(moments, places, strict=True):
                instance = await Instance.open(place, create=False, embedder=embedder)
                stack.push_async_callback(instance.close)
                stores[moment_ms] = instance.store
            yield [stores[moment_ms] for moment_ms in moments_ms]
        if (await read_erased(log)).seen(space) != erased_ms:
            raise RetryLater(f"somebody was just erased in {space}, so the past has to be read again; ask once more")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open log and store, wait for what is away, and look after them as long as the context lasts.

        Raises:
            ConfigurationError: Something has to be set right, or the topics were migrated.
        """
        await asyncio.to_thread(sweep)
        try:
            async with asyncio.TaskGroup() as tasks:
                holding = tasks.create_task(self._hold())
                try:
                    yield
                finally:
                    self._why = "the gateway is just stopping; ask the one that follows"
                    self._ending.set()
                    await asyncio.wait([holding])
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _hold(self) -> None:
        """Open and close in one task."""
        with suppress(Stopped):
            await until_done(self._once, backoff=_OPENING, stopping=self._ending, on_retry=self._note)

    async def _once(self) -> None:
        async with self._open() as memory:
            self._memory = memory
            try:
                await self._watch(memory)
            finally:
                self._memory = None
                self._say(ready=False)

    async def _watch(self, memory: Memory) -> None:
        """Look whether broker and store answer, until the gateway ends."""
        number = 0
        while not self._ending.is_set():
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._probe(memory, generation=number % GENERATION_EVERY == 0)
            except TimeoutError:
                self._say(ready=False)
                self._on_retry(RetryLater(f"Kafka or the store has not answered within {PATIENCE_S:g} s"))
            except RetryLater as error:
                self._say(ready=False)
                self._on_retry(error)
            else:
                self._say(ready=True)
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_S):
                    await self._ending.wait()

    async def _probe(self, memory: Memory, *, generation: bool) -> None:
        log = memory.instance.log
        places = await log.partitions(CONVERSATIONS.name)
        await log.end_offsets(places)
        await memory.instance.store.load_checkpoints(ENCODING)
        if generation:
            now, ours = await self._generation(), generation_of(places[0].topic)
            if now != ours:
                raise ConfigurationError(
                    f"the topics were migrated to generation {now}, and this gateway works on generation {ours}; "
                    "start it again"
                )

    def _note(self, error: RetryLater) -> None:
        self._why = str(error)
        self._say(ready=False)
        self._on_retry(error)

    def _say(self, *, ready: bool) -> None:
        self._set_ready(ready)
