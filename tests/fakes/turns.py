"""Turns as a store gives them, for what reads turns and nothing else."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Literal

from fakes.events import SPACE
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.store.port import Turn
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position
from helamem.schemas.times import to_ms

NOON = datetime(2025, 3, 12, 12, tzinfo=UTC)


def turn(
    number: int,
    text: str,
    *,
    speaker: str = "Anna",
    role: Literal["user", "agent"] = "user",
    time: datetime | None = None,
) -> Turn:
    """Return a turn of the test's conversation, one minute after the one before."""
    return Turn(
        id=memory_id(SPACE, f"m{number}"),
        space=SPACE,
        message_id=f"m{number}",
        conversation="c",
        turn=number,
        previous=None,
        speaker=speaker,
        role=role,
        text=text,
        time_ms=to_ms(time or NOON) + (0 if time else number * 60_000),
        keywords=(),
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        vector_hash="",
        position=Position(1, number),
        claims=tuple(claim for _, claim in claims(text, speaker)),
    )
