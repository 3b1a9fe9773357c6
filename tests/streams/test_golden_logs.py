"""Golden logs: what a version of helamem once wrote, every later one reads the same, for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.directories import directory
from fakes.words import wordllama
from golden.logs.regenerate import load, regenerate, replayed, summary
from helamem.processors.digest import digest
from helamem.schemas.errors import Poison
from helamem.schemas.events import (
    EVENT_TYPES,
    CheckpointSigned,
    ConversationMessage,
    KeyChanged,
    ModelAnswered,
    RecordDeadLettered,
    SpaceAccessed,
    SubjectErased,
)
from helamem.schemas.wire import Event, decode
from helamem.streams.instance import Instance

LOGS = Path(__file__).parents[1] / "golden" / "logs"
VERSIONS = sorted(path for path in LOGS.glob("v*") if path.is_dir())


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


def by_name(path: Path) -> str:
    """Return the name of a golden log."""
    return path.name


def expected(version: Path) -> dict[str, Any]:
    """Return what must become of a golden log."""
    found: dict[str, Any] = orjson.loads((version / "expected.json").read_bytes())
    return found


def events(version: Path) -> list[Event]:
    """Return the events of a golden log that can be read."""
    found = []
    for line in load(version / "log.jsonl"):
        try:
            found.append(decode(line["value"].encode()))
        except Poison:
            continue
    return found


def test_the_first_log_holds_everything() -> None:
    """Every type of event, a torn record with its dead letter, duplicates, conflicts, and settings that change.

    Checkpoints are not in it: they come from an archiver, and nothing is folded from them. No remote model was asked,
    so none answered; sealed words and erasures have a golden log of their own, and nothing is folded from accesses.
    """
    assert VERSIONS
    lines, found = load(VERSIONS[0] / "log.jsonl"), events(VERSIONS[0])
    assert {event.data.event_type for event in found} == set(EVENT_TYPES) - {
        CheckpointSigned.event_type,
        ModelAnswered.event_type,
        SubjectErased.event_type,
        SpaceAccessed.event_type,
        KeyChanged.event_type,
    }
    assert len(found) == len(lines) - 1
    letters = [event.data for event in found if isinstance(event.data, RecordDeadLettered)]
    assert sorted(str(letter.field) for letter in letters) == ["None", "data.fact_id"]
    ids = [event.id for event in found]
    assert len(ids) - len(set(ids)) >= 5
    said = [event.data.message_id for event in found if isinstance(event.data, ConversationMessage)]
    assert said.count("m1") == 3
    assert len({line["value"] for line in lines if "settings.applied" in line["value"]}) == 16


@pytest.mark.parametrize("version", VERSIONS, ids=by_name)
async def test_a_replay_gives_what_it_gave_when_it_was_written(place: Path, version: Path) -> None:
    """Through a fresh log into a fresh store: the digests, the counts and the hubs that are written down."""
    result = await replayed(load(version / "log.jsonl"), place)
    assert summary(result) == expected(version)
    assert result.reproduced
    assert result.hubs.derived == result.hubs.recorded


@pytest.mark.parametrize("version", VERSIONS, ids=by_name)
@pytest.mark.parametrize("batch_records", [1, 7])
async def test_a_live_instance_gives_the_same(place: Path, version: Path, batch_records: int) -> None:
    """Processing it as if it had just been appended, in other batches, hubs emitted once more: the same digest."""
    await replayed(load(version / "log.jsonl"), place)
    instance = await Instance.open(place / "home", create=False, embedder=wordllama())
    try:
        # Without consolidation: what it would tell today is not what this log is about.
        for pump in instance._pumps[:2]:
            pump._batch_records = batch_records
            await pump.run(until=await instance.ends())
        assert (await digest(instance.store)).digest == expected(version)["digest"]
    finally:
        await instance.close()


@pytest.mark.parametrize("version", VERSIONS, ids=by_name)
async def test_an_altered_hub_is_found(place: Path, version: Path) -> None:
    """One recorded hub that the recalls do not give: the log is named non-deterministic, the state is the same."""
    lines, other = load(version / "log.jsonl"), load(version / "altered.jsonl")
    assert sum(a != b for a, b in zip(lines, other, strict=True)) == 1
    result = await replayed(other, place)
    assert not result.reproduced
    assert (result.hubs.different, result.hubs.missing) == (1, 0)
    assert result.digest.digest == expected(version)["digest"], "hubs decide no state by themselves"


@pytest.mark.parametrize("version", VERSIONS, ids=by_name)
async def test_another_log_gives_another_digest(place: Path, version: Path) -> None:
    """A single letter in a single message, or one event less, is seen."""
    lines = load(version / "log.jsonl")
    n = next(n for n, line in enumerate(lines) if "a blue tent" in line["value"])
    lines[n]["value"] = lines[n]["value"].replace("a blue tent", "a blue tenT")
    assert (await replayed(lines, place)).digest.digest != expected(version)["digest"]


async def test_the_script_writes_a_log_that_passes(place: Path) -> None:
    """The next golden log can be made; one that is there is not overwritten."""
    await regenerate(place / "v2")
    (place / "check").mkdir()
    result = await replayed(load(place / "v2" / "log.jsonl"), place / "check")
    assert summary(result) == expected(place / "v2")
    assert result.reproduced
    with pytest.raises(FileExistsError):
        await regenerate(place / "v2")
