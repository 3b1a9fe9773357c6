"""What the records of recalls say to the fold: which memories gain how much, and which rules are in force."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from helamem.processors.coactivation.fold import CoActivated
from helamem.processors.coactivation.state import FoldState
from helamem.processors.hebbian.decay import units
from helamem.processors.port import Delivery
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import MemoryRecalled, MemoryReinforced, SettingsApplied
from helamem.schemas.settings import LOGIC_VERSION, HebbianSettings, Settings
from helamem.schemas.topics import RECALLS


class Stretch(NamedTuple):
    """Events that are folded by the same settings."""

    settings: HebbianSettings
    events: list[CoActivated]


def read(
    deliveries: Iterable[Delivery],
    state: FoldState,
    configured: Settings,
    counts: Counter[str],
    spaces: Collection[str] | None = None,
) -> list[Stretch]:
    """Return what is to be folded, in the order of the records.

    Args:
        deliveries: Consecutive records of one partition.
        state: Of that partition; taken on by the records.
        configured: In force until the partition's first `settings.applied`.
        counts: Counts what was met.
        spaces: Fold only what is of these spaces; None folds all. The state takes all on.

    Raises:
        Poison: An event's type does not belong to this topic.
        ConfigurationError: The log puts rules in force that this version does not know.
    """
    stretches: list[Stretch] = []
    settings = (state.settings or configured).hebbian
    events: list[CoActivated] = []
    for delivery in deliveries:
        event, data = delivery.event, delivery.event.data
        if not isinstance(data, RECALLS.events):
            raise Poison(f"{data.event_type} does not belong to {RECALLS.base_name}", "type")
        verdict, event_hash = state.admit(event.id, delivery.value)
        if verdict != "accepted":
            counts[verdict] += 1
            continue
        if isinstance(data, SettingsApplied):
            state.settings = known(data.settings)
            if events:
                stretches.append(Stretch(settings, events))
            settings, events = data.settings.hebbian, []
            counts["settings-applied"] += 1
            continue
        if isinstance(data, MemoryRecalled):
            state.see_positions(data.applied)
            named = [result.id for result in data.results if result.kind == "memory"]
            eta = units(settings.eta_recalled)
            counts["recalled"] += 1
        else:
            assert isinstance(data, MemoryReinforced)
            named = list(data.together)
            eta = units(settings.eta_reinforced)
            counts["reinforced"] += 1
        memory_ids = tuple(dict.fromkeys(named))
        if eta and len(memory_ids) > 1 and (spaces is None or event.space in spaces):
            events.append(
                CoActivated(
                    event_id=event.id,
                    event_hash=event_hash,
                    space=event.space,
                    time_ms=event.time_ms,
                    position=delivery.position,
                    memory_ids=memory_ids,
                    eta=eta,
                    applied=state.applied,
                    traceparent=event.traceparent,
                )
            )
    if events:
        stretches.append(Stretch(settings, events))
    return stretches


def known(settings: Settings) -> Settings:
    """Return settings whose rules this version knows.

    Raises:
        ConfigurationError: It does not.
    """
    if settings.logic_version != LOGIC_VERSION:
        raise ConfigurationError(
            f"the log puts logic version {settings.logic_version} in force and this helamem knows {LOGIC_VERSION}; "
            "run the version of helamem that wrote it"
        )
    return settings
