"""`why`: facts reach messages, weights are sums of what recalls gave, and nothing is asked but the log."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from helamem.processors.hebbian.packing import unpack
from helamem.schemas.ids import id_text
from helamem.schemas.topics import TOPICS
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.home import wall_clock_ms
from helamem.streams.lineage.node import as_json
from helamem.streams.lineage.reader import LogReader
from helamem.streams.lineage.refold import refold
from helamem.streams.log.sqlite import SqliteLog
from streams.cli.conftest import call, home
from streams.cli.shell import Ran, message, run_on_terminal, write_lines

__all__ = ["call", "home"]

Call = Callable[..., Ran]
Json = dict[str, Any]


def below(node: Json, kind: str) -> Iterator[Json]:
    """Yield all nodes of a kind, the top included."""
    if node["kind"] == kind:
        yield node
    for child in node["children"]:
        yield from below(child, kind)


async def hashes(home_: Path) -> dict[tuple[str, int, int], str]:
    """Return the SHA-256 of every record's bytes, by its place."""
    async with await SqliteLog.open(home_ / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        return {
            (record.topic, record.partition, record.offset): hashlib.sha256(record.value).hexdigest()
            for spec in TOPICS
            for partition in await log.partitions(spec.name)
            for record in await log.read(partition, 0, limit=10_000)
        }


def true_hash(of: dict[tuple[str, int, int], str], record: Json) -> bool:
    """Whether the record stands where it is said to stand, with the bytes whose hash is given."""
    return of[record["topic"], record["partition"], record["offset"]] == str(record["sha256"])


def test_every_fact_of_the_demo_reaches_messages(call: Call, demo_home: Path) -> None:
    """Fact, hub, cluster, memories, messages with the hash of their bytes, recalls: and every weight is explained."""
    facts = call("facts", "--home", demo_home).json["facts"]
    assert len(facts) >= 5
    written = asyncio.run(hashes(demo_home))
    for fact in facts:
        ran = call("why", fact["id"], "--home", demo_home)
        assert (ran.code, ran.err, ran.json["problems"], ran.json["space"]) == (0, "", [], fact["space"])
        top = ran.json["why"]
        assert (top["kind"], top["text"]) == ("fact", fact["text"])
        assert all(one["matches"] for one in top["evidence"])
        (hub,) = below(top, "hub")
        assert (hub["id"], hub["derived_again"]) == (fact["hub"], True)
        memories = {memory["id"]: memory for memory in below(top, "memory")}
        assert memories.keys() >= {one["memory_id"] for one in fact["evidence"]}
        for memory in memories.values():
            (said,) = below(memory, "message")
            assert said["text"] == memory["text"]
            assert true_hash(written, said["record"])
        for edge in below(top, "edge"):
            given = [child for child in edge["children"] if child["kind"] in ("recalled", "reinforced")]
            assert given
            assert sum(one["contribution_units"] for one in given) == edge["weight_units"] == edge["recorded_units"]
            for one in given:
                assert true_hash(written, one["record"])


async def test_every_edge_of_the_demo_is_the_sum_of_what_recalls_gave(demo_home: Path) -> None:
    """Seen from each memory, the edges are those of the store, with their integer weights."""
    async with await AsyncMemory.open(demo_home, create=False) as memory:
        rows = await memory.edges()
    assert len(rows) > 50
    async with await SqliteLog.open(demo_home / "log.sqlite", TOPICS, wall_clock_ms, read_only=True) as log:
        reader = await LogReader.open(log)
        for space in {row.space for row in rows}:
            mine = {row.memory_id: row for row in rows if row.space == space}
            refolded = await refold(reader, space, mine.keys())
            for id_, row in mine.items():
                stored = {id_text(edge.neighbour): edge.weight for edge in unpack(row.neighbours)}
                assert refolded.rows[id_].edges.keys() == stored.keys()
                for neighbour, weight in stored.items():
                    edge = as_json(refolded.edge(id_, neighbour, None, (id_,)))
                    assert edge["weight_units"] == weight
                    assert sum(one["contribution_units"] for one in edge["children"]) == weight


def strongest(pair: dict[str, Any]) -> dict[str, Any]:
    """Return the edge as it stands where it is strongest: a list that is full may have pushed it out for a while."""
    return max((one for one in below(pair, "edge") if one["in_lists_of"]), key=lambda one: one["weight"])


def test_an_edge_is_named_by_its_two_memories(call: Call, demo_home: Path) -> None:
    """Its weight is that of `helamem edges`, and it fades by the same rule; the order of the ids does not matter."""
    for edge in call("edges", "--home", demo_home, "--limit", 5).json["edges"]:
        pair = call("why", *edge["memory_ids"], "--home", demo_home).json["why"]
        found = strongest(pair)
        assert found["weight"] == edge["weight"]
        assert {*found["in_lists_of"]} <= {*edge["memory_ids"]}
        turned = call("why", *reversed(edge["memory_ids"]), "--home", demo_home, "--space", edge["space"]).json
        assert strongest(turned["why"])["children"] == found["children"]
    later = ("--as-of", "2026-03-01T00:00:00Z")
    for edge in call("edges", "--home", demo_home, "--limit", 5, *later).json["edges"]:
        found = strongest(call("why", *edge["memory_ids"], "--home", demo_home, *later).json["why"])
        assert found["weight"] == edge["weight"]
        assert sum(child["contribution_units"] for child in found["children"]) == found["weight_units"]


def test_a_memory_is_explained_with_its_links(call: Call, demo_home: Path) -> None:
    """Its message, the turns beside it as temporal edges of 0.5, and its learned edges, strongest first."""
    edge = call("edges", "--home", demo_home, "--limit", 1).json["edges"][0]
    top = call("why", edge["memory_ids"][0], "--home", demo_home).json["why"]
    assert top["kind"] == "memory"
    temporal = list(below(top, "temporal-edge"))
    assert temporal
    assert {one["weight"] for one in temporal} == {0.5}
    beside = next(below(temporal[0], "message"))
    assert beside["conversation"] == top["conversation"]
    weights = [one["weight_units"] for one in below(top, "edge")]
    assert weights == sorted(weights, reverse=True)
    assert set(edge["memory_ids"]) == set(next(below(top, "edge"))["memory_ids"])


def test_neighbouring_turns_without_recalls_have_a_temporal_edge(call: Call, home: Path, tmp_path: Path) -> None:
    """It is named as such; turns that nothing links are refused in one sentence, as is what is no memory."""
    lines = [message(number, f"Sentence number {number}.") for number in (1, 2, 3)]
    call("ingest", write_lines(tmp_path / "chat.jsonl", *lines))
    recalled = call("recall", "sentence", "--space", "acme/mira", "--no-emit").json["results"]
    ids = {result["message_id"]: result["id"] for result in recalled}
    pair = call("why", ids["m1"], ids["m2"]).json["why"]
    assert [child["kind"] for child in pair["children"]] == ["temporal-edge", "memory", "memory"]
    far = call("why", ids["m1"], ids["m3"])
    assert (far.code, far.out) == (2, "")
    assert "no edge was ever made between" in far.err
    for arguments in ((ids["m1"], ids["m1"]), ("nobody",), (ids["m1"], "nobody"), ("nobody", "x"), ("a", "b", "c")):
        ran = call("why", *arguments)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)


def test_it_needs_the_log_alone(call: Call, demo_home: Path, tmp_path: Path) -> None:
    """Without store and cache the answer is the same."""
    fact = call("facts", "--home", demo_home).json["facts"][0]["id"]
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("home.json", "log.sqlite"):
        shutil.copy(demo_home / name, bare / name)
    assert call("why", fact, "--home", bare).json == call("why", fact, "--home", demo_home).json
    assert sorted(file.name for file in bare.iterdir() if not file.name.endswith(("-wal", "-shm"))) == [
        "home.json",
        "log.sqlite",
    ]


@pytest.mark.parametrize(
    "altered",
    [
        ("memory.reinforced", {"memory_ids": ["0" * 8 + "-0000-4000-8000-" + "0" * 12]}, "form"),
        ("memory.hub-formed", {"strength": 1}, "form another hub than"),
        ("conversation.message", {"text": "I said nothing of the kind."}, "no longer says what the fact was"),
    ],
)
def test_a_log_that_contradicts_itself_is_a_problem(
    call: Call, demo_home: Path, tmp_path: Path, altered: tuple[str, Json, str]
) -> None:
    """An altered recall, hub or message behind a fact is named, and the exit code is 1."""
    kind, change, problem = altered
    fact = call("facts", "--home", demo_home).json["facts"][0]["id"]
    copy = tmp_path / "copy"
    shutil.copytree(demo_home, copy)
    with closing(sqlite3.connect(copy / "log.sqlite")) as file:
        for id_, value in file.execute("SELECT id, value FROM records").fetchall():
            event = orjson.loads(value)
            if event["type"].startswith(kind):
                event["data"] |= change
                raw = orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
                file.execute("UPDATE records SET value = ? WHERE id = ?", (raw, id_))
        file.commit()
    ran = call("why", fact, "--home", copy)
    assert ran.code == 1
    assert any(problem in one for one in ran.json["problems"])
    assert problem in ran.err


def test_prov_json_is_whole(call: Call, demo_home: Path) -> None:
    """Every name has a declared prefix, every relation joins declared things of the right sort, and words are there."""
    sorts: dict[str, dict[str, tuple[str, ...]]] = {
        "wasDerivedFrom": {"prov:generatedEntity": ("entity",), "prov:usedEntity": ("entity",)},
        "wasGeneratedBy": {"prov:entity": ("entity",), "prov:activity": ("activity",)},
        "wasAttributedTo": {"prov:entity": ("entity",), "prov:agent": ("agent",)},
        "wasInfluencedBy": {
            "prov:influencee": ("entity", "activity", "agent"),
            "prov:influencer": ("entity", "activity", "agent"),
        },
    }
    fact = call("facts", "--home", demo_home).json["facts"][0]
    memories = call("edges", "--home", demo_home, "--limit", 1).json["edges"][0]["memory_ids"]
    for ids in ([fact["id"]], [memories[0]], memories):
        document = call("why", *ids, "--home", demo_home, "--format", "prov").json
        assert document.keys() <= {"prefix", "entity", "activity", "agent", *sorts}
        for section in ("entity", "activity", "agent"):
            for name in document[section]:
                assert name.partition(":")[0] in document["prefix"]
        for relation, ends in sorts.items():
            for one in document.get(relation, {}).values():
                for end, where in ends.items():
                    assert any(one[end] in document[section] for section in where)
        texts = json.dumps(document)
        assert "helamem:contribution_units" in texts
        assert "helamem:sha256" in texts
    document = call("why", fact["id"], "--home", demo_home, "--format", "prov").json
    derived = {one["prov:generatedEntity"] for one in document["wasDerivedFrom"].values()}
    assert f"helamem:fact/{fact['id']}" in derived
    assert any(agent["prov:label"] == "Mira" for agent in document["agent"].values())


@pytest.mark.slow
def test_a_person_sees_a_tree(call: Call, demo_home: Path) -> None:
    """With what was said, where it stands and what each recall gave."""
    fact = call("facts", "--home", demo_home).json["facts"][0]
    code, seen = run_on_terminal("why", fact["id"], "--home", demo_home)
    assert code == 0
    for part in ("└──", "message", "sha256", "weight 0.", "is left", "Mira:"):
        assert part in seen
