"""Answers of a model and of a judge, by a service on this machine that misbehaves as it is told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from fakes.chat_service import Asked, ChatService, Reply, chatting, in_turn, refusing, says
from helamem.processors.consolidation.llm.chat import ChatSettings
from helamem.processors.consolidation.llm.patience import PatienceSettings
from helamem.schemas.errors import BadInput, RetryLater
from helamem.streams.distilling import ModelSettings
from helamem.streams.evaluate.answering import Item, answer_all
from helamem.streams.evaluate.kept_answers import Kept, KeptAnswers

PATIENCE = PatienceSettings(tries=3, first_s=0.01, longest_s=0.05, failures=50, rest_s=0.05)
ANSWERS = {
    "Which instrument?": "cello",
    "Which pets?": "greyhound",
    "Would she move?": "Likely no",
    "Which cat?": "none",
}
ITEMS = [
    Item(group="4", question="Which instrument?", wanted="the cello", context="n1", tokens=10, asked_ms=0, category=4),
    Item(group="1", question="Which pets?", wanted="greyhound, cat", context="n2", tokens=20, asked_ms=0, category=1),
    Item(
        group="3", question="Would she move?", wanted="Likely no; why", context="n3", tokens=30, asked_ms=0, category=3
    ),
    Item(group="abs", question="Which cat?", wanted="no cat", context="n4", tokens=40, asked_ms=0, abstains=True),
]


@pytest.fixture
def service() -> Iterator[ChatService]:
    with chatting() as known:
        known.reply = answering
        yield known


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def told(asked: Asked) -> dict[str, Any]:
    """Return what a call tells beside the instructions; nothing where it only sees whether anybody is there."""
    told_: dict[str, Any] = orjson.loads(asked["messages"][1]["content"]) if len(asked["messages"]) > 1 else {}
    return told_


def answering(asked: Asked) -> Reply:
    """Answer each question, and find every answer right but one."""
    known = told(asked)
    if asked["model"] == "judge":
        return says(orjson.dumps({"correct": known["given"] != "greyhound"}).decode())
    return says(orjson.dumps({"answer": ANSWERS.get(known.get("question", ""), "yes")}).decode())


async def ask(service: ChatService, path: Path, *, judge: str | None = None, at_once: int = 2) -> dict[str, Any]:
    """Have all questions answered."""
    chat = ChatSettings(base_url=service.url, model="g", timeout_s=2.0, patience=PATIENCE)
    with KeptAnswers(path) as kept:
        return await answer_all(ITEMS, ModelSettings(chat=chat, concurrency=at_once), kept, judge=judge)


async def test_answers_are_scored_by_group(service: ChatService, path: Path) -> None:
    """The model sees the context and no answer; a question that nothing answers has neither F1 nor BLEU-1."""
    figures = await ask(service, path)
    groups = figures["by_group"]
    assert [groups[group]["f1"] for group in ("4", "1", "3", "abs")] == [1, 0.5, 1, 0]
    assert [groups[group]["bleu_1"] for group in ("4", "3")] == [1, 1]
    assert figures["overall"]["f1"] == pytest.approx(2.5 / 3, abs=1e-4)
    assert (figures["overall"]["questions"], figures["overall"]["context_tokens"]) == (4, 25)
    assert "judged_right" not in figures["overall"]
    assert {told(call)["notes"] for call in service.calls} == {"n1", "n2", "n3", "n4"}
    assert not any("wanted" in told(call) or "cello" in str(call) for call in service.calls)
    assert told(service.calls[0])["asked_on"] == "1970-01-01, a Thursday"


async def test_a_judge_is_another_question_to_another_model(service: ChatService, path: Path) -> None:
    figures = await ask(service, path, judge="judge")
    assert figures["overall"]["judged_right"] == 0.75
    assert [figures["by_group"][group]["judged_right"] for group in ("1", "abs")] == [0, 1]
    assert figures["overall"]["without_verdict"] == 0
    judged = [told(call) for call in service.calls if call["model"] == "judge"]
    assert {"question": "Would she move?", "wanted": "Likely no", "given": "Likely no"} in judged
    assert (len(judged), len(service.calls)) == (4, 8)


async def test_nothing_is_asked_twice(service: ChatService, path: Path) -> None:
    """A judge that is named later asks about the answers that are kept."""
    first = await ask(service, path)
    asked = len(service.calls)
    assert await ask(service, path) == first
    assert len(service.calls) == asked
    await ask(service, path, judge="judge")
    assert [call["model"] for call in service.calls[asked:]] == ["judge"] * 4


async def test_a_broken_run_goes_on(service: ChatService, path: Path) -> None:
    """The sentence says how many answers are kept and where; the next run asks for the others alone."""
    service.reply = lambda asked: (
        answering(asked) if told(asked).get("question") == "Which instrument?" else refusing(503)
    )
    with pytest.raises(RetryLater, match=r"answers 503.*; 1 answers are kept in .*answers.jsonl: run this again"):
        await ask(service, path, at_once=1)
    service.calls.clear()
    service.reply = answering
    assert (await ask(service, path))["overall"]["f1"] == pytest.approx(2.5 / 3, abs=1e-4)
    assert "Which instrument?" not in {told(call)["question"] for call in service.calls}


@pytest.mark.parametrize(
    "replies",
    [
        (refusing(429, headers=[("retry-after", "0")]), answering),
        (refusing(500), answering),
        (Reply(b"<html>busy</html>"), answering),
        (lambda asked: says("cello" if told(asked).get("notes") == "n1" else "Bergen"),),
        (lambda asked: says('Sure! {"answer": "cello"} Anything else?'),),
    ],
)
async def test_a_model_that_misbehaves_is_borne(service: ChatService, path: Path, replies: tuple[Any, ...]) -> None:
    """Too many calls, failures, pages of something else, and words where JSON was asked for."""
    service.reply = in_turn(*replies)
    figures = await ask(service, path)
    assert figures["by_group"]["4"]["f1"] == 1
    assert figures["overall"]["refused"] == 0


async def test_a_question_that_is_refused_counts_as_wrong(service: ChatService, path: Path) -> None:
    """Others go on, and it is not asked again."""
    service.reply = lambda asked: refusing(400) if told(asked).get("notes") == "n1" else answering(asked)
    figures = await ask(service, path, judge="judge")
    assert (figures["by_group"]["4"]["refused"], figures["by_group"]["4"]["f1"]) == (1, 0)
    assert figures["by_group"]["4"]["judged_right"] == 0
    assert figures["overall"]["refused"] == 1
    service.calls.clear()
    assert await ask(service, path, judge="judge") == figures
    assert service.calls == []


@pytest.mark.parametrize("verdict", ["Yes, it is.", "true", "Correct.", '{"correct": true}', '{"correct": "maybe"} no'])
async def test_a_verdict_in_words_is_understood(service: ChatService, path: Path, verdict: str) -> None:
    service.reply = lambda asked: says(verdict) if asked["model"] == "judge" else answering(asked)
    figures = await ask(service, path, judge="judge")
    assert figures["overall"]["judged_right"] == (0 if "maybe" in verdict else 1)


def test_a_line_that_a_crash_cut_short_is_taken_off(path: Path) -> None:
    """Of the first answer or of a later one; what was whole is kept, and the file is whole again."""
    one, other = (Kept(key=key, model="g", text="ja") for key in ("a", "b"))
    for torn in (b"{", b'{"key":', b'{"key":"a","mod'):
        path.write_bytes(torn)
        with KeptAnswers(path) as kept:
            assert len(kept) == 0
    with KeptAnswers(path) as kept:
        kept.keep(one)
    with path.open("ab") as file:
        file.write(b'{"key":"b","model"')
    with KeptAnswers(path) as kept:
        assert (len(kept), kept.get("a"), kept.get("b")) == (1, one, None)
        kept.keep(other)
    with KeptAnswers(path) as kept:
        assert (kept.get("a"), kept.get("b")) == (one, other)


ANSWER = '{"key":"a","model":"g","text":"x"}\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{ANSWER}dear diary\n", 2),
        (f"{ANSWER}dear diary", 2),
        ("dear diary", 1),
        ('{"question":"Where?"}', 1),
        ('{"key":1', 1),
    ],
)
def test_a_file_of_something_else_is_left_alone(path: Path, text: str, line: int) -> None:
    """With and without a newline at its end, which a line that a crash cut short lacks too."""
    path.write_text(text)
    with pytest.raises(BadInput, match=rf"line {line}, is no answer of an evaluation; name another file by --answers"):
        KeptAnswers(path)
    assert path.read_text() == text


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cannot be written \(Is a directory\); name another file by --answers"):
        KeptAnswers(tmp_path)
