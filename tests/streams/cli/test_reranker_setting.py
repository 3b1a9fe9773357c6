"""A reranker from the environment, for the library, and under evaluation; the model counts bread and rye."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from helamem.processors.reranker.choose import choose_reranker
from helamem.streams.embedded import Memory, Message
from streams.cli.shell import run
from streams.cli.test_eval_commands import small

__all__ = ["small"]

TINY = f"onnx:{Path(__file__).parents[2] / 'processors' / 'reranker' / 'tiny_onnx'}"
SPACE = "acme/anna"
SAID = ("The boat lies in the harbour.", "A boat needs paint.", "We baked bread, rye bread.")


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with three memories."""
    with directory() as place:
        with Memory.open(place / "home") as memory:
            memory.append([Message(space=SPACE, conversation=text, speaker="Anna", text=text) for text in SAID])
            memory.process()
        yield place / "home"


def test_the_library_takes_a_reranker(home: Path) -> None:
    with Memory.open(home, reranker=choose_reranker(TINY)) as memory:
        answer = memory.recall(SPACE, "Where does the boat lie?", facts=0)
        (recorded,) = [hit.result for hit in answer.hits if hit.turn and hit.turn.text == SAID[2]]
    assert next(hit.turn.text for hit in answer.hits if hit.turn) == SAID[2]
    assert recorded.score < max(hit.result.score for hit in answer.hits)


def test_a_recall_asks_the_reranker_that_is_configured(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("recall", "Where does the boat lie?", "--space", SPACE, "--home", home, "--no-emit")
    plain = [result["text"] for result in run(*asked).json["results"]]
    assert plain[0] == SAID[0]
    monkeypatch.setenv("HELAMEM_RERANKER", TINY)
    assert [result["text"] for result in run(*asked).json["results"]] == [SAID[2], *plain[:2]]


def test_a_reranker_that_is_not_there_stops_recalls_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELAMEM_RERANKER", f"onnx:{home}")
    ran = run("recall", "Where does the boat lie?", "--space", SPACE, "--home", home)
    assert ran.code != 0
    assert f"the reranker onnx:{home} needs the file model.onnx in that folder" in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert run("spaces", "--home", home).code == 0


@pytest.mark.slow
def test_an_evaluation_is_reranked(small: Path) -> None:
    """The sentence about bread answers no question, and this model puts it before all others."""
    plain = run("eval", "locomo", small, "-k", "1").json
    figures = run("eval", "locomo", small, "-k", "1", "--reranker", TINY).json
    assert (plain["reranker"], figures["reranker"]) == (None, choose_reranker(TINY).name)
    assert plain["overall"]["mean@1"] > 0
    assert figures["overall"]["mean@1"] == figures["without_spreading"]["mean@1"] == 0
    refused = run("eval", "locomo", small, "--reranker", TINY, "--halves")
    assert (refused.code, refused.out) == (2, "")
    assert "--reranker is measured by itself" in refused.err
