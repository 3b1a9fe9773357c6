"""`helamem recall` and `helamem reinforce`, and what `edges` and `facts` show of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from helamem.schemas.settings import HebbianSettings
from streams.cli.shell import Ran

Call = Callable[..., Ran]
QUESTION = "Who moved to Bergen?"
LEARNING = HebbianSettings()


@pytest.fixture(autouse=True)
def _ingested(call: Call, chat: Path) -> None:
    assert call("ingest", chat).code == 0


def test_a_recall_says_all_there_is_to_say(call: Call) -> None:
    """Results come best first, each with its words, its time, its score and its reason."""
    ran = call("recall", QUESTION, "--space", "acme/mira", "-k", 2, "-m", 1)
    assert (ran.code, ran.err) == (0, "")
    answer = ran.json
    assert (answer["space"], answer["query"], answer["recorded"]) == ("acme/mira", QUESTION, True)
    results = answer["results"]
    assert [result["rank"] for result in results] == [1, 2, 3]
    assert results[0]["text"] == "I moved to Bergen in March."
    assert results[0]["time"] == "2025-01-01T00:00:01.000Z"
    assert results[0]["message_id"] == "m1"
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    for result in results:
        assert result["path"] in {"base", "association"}
        assert (result["path"] == "association") == ("via_text" in result)


def test_one_space_never_answers_for_another(call: Call) -> None:
    """Words that only the other space has find nothing of it."""
    for space, theirs in (("acme/mira", "Tromsø"), ("acme/tom", "Lisbon")):
        results = call("recall", f"{theirs} {QUESTION}", "--space", space).json["results"]
        assert results
        assert not any(theirs in result["text"] for result in results)


def test_an_unknown_space_is_refused(call: Call) -> None:
    """The complaint names those that there are, and nothing is recorded."""
    before = call("digest").json["positions"]
    ran = call("recall", QUESTION, "--space", "acme/nobody")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no space acme/nobody" in ran.err
    assert "acme/mira, acme/tom" in ran.err
    assert call("recall", QUESTION, "--space", "nonsense").code == 2
    assert call("digest").json["positions"] == before


def test_an_empty_home_has_no_spaces_to_name(call: Call, tmp_path: Path) -> None:
    """The complaint says what to do instead."""
    (tmp_path / "empty.jsonl").write_text("")
    assert call("ingest", tmp_path / "empty.jsonl", "--home", tmp_path / "new").code == 0
    ran = call("recall", QUESTION, "--space", "acme/mira", "--home", tmp_path / "new")
    assert ran.code == 2
    assert "ingest some first" in ran.err


def test_as_of_hides_what_was_said_later(call: Call) -> None:
    """The time is inclusive, and one without a zone is refused."""
    ran = call("recall", QUESTION, "--space", "acme/mira", "--as-of", "2025-01-01T00:00:01Z")
    assert [result["message_id"] for result in ran.json["results"]] == ["m1"]
    assert ran.json["as_of"] == "2025-01-01T00:00:01.000Z"
    for time in ("2025-01-01T00:00:01", "yesterday"):
        ran = call("recall", QUESTION, "--space", "acme/mira", "--as-of", time)
        assert ran.code == 2
        assert "write it like 2025-03-01T09:00:00Z" in ran.err


def test_options_reach_the_recall(call: Call) -> None:
    """Without spreading nothing comes by association; a budget bounds the words; no facts are none."""
    plain = call("recall", QUESTION, "--space", "acme/mira", "--no-spreading", "--facts", 0).json["results"]
    assert {result["path"] for result in plain} == {"base"}
    small = call("recall", QUESTION, "--space", "acme/mira", "--budget", 12).json["results"]
    assert len(small) < len(plain)


def test_a_context_is_ready_for_a_prompt(call: Call) -> None:
    """One block within the budget; what does not stand in it is neither answered nor learned."""
    answer = call("recall", QUESTION, "--space", "acme/mira", "--context", "--budget", 40).json
    lines = answer["context"].splitlines()
    assert lines[:2] == ["Said:", "2025-01-01"]
    assert "00:00 Mira: I moved to Bergen in March." in lines
    assert 0 < answer["tokens"] <= 40
    assert len([line for line in lines[2:] if line != "…"]) == len(answer["results"])
    assert all(result["text"] in answer["context"] for result in answer["results"])
    whole = call("recall", QUESTION, "--space", "acme/mira", "--context", "--no-emit").json
    assert len(whole["results"]) > len(answer["results"])
    nothing = call("recall", QUESTION, "--space", "acme/mira", "--context", "--budget", 1, "--no-emit").json
    assert (nothing["context"], nothing["tokens"], nothing["results"]) == ("", 0, [])
    linked = {id_ for edge in call("edges").json["edges"] for id_ in edge["memory_ids"]}
    assert linked <= {result["id"] for result in answer["results"]}


def test_a_recall_without_a_trace_teaches_nothing(call: Call) -> None:
    """`--no-emit` leaves the log alone; its recall cannot be reinforced."""
    ran = call("recall", QUESTION, "--space", "acme/mira", "--no-emit")
    assert (ran.json["recorded"], ran.json["recall_id"]) == (False, None)
    assert call("edges").json == {"edges": [], "total": 0}


def test_reinforced_memories_are_linked_more_strongly(call: Call) -> None:
    """A recall links its results a little; what is reinforced is the strongest link there is."""
    answer = call("recall", QUESTION, "--space", "acme/mira").json
    weak = call("edges", "--space", "acme/mira").json
    assert weak["total"] == 6
    assert [edge["weight"] for edge in weak["edges"]] == [pytest.approx(LEARNING.eta_recalled)] * 6
    useful = [result["id"] for result in answer["results"][:2]]
    ran = call("reinforce", answer["recall_id"], *useful)
    assert (ran.code, ran.json) == (0, {"recall_id": answer["recall_id"], "reinforced": useful})
    (strongest,) = call("edges", "--limit", 1).json["edges"]
    assert set(strongest["memory_ids"]) == set(useful)
    assert strongest["weight"] == pytest.approx(LEARNING.eta_recalled + LEARNING.eta_reinforced)
    assert all(text.startswith("Mira: ") for text in strongest["texts"])
    later = call("edges", "--limit", 1, "--as-of", "2999-01-01T00:00:00Z").json["edges"][0]
    assert later["weight"] == 0
    assert call("edges", "--space", "acme/tom").json == {"edges": [], "total": 0}


def test_only_what_was_recalled_can_be_reinforced(call: Call) -> None:
    """A recall that is not in the log and a memory that it did not return are refused."""
    answer = call("recall", QUESTION, "--space", "acme/mira").json
    foreign = call("recall", QUESTION, "--space", "acme/tom").json["results"][0]["id"]
    for recall_id, memory_id in (("no-such-recall", foreign), (answer["recall_id"], foreign)):
        ran = call("reinforce", recall_id, memory_id)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("helamem: ")


@pytest.mark.slow
def test_facts_are_listed_with_their_evidence(call: Call) -> None:
    """What is recalled and reinforced again and again is distilled into facts, which name their memories."""
    call("settings", "--set", "hebbian.hub_strength=0.01", "--set", "hebbian.hub_degree=2")
    for _ in range(3):
        answer = call("recall", QUESTION, "--space", "acme/mira").json
        call("reinforce", answer["recall_id"], *[result["id"] for result in answer["results"] if "role" in result])
    facts = call("facts", "--space", "acme/mira").json["facts"]
    assert facts
    for fact in facts:
        assert fact["kind"] in {"user-trait", "fact", "agent-knowledge"}
        assert fact["text"]
        assert fact["evidence"]
        assert all(evidence["text"].startswith("Mira: ") for evidence in fact["evidence"])
    assert call("facts", "--space", "acme/tom").json == {"facts": []}
    found = call("recall", QUESTION, "--space", "acme/mira").json["results"]
    assert any(result["kind"] == "fact" and result["evidence"] for result in found)
