"""Recall with a reranker: whom it asks about, and what of the answer it changes."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fakes.directories import directory
from fakes.events import SPACE, START_MS, message
from fakes.machine import Machine, machine
from helamem.processors.recall.hits import Hit
from helamem.processors.recall.recall import Recall
from helamem.processors.reranker.port import RERANKED, Reranker
from helamem.schemas.events import RecallSettings

NOW_MS = START_MS + 10_000_000_000


class ByNumber:
    """Prefers the text with the highest number, and notes what it was asked, and where."""

    name = "by-number"

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.threads: set[int] = set()

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the numbers; see `Reranker.score`."""
        assert query
        self.asked.append(list(texts))
        self.threads.add(threading.get_ident())
        return np.array([int("".join(filter(str.isdigit, text)) or -1) for text in texts], dtype=np.float32)


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


async def ask(one: Machine, query: str, reranker: Reranker | None, **how: int) -> list[Hit]:
    """Return what a new recall finds."""
    recall = Recall(one.store, one.embedder, one.settings.hebbian, reranker=reranker)
    return await recall.recall(SPACE, query, RecallSettings(**how), NOW_MS)  # type: ignore[arg-type]


async def test_the_best_come_in_the_order_of_the_reranker(one: Machine) -> None:
    """The best 30 are read, not one more; scores stay what they are; those after them follow in their own order."""
    await one.append(
        *(
            message(f"m{n}", f"tent {n} " + "and rope " * (n % 7), conversation=f"c{n}", time_ms=START_MS + n)
            for n in range(50)
        )
    )
    await one.settle()
    plain = await ask(one, "Where is the tent?", None, k=50, m=0)
    reranker = ByNumber()
    hits = await ask(one, "Where is the tent?", reranker, k=50, m=0)
    first = [hit.text for hit in plain[:RERANKED]]
    assert reranker.asked == [first]
    assert threading.get_ident() not in reranker.threads

    def number(hit: Hit) -> int:
        return int("".join(filter(str.isdigit, hit.text)))

    assert hits == [*sorted(plain[:RERANKED], key=number, reverse=True), *plain[RERANKED:]]
    few = await ask(one, "Where is the tent?", reranker, k=5, m=0)
    assert [hit.text for hit in few] == [hit.text for hit in hits[:5]]
    assert {hit.text for hit in few} != {hit.text for hit in plain[:5]}
    assert reranker.asked[1] == first


async def test_what_holds_stays_before_what_held(one: Machine) -> None:
    """Whatever the reranker thinks of the older statement."""
    said = ("I live in Lisbon, at number 9.", "The harbour is cold.", "I have moved to Bergen.")
    await one.append(
        *(
            message(f"m{n}", text, conversation=f"c{n}", time_ms=START_MS + 86_400_000 * n)
            for n, text in enumerate(said)
        )
    )
    await one.settle()
    reranker = ByNumber()
    hits = [hit.text for hit in await ask(one, "Where does Anna live?", reranker)]
    bergen, lisbon = (next(n for n, text in enumerate(hits) if city in text) for city in ("Bergen", "Lisbon"))
    assert bergen < lisbon
    assert reranker.score("?", hits)[lisbon] > reranker.score("?", hits)[bergen]


async def test_an_empty_space_is_answered(one: Machine) -> None:
    assert await ask(one, "Where is the tent?", ByNumber()) == []
