"""Past states and snapshots beside an erasure: nobody has one while it is at work, and none brings words back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fakes.directories import directory
from fakes.subjects import SPACE, WORDS, erased, leaks, lived, opened
from fakes.words import wordllama
from helamem.processors.digest import digest
from helamem.processors.store.edge_rewrite import rewrite_shards
from helamem.schemas.times import format_ms
from helamem.streams.erasure.copies import Copies
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.writer_lock import InUseError
from helamem.streams.past import Past, past
from helamem.streams.replay import restate
from helamem.streams.snapshots.taking import Schedule, Taker

PLACES = ("moments/one", "snapshots/begun", "snapshots/taken")


@pytest.fixture(scope="module")
def life() -> Iterator[Path]:
    with directory() as place:
        asyncio.run(lived(place / "home", sealed=True))
        yield place / "home"


@pytest.fixture
def home(life: Path) -> Iterator[Path]:
    with directory() as place:
        shutil.copytree(life, place / "home")
        yield place / "home"


def copied(home: Path) -> None:
    """Put something with words where past states and snapshots are."""
    for name in PLACES:
        with_words(home / name)
        (home / name / "writer.lock").touch()
    for name in ("blocks", "blocks.gone"):
        (home / "snapshots" / name / "00").mkdir(parents=True)
        (home / "snapshots" / name / "00" / "words").write_text(WORDS[0])


def with_words(place: Path) -> None:
    (place / "store").mkdir(parents=True)
    (place / "store" / "words").write_text(WORDS[0])
    (place / "home.json").write_bytes((place.parents[1] / "home.json").read_bytes())


def copies(home: Path) -> set[str]:
    """Return where in past states and snapshots words are."""
    return {str(file.relative_to(home)) for root in ("moments", "snapshots") for file in (home / root).rglob("words")}


async def now(home: Path, **options: Any) -> Past:
    """Return the state of the first space as it is now."""
    return await past(home, format_ms(wall_clock_ms()), space=SPACE, embedder=wordllama(), **options)


@pytest.mark.slow
async def test_none_has_words_afterwards(home: Path) -> None:
    """Neither a snapshot nor a past state that is taken later, also in the place where one was before."""
    for after in (False, True):
        with Taker(home, Schedule(every=20), embedder=wordllama()) as taker:
            await taker.catch_up()
            assert taker.taken == 1
        async with opened(home) as (instance, _), opened((await now(home)).home) as (was, _):
            assert await digest(was.store, SPACE) == await digest(instance.store, SPACE)
            assert [turn.erased async for turn in was.store.scan_turns(SPACE)].count(True) == 4 * after
        if not after:
            await erased(home)
    assert not leaks(home, WORDS[:1])


async def test_they_go_and_their_locks_stay(home: Path) -> None:
    """Whoever waits to open one finds the same lock."""
    copied(home)
    locks = {path: path.stat().st_ino for path in (home / name / "writer.lock" for name in PLACES[:2])}
    await erased(home)
    left = {path for root in ("moments", "snapshots") for path in (home / root).rglob("*") if path.is_file()}
    assert left == {*locks, home / "snapshots" / "snapshots.lock"}
    assert {path: path.stat().st_ino for path in locks} == locks


@pytest.mark.parametrize("used", ["moments/one", "snapshots/begun", "snapshots"])
async def test_beside_whoever_has_one_it_is_refused(home: Path, used: str) -> None:
    """Somebody looks at a past state, or takes snapshots, or the child of one who did has not ended: nothing begins."""
    copied(home)
    before = copies(home)
    assert len(before) == len(PLACES) + len(["blocks", "blocks.gone"])
    with Taker(home, Schedule()) if used == "snapshots" else Home.open(home / used, create=False):
        with pytest.raises(InUseError, match=f"{used} is being written by process"):
            await erased(home)
        assert (await erased(home, dry_run=True)).memories == 4, "nothing was erased, and to ask disturbs nobody"
    assert not (home / "erasing.json").exists()
    assert copies(home) == before
    assert (await erased(home)).memories == 4
    assert not copies(home)


async def test_beside_it_nobody_has_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While an erasure is at work no snapshots are taken, and no past state is used that was there before."""
    copied(home)
    refused: list[str] = []

    def meanwhile(*arguments: Any) -> int:
        for use in (lambda: Taker(home, Schedule()), lambda: Home.open(home / "moments" / "one")):
            with pytest.raises(InUseError) as caught:
                use()
            refused.append(str(caught.value))
        return rewrite_shards(*arguments)

    monkeypatch.setattr("helamem.streams.erasure.erase.rewrite_shards", meanwhile)
    await erased(home)
    assert ["snapshots" in refused[0], "moments/one" in refused[1]] == [True, True]
    assert not copies(home)


async def test_one_that_is_begun_meanwhile_ends_first(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have begun with a snapshot that had words: the same erasure goes on once it is no longer in use."""
    copied(home)
    with ExitStack() as stack:

        def meanwhile(*arguments: Any) -> int:
            with_words(home / "moments" / "other")
            stack.enter_context(Home.open(home / "moments" / "other"))
            return rewrite_shards(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr("helamem.streams.erasure.erase.rewrite_shards", meanwhile)
            with pytest.raises(InUseError, match=r"moments/other is being written by process"):
                await erased(home)
        assert copies(home) == {"moments/other/store/words"}
    assert (home / "erasing.json").exists()
    await erased(home)
    assert not copies(home)
    assert not (home / "erasing.json").exists()


async def test_a_replay_that_was_about_to_begin_heeds_it() -> None:
    """An erasure between its first look at the log and its beginning takes the words from it, sealed or not."""
    with directory() as place:
        home, into = place / "home", place / "again"
        await lived(home, sealed=False)
        await restate(home, into, embedder=wordllama(), lean=True, seed=lambda _: erased(home))
        async with opened(into) as (again, _):
            assert [turn.erased async for turn in again.store.scan_turns(SPACE)].count(True) == 4


async def test_a_past_state_that_has_just_gone_is_put_together_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What went while somebody was about to use it leaves nothing half there."""
    calls = 0

    async def gone_at_first(source: Path, into: Path, **wanted: Any) -> None:
        nonlocal calls
        calls += 1
        await restate(source, into, **wanted)
        if calls == 1:
            await erased(home)

    monkeypatch.setattr("helamem.streams.past.restate", gone_at_first)
    found = await now(home)
    assert calls == 2
    async with opened(found.home) as (was, _):
        assert [turn.erased async for turn in was.store.scan_turns(SPACE)].count(True) == 4
    found = await now(home)
    with Copies(home) as gone:
        gone.lock()
        gone.remove()
    assert (await now(home, signed_by=())).home == found.home, "also where nothing that was kept is believed"
