"""`helamem seal` and `helamem erase`, as people use them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.subjects import leaks
from helamem.schemas.events import SubjectErased
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.wire import encode
from streams.cli.shell import Ran, write_lines

Call = Callable[..., Ran]
WORD = "Quixotropolis"


def said(number: int, speaker: str, text: str, **more: object) -> dict[str, object]:
    """Return a line of a file."""
    time = f"2025-05-12T18:00:{number:02}Z"
    return {"conversation": "monday", "speaker": speaker, "text": text, "time": time, **more}


def lines(tmp_path: Path) -> Path:
    """Return a file in which Mira, Tom and an agent talk."""
    return write_lines(
        tmp_path / "chat.jsonl",
        said(1, "Mira", f"We moved to {WORD} last year."),
        said(2, "Tom", f"Mira lives in {WORD} now.", data_subjects=["Tom", "Mira"]),
        said(3, "Ada", "Bergen it is, Tom.", role="agent", data_subjects=["Tom"]),
        said(4, "Tom", "I live in Bergen by the harbour."),
    )


def test_sealed_words_are_erased_everywhere(call: Call, home: Path, tmp_path: Path) -> None:
    """From home, archive and what is printed: `why` and `trace` say `[erased]`, and the audit finds nothing."""
    file = lines(tmp_path)
    assert call("seal", "acme").json == {"sealed_tenants": ["acme"]}
    assert call("ingest", file, "--space", "acme/mira").code == 0
    recalled = call("recall", f"Who lives in {WORD}?", "--space", "acme/mira").json
    target = recalled["results"][0]["id"]
    before = call("why", target).json["why"]
    assert WORD in str(before)
    public, archive = tmp_path / "public.pem", tmp_path / "archive"
    call("audit", "keygen", "--key", tmp_path / "key.pem", "--public-key", public)
    assert call("archive", "--to", archive, "--key", tmp_path / "key.pem").code == 0
    assert not leaks(archive, (WORD,))
    erased = call("erase", "Mira", "--space", "acme/mira")
    assert (erased.code, erased.err) == (0, "")
    assert (erased.json["memories"], erased.json["keys"]) == (2, 2)
    assert call("spaces").json == {"spaces": {"acme/mira": 2}}
    assert not leaks(home, (WORD,))
    after = call("why", target)
    assert after.code == 0
    assert WORD not in after.out
    assert "[erased]" in after.out
    assert "erased" in {child["kind"] for child in after.json["why"]["children"]}
    traced = call("trace", before["children"][0]["id"])
    assert (traced.code, WORD in traced.out) == (0, False)
    assert call("archive", "--to", archive, "--key", tmp_path / "key.pem").code == 0
    assert call("audit", "verify", "--archive", archive, "--home", home, "--public-key", public).code == 0
    left = call("recall", "Who lives in Bergen?", "--space", "acme/mira", "--no-emit").json["results"]
    assert {one["text"] for one in left} == {"Bergen it is, Tom.", "I live in Bergen by the harbour."}
    restored = call("restore", target, "--space", "acme/mira")
    assert restored.code == 2
    assert "was erased, and nothing brings it back" in restored.err


@pytest.mark.slow
def test_a_restored_home_seals_as_the_archived_one_did(call: Call, home: Path, tmp_path: Path) -> None:
    """It waits for the keys, which no archive holds, and takes no word in between; who sealed nothing need not wait.

    What was destroyed since the archive was made opens nothing there either.
    """
    call("seal", "acme")
    file = lines(tmp_path)
    for space in ("acme/mira", "open/mira"):
        assert call("ingest", file, "--space", space).code == 0
    archive, restored = tmp_path / "archive", tmp_path / "restored"
    assert call("archive", "--to", archive).code == 0
    assert call("erase", "Mira", "--space", "acme/mira").code == 0
    back = call("restore-log", "--archive", archive, "--home", restored)
    assert (back.code, back.json["sealed_tenants"]) == (0, ["acme"])
    assert back.err == (
        f"helamem: words are sealed in it: acme; put a copy of the keys that sealed them at {restored / 'keys'} before "
        "you process it\n"
    )
    more = write_lines(tmp_path / "more.jsonl", said(9, "Mira", "I was in Wobblethorpe.", message_id="new"))
    refused = call("ingest", more, "--space", "acme/mira", "--home", restored)
    assert (refused.code, f"the keys in {restored / 'keys'} cannot be changed now" in refused.err) == (1, True)
    shutil.copytree(home / "keys", restored / "keys")
    for space in ("acme/mira", "open/mira"):
        assert call("ingest", more, "--space", space, "--home", restored).code == 0
    assert (restored / "log.sqlite").read_bytes().count(b"I was in Wobblethorpe.") == 1
    found = call("recall", "Who moved where?", "--space", "acme/mira", "--home", restored).json["results"]
    assert sorted(one["text"] for one in found if one["kind"] == "memory") == [
        "Bergen it is, Tom.",
        "I live in Bergen by the harbour.",
        "I was in Wobblethorpe.",
    ]
    assert call("spaces", "--home", restored).json == {"spaces": {"acme/mira": 3, "open/mira": 5}}


def test_without_sealing_it_says_what_the_log_keeps(call: Call, home: Path, tmp_path: Path) -> None:
    """Nothing but the log has the words; a dry run says the same beforehand."""
    call("ingest", lines(tmp_path), "--space", "acme/mira")
    call("recall", f"Who lives in {WORD}?", "--space", "acme/mira")
    planned = call("erase", "Mira", "--space", "acme/mira", "--dry-run")
    erased = call("erase", "Mira", "--space", "acme/mira")
    assert erased.json == planned.json | {"dry_run": False}
    assert erased.json["remains"] == {"messages": 2, "facts": 0, "recalls": 1, "dead_letters": 0, "answers": 0}
    assert "for as long as the log is kept: messages: 2, recalls: 1" in erased.err
    assert {leak.partition(":")[0].removesuffix("-wal") for leak in leaks(home, (WORD,))} == {"log.sqlite"}


def test_a_file_can_neither_erase_nor_bring_sealed_words(call: Call, tmp_path: Path) -> None:
    """Whole events are taken from files, but not those that only a home may write."""
    sealed = next(one for one in EXAMPLES if b'"ciphertext"' in encode(one))
    erased = next(one for one in EXAMPLES if isinstance(one.data, SubjectErased))
    ran = call("ingest", write_lines(tmp_path / "events.jsonl", encode(sealed), encode(erased)))
    assert (ran.code, ran.json["appended"], ran.json["bad"]) == (2, 0, 2)
    assert "line 1: data.sealed: is not ingested" in ran.err
    assert "line 2: type: erasures are not ingested" in ran.err


def test_bad_input_is_one_sentence(call: Call, tmp_path: Path) -> None:
    call("ingest", lines(tmp_path), "--space", "acme/mira")
    for arguments, sentence in (
        (("erase", "Nobody", "--space", "acme/mira"), "nothing in acme/mira is from or about the data subject Nobody"),
        (("erase", "Mira", "--space", "mira"), "the space 'mira'"),
        (("seal", "acme/mira"), "'acme/mira' is no tenant"),
        (("replay", "--into", tmp_path / "again", "--keys", tmp_path / "none"), "there are no keys at"),
    ):
        ran = call(*arguments)
        assert ran.code == 2
        assert sentence in ran.err
        assert ran.err.count("\n") == 1
