"""An embedded instance: one home's log, store and processors, put together in one process."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from helamem.processors.coactivation.processor import BATCH_RECORDS as FOLD_RECORDS
from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.consolidation.distiller import Distiller, HubsWait
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.embedder.absent import AbsentEmbedder
from helamem.processors.embedder.choose import choose_embedder, full_name, is_recorded
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.state import embedded_by
from helamem.processors.port import Processor
from helamem.processors.store.checkpoints import CheckpointFiles
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_room import OPENING_BYTES, Room
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import TOPICS
from helamem.schemas.wire import Event
from helamem.streams.distilling import BATCH_RECORDS, ModelSettings, distilling
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.effects.vectors import recording
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.closed import ClosedLog
from helamem.streams.log.ends import conversation_ends
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.logs import putting_aside
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.pumping import meter_of
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.watch import watched
from helamem.streams.pump import Progress, Pump
from helamem.streams.sealing.erasures import read_erased
from helamem.streams.sealing.opening import opener
from helamem.streams.sealing.tenants import check_distiller, check_embedder
from helamem.streams.settings_log import apply_settings, settings_in_force
from helamem.streams.switch_interval import yielding_sooner
from helamem.streams.tracing.untraced import UNTRACED, Untraced

if TYPE_CHECKING:  # it imports cryptography
    from helamem.streams.sealing.keys import KeyStore

OPTIMIZE_AFTER = 20_000
"""New memories after which the store's indexes are rebuilt when the instance comes to rest."""

HUBS_WAIT_S = 3.0
"""How long `process` goes on trying while hubs have to wait for a model and none is distilled."""

FOLLOWING_S = 0.25
"""Batches of what is followed begin at ticks so far apart: a flush keeps every thread waiting, recalls among them."""


class Instance:
    """Everything that works in one home; made by `Instance.open`.

    Attributes:
        log: The truth.
        store: The projection.
        embedder: What gives vectors, without the cache: queries are not worth keeping.
        settings: In force in the log.
        keys: What seals words, or None where none are sealed.
        metrics: Where what it does is counted, or None.
        tracing: What makes spans of it.
    """

    def __init__(
        self,
        home: Home,
        log: Log,
        store: EdgeStore,
        embedder: Embedder,
        settings: Settings,
        *,
        keys: KeyStore | None = None,
        metrics: Metrics | None = None,
        tracing: Untraced = UNTRACED,
    ) -> None:
        self.home = home
        self.log = log
        self.store = store
        self.embedder = embedder
        self.settings = settings
        self.keys = keys
        self.metrics = metrics
        self.tracing = tracing
        self._pumps: list[Pump] = []
        self._stack = AsyncExitStack()
        self._unoptimized = 0
        self._applied = asyncio.Event()
        self._on_progress: Callable[[Progress], None] | None = None
        self._on_retry: Callable[[RetryLater], None] = lambda error: None
        self._comes_to_an_end = False
        self._hubs_wait_since_s: float | None = None
        self._hubs_wait: HubsWait | None = None

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        create: bool = True,
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        distiller: Distiller | ModelSettings | None = None,
        clock: Callable[[], int] = wall_clock_ms,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        metrics: Metrics | None = None,
        tracing: Untraced = UNTRACED,
    ) -> Self:
        """Open a home, or make one.

        Args:
            path: The home's directory.
            create: Make it where there is none.
            settings: For a new home; an existing one has its settings in its log, and others are refused.
            embedder: What the settings name, where that needs to be put together by hand.
            distiller: What writes facts, or a model that is asked to; the default quotes what was said.
            clock: Milliseconds since 1970.
            on_retry: Told when something is away and will be tried again.
            metrics: Where what it does is counted; None counts nothing.
            tracing: What makes spans of it; a `Tracing`, which is the caller's to close.

        Raises:
            BadInput: There is no home, or the directory holds something else.
            ConfigurationError: Another process writes it, a newer version made it, or the settings disagree.
        """
        async with AsyncExitStack() as stack:
            home = stack.enter_context(Home.open(path, create=create, clock=clock))
            log = await _open_log(home, clock)
            stack.push_async_callback(log.close)
            log, keys, seal = _sealing(home, log)
            if settings is not None:
                settings = embedded_by(settings, full_name(settings.encoding.embedder))
            in_force = await _agree(log, home, settings, clock)
            if home.sealed_tenants:
                check_embedder(f"the home {path}", in_force.encoding.embedder)
                if isinstance(distiller, ModelSettings):
                    check_distiller(f"the home {path}", distiller.chat.model)
            embedder = embedder or _chosen(home, in_force.encoding.embedder)
            if home.projection_of is not None and not home.store_path.exists():
                raise ConfigurationError(
                    f"the store of {home.path} is gone, which a replay filled; delete the rest of it and replay again"
                )
            store = await EdgeStore.open(
                home.store_path, dimension=embedder.dimension, language=in_force.encoding.language
            )
            stack.push_async_callback(store.close)
            erased = await read_erased(log)
            unsealer = opener(keys or home.keys_path, erased)
            measured = log if metrics is None else MeasuredLog(log, metrics)
            hubs_at_once = distiller.batch_records if isinstance(distiller, ModelSettings) else BATCH_RECORDS
            meters = [meter_of(metrics, group) for group in (ENCODING, CO_ACTIVATION, CONSOLIDATION)]
            distills = await stack.enter_async_context(
                distilling(distiller, measured, clock, index=home.effects_path, watch=meters[2].distilling())
            )
            instance = cls(
                home,
                measured,
                store,
                embedder,
                in_force,
                keys=keys,
                metrics=metrics,
                tracing=tracing,
            )
            tracers = [tracing.pump(group, home.sealed_tenants) for group in (ENCODING, CO_ACTIVATION, CONSOLIDATION)]
            stores = [tracer.store(meter.store(store)) for meter, tracer in zip(meters, tracers, strict=True)]
            vectors = stack.enter_context(
                recording(
                    meters[0].computing(embedder),
                    measured,
                    clock,
                    cache=home.embeddings_path,
                    index=home.effects_path,
                )
            )
            processors: tuple[Processor, ...] = (
                Encoding(
                    stores[0],
                    tracers[0].asking(meters[0].asking(vectors)),
                    instance.settings,
                    unsealer=unsealer,
                    erased=erased,
                ),
                CoActivation(stores[1], instance.settings),
                Consolidation(stores[2], distills, conversation_ends(log), seal=seal),
            )
            instance._on_retry = on_retry
            instance._pumps = [
                Pump(
                    tracer.log(meter.log(log)),
                    watched_store,
                    tracer.processor(meter.processor(processor)),
                    on_progress=tracer.noting(meter.noting(instance._note)),
                    on_retry=meter.noting_retries(instance._note_retry),
                    on_put_aside=putting_aside(processor.group),
                    batch_records=records,
                    interval_s=FOLLOWING_S,
                )
                for meter, tracer, watched_store, processor, records in zip(
                    meters, tracers, stores, processors, (1000, FOLD_RECORDS, hubs_at_once), strict=True
                )
            ]
            await stack.enter_async_context(watched(metrics, log=log, home=home.path, meters=meters))
            instance._stack = stack.pop_all()
            return instance

    sole_writer = True
    """The lock of the home sees to it."""

    @property
    def keys_path(self) -> Path:
        """Directory of the keys that open sealed words; it may not exist."""
        return self.home.keys_path

    @property
    def counts(self) -> Counter[str]:
        """What all processors did since the instance was opened, by name."""
        return sum((pump.counts for pump in self._pumps), Counter())

    async def process(self, on_progress: Callable[[Progress], None] | None = None) -> HubsWait | None:
        """Process all that is in the log, and all that follows from it, then come to rest.

        Hubs that have to wait for a model stay in the log for a later call; everything else is brought to its end.

        Args:
            on_progress: Told after every applied batch.

        Returns:
            Why hubs were left, or None where none were.
        """
        self._on_progress = on_progress
        self._comes_to_an_end = True
        self._hubs_wait_since_s = self._hubs_wait = None
        try:
            ends: dict[TopicPartition, int] = {}
            while (now := await self.ends()) != ends:
                ends = now
                async with asyncio.TaskGroup() as tasks:
                    for pump in self._pumps:
                        tasks.create_task(pump.run(until=ends))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._come_to_rest()
        await self._optimize_when_due()
        return self._hubs_wait

    async def follow(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        """Process records as they come, until `stop`; meanwhile the process has the switch interval of 0.5 ms."""
        self._on_progress = on_progress
        try:
            with yielding_sooner():
                async with asyncio.TaskGroup() as tasks:
                    for pump in self._pumps:
                        tasks.create_task(pump.run())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._come_to_rest()

    def stop(self) -> None:
        """End `follow` or `process`, or the next one where none is going on: batches under way are finished first."""
        for pump in self._pumps:
            pump.stop()

    async def encoded(self, ends: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until encoding has come to these offsets (exclusive); return whether that was within the time.

        Somebody has to be in `follow` or `process` meanwhile.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    applied = self._applied  # taken before looking, so that no batch falls between looking and waiting
                    done = await self.store.load_checkpoints(ENCODING)
                    if all(at in done and done[at].position.offset >= end for at, end in ends.items()):
                        return True
                    await applied.wait()
        except TimeoutError:
            return False

    async def appended(self, after: Mapping[TopicPartition, int], timeout_s: float) -> bool:
        """Wait until some partition goes beyond these offsets; return whether that was within the time."""
        return await self.log.wait_for_append(after, timeout_s)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the end of every partition of the log."""
        return await self.log.end_offsets([p for spec in TOPICS for p in await self.log.partitions(spec.name)])

    async def close(self) -> None:
        """Release everything; what was acknowledged is durable already."""
        await self._stack.aclose()

    def _come_to_rest(self) -> None:
        self._on_progress = None
        self._comes_to_an_end = False
        for pump in self._pumps:
            pump.resume()

    def _note(self, progress: Progress) -> None:
        self._applied.set()
        self._applied = asyncio.Event()
        self._unoptimized += progress.counts.get("encoded", 0)
        if progress.group == CONSOLIDATION:
            self._hubs_wait_since_s = None
        if self._on_progress is not None:
            self._on_progress(progress)

    def _note_retry(self, error: RetryLater) -> None:
        """Have hubs wait for a later call where they have waited for long enough; nothing else waits with them."""
        if isinstance(error, HubsWait) and self._comes_to_an_end:
            now_s = time.monotonic()
            if self._hubs_wait_since_s is None:
                self._hubs_wait_since_s = now_s
            if self._hubs_wait is None and now_s - self._hubs_wait_since_s >= HUBS_WAIT_S:
                self._hubs_wait = error
                self._pumps[-1].stop()
        self._on_retry(error)

    async def _optimize_when_due(self) -> None:
        if self._unoptimized >= OPTIMIZE_AFTER:
            await self.store.optimize()
            self._unoptimized = 0


async def _open_log(home: Home, clock: Callable[[], int]) -> Log:
    """Return the home's log; a projection has none, and says where to write instead."""
    if home.projection_of is None:
        # What the log takes, the store beside it may need: a mapped page that finds no room kills the process.
        room = Room(home.path, OPENING_BYTES, what="the home")
        room.check()
        return await SqliteLog.open(home.log_path, TOPICS, clock, check_room=room.check)
    return ClosedLog(
        home.topics,
        f"{home.path} was filled by a replay and has no log of its own; write to {home.projection_of} instead",
    )


def _chosen(home: Home, name: str) -> Embedder:
    """Return the embedder of this name; what a replay filled can be looked at where its service is not known."""
    try:
        return choose_embedder(name)
    except ConfigurationError as error:
        if home.projection_of is None or not is_recorded(name):
            raise
        with AnswerIndex(home.effects_path) as index:
            return AbsentEmbedder(name, index.dimension(name) or 1, error)


def _sealing(home: Home, log: Log) -> tuple[Log, KeyStore | None, Callable[[Event], Event]]:
    """Return a log that seals the words of the tenants for whom the home says so, the keys, and what it does."""
    if not home.sealed_tenants:
        return log, None, lambda event: event
    from helamem.streams.sealing.keys import KeyFiles  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.sealing.log import SealingLog  # noqa: PLC0415 - likewise
    from helamem.streams.sealing.seal import Sealer  # noqa: PLC0415 - likewise

    keys = KeyFiles(home.keys_path)
    sealer = Sealer(keys, home.sealed_tenants)
    return SealingLog(log, sealer), keys, sealer.seal


async def _agree(log: Log, home: Home, wanted: Settings | None, clock: Callable[[], int]) -> Settings:
    """Return the settings in force; a new log gets those that are wanted, or the defaults."""
    files = home.store_path / "checkpoints"
    encoded = CheckpointFiles(files).load(ENCODING) if files.is_dir() else {}
    found = home.settings or await settings_in_force(log, encoded)
    if found is None:
        found = wanted or Settings()
        await apply_settings(log, found, clock)
    elif wanted is not None and found != wanted:
        raise ConfigurationError(
            f"the home {home.path} has other settings in its log; open it without settings, or see what differs "
            f"with: helamem settings --home {home.path}"
        )
    return found
