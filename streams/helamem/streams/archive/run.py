"""One round of archiving: the log into segments, a signature over them, and the checkpoints to where copies lie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from msgspec import Struct

from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.streams.archive.archiver import Archived, Archiver
from helamem.streams.archive.files import Files
from helamem.streams.archive.runs import Missing
from helamem.streams.audit.checkpoints import keep
from helamem.streams.log.port import Log

Publish = Callable[[Files, str], Awaitable[int]]
"""Appends an archive's new checkpoints to the log, and returns how many those were."""


class Round(Struct, frozen=True, kw_only=True):
    """What one round came to."""

    records: int
    segments: int
    size_bytes: int
    missing: tuple[Missing, ...]
    checkpoints: int
    """Signed in this round."""
    published: int
    """Checkpoints appended to the log in this round."""


async def archive_round(
    archiver: Archiver,
    log: Log,
    topics: Sequence[TopicSpec],
    publish: Publish,
    *,
    earlier: Sequence[Log] = (),
    kept: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Round:
    """Archive what the log holds now, sign it, and hand out the checkpoints.

    Their own topic is archived last and never signed: else each round would cause the next one. Each of its records
    is signed by itself and names the one before it.

    Args:
        archiver: Of this archive.
        log: What is archived.
        topics: All of the log's.
        publish: Appends checkpoints to the log.
        earlier: Generations of the log that were left: what they still hold and the archive does not is archived first.
        kept: A file to which checkpoints are added, for keeping elsewhere.
        on_progress: Told how many records of how many are archived.
    """
    others = [spec for spec in topics if spec.base_name != CHECKPOINTS.base_name]
    rest = [spec for spec in topics if spec not in others]
    parts: list[Archived] = []
    signed = 0
    for one in earlier:
        parts.append(await archiver.archive(one, topics, on_progress))
        signed += await archiver.sign(one, others)
    parts.append(await archiver.archive(log, others, on_progress))
    signed += await archiver.sign(log, others)
    files, archive_id = archiver.reader.files, archiver.reader.archive_id
    published = 0
    if archiver.signs:
        published = await publish(files, archive_id)
        if kept is not None:
            await keep(kept, files, archive_id)
    parts.append(await archiver.archive(log, rest))
    return Round(
        records=sum(part.records for part in parts),
        segments=sum(part.segments for part in parts),
        size_bytes=sum(part.size_bytes for part in parts),
        missing=tuple(one for part in parts for one in part.missing),
        checkpoints=signed,
        published=published,
    )
