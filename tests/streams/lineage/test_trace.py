"""`trace`: from an event forward to all that it caused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from fakes.events import message as said
from fakes.events import record
from helamem.schemas.events import KnowledgeRetracted
from helamem.schemas.ids import memory_id
from helamem.schemas.records import NewRecord
from helamem.schemas.topics import CONVERSATIONS, FACTS, TOPICS
from helamem.schemas.wire import Event, encode
from helamem.streams.cli.lineage_tree import tree
from helamem.streams.home import wall_clock_ms
from helamem.streams.instance import Instance
from helamem.streams.lineage.node import Node
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.conftest import call, home
from streams.cli.shell import Ran, message, run_on_terminal, write_lines
from streams.lineage.test_why import below

__all__ = ["call", "home"]

Call = Callable[..., Ran]


def hub_of(call: Call, demo_home: Path) -> Any:
    """Return the hub of the demo's first fact, as `why` tells it."""
    fact = call("facts", "--home", demo_home).json["facts"][0]
    return next(below(call("why", fact["id"], "--home", demo_home).json["why"], "hub"))


def test_a_message_is_followed_to_the_facts(call: Call, demo_home: Path) -> None:
    """Memory, recalls that returned it, its edges, the hubs it is part of and the facts distilled from them."""
    hub = hub_of(call, demo_home)
    said = next(below(hub, "message"))
    top = call("trace", said["id"], "--home", demo_home).json["trace"]
    assert (top["kind"], top["text"], top["record"]) == ("message", said["text"], said["record"])
    (memory,) = below(top, "memory")
    assert memory["id"] == hub["memory_id"]
    assert list(below(memory, "recalled"))
    assert list(below(memory, "reinforced"))
    assert {one["weight"] for one in below(memory, "temporal-edge")} == {0.5}
    edges = list(below(memory, "edge"))
    assert edges
    for edge in edges:
        assert sum(one["contribution_units"] for one in edge["children"]) == edge["weight_units"]
    assert hub["id"] in [one["id"] for one in below(memory, "hub")]
    facts = [fact for fact in call("facts", "--home", demo_home).json["facts"] if fact["hub"] == hub["id"]]
    assert facts
    assert {fact["id"] for fact in facts} <= {one["fact_id"] for one in below(memory, "distilled")}


def test_a_recall_is_followed_to_what_it_strengthened(call: Call, demo_home: Path) -> None:
    """What it gave to each edge is what `why` says of the edge, and its hub and the reinforcements of it are below."""
    hub = hub_of(call, demo_home)
    reinforced = next(one for one in below(hub, "reinforced") if one["id"] == hub["cause"])
    top = call("trace", reinforced["recall_id"], "--home", demo_home, "--space", "demo/ada").json["trace"]
    assert top["kind"] == "recalled"
    assert reinforced["id"] in [one["id"] for one in below(top, "reinforced")]
    found = {one["id"]: one for one in below(top, "hub")}
    assert found[hub["id"]]["contribution_units"] > 0
    edge = next(one for one in top["children"] if one["kind"] == "edge")
    whole = next(below(call("why", *edge["memory_ids"], "--home", demo_home).json["why"], "edge"))
    (share,) = [one for one in whole["children"] if one["id"] == reinforced["recall_id"]]
    assert edge["weight_units"] == whole["weight_units"]
    assert (edge["gain_units"], edge["contribution_units"]) == (share["gain_units"], share["contribution_units"])
    under = call("trace", hub["id"], "--home", demo_home).json["trace"]
    assert [one["fact_id"] for one in below(under, "distilled")]


def test_a_reinforcement_names_its_cue(call: Call, home: Path, tmp_path: Path) -> None:
    """Of the memories that it ties together, that one was not of use: back, forward, and told to people."""
    lines = [message(number, f"The tent has {number} poles.") for number in (1, 2)]
    call("ingest", write_lines(tmp_path / "chat.jsonl", *lines))
    recalled = call("recall", "How many poles?", "--space", "acme/mira").json
    first, second = (one["id"] for one in recalled["results"])
    call("reinforce", recalled["recall_id"], second)
    (given,) = below(call("why", first, second).json["why"], "reinforced")
    assert (given["recall_id"], given["cue"]) == (recalled["recall_id"], first)
    top = call("trace", given["id"]).json["trace"]
    assert top["cue"] == first
    (edge,) = below(top, "edge")
    assert {*edge["memory_ids"]} == {first, second}
    told = Node(kind="reinforced", id=given["id"], details=given)
    assert f"reinforced “How many poles?” from the cue {first} given 0.1" in str(tree(told).label)
    call("reinforce", recalled["recall_id"], first, second)
    both = [*below(call("why", first, second).json["why"], "reinforced")]
    assert [one.get("cue") for one in both] == [first, None]


@pytest.mark.slow
def test_what_was_put_aside_retracted_and_hidden_is_said(call: Call, home: Path, tmp_path: Path) -> None:
    """A dead letter names the record, a retraction the fact, and a message that was forgotten says so."""
    lines = [message(number, f"The tent has {number} poles.") for number in (1, 2, 3)]
    call("ingest", write_lines(tmp_path / "chat.jsonl", *lines))
    ids = [memory_id("acme/mira", f"m{number}") for number in (1, 2, 3)]
    for _ in range(9):
        recalled = call("recall", "How many poles?", "--space", "acme/mira").json
        call("reinforce", recalled["recall_id"], *ids)
    call("settings", "--set", "hebbian.hub_degree=2", "--set", "hebbian.hub_strength=0.2")
    recalled = call("recall", "How many poles?", "--space", "acme/mira").json
    call("reinforce", recalled["recall_id"], *ids)
    fact = call("facts").json["facts"][0]
    retraction = Event(
        id="gone", source="test", space="acme/mira", time_ms=0, data=KnowledgeRetracted(fact_id=fact["id"], reason="no")
    )

    async def spoil() -> None:
        instance = await Instance.open(home, create=False)
        await instance.log.append(
            [
                record(retraction),
                NewRecord(topic=CONVERSATIONS.name, key=b"acme/mira", value=encode(retraction)),
                record(retraction),
            ]
        )
        await instance.process()
        await instance.close()

    asyncio.run(spoil())
    older = ("--older-than-days", 0, "--weaker-than", 1, "--not-recalled-for-days", 0, "--protect", "none")
    call("forget", "--space", "acme/mira", *older, "--as-of", "2035-01-01T00:00:00Z", "--yes")

    top = call("trace", recalled["recall_id"]).json["trace"]
    assert [one["id"] for one in below(top, "retracted")] == ["gone"] * len(list(below(top, "retracted")))
    assert list(below(top, "retracted"))
    said = call("why", ids[0]).json["why"]
    assert list(below(said, "forgotten"))
    message_id = next(below(said, "message"))["id"]
    assert list(below(call("trace", message_id).json["trace"], "forgotten"))
    assert next(below(call("why", fact["id"]).json["why"], "retracted"))["reason"] == "no"
    gone = call("trace", "gone").json["trace"]
    assert [one["fact_id"] for one in below(gone, "distilled")] == [fact["id"]]
    assert [place["topic"] for place in gone["also_at"]] == [CONVERSATIONS.name, FACTS.name]
    (letter,) = below(gone, "dead-letter")
    assert letter["reason"].endswith(f"does not belong into {CONVERSATIONS.name}")
    assert letter["id"] in [one["id"] for one in call("dead-letters", "list").json["dead_letters"]]
    control = next(below(said, "forgotten"))["id"]
    assert len(list(below(call("trace", control).json["trace"], "memory"))) == len(ids)


def test_what_stands_out_of_its_place_has_caused_nothing(call: Call, tmp_path: Path) -> None:
    """A message with another key, which nobody has processed yet: it is shown, with nothing below it."""
    call("ingest", write_lines(tmp_path / "chat.jsonl", message(1, "I moved to Bergen.")), "--space", "acme/mira")
    stray = replace(record(said("stray", "Lost.", space="acme/mira")), key=b"acme/other")

    async def append() -> None:
        async with await SqliteLog.open(tmp_path / "home" / "log.sqlite", TOPICS, wall_clock_ms) as log:
            await log.append([stray])

    asyncio.run(append())
    top = call("trace", "message-stray").json["trace"]
    assert (top["kind"], top["children"]) == ("message", [])


def test_what_is_not_there_is_refused(call: Call, demo_home: Path) -> None:
    """In one sentence."""
    for arguments in (("no-such-event",), ("no-such-event", "--space", "demo/ada"), ("x", "--space", "no space")):
        ran = call("trace", *arguments, "--home", demo_home)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


@pytest.mark.slow
def test_a_person_sees_a_tree(call: Call, demo_home: Path) -> None:
    """With the facts at its end."""
    code, seen = run_on_terminal("trace", hub_of(call, demo_home)["cause"], "--home", demo_home)
    assert code == 0
    for part in ("reinforced", "edge", "given 0.1", "hub", "distilled"):
        assert part in seen
