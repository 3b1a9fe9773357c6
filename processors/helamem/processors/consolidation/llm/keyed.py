"""What a model's statement claims, as far as the messages that it cites bear it out, and since when that holds.

The model writes no keys. They are read from its sentence by the patterns that read what is said, and dropped where the
messages do not have them: then the statement supersedes nothing, and is what it was.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import Claim, same_value
from helamem.processors.consolidation.claims.named import begins_with, claim_about
from helamem.processors.consolidation.llm.days import Day, taken_out
from helamem.processors.consolidation.llm.drafts import Draft
from helamem.processors.consolidation.llm.evidence import Shown
from helamem.processors.store.port import Turn
from helamem.schemas.times import to_ms

_OWNS = re.compile(r"['’]s?(?: .*)?$")
_DENIED = re.compile(r"\b(?:not|cannot|never|no longer)\b|n['’]t\b", re.IGNORECASE)
_SINCE = re.compile(r"\b(?:on|in|since|from|as of)  ")
"""What stands before a date that was taken out, where it says since when something is so."""


class Keyed(NamedTuple):
    """A claim of a statement."""

    claim: Claim
    since_ms: int
    """Event time from which it holds."""


def keyed(draft: Draft, shown: Shown) -> Keyed | None:
    """Return what a statement that passed the evidence rule claims, or None where nobody can tell.

    A message bears a claim out where the patterns read it there too. Where they read nothing of its key there, one that
    denies nothing and has all words of what the key is about does. Words alone do for no claim that something is over,
    nor for a key that has one value at a time, such as a home: that ends what was true, and the words may be said of
    somebody else.
    """
    named = _whom(draft, {turn.speaker for turn in shown.turns.values()})
    claim = claim_about(draft.text, *named) if named else None
    if claim is None:
        return None
    bearing = [shown.turns[id_].time_ms for id_ in shown.counting(draft) if _bears_out(id_, claim, shown)]
    return Keyed(claim, since_ms(draft.text, max(bearing))) if bearing else None


def _whom(draft: Draft, speakers: Iterable[str]) -> tuple[str, str] | None:
    """Return the name that a statement begins with, and whom it means: a speaker by any words of their name."""
    every = sorted(speakers)
    names = {_OWNS.sub("", draft.subject), *every, *(word for speaker in every for word in speaker.split())} - {""}
    name = max((one for one in names if begins_with(draft.text, one)), key=len, default="")
    words = set(name.casefold().split())
    means = [one for one in every if one == name] or [one for one in every if words <= set(one.casefold().split())]
    return (name, means[0] if means else name) if name and len(means) <= 1 else None


def _bears_out(id_: str, claim: Claim, shown: Shown) -> bool:
    turn: Turn = shown.turns[id_]
    said = {one.slot: one.value for one in turn.claims}
    if claim.slot in said:
        return same_value(said[claim.slot], claim.value)
    about = claim.key.partition(":")[2]
    of_others = any(key == claim.slot[1] for _, key in said)
    if claim.ends or not about or of_others or _DENIED.search(turn.text):
        return False
    return shown.has_all(id_, about)


def since_ms(text: str, said_ms: int) -> int:
    """Return since when holds what a text states: as said, or by its date where it names one since which it is so.

    Of a day, month or year before it was said nothing is certain but that it held at the end. What is ahead holds from
    the beginning.
    """
    dates, rest = taken_out(text)
    if len(dates) != 1 or not _SINCE.search(rest):
        return said_ms
    try:
        first, last = _bounds_ms(dates[0])
    except (ValueError, OverflowError):  # no such day
        return said_ms
    return first if first > said_ms else min(last, said_ms)


def _bounds_ms(stated: Day) -> tuple[int, int]:
    """Return the first and the last millisecond of a date.

    Raises:
        ValueError: There is no such day, or it has no year.
        OverflowError: It is the last one of the calendar.
    """
    if stated.year is None:
        raise ValueError
    last_month = stated.month or 12
    last_day = stated.day or monthrange(stated.year, last_month)[1]
    first = datetime(stated.year, stated.month or 1, stated.day or 1, tzinfo=UTC)
    last = datetime(stated.year, last_month, last_day, tzinfo=UTC) + timedelta(days=1)
    return to_ms(first), to_ms(last) - 1
