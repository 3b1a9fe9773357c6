"""What the folds carry at the end of a copied partition: a migration carries it over, and nothing is refolded.

What encoding and co-activation carry is a function of the records alone, so it is computed from the copies. What
consolidation has told lately follows from clusters as well; its statements go to where their spaces are now.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from helamem.processors.coactivation.processor import GROUP as CO_ACTIVATION
from helamem.processors.coactivation.state import FoldState
from helamem.processors.consolidation.processor import GROUP as CONSOLIDATION
from helamem.processors.consolidation.told import Told
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.state import EncodingState
from helamem.processors.store.port import Checkpoint
from helamem.schemas.errors import Poison
from helamem.schemas.events import ConversationMessage, MemoryRecalled, SettingsApplied
from helamem.schemas.records import Position, TopicPartition, generation_of
from helamem.schemas.settings import Settings
from helamem.schemas.topics import TopicSpec
from helamem.schemas.wire import decode
from helamem.streams.lag import READS
from helamem.streams.log.partitioner import partition_of

Dead = Mapping[str, Mapping[TopicPartition, set[int]]]
"""What each group has put aside: it never reached the fold."""


class States:
    """The states of all partitions of a generation, as their records are taken in.

    Args:
        settings: In force; partitions that hold none are folded with them.
        dead: What was put aside, at the positions of the copies.
        told: The states of consolidation in the generation before, by partition.
        embedder: What embeds the projection whatever the log says, or None.
    """

    def __init__(
        self,
        settings: Settings,
        dead: Dead,
        told: Mapping[TopicPartition, bytes],
        embedder: str | None = None,
    ) -> None:
        self._settings = settings
        self._dead = dead
        self._told = told
        self._encoding: dict[TopicPartition, EncodingState] = defaultdict(
            lambda: EncodingState.of(None, self._settings, embedder)
        )
        self._folds: dict[TopicPartition, FoldState] = defaultdict(lambda: FoldState(None))

    def take(self, spec: TopicSpec, at: TopicPartition, offset: int, value: bytes) -> None:
        """Take in the next record of a partition."""
        group = next((name for name, specs in READS.items() if _among(spec, specs)), None)
        if group in {None, CONSOLIDATION} or offset in self._dead.get(group or "", {}).get(at, ()):
            return
        try:
            event = decode(value)
        except Poison:
            return
        data = event.data
        if not isinstance(data, spec.events) or isinstance(data, ConversationMessage):
            return
        if group == ENCODING:
            encoded = self._encoding[at]
            if encoded.seen.admit(event.id, value)[0] == "accepted" and isinstance(data, SettingsApplied):
                encoded.take(data.settings)
            return
        fold = self._folds[at]
        if fold.admit(event.id, value)[0] != "accepted":
            return
        if isinstance(data, SettingsApplied):
            fold.settings = data.settings
        elif isinstance(data, MemoryRecalled):
            fold.see_positions(data.applied)

    def checkpoints(self, specs: Sequence[TopicSpec], ends: Mapping[TopicPartition, int]) -> list[Checkpoint]:
        """Return where each group stands when it has processed everything up to `ends`."""
        return [
            Checkpoint(
                group=group,
                partition=at,
                position=Position(generation_of(at.topic), ends[at]),
                state=self._state(group, at, spec.partitions),
            )
            for group, read in READS.items()
            for spec in specs
            if _among(spec, read)
            for at in (TopicPartition(spec.name, number) for number in range(spec.partitions))
        ]

    def _state(self, group: str, at: TopicPartition, partitions: int) -> bytes:
        if group == ENCODING:
            return self._encoding[at].to_bytes()
        if group == CO_ACTIVATION:
            return self._folds[at].to_bytes()
        return Told.gathered(
            [state for _, state in sorted(self._told.items())],
            lambda space: partition_of(space.encode(), partitions) == at.partition,
        ).to_bytes()


def _among(spec: TopicSpec, specs: Sequence[TopicSpec]) -> bool:
    return any(one.base_name == spec.base_name for one in specs)
