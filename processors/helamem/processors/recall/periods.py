"""The times that a question names: "in May 2023", "on 3 June 2023", "last week"; English, and without a model.

Only what names a time plainly counts. A month without a year, as in "in May", is the newest one that has begun.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from helamem.processors.consolidation.dates import mentions
from helamem.processors.recall.ranking import Bools, Ints
from helamem.schemas.times import from_ms

_MONTHS = "january february march april may june july august september october november december".split()
_MONTH = (
    r"(?P<month>January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
)
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_PLAIN = tuple(
    re.compile(rf"\b{pattern}(?!\w)")
    for pattern in (
        r"(?P<year>\d{4})-(?P<number>\d{2})-(?P<day>\d{2})",
        rf"{_DAY}(?: of)? {_MONTH},? {_YEAR}",
        rf"{_MONTH} {_DAY},? {_YEAR}",
        rf"{_MONTH},? {_YEAR}",
        rf"(?:[Oo]n|[Bb]y|[Ss]ince) {_DAY}(?: of)? {_MONTH}",
        rf"(?:[Oo]n|[Bb]y|[Ss]ince) {_MONTH} {_DAY}",
        rf"(?:[Ii]n|[Dd]uring|[Ll]ast|[Tt]his) {_MONTH}",
        rf"(?:[Ii]n|[Dd]uring|[Oo]f) {_YEAR}",
    )
)
"""Those that say most first: what one has taken is no other's."""


_DAY_MS = 86_400_000
_EPOCH = date(1970, 1, 1).toordinal()


class Period(NamedTuple):
    """From one moment to another, in milliseconds, the first included."""

    begin_ms: int
    end_ms: int


def periods(query: str, as_of_ms: int) -> list[Period]:
    """Return the times that a question names when it is asked at `as_of_ms` (UTC), in their order in the text."""
    asked = from_ms(as_of_ms).date()
    found = [(mention.start, mention.end, mention.first, mention.last) for mention in mentions(query, asked)]
    for pattern in _PLAIN:
        for match in pattern.finditer(query):
            if all(match.end() <= start or match.start() >= end for start, end, _, _ in found):
                found.extend((match.start(), match.end(), first, last) for first, last in _days(match, asked))
    named = [_between(first, last) for _, _, first, last in sorted(found)]
    return [period for period in named if period.begin_ms >= 0]  # before 1970 nothing was said


def within(time_ms: Ints, named: Sequence[Period]) -> Bools:
    """Return which times lie in one of the periods; shape (n,) → (n,)."""
    inside = np.zeros(len(time_ms), dtype=np.bool_)
    for period in named:
        inside |= (time_ms >= period.begin_ms) & (time_ms < period.end_ms)
    return inside


def _days(match: re.Match[str], asked: date) -> Iterator[tuple[date, date]]:
    """Yield the first and last day that a plain date means; none where there is no such day."""
    said = match.groupdict()
    name = (said.get("month") or "").lower()
    month = next((n for n, full in enumerate(_MONTHS, start=1) if name and full.startswith(name)), 0)
    month = month or int(said.get("number") or 0)
    day = int(said.get("day") or 0)
    try:
        if said.get("year"):
            year = int(said["year"])
        else:
            year = asked.year if (month, day or 1) <= (asked.month, asked.day) else asked.year - 1
        if not month:
            yield date(year, 1, 1), date(year, 12, 31)
        elif day:
            yield (date(year, month, day),) * 2
        else:
            yield date(year, month, 1), date(year, month, monthrange(year, month)[1])
    except ValueError:
        return


def _between(first: date, last: date) -> Period:
    return Period((first.toordinal() - _EPOCH) * _DAY_MS, (last.toordinal() + 1 - _EPOCH) * _DAY_MS)
