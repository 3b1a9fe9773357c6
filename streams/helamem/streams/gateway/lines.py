"""A stream of lines into the log: in batches, each durable before the next one is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from msgspec import structs

from helamem.schemas.errors import RetryLater
from helamem.schemas.events import ConversationMessage
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import decode
from helamem.streams.gateway.answers import BadLineOut, StreamAppended
from helamem.streams.gateway.callers import Caller
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.service import Service
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.jsonl import LONGEST_LINE, take_line
from helamem.streams.ingest.runner import (
    BATCH_BYTES,
    BATCH_RECORDS,
    Appended,
    IngestInterruptedError,
    append_lines,
)

TOLD = 100
"""Most bad lines that an answer tells one by one."""


async def append_stream(service: Service, body: AsyncIterable[bytes], caller: Caller) -> StreamAppended:
    """Append what a body holds, a JSON object a line, and return what it came to.

    Args:
        service: Whose log. It is used batch by batch: who sends slowly holds up no erasure.
        body: The body as it comes.
        caller: What they may append; the owner of a home may also append whole events that are no messages.

    Raises:
        RetryLater: The log cannot be written now; says what it holds already.
        Problem: The key shown was revoked meanwhile.
    """
    done = Appended(lines=0, records=0, bad=0, read_bytes=0)
    told: list[BadLineOut] = []

    def tell(bad: BadLine) -> None:
        if len(told) < TOLD:
            told.append(BadLineOut(line=bad.line, reason=bad.reason))

    async for batch in _batches(body):
        first = batch[0][0]
        if caller.key is not None and not service.holds(caller.key):
            why = "the key was revoked or the token expired meanwhile"
            raise Problem(401, "unauthorized", f"{why}; {_safe(done, first)}")
        try:
            with service.memory() as memory:
                allowed = [_allowed(line, number, caller) for number, line in batch]
                with _counted(service, caller, allowed):
                    now = await append_lines(memory.instance.log, allowed, on_bad=tell, tracing=memory.instance.tracing)
        except IngestInterruptedError as error:
            raise RetryLater(f"{error.away}; {_safe(_sum(done, error.done), first)}") from error.away
        except RetryLater as error:
            raise RetryLater(f"{error}; {_safe(done, first)}") from error
        except Problem as problem:  # of the quota
            detail = f"{problem.detail}; {_safe(done, first)}"
            raise Problem(problem.status, problem.kind, detail, headers=problem.headers) from None
        done = _sum(done, now)
    return StreamAppended(lines=done.lines, appended=done.records, bad=done.bad, bad_lines=told)


async def _batches(body: AsyncIterable[bytes]) -> AsyncIterator[list[tuple[int, Incoming | BadLine]]]:
    """Yield what lines hold with their numbers, so many together as are appended at once."""
    batch: list[tuple[int, Incoming | BadLine]] = []
    number = size_bytes = read_bytes = 0
    async for line, size in _lines(body):
        number += 1
        if number % BATCH_RECORDS == 0:
            await asyncio.sleep(0)  # lines that are blank or bad wait for nothing, and others want to be answered
        read_bytes += size
        taken = take_line(line, number, read_bytes)
        if taken is None:
            continue
        batch.append((number, taken))
        size_bytes += size
        if len(batch) >= BATCH_RECORDS or size_bytes >= BATCH_BYTES:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


async def _lines(body: AsyncIterable[bytes]) -> AsyncIterator[tuple[bytes | None, int]]:
    """Yield each line and its size; None for one that is too long to be kept."""
    kept = bytearray()
    dropped = 0
    async for part in body:
        begin = 0
        while (end := part.find(b"\n", begin)) >= 0:
            kept += part[begin : end + 1]
            size = dropped + len(kept)
            yield (bytes(kept) if size <= LONGEST_LINE else None), size
            kept.clear()
            begin, dropped = end + 1, 0
        kept += part[begin:]
        if len(kept) > LONGEST_LINE:
            dropped += len(kept)
            kept.clear()
    if size := dropped + len(kept):
        yield (bytes(kept) if size <= LONGEST_LINE else None), size


def _allowed(line: Incoming | BadLine, number: int, caller: Caller) -> Incoming | BadLine:
    """Return a line as it is, or as a bad one where its sender may not append it."""
    if isinstance(line, BadLine):
        return line
    reason = None
    if not caller.covers(line.space):
        reason = f"space: the key shown is not for {line.space}"
    elif caller.key is not None and line.record.topic != CONVERSATIONS.name:
        reason = "type: a key appends messages; other events come by their own endpoints"
    return line if reason is None else BadLine(line=number, reason=reason, read_bytes=line.read_bytes)


def _counted(service: Service, caller: Caller, lines: Sequence[Incoming | BadLine]) -> AbstractContextManager[object]:
    """Count the messages of a key's lines towards its tenant's quota."""
    if caller.key is None:
        return nullcontext()
    sizes = [_size(line) for line in lines if isinstance(line, Incoming)]
    return service.quotas.taking(caller.key.tenant, sizes)


def _size(line: Incoming) -> int:
    """Return the size of a message's text in UTF-8."""
    said = decode(line.record.value).data
    return len(said.text.encode("utf-8", "replace")) if isinstance(said, ConversationMessage) else 0


def _safe(done: Appended, line: int) -> str:
    """Say what is in the log, and the first line that may not be: what is sent again counts again towards a quota."""
    return f"{done.records:,} messages of the stream are safely in the log; send it again from line {line:,} on"


def _sum(one: Appended, other: Appended) -> Appended:
    return structs.replace(
        one, lines=one.lines + other.lines, records=one.records + other.records, bad=one.bad + other.bad
    )
