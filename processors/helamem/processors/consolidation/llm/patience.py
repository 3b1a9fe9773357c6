"""When a service is asked again: waits with jitter, its own Retry-After, a circuit that opens when it only fails."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

from helamem.schemas.errors import RetryLater


class PatienceSettings(Struct, frozen=True, kw_only=True):
    """How often and after how long."""

    tries: int = 4
    """Calls for one question before whoever asked has to come again."""
    first_s: float = 0.5
    longest_s: float = 20.0
    """Longest wait between two of them. A service that wants longer (Retry-After) is left alone for so long."""
    failures: int = 8
    """Failures in a row after which the circuit opens."""
    rest_s: float = 15.0
    """How long it is open at first; twice as long after each further failure."""
    longest_rest_s: float = 300.0


class Circuit:
    """Whether a service may be asked now.

    Closed, everybody may. Open, nobody may until it has rested; then one call is let through, and what comes of it
    closes or opens it again.

    Args:
        settings: How long.
        on_change: Told whether it is open now.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self,
        settings: PatienceSettings,
        on_change: Callable[[bool], None] = lambda is_open: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._on_change = on_change
        self._clock = clock
        self._failures = 0
        self._rests = 0
        self._not_before = 0.0
        self._reason = ""
        self.is_open = False
        self._trying = False

    @property
    def pause_s(self) -> float:
        """How long nobody may ask yet; 0 or less where somebody may."""
        return self._not_before - self._clock()

    def enter(self) -> None:
        """Begin a call.

        Raises:
            RetryLater: Nobody may ask now.
        """
        if (left_s := self.pause_s) > 0:
            raise RetryLater(f"the model service {self._reason}; it is left alone for {left_s:.0f} s more")
        if self.is_open:
            if self._trying:
                raise RetryLater(f"the model service {self._reason}; another call tries it")
            self._trying = True

    def succeeded(self) -> None:
        """End a call that was answered."""
        self._failures = self._rests = 0
        self._trying = False
        self._set(is_open=False)

    def failed(self, reason: str, retry_after_s: float | None = None) -> None:
        """End a call that was not answered, or not with what was asked for.

        Args:
            reason: What the service does, as the end of a sentence about it.
            retry_after_s: How long the service wants to be left alone, where it said so.
        """
        self._failures += 1
        self._reason = reason
        now = self._clock()
        if retry_after_s is not None:
            self._not_before = max(self._not_before, now + min(retry_after_s, _DAY_S))
        if self._trying or (not self.is_open and self._failures >= self._settings.failures):
            rest_s = min(self._settings.longest_rest_s, self._settings.rest_s * 2.0 ** min(self._rests, 30))
            self._rests += 1
            self._not_before = max(self._not_before, now + rest_s)
            self._set(is_open=True)
        self._trying = False

    def given_up(self) -> None:
        """End a call that somebody stopped waiting for: it says nothing about the service."""
        self._trying = False

    def _set(self, *, is_open: bool) -> None:
        if is_open != self.is_open:
            self.is_open = is_open
            self._on_change(is_open)


_DAY_S = 86_400.0


def wait_s(settings: PatienceSettings, failures: int, random_: Callable[[], float] = random.random) -> float:
    """Return how long to wait after so many failures in a row (1 or more): between half and all of a doubling bound."""
    bound = min(settings.longest_s, settings.first_s * 2.0 ** min(failures - 1, 30))
    return bound * (0.5 + 0.5 * random_())


def retry_after_s(header: str | None, now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that a header Retry-After says (RFC 9110, section 10.2.3), or None where it says none."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now()
    return max(0.0, seconds) if seconds == seconds else None  # noqa: PLR0124 - not a number
