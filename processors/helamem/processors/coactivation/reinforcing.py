"""What an agent's word about a recall ties together.

Memories that answered a question together belong together, and the question leads to all of them by what it found
first. So that memory, the cue, is tied to what was of use, also where a single one was: asked again, the question finds
the cue first and spreads from it to what was of use. HeLa-Mem (arXiv 2604.16839, section 3.2) ties all that a recall
returned; here only what came first and what was of use.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from helamem.schemas.events import MemoryRecalled, MemoryReinforced


def reinforcement(recall_id: str, recalled: MemoryRecalled, memory_ids: Sequence[str]) -> MemoryReinforced:
    """Return the event that says which memories of a recall were of use.

    Args:
        recall_id: Id of the recall's event.
        recalled: The recall.
        memory_ids: Of memories that it returned.
    """
    first = next((result.id for result in recalled.results if result.kind == "memory"), None)
    cue = UNSET if first is None or first in memory_ids else first
    return MemoryReinforced(recall_id=recall_id, memory_ids=tuple(memory_ids), cue=cue)
