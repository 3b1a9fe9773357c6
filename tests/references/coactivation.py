"""Co-activation once more, one event and one row at a time, over the slow Hebbian reference."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from helamem.schemas.events import MemoryRecalled, MemoryReinforced, SettingsApplied
from helamem.schemas.ids import id_bytes
from helamem.schemas.settings import Settings
from helamem.schemas.wire import Event
from references.hebbian import CAP, Row, event_hash


@dataclass
class Reference:
    """Rows by space and memory id, hubs in the order in which they form."""

    settings: Settings
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    hubs: list[tuple[str, str, int, int]] = field(default_factory=list)
    """Cause, memory id, strength, degree."""
    applied: dict[str, int] = field(default_factory=dict)

    def fold(self, log: Iterable[Event]) -> None:
        """Fold events of which none is a duplicate."""
        for event in log:
            data, hebbian = event.data, self.settings.hebbian
            if isinstance(data, SettingsApplied):
                self.settings = data.settings
            elif isinstance(data, MemoryRecalled):
                for partition, offset in data.applied.items():
                    self.applied[partition] = max(offset, self.applied.get(partition, 0))
                self._touch(event, [one.id for one in data.results if one.kind == "memory"], hebbian.eta_recalled)
            elif isinstance(data, MemoryReinforced):
                self._touch(event, [*data.memory_ids, *([data.cue] if data.cue else [])], hebbian.eta_reinforced)

    def _touch(self, event: Event, named: list[str], eta: float) -> None:
        hebbian, memories = self.settings.hebbian, list(dict.fromkeys(named))
        if round(eta * CAP) == 0 or len(memories) < 2:
            return
        for memory in memories:
            row = self.rows.setdefault((event.space, memory), Row(id_bytes(memory)))
            row.strengthen(
                [id_bytes(one) for one in memories],
                event_hash(event.id),
                event.time_ms,
                round(eta * CAP),
                half_life_ms=hebbian.half_life_s * 1000,
                neighbours=hebbian.neighbours,
                newcomers=hebbian.newcomers,
            )
            hub = row.hub(
                event.time_ms,
                half_life_ms=hebbian.half_life_s * 1000,
                strength=round(hebbian.hub_strength * CAP),
                degree=hebbian.hub_degree,
                cluster=hebbian.hub_cluster,
                rest_ms=hebbian.hub_rest_s * 1000,
            )
            if hub is not None:
                self.hubs.append((event.id, memory, hub[0], hub[1]))
