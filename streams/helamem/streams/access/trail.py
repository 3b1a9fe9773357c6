"""`AccessTrail`: who asked for what, on its way into the log."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Protocol

from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.events import SpaceAccessed
from helamem.schemas.records import NewRecord
from helamem.schemas.wire import Event
from helamem.streams.access import refusals
from helamem.streams.access.records import access_record
from helamem.streams.home import wall_clock_ms
from helamem.streams.ingest.incoming import record_of
from helamem.streams.log.port import Log

FLUSH_S = 0.5
"""How often what waits is appended: a process that is killed loses so much of it, and what one append takes."""
MOST_WAITING = 100_000
"""Records that wait while the log is away; then nobody reads what could not be recorded."""
_PATIENCE_S = 30.0
"""How long an answer waits until it is recorded: another erasure may have closed the log just then."""
_AGAIN_S = 0.05
_log = logging.getLogger(__name__)


class Changes(Protocol):
    """Where changes of keys wait that are not in the log yet."""

    def unrecorded(self) -> list[Event]:
        """Return their events, in order."""
        ...

    def recorded(self, events: list[Event]) -> None:
        """Note that these are in the log."""
        ...


class AccessTrail:
    """Appends accesses to the log: many at once soon after they were answered, or one before it is.

    Args:
        log: Gives the log for one append; raises `RetryLater` where it is closed for a while.
        changes: Changes of keys, which are appended with them.
        clock: Milliseconds since 1970.
        new_id: Makes ids of events.
    """

    def __init__(
        self,
        log: Callable[[], AbstractContextManager[Log]],
        changes: Changes,
        clock: Callable[[], int] = wall_clock_ms,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self._log = log
        self._changes = changes
        self._clock = clock
        self._new_id = new_id
        self._waiting: list[NewRecord] = []
        self._refusals = refusals.Refusals()
        self._left_out = 0
        """Refusals that found no room since the log was written last."""
        self._told: set[str] = set()
        """Changes that cannot be recorded, by the ids of their events."""
        self._in_turn = asyncio.Lock()

    def check_room(self) -> None:
        """Refuse what could not be recorded.

        Raises:
            RetryLater: Too much waits for the log already.
        """
        if len(self._waiting) >= MOST_WAITING:
            raise RetryLater(
                f"{MOST_WAITING:,} accesses wait to be recorded and the log takes none, so nobody may read more now"
            )

    def note(self, space: str, accessed: SpaceAccessed) -> None:
        """Have an access appended soon; of refusals, which `check_room` cannot keep away, only so many.

        Raises:
            BadInput: There can be no such space.
        """
        now_ms = self._clock()
        record = access_record(self._new_id(), space, now_ms, accessed)
        if accessed.status == refusals.STATUS:
            if len(self._waiting) >= MOST_WAITING:
                self._left_out += 1
                return
            if not self._refusals.is_new(space, accessed, now_ms):
                return
        self._waiting.append(record)

    async def flush(self) -> None:
        """Append what waits; what cannot be appended goes on waiting.

        Raises:
            RetryLater: The log cannot be written now.
        """
        async with self._in_turn:
            changes = self._recordable(self._changes.unrecorded())
            count = len(self._waiting)
            records = [*(record for _, record in changes), *self._waiting]
            if not records:
                return
            with self._log() as log:
                await log.append(records)
            del self._waiting[:count]
            if self._left_out:
                _log.error("refusals were not recorded while too many accesses waited: %d", self._left_out)
            self._left_out = 0
            if changes:
                self._changes.recorded([change for change, _ in changes])

    def _recordable(self, changes: list[Event]) -> list[tuple[Event, NewRecord]]:
        """Return changes with their records; one that fits into none must not keep others from the log."""
        found: list[tuple[Event, NewRecord]] = []
        for change in changes:
            try:
                found.append((change, record_of(change)))
            except BadInput as error:
                if change.id not in self._told:
                    _log.error("a change of a key cannot be recorded: %s", error)
                self._told.add(change.id)
        return found

    async def flush_surely(self) -> None:
        """Append what waits, and wait for a log that is away a little.

        Raises:
            RetryLater: It stays away.
        """
        until_s = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return await self.flush()
            except RetryLater:
                if time.monotonic() >= until_s:
                    raise
                await asyncio.sleep(_AGAIN_S)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Append what is noted as long as the context lasts, and the rest at its end."""
        ending = asyncio.Event()
        flushing = asyncio.create_task(self._flush_until(ending))
        try:
            yield
        finally:
            ending.set()
            await flushing
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 - whatever it is, the gateway ends in order
                _log.error("accesses were not recorded: %d, since %s", len(self._waiting), error)

    async def _flush_until(self, ending: asyncio.Event) -> None:
        told = False
        while not ending.is_set():
            try:
                async with asyncio.timeout(FLUSH_S):
                    await ending.wait()
            except TimeoutError:
                pass
            try:
                await self.flush()
                told = False
            except RetryLater:  # closed for an erasure, or its disk is full: `check_room` minds how much waits
                continue
            except Exception as error:  # noqa: BLE001 - such as keys that cannot be read: reads go on, and so must this
                if not told:
                    _log.error("accesses cannot be recorded: %s", error)
                told = True
