"""Pauses of a thread that works for long, so that others have their turn at the interpreter."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


class Pauses:
    """Lets waiting threads have the GIL, between pieces of work.

    Without a pause whoever waits for the GIL gets it only when the interpreter's switch interval of 5 ms is over, and
    once more at its next step: a recall takes ten of them. A pause takes 70 µs, though, as long as writing two
    memories does.

    Args:
        points: How many things are worked off from one pause to the next, at most.
    """

    def __init__(self, points: int) -> None:
        self._points = points
        self._written = points

    def chunks(self, items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
        """Yield `items` in pieces, with a pause before a piece whenever there were so many."""
        for start in range(0, len(items), size):
            if self._written + size > self._points:
                time.sleep(0)
                self._written = 0
            self._written += size
            yield items[start : start + size]
