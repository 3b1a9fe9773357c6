"""What the fold of one partition carries besides rows: settings in force, seen events, positions, counters.

The state is a function of the records alone, so it is the same wherever a worker was restarted; how many rows a
restarted worker found already folded is therefore not part of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from helamem.processors.seen import Seen, Verdict
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import base_name_of
from helamem.schemas.settings import Settings
from helamem.schemas.topics import TOPICS

STATE_VERSION = 1

_TOPIC_NAMES = frozenset(spec.base_name for spec in TOPICS)


class _Stored(Struct, frozen=True, array_like=True):
    """The state as it stands in a checkpoint."""

    version: int
    settings: Settings | None
    seen: bytes
    """Per accepted event, oldest first, 8 bytes of its id's hash and 8 of its bytes' hash."""
    applied: dict[str, int]
    totals: dict[str, int]


class FoldState:
    """The state of one partition.

    Args:
        stored: What `to_bytes` returned, or None at the start of the log.

    Raises:
        ConfigurationError: Another version of helamem wrote it.
    """

    def __init__(self, stored: bytes | None) -> None:
        self.settings: Settings | None = None
        """What the log last put in force, or None before its first `settings.applied`."""
        self.applied: dict[str, int] = {}
        """Per `topic/partition` the furthest position of all recalls so far; see `see_positions`."""
        self.totals: dict[Verdict, int] = {"accepted": 0, "duplicate": 0, "conflict": 0}
        self._seen = Seen()
        if stored is not None:
            self._load(stored)

    def admit(self, event_id: str, value: bytes) -> tuple[Verdict, bytes]:
        """Say whether an event is new and count it, and return the 8 bytes of its id's hash; see `Seen.admit`."""
        verdict, id_hash = self._seen.admit(event_id, value)
        self.totals[verdict] += 1
        return verdict, id_hash

    def see_positions(self, applied: Mapping[str, int]) -> None:
        """Take in the positions at which a recall was answered.

        A hub's members come from many recalls, answered by projections that were not equally far, and a
        `memory.reinforced` names no positions at all. Only the furthest position of all of them is one from
        which on every member exists or never will. Topics that are not ours are left out, to keep it small.
        """
        known = self.applied
        further = {
            partition: offset
            for partition, offset in applied.items()
            if offset > known.get(partition, -1) and (partition in known or _is_ours(partition))
        }
        if further:
            # a new mapping, since what was read before refers to the old one
            self.applied = known | further

    def to_bytes(self) -> bytes:
        """Return the state for a checkpoint: the same state is always the same bytes."""
        return msgspec.msgpack.encode(
            _Stored(
                version=STATE_VERSION,
                settings=self.settings,
                seen=self._seen.to_bytes(),
                applied=dict(sorted(self.applied.items())),
                totals=dict(self.totals.items()),
            )
        )

    def _load(self, raw: bytes) -> None:
        try:
            stored = msgspec.msgpack.decode(raw, type=_Stored)
        except msgspec.DecodeError:
            stored = None
        if stored is None or stored.version != STATE_VERSION:
            raise ConfigurationError(
                "a checkpoint of co-activation was written by another version of helamem; "
                "use that version, or rebuild the projection with `helamem replay`"
            )
        self.settings, self.applied = stored.settings, stored.applied
        self.totals = {
            "accepted": stored.totals["accepted"],
            "duplicate": stored.totals["duplicate"],
            "conflict": stored.totals["conflict"],
        }
        self._seen = Seen(stored.seen)


def _is_ours(partition: str) -> bool:
    topic, _, number = partition.rpartition("/")
    return base_name_of(topic) in _TOPIC_NAMES and number.isdecimal()
