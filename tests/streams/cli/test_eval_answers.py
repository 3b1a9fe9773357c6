"""`helamem eval … --qa`: a model on this machine answers from what was recalled."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from fakes.chat_service import Asked, ChatService, Reply, chatting, refusing, says
from streams.cli.shell import Ran, run_on_terminal
from streams.cli.test_eval_commands import ASKED, LONGMEMEVAL, sample

Call = Callable[..., Ran]


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChatService]:
    """A service that the environment names, which knows every answer that its notes hold."""
    monkeypatch.chdir(tmp_path)
    with chatting() as known:
        known.reply = reading
        monkeypatch.setenv("HELAMEM_DISTILLER", "openai:g")
        monkeypatch.setenv("HELAMEM_DISTILLER_BASE_URL", known.url)
        yield known


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps([sample()]))
    return path


def reading(asked: Asked) -> Reply:
    """Return the answer where the notes hold it; judge by what was wanted."""
    told = orjson.loads(asked["messages"][1]["content"])
    if "given" in told:
        return says(orjson.dumps({"correct": told["given"] == told["wanted"]}).decode())
    (wanted,) = [answer for question, _, answer, _ in ASKED if question == told["question"]] or ["Mrs Adeyemi"]
    return says(orjson.dumps({"answer": wanted if wanted in told["notes"] else "unknown"}).decode())


def test_locomo_is_answered_from_what_was_recalled(call: Call, small: Path, service: ChatService) -> None:
    """Of the categories 1 to 4; "May 2023" stands in no note. The second time nobody is asked."""
    figures = call("eval", "locomo", small, "--qa", "--judge", "j").json
    assert (figures["model"], figures["judge"]) == ("g", "j")
    assert {group: one["f1"] for group, one in figures["by_group"].items()} == {"1": 1, "2": 0, "3": 1, "4": 1}
    assert figures["overall"]["questions"] == 5
    assert figures["overall"]["judged_right"] == 0.8
    assert 0 < figures["overall"]["context_tokens"] <= 1000
    asked = len(service.calls)
    assert (small.parent / "small.answers.jsonl").read_bytes().count(b"\n") == asked == 10
    code, seen = run_on_terminal("eval", "locomo", small, "--qa")
    assert code == 0
    assert all(word in seen for word in ("answers of g", "BLEU-1", "multi-hop", "temporal"))
    assert len(service.calls) == asked


def test_longmemeval_is_answered_with_those_that_nothing_answers(
    call: Call, tmp_path: Path, service: ChatService
) -> None:
    figures = call("eval", "longmemeval", LONGMEMEVAL, "--qa", "--answers", tmp_path / "kept", "--judge", "j").json
    assert figures["overall"]["questions"] == 8
    assert figures["by_group"]["single-session-user"]["questions"] == 3
    assert figures["by_group"]["single-session-user"]["f1"] == 0.5
    assert (tmp_path / "kept").exists()


def test_a_service_that_is_away_is_said_with_what_is_kept(call: Call, small: Path, service: ChatService) -> None:
    service.reply = lambda asked: refusing(401)
    ran = call("eval", "locomo", small, "--qa")
    assert (ran.code, ran.out) == (1, "")
    assert "refuses the call with 401" in ran.err
    assert "0 answers are kept in small.answers.jsonl: run this again, and it goes on" in ran.err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--qa",), "set HELAMEM_DISTILLER=openai:MODEL and HELAMEM_DISTILLER_BASE_URL"),
        (("--judge", "j"), "--answers and --judge belong to --qa"),
        (("--qa", "--paper"), "leave out --learning and the ablations"),
        (("--qa", "--learning", "recalled"), "leave out --learning and the ablations"),
    ],
)
def test_what_does_not_go_together_is_refused(
    call: Call, small: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], complaint: str
) -> None:
    monkeypatch.delenv("HELAMEM_DISTILLER", raising=False)
    ran = call("eval", "locomo", small, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert complaint in ran.err
    assert not list(small.parent.glob("*.answers.jsonl"))
