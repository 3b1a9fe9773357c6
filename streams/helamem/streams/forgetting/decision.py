"""What policies choose, from the store and the log: read here, decided by `processors.forgetting.policy`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from helamem.processors.forgetting.policy import REASONS, Choice, Reason, choose, note_use
from helamem.processors.store.port import MemoryStore
from helamem.schemas.ids import tenant_of
from helamem.schemas.settings import ForgettingPolicy, Settings
from helamem.schemas.topics import RECALLS
from helamem.streams.lineage.reader import LogReader
from helamem.streams.log.port import Log


class Decision(Struct, frozen=True, kw_only=True):
    """What goes from some spaces, decided at one moment."""

    as_of_ms: int
    """The moment, event time."""
    choices: tuple[Choice, ...]
    """One for each space, in order of their names."""

    @property
    def counts(self) -> dict[Reason, int]:
        """How many memories go, by reason, of all spaces together."""
        found = Counter(one.reason for choice in self.choices for one in choice.memories)
        return {reason: found[reason] for reason in REASONS}


async def decide(
    store: MemoryStore,
    log: Log,
    settings: Settings,
    spaces: Sequence[str],
    *,
    as_of_ms: int,
    policy: ForgettingPolicy | None = None,
    uses: Mapping[str, Mapping[str, int]] | None = None,
) -> Decision:
    """Return what would be forgotten; nothing is changed.

    Args:
        store: Holds the memories, as far as they are processed.
        log: Tells when they were last used: its recalls are read once, from the first one that it still holds, unless
            `uses` are given.
        settings: In force; they name each tenant's policy, and the half-life of weights.
        spaces: Whose memories.
        as_of_ms: The moment of the decision, event time.
        policy: Decide by this one instead.
        uses: Per space when its memories and facts were last used, by whoever has read the recalls already.

    Raises:
        BadInput: The log holds nothing.
        RetryLater: The store or the log is away.
    """
    if uses is None:
        uses = await _uses(await LogReader.open(log), spaces)
    return Decision(
        as_of_ms=as_of_ms,
        choices=tuple(
            [
                await asyncio.to_thread(  # the loop answers others meanwhile: it takes a second for 100,000 memories
                    choose,
                    space,
                    {turn.id: turn async for turn in store.scan_turns(space)},
                    {row.memory_id: row async for row in store.scan_edges(space)},
                    [fact async for fact in store.scan_facts(space)],
                    uses[space],
                    policy=policy or settings.policy(tenant_of(space)),
                    now_ms=as_of_ms,
                    half_life_ms=settings.hebbian.half_life_s * 1000,
                )
                for space in sorted(set(spaces))
            ]
        ),
    )


async def _uses(reader: LogReader, spaces: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return per space when its memories and facts were last used, in event time."""
    uses: dict[str, dict[str, int]] = {space: {} for space in spaces}
    only = spaces[0] if len(uses) == 1 else None
    async for one in reader.events(RECALLS, only):
        if (of_space := uses.get(one.event.space)) is not None:
            note_use(of_space, one.event.data, one.event.time_ms)
    return uses
