"""What was distilled lately, so that overlapping hubs do not tell the same again.

Memories that are recalled together become hubs together, each with nearly the same cluster. A statement is new where,
of each other statement of its kind and space that is remembered, at least a third of its evidence is not in that one;
statements of one cluster are not compared with each other. Where a distiller is costly, a cluster is worth it only
where, of each earlier cluster of the space that is remembered, at least a third of its memories are not in that one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest

import msgspec

from helamem.processors.consolidation.distiller import Cluster, Statement
from helamem.processors.store.port import Turn

REMEMBERED = 512
"""Statements of one partition that are remembered."""
_NEW_SHARE = 1 / 3
_CLUSTER = "cluster"
"""In place of a kind: what was given to a costly distiller."""

_Told = tuple[str, str, frozenset[str]]


class Told:
    """The newest statements of one partition of hubs.

    Args:
        stored: What `to_bytes` gave at the checkpoint, or None at the beginning.
    """

    def __init__(self, stored: bytes | None) -> None:
        told = msgspec.msgpack.decode(stored, type=list[_Told]) if stored else []
        self._told: deque[_Told] = deque(told, maxlen=REMEMBERED)

    @classmethod
    def gathered(cls, stored: Sequence[bytes], belongs: Callable[[str], bool]) -> Told:
        """Return what several partitions told of the spaces that are together in one now.

        Which of two partitions told later is not known, so the newest of each are kept.

        Args:
            stored: What `to_bytes` gave of each partition.
            belongs: Whether a space is in the new partition.
        """
        newest_first = [[one for one in reversed(cls(each)._told) if belongs(one[0])] for each in stored]  # noqa: SLF001 - its own kind
        taken = [one for same_age in zip_longest(*newest_first) for one in same_age if one is not None]
        told = cls(None)
        told._told.extend(reversed(taken[:REMEMBERED]))
        return told

    def new(self, space: str, statements: Sequence[Statement]) -> list[Statement]:
        """Return those statements of one cluster that tell something new, and remember them."""
        fresh = [one for one in statements if self._is_new(space, one.kind, _ids(one.evidence))]
        for one in fresh:
            self.remember(space, one.kind, _ids(one.evidence))
        return fresh

    def is_worth_it(self, cluster: Cluster) -> bool:
        """Return whether a cluster is to be given to a costly distiller, and remember it if so."""
        members = _ids(cluster.turns)
        if not self._is_new(cluster.space, _CLUSTER, members):
            return False
        self.remember(cluster.space, _CLUSTER, members)
        return True

    def _is_new(self, space: str, kind: str, ids: frozenset[str]) -> bool:
        return not any(
            (known_space, known_kind) == (space, kind) and len(ids - known) < _NEW_SHARE * len(ids)
            for known_space, known_kind, known in self._told
        )

    def remember(self, space: str, kind: str, evidence: Iterable[str]) -> None:
        """Know of a statement that was told, by the ids of the memories that it rests on."""
        self._told.append((space, kind, frozenset(evidence)))

    def to_bytes(self) -> bytes:
        """Return it as bytes: the same statements always give the same ones."""
        return msgspec.msgpack.encode([(space, kind, sorted(evidence)) for space, kind, evidence in self._told])


def _ids(turns: Iterable[Turn]) -> frozenset[str]:
    return frozenset(turn.id for turn in turns)
