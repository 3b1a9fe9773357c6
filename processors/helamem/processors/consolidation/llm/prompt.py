"""What a model is told: the instructions as they stand beside this module, and the messages as data.

A prompt that is changed gets another number in the name of its file: facts and recorded answers name it.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from helamem.processors.consolidation.dates import with_absolute_dates
from helamem.processors.consolidation.distiller import Cluster
from helamem.processors.store.port import Turn
from helamem.schemas.times import from_ms

VERSION = "distil.v1"
_REPAIR = "repair.v1"
_HERE = Path(__file__).parent
MOST_CHARACTERS = 4000
"""Of one message that are shown."""

Named = dict[str, Turn]
"""The turns of a cluster by the short ids under which a model sees them, in time order."""


def instructions() -> str:
    """Return what stands before the messages."""
    return (_HERE / f"{VERSION}.md").read_text(encoding="utf-8")


def repair(complaint: str) -> str:
    """Return what a model is told whose answer could not be read."""
    return (_HERE / f"{_REPAIR}.md").read_text(encoding="utf-8").replace("{complaint}", complaint)


def named(cluster: Cluster) -> Named:
    """Return the turns of a cluster under short ids."""
    turns = sorted(cluster.turns, key=lambda turn: (turn.time_ms, turn.id))
    return {f"m{number}": turn for number, turn in enumerate(turns, 1)}


def quoted(turns: Named) -> str:
    """Return messages as JSON: no text of theirs can end the quotation."""
    return orjson.dumps({"messages": [_message(id_, turn) for id_, turn in turns.items()]}).decode()


def _message(id_: str, turn: Turn) -> dict[str, str]:
    said = from_ms(turn.time_ms).date()
    return {
        "id": id_,
        "day": said.isoformat(),
        "weekday": f"{said:%A}",
        "speaker": turn.speaker,
        "role": turn.role,
        "text": with_absolute_dates(turn.text[:MOST_CHARACTERS], said),
    }
