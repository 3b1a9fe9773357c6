"""How often a key may ask."""

from __future__ import annotations

import time
from collections.abc import Callable


class TokenBucket:
    """Lets so many requests a second through, and a burst of them at once.

    Args:
        per_s: Requests a second.
        burst: Requests at once after a pause, at least 1.
        clock: Seconds, from any beginning.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._at = clock()

    def take(self) -> float:
        """Let a request through and return 0, or return after how many seconds one would be."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return (1 - self._left) / self._per_s
        self._left -= 1
        return 0.0
