"""`Merging`: a process that merges the inlets of a fleet, beside any number of others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial

from helamem.schemas.errors import RetryLater
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.config import Config
from helamem.streams.fleet.group import Group
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.quotas import Quotas
from helamem.streams.inlet.merger import Merger, Taken, pause
from helamem.streams.inlet.rules import GROUP
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_generations import checked_topics
from helamem.streams.log.kafka_inlets import Inlets, delete_before, inlets_in
from helamem.streams.log.port import Log
from helamem.streams.metrics.measured_log import MeasuredLog
from helamem.streams.metrics.merging import MergeMeter
from helamem.streams.metrics.registry import Metrics
from helamem.streams.pump import Commit
from helamem.streams.sealing.fleet import fleet_sealing

LOOK_S = 5.0
"""How often it is looked whether there are other inlets."""
_log = logging.getLogger(__name__)


class Merging:
    """One process that merges.

    Args:
        config: Where the fleet is.
        keys: Know how much tenants may append.
        metrics: Where what it does is counted, or None.
        on_ready: Told the inlets that it shares with others, each time that these are shared out.
        on_taken: Told after every batch.
        on_retry: Told whenever something is away and will be tried again.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: The keys that seal words are not there.
    """

    def __init__(
        self,
        config: Config,
        keys: Keys,
        *,
        metrics: Metrics | None = None,
        on_ready: Callable[[Sequence[str]], None] = lambda inlets: None,
        on_taken: Callable[[Taken], None] = lambda taken: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
    ) -> None:
        self._config = config
        self._kafka = config.kafka()
        self._sealing = fleet_sealing(config)
        self._keys = keys
        self._quotas = Quotas(None, keys)
        self._metrics = metrics
        self._meter = MergeMeter(metrics)
        self._on_ready = on_ready
        self._on_taken = self._meter.noting(on_taken)
        self._on_retry = self._meter.noting_retries(on_retry)
        self._told: tuple[str, ...] = ()
        self.abandoned: list[str] = []
        """Partitions whose last batch waited or took too long when the work was stopped; others take it again."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Merge what inlets there are, and those that are made meanwhile, until `stopping` is set.

        Raises:
            ConfigurationError: Topics are missing, or Kafka refuses access or takes no records.
        """
        with contextlib.suppress(Stopped):
            while not stopping.is_set():
                await until_done(
                    partial(self._once, stopping), backoff=Backoff(), stopping=stopping, on_retry=self._on_retry
                )

    async def _once(self, stopping: asyncio.Event) -> None:
        """Merge the inlets that there are now, until there are others or a stop."""
        inlets = await self._look()
        specs = await checked_topics(self._kafka, TOPICS)
        ending = asyncio.Event()
        async with KafkaLog(self._kafka, (*specs, *inlets.sound)) as opened:
            log = self._sealing.sealing(opened)
            if self._metrics is not None:
                log = MeasuredLog(log, self._metrics)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch(inlets, stopping, ending))
                    try:
                        if inlets.sound:
                            await self._merge(log, inlets.sound, ending, tasks)
                        else:
                            self._on_ready(())
                            await ending.wait()
                    finally:
                        ending.set()
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None

    async def _merge(
        self, log: Log, inlets: Sequence[TopicSpec], ending: asyncio.Event, tasks: asyncio.TaskGroup
    ) -> None:
        names = [spec.name for spec in inlets]

        def merger(commit: Commit) -> Merger:
            return Merger(
                log,
                {spec.name: spec for spec in inlets},
                commit=commit,
                trim=partial(delete_before, self._kafka),
                keys=self._keys,
                quotas=self._quotas,
                sealed=self._sealing.tenants,
                batch_records=self._config.batch_records,
                on_taken=self._on_taken,
                on_behind=self._meter.note_behind,
                on_held=self._meter.note_held,
                on_retry=self._on_retry,
            )

        group = Group(
            self._kafka,
            GROUP,
            names,
            merger,
            session_timeout_s=self._config.session_timeout_s,
            on_assigned=lambda _: self._on_ready(names),
        )
        tasks.create_task(group.driver.trim(ending))
        try:
            await group.run(ending)
        finally:
            self.abandoned = [str(at) for at in group.abandoned]

    async def _watch(self, inlets: Inlets, stopping: asyncio.Event, ending: asyncio.Event) -> None:
        """End the work at a stop, and where there are other inlets."""
        while not ending.is_set():
            await pause(stopping, LOOK_S)
            if stopping.is_set():
                ending.set()
            with contextlib.suppress(RetryLater):  # whoever merges says it too
                if not ending.is_set() and await self._look() != inlets:
                    ending.set()

    async def _look(self) -> Inlets:
        found = await inlets_in(self._kafka)
        if found.faults != self._told:
            self._told = found.faults
            for fault in found.faults:
                _log.warning("an inlet is not merged: %s", fault)
        return found
