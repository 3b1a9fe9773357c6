"""What a model states supersedes what it stated before, and what was quoted, where both say what of whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fakes.chat_service import Asked, ChatService, Reply, chatting, refusing, says, shown, statement, statements
from fakes.directories import directory
from fakes.events import event, message, record
from fakes.machine import SETTINGS
from fakes.words import wordllama
from helamem.schemas.events import ClusterMember, HubFormed
from helamem.schemas.ids import memory_id
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.distilling import ModelSettings
from helamem.streams.instance import Instance
from helamem.streams.replay import replay
from streams.cli.shell import run
from streams.effects.test_replay_distilled import model_at

SPACE = "acme/anna"
LISBON_MS, BERGEN_MS = 1_735_732_800_000, 1_748_779_200_000
"""The firsts of January and June 2025, noon."""
DAY_MS = 86_400_000


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
def service() -> Iterator[ChatService]:
    with chatting() as known:
        known.reply = moving
        yield known


def moving(asked: Asked) -> Reply:
    """Answer a hub of one town with where Anna lives then."""
    (told,) = [
        one for one in shown(asked) if "lives" not in one["text"] and ("Lis" in one["text"] or "Ber" in one["text"])
    ]
    town = "Lisbon" if "Lisbon" in told["text"] else "Bergen"
    return says(statements(statement(f"Anna lives in {town}.", told["id"])))


async def told(home: Path, text: str, time_ms: int, distiller: ModelSettings | None) -> str:
    """Have something said and a hub told of it, which this distiller is given; return the digest.

    No recall forms the hub, so a replay derives none to compare it with.
    """
    settings = None if home.exists() else SETTINGS  # noqa: ASYNC240 - of a test's own directory
    instance = await Instance.open(
        home, settings=settings, embedder=wordllama(), distiller=distiller, clock=lambda: time_ms
    )
    async with AsyncMemory(instance, lambda: time_ms, lambda: f"id{time_ms}") as memory:
        names = [f"{time_ms}-{n}" for n in range(2)]
        texts = [text, f"The tent number {time_ms} has a bent pole."]
        said = [
            message(name, one, space=SPACE, speaker="Anna", time_ms=time_ms)
            for name, one in zip(names, texts, strict=True)
        ]
        await memory.instance.log.append([record(one) for one in said])
        await memory.process()
        first, second = (memory_id(SPACE, name) for name in names)
        hub = HubFormed(
            memory_id=first,
            strength=9 << 20,
            degree=1,
            cluster=(ClusterMember(memory_id=second, weight=9 << 20),),
            cause="e",
            applied={},
        )
        await memory.instance.log.append([record(event(f"hub-{time_ms}", hub, space=SPACE, time_ms=time_ms))])
        assert await memory.process() is None
        return (await memory.digest()).digest


async def found(home: Path, as_of_ms: int) -> Sequence[str]:
    """Return the facts that a recall finds that hold at a moment."""
    instance = await Instance.open(home, embedder=wordllama(), clock=lambda: as_of_ms)
    async with AsyncMemory(instance, lambda: as_of_ms, lambda: f"q{as_of_ms}") as memory:
        hits = (await memory.recall(SPACE, "Where does Anna live?", as_of=as_of_ms, record=False)).hits
        return [hit.fact.text for hit in hits if hit.fact and hit.fact.key == "home" and hit.ended_ms is None]


def homes(home: Path, *options: str) -> list[str]:
    """Return where Anna lives, by the profile."""
    ran = run("profile", SPACE, "--home", home, *options)
    people = ran.json["user_model"]
    return [entry["value"] for person in people for entry in person["entries"] if entry["key"] == "home"]


async def test_what_a_model_states_later_supersedes_what_it_stated(service: ChatService, place: Path) -> None:
    """The profile and recall show what held at each moment, and a replay calls nobody and comes to the same."""
    home = place / "home"
    await told(home, "I live in Lisbon with two cats.", LISBON_MS, model_at(service))
    digest = await told(home, "We moved to Bergen because of the rain.", BERGEN_MS, model_at(service))
    old, new = run("facts", "--space", SPACE, "--home", home).json["facts"]
    assert (old["text"], old["subject"], old["key"], old["value"]) == (
        "Anna lives in Lisbon.",
        "Anna",
        "home",
        "lisbon",
    )
    assert (new["value"], new["supersedes"], new["distiller"]) == ("bergen", [old["id"]], "openai:g:distil.v1")
    assert (old["valid_until"], new["valid_until"]) == ("2025-06-01T12:00:00.000Z", None)
    assert homes(home) == ["bergen"]
    assert homes(home, "--as-of", "2025-03-01T00:00:00Z") == ["lisbon"]
    service.reply = lambda asked: refusing(500)
    assert (await replay(home, place / "again")).digest.digest == digest
    assert await found(home, BERGEN_MS - DAY_MS) == ["Anna lives in Lisbon."]
    assert await found(home, BERGEN_MS + DAY_MS) == ["Anna lives in Bergen."]


@pytest.mark.parametrize("model_first", [True, False])
async def test_what_was_quoted_and_what_a_model_states_settle(
    service: ChatService, place: Path, *, model_first: bool
) -> None:
    """Whichever of them came first."""
    home, model = place / "home", model_at(service)
    await told(home, "I live in Lisbon with two cats.", LISBON_MS, model if model_first else None)
    await told(home, "We moved to Bergen because of the rain.", BERGEN_MS, None if model_first else model)
    facts = [one for one in run("facts", "--space", SPACE, "--home", home).json["facts"] if one["key"] == "home"]
    assert [one["distiller"].partition(":")[0] for one in facts] == (
        ["openai", "extractive"] if model_first else ["extractive", "openai"]
    )
    assert facts[1]["supersedes"] == [facts[0]["id"]]
    assert homes(home) == ["bergen"]
