"""Any order of marks and insertions ends in the same visible state, in both stores."""

from __future__ import annotations

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import AsyncQdrantClient

from contracts.store_contract import DIMENSION, A, mark, memory
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Mark, Memory, MemoryStore, Writes
from helamem.processors.store.qdrant import QdrantStore

_MEMORIES = [memory(n, "apple pie") for n in range(3)]
_Step = Memory | Mark

_marks = st.builds(
    lambda which, offset, generation: mark(
        # One position says one thing: hidden or not follows from it.
        _MEMORIES[which],
        offset,
        generation=generation,
        hidden=(offset + generation) % 2 == 0,
    ),
    st.integers(0, 2),
    st.integers(0, 4),
    st.integers(1, 2),
)
_steps = st.lists(st.lists(st.one_of(_marks, st.sampled_from(_MEMORIES)), max_size=4), max_size=6)


def expected(batches: list[list[_Step]]) -> dict[str, bool]:
    """Return the ids of what was inserted, and whether the mark with the greatest position hides it."""
    steps = [step for batch in batches for step in batch]
    marks = sorted((s for s in steps if isinstance(s, Mark)), key=lambda m: m.position)
    hidden = {m.target: m.hidden for m in marks}
    return {s.turn.id: hidden.get(s.turn.id, False) for s in steps if isinstance(s, Memory)}


async def visible_state(store: MemoryStore, batches: list[list[_Step]]) -> tuple[dict[str, bool], set[str]]:
    """Apply the batches, redelivering the first in the end, and return what is hidden and what a search finds."""
    for batch in [*batches, *batches[:1]]:
        await store.write(
            Writes(
                memories=tuple(s for s in batch if isinstance(s, Memory)),
                marks=tuple(s for s in batch if isinstance(s, Mark)),
            )
        )
    turns = await store.turns(A, [m.turn.id for m in _MEMORIES])
    found = await store.search_memories(A, _MEMORIES[0].dense, "apple", 9)
    assert set(found.dense) == set(found.lexical)
    return {id_: turn.hidden for id_, turn in turns.items()}, set(found.dense)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(batches=_steps)
def test_in_the_embedded_store(batches: list[list[_Step]]) -> None:
    """The mark with the greatest position holds, whatever came first, and search obeys it."""

    async def run() -> tuple[dict[str, bool], set[str]]:
        with TemporaryDirectory() as directory:
            store = await EdgeStore.open(Path(directory) / "store", dimension=DIMENSION)
            try:
                return await visible_state(store, batches)
            finally:
                await store.close()

    hidden = expected(batches)
    assert asyncio.run(run()) == (hidden, {id_ for id_, is_hidden in hidden.items() if not is_hidden})


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant:UserWarning")  # see test_qdrant
@settings(max_examples=50, deadline=None)
@given(batches=_steps)
def test_on_a_server(batches: list[list[_Step]]) -> None:
    """The same on the client's local mode."""

    async def run() -> tuple[dict[str, bool], set[str]]:
        store = await QdrantStore.open(AsyncQdrantClient(":memory:"), dimension=DIMENSION)
        try:
            return await visible_state(store, batches)
        finally:
            await store.close()

    hidden = expected(batches)
    assert asyncio.run(run()) == (hidden, {id_ for id_, is_hidden in hidden.items() if not is_hidden})
