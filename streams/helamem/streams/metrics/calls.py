"""Calls of a port: how long each takes, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from helamem.schemas.errors import RetryLater
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.unmeasured import Uncounted

REASONS = ("retry-later", "error")
OnTook = Callable[[str, float], None]
"""Told what was called and how many seconds it took; also where it failed."""


def reason_of(error: Exception) -> str:
    """Return the value of the label `reason`."""
    return REASONS[0] if isinstance(error, RetryLater) else REASONS[1]


def no_errors_yet(metrics: Metrics | Uncounted, metric: c.Metric, calls: Sequence[str]) -> None:
    """Show a counter of errors from the start: from nothing to one there is no rate, so the first would not be seen."""
    for call in calls:
        for reason in REASONS:
            metrics.add(metric, 0, call=call, reason=reason)


class Took:
    """How long something took; 0 until it is over."""

    seconds = 0.0


@contextmanager
def timed(took: OnTook, failed: Callable[[str, Exception], None], call: str) -> Iterator[Took]:
    """Time what happens inside."""
    time_of = Took()
    begin = time.perf_counter()
    try:
        yield time_of
    except Exception as error:
        failed(call, error)
        raise
    finally:
        time_of.seconds = time.perf_counter() - begin
        took(call, time_of.seconds)


def told_nobody(call: str, seconds: float) -> None:
    """Tell nobody how long a call took."""
