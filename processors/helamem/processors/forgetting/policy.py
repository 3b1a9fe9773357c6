"""Forgetting: only what is weak AND old AND not recalled lately may go, and it can be brought back.

HeLa-Mem (arXiv 2604.16839) prunes weak memories; its reference code never calls that. Here it is a pure decision over
what the log became, taken at a stated time; the caller writes it to the log as `memory.forgotten`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from helamem.processors.hebbian.decay import CAP, decayed, tick
from helamem.processors.hebbian.packing import unpack
from helamem.processors.store.port import EdgeRow, Turn

_DAY_MS = 86_400_000


class ForgettingPolicy(Struct, frozen=True, kw_only=True):
    """All three conditions must hold."""

    weaker_than: Annotated[float, Meta(ge=0.0)] = 0.02
    """Sum of its learned weights now, each a fraction of the cap."""
    older_than_days: Annotated[int, Meta(ge=0)] = 180
    """Event time since it was said."""
    not_recalled_for_days: Annotated[int, Meta(ge=0)] = 90
    """Event time since it was last recalled together with another memory."""


class Forgettable(Struct, frozen=True, kw_only=True):
    """A memory that the policy would hide, with its reasons."""

    memory_id: str
    message_id: str
    text: str
    age_days: int
    strength: float
    last_recalled_ms: int | None


def forgettable(
    turns: Mapping[str, Turn], rows: Mapping[str, EdgeRow], policy: ForgettingPolicy, now_ms: int, half_life_ms: int
) -> list[Forgettable]:
    """Return what may be forgotten of one space, oldest first, ties by id.

    Args:
        turns: The memories of the space by id; hidden ones are passed over.
        rows: Their edge rows by memory id; a memory without one was never recalled together with another.
        policy: The three conditions.
        now_ms: The moment of the decision, event time.
        half_life_ms: Half-life of a learned weight.
    """
    found = []
    for turn in turns.values():
        age_ms = now_ms - turn.time_ms
        if turn.hidden or turn.erased or age_ms < policy.older_than_days * _DAY_MS:
            continue
        row = rows.get(turn.id)
        edges = unpack(row.neighbours) if row is not None else []
        last = max((as_of for _, _, as_of in edges), default=None)
        if last is not None and now_ms - last < policy.not_recalled_for_days * _DAY_MS:
            continue
        now = tick(now_ms, half_life_ms)
        strength = sum(decayed(weight, now - tick(as_of, half_life_ms)) for _, weight, as_of in edges) / CAP
        if strength < policy.weaker_than:
            found.append(
                Forgettable(
                    memory_id=turn.id,
                    message_id=turn.message_id,
                    text=turn.text,
                    age_days=age_ms // _DAY_MS,
                    strength=round(strength, 6),
                    last_recalled_ms=last,
                )
            )
    return sorted(found, key=lambda one: (-one.age_days, one.memory_id))
