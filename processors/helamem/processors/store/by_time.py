"""Memories in the order in which they were said, from engines that order by time alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

from helamem.processors.store.port import Said, Turn

BESIDE = 2
"""To be asked for beside those that are wanted: the one before them, and one that shows where the last time ends."""


def said(turn: Turn) -> Said:
    """Return what memories are ordered by."""
    return turn.time_ms, turn.id


def settled(turns: Iterable[Turn], after: Said | None, *, cut: bool) -> list[Turn]:
    """Return the turns after one, as far as their order is settled.

    Args:
        turns: The first of a space from some time on, in any order.
        after: None is from the first.
        cut: Whether there may be more of them: then others of the last time may come before those that are there.
    """
    turns = [*turns]
    last_ms = max((turn.time_ms for turn in turns), default=0) if cut else math.inf
    return sorted((t for t in turns if t.time_ms < last_ms and (after is None or said(t) > after)), key=said)
