"""`helamem ingest`: what is taken, what is refused and how that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.shell import Ran, message, run, write_lines

Call = Callable[..., Ran]


def test_a_file_becomes_memories(call: Call, chat: Path) -> None:
    """Every message is appended and encoded; the summary is one JSON document."""
    ran = call("ingest", chat)
    assert (ran.code, ran.err) == (0, "")
    assert ran.json.pop("seconds") >= 0
    assert {name: value for name, value in ran.json.items() if name != "seconds"} == {
        "lines": 6,
        "appended": 6,
        "bad": 0,
        "encoded": 6,
        "duplicates": 0,
        "conflicts": 0,
        "dead_letters": 0,
        "processed": True,
    }
    assert call("spaces").json == {"spaces": {"acme/mira": 4, "acme/tom": 2}}


def test_a_file_ingested_twice_changes_nothing(call: Call, chat: Path) -> None:
    """The second time every message is a duplicate; the digest stays."""
    call("ingest", chat)
    before = call("digest").json
    ran = call("ingest", chat)
    assert ran.code == 0
    assert (ran.json["encoded"], ran.json["duplicates"]) == (0, 6)
    assert call("digest").json["digest"] == before["digest"]


def test_the_same_id_with_other_words_is_a_problem(call: Call, chat: Path, tmp_path: Path) -> None:
    """It is counted and skipped, said on standard error, and ends with exit code 1."""
    call("ingest", chat)
    before = call("digest").json["digest"]
    ran = call("ingest", write_lines(tmp_path / "other.jsonl", message(1, "I never moved.")))
    assert ran.code == 1
    assert ran.json["conflicts"] == 1
    assert "messages that repeat the id of an earlier one in other words: 1; the earlier ones count" in ran.err
    assert call("digest").json["digest"] == before


def test_without_processing_it_is_only_in_the_log(call: Call, chat: Path) -> None:
    """`--no-process` appends; the next command that looks processes first, unless it is told not to."""
    ran = call("ingest", chat, "--no-process")
    assert (ran.json["appended"], ran.json["encoded"], ran.json["processed"]) == (6, 0, False)
    assert call("spaces", "--no-process").json == {"spaces": {}}
    assert call("run", "--once").json["counts"]["encoded"] == 6
    assert call("spaces", "--no-process").json["spaces"]["acme/mira"] == 4


GOOD = [message(n, f"Good line {n}.") for n in range(1, 4)]
EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "test",
    "time": "2025-01-01T00:00:00Z",
    "subject": "acme/mira",
    "data": {},
}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (json.dumps(message(9, "torn"))[:40].encode(), "not JSON"),
        (json.dumps(message(9, "x" * 10_000_000)).encode(), "the line is longer than 2,000,000 bytes"),
        (json.dumps(message(9, "x" * 1_500_000)).encode(), "text: must have at most 32,768 characters"),
        (json.dumps(message(9, "x" * 40_000)).encode(), "text: must have at most 32,768 characters"),
        (b'{"text": "\xff\xfe"}', "not JSON"),
        (json.dumps(EVENT | {"type": "conversation.deleted.v1"}).encode(), "not an event type"),
        (json.dumps(message(9, "no zone", time="2025-01-01T00:00:00")).encode(), "time: has no zone"),
        (json.dumps(message(9, "no space", space="nonsense")).encode(), "space: must be `tenant/name`"),
        (json.dumps(message(9, "what is this", colour="red")).encode(), "colour: is no field of a message"),
        (b"[]", "not a JSON object"),
        (json.dumps(EVENT | {"type": "settings.applied.v1", "data": {"settings": {}}}).encode(), "settings are not"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_bad_line_is_named_and_the_good_ones_are_kept(call: Call, tmp_path: Path, bad: bytes, reason: str) -> None:
    """Number and reason on standard error, exit code 2, and the lines around it are memories."""
    ran = call("ingest", write_lines(tmp_path / "file.jsonl", GOOD[0], bad, *GOOD[1:]))
    assert ran.code == 2
    assert ran.err.startswith("helamem: line 2: ")
    assert reason in ran.err
    assert len(ran.err) < 500
    assert (ran.json["lines"], ran.json["bad"], ran.json["encoded"]) == (4, 1, 3)


def test_a_torn_last_line_is_named(call: Call, tmp_path: Path) -> None:
    """A file that ends in the middle of a line, as after a crash of its writer, loses that line alone."""
    path = write_lines(tmp_path / "file.jsonl", *GOOD)
    path.write_bytes(path.read_bytes()[:-20])
    ran = call("ingest", path)
    assert (ran.code, ran.json["encoded"]) == (2, 2)
    assert "line 3: not JSON" in ran.err
    write_lines(path, *GOOD)
    assert call("ingest", path).json["encoded"] == 1


def test_many_bad_lines_are_counted(call: Call, tmp_path: Path) -> None:
    """The first twenty are shown, then their number."""
    ran = call("ingest", write_lines(tmp_path / "file.jsonl", *[b"{"] * 50, GOOD[0]))
    assert ran.code == 2
    assert ran.err.count("helamem: line ") == 20
    assert ran.err.endswith("helamem: and more bad lines: 50 in all\n")
    assert ran.json["encoded"] == 1


@pytest.mark.parametrize("arguments", [("missing.jsonl",), ("chat.jsonl", "--space", "no space")])
def test_what_cannot_be_read_makes_no_home(
    call: Call, chat: Path, home: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """The complaint comes before anything is made."""
    name, *options = arguments
    ran = call("ingest", tmp_path / name, *options)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("helamem: ")
    assert not home.exists()


def test_a_file_in_another_format_is_refused(call: Call, chat: Path, home: Path) -> None:
    """JSON lines that are said to be LoCoMo are not guessed at."""
    ran = call("ingest", chat, "--format", "locomo")
    assert ran.code == 2
    assert "is not" in ran.err
    assert "LoCoMo" in ran.err
    assert not home.exists()


def test_messages_without_a_space_go_where_they_are_told(call: Call, tmp_path: Path) -> None:
    """`--space` is for plain messages that name none."""
    plain = {"speaker": "Mira", "time": "2025-01-01T00:00:00Z", "text": "Hello."}
    path = write_lines(tmp_path / "plain.jsonl", plain)
    assert "space: is missing" in call("ingest", path).err
    assert call("ingest", path, "--space", "acme/mira").code == 0
    assert call("spaces").json == {"spaces": {"acme/mira": 1}}


def test_locomo_is_recognised(call: Call, tmp_path: Path) -> None:
    """Each sample becomes a space of its own."""
    sample = {
        "sample_id": "one",
        "conversation": {
            "speaker_a": "Ann",
            "speaker_b": "Bo",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [{"speaker": "Ann", "dia_id": "D1:1", "text": "Hi Bo."}],
        },
        "qa": [],
    }
    path = tmp_path / "locomo.json"
    path.write_text(json.dumps([sample]))
    assert call("ingest", path).code == 0
    assert call("spaces").json == {"spaces": {"locomo/one": 1}}


def test_a_directory_that_is_no_home_is_left_alone(chat: Path, tmp_path: Path) -> None:
    """Somebody else's directory is not written into."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    ran = run("ingest", chat, "--home", tmp_path / "mine")
    assert (ran.code, ran.out) == (2, "")
    assert "holds other things (thesis.tex)" in ran.err
    assert [entry.name for entry in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_home_of_a_newer_version_is_refused(call: Call, chat: Path, home: Path) -> None:
    """Neither a reader nor a writer touches it."""
    call("ingest", chat)
    (home / "home.json").write_text('{"format": 2}')
    for arguments in (("ingest", chat), ("spaces",), ("dead-letters", "list"), ("lag",), ("run",)):
        ran = call(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert "was written by a newer helamem" in ran.err
        assert "upgrade helamem" in ran.err


@pytest.mark.parametrize(
    "command", ["spaces", "facts", "edges", "digest", "dead-letters list", "lag", "settings", "run"]
)
def test_looking_makes_no_home(call: Call, home: Path, command: str) -> None:
    """Where there is none, that is said."""
    ran = call(*command.split())
    assert (ran.code, ran.out) == (2, "")
    assert f"there is no helamem home at {home}" in ran.err
    assert not home.exists()
