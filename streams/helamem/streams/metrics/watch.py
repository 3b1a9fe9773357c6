"""`watch`: what changes without anybody doing anything: lag, dead letters, the size of a home."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.schemas.errors import HelamemError, Poison
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import DEAD_LETTERS
from helamem.schemas.wire import decode
from helamem.streams.home import wall_clock_ms
from helamem.streams.lag import PartitionLag, lags
from helamem.streams.log.port import Log
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.calls import no_errors_yet, reason_of
from helamem.streams.metrics.pumping import PumpMeter
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.unmeasured import Unmeasured

INTERVAL_S = 5.0
_SAMPLES = 720
_PAGE = 500


class Watch:
    """Looks at a log and a home.

    Args:
        metrics: Where it shows what it sees.
        log: Whose lag; None where a process has none.
        home: The directory of a home, or None.
        meters: Of this process's pumps: they know when the records under way were appended.
        clock: Milliseconds since 1970.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        log: Log | None = None,
        home: Path | None = None,
        meters: Sequence[PumpMeter] = (),
        clock: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._metrics = metrics
        self._log = log
        self._home = home
        self._meters = {meter.group: meter for meter in meters}
        self._clock = clock
        self._ends: dict[TopicPartition, deque[tuple[int, int]]] = defaultdict(lambda: deque(maxlen=_SAMPLES))
        self._letters: dict[TopicPartition, int] = {}
        self._abandoned = 0
        if log is not None:
            no_errors_yet(metrics, c.LOG_ERRORS, ("watch",))

    async def run(self, interval_s: float = INTERVAL_S) -> None:
        """Look again and again, until cancelled; while something is away, what was seen last stays."""
        while True:
            try:
                await self.look()
            except HelamemError as error:
                self._metrics.add(c.LOG_ERRORS, call="watch", reason=reason_of(error))
            await asyncio.sleep(interval_s)

    async def look(self) -> None:
        """Look once.

        Raises:
            RetryLater: The log is away.
        """
        if self._home is not None:
            await asyncio.to_thread(self._measure, self._home)
        if self._log is not None:
            found = await lags(self._log, self._log.committed)
            for one in found:
                self._show(one)
            self._metrics.set(c.HUBS_TO_DISTIL, sum(one.lag for one in found if one.group == CONSOLIDATION))
            await self._look_at_dead_letters(self._log)

    def _show(self, one: PartitionLag) -> None:
        labels = {"group": one.group, "topic": one.partition.topic, "partition": str(one.partition.partition)}
        self._metrics.set(c.LAG_RECORDS, one.lag, **labels)
        self._metrics.set(c.LAG_SECONDS, self._age_s(one), **labels)
        self._metrics.set(c.COMMITTED, one.committed or 0, **labels)

    def _age_s(self, one: PartitionLag) -> float:
        """Return since when the next record has stood in the log.

        Of a batch under way its first record says so. Else it was there at the latest when the log was first seen to
        end after it; nothing is read for it, since a read would take the pump's place in the log.
        """
        now_ms = self._clock()
        ends = self._ends[one.partition]
        if not ends or ends[-1][1] < one.end:
            ends.append((now_ms, one.end))
        if one.lag == 0:
            return 0.0
        since_ms = next((seen_ms for seen_ms, end in ends if end > one.end - one.lag), now_ms)
        meter = self._meters.get(one.group)
        if meter is not None:
            since_ms = min(since_ms, meter.oldest_ms.get(one.partition, since_ms))
        return max(0, now_ms - since_ms) / 1000

    async def _look_at_dead_letters(self, log: Log) -> None:
        """Count the dead letters, and tell each meter what its group has put aside."""
        partitions = await log.partitions(DEAD_LETTERS.name)
        begins, ends = await log.begin_offsets(partitions), await log.end_offsets(partitions)
        self._metrics.set(c.DEAD_LETTERS_HELD, sum(ends[at] - begins[at] for at in partitions))
        for at in partitions:
            offset = self._letters.get(at, begins[at])
            while offset < ends[at] and (records := await log.read(at, offset, end=ends[at], limit=_PAGE)):
                for record in records:
                    with suppress(Poison):
                        self._take_letter(decode(record.value).data)
                offset = records[-1].offset + 1
            self._letters[at] = offset
        self._metrics.set(c.HUBS_ABANDONED, self._abandoned)

    def _take_letter(self, letter: object) -> None:
        if not isinstance(letter, RecordDeadLettered):
            return
        self._abandoned += letter.group == CONSOLIDATION
        if (meter := self._meters.get(letter.group)) is not None:
            meter.put_aside(letter)

    def _measure(self, home: Path) -> None:
        for part, paths in (
            ("log", list(home.glob("log.sqlite*"))),
            ("embeddings", list(home.glob("embeddings.sqlite*"))),
            ("store", _files(home / "store")),
        ):
            self._metrics.set(c.HOME_BYTES, sum(map(_size_bytes, paths)), part=part)
        with suppress(OSError):
            self._metrics.set(c.HOME_FREE_BYTES, shutil.disk_usage(home).free)


@asynccontextmanager
async def watched(
    metrics: Metrics | None,
    *,
    log: Log | None = None,
    home: Path | None = None,
    meters: Sequence[Unmeasured] = (),
    interval_s: float = INTERVAL_S,
) -> AsyncIterator[None]:
    """Have a `Watch` look as long as the context lasts; without metrics nothing is looked at."""
    if metrics is None:
        yield
        return
    ours = [meter for meter in meters if isinstance(meter, PumpMeter)]
    running = asyncio.create_task(Watch(metrics, log=log, home=home, meters=ours).run(interval_s), name="watch")
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # files come and go: one that went takes nothing, and hides no other
        return 0


def _files(folder: Path) -> list[Path]:
    return [Path(above, name) for above, _, names in os.walk(folder) for name in names]
