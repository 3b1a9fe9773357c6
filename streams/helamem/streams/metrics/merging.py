"""What is merged from inlets, refused and left."""

from __future__ import annotations

from collections.abc import Callable

from helamem.schemas.errors import RetryLater
from helamem.streams.inlet.merger import Taken
from helamem.streams.inlet.rules import FAULTS, GROUP
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics


class MergeMeter:
    """Counts what a process merges.

    Args:
        metrics: Where, or None for nowhere.
    """

    def __init__(self, metrics: Metrics | None) -> None:
        self._metrics = metrics
        if metrics is not None:
            metrics.add(c.MERGED, 0)
            for fault in FAULTS:
                metrics.add(c.MERGE_REFUSED, 0, fault=fault)
            metrics.add(c.DEAD_LETTERED, 0, group=GROUP)
            metrics.add(c.RETRIES, 0, group=GROUP)
            metrics.set(c.MERGE_BEHIND, 0)
            metrics.set(c.MERGE_HELD, 0)

    def noting(self, on_taken: Callable[[Taken], None]) -> Callable[[Taken], None]:
        """Return a callback that counts a batch and passes it on."""

        def note(taken: Taken) -> None:
            if self._metrics is not None:
                self._metrics.add(c.MERGED, taken.merged)
                for fault, records in taken.refused.items():
                    self._metrics.add(c.MERGE_REFUSED, records, fault=fault)
                self._metrics.add(c.DEAD_LETTERED, sum(taken.refused.values()), group=GROUP)
            on_taken(taken)

        return note

    def noting_retries(self, on_retry: Callable[[RetryLater], None]) -> Callable[[RetryLater], None]:
        """Return a callback that counts that something was away and passes it on."""

        def note(error: RetryLater) -> None:
            if self._metrics is not None:
                self._metrics.add(c.RETRIES, group=GROUP)
            on_retry(error)

        return note

    def note_behind(self, records: int) -> None:
        """Show how many records wait in the partitions that this process has."""
        if self._metrics is not None:
            self._metrics.set(c.MERGE_BEHIND, records)

    def note_held(self, partitions: int) -> None:
        """Show in how many of them the tenant has to wait."""
        if self._metrics is not None:
            self._metrics.set(c.MERGE_HELD, partitions)
