"""Rounds: a running instance applies the policies by itself, for tenants whose policy says how often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from msgspec import Struct

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.forgetting.policy import note_use
from helamem.processors.store.port import MemoryStore
from helamem.schemas.errors import RetryLater
from helamem.schemas.events import MemoryForgotten, MemoryRecalled, MemoryReinforced
from helamem.schemas.ids import tenant_of
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONTROL, RECALLS
from helamem.streams.forgetting.decision import Decision
from helamem.streams.forgetting.run import Forgetting
from helamem.streams.lag import ends_of, left_before
from helamem.streams.lineage.reader import LogReader
from helamem.streams.log.port import Log

SOURCE = "helamem/forgetting-rounds"
LOOK_EVERY_S = 3600.0
"""Between two looks whether a round is due."""
CAUGHT_UP_EVERY_S = 0.25
"""Between two looks whether what a round decides by is processed."""
_DAY_MS = 86_400_000
_GROUPS = (ENCODING, CO_ACTIVATION)
"""Whose work a round decides by."""


class Round(Struct, frozen=True, kw_only=True):
    """A policy was applied to the spaces of a tenant."""

    tenant: str
    decision: Decision
    run: str | None
    """Id of the run, or None where nothing went."""


class Rounds:
    """Applies policies when they are due; whoever processes the log runs beside it.

    It is due when the newest event of the tenant's spaces is `every_days` later than its last round: where nothing is
    said and nothing recalled, nothing is forgotten. An event whose time is yet to come counts as one of now, since a
    single wrong clock would make everything old. When the last round was is read from the log; one that found nothing
    leaves nothing there, and is known to this process alone.

    Args:
        store: Holds the memories.
        log: Where the events are.
        settings: In force.
        clock: Milliseconds since 1970.
        on_round: Told of each round.
        on_retry: Told what is away; the next look tries again.
        look_every_s: Between two looks.
    """

    def __init__(
        self,
        store: MemoryStore,
        log: Log,
        settings: Settings,
        *,
        clock: Callable[[], int],
        on_round: Callable[[Round], None] = lambda round_: None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._store = store
        self._log = log
        self._settings = settings
        self._forgetting = Forgetting(store, log, settings, source=SOURCE)
        self._clock = clock
        self._on_round = on_round
        self._on_retry = on_retry
        self._look_every_s = look_every_s
        self._last: dict[str, int] = {}
        self._seen: Mapping[TopicPartition, int] = {}

    @property
    def wanted(self) -> bool:
        """Whether any policy says how often."""
        policies = (self._settings.forgetting, *self._settings.forgetting_of.values())
        return any(policy.every_days is not None for policy in policies)

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again, until `stopping`; a round under way is finished first."""
        while self.wanted and not stopping.is_set():
            try:
                await self.look(stopping)
            except RetryLater as error:
                self._on_retry(error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self._look_every_s)

    async def look(self, stopping: asyncio.Event) -> list[Round]:
        """Apply the policies that are due, once all is processed that the log holds now.

        Args:
            stopping: Where it is set, no further round is begun.

        Raises:
            RetryLater: The store or the log is away.
        """
        ends = await ends_of(self._log, _GROUPS)
        if ends == self._seen or not await self._caught_up(ends, stopping):
            return []
        tenants = await self._tenants()
        newest, last, uses = await self._times(tenants)
        clock_ms = self._clock()
        rounds: list[Round] = []
        for tenant, spaces in tenants.items():
            if stopping.is_set():
                return rounds
            now_ms = min(newest[tenant], clock_ms)
            before = max(last.get(tenant, -1), self._last.get(tenant, -1))
            every_days = self._settings.policy(tenant).every_days
            if every_days is None or (before >= 0 and now_ms - before < every_days * _DAY_MS):
                continue
            decision = await self._forgetting.decide(spaces, as_of_ms=now_ms, uses=uses)
            run = await self._forgetting.carry_out(decision)
            self._last[tenant] = now_ms
            rounds.append(Round(tenant=tenant, decision=decision, run=run))
            self._on_round(rounds[-1])
        if all(time_ms <= clock_ms for time_ms in newest.values()):  # else something may become due by the clock alone
            self._seen = ends
        return rounds

    async def _caught_up(self, ends: Mapping[TopicPartition, int], stopping: asyncio.Event) -> bool:
        """Return whether all up to `ends` is processed; wait until it is, or False once `stopping` is set."""
        while not stopping.is_set():
            if not await left_before(ends, self._log, self._store):
                return True
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), CAUGHT_UP_EVERY_S)
        return False

    async def _tenants(self) -> dict[str, list[str]]:
        """Return the spaces of each tenant whose policy says how often."""
        tenants: dict[str, list[str]] = {}
        for space in sorted(await self._store.spaces()):
            if self._settings.policy(tenant_of(space)).every_days is not None:
                tenants.setdefault(tenant_of(space), []).append(space)
        return tenants

    async def _times(
        self, tenants: Mapping[str, Sequence[str]]
    ) -> tuple[dict[str, int], dict[str, int], dict[str, dict[str, int]]]:
        """Return per tenant the time of the newest event, and of the last round that hid something; per space the uses.

        The recalls are the long part of a log, so they are read once for all of it.
        """
        reader = await LogReader.open(self._log)
        newest = dict.fromkeys(tenants, 0)
        last: dict[str, int] = {}
        uses: dict[str, dict[str, int]] = {space: {} for spaces in tenants.values() for space in spaces}
        for tenant, spaces in tenants.items():
            for space in spaces:
                async for turn in self._store.scan_turns(space):
                    newest[tenant] = max(newest[tenant], turn.time_ms)
        async for one in reader.events(RECALLS, None):
            tenant = tenant_of(one.event.space)
            if tenant in newest and isinstance(one.event.data, MemoryRecalled | MemoryReinforced):
                newest[tenant] = max(newest[tenant], one.event.time_ms)
            if (of_space := uses.get(one.event.space)) is not None:
                note_use(of_space, one.event.data, one.event.time_ms)
        async for one in reader.events(CONTROL, None):
            if one.event.source == SOURCE and isinstance(one.event.data, MemoryForgotten):
                tenant = tenant_of(one.event.space)
                last[tenant] = max(last.get(tenant, 0), one.event.time_ms)
        return newest, last, uses
