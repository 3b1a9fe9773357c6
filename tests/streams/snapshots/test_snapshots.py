"""Snapshots: a state that begins with one is the state from the beginning, and nothing altered is begun with."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from fakes.events import event, record
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.processors.digest import digest
from helamem.processors.store.edge import EdgeStore
from helamem.schemas.errors import BadInput, ConfigurationError, Poison, RetryLater
from helamem.schemas.events import MemoryReinforced
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord, Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, RECALLS, TOPICS
from helamem.schemas.wire import Event
from helamem.streams.audit.keys import key_text
from helamem.streams.cli.snapshot import _follow
from helamem.streams.dead_letters import dead_letter
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.writer_lock import InUseError
from helamem.streams.moments import now, written
from helamem.streams.past import Past, past
from helamem.streams.settings_log import apply_settings
from helamem.streams.skimming import skimmed
from helamem.streams.snapshots import manifest as manifests
from helamem.streams.snapshots.blocks import FileBlocks, named
from helamem.streams.snapshots.moment import begins_with_settings, known_at, state_of
from helamem.streams.snapshots.shelf import Kept, Snapshots
from helamem.streams.snapshots.taking import Schedule, Taker
from helamem.streams.store_process.child import child_store
from streams.test_replay import QUERIES, SPACE, TEXTS, Interrupted, again, live, opened, place, rounds
from streams.test_replay_options import OTHER, life

__all__ = ["place"]

EVERY = 12
FOREVER = "9999-01-01T00:00:00Z"


async def take(
    home: Path, every: int = EVERY, keep: int | None = None, key: Ed25519PrivateKey | None = None
) -> list[Kept]:
    """Take what is due and return those that there are."""
    with Taker(home, Schedule(every=every, keep=keep), key=key, embedder=wordllama()) as taker:
        await taker.catch_up()
        return taker.snapshots.kept()


async def state(home: Path, text: str, space: str = SPACE, **options: object) -> Past:
    """Return a past state of a space."""
    return await past(home, text, space=space, embedder=wordllama(), **options)  # type: ignore[arg-type]


async def digest_of(home: Path, space: str = SPACE) -> str:
    """Return the digest of a space in a home that a replay filled."""
    store = await EdgeStore.open(Home.look(home).store_path, dimension=wordllama().dimension)
    found = (await digest(store, space)).digest
    await store.close()
    return found


async def ends(home: Path) -> dict[TopicPartition, int]:
    """Return the end of every partition."""
    async with await SqliteLog.open(home / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        return await now(log)


@pytest.mark.slow
async def test_a_state_from_a_snapshot_is_the_state_from_the_beginning(place: Path) -> None:
    """At random positions, learning, hubs, facts and forgetting included, of a space that others live beside."""
    home, chance = place / "home", random.Random(1)
    await life(home, 1, steps=40)
    kept = await take(home)
    assert {one.manifest.state.space for one in kept} == {SPACE, OTHER}
    end = await ends(home)
    began = 0
    for number in range(4):
        space = chance.choice([SPACE, OTHER])
        first = chance.choice([one for one in kept if one.manifest.state.space == space]).manifest.state.positions
        vector = {at: chance.randint(first.get(str(at), 0) if number else 0, last) for at, last in end.items()}
        found = await state(home, written(vector), space)
        replayed = await again(home, place / f"then{number}", until=vector, spaces=[space])
        assert await digest_of(found.home, space) == replayed.digest.digest
        began += found.snapshot is not None
    assert began >= 3


async def test_little_is_written_without_a_child(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child takes longer to start than a few messages to write; with it or without, the state is the same."""
    started = 0
    real = child_store

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal started
        started += 1
        return real(*args, **options)

    monkeypatch.setattr("helamem.streams.replay.child_store", counted)
    await rounds(place / "home")
    alone = await digest_of((await state(place / "home", FOREVER)).home)
    assert started == 0
    shutil.rmtree(place / "home" / "moments")
    monkeypatch.setattr("helamem.streams.replay.FEW", 2)
    assert await digest_of((await state(place / "home", FOREVER)).home) == alone
    assert started == 1


async def test_little_after_a_snapshot_is_little(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much the snapshot holds, what follows is written without a child."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
        await take(place / "home")
        await live(memory, 1)
    monkeypatch.setattr("helamem.streams.replay.child_store", None)
    monkeypatch.setattr("helamem.streams.replay.FEW", len(TEXTS) + 1)
    found = await state(place / "home", FOREVER)
    assert found.snapshot is not None
    assert await digest_of(found.home) == (await again_by_child(place / "home", place / "whole", monkeypatch))


async def again_by_child(home: Path, into: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the digest of a space after a replay, which always has a child."""
    monkeypatch.setattr("helamem.streams.replay.child_store", child_store)
    return (await again(home, into, spaces=[SPACE])).digest.digest


async def test_of_what_others_recalled_all_that_counts_is_read(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that another space of the partition used before is known again; what nobody has judged yet is decoded."""
    beside = next(name for n in range(100) if partition(name := f"acme/{n}") == partition(SPACE))
    a, b = (memory_id(SPACE, f"m0-{n}") for n in (1, 2))

    def used(id_: str, space: str) -> NewRecord:
        return record(event(id_, MemoryReinforced(recall_id="r", memory_ids=(a, b)), space=space))

    home = place / "home"
    async with opened(home) as memory:
        await live(memory, 0)
        await live(memory, 0, beside)
        log = memory.instance.log
        await log.append([used("twice", beside), used("twice", SPACE), used("once", SPACE)])
        await memory.process()
        no_recall = used("later", beside)
        no_recall = replace(no_recall, value=no_recall.value.replace(b'"recall_id":"r"', b'"recall_id":""'))
        await log.append([no_recall, used("later", SPACE)])
    read = 0

    def counted(one: Record) -> Event | None:
        nonlocal read
        read += 1
        return skimmed(one)

    monkeypatch.setattr("helamem.streams.rebuild.skimmed", counted)
    found = await state(home, FOREVER)
    assert read == 2 * len(QUERIES) + len(["settings", "twice"])
    whole = await again(home, place / "whole", spaces=[SPACE])
    assert read == 2 * len(QUERIES) + len(["settings", "twice"]), "what proves something reads all of it"
    assert whole.dead_letters == 1
    assert await digest_of(found.home) == whole.digest.digest
    assert Home.look(found.home).derived_path.read_bytes() == Home.look(place / "whole").derived_path.read_bytes()
    async with opened(home) as memory:
        await memory.process()
        assert (await memory.digest(SPACE)).digest == whole.digest.digest


def partition(space: str) -> int:
    """Return in which partition a space stands."""
    return partition_of(space.encode(), RECALLS.partitions)


async def test_each_goes_on_from_the_one_before_it(place: Path) -> None:
    """Beside an instance that is at work; few are kept, and each has the digest of a replay from the beginning."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
        await live(memory, 0, OTHER)
        first = await take(place / "home", keep=1)
        await live(memory, 1)
        second = await take(place / "home", keep=1)
        assert await take(place / "home", keep=1) == second, "there is nothing more to take"
        await live(memory, 2)
    assert {one.manifest.state.space: one.manifest.records for one in first} == {SPACE: 16, OTHER: 16}
    assert {one.manifest.state.space: one.manifest.records for one in second} == {SPACE: 30, OTHER: 16}
    newest = next(one for one in second if one.manifest.state.space == SPACE)
    vector = _vector(newest, await ends(place / "home"))
    replayed = await again(place / "home", place / "whole", until=vector, spaces=[SPACE])
    assert newest.manifest.digest == replayed.digest.digest
    found = await state(place / "home", FOREVER)
    assert found.snapshot == newest.manifest
    assert await digest_of(found.home) == (await again(place / "home", place / "all", spaces=[SPACE])).digest.digest


async def test_what_was_altered_is_refused(place: Path) -> None:
    """One sentence names the file and what to do; nothing comes of it, and without the snapshot all is well."""
    await rounds(place / "home")
    key = Ed25519PrivateKey.generate()
    (kept,) = await take(place / "home", every=40, key=key)
    snapshots, whole = place / "home" / "snapshots", place / "whole"
    shutil.copytree(snapshots, whole)
    said, listed = kept.folder / manifests.FILE, kept.folder / manifests.LISTING
    page, blocks = max(
        ((name, file.blocks) for name, file in manifests.read_files(kept.folder, kept.manifest).items()),
        key=lambda one: (one[0].endswith("page_0.dat"), len(one[1])),
    )
    block = snapshots / "blocks" / blocks[0][:2] / blocks[0]

    def flip(file: Path, at: int = 100) -> None:
        with file.open("r+b") as content:
            content.seek(at)
            byte = content.read(1)
            content.seek(at)
            content.write(bytes([byte[0] ^ 1]))

    def change(file: Path, **fields: object) -> None:
        content = orjson.loads(file.read_bytes())
        (content["manifest"] if file == said else content).update(fields)
        file.write_bytes(orjson.dumps(content))

    changes: list[tuple[Callable[[], object], str]] = [
        (lambda: flip(block), f"{block.name}, a part of {page}, is not what the snapshot was made of"),
        (lambda: os.truncate(block, 4096), f"{block.name}, a part of {page}, is not what the snapshot was made of"),
        (block.unlink, f"{block.name} is missing"),
        (
            lambda: shutil.copyfile(block, next(one for one in blocks_of(snapshots) if one != block)),
            "a part of .*is not",
        ),
        (
            lambda: change(listed, **{page: {"size_bytes": 1, "blocks": []}}),
            "files.json is not what the snapshot was made",
        ),
        (listed.unlink, "files.json is missing"),
        (said.unlink, "snapshot.json is missing"),
        (lambda: flip(said, 3), "snapshot.json is damaged"),
        (lambda: change(said, digest="sha256:0"), "snapshot.json was changed after it was signed"),
        (lambda: change(said, format=2), "snapshot.json was written by a newer helamem"),
    ]
    for alter, reason in changes:
        alter()
        with pytest.raises(ConfigurationError, match=rf"{reason}.*; remove the snapshot .*{kept.folder.name}"):
            await state(place / "home", FOREVER)
        assert not any(file.name == "store" for file in (place / "home" / "moments").rglob("store"))
        shutil.rmtree(snapshots)
        shutil.copytree(whole, snapshots)
    assert (found := await state(place / "home", FOREVER)).snapshot == kept.manifest
    shutil.rmtree(kept.folder)
    shutil.rmtree(place / "home" / "moments")
    assert (anew := await state(place / "home", FOREVER)).snapshot is None
    assert anew.home == found.home


def blocks_of(snapshots: Path) -> list[Path]:
    """Return the files of the blocks below a directory."""
    return sorted(path for path in (snapshots / "blocks").rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "files",
    [
        {"../home.json": FileBlocks(size_bytes=1, blocks=[])},
        {"/etc/none": FileBlocks(size_bytes=1, blocks=[])},
        {"store/store.json": FileBlocks(size_bytes=1, blocks=["../../home.json"])},
    ],
)
async def test_files_that_lie_elsewhere_are_refused(place: Path, files: dict[str, FileBlocks]) -> None:
    """Who can write a snapshot that nobody signed cannot have other files read or written."""
    await rounds(place / "home")
    (kept,) = await take(place / "home", every=40)
    manifest = replace(kept.manifest, files=manifests.write_files(kept.folder, files))
    manifests.write(kept.folder, manifest, None)
    with pytest.raises(ConfigurationError, match=r"files.json names files elsewhere; remove the snapshot"):
        await state(place / "home", FOREVER)


async def test_blocks_are_shared_and_go_with_the_last_that_names_them(place: Path) -> None:
    """Of each snapshot only what is new takes room; what a killed process left goes too."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
        (first,) = await take(place / "home")
        snapshots = place / "home" / "snapshots"
        before = {path.name for path in blocks_of(snapshots)}
        await live(memory, 1)
        both = await take(place / "home")
    assert both[0] == first
    assert len(both) == 2
    names = [named(manifests.read_files(one.folder, one.manifest)) for one in both]
    assert names[0] == before
    assert names[0] & names[1]
    assert {path.name for path in blocks_of(snapshots)} == names[0] | names[1]
    assert not (snapshots / "begun").exists()
    (snapshots / "blocks" / "00").mkdir(exist_ok=True)
    (snapshots / "blocks" / "00" / ("00" * 32)).write_text("of one that was never finished")
    (snapshots / "begun" / "store").mkdir(parents=True)
    (snapshots / "left.gone").mkdir()
    assert await take(place / "home", keep=1) == [both[1]]
    assert {path.name for path in blocks_of(snapshots)} == names[1]
    assert sorted(path.name for path in snapshots.iterdir()) == [
        *sorted(["blocks", both[1].folder.name]),
        "snapshots.lock",
    ]
    assert (await state(place / "home", FOREVER)).snapshot == both[1].manifest


async def test_a_list_of_files_that_is_none_is_refused(place: Path) -> None:
    """In a sentence, also where nobody signed and its sum is right."""
    await rounds(place / "home")
    (kept,) = await take(place / "home", every=40)
    raw = b'{"store/store.json":{"size_bytes":"many","blocks":[]}}'
    (kept.folder / manifests.LISTING).write_bytes(raw)
    manifests.write(kept.folder, replace(kept.manifest, files=hashlib.sha256(raw).hexdigest()), None)
    with pytest.raises(ConfigurationError, match=r"files.json is damaged; remove the snapshot"):
        await state(place / "home", FOREVER)


async def test_a_disk_that_is_full_gets_no_fuller(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by a snapshot that could not be kept, nor by one that could not be copied."""
    await rounds(place / "home")
    with Taker(place / "home", Schedule(every=40), embedder=wordllama()) as taker:
        with monkeypatch.context() as patch:
            patch.setattr(manifests, "write", _no_room)
            with pytest.raises(RetryLater, match="cannot be kept: no room"):
                await taker.catch_up()
        assert blocks_of(taker.snapshots.root) == []
        await taker.catch_up()
        (one,) = taker.snapshots.kept()
        with Home.open(place / "other") as other, monkeypatch.context() as patch:
            patch.setattr("helamem.streams.snapshots.shelf.shutil.copyfile", _no_room)
            with pytest.raises(RetryLater, match="cannot be copied: no room; free some space"):
                taker.snapshots.fill(other, one)
            assert sorted(path.name for path in other.path.iterdir()) == ["home.json", "writer.lock"]


def test_when_all_go_blocks_go_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies from one meanwhile finds out that it is gone, and not that it was altered."""
    shelf = Snapshots(tmp_path)
    for name in ("blocks", *(f"{number:032x}" for number in range(40)), "left.gone"):
        (tmp_path / name / "deep").mkdir(parents=True)
    gone: list[str] = []

    def noted(folder: Path) -> Path:
        gone.append(folder.name)
        return folder.rename(folder.with_suffix(".gone"))

    monkeypatch.setattr("helamem.streams.snapshots.shelf._put_away", noted)
    shelf.clear()
    assert (len(gone), gone[-1]) == (41, "blocks")
    assert list(tmp_path.iterdir()) == []


async def test_only_what_a_given_key_signed_is_begun_with(place: Path) -> None:
    """What is unsigned or of another key is left aside, also where a state was kept that began with it."""
    await rounds(place / "home")
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    (unsigned,) = await take(place / "home", every=40)
    assert (await state(place / "home", FOREVER)).snapshot == unsigned.manifest
    signed_by = {key_text(key.public_key())}
    assert (await state(place / "home", FOREVER, signed_by=signed_by)).snapshot is None
    (signed,) = await take(place / "home", every=40, key=key)
    with Home.open(place / "elsewhere") as empty:
        assert not Snapshots(place / "home" / "snapshots").fill(empty, unsigned), "it was replaced, and not altered"
    assert signed.manifest.public_key in signed_by
    assert signed.manifest.state == unsigned.manifest.state
    assert (await state(place / "home", FOREVER, signed_by=signed_by)).snapshot == signed.manifest
    theirs = {key_text(other.public_key())}
    assert (await state(place / "home", FOREVER, signed_by=theirs)).snapshot is None
    assert (await state(place / "home", FOREVER)).snapshot is None, "that state is there"


async def test_one_that_was_interrupted_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its replay, and between that and its place; what was begun for another state is thrown away."""
    await rounds(place / "home")
    begun = place / "home" / "snapshots" / "begun"
    monkeypatch.setattr("helamem.streams.rebuild._MESSAGES_OF_ALL", 4)
    monkeypatch.setattr("helamem.streams.rebuild.BATCH_RECORDS", 4)
    told: list[int] = []

    def interrupt(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 3:
            raise Interrupted

    with Taker(place / "home", Schedule(every=40), embedder=wordllama()) as taker:
        with pytest.raises(InUseError, match="is being written by"):
            Taker(place / "home", Schedule())
        with pytest.raises(Interrupted):
            await taker.catch_up(interrupt)
        assert Home.look(begun).unfinished
        assert taker.snapshots.kept() == []
        assert (await state(place / "home", FOREVER)).snapshot is None, "what is half made is not begun with"
        with monkeypatch.context() as patch:
            patch.setattr(manifests, "write", _no_room)
            with pytest.raises(RetryLater, match=r"begun cannot be kept: no room; free some space"):
                await taker.catch_up(lambda done, _: told.append(done))
        assert min(told[3:]) > told[1], "it went on"
        assert taker.snapshots.kept() == []
        await taker.catch_up()
        (one,) = taker.snapshots.kept()
        assert taker.taken == 1
        assert not begun.exists()
        (begun / "store").mkdir(parents=True)
        (begun / "home.json").write_text("torn")
        assert len(await take_another(taker)) == 1
        with Home.open(begun), pytest.raises(RetryLater, match="is being written by"):
            await take_another(taker)
        await taker.catch_up()
    fresh = await again(place / "home", place / "new", until=_vector(one, await ends(place / "home")), spaces=[SPACE])
    assert one.manifest.digest == fresh.digest.digest


async def take_another(taker: Taker) -> list[Kept]:
    """Remove the only one and take it again."""
    taker.snapshots.remove(taker.snapshots.kept()[0])
    await taker.catch_up()
    return taker.snapshots.kept()


def _vector(one: Kept, all_: dict[TopicPartition, int]) -> dict[TopicPartition, int]:
    named = one.manifest.state.positions
    return {at: named.get(str(at), 0) for at in all_}


def _no_room(*_: object) -> None:
    raise OSError("no room")


async def test_one_that_is_gone_is_none(place: Path) -> None:
    """Whoever copies from one that is removed meanwhile takes the next, or none."""
    await rounds(place / "home")
    with Taker(place / "home", Schedule(every=40), embedder=wordllama()) as taker:
        await taker.catch_up()
        (one,) = taker.snapshots.kept()
        taker.snapshots.remove(one)
        with Home.open(place / "other") as other:
            assert not taker.snapshots.fill(other, one)
            assert sorted(path.name for path in other.path.iterdir()) == ["home.json", "writer.lock"]
    assert (await state(place / "home", FOREVER)).snapshot is None


async def test_what_a_replay_would_not_come_to_is_not_begun_with(place: Path) -> None:
    """A record that was put aside later was folded all the same."""
    await rounds(place / "home")
    (one,) = await take(place / "home", every=40)
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms) as log:
        at = next(at for at, end in (await now(log)).items() if at.topic == CONVERSATIONS.name and end > 3)
        record = (await log.read(at, 2, limit=1))[0]
        await log.append([dead_letter("encoding", record, Poison("a fault of that time"))])
    found = await state(place / "home", FOREVER)
    assert found.snapshot is None
    whole = await again(place / "home", place / "whole", spaces=[SPACE])
    assert await digest_of(found.home) == whole.digest.digest
    (another,) = await take(place / "home", every=40)
    assert another.manifest.digest != one.manifest.digest
    assert another.manifest.state.positions == one.manifest.state.positions
    shutil.rmtree(place / "home" / "moments")
    assert (await state(place / "home", FOREVER)).snapshot == another.manifest


async def test_settings_that_changed_are_come_by(place: Path) -> None:
    """A snapshot from before is begun with: what follows puts them in force where they stand, as it did live."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
    (kept,) = await take(place / "home")
    changed = replace(SETTINGS, hebbian=replace(SETTINGS.hebbian, half_life_s=86_400, eta_recalled=0.02))
    async with await SqliteLog.open(place / "home" / "log.sqlite", TOPICS, wall_clock_ms) as log:
        await apply_settings(log, changed, wall_clock_ms)
    async with opened(place / "home") as memory:
        assert memory.instance.settings == changed
        await live(memory, 1)
        lived = (await memory.digest(SPACE)).digest
    found = await state(place / "home", FOREVER)
    assert found.snapshot == kept.manifest
    assert await digest_of(found.home) == lived
    assert (await again(place / "home", place / "whole", spaces=[SPACE])).digest.digest == lived
    assert len(await take(place / "home")) == 2


async def test_what_was_folded_before_all_settings_is_not_come_by(place: Path) -> None:
    """It was folded by those that were in force at the end of then; a log that was made in good order has none."""
    async with await SqliteLog.open(place / "log.sqlite", TOPICS, wall_clock_ms) as log:
        at = (await log.partitions(RECALLS.name))[0]
        await log.append([NewRecord(topic=at.topic, partition=at.partition, key=b"acme/anna", value=b"{}")])
        await apply_settings(log, SETTINGS, wall_clock_ms)
        for positions, whole in (({at: 2}, False), ({at: 0}, True), ({TopicPartition(at.topic, 1): 1}, True)):
            known = await known_at(log, {**dict.fromkeys(await now(log), 0), **positions})
            assert await begins_with_settings(log, await state_of(log, known, None)) == whole


async def test_a_snapshot_of_another_log_is_refused(place: Path) -> None:
    """A copy of the home went its own way to the same positions; one from before they parted is of both."""
    home, other = place / "home", place / "other"
    async with opened(home) as memory:
        await live(memory, 0)
    key = Ed25519PrivateKey.generate()
    (first,) = await take(home, key=key)
    shutil.copytree(home, other)
    for number, one in enumerate((home, other), start=1):
        async with opened(one) as memory:
            await live(memory, number)
    _, second = await take(home, key=key)
    shutil.copytree(home / "snapshots", other / "snapshots", dirs_exist_ok=True)
    reason = rf"{second.folder.name}/snapshot.json was made of another log; remove the snapshot .*{second.folder.name}"
    with pytest.raises(ConfigurationError, match=reason):
        await state(other, FOREVER)
    with pytest.raises(ConfigurationError, match=reason):
        await take(other, key=key)
    shutil.rmtree(other / "snapshots" / second.folder.name)
    found = await state(other, FOREVER)
    assert found.snapshot == first.manifest
    assert await digest_of(found.home) == (await again(other, place / "whole", spaces=[SPACE])).digest.digest


async def test_a_key_that_is_no_text_is_no_space(place: Path) -> None:
    """Its records are put aside when their turn comes, and have no snapshot."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
        (topic, number), *_ = await memory.instance.log.partitions(CONVERSATIONS.name)
        poison = NewRecord(topic=topic, partition=number, key=b"acme/\xff", value=b"{}")
        await memory.instance.log.append([poison] * EVERY)
        await memory.process()
        assert memory.instance.counts["dead-lettered"] == EVERY
    assert [one.manifest.state.space for one in await take(place / "home")] == [SPACE]


async def test_on_a_full_disk_it_waits_longer_and_longer(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept was replayed for nothing; once there is room it looks as often as before."""
    async with opened(place / "home") as memory:
        await live(memory, 0)
    waits: list[float] = []

    async def noted(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            disk.undo()
        if len(waits) == 5:
            raise Interrupted

    taking = Taker(place / "home", Schedule(every=EVERY), embedder=wordllama())
    with pytest.MonkeyPatch.context() as disk, taking as taker:
        disk.setattr(taker.snapshots.blocks, "keep", _no_room)
        monkeypatch.setattr("helamem.streams.cli.snapshot._sleep", noted)
        with pytest.raises(Interrupted):
            await _follow(taker, lambda done, total: None)
    assert waits == [5.0, 10.0, 20.0, 5.0, 5.0]
    assert taker.taken == 1


async def test_a_home_without_a_log_has_no_snapshots(place: Path) -> None:
    """Nor has what is no home."""
    await rounds(place / "home")
    await again(place / "home", place / "other")
    with pytest.raises(BadInput, match=r"has no log of its own; name .*home"):
        Taker(place / "other", Schedule())
    with pytest.raises(BadInput, match="there is no helamem home"):
        Taker(place / "none", Schedule())
    assert not (place / "none").exists()
