"""A fleet in which nothing is left to do, without the workers that would have done it."""

from __future__ import annotations

from pathlib import Path

from fakes.events import distilled, record
from fakes.words import wordllama
from helamem.schemas.settings import Settings
from helamem.schemas.topics import TOPICS, TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_configs import TopicConfig, configs_of
from helamem.streams.log.kafka_generations import generations, in_use
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client, apply_topics
from helamem.streams.migrate.migration import cancel, migrate
from helamem.streams.migrate.states import States
from helamem.streams.settings_log import apply_settings
from helamem.streams.store_process.client import RemoteStore

SESSION_S = 3.0


class IdleFleet:
    """Kafka with all topics, and a store that says that everything was processed.

    Args:
        settings: How to reach Kafka.
        home: Whose store is served.
    """

    def __init__(self, settings: KafkaSettings, home: Path) -> None:
        self.settings = settings
        self._home = home

    async def begin(self) -> None:
        """Make topics with settings."""
        await apply_topics(self.settings, TOPICS, replication=1)
        async with await KafkaLog.open(self.settings, TOPICS) as log:
            await apply_settings(log, Settings(), wall_clock_ms)
        await self.processed()

    async def processed(self) -> None:
        """Have the store say that all is processed, as workers would have it say."""
        specs = await in_use(self.settings)
        async with KafkaLog(self.settings, specs) as log:
            ends = await log.end_offsets([at for spec in specs for at in await log.partitions(spec.name)])
        store = await self._store()
        for checkpoint in States(Settings(), {}, {}).checkpoints(specs, ends):
            await store.save_checkpoint(checkpoint)
        await store.close()

    async def distil(self, *names: str) -> None:
        """Append facts of several spaces."""
        async with await KafkaLog.open(self.settings, TOPICS) as log:
            await log.append([record(distilled(name, "tea", space=f"t/{name}")) for name in names])

    async def states(self) -> list[str]:
        """Return the state of each generation."""
        return [one.state for one in await generations(self.settings)]

    async def cancel(self) -> int:
        """Give up what was begun."""
        return await cancel(self.settings, session_timeout_s=SESSION_S)

    async def migrate(self, partitions: int) -> int:
        """Migrate and return the new generation."""
        store = await self._store()
        try:
            done = await migrate(self.settings, store, partitions, replication=1, session_timeout_s=SESSION_S)
        finally:
            await store.close()
        return done.generation

    async def config(self, spec: TopicSpec, generation: int) -> TopicConfig:
        """Return what is configured of a topic."""
        async with admin_client(self.settings, "looking") as admin:
            name = f"{spec.base_name}.g{generation}"
            return (await configs_of(admin, [name]))[name]

    async def _store(self) -> RemoteStore:
        return await RemoteStore.open(self._home, dimension=wordllama().dimension)
