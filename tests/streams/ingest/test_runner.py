"""From a file into the log: batches, bad lines, and a log that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, TOPICS
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest import runner
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.runner import Appended, IngestInterruptedError, append_lines
from helamem.streams.log.sqlite import SqliteLog


class LeavingLog(SqliteLog):
    """A log that is away after so many appends."""

    appends_left = 10_000

    async def append(self, records: Sequence[NewRecord]) -> list[tuple[TopicPartition, int]]:
        if self.appends_left == 0:
            raise RetryLater("the log is away")
        self.appends_left -= 1
        return await super().append(records)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[LeavingLog]:
    async with await LeavingLog.open(tmp_path / "log.sqlite", TOPICS, wall_clock_ms) as opened:
        yield opened


def line(number: int, size_bytes: int = 10) -> Incoming:
    record = NewRecord(topic=CONVERSATIONS.name, key=b"a/b", value=b"x" * size_bytes)
    return Incoming(record=record, space="a/b", read_bytes=number)


async def in_log(log: SqliteLog) -> int:
    return sum((await log.end_offsets(await log.partitions(CONVERSATIONS.name))).values())


async def test_batches_are_told_as_they_become_durable(log: LeavingLog) -> None:
    """What progress says is in the log, is."""
    told: list[Appended] = []
    done = await append_lines(log, [line(n) for n in range(1, 2502)], on_progress=told.append)
    assert [(one.records, one.read_bytes) for one in told] == [(1000, 1000), (2000, 2000), (2501, 2501)]
    assert done == told[-1]
    assert await in_log(log) == 2501


async def test_large_messages_make_smaller_batches(log: LeavingLog) -> None:
    """A batch is bounded in bytes too, so that large lines do not fill the memory."""
    told: list[Appended] = []
    await append_lines(log, (line(n, 900_000) for n in range(25)), on_progress=told.append)
    assert [one.records for one in told] == [10, 20, 25]
    assert runner.BATCH_BYTES < 10 * 900_000


async def test_bad_lines_are_told_and_passed_over(log: LeavingLog) -> None:
    """They count as lines, not as records; a file of bad lines alone appends nothing."""
    bad = BadLine(line=2, reason="torn", read_bytes=2)
    told: list[BadLine] = []
    done = await append_lines(log, [line(1), bad, line(3)], on_bad=told.append)
    assert done == Appended(lines=3, records=2, bad=1, read_bytes=3)
    assert told == [bad]
    log.appends_left = 0
    assert (await append_lines(log, [bad])).records == 0


async def test_a_log_that_is_away_says_what_it_holds(log: LeavingLog) -> None:
    """The error carries what is safe; nothing of the refused batch is."""
    log.appends_left = 2
    with pytest.raises(IngestInterruptedError, match="the log is away; 2,000 records of the file are safely") as error:
        await append_lines(log, [line(n) for n in range(3000)])
    assert error.value.done.records == await in_log(log) == 2000
