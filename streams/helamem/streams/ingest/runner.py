"""From a file into the log: in batches, each durable before the next, with the bad lines told one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct

from helamem.schemas.errors import RetryLater
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.ingest.incoming import BadLine, Incoming, carrying
from helamem.streams.log.port import Log
from helamem.streams.tracing.untraced import UNTRACED, Untraced

BATCH_RECORDS = 1000
BATCH_BYTES = 8 * 2**20
"""A batch ends early where its messages are large."""


class Appended(Struct, frozen=True, kw_only=True):
    """How far the ingestion of a file has come."""

    lines: int
    """Messages and events read, the bad ones included; blank lines are none."""
    records: int
    """Records that are durable in the log."""
    bad: int
    read_bytes: int


class IngestInterruptedError(RetryLater):
    """The log was away before all of a file was in it.

    Args:
        error: What is away.
        done: What is safely in the log.
    """

    def __init__(self, error: RetryLater, done: Appended) -> None:
        super().__init__(
            f"{error}; {done.records:,} records of the file are safely in the log, "
            "and the same command takes up the rest: records have the same ids again, so none counts twice"
        )
        self.away = error
        self.done = done


async def append_lines(
    log: Log,
    lines: Iterable[Incoming | BadLine],
    *,
    on_progress: Callable[[Appended], None] = lambda appended: None,
    on_bad: Callable[[BadLine], None] = lambda bad: None,
    tracing: Untraced = UNTRACED,
) -> Appended:
    """Append what a file holds and return what it came to.

    Args:
        log: Where to.
        lines: From `read_file`.
        on_progress: Told after every batch.
        on_bad: Told of every line that cannot be taken; the lines around it are.
        tracing: What makes a span of each batch, which its messages name as their cause.

    Raises:
        IngestInterruptedError: The log cannot be written now; says what it holds already.
    """
    count = records = bad = read_bytes = size_bytes = 0
    batch: list[NewRecord] = []

    def so_far() -> Appended:
        return Appended(lines=count, records=records, bad=bad, read_bytes=read_bytes)

    async def append() -> None:
        nonlocal records, size_bytes
        try:
            with tracing.sending(CONVERSATIONS.name, records=len(batch)) as traceparent:
                await log.append([_traced(one, traceparent) for one in batch])
        except RetryLater as error:
            raise IngestInterruptedError(error, so_far()) from error
        records += len(batch)
        size_bytes = 0
        batch.clear()
        on_progress(so_far())

    for line in lines:
        count += 1
        read_bytes = line.read_bytes
        if isinstance(line, BadLine):
            bad += 1
            on_bad(line)
            continue
        batch.append(line.record)
        size_bytes += len(line.record.value)
        if len(batch) >= BATCH_RECORDS or size_bytes >= BATCH_BYTES:
            await append()
    if batch:
        await append()
    return so_far()


def _traced(record: NewRecord, traceparent: str | None) -> NewRecord:
    """Return a record with the context of its batch; other events than messages are repeated to the byte."""
    return carrying(record, traceparent) if record.topic == CONVERSATIONS.name else record
