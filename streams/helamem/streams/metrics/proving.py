"""How far replays, audits and archivers are and what they found: processes of their own, beside the live ones."""

from __future__ import annotations

from collections.abc import Callable

from helamem.streams.archive.run import Round
from helamem.streams.audit.verify import Verified
from helamem.streams.home import wall_clock_ms
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics
from helamem.streams.rebuild import Replayed

Advance = Callable[[int, int], None]
"""Told how much is done, and of how much."""


class ReplayMeter:
    """Shows how far a replay is. What it applies is counted nowhere else: live metrics do not know of it.

    Args:
        metrics: Where it is shown.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._done: int | None = None
        metrics.add(c.REPLAY_APPLIED, 0)
        metrics.set(c.REPLAY_PROGRESS, 0)
        metrics.set(c.REPLAY_DIVERGED, 0)

    def noting(self, advance: Advance) -> Advance:
        """Return a callback that shows how far it is and passes it on."""

        def note(done: int, total: int) -> None:
            before = done if self._done is None else self._done  # an interrupted replay had done the first ones
            self._done = done
            self._metrics.add(c.REPLAY_APPLIED, done - before)
            self._metrics.set(c.REPLAY_RECORDS, total)
            self._metrics.set(c.REPLAY_PROGRESS, done / total if total else 1)
            advance(done, total)

        return note

    def ended(self, replayed: Replayed) -> None:
        """Show what it came to."""
        hubs = replayed.hubs
        again = hubs.derived - hubs.not_yet_recorded - hubs.different
        self._metrics.set(c.REPLAY_HUBS, again, result="reproduced")
        self._metrics.set(c.REPLAY_HUBS, hubs.missing, result="missing")
        self._metrics.set(c.REPLAY_HUBS, hubs.different, result="different")
        self._metrics.set(c.REPLAY_HUBS, hubs.not_yet_recorded, result="not-yet-recorded")
        self._metrics.set(c.REPLAY_PROGRESS, 1)
        self._metrics.set(c.REPLAY_DIVERGED, int(not replayed.reproduced))


class AuditMeter:
    """Shows how far an audit is.

    Args:
        metrics: Where it is shown.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        metrics.set(c.AUDIT_PROGRESS, 0)
        metrics.set(c.AUDIT_FINDINGS, 0)

    def noting(self, advance: Advance) -> Advance:
        """Return a callback that shows how far it is and passes it on."""

        def note(done: int, total: int) -> None:
            self._metrics.set(c.AUDIT_PROGRESS, done / total if total else 1)
            advance(done, total)

        return note

    def ended(self, verified: Verified) -> None:
        """Show what it came to."""
        self._metrics.set(c.AUDIT_PROGRESS, 1)
        self._metrics.set(c.AUDIT_RECORDS, verified.records)
        self._metrics.set(c.AUDIT_CHECKPOINTS, verified.checkpoints)
        self._metrics.set(c.AUDIT_UNCOVERED, verified.uncovered)
        self._metrics.set(c.AUDIT_FINDINGS, len(verified.findings))


class ArchiveMeter:
    """Shows what an archiver has done.

    Args:
        metrics: Where it is shown.
        clock: Milliseconds since 1970.
    """

    def __init__(self, metrics: Metrics, clock: Callable[[], int] = wall_clock_ms) -> None:
        self._metrics = metrics
        self._clock = clock
        for metric in (c.ARCHIVED, c.ARCHIVED_BYTES, c.SIGNED):
            metrics.add(metric, 0)

    def ended(self, done: Round) -> None:
        """Count one round."""
        self._metrics.add(c.ARCHIVED, done.records)
        self._metrics.add(c.ARCHIVED_BYTES, done.size_bytes)
        self._metrics.add(c.SIGNED, done.checkpoints)
        self._metrics.set(c.ARCHIVE_ROUND, self._clock() / 1000)
