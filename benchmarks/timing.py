"""Latencies, spans and medians."""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np


def percentiles(took_ms: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the largest of some latencies in milliseconds."""
    if not took_ms:
        return {}
    return {
        "p50": round(float(np.percentile(took_ms, 50)), 3),
        "p99": round(float(np.percentile(took_ms, 99)), 3),
        "max": round(max(took_ms), 3),
        "n": len(took_ms),
    }


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of every figure of some rounds."""
    return {name: significant(median(one[name] for one in rounds)) for name in rounds[0]}


def significant(number: float) -> float:
    """Return a number with four digits that mean something."""
    return float(f"{number:.4g}")


class Spans:
    """Times the calls of async methods, by name."""

    def __init__(self) -> None:
        self._took_ms: dict[str, list[float]] = defaultdict(list)

    def watch(self, owner: Any, *methods: str) -> None:
        """Time these methods of an object from now on."""
        for name in methods:
            setattr(owner, name, self._timed(getattr(owner, name), name))

    def clear(self) -> None:
        """Forget what was timed so far."""
        self._took_ms.clear()

    def report(self) -> dict[str, dict[str, float]]:
        """Return percentiles by name."""
        return {name: percentiles(took) for name, took in self._took_ms.items()}

    def _timed(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(method)
        async def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return await method(*arguments, **named)
            finally:
                self._took_ms[name].append((time.perf_counter() - begin) * 1e3)

        return timed
