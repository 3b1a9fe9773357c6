"""`SqliteLog` when its process is killed, its disk is full, and when other processes read along."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from contracts.log_contract import read_all
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog

TOPIC = TopicSpec(base_name="test.crash", key="anything", events=(), partitions=3)

APPENDER = """
import asyncio, random, sys, zlib
from pathlib import Path
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog

topic = TopicSpec(base_name="test.crash", key="anything", events=(), partitions=3)
rng = random.Random(int(sys.argv[2]))

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]), [topic], wall_clock_ms)
    async def appender(name):
        for n in range(int(sys.argv[3])):
            values = []
            for _ in range(rng.choice((1, 3, 200))):
                body = rng.randbytes(rng.choice((10, 400, 9000)))
                values.append(zlib.crc32(body).to_bytes(4) + body)
            key = b"%d" % rng.randrange(50)
            places = await log.append([NewRecord(topic=topic.name, key=key, value=v) for v in values])
            for (at, offset), value in zip(places, values):
                print(at.partition, offset, value[:4].hex())
            sys.stdout.flush()
    await asyncio.gather(*(appender(name) for name in range(4)))
    await log.close()

asyncio.run(main())
"""


def start(script: str, *arguments: object) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


async def test_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    """Killed at random points, again and again: every acknowledged record is there, none is torn, none is missing."""
    rng = random.Random(20)
    acknowledged: dict[tuple[int, int], str] = {}
    for seed in range(5):
        process = start(APPENDER, path, seed, 10_000)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(rng.randrange(1, 4000))]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        for line in lines:
            if line.endswith(b"\n"):
                partition, offset, checksum = line.decode().split()
                assert acknowledged.setdefault((int(partition), int(offset)), checksum) == checksum
        async with await SqliteLog.open(path, [TOPIC], wall_clock_ms) as log:
            found = {}
            for at in await log.partitions(TOPIC.name):
                records = await read_all(log, at)
                assert [record.offset for record in records] == list(range(len(records)))
                for record in records:
                    assert record.value[:4] == zlib.crc32(record.value[4:]).to_bytes(4)
                    found[at.partition, record.offset] = record.value[:4].hex()
            assert acknowledged.items() <= found.items()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_a_reader_in_another_process_sees_what_is_appended(path: Path) -> None:
    """A reader follows a log that another process writes, from the first record to the last."""
    await (await SqliteLog.open(path, [TOPIC], wall_clock_ms)).close()
    async with await SqliteLog.open(path, [TOPIC], wall_clock_ms, read_only=True) as reader:
        process = start(APPENDER, path, 1, 20)
        assert process.stdout is not None
        positions = dict.fromkeys(await reader.partitions(TOPIC.name), 0)
        told = asyncio.get_running_loop().run_in_executor(None, process.stdout.readlines)
        seen: set[str] = set()
        while not told.done() or await reader.wait_for_append(positions, 0):
            await reader.wait_for_append(positions, 0.2)
            for at, position in positions.items():
                records = await reader.read(at, position)
                seen |= {f"{at.partition} {record.offset} {record.value[:4].hex()}\n" for record in records}
                positions[at] = position + len(records)
        assert process.wait() == 0
        process.stdout.close()
        assert seen == {line.decode() for line in await told}
        assert len(seen) > 80


FULL = """
import asyncio, resource, sys
from pathlib import Path
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import TopicSpec
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog

topic = TopicSpec(base_name="test.crash", key="anything", events=(), partitions=3)
at = TopicPartition(topic.name, 0)

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]), [topic], wall_clock_ms)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))  # no file may grow past this
    batch = [NewRecord(topic=topic.name, key=b"", value=b"x" * 50_000, partition=0)] * 10
    acknowledged = 0
    try:
        while True:
            acknowledged += len(await log.append(batch))
    except RetryLater as error:
        print(error)
    assert await log.end_offsets([at]) == {at: acknowledged}, "a refused batch left something behind"
    try:
        await log.commit("group", {at: 1})
    except RetryLater:
        pass
    assert len(await log.read(at, 0)) == acknowledged
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    places = await log.append(batch)
    assert places[0] == (at, acknowledged), places
    await log.close()
    print(acknowledged + len(batch))

asyncio.run(main())
"""


async def test_a_full_disk_refuses_and_then_goes_on(path: Path) -> None:
    """The system's own limit stops the file: the error says so, nothing partial stays, and with room it goes on."""
    process = start(FULL, path)
    output, _ = process.communicate()
    assert process.returncode == 0
    sentence, count = output.decode().splitlines()
    assert "check the disk and try again" in sentence
    at = TopicPartition(TOPIC.name, 0)
    async with await SqliteLog.open(path, [TOPIC], wall_clock_ms) as log:
        assert await log.end_offsets([at]) == {at: int(count)}
        assert len(await read_all(log, at)) == int(count)


async def test_a_file_that_may_not_grow_refuses_and_then_goes_on(path: Path) -> None:
    """SQLite's own bound gives the error of a full disk; all that wait for that commit are told, none is kept."""
    at = TopicPartition(TOPIC.name, 0)
    async with await SqliteLog.open(path, [TOPIC], wall_clock_ms) as log:
        loop = asyncio.get_running_loop()
        file = log._writer_file
        assert file is not None

        def bound(pages: int) -> object:
            return file.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()

        await loop.run_in_executor(log._writer_thread, bound, 20)
        record = NewRecord(topic=TOPIC.name, key=b"", value=b"x" * 50_000, partition=0)
        first = await log.append([record])
        assert first == [(at, 0)]
        results = await asyncio.gather(*(log.append([record] * 9) for _ in range(4)), return_exceptions=True)
        for result in results:
            assert isinstance(result, RetryLater)
            assert "its disk is full; free some space and try again" in str(result)
        assert await log.end_offsets([at]) == {at: 1}
        await loop.run_in_executor(log._writer_thread, bound, 1_000_000)
        assert await log.append([record]) == [(at, 1)]


def can_trace() -> bool:
    strace = shutil.which("strace")
    return strace is not None and subprocess.run([strace, "-o", os.devnull, "true"], check=False).returncode == 0


ONE_BY_ONE = """
import asyncio, os, sys
from pathlib import Path
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import TopicSpec
from helamem.streams.log.sqlite import SqliteLog

topic = TopicSpec(base_name="test.crash", key="anything", events=(), partitions=3)

async def main():
    log = await SqliteLog.open(Path(sys.argv[1]), [topic], lambda: 1)
    for n in range(5):
        os.write(1, b"begin")
        await log.append([NewRecord(topic=topic.name, key=b"k", value=b"v")])
        os.write(1, b"acknowledged")
    await log.close()

asyncio.run(main())
"""


@pytest.mark.skipif(not can_trace(), reason="needs strace, to see the system calls of another process")
def test_the_disk_is_synced_between_append_and_acknowledgement(path: Path, tmp_path: Path) -> None:
    """Seen from the kernel: what is written of an append is synced before its caller hears of it."""
    trace = tmp_path / "trace"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    calls = "trace=write,pwrite64,fsync,fdatasync"
    command = ["strace", "-f", "-e", calls, "-o", str(trace), sys.executable, "-c", ONE_BY_ONE, str(path)]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    _, *appends = trace.read_text().split('"begin"')
    assert len(appends) == 5
    for append in appends:
        until_told = append.split('"acknowledged"')[0]
        assert "pwrite64(" in until_told
        assert "sync(" in until_told.rpartition("pwrite64(")[2]
