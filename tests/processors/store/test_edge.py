"""EdgeStore under the contract, and what only an embedded store has to promise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from msgspec import structs
from qdrant_edge import EdgeShard

from contracts.store_contract import DIMENSION, A, Reopen, StoreContract, all_turns, checkpoint, mark, memory, row
from fakes.subjects import leaks
from helamem.processors.pauses import Pauses
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.edge_engine import engine_error
from helamem.processors.store.edge_shards import SCHEMA, Shards
from helamem.processors.store.lexical import Lexical
from helamem.processors.store.port import Memory, Writes
from helamem.processors.store.prepared import prepared
from helamem.schemas.errors import ConfigurationError, RetryLater


@pytest.fixture
async def stores() -> AsyncIterator[list[EdgeStore]]:
    """Every store that a test opens; they are closed in the end."""
    opened: list[EdgeStore] = []
    yield opened
    for store in opened:
        await store.close()


@pytest.fixture
async def store(tmp_path: Path, stores: list[EdgeStore]) -> EdgeStore:
    stores.append(await EdgeStore.open(tmp_path / "store", dimension=DIMENSION))
    return stores[-1]


@pytest.fixture
def reopen(tmp_path: Path, stores: list[EdgeStore]) -> Reopen:
    async def again() -> EdgeStore:
        await stores[-1].close()
        stores.append(await EdgeStore.open(tmp_path / "store", dimension=DIMENSION))
        return stores[-1]

    return again


class TestEdgeStore(StoreContract):
    @pytest.fixture
    def big_batch(self) -> int:
        return 5000


async def test_another_dimension_is_refused(store: EdgeStore, tmp_path: Path) -> None:
    """The sentence names both and says what to do; the store is as it was."""
    await store.write(Writes(memories=(memory(1),)))
    await store.close()
    with pytest.raises(ConfigurationError, match=r"vectors of 32 numbers, not of 64; choose the embedder"):
        await EdgeStore.open(tmp_path / "store", dimension=64)
    again = await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    assert len(await all_turns(again)) == 1
    await again.close()


async def test_another_language_is_refused(store: EdgeStore, tmp_path: Path) -> None:
    """Terms of one language's stems do not meet another's."""
    await store.close()
    with pytest.raises(ConfigurationError, match="is for english, not for german"):
        await EdgeStore.open(tmp_path / "store", dimension=DIMENSION, language="german")
    with pytest.raises(ConfigurationError, match="knows no language 'klingon'"):
        await EdgeStore.open(tmp_path / "other", dimension=DIMENSION, language="klingon")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("schema", "advice"), [(SCHEMA + 1, "install a newer helamem"), (0, "delete it: it is filled again from the log")]
)
async def test_another_layout_is_refused(store: EdgeStore, tmp_path: Path, schema: int, advice: str) -> None:
    """A store of a newer version is not touched, one of an older version is to be deleted."""
    await store.close()
    description = tmp_path / "store" / "store.json"
    description.write_bytes(msgspec.json.encode({**msgspec.json.decode(description.read_bytes()), "schema": schema}))
    with pytest.raises(ConfigurationError, match=advice):
        await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)


async def test_damage_is_told_apart_and_said(store: EdgeStore, tmp_path: Path) -> None:
    """A broken description, a broken checkpoint, a lost directory: each its own sentence."""
    await store.save_checkpoint(checkpoint(b"state"))
    await store.close()
    (file,) = (tmp_path / "store" / "checkpoints").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    with pytest.raises(ConfigurationError, match=r"is damaged \(.*@.*\.checkpoint\); delete it: it is filled again"):
        await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    file.write_bytes(whole)
    await (await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)).close()
    (tmp_path / "store" / "facts").rename(tmp_path / "facts")
    with pytest.raises(ConfigurationError, match="has lost its directory facts"):
        await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(ConfigurationError, match=r"store is damaged \(store\.json\); delete it: it is filled again"):
        await EdgeStore.open(tmp_path / "store", dimension=DIMENSION)


async def test_what_is_gathered_cannot_wait_for_something_else(store: EdgeStore) -> None:
    """It would keep the thread for ever; the sentence says what to do, and the store goes on."""

    async def wait() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaits something else than reads of its store; await that before"):
        await store.gather(wait())
    assert await store.turns(A, []) == {}


async def test_a_store_that_was_being_made_is_made_to_the_end(tmp_path: Path, store: EdgeStore) -> None:
    """A crash between the directories leaves nothing that a second attempt stumbles over."""
    await store.close()
    home = tmp_path / "store"
    (home / "store.json").unlink()
    (home / "marks").rename(home / "marks.new")
    again = await EdgeStore.open(home, dimension=DIMENSION)
    await again.write(Writes(memories=(memory(1),), marks=(mark(memory(1), 1, hidden=True),)))
    assert [t.hidden for t in await all_turns(again)] == [True]
    await again.close()


async def test_vectors_that_do_not_fit_are_refused_before_anything_is_written(store: EdgeStore) -> None:
    """Of another length, or with numbers that are not finite."""
    good, bad = memory(1), memory(2)
    for dense in (np.zeros(DIMENSION + 1, np.float32), np.full(DIMENSION, np.nan, np.float32)):
        with pytest.raises(ConfigurationError, match=r"shape|not finite"):
            await store.write(Writes(memories=(good, Memory(turn=bad.turn, dense=dense, lexical="x"))))
    assert await all_turns(store) == []


async def test_what_another_process_prepared_is_stored_as_if_it_was_not(store: EdgeStore, tmp_path: Path) -> None:
    """Turns, scores, marks that came before, and the refusal of a vector that does not fit."""
    memories = [memory(n) for n in range(40)]
    lexical = Lexical("english")
    ready = [prepared(one, lexical) for one in memories]
    marks = Writes(marks=(mark(memories[3], 8, hidden=True),))
    other = await EdgeStore.open(tmp_path / "other", dimension=DIMENSION)
    try:
        for one in (store, other):
            await one.write(marks)
        await store.insert(ready)
        await other.write(Writes(memories=tuple(memories)))
        assert await all_turns(store) == await all_turns(other)
        assert [turn.hidden for turn in await all_turns(store)].count(True) == 1
        scores = [await one.search_memories(A, memories[7].dense, memories[7].lexical, 100) for one in (store, other)]
        assert scores[0] == scores[1]
        assert scores[0].lexical
        wide = structs.replace(ready[0], id=memory(50).turn.id, dense=np.zeros(DIMENSION + 1, np.float32))
        with pytest.raises(ConfigurationError, match="this one has the shape"):
            await store.insert([prepared(memory(51), lexical), wide])
        assert await all_turns(store) == await all_turns(other)
    finally:
        await other.close()


async def test_a_closed_store_says_so(store: EdgeStore) -> None:
    """Closing twice does no harm; using it afterwards is an error of the caller."""
    await store.close()
    await store.close()
    with pytest.raises(ConfigurationError, match="is closed"):
        await store.turns(A, [])


async def test_a_disk_that_is_almost_full_refuses_writes_and_goes_on_reading(
    store: EdgeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the engine touches a page without room behind it, which would end the process; later it is tried again."""
    await store.write(Writes(memories=(memory(1),)))
    monkeypatch.setattr(store._writer._room, "_reserve_bytes", 2**60)
    with pytest.raises(RetryLater, match=r"is almost full: [\d,]+ MiB are free, [\d,]+ MiB are needed"):
        await store.write(Writes(memories=(memory(2),)))
    with pytest.raises(RetryLater, match="is almost full"):
        await store.optimize()
    await store.flush()
    assert [t.message_id for t in await all_turns(store)] == ["m1"]
    monkeypatch.undo()
    await store.write(Writes(memories=(memory(2),)))
    assert [t.message_id for t in await all_turns(store)] == ["m1", "m2"]


def test_a_full_disk_is_worth_another_try() -> None:
    """The engine's words for it become ours."""
    error = engine_error(Exception("Service internal error: IO Error: No space left on device (os error 28)"))
    assert isinstance(error, RetryLater)
    assert "disk that holds the store is full" in str(error)
    assert "the store failed" in str(engine_error(Exception("Service internal error: task panicked")))


async def test_a_flush_is_shared(store: EdgeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By all who ask while none has begun."""
    syncs: list[str] = []

    def synced(name: str) -> EdgeShard:
        syncs.append(name)
        shard: EdgeShard = getattr(store._shards, name)
        return shard

    await store.flush()
    await store.write(Writes(memories=(memory(1),)))
    monkeypatch.setattr(store._writer, "_shard", synced)
    await asyncio.gather(*(store.flush() for _ in range(5)))
    assert syncs == ["memories"]


async def test_closing_waits_for_a_flush_for_which_nobody_waits_any_more(store: EdgeStore) -> None:
    """A flush of files that are closed would end the process."""
    await store.write(Writes(memories=(memory(1),)))
    asked = asyncio.create_task(store.flush())
    await asyncio.sleep(0)
    asked.cancel()
    await store.close()
    assert not store._commits._all
    with pytest.raises(ConfigurationError, match="the store is closed"):
        await store.flush()


async def test_closing_waits_for_a_read_for_which_nobody_waits_any_more(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files are closed when nobody reads in them."""
    steps: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        go_on.wait()
        steps.append("read")

    asked = asyncio.create_task(store._engine.read(slow))
    await asyncio.to_thread(begun.wait)
    asked.cancel()
    monkeypatch.setattr(Shards, "close", lambda shards: steps.append("closed"))
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.1)
    go_on.set()
    await closing
    assert steps == ["read", "closed"]
    monkeypatch.undo()
    store._shards.close()


async def test_who_closes_during_an_erasure_waits_for_it_and_for_those_who_read_before(
    store: EdgeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files that are closed in use end the process: the readers that the erasure waits for count too."""
    gone = memory(1, "Doctor Wobblethorpe is gone")
    await store.write(Writes(memories=(gone,)))
    steps: list[str] = []
    go_on = threading.Event()
    close = Shards.close

    def closed(shards: Shards) -> None:
        steps.append("closed")
        close(shards)

    def slow() -> None:
        go_on.wait()
        steps.append("read")

    reading = asyncio.create_task(store._engine.read(slow))
    await asyncio.sleep(0)
    monkeypatch.setattr(Shards, "close", closed)
    erasing = asyncio.create_task(store.erase(A, [gone.turn.id]))
    while not store._engine._alone:  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0.1)
    go_on.set()
    await asyncio.gather(reading, erasing, closing, return_exceptions=True)
    assert (steps[0], set(steps[1:])) == ("read", {"closed"})


async def test_a_flush_syncs_what_was_written_to_and_nothing_else(store: EdgeStore) -> None:
    """What needs no sync costs none; what failed to sync is synced the next time."""
    await store.flush()
    assert store._writer._dirty == set()
    await store.write(Writes(edges=(row(memory(1), 5, b"x"),)))
    assert store._writer._dirty == {"edges"}
    await store.write(Writes(memories=(memory(1),)))
    assert store._writer._dirty == {"edges", "memories"}
    await store.write(Writes(marks=(mark(memory(1), 1, hidden=True),)))
    await store.flush()
    assert store._writer._dirty == set()


async def test_an_erasure_leaves_no_word_and_harms_nobody(store: EdgeStore, tmp_path: Path) -> None:
    """Who reads or scans meanwhile gets an answer or is told to try again, writes wait, and it ends by itself."""
    gone = memory(1, "Doctor Wobblethorpe is gone")
    await store.write(Writes(memories=(gone, *(memory(number) for number in range(2, 300)))))
    told = 0

    async def read(number: int) -> None:
        nonlocal told
        while not erasing.done() or erasing.cancelled():
            try:
                assert (await store.turns(A, [memory(number).turn.id])).keys() == {memory(number).turn.id}
                assert len(await all_turns(store)) >= 299
            except RetryLater:
                told += 1
                await asyncio.sleep(0.001)
            if erasing.cancelled() and not store._engine._alone:
                return

    async def write() -> None:
        for number in range(300, 320):
            await store.write(Writes(memories=(memory(number),)))

    erasing = asyncio.create_task(store.erase(A, [gone.turn.id]))
    working = [asyncio.create_task(work) for work in (read(1), read(2), write())]
    while not (store._engine._alone or erasing.done()):  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0)
    erasing.cancel()  # whoever asked for it goes away
    await asyncio.gather(*working)
    assert told
    assert (await store.turns(A, [gone.turn.id]))[gone.turn.id].erased
    assert len(await all_turns(store)) == 319
    await store.close()
    assert not leaks(tmp_path, ("Wobblethorpe", "wobblethorpe"))


@pytest.mark.parametrize(("points", "pauses"), [(16, 7), (32, 4), (1000, 1)])
def test_readers_have_their_turn(points: int, pauses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a pause before the first operation, and then as soon as so many points were written, over all calls."""
    paused: list[float] = []
    monkeypatch.setattr("helamem.processors.pauses.time", SimpleNamespace(sleep=paused.append))
    between = Pauses(points)
    pieces = [list(piece) for items in (range(40), range(50)) for piece in between.chunks(items, 16)]
    assert list(map(len, pieces)) == [16, 16, 8, 16, 16, 16, 2]
    assert paused == [0] * pauses
