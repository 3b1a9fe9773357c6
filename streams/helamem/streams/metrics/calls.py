"""Calls of a port: how long each takes, and why it failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

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


class timed:  # noqa: N801 - it is used as the functions of contextlib are
    """Times what happens inside, and tells why it failed.

    A class, since a generator as context takes three times as long, and one stands around every call of a port.

    Args:
        took: Told how long it took.
        failed: Told of an error before that.
        call: What is called.

    Attributes:
        seconds: How long it took; 0 until it is over.
    """

    __slots__ = ("_begin", "_call", "_failed", "_took", "seconds")

    def __init__(self, took: OnTook, failed: Callable[[str, Exception], None], call: str) -> None:
        self._took = took
        self._failed = failed
        self._call = call
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._begin = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, Exception):
                self._failed(self._call, error)
        finally:
            self.seconds = time.perf_counter() - self._begin
            self._took(self._call, self.seconds)


def told_nobody(call: str, seconds: float) -> None:
    """Tell nobody how long a call took."""
