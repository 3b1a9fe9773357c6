"""HeLa-Mem as its paper states it, on turns few enough to reckon by hand."""

from __future__ import annotations

from math import exp, inf

import numpy as np
import pytest
from msgspec import structs
from numpy.typing import NDArray

from fakes.turns import turn
from helamem.processors.store.port import Turn
from helamem.streams.evaluate.paper import PaperMemory, PaperSettings

DAY_MS = 86_400_000
AXES = np.eye(4, dtype=np.float32)


def turns(count: int) -> list[Turn]:
    """Return turns that follow one another, without keywords."""
    made: list[Turn] = []
    for number in range(count):
        made.append(structs.replace(turn(number, f"number {number}"), previous=made[-1].id if made else None))
    return made


def towards(*parts: float) -> NDArray[np.float32]:
    """Return a unit vector."""
    vector = np.array(parts, dtype=np.float32)
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def test_base_comes_first_and_spreading_after_it() -> None:
    """First k by base score, then the neighbours of the best, before what is as unlike the question but apart."""
    said = turns(4)
    memory = PaperMemory(said, AXES, PaperSettings(tau_days=inf))
    found = memory.recall("?", towards(1, 0.2, 0, 0), said[-1].time_ms, k=1, m=2)
    assert found == [said[0].id, said[1].id, said[2].id]
    found = memory.recall("?", towards(0, 0, 0.2, 1), said[-1].time_ms, k=1, m=2)
    assert found == [said[3].id, said[2].id, said[1].id]


def test_keywords_count_by_their_share_of_the_question() -> None:
    said = turns(3)
    said[2] = structs.replace(said[2], keywords=("bergen", "harbour"))
    memory = PaperMemory(said, AXES[:3], PaperSettings(tau_days=inf))
    assert memory.recall("Bergen and Lisbon?", towards(1, 0, 0, 0), said[-1].time_ms, k=1, m=0) == [said[0].id]
    assert memory.recall("Bergen?", towards(0.9, 0.43, 0, 0), said[-1].time_ms, k=1, m=0) == [said[2].id]


def test_all_of_a_score_ages_with_a_time_constant_of_60_days() -> None:
    """A turn that matches wholly, 60 · ln 2 days old, is worth what one is worth that matches by half, said now."""
    said = turns(2)
    for days, first in ((60 * 0.68, 0), (60 * 0.70, 1)):
        aged = [structs.replace(said[0], time_ms=said[1].time_ms - int(days * DAY_MS)), said[1]]
        memory = PaperMemory(aged, AXES[:2])
        assert memory.recall("?", towards(1, 0, 0, 0), said[1].time_ms, k=1, m=0) == [said[first].id]
    assert exp(-0.70) < 0.5 < exp(-0.68)


def test_every_pair_of_every_recall_gains_and_every_weight_fades() -> None:
    said = turns(4)
    memory = PaperMemory(said, AXES)
    before = memory.weights
    assert before[0, 1] == before[1, 0] == 0.5
    assert before[0, 2] == 0.0
    memory.learn([said[0].id, said[1].id, said[3].id])
    assert memory.weights[0, 1] == pytest.approx(0.5 * 0.995 + 0.02)
    assert memory.weights[0, 3] == pytest.approx(0.02)
    assert memory.weights[1, 2] == pytest.approx(0.5 * 0.995)
    for _ in range(1000):
        memory.learn([said[0].id, said[1].id])
    assert memory.weights.max() == 1.0
    assert memory.weights.diagonal().max() == 0.0
    assert (memory.weights == memory.weights.T).all()
