"""Starts workers as processes, gives them events, and reads back what they committed and noted."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from contracts.log_contract import read_all
from fakes.events import event
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import KnowledgeRetracted, RecordDeadLettered
from helamem.schemas.ids import fact_id
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import DEAD_LETTERS, FACTS
from helamem.schemas.wire import decode, encode
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from streams.fleet.faust_program import Part, Topic

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("faust_program.py")
WAIT_S = 60.0


def own_generation() -> int:
    """Return a generation of a topic that no other test uses."""
    return int(uuid.uuid4().int % 10**9) + 10


class Workers:
    """A topic of facts of its own, a group of its own, and the workers of that group."""

    def __init__(self, servers: str, directory: Path, log: KafkaLog, part: Part, facts: str) -> None:
        self.servers = servers
        self.directory = directory
        self.log = log
        self.part = part
        self.facts = facts
        self.read = [facts]
        """The topics that the group reads."""
        self.processes: list[subprocess.Popen[bytes]] = []

    @classmethod
    async def prepared(
        cls, servers: str, directory: Path, *, partitions: int = 1, others: Sequence[Topic] = ()
    ) -> Self:
        topics = (
            Topic(base_name=FACTS.base_name, partitions=partitions, generation=own_generation()),
            Topic(base_name=DEAD_LETTERS.base_name, partitions=1, generation=1),
            *others,
        )
        settings = KafkaSettings(bootstrap_servers=servers)
        specs = [topic.spec() for topic in topics]
        await apply_topics(settings, [*specs[:1], DEAD_LETTERS, *specs[2:]], replication=1)
        log = await KafkaLog.open(settings, [specs[0], DEAD_LETTERS, *specs[2:]])
        part = Part(servers=servers, group=f"faust-{uuid.uuid4().hex[:8]}", topics=topics, directory=str(directory))
        return cls(servers, directory, log, part, specs[0].name)

    async def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        await self.log.close()

    def start(self, **changes: Any) -> subprocess.Popen[bytes]:
        """Start a worker."""
        part = msgspec.structs.replace(self.part, **changes)
        roots = [str(ROOT / root) for root in ("schemas", "processors", "streams", "tests")]
        with (self.directory / f"worker-{len(self.processes)}.log").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(PROGRAM), msgspec.json.encode(part).decode()],
                env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
                stdout=output,
                stderr=output,
                cwd=self.directory,
            )
        self.processes.append(process)
        return process

    def said(self, worker: int = 0) -> str:
        return (self.directory / f"worker-{worker}.log").read_text()

    async def give(self, *reasons: str | bytes, partition: int = 0, prefix: str = "e") -> list[str]:
        """Append an event for each reason, or the bytes as they are; return the events' ids."""
        ids = []
        records = []
        for number, reason in enumerate(reasons):
            id_ = f"{prefix}{number}"
            value = reason
            if isinstance(reason, str):
                ids.append(id_)
                data = KnowledgeRetracted(fact_id=fact_id("acme/anna", "fact", id_), reason=reason)
                value = encode(event(id_, data))
            assert isinstance(value, bytes)
            records.append(NewRecord(topic=self.facts, key=b"acme/anna", value=value, partition=partition))
        await self.log.append(records)
        return ids

    def notes(self, what: str) -> Counter[str]:
        """Return how often each event (or pid, for a tick) was noted."""
        file = self.directory / "notes"
        lines = file.read_text().splitlines() if file.exists() else []
        found: Counter[str] = Counter()
        for line in lines:
            pid, noted, which = line.split(" ", 2)
            if noted == what:
                found[pid if which == "-" else which] += 1
        return found

    async def committed(self, partition: int = 0) -> int:
        at = TopicPartition(self.facts, partition)
        return (await self.log.committed(self.part.group)).get(at, 0)

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the ends of all partitions in which there is something."""
        partitions = [at for topic in self.read for at in await self.log.partitions(topic)]
        return {at: end for at, end in (await self.log.end_offsets(partitions)).items() if end}

    async def drained(self) -> None:
        """Wait until the group has committed the end of every partition."""

        async def reached() -> bool:
            return await self.log.committed(self.part.group) == await self.ends()

        await self.until(reached, "everything to be committed")

    async def dead(self) -> list[RecordDeadLettered]:
        """Return every dead letter of this group's agent, doubles and all."""
        at = TopicPartition(DEAD_LETTERS.name, 0)
        events = [decode(record.value).data for record in await read_all(self.log, at)]
        return [e for e in events if isinstance(e, RecordDeadLettered) and e.group == self.part.group]

    def pids(self, what: str) -> set[int]:
        """Return which workers noted something."""
        lines = (self.directory / "notes").read_text().splitlines()
        return {int(pid) for pid, noted, _ in (line.split(" ", 2) for line in lines) if noted == what}

    async def until(self, reached: Callable[[], Awaitable[bool]], what: str, wait_s: float = WAIT_S) -> None:
        deadline = time.monotonic() + wait_s
        while not await patiently(reached):
            for number, process in enumerate(self.processes):
                code = process.poll()
                assert code in (None, 0, -signal.SIGKILL), f"worker {number} ended with {code}: {self.said(number)}"
            assert time.monotonic() < deadline, f"waited in vain for {what}; the first worker said: {self.said()}"
            await asyncio.sleep(0.1)

    async def noted(self, what: str, which: str, times: int = 1) -> None:
        async def reached() -> bool:
            return self.notes(what)[which] >= times

        await self.until(reached, f"{what} {which}")

    async def ended(self, process: subprocess.Popen[bytes], wait_s: float = WAIT_S) -> int:
        return await asyncio.to_thread(process.wait, wait_s)


async def patiently(reached: Callable[[], Awaitable[bool]]) -> bool:
    """Return whether it is reached; while the broker is away nothing is."""
    try:
        return await reached()
    except RetryLater:
        return False
