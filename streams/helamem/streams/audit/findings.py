"""What an audit finds, and how two copies of the same records differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from helamem.schemas.records import Record, TopicPartition

Kind = Literal["changed", "removed", "inserted", "reordered", "truncated", "altered", "manifest", "checkpoint"]
"""What happened. `altered` is one of the first five in an interval where no other copy says more; `manifest` is an
index that does not fit its records; `checkpoint` is one that is missing, forged or damaged."""
Copy = Literal["archive", "log", "archive or log", "archive and log", "checkpoints"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is not as it was signed."""

    kind: Kind
    where: Copy
    partition: str | None = None
    """`topic/partition`."""
    offset: int | None = None
    """The first record at fault, where it can be named."""
    begin: int | None = None
    end: int | None = None
    """Otherwise the interval in which it stands: `begin <= offset < end`."""
    words: str
    """The same for a person, with what is known besides."""


class Difference(Struct, frozen=True, kw_only=True):
    """The first record in which a copy differs from a good one."""

    kind: Kind
    offset: int


def first_difference(good: Sequence[Record], bad: Sequence[Record]) -> Difference | None:
    """Return where and how a copy first differs from a good one, or None where it does not.

    Both may be followed by records that come after: those help to tell a removed record from a changed one.
    """
    if list(good) == list(bad):
        return None
    pairs = enumerate(zip(good, bad, strict=False))
    place = next((at for at, (one, other) in pairs if one != other), min(len(good), len(bad)))
    if place >= len(bad):
        return Difference(kind="removed", offset=good[place].offset)
    if place >= len(good):
        return Difference(kind="inserted", offset=bad[place].offset)
    kind = _what_happened(good[place:], bad[place:])
    return Difference(kind=kind, offset=(bad if kind == "inserted" else good)[place].offset)


def _what_happened(good: Sequence[Record], bad: Sequence[Record]) -> Kind:
    """Return how the copy came to begin with another record: by what it lacks, and by what it has too many of."""
    wanted, found = _said(good[0]), _said(bad[0])
    if wanted == found and good[0].offset == bad[0].offset:
        return "changed"  # its time
    should, does = Counter(map(_said, good)), Counter(map(_said, bad))
    lacking = should[wanted] > does[wanted]
    extra = does[found] > should[found]
    match lacking, extra:
        case True, True:
            return "changed"
        case True, False:
            return "removed"
        case False, True:
            return "inserted"
        case _:
            return "reordered"


def _said(record: Record) -> tuple[object, ...]:
    """Return what a record says wherever it stands."""
    return record.key, record.headers, record.value


def named(difference: Difference, where: Copy, at: TopicPartition, *, more: str = "") -> Finding:
    """Return a difference as a finding."""
    verbs = {
        "changed": "was changed",
        "removed": "was removed",
        "inserted": "was inserted",
        "reordered": "stands where another should",
        "truncated": "and all after it were cut off",
    }
    return Finding(
        kind=difference.kind,
        where=where,
        partition=str(at),
        offset=difference.offset,
        words=f"record {difference.offset} of {at} {verbs[difference.kind]} in the {where}{more}",
    )
