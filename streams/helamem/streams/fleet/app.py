"""The Faust application: the frame of every worker on Kafka, and where a platform adds agents of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.transport.conductor import Conductor
from faust.types import AppT, TopicT
from faust.types.transports import ConductorT
from mode import Service
from mode.types import ServiceT

from helamem.schemas.errors import ConfigurationError
from helamem.schemas.topics import (
    ACCESS,
    CHECKPOINTS,
    CONTROL,
    CONVERSATIONS,
    DEAD_LETTERS,
    EFFECTS,
    FACTS,
    HUBS,
    RECALLS,
    TOPICS,
    TopicSpec,
)
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.fleet.codec import RawSchema
from helamem.streams.fleet.faust_credentials import credentials_of
from helamem.streams.fleet.faust_leader import PartitionLeader
from helamem.streams.fleet.faust_services import Run, RunService
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings

_log = logging.getLogger("helamem.streams.fleet")  # under the name of this module Faust tells of its services

_HEARTBEATS = 4
"""Heartbeats in one session: three may be lost."""
_BUFFERED_RECORDS = 256
"""Most records that wait before an agent. Agents are for topics with few."""
_DAY_S = 86_400.0


class Topics(Conductor):
    """Faust's conductor of topics, with ours by name: `app.topics.facts`. Keys and values are bytes."""

    def __init__(self, app: AppT, specs: Sequence[TopicSpec], **options: Any) -> None:
        super().__init__(app, **options)
        self._handles = {spec.base_name: _handle(app, spec) for spec in specs}
        self._copies: list[tuple[TopicT, TopicT]] = []

    @property
    def conversations(self) -> TopicT:
        """`conversation.message`: a busy topic, whose records are for the pump."""
        return self.of(CONVERSATIONS)

    @property
    def recalls(self) -> TopicT:
        """`memory.recalled`, `memory.reinforced`: a busy topic, whose records are for the pump."""
        return self.of(RECALLS)

    @property
    def hubs(self) -> TopicT:
        """`memory.hub-formed`."""
        return self.of(HUBS)

    @property
    def facts(self) -> TopicT:
        """`knowledge.distilled`, `knowledge.retracted`."""
        return self.of(FACTS)

    @property
    def control(self) -> TopicT:
        """`memory.forgotten`, `memory.restored`."""
        return self.of(CONTROL)

    @property
    def dead_letters(self) -> TopicT:
        """`record.dead-lettered`."""
        return self.of(DEAD_LETTERS)

    @property
    def checkpoints(self) -> TopicT:
        """`checkpoint.signed`, from the archiver."""
        return self.of(CHECKPOINTS)

    @property
    def effects(self) -> TopicT:
        """`model.answered`: a busy topic, which is read by an index of its own."""
        return self.of(EFFECTS)

    @property
    def access(self) -> TopicT:
        """`space.accessed`, `key.changed`."""
        return self.of(ACCESS)

    def of(self, spec: TopicSpec) -> TopicT:
        """Return the topic of this kind; which generation of it is in use is looked up when the application starts.

        Raises:
            ConfigurationError: The application was built without it.
        """
        try:
            return self._handles[spec.base_name]
        except KeyError:
            raise ConfigurationError(
                f"this application knows no topic {spec.base_name}; give its spec to build_app"
            ) from None

    def unacknowledged(self, topic: TopicT) -> TopicT:
        """Return the topic for an agent whose position Faust does not commit; see faust_offsets.

        It is no `clone`: that makes the topic's queue at once and so ties the application to an event loop, and one
        that never runs where the application is made in a module, before `asyncio.run`.
        """
        copy = topic.app.topic(
            topic.get_topic_name(), schema=topic.schema, partitions=topic.partitions, acks=False, internal=False
        )
        self._copies.append((topic, copy))
        return copy

    def take_names(self, names: Mapping[str, str]) -> None:
        """Give the topics the names that they have in the generation in use, by base name; before anything reads."""
        for base_name, handle in self._handles.items():
            handle.topics = [names[base_name]]
        for topic, copy in self._copies:
            copy.topics = topic.topics


class _Boot(BootStrategy):
    """Starts a consumer only where an agent reads: with nothing to subscribe to, Faust's would end the worker."""

    def _should_enable_kafka_consumer(self) -> bool:
        return bool(self.app.agents)

    def _should_enable_kafka_producer(self) -> bool:
        return bool(self.app.agents)


class FleetApp(faust.App):
    """The application of `build_app`.

    Attributes:
        kafka: How it reaches Kafka.
        drain_s: How long work under way may take when a partition or the worker is let go.
        claimed: Which agent commits the position of which topic.
    """

    BootStrategy = _Boot

    def __init__(
        self,
        id: str,  # noqa: A002 - Faust's own word
        *,
        kafka: KafkaSettings,
        specs: Sequence[TopicSpec],
        services: Iterable[Service | Run],
        drain_s: float,
        **options: Any,
    ) -> None:
        self.kafka = kafka
        self.specs = tuple(specs)
        self.drain_s = drain_s
        self.claimed: dict[TopicT, str] = {}
        self._opened: KafkaLog | None = None
        super().__init__(id, **options)
        self._services = [self._service(service) for service in services]
        self.agents_assigned = asyncio.Event()
        """Set once the agents have been given their share of the partitions, be it nothing."""
        self.on_partitions_assigned.connect(self._note_assigned)

    def run_beside(self, service: Service | Run) -> None:
        """Have something run beside the agents, as `services` of `build_app`; before the application is started."""
        self._services.append(self._service(service))

    @cached_property
    def topics(self) -> Topics:
        """Our topics by name, and what Faust itself knows of subscriptions."""
        return Topics(self, self.specs, beacon=None)

    @property
    def kafka_log(self) -> KafkaLog:
        """The log, while the application runs and has agents."""
        if self._opened is None:
            raise RuntimeError("the log is open only while an application with agents runs")
        return self._opened

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Return what is started with the application; services do not wait until the agents have their partitions."""
        return [*super().on_init_dependencies(), *self._services]

    async def on_start(self) -> None:
        """Look whether the topics are there before anything reads.

        Raises:
            ConfigurationError: One is missing or has another number of partitions, or two agents share one.
        """
        self._refuse_shared_topics()
        if self.agents:
            self._opened = await self._open_log()
            partitions = [await self._opened.partitions(spec.name) for spec in self.specs]
            self.topics.take_names(
                {spec.base_name: at[0].topic for spec, at in zip(self.specs, partitions, strict=True)}
            )
        await super().on_start()

    async def on_stop(self) -> None:
        """Let services and agents finish what is under way, side by side."""
        await asyncio.gather(super().on_stop(), *(service.stop() for service in self._services))

    async def on_shutdown(self) -> None:
        """Close the log, when all who append to it have ended."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def _open_log(self) -> KafkaLog:
        """Return the log, as soon as Kafka answers."""
        stopping = asyncio.Event()
        try:
            return await until_done(
                lambda: KafkaLog.open(self.kafka, self.specs),
                backoff=Backoff(),
                stopping=stopping,
                on_retry=lambda error: stopping.set() if self.should_stop else _log.warning("%s", error),
            )
        except Stopped as stopped:
            raise asyncio.CancelledError from stopped

    def _refuse_shared_topics(self) -> None:
        for topic, claimant in self.claimed.items():
            for agent in self.agents.values():
                if agent.name != claimant and topic.get_topic_name() in agent.get_topic_names():
                    raise ConfigurationError(
                        f"the agents {claimant} and {agent.name} both read {topic.get_topic_name()}, but an application"
                        " has one position in each partition; give one of them an application of its own, by another"
                        " name"
                    )

    def _service(self, service: Service | Run) -> Service:
        if isinstance(service, Service):
            return service
        named = service.func if isinstance(service, partial) else service
        return RunService(service, name=getattr(named, "__qualname__", type(named).__name__), drain_s=self.drain_s)

    async def _note_assigned(self, *_: object, **__: object) -> None:
        self.agents_assigned.set()

    def _new_conductor(self) -> ConductorT:
        return self.topics

    def _create_directories(self) -> None:
        """Make none: an application without tables keeps nothing on the disk."""


def build_app(
    kafka: KafkaSettings,
    topics: Sequence[TopicSpec] = TOPICS,
    *,
    name: str = "helamem",
    services: Iterable[Service | Run] = (),
    session_timeout_s: float = 30.0,
    rebalance_timeout_s: float = 60.0,
    drain_s: float = 20.0,
) -> FleetApp:
    """Return the application of a worker. It starts no web server, has no tables and makes no topics.

    Args:
        kafka: How to reach Kafka.
        topics: The topics; those of helamem are read in the generation in use.
        name: The consumer group of its agents. All workers of one name have the same agents.
        services: What runs beside the agents: services of `mode`, or `run(stop)` functions. When one fails for good,
            the worker ends.
        session_timeout_s: How long a worker may be silent before its partitions go to others.
        rebalance_timeout_s: How long a worker may take to let go of its partitions. It must exceed `drain_s`.
        drain_s: How long work under way may take when it has to end.

    Raises:
        ConfigurationError: The settings contradict each other.
    """
    if drain_s >= rebalance_timeout_s:
        raise ConfigurationError(
            f"work under way may take {drain_s:g} s to end, but partitions go to others after {rebalance_timeout_s:g};"
            " lower drain_s or raise rebalance_timeout_s"
        )
    return FleetApp(
        name,
        kafka=kafka,
        specs=topics,
        services=services,
        drain_s=drain_s,
        broker=";".join(f"kafka://{server.strip()}" for server in kafka.bootstrap_servers.split(",")),
        broker_client_id=kafka.client_id,
        broker_credentials=credentials_of(kafka),
        broker_session_timeout=session_timeout_s,
        broker_heartbeat_interval=session_timeout_s / _HEARTBEATS,
        broker_rebalance_timeout=rebalance_timeout_s,
        # Joining a group takes as long as its slowest member takes to let go.
        broker_request_timeout=rebalance_timeout_s + session_timeout_s,
        # A handler may take its time: it is the heartbeats that say that a worker lives.
        broker_max_poll_interval=_DAY_S,
        stream_processing_timeout=_DAY_S,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=max(spec.max_record_bytes for spec in topics) * 2,
        producer_compression_type=None if kafka.compression == "none" else kafka.compression,
        stream_buffer_maxsize=_BUFFERED_RECORDS,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        LeaderAssignor=PartitionLeader,
        # Without standby tables Faust takes Kafka's round robin: topics need not have as many partitions each.
        table_standby_replicas=0,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


def _handle(app: AppT, spec: TopicSpec) -> TopicT:
    return app.topic(
        spec.name,
        schema=RawSchema(key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"),
        partitions=spec.partitions,
        retention=None if spec.retention_ms < 0 else spec.retention_ms / 1000,
        compacting=False,
        internal=False,
    )
