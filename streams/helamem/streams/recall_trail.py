"""`RecallTrail`: how the events of recalls come into the log, before their answers or behind them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import Literal

from helamem.schemas.errors import HelamemError, RetryLater
from helamem.schemas.records import NewRecord
from helamem.streams.backoff import Backoff
from helamem.streams.log.port import Log
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics

RecallAudit = Literal["strict", "relaxed"]
"""strict: a recall is in the log before it is answered. relaxed: its answer does not wait for that."""
MOST_WAITING = 10_000
"""Events that wait, of some 3 kB each; what comes then is lost."""
PATIENCE_S = 30.0
"""How long an event waits for a log that is away."""
CLOSING_S = 5.0
"""How long the end waits for what is on its way."""
_BATCH = 500
_log = logging.getLogger(__name__)


class RecallTrail:
    """Appends the events of recalls, and loses none without counting it.

    Args:
        log: Where to.
        audit: Whether whoever is answered waits for it.
        metrics: Where events that were lost are counted, or None.
    """

    def __init__(self, log: Log, audit: RecallAudit, metrics: Metrics | None = None) -> None:
        self._log = log
        self._audit = audit
        self._metrics = metrics
        self._waiting: deque[tuple[float, NewRecord]] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._backoff = Backoff(longest_s=1.0)
        self._taken = self._settled = 0
        """How many events there were, and how many of them are in the log or lost."""
        self._moved = asyncio.Event()
        self._failing = False
        if metrics is not None:
            metrics.add(c.RECALL_EVENTS_LOST, 0)

    async def take(self, record: NewRecord) -> bool:
        """Append the event of a recall, or have it appended soon; return whether it is in the log or on its way.

        Raises:
            RetryLater: The log cannot be written now, and the answer is to wait for it.
            ConfigurationError: The log refuses it, likewise.
        """
        if self._audit == "strict":
            await self._log.append([record])
            return True
        if len(self._waiting) >= MOST_WAITING:
            self._lose(1, f"{MOST_WAITING:,} others wait already")
            return False
        self._waiting.append((time.monotonic(), record))
        self._taken += 1
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return True

    async def settle(self, timeout_s: float = CLOSING_S) -> None:
        """Wait until what was taken is in the log or lost, so that what names it finds it.

        Raises:
            RetryLater: It is not in time.
        """
        wanted = self._taken
        try:
            async with asyncio.timeout(timeout_s):
                while self._settled < wanted:
                    await self._moved.wait()
        except TimeoutError:
            raise RetryLater("events of recalls wait for the log, which is away; try again in a moment") from None

    async def close(self) -> None:
        """Append what waits, within `CLOSING_S`; the rest is lost."""
        with suppress(RetryLater):
            await self.settle(CLOSING_S)
        if (sending := self._sending) is not None:
            sending.cancel()
            await asyncio.wait([sending])
        if self._waiting:
            self._lose(len(self._waiting), "the process ends")
            self._remove(len(self._waiting))

    async def _send(self) -> None:
        failures = 0
        try:
            while self._waiting:
                batch = [record for _, record in list(self._waiting)[:_BATCH]]
                try:
                    await self._log.append(batch)
                except RetryLater as error:
                    failures += 1
                    self._give_up(str(error))
                    await asyncio.sleep(self._backoff.wait_s(failures))
                    continue
                except HelamemError as error:  # it will never take them as things are
                    self._lose(len(batch), str(error))
                else:
                    failures, self._failing = 0, False
                self._remove(len(batch))
        finally:
            self._sending = None

    def _give_up(self, why: str) -> None:
        """Lose what has waited for too long."""
        until_s = time.monotonic() - PATIENCE_S
        if lost := sum(since_s < until_s for since_s, _ in self._waiting):
            self._lose(lost, why)
            self._remove(lost)

    def _remove(self, count: int) -> None:
        """Take the oldest events away, and tell who waits for that."""
        for _ in range(count):
            self._waiting.popleft()
        self._settled += count
        self._moved.set()
        self._moved = asyncio.Event()

    def _lose(self, count: int, why: str) -> None:
        if self._metrics is not None:
            self._metrics.add(c.RECALL_EVENTS_LOST, count)
        if not self._failing:  # the metric says how many more
            _log.error("events of recalls were lost and teach no links: %d, since %s", count, why)
        self._failing = True
