"""What a distiller that asks a model tells whoever measures it."""

from __future__ import annotations

from typing import Literal, Protocol, get_args

from helamem.processors.consolidation.llm.evidence import Rule

Failure = Literal["no-answer", "rate-limited", "failing", "refused", "no-protocol"]
FAILURES: tuple[Failure, ...] = get_args(Failure)
"""Why a call failed: nothing came in time; 429; 5xx; another status; something else than a chat completion."""


class Watch(Protocol):
    """Whoever wants to know."""

    def called(self, seconds: float, failure: Failure | None) -> None:
        """A call ended."""

    def spent(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        """A model answered, and this is what it took."""

    def unreadable(self) -> None:
        """An answer was not of the form that was asked for."""

    def accepted(self, statements: int) -> None:
        """Statements passed the evidence rule."""

    def refused(self, rule: Rule) -> None:
        """A statement did not."""

    def over_cap(self) -> None:
        """A hub was not given to the model, because its tenant has spent what it may."""

    def circuit(self, *, is_open: bool) -> None:
        """The model is left alone for a while, or asked again."""


class Unwatched:
    """Tells nobody."""

    def called(self, seconds: float, failure: Failure | None) -> None:
        """Tell nobody."""

    def spent(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Tell nobody."""

    def unreadable(self) -> None:
        """Tell nobody."""

    def accepted(self, statements: int) -> None:
        """Tell nobody."""

    def refused(self, rule: Rule) -> None:
        """Tell nobody."""

    def over_cap(self) -> None:
        """Tell nobody."""

    def circuit(self, *, is_open: bool) -> None:
        """Tell nobody."""
