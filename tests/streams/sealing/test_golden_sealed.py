"""Golden logs of sealed words: what was sealed and erased once, every later version opens and hides the same."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.directories import directory
from fakes.subjects import SPACE, TOM, WORDS, leaks, opened
from fakes.words import wordllama
from golden.logs.regenerate import load, summary
from golden.logs.regenerate_sealed import regenerate, restored
from helamem.processors.digest import digest
from helamem.processors.store.port import Turn
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.events import ConversationMessage, KnowledgeDistilled, MemoryRestored, SubjectErased, Wordy
from helamem.schemas.wire import decode
from helamem.streams.replay import replay

LOGS = Path(__file__).parents[2] / "golden" / "logs"
VERSIONS = sorted(LOGS.glob("sealed-v*"))


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


async def check(version: Path, place: Path) -> dict[str, Turn]:
    """Compare what becomes of a log, and what became of it before its erasure; return the memories of one space.

    What its facts claim is compared too, since no digest has that.
    """
    expected: dict[str, Any] = orjson.loads((version / "expected.json").read_bytes())
    await restored(version, place / "home")
    found = await replay(place / "home", place / "now", embedder=wordllama())
    assert summary(found) == expected["now"]
    assert found.reproduced
    (place / "before.json").write_bytes(orjson.dumps(expected["before"]))
    before = await replay(place / "home", place / "before", embedder=wordllama(), until=str(place / "before.json"))
    assert before.digest.digest == expected["before"]["digest"]
    async with opened(place / "now") as (instance, _):
        claimed = [(one.subject, one.key, one.value) async for one in instance.store.scan_facts(SPACE) if one.key]
        assert claimed == [("Tom", "does:rye bread", "yes")]
        return {turn.message_id: turn async for turn in instance.store.scan_turns(SPACE)}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
async def test_a_replay_gives_what_it_gave_when_it_was_written(place: Path, version: Path) -> None:
    """The digests of now and of before the erasure; what was not erased is read with the keys of then."""
    turns = await check(version, place)
    assert {name for name, turn in turns.items() if turn.erased} == {"m0", "m1", "m2", "m3"}
    assert all(turn.hidden for turn in turns.values() if turn.erased)
    assert [turns[f"m{n}"].text for n in (4, 5, 6)] == list(TOM)
    assert turns["new"].text == f"{WORDS[0]} was nice, and so is Bergen."


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
async def test_a_live_instance_gives_the_same(place: Path, version: Path) -> None:
    """Processing it as if it had just been appended."""
    await restored(version, place / "home")
    async with opened(place / "home") as (instance, _):
        for pump in instance._pumps[:2]:  # what consolidation would tell today is not what this log is about
            await pump.run(until=await instance.ends())
        expected = orjson.loads((version / "expected.json").read_bytes())["now"]
        assert (await digest(instance.store)).digest == expected["digest"]


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
async def test_without_its_keys_it_is_refused(place: Path, version: Path) -> None:
    """Lost keys are no erasure, and nothing of it is taken for one."""
    await restored(version, place / "home")
    shutil.rmtree(place / "home" / "keys")
    with pytest.raises(ConfigurationError, match="no keys are at hand"):
        await replay(place / "home", place / "again", embedder=wordllama())


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_it_holds_what_it_is_about(version: Path) -> None:
    """Sealed messages, recalls and facts, erasures in two spaces, restorations before and after, and no erased word."""
    events = [decode(line["value"].encode()) for line in load(version / "log.jsonl")]
    wordy = [one.data for one in events if isinstance(one.data, Wordy)]
    assert all(one.sealed for one in wordy)
    assert {type(one) for one in wordy} >= {ConversationMessage, KnowledgeDistilled}
    claims = [one.sealed.claim for one in wordy if isinstance(one, KnowledgeDistilled) and one.sealed]
    assert len([one for one in claims if one]) > 1
    assert len({one.space for one in events if isinstance(one.data, SubjectErased)}) == 2
    assert len([one for one in events if isinstance(one.data, MemoryRestored)]) == 2
    assert not leaks(version)
    keys = orjson.loads((version / "keys.json").read_bytes())
    assert [name for name, content in keys.items() if not content]
    assert all(name.endswith(".destroyed") == (not content) for name, content in keys.items())


@pytest.mark.slow
async def test_the_script_writes_a_log_that_passes(place: Path) -> None:
    """The next golden log can be made."""
    await regenerate(place / "sealed-v2")
    await check(place / "sealed-v2", place)
