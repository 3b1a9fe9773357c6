"""What a recall returns, and what it was asked."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from helamem.processors.recall.periods import Period
from helamem.processors.store.port import FactRecord, Turn, Vector
from helamem.schemas.events import RecalledResult


class Hit(Struct, frozen=True, kw_only=True):
    """One result with its words."""

    result: RecalledResult
    turn: Turn | None = None
    """The memory, for `kind` memory."""
    fact: FactRecord | None = None
    """The fact, for `kind` fact."""
    ended_ms: int | None = None
    """When the fact held no longer, or None where it held when it was asked for."""

    @property
    def text(self) -> str:
        """What was said, with its speaker, or the fact's statement."""
        if self.turn is not None:
            return f"{self.turn.speaker}: {self.turn.text}"
        return self.fact.text if self.fact is not None else ""


class Question(Struct, frozen=True, kw_only=True):
    """What is asked, of whom, and when."""

    space: str
    query: str
    vector: Vector
    as_of_ms: int
    until_ms: int | None
    periods: Sequence[Period]
    """The times that it names."""
