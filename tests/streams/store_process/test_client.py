"""RemoteStore when the process goes, comes, stops, or serves something else."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from contracts.store_contract import DIMENSION, A, all_turns, checkpoint, mark, memory, row, searched
from helamem.processors.store.port import Memory, Writes
from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.streams.store_process import client, writes
from helamem.streams.store_process.client import RemoteStore
from helamem.streams.store_process.frames import MAX_FRAME_BYTES
from streams.store_process.process import StoreProcess


async def test_without_a_process_every_call_says_what_to_start(
    home: Path, process: StoreProcess, store: RemoteStore
) -> None:
    """One sentence with the home and the command; the same client goes on by itself when there is one again."""
    await store.write(Writes(memories=(memory(1),)))
    await store.flush()
    process.kill()
    m = memory(1)
    calls = [
        lambda: store.write(Writes(memories=(m,))),
        store.flush,
        lambda: store.save_checkpoint(checkpoint(b"")),
        lambda: store.load_checkpoints("coactivation"),
        lambda: store.origins([m.turn.id]),
        lambda: searched(store, m),
        lambda: all_turns(store),
        store.spaces,
        store.optimize,
        process.connect,
    ]
    for call in calls:
        with pytest.raises(
            RetryLater, match=rf"the store .*{home}.* start it (again )?with: helamem store --home {home}$"
        ):
            await call()
    process.start()
    assert await searched(store, m) == {m.turn.id}
    await store.write(Writes(memories=(memory(2),)))
    assert len(await all_turns(store)) == 2


async def test_a_call_under_way_when_the_process_is_killed(process: StoreProcess, store: RemoteStore) -> None:
    """It raises RetryLater instead of waiting for ever, and is safe to repeat."""
    process.signal(signal.SIGSTOP)
    batch = Writes(memories=(memory(1),))
    calls = [asyncio.create_task(c) for c in (store.write(batch), store.flush(), store.spaces(), store.optimize())]
    await asyncio.sleep(0.1)
    process.kill()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RetryLater] * 4
    process.start()
    await store.write(batch)
    assert await store.spaces() == {A: 1}


async def test_a_flush_covers_what_was_written_to_the_process_before(
    home: Path, process: StoreProcess, store: RemoteStore
) -> None:
    """Also when all that a killed process had is lost: the client gives the next one what no flush has covered."""
    first, second = memory(1), memory(2)
    await store.write(Writes(memories=(first,)))
    await store.flush()
    await store.write(Writes(memories=(second,), edges=(row(second, 1, b"x"),), marks=(mark(second, 1, hidden=True),)))
    process.kill()
    shutil.rmtree(home / "store")  # more than any kill takes away, as much as a power cut might
    await asyncio.to_thread(process.start)
    await store.flush()
    assert [(turn.message_id, turn.hidden) for turn in await all_turns(store)] == [("m2", True)]
    assert store._unflushed.size_bytes == 0


async def test_a_client_keeps_no_more_than_so_much_unflushed(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long series of writes without a flush gets one in between, and what a refused write held is let go."""
    monkeypatch.setattr(client, "MOST_UNFLUSHED_BYTES", 100_000)
    for start in range(0, 1000, 100):
        await store.write(Writes(memories=tuple(memory(n + start) for n in range(100))))
        assert store._unflushed.size_bytes < 200_000
    assert len(await all_turns(store)) == 1000


async def test_a_large_write_goes_in_pieces_and_comes_to_the_same(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First memories stay, later rows and marks hold, wherever the write is cut."""
    monkeypatch.setattr(writes, "PIECE_BYTES", 1000)
    ms = [memory(n) for n in range(30)]
    await store.write(
        Writes(
            memories=(*ms, memory(0, "too late")),
            edges=(row(ms[0], 9, b"newest" * 100), *(row(m, 5, b"x" * 300) for m in ms), row(ms[1], 7, b"newer")),
            marks=(mark(ms[3], 8, hidden=True), mark(ms[3], 2, hidden=False), *(mark(m, 1, hidden=True) for m in ms)),
        )
    )
    turns = await all_turns(store)
    assert [turn.text for turn in turns] == [m.turn.text for m in ms]
    assert all(turn.hidden for turn in turns)
    rows = await store.edge_rows(A, [m.turn.id for m in ms])
    assert [rows[ms[n].turn.id].position.offset for n in (0, 1, 2)] == [9, 7, 5]


async def test_vectors_that_do_not_fit_are_refused_before_any_piece_is_sent(
    store: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a store in this process: nothing of that write is there."""
    monkeypatch.setattr(writes, "PIECE_BYTES", 1)
    bad = Memory(turn=memory(2).turn, dense=np.full(DIMENSION, np.nan, np.float32), lexical="x")
    with pytest.raises(ConfigurationError, match="not finite"):
        await store.write(Writes(memories=(memory(1), bad)))
    assert await all_turns(store) == []


async def test_what_fits_into_no_frame_is_bad_input(store: RemoteStore) -> None:
    """A checkpoint beyond all measure is refused by the client; the connection goes on."""
    with pytest.raises(BadInput, match="do not fit into a frame of the store process"):
        await store.save_checkpoint(checkpoint(bytes(MAX_FRAME_BYTES)))
    large = checkpoint(bytes(MAX_FRAME_BYTES - 1000))
    await store.save_checkpoint(large)
    other = checkpoint(bytes(MAX_FRAME_BYTES - 1000), partition=1)
    await store.save_checkpoint(other)
    # Both do not fit into one answer either.
    assert await store.load_checkpoints("coactivation") == {large.partition: large, other.partition: other}


async def test_another_store_is_refused_at_every_connection(
    home: Path, process: StoreProcess, store: RemoteStore
) -> None:
    """By its dimension or language, also when it has taken the place of the right one meanwhile."""
    with pytest.raises(ConfigurationError, match=r"serves a store with vectors of 32 numbers, not 64 numbers"):
        await RemoteStore.open(home, dimension=64)
    with pytest.raises(ConfigurationError, match=r"with a keyword index for english, not german"):
        await RemoteStore.open(home, dimension=DIMENSION, language="german")
    process.kill()
    shutil.rmtree(home / "store")
    other = StoreProcess(home, options=("--dimension", 48, "--language", "german"))
    other.start()
    for call in (store.spaces, store.flush):
        with pytest.raises(ConfigurationError, match="vectors of 48 numbers"):
            await call()
    assert other.stop().code == 0


async def test_a_stopped_process_is_waited_for_so_long_and_no_longer(process: StoreProcess) -> None:
    """Then it counts as away; when it goes on, so does the client."""
    store = await RemoteStore.open(process.home, dimension=DIMENSION, timeout_s=0.3)
    await store.write(Writes(memories=(memory(1),)))
    process.signal(signal.SIGSTOP)
    for call in (store.spaces, store.flush, lambda: store.write(Writes(memories=(memory(2),)))):
        with pytest.raises(RetryLater, match=r"has not answered for 0.3 s|it does not answer"):
            await call()
    process.signal(signal.SIGCONT)
    await store.close()
    store = await process.connect()
    await store.write(Writes(memories=(memory(2),)))
    assert [turn.message_id for turn in await all_turns(store)] == ["m1", "m2"]
    await store.close()


async def test_a_scan_goes_on_with_the_next_process(process: StoreProcess, store: RemoteStore) -> None:
    """From where it was: everything once, although the process was replaced in the middle."""
    await store.write(Writes(memories=tuple(memory(n) for n in range(1000))))
    await store.flush()
    seen = []
    async for turn in store.scan_turns(None):
        seen.append(turn.id)
        if len(seen) == 300:
            process.kill()
            process.start()
    assert len(seen) == len(set(seen)) == 1000


async def test_thousands_of_questions_at_once(store: RemoteStore) -> None:
    """More than the process takes up at a time wait for their turn, and each gets its own answer."""
    ms = [memory(n) for n in range(50)]
    await store.write(Writes(memories=tuple(ms)))
    asked = [ms[n % 50].turn.id for n in range(3000)]
    answers = await asyncio.gather(*(store.turns(A, [id_]) for id_ in asked))
    assert [list(answer) for answer in answers] == [[id_] for id_ in asked]


async def test_one_who_no_longer_waits_leaves_the_others_alone(store: RemoteStore) -> None:
    """A cancelled call's answer goes to nobody else."""
    m = memory(1)
    await store.write(Writes(memories=(m,)))
    calls = [asyncio.create_task(store.turns(A, [m.turn.id])) for _ in range(100)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [outcome for outcome in outcomes if isinstance(outcome, dict)] == [{m.turn.id: m.turn}] * 50


async def test_a_closed_client_says_so(process: StoreProcess) -> None:
    """Closing twice does no harm; using it afterwards is an error of the caller."""
    store = await process.connect()
    await store.close()
    await store.close()
    with pytest.raises(ConfigurationError, match="is closed; open it again"):
        await store.spaces()


async def test_closing_tells_when_the_last_writes_may_be_lost(process: StoreProcess) -> None:
    """When all was flushed, closing needs no process."""
    store, other = await process.connect(), await process.connect()
    await store.write(Writes(memories=(memory(1),)))
    await store.flush()
    await other.write(Writes(memories=(memory(2),)))
    process.kill()
    await store.close()
    with pytest.raises(RetryLater, match="start it"):
        await other.close()
    await other.close()
