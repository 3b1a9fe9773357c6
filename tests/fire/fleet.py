"""Broker, store, workers and producer, each a process of its own, and what can be done to them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fakes.words import wordllama
from fire.process import Process
from fire.schedule import SESSION_TIMEOUT_S, Disturbance
from fixtures.kafka import Kafka
from helamem.processors.coactivation.processor import GROUP as COACTIVATION
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONTROL, CONVERSATIONS, FACTS, HUBS, RECALLS, TOPICS, TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from helamem.streams.settings_log import apply_settings
from helamem.streams.store_process.client import RemoteStore

READS: dict[str, tuple[TopicSpec, ...]] = {
    ENCODING: (CONVERSATIONS, FACTS, CONTROL),
    COACTIVATION: (RECALLS,),
    CONSOLIDATION: (HUBS,),
}
"""What each group reads."""
DRAINED_S = 240.0
"""How long it may take, once everything runs again, until there is nothing left to do."""
STARTED_S = 180.0
_LOOK_S = 0.5
_STABLE_LOOKS = 4
BATCH_RECORDS = 300
"""Small, so that there are many moments at which something can be interrupted."""


class Fleet:
    """A broker with topics and settings, a store process, and workers that come and go; made by `fleet`.

    Args:
        broker: Of this test alone.
        directory: Where the store and all logs are.
    """

    def __init__(self, broker: Kafka, directory: Path) -> None:
        self.broker = broker
        self.directory = directory
        self.settings = KafkaSettings(bootstrap_servers=broker.servers)
        self.home = directory / "home"
        self.store = Process("store", ["-m", "helamem.streams.cli", "store", "--home", self.home], directory, {})
        self.workers: dict[int, Process] = {}
        self._others: list[Process] = []
        self._broker_turn = asyncio.Lock()
        self._environment = {
            "HELAMEM_KAFKA_SERVERS": broker.servers,
            "HELAMEM_STORE_HOME": self.home,
            "HELAMEM_SESSION_TIMEOUT_S": SESSION_TIMEOUT_S,
            "HELAMEM_BATCH_RECORDS": BATCH_RECORDS,
        }

    @property
    def acknowledged(self) -> Path:
        """Where the producer writes down what was acknowledged."""
        return self.directory / "acknowledged"

    def worker(self, number: int) -> Process:
        """Return a worker, whether it runs or not."""
        arguments = ["-m", "helamem.streams.cli", "worker", "all"]
        if number not in self.workers:
            self.workers[number] = Process(f"worker-{number}", arguments, self.directory, self._environment)
        return self.workers[number]

    def marked(self, mark: str) -> Process:
        """Return a worker of one group that will stop itself at a step: `GROUP STEP`."""
        name = f"marked-{mark.replace(' ', '-')}"
        process = Process(name, ["-m", "fire.marked_worker", *mark.split()], self.directory, self._environment)
        self._others.append(process)
        return process

    def produce(self, seed: int, most_ahead: int, *, pause_s: float = 0.0) -> Process:
        """Start the producer; with a pause there is less to look at in the end."""
        arguments = ["-m", "fire.producer", self.acknowledged, seed, most_ahead, pause_s]
        process = Process("producer", arguments, self.directory, self._environment)
        self._others.append(process)
        process.start()
        return process

    async def disturb(self, disturbance: Disturbance) -> None:
        """Do what a disturbance says, and set it right after the time that it names."""
        match disturbance.kind.split("-"):
            case ["kill" | "freeze" as what, "broker"]:
                async with self._broker_turn:
                    await asyncio.to_thread(self.broker.kill if what == "kill" else self.broker.pause)
                    await asyncio.sleep(disturbance.lasts_s)
                    await asyncio.to_thread(self.broker.start if what == "kill" else self.broker.resume)
            case ["add", _]:
                process = self.worker(disturbance.worker)
                async with process.turn:
                    process.start()
            case ["remove", _]:
                process = self.worker(disturbance.worker)
                async with process.turn:
                    await process.end()
            case [what, who]:
                process = self.store if who == "store" else self.worker(disturbance.worker)
                async with process.turn:
                    await _interrupt(process, what, disturbance.lasts_s)

    async def drained(self, log: KafkaLog, within_s: float = DRAINED_S) -> None:
        """Wait until every group has processed all that there is, and nothing new follows from it.

        Raises:
            AssertionError: It took too long; says what is still missing.
        """
        deadline = time.monotonic() + within_s
        stable = 0
        before: dict[TopicPartition, int] = {}
        missing = "everything: Kafka was never reached"
        while stable < _STABLE_LOOKS:
            assert time.monotonic() < deadline, f"after {within_s:.0f} s there is still to do: {missing}{self.troubles}"
            await asyncio.sleep(_LOOK_S)
            try:
                ends, left = await self.left(log)
            except RetryLater as error:
                stable, missing = 0, f"Kafka does not tell: {error}"
                continue
            stable = stable + 1 if not left and ends == before else 0
            before = ends
            missing = "; ".join(left) or "nothing, but the log still grows"

    async def left(self, log: KafkaLog) -> tuple[dict[TopicPartition, int], list[str]]:
        """Return the ends of all partitions, and what each group has still to process, in words."""
        committed = {group: await log.committed(group) for group in READS}
        ends = await log.end_offsets([at for spec in TOPICS for at in await log.partitions(spec.name)])
        read = {group: {spec.name for spec in specs} for group, specs in READS.items()}
        left = [
            f"{group} is at {committed[group].get(at, 0)} of {end} in {at}"
            for group in READS
            for at, end in ends.items()
            if at.topic in read[group] and committed[group].get(at, 0) != end
        ]
        return ends, left

    @property
    def processes(self) -> Sequence[Process]:
        """All that were ever started, but the broker."""
        return [*self._others, *self.workers.values(), self.store]

    @property
    def troubles(self) -> str:
        """What processes did that nobody asked for, in words, or nothing."""
        return "".join(f"\n{problem}" for process in self.processes for problem in process.problems)

    async def remote(self) -> RemoteStore:
        """Return the store as the workers see it, once it is served: it may just have been started."""
        deadline = time.monotonic() + STARTED_S
        while True:
            try:
                return await RemoteStore.open(self.home, dimension=wordllama().dimension)
            except RetryLater:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_LOOK_S)

    async def close(self) -> None:
        """End everything at once."""
        for process in self.processes:
            await process.close()


async def _interrupt(process: Process, what: str, lasts_s: float) -> None:
    if what == "freeze":
        process.freeze()
        await asyncio.sleep(lasts_s)
        process.thaw()
        return
    await (process.kill() if what == "kill" else process.end())
    await asyncio.sleep(lasts_s)
    process.start()


@asynccontextmanager
async def fleet(broker: Kafka, settings: Settings | None = None) -> AsyncIterator[tuple[Fleet, KafkaLog]]:
    """Start a store over empty topics, and end everything in the end; logs are kept where something failed.

    Args:
        broker: Of this test alone; its log is not kept here.
        settings: In force from the beginning.
    """
    directory = Path(tempfile.mkdtemp(prefix="helamem-fire-"))
    running = Fleet(broker, directory)
    running.acknowledged.touch()
    try:
        await apply_topics(running.settings, TOPICS, replication=1)
        async with await KafkaLog.open(running.settings, TOPICS) as log:
            await apply_settings(log, settings or Settings(), wall_clock_ms)
            running.store.start()
            await running.store.says("serving the store", STARTED_S)
            try:
                yield running, log
            finally:
                await running.close()
    except BaseException:
        print(f"the logs of all processes and the store are kept in {directory}")  # noqa: T201 - for who looks at it
        raise
    shutil.rmtree(directory)
