"""A worker: processors as members of their groups, over Kafka, into a store that the whole fleet shares."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from qdrant_client import AsyncQdrantClient

from helamem.processors.coactivation.processor import CoActivation
from helamem.processors.consolidation.processor import Consolidation
from helamem.processors.embedder.choose import choose_embedder
from helamem.processors.embedder.port import Embedder
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.processor import Encoding
from helamem.processors.encoding.unsealing import Erased
from helamem.processors.port import Processor
from helamem.processors.store.port import MemoryStore
from helamem.processors.store.qdrant import QdrantStore
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.records import generation_of
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.streams.config import Config
from helamem.streams.distilling import distilling
from helamem.streams.effects.vectors import recording
from helamem.streams.fleet.group_pump import GroupPump
from helamem.streams.home import wall_clock_ms
from helamem.streams.lag import READS
from helamem.streams.log.ends import conversation_ends
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.port import Log
from helamem.streams.metrics.pumping import meter_of
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.watch import watched
from helamem.streams.pump import Progress
from helamem.streams.sealing.erasures import Erasures
from helamem.streams.sealing.fleet import fleet_sealing
from helamem.streams.settings_log import settings_in_force
from helamem.streams.store_process.client import RemoteStore
from helamem.streams.tracing.untraced import UNTRACED, Untraced

Role = Literal["encoding", "co-activation", "consolidation"]
CONSOLIDATION: Role = "consolidation"
ROLES: tuple[Role, ...] = ("encoding", "co-activation", "consolidation")


class Worker:
    """The pumps of one process; made by `opened`.

    Args:
        pumps: One for each role.
    """

    def __init__(self, pumps: Sequence[GroupPump]) -> None:
        self.pumps = pumps

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what is under way; the first pump that fails ends all.

        Raises:
            ConfigurationError: The log and a processor disagree, or Kafka refuses access.
            RetryLater: Kafka is away at the start.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                for pump in self.pumps:
                    tasks.create_task(pump.run(stopping), name=pump.group)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def ready(self) -> None:
        """Wait until every group has given this worker its share."""
        for pump in self.pumps:
            await pump.assigned.wait()


@asynccontextmanager
async def opened(
    config: Config,
    roles: Sequence[Role] = ROLES,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
    metrics: Metrics | None = None,
    tracing: Untraced = UNTRACED,
) -> AsyncIterator[Worker]:
    """Open log and store and put a worker together.

    Args:
        config: Where they are.
        roles: What it does.
        on_progress: Told after every applied batch.
        on_retry: Told whenever something is away and will be tried again.
        metrics: Where what it does is counted, or None.
        tracing: What makes spans of it.

    Raises:
        RetryLater: Kafka or the store is away.
        ConfigurationError: Topics or settings are missing, or the configuration disagrees with the log.
    """
    kafka = config.kafka()
    embedder = choose_embedder(config.embedder)
    sealing = fleet_sealing(config)
    async with await KafkaLog.open(kafka, TOPICS) as opened_log, open_store(config, embedder) as store:
        log = sealing.sealing(opened_log)
        settings = await agreed_settings(log, store, embedder, "this worker")
        erased = Erased()
        erasures = Erasures(log, erased)
        await erasures.look()
        names = {spec.base_name: (await log.partitions(spec.name))[0].topic for spec in TOPICS}
        meters = {role: meter_of(metrics, role) for role in roles}
        tracers = {role: tracing.pump(role, sealing.tenants) for role in roles}
        stores = {role: tracers[role].store(meter.store(store)) for role, meter in meters.items()}
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(watched(metrics, log=log, meters=list(meters.values())))
            index = stack.enter_context(_index(config))
            computing = next(iter(meters.values())).computing(embedder)
            vectors = stack.enter_context(recording(computing, log, wall_clock_ms, cache=None, index=index))
            model = config.asked_distiller() if CONSOLIDATION in roles else None
            watch = meters[CONSOLIDATION].distilling() if CONSOLIDATION in roles else None
            distiller = await stack.enter_async_context(distilling(model, log, wall_clock_ms, index=index, watch=watch))
            consolidation = partial(
                Consolidation, distiller=distiller, conversation_ends=conversation_ends(log), seal=sealing.seal
            )
            yield Worker(
                [
                    GroupPump(
                        kafka,
                        tracer.log(meter.log(log)),
                        stores[role],
                        tracer.processor(
                            meter.processor(
                                _processor(
                                    role,
                                    stores[role],
                                    settings,
                                    partial(
                                        Encoding,
                                        embedder=tracer.asking(meter.asking(vectors)),
                                        settings=settings,
                                        unsealer=sealing.unsealer(erased),
                                        erased=erased,
                                        look=erasures.look,
                                    ),
                                    consolidation,
                                )
                            )
                        ),
                        topics=[names[spec.base_name] for spec in READS[role]],
                        batch_records=config.batch_records
                        if role != CONSOLIDATION or model is None
                        else min(config.batch_records, model.batch_records),
                        interval_s=config.edge_interval_s if role == "co-activation" else 0.0,
                        session_timeout_s=config.session_timeout_s,
                        on_progress=tracer.noting(meter.noting(on_progress)),
                        on_retry=meter.noting_retries(on_retry),
                        on_assigned=meter.note_assigned,
                    )
                    for (role, meter), tracer in zip(meters.items(), tracers.values(), strict=True)
                ]
            )


@contextmanager
def _index(config: Config) -> Iterator[Path]:
    """Yield where this worker finds what models answered; a file of its own goes with it."""
    if config.effects_index is not None:
        yield config.effects_index
        return
    with tempfile.TemporaryDirectory(prefix="helamem-effects-") as folder:
        yield Path(folder) / "effects.sqlite"


async def agreed_settings(log: Log, store: MemoryStore, embedder: Embedder, who: str) -> Settings:
    """Return the settings in force in the log, once it is sure that log, store and configuration fit together.

    Args:
        log: The fleet's.
        store: The fleet's.
        embedder: What the configuration names.
        who: Is configured so.

    Raises:
        ConfigurationError: They do not.
        RetryLater: Kafka or the store is away.
    """
    settings = await settings_in_force(log, await store.load_checkpoints(ENCODING))
    if settings is None:
        raise ConfigurationError("the log has no settings yet; run: helamem topics apply")
    if settings.encoding.embedder != embedder.name:
        raise ConfigurationError(
            f"the log is embedded by {settings.encoding.embedder}, and {who} is configured for "
            f"{embedder.name}; set HELAMEM_EMBEDDER to what the log says"
        )
    await _refuse_older_generation(log, store)
    return settings


async def _refuse_older_generation(log: Log, store: MemoryStore) -> None:
    """Refuse a store that a migration of the log has left behind: it would be folded into a second time.

    Raises:
        ConfigurationError: It was.
    """
    (current, *_) = await log.partitions(CONVERSATIONS.name)
    number = generation_of(current.topic)
    generations = {generation_of(at.topic) for role in ROLES for at in await store.load_checkpoints(role)}
    if generations and number not in generations:
        raise ConfigurationError(
            f"the store stands in generation {max(generations)} of the log, and the log has moved on to {number}: it is"
            " not the store that was configured when topics were migrated; begin with an empty one, which is filled"
            " from the log"
        )


def _processor(
    role: Role,
    store: MemoryStore,
    settings: Settings,
    encoding: Callable[[MemoryStore], Encoding],
    consolidation: Callable[[MemoryStore], Consolidation],
) -> Processor:
    if role == "encoding":
        return encoding(store)
    if role == "co-activation":
        return CoActivation(store, settings)
    return consolidation(store)


@asynccontextmanager
async def open_store(
    config: Config, embedder: Embedder, language: str = "english", *, pinned: bool = True
) -> AsyncIterator[MemoryStore]:
    """Open the store that the configuration names.

    Args:
        config: Where it is.
        embedder: What gives its vectors.
        language: Of the keyword index.
        pinned: For whoever writes: on a Qdrant server what a worker has read belongs to one build. Who only reads goes
            on with the other build after a switch.

    Raises:
        RetryLater: It is away.
        ConfigurationError: It was made for another embedder, language or version.
    """
    if config.store == "process":
        remote = await RemoteStore.open(Path(config.store_home), dimension=embedder.dimension, language=language)
        try:
            yield remote
        finally:
            await remote.close()
        return
    kept = config.qdrant()
    store = await QdrantStore.open(
        qdrant_client(config),
        dimension=embedder.dimension,
        language=language,
        prefix=config.qdrant_prefix,
        settings=kept,
        pinned=pinned,
    )
    try:
        yield store
    finally:
        await store.close()


def qdrant_client(config: Config) -> AsyncQdrantClient:
    """Return a client of the Qdrant server that the configuration names."""
    return AsyncQdrantClient(
        url=config.qdrant_url,
        grpc_port=config.qdrant_grpc_port,
        api_key=None if config.qdrant_api_key is None else config.qdrant_api_key.get_secret_value(),
        prefer_grpc=True,
        timeout=config.qdrant_timeout_s,
        check_compatibility=False,  # the store looks at the version itself, and says so in one sentence
    )
