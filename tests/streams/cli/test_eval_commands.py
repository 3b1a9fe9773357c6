"""`helamem eval`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helamem.streams.evaluate.ablations import ABLATIONS, evaluate_ablations
from streams.cli.shell import Ran, run_on_terminal, write_lines

Call = Callable[..., Ran]

SAID = (
    ("Ann", "I adopted a greyhound called Pepper from the shelter on Mill Street."),
    ("Bo", "What a name! I started to learn the cello last week."),
    ("Ann", "The bakery downstairs burned its bread again."),
    ("Bo", "My sister moved to Tromsø and works on a ferry now."),
    ("Ann", "I planted tomatoes on the balcony, four pots of them."),
    ("Bo", "We watched the eclipse from the roof with cardboard glasses."),
)
ASKED = (
    ("What is the name of Ann's greyhound?", 4, "Pepper", "D1:1"),
    ("Which instrument does Bo learn?", 4, "the cello", "D1:2"),
    ("Where does Bo's sister work?", 1, "on a ferry", "D1:4"),
    ("What did Ann plant?", 3, "tomatoes", "D1:5"),
    ("When did Bo begin with the cello?", 2, "May 2023", "D1:2"),
    ("What is the name of Bo's horse?", 5, "unknown", "D1:2"),
)


def sample() -> dict[str, Any]:
    """Return a conversation in LoCoMo's own format; the last question is adversarial and left out of recall."""
    return {
        "sample_id": "one",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [{"speaker": s, "dia_id": f"D1:{n}", "text": text} for n, (s, text) in enumerate(SAID, 1)],
        },
        "qa": [
            {"question": question, "category": category, "answer": answer, "evidence": [evidence]}
            for question, category, answer, evidence in ASKED
        ],
    }


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps([sample()]))
    return path


def test_all_ablations_are_rows_of_one_table(call: Call, small: Path) -> None:
    """All of them with one option; each is held against the default."""
    figures = call("eval", "locomo", small, "--ablations", "-k", "2").json
    assert set(figures["rows"]) == {"default", *ABLATIONS}
    assert figures["questions"] == 5
    for row in figures["rows"].values():
        assert set(row["difference"]) == {"mean@2", "mean@7", "in_context"}
        assert 0 <= row["mean@2"] <= row["mean@7"] <= 1
    assert figures["rows"]["default"]["difference"]["mean@2"] == {"difference": 0, "low": 0, "high": 0}


def test_rows_of_ablations_stand_in_a_table(small: Path) -> None:
    """Each of them is a flag of its own."""
    code, seen = run_on_terminal("eval", "locomo", small, "--bm25-only", "--paper")
    assert code == 0
    assert "against the default" in seen
    assert [name for name in ("default", *ABLATIONS) if f" {name} " in seen] == ["default", "bm25-only", "paper"]


def test_ablations_learn_by_themselves(call: Call, small: Path) -> None:
    ran = call("eval", "locomo", small, "--paper", "--learning", "recalled")
    assert (ran.code, ran.out) == (2, "")
    assert "leave out --learning" in ran.err


@pytest.mark.parametrize("option", ["--ablations", "--learning=off"])
def test_a_file_without_questions_is_refused(call: Call, small: Path, option: str) -> None:
    small.write_text(json.dumps([sample() | {"qa": []}]))
    ran = call("eval", "locomo", small, option)
    assert (ran.code, ran.out) == (2, "")
    assert "holds no question of the categories 1 to 4 with evidence" in ran.err


@pytest.fixture
def first(locomo_dev: Path, tmp_path: Path) -> Path:
    """The first conversation of the development file."""
    path = tmp_path / "first.json"
    path.write_text(json.dumps(json.loads(locomo_dev.read_bytes())[:1]))
    return path


@pytest.mark.slow
async def test_each_part_that_is_left_out_is_missed(first: Path) -> None:
    """On one long conversation: spreading, both lists, and what differs from the paper, each by its interval."""
    rows = (await evaluate_ablations(first))["rows"]
    assert rows["default"]["mean@10"] > 0.75
    for name in ("no-spreading", "dense-only", "bm25-only", "paper", "paper-ageless"):
        assert rows[name]["difference"]["mean@10"]["high"] < 0, name
    assert rows["no-learning"]["difference"]["mean@10"]["difference"] < 0
    assert rows["default"]["context_tokens"] <= 1000


def test_use_is_measured_on_the_used_questions_and_on_the_others(call: Call, small: Path) -> None:
    """Each question is once among the one and once among the other; alone no evidence of this file makes a pair."""
    figures = call("eval", "locomo", small, "--halves", "-k", "2").json
    assert figures["questions"] == 5
    assert figures["before"]["mean@2"] <= figures["before"]["mean@7"]
    for which in ("used", "others"):
        assert set(figures[which]) == {"mean@2", "gain"}
        assert figures[which]["gain"]["difference"] == 0
    code, seen = run_on_terminal("eval", "locomo", small, "--halves")
    assert code == 0
    assert all(word in seen for word in ("before", "used", "others"))


@pytest.mark.parametrize("other", ["--qa", "--paper", "--learning=recalled"])
def test_halves_are_measured_by_themselves(call: Call, small: Path, other: str) -> None:
    ran = call("eval", "locomo", small, "--halves", other)
    assert (ran.code, ran.out) == (2, "")
    assert "leave out" in ran.err


PAIR = {
    "first": {"day": "2025-01-01", "speaker": "Ann", "text": "The offsite in June will be at the lake house."},
    "second": {"day": "2025-02-01", "speaker": "Bo", "text": "Mosquitoes are terrible down there after sunset."},
    "question": "What should I know before the offsite?",
    "together": "Are there mosquitoes at the lake house?",
}
ALONE = {
    "only": {"day": "2025-01-05", "speaker": "Bo", "text": "The dentist moved my appointment."},
    "question": "Who moved the appointment?",
}


def test_pairs_are_measured_by_three_rules(call: Call, tmp_path: Path) -> None:
    """Before and after they were used, with the gain's interval; the same as a table for a person."""
    path = write_lines(tmp_path / "pairs.jsonl", PAIR, ALONE)
    figures = call("eval", "pairs", path, "-k", "1").json
    assert (figures["pairs"], figures["others"], figures["rounds"]) == (1, 1, 1)
    assert set(figures["rules"]) == {"helamem", "ungated", "paper"}
    assert figures["rules"]["helamem"]["first"]["before@1"] == 1
    code, seen = run_on_terminal("eval", "pairs", path)
    assert code == 0
    assert all(word in seen for word in ("ungated", "second", "others", "gain"))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([PAIR, PAIR | {"second": 1}], "line 2, is neither a pair (first, second, question, together) nor a memory"),
        ([PAIR | {"third": {}}], "line 1, is neither"),
        ([ALONE], "holds no pair"),
    ],
)
def test_a_file_that_holds_no_pairs_is_refused(
    call: Call, tmp_path: Path, lines: list[dict[str, Any]], complaint: str
) -> None:
    ran = call("eval", "pairs", write_lines(tmp_path / "pairs.jsonl", *lines))
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err


LONGMEMEVAL = Path(__file__).parents[2] / "knowledge" / "longmemeval.json"
"""Eight questions in LongMemEval's format, written by hand: the benchmark itself is not ours to carry along."""


def test_longmemeval_counts_sessions_and_turns(call: Call) -> None:
    """Each question has its own history; the one that nothing answers is left out."""
    figures = call("eval", "longmemeval", LONGMEMEVAL).json
    assert (figures["questions"], figures["left_out"]) == (7, 1)
    assert figures["overall"]["session"]["questions"] == figures["overall"]["turn"]["questions"] == 7
    assert figures["overall"]["session"]["all@10"] == 1
    assert figures["overall"]["turn"]["any@5"] == 1
    assert set(figures["by_type"]) >= {"knowledge-update", "multi-session"}
    code, seen = run_on_terminal("eval", "longmemeval", LONGMEMEVAL)
    assert code == 0
    assert all(word in seen for word in ("session", "turn", "any@5", "knowledge-update"))


def without_marks(instances: list[dict[str, Any]]) -> None:
    """Take the marks of the turns away."""
    for instance in instances:
        for turn in (turn for session in instance["haystack_sessions"] for turn in session):
            turn.pop("has_answer", None)


def test_a_file_that_marks_no_turns_is_measured_by_sessions(call: Call, tmp_path: Path) -> None:
    """A session stands in the ranking where its first turn does; a question with an unknown session is left out."""
    instances = json.loads(LONGMEMEVAL.read_bytes())[2:5]
    without_marks(instances)
    instances[2]["answer_session_ids"] = ["nowhere"]
    path = tmp_path / "file.json"
    path.write_text(json.dumps(instances))
    figures = call("eval", "longmemeval", path).json
    assert (figures["questions"], figures["left_out"]) == (2, 1)
    assert figures["overall"]["turn"] == {"questions": 0} | {f"{n}@{k}": 0 for k in (5, 10) for n in SHARES}
    assert figures["overall"]["session"]["mean@5"] == 1


SHARES = ("mean", "any", "all")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"haystack_dates": []}, "question q1 has 12 haystack_sessions, 0 haystack_dates"),
        ({"question_date": "yesterday"}, "yesterday"),
        ({"haystack_sessions": None}, "haystack_sessions"),
        ({"answer_session_ids": ["nowhere"]}, "holds no question whose answer_session_ids are in its history"),
    ],
)
def test_a_file_in_another_format_than_longmemeval_is_refused(
    call: Call, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([json.loads(LONGMEMEVAL.read_bytes())[0] | change]))
    ran = call("eval", "longmemeval", path)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"a": 1}\n{"a": 2}'])
def test_what_is_no_array_of_questions_is_no_longmemeval(call: Call, tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content)
    ran = call("eval", "longmemeval", path)
    assert ran.code == 2
    assert "is not in LongMemEval's format" in ran.err
