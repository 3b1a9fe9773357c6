"""What a distiller that asks a model tells, counted."""

from __future__ import annotations

from helamem.processors.consolidation.llm.evidence import RULES, Rule
from helamem.processors.consolidation.llm.watch import FAILURES, Failure
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics


class MeasuredModel:
    """A `Watch` that counts. What may come is shown from the start, as 0.

    Args:
        metrics: Where it is counted.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.observe(c.DISTILLER_SECONDS)
        for failure in FAILURES:
            metrics.add(c.DISTILLER_ERRORS, 0, failure=failure)
        for side in ("in", "out"):
            metrics.add(c.DISTILLER_TOKENS, 0, side=side)
        for rule in RULES:
            metrics.add(c.STATEMENTS_REFUSED, 0, rule=rule)
        for metric in (c.DISTILLER_COST, c.DISTILLER_UNREADABLE, c.STATEMENTS_ACCEPTED, c.DISTILLER_CAPPED):
            metrics.add(metric, 0)
        metrics.set(c.DISTILLER_CIRCUIT, 0)

    def called(self, seconds: float, failure: Failure | None) -> None:
        """See `Watch.called`."""
        self._metrics.observe(c.DISTILLER_SECONDS, seconds)
        if failure is not None:
            self._metrics.add(c.DISTILLER_ERRORS, failure=failure)

    def spent(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        """See `Watch.spent`."""
        self._metrics.add(c.DISTILLER_TOKENS, tokens_in, side="in")
        self._metrics.add(c.DISTILLER_TOKENS, tokens_out, side="out")
        self._metrics.add(c.DISTILLER_COST, cost)

    def unreadable(self) -> None:
        """See `Watch.unreadable`."""
        self._metrics.add(c.DISTILLER_UNREADABLE)

    def accepted(self, statements: int) -> None:
        """See `Watch.accepted`."""
        self._metrics.add(c.STATEMENTS_ACCEPTED, statements)

    def refused(self, rule: Rule) -> None:
        """See `Watch.refused`."""
        self._metrics.add(c.STATEMENTS_REFUSED, rule=rule)

    def over_cap(self) -> None:
        """See `Watch.over_cap`."""
        self._metrics.add(c.DISTILLER_CAPPED)

    def circuit(self, *, is_open: bool) -> None:
        """See `Watch.circuit`."""
        self._metrics.set(c.DISTILLER_CIRCUIT, int(is_open))
