"""Recall events of which nobody asked the questions: what the fold and a replay take in."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta

from benchmarks.conversations import BEGIN, SPACES, space

from helamem.schemas.events import MemoryRecalled, RecalledResult, RecallSettings
from helamem.schemas.ids import derived_id, memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.times import to_ms
from helamem.schemas.wire import Event
from helamem.streams.ingest.incoming import record_of

RESULTS = 15


class Drawn:
    """Recalls of memories drawn at random.

    Args:
        memories: How many memories of a space are drawn from.
        spaces: The recalls go round them.
        seed: Other recalls of the same kind.
        first: Number of the first space.
    """

    def __init__(self, memories: int, spaces: int = SPACES, seed: int = 0, first: int = 0) -> None:
        self._drawn = random.Random(f"{memories} {seed}")
        self._seed = seed
        self._spaces = [space(number) for number in range(first, first + spaces)]
        self._ids = [[memory_id(name, str(n)) for n in range(memories)] for name in self._spaces]

    def records(self, count: int) -> Iterator[NewRecord]:
        """Yield so many recalls as they would be appended to the log."""
        for number in range(count):
            at = number % len(self._ids)
            asked_ms = to_ms(BEGIN + timedelta(days=30, seconds=number))
            found = self._drawn.sample(self._ids[at], min(RESULTS, len(self._ids[at])))
            results = tuple(RecalledResult(id=id_, kind="memory", path="base", score=1.5, base=1.25) for id_ in found)
            data = MemoryRecalled(
                query="What did we say about it?",
                as_of=asked_ms,
                results=results,
                settings=RecallSettings(),
                applied={},
            )
            yield record_of(
                Event(
                    id=derived_id("bench-recall", str(self._seed), str(len(self._ids[0])), str(number)),
                    source="helamem/benchmarks",
                    space=self._spaces[at],
                    time_ms=asked_ms,
                    data=data,
                )
            )
