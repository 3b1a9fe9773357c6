"""A broker without topics of the product, and the fleet's commands as processes of their own."""

from __future__ import annotations

import asyncio
import queue
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from fixtures.kafka import Kafka, kafka, own_kafka
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import TOPICS
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_settings import KafkaSettings
from streams.cli.shell import Ran, run, start
from streams.store_process.process import StoreProcess

__all__ = ["fleet", "kafka", "own_kafka"]

WAIT_S = 60.0


class Worker:
    """`helamem worker`, with what it says.

    Args:
        arguments: Of the command.
        program: Another program than the command line.
    """

    command = "worker"

    def __init__(self, *arguments: object, program: Sequence[str] = ("-m", "helamem.streams.cli")) -> None:
        self.process = start(self.command, *arguments, program=program)
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self._lines.put(line)

    def says(self, words: str) -> str:
        """Wait for a line with these words."""
        deadline = time.monotonic() + WAIT_S
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"the {self.command} ({self.process.poll()}) did not say {words!r} but {self.said}")
            self.said.append(line)
            if words in line:
                return line

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Ran:
        """End it in good order; what it said includes what nobody waited for."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> Ran:
        """Wait for its end."""
        assert self.process.stdout is not None
        with self.process.stdout as stdout:
            out = stdout.read()
        code = self.process.wait(WAIT_S)
        self._listening.join(WAIT_S)
        while not self._lines.empty():
            self.said.append(self._lines.get())
        return Ran(code, out, "".join(self.said))


class Merger(Worker):
    """`helamem merge`, likewise."""

    command = "merge"


class Fleet:
    """Kafka, and a home for the store process."""

    def __init__(self, broker: Kafka, home: Path) -> None:
        self.broker = broker
        self.home = home
        self.store = StoreProcess(home, options=())
        self.workers: list[Worker] = []

    def worker(self, *arguments: object, **options: Any) -> Worker:
        """Start a worker."""
        worker = Worker(*(arguments or ("all",)), **options)
        self.workers.append(worker)
        return worker

    def ready_worker(self, *arguments: object, **options: Any) -> Worker:
        """Start a worker and wait until it says that it is ready."""
        worker = self.worker(*arguments, **options)
        worker.says("ready: ")
        return worker

    def merger(self, *arguments: object) -> Worker:
        """Start a process that merges inlets."""
        self.workers.append(Merger(*arguments))
        return self.workers[-1]

    def lag(self, group: str | None = None) -> int:
        """Return what `helamem lag` says, of one group or of all."""
        ran = run("lag", "--kafka")
        assert (ran.code, ran.err) == (0, "")
        return int(ran.json["lag"] if group is None else ran.json["groups"][group])

    def next_commit(self, group: str) -> None:
        """Wait until a group commits a position, asking often enough to be there when little else is done."""

        async def wait() -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.servers)
            await admin.start()
            try:
                before = await admin.list_consumer_group_offsets(group)
                deadline = time.monotonic() + WAIT_S
                while await admin.list_consumer_group_offsets(group) == before:
                    assert time.monotonic() < deadline, f"{group} committed nothing"
                    await asyncio.sleep(0.01)
            finally:
                await admin.close()

        asyncio.run(wait())

    def catch_up(self, group: str | None = None) -> None:
        """Wait until nothing is left to do, twice in a row: what was done may have caused more."""
        deadline = time.monotonic() + WAIT_S
        still = 0
        while still < 2:
            assert time.monotonic() < deadline, f"left: {run('lag', '--kafka').out}"
            still = still + 1 if self.lag(group) == 0 else 0

    def digest(self) -> str:
        """Return the digest of the store, once all is processed."""
        self.catch_up()
        ran = run("digest", "--kafka")
        assert (ran.code, ran.err) == (0, "")
        return str(ran.json["digest"])

    def append(self, *records: NewRecord) -> None:
        """Append what no command would."""

        async def append() -> None:
            async with await KafkaLog.open(KafkaSettings(bootstrap_servers=self.broker.servers), TOPICS) as log:
                await log.append(records)

        asyncio.run(append())

    def close(self) -> None:
        """End what still runs."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.process.kill()
                worker.wait()
        self.store.kill()


@pytest.fixture
def fleet(own_kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Kafka without our topics, before and after; the environment leads every command there."""
    with fleet_on(own_kafka, tmp_path, monkeypatch) as fleet:
        yield fleet


@contextmanager
def fleet_on(broker: Kafka, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """Do what the fixture `fleet` does, for a fixture that lives longer."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HELAMEM_KAFKA_SERVERS", broker.servers)
    monkeypatch.setenv("HELAMEM_STORE_HOME", str(folder / "store"))
    monkeypatch.setenv("HELAMEM_SESSION_TIMEOUT_S", "3")
    asyncio.run(_clear(broker.servers))
    fleet = Fleet(broker, folder / "store")
    try:
        yield fleet
    finally:
        fleet.close()
        broker.resume()
        broker.start()
        asyncio.run(_clear(broker.servers))


async def _clear(servers: str) -> None:
    """Delete our topics, of all generations, and inlets, and with them the positions of our groups."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        ours = ("helamem.inlet.", *(f"{spec.base_name}.g" for spec in TOPICS))
        if there := sorted(name for name in await admin.list_topics() if name.startswith(ours)):
            await admin.delete_topics(there)
        deadline = time.monotonic() + WAIT_S
        while any(name.startswith(ours) for name in await admin.list_topics()):
            assert time.monotonic() < deadline, "Kafka did not delete our topics"
            await asyncio.sleep(0.1)
    finally:
        await admin.close()
