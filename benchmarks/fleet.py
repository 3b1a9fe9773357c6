"""A fleet to measure: a real Kafka, the store process, and workers as processes of their own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka.admin import AIOKafkaAdminClient

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import TOPICS
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.store_process.client import RemoteStore

sys.path.append(str(Path(__file__).parents[1] / "tests"))  # where the broker comes from is written down there

from fixtures.kafka import Kafka, start_broker

WAIT_S = 120.0
SESSION_S = 20
"""Longer than a worker is ever frozen here. A worker notices a rebalance within a quarter of it."""
SHARED_S = SESSION_S / 4 + 3
"""How long after the last worker was ready the partitions are shared out: the first was ready with all of them."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@contextmanager
def broker() -> Iterator[Kafka]:
    """Run Kafka.

    Raises:
        SystemExit: None can be had here; the text says why.
    """
    started = start_broker()
    if isinstance(started, str):
        raise SystemExit(started)
    try:
        yield started
    finally:
        started.close(keep_logs=None)


class Process:
    """A process of the fleet, and how much of the processors it has used."""

    def __init__(self, process: subprocess.Popen[bytes], name: str) -> None:
        self.name = name
        self._process = process

    @property
    def cpu_s(self) -> float:
        """Seconds of processor time so far, of all its threads."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def freeze(self) -> None:
        """Stop it where it is; it keeps its place in the group."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """End it in good order, or at once where that takes too long."""
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(WAIT_S / 2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Fail where it has ended."""
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"{self.name} ended with {code}")


class Fleet:
    """Empty topics, an empty store and its workers; made by `fleet`."""

    def __init__(self, servers: str, folder: Path, stack: ExitStack) -> None:
        self.settings = KafkaSettings(bootstrap_servers=servers)
        self.workers: list[Process] = []
        self._home = folder / "store"
        self._folder = folder
        self._stack = stack
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("HELAMEM_")} | {
            "HELAMEM_KAFKA_SERVERS": servers,
            "HELAMEM_STORE_HOME": str(self._home),
            "HELAMEM_SESSION_TIMEOUT_S": str(SESSION_S),
        }
        self.command("topics", "apply")
        self.store = self.start("store", "store", "--home", self._home)

    def command(self, *arguments: object) -> None:
        """Run a command to its end."""
        subprocess.run(
            _command(*arguments), env=self._environment, cwd=self._folder, check=True, stdout=subprocess.DEVNULL
        )

    def start(self, name: str, *arguments: object) -> Process:
        """Start a command; it ends with the fleet."""
        started = subprocess.Popen(
            _command(*arguments),
            env=self._environment,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        process = Process(started, name)
        self._stack.callback(process.end)
        return process

    async def connect(self) -> RemoteStore:
        """Connect to the store process, once it serves."""
        while True:
            try:
                return await RemoteStore.open(self._home, dimension=WordLlamaEmbedder.dimension)
            except RetryLater:
                self.store.check()
                await asyncio.sleep(0.1)

    async def work(self, part: str, count: int) -> None:
        """Start workers and wait until each has its share."""
        files = []
        for number in range(count):
            files.append(self._folder / f"ready-{number}")
            self.workers.append(self.start(f"worker {number}", "worker", part, "--ready-file", files[-1]))
        deadline = time.monotonic() + WAIT_S
        while not all(file.exists() for file in files):
            for worker in self.workers:
                worker.check()
            if time.monotonic() > deadline:
                raise RuntimeError("the workers were not ready in time")
            await asyncio.sleep(0.05)
        if count > 1:
            await asyncio.sleep(SHARED_S)

    async def append(self, records: Sequence[NewRecord]) -> None:
        """Append records in large batches."""
        async with await KafkaLog.open(self.settings, TOPICS) as log:
            for start in range(0, len(records), 1000):
                await log.append(records[start : start + 1000])

    def processes(self) -> list[Process]:
        """Return the store and the workers."""
        return [self.store, *self.workers]


@asynccontextmanager
async def fleet(servers: str) -> AsyncIterator[Fleet]:
    """Make topics and a store, and take all of it away in the end."""
    await _clear(servers)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        yield Fleet(servers, Path(folder), stack)


async def _clear(servers: str) -> None:
    """Delete our topics, and with them the positions of our groups."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        names = {spec.name for spec in TOPICS}
        if there := sorted(names.intersection(await admin.list_topics())):
            await admin.delete_topics(there)
        while names.intersection(await admin.list_topics()):  # noqa: ASYNC110 - Kafka tells nobody when it is done
            await asyncio.sleep(0.1)
    finally:
        await admin.close()


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "helamem.streams.cli", *map(str, arguments)]
