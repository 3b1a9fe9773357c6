"""`helamem archive`, `restore-log` and `audit`, and the commands that read an archive."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from streams.cli.shell import Ran, run, run_on_terminal, start

SCRIPT = Path(__file__).parents[3] / "docs" / "verify_proof.py"
Call = Callable[..., Ran]
Change = Callable[[dict[str, Any]], object]
WITHOUT_HELAMEM = """
import runpy, sys
sys.modules["helamem"] = None  # whoever imports it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def archived(call: Call, home: Path, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A home, a pair of keys, an archive and checkpoints in the current directory; returns what archiving said."""
    monkeypatch.chdir(tmp_path)
    assert call("ingest", chat).code == 0
    assert call("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem").code == 0
    ran = call("archive", "--to", "archive", "--key", "key.pem", "--checkpoints", "kept.jsonl")
    assert (ran.code, ran.err) == (0, "")
    monkeypatch.delenv("HELAMEM_HOME")
    answer: dict[str, Any] = ran.json
    return answer


VERIFY = ("audit", "verify", "--public-key", "key.pub.pem")


@pytest.mark.slow
def test_archived_restored_and_replayed_it_is_the_same(call: Call, home: Path, archived: dict[str, Any]) -> None:
    """The digest of the live home, of a replay of its archive and of a home restored from it are equal."""
    assert archived["missing"] == []
    assert archived["checkpoints"] == archived["published"] > 0
    wanted = call("digest", "--home", home).json["digest"]
    assert call("digest", "--archive", "archive").json["digest"] == wanted
    one_space = call("digest", "--archive", "archive", "--space", "acme/tom").json
    assert one_space["digest"] == call("digest", "--home", home, "--space", "acme/tom").json["digest"]
    replayed = call("replay", "--archive", "archive", "--into", "rebuilt").json
    assert (replayed["digest"], replayed["reproduced"]) == (wanted, True)
    assert call("digest", "--home", "rebuilt").json["digest"] == wanted
    restored = call("restore-log", "--archive", "archive", "--home", "restored").json
    assert restored == {
        "records": archived["records"],
        "renumbered": [],
        "times_kept": True,
        "sealed_tenants": [],
    }
    assert call(*VERIFY, "--archive", "archive", "--home", "restored").json["clean"]
    assert call("digest", "--home", "restored").json["digest"] == wanted
    assert call("recall", "Where is Tom?", "--space", "acme/mira", "--home", "restored", "--no-emit").json["results"]
    assert call("restore-log", "--archive", "archive", "--home", "restored").code == 2


def test_a_projection_of_an_archive_is_only_looked_at(call: Call, archived: dict[str, Any], chat: Path) -> None:
    """Writing to what a replay of an archive filled is refused, and the sentence names the log."""
    call("replay", "--archive", "archive", "--into", "rebuilt")
    ran = call("ingest", chat, "--home", "rebuilt")
    assert ran.code == 2
    assert "write to the log that archive is an archive of instead" in ran.err


def test_nothing_altered_nothing_found(call: Call, home: Path, archived: dict[str, Any]) -> None:
    """Exit code 0, in every combination of copies; a second run of the archiver has nothing left to do."""
    for arguments in (
        ("--archive", "archive", "--home", home, "--checkpoints", "kept.jsonl"),
        ("--archive", "archive"),
        ("--home", home),
        ("--home", home, "--checkpoints", "kept.jsonl"),
    ):
        ran = call(*VERIFY, *arguments)
        assert (ran.code, ran.json["clean"], ran.json["findings"]) == (0, True, [])
        assert ran.json["checkpoints"] == archived["checkpoints"]
    again = call("archive", "--to", "archive", "--key", "key.pem", "--home", home).json
    assert (again["records"], again["segments"], again["checkpoints"]) == (0, 0, 0)


def change(home: Path, before: str, after: str) -> int:
    """Put other words into the one record that has these, and return the number of its row."""
    with closing(sqlite3.connect(home / "log.sqlite")) as file, file:
        (row,) = file.execute("SELECT id FROM records WHERE instr(CAST(value AS TEXT), ?)", (before,)).fetchone()
        file.execute(
            "UPDATE records SET value = CAST(replace(CAST(value AS TEXT), ?, ?) AS BLOB) WHERE id = ?",
            (before, after, row),
        )
    return int(row)


def test_a_changed_record_is_named(call: Call, home: Path, archived: dict[str, Any]) -> None:
    """Exit code 1; the finding names the record, in JSON and for people."""
    row = change(home, "rye flour", "bad flour")
    ran = call(*VERIFY, "--archive", "archive", "--home", home)
    assert ran.code == 1
    (finding,) = ran.json["findings"]
    assert (finding["kind"], finding["where"]) == ("changed", "log")
    assert finding["partition"].startswith("helamem.conversations.g1/")
    assert finding["offset"] == row & 0xFFFF
    assert finding["words"] in ran.err
    code, seen = run_on_terminal(*VERIFY, "--archive", "archive", "--home", home)
    assert code == 1
    assert "was changed in the log" in seen
    refused = call("archive", "--to", "archive", "--home", home)
    assert (refused.code, "the log was altered, or it is another one" in refused.err) == (2, True)
    change(home, "bad flour", "rye flour")
    change(home, "harbour", "station")
    # An archiver compares the last record of each partition alone; to find any other is the audit's work.
    assert call("archive", "--to", "archive", "--home", home).code == 0
    assert call(*VERIFY, "--archive", "archive", "--home", home).code == 1


def test_people_see_a_table(archived: dict[str, Any], home: Path) -> None:
    """The same answers, drawn."""
    code, seen = run_on_terminal(*VERIFY, "--archive", "archive")
    assert (code, "nothing was found" in seen) == (0, True)
    code, seen = run_on_terminal("archive", "--to", "archive", "--home", home)
    assert (code, "segments" in seen) == (0, True)
    code, seen = run_on_terminal("restore-log", "--archive", "archive", "--home", "restored")
    assert (code, "append times kept" in seen) == (0, True)
    code, seen = run_on_terminal("audit", "keygen", "--key", "new.pem", "--public-key", "new.pub.pem")
    assert (code, "give it to auditors" in seen) == (0, True)


def prove(call: Call, home: Path) -> Path:
    event_id = json.loads(closing_one(home, "SELECT value FROM records WHERE CAST(value AS TEXT) LIKE '%rye flour%'"))[
        "id"
    ]
    ran = call("audit", "prove", event_id, "--archive", "archive", "--public-key", "key.pub.pem", "--out", "proof.json")
    assert ran.code == 0
    assert ran.json["event_id"] == event_id
    return Path("proof.json")


def closing_one(home: Path, query: str) -> str:
    with closing(sqlite3.connect(home / "log.sqlite")) as file:
        (value,) = file.execute(query).fetchone()
    return bytes(value).decode() if isinstance(value, bytes) else str(value)


def check_proof(proof: Path, key: str = "key.pub.pem") -> tuple[int, str]:
    """Run the stand-alone script where no helamem can be imported."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_HELAMEM, str(SCRIPT), str(proof), key],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_a_proof_convinces_a_stranger(call: Call, home: Path, archived: dict[str, Any]) -> None:
    """The script needs the proof and the public key alone, and sees through every change of either."""
    path = prove(call, home)
    code, said = check_proof(path)
    assert (code, said[:7]) == (0, "proven:")
    call("audit", "keygen", "--key", "new.pem", "--public-key", "new.pub.pem")
    assert check_proof(path, "new.pub.pem") == (
        1,
        "not proven: the checkpoint is not signed by this key, or was changed\n",
    )
    proof = json.loads(path.read_text())
    forged = Path("forged.json")
    changes: tuple[tuple[Change, str], ...] = (
        (lambda one: one["record"].update(offset=one["record"]["offset"] + 1), "not proven"),
        (lambda one: one["record"].update(append_time_ms=1), "not the one that was signed"),
        (lambda one: one["record"].update(value_base64="e30="), "not the one that was signed"),
        (lambda one: one["record"].update(partition=9), "another partition"),
        (lambda one: one["checkpoint"].update(signed_at=1), "not signed by this key"),
        (lambda one: one["segment"].update(end=10**6), "does not name this segment"),
        (lambda one: one["path"].reverse(), "" if len(proof["path"]) < 2 else "not the one that was signed"),
        (lambda one: one.update(event_id="another"), "another event"),
    )
    for change, reason in changes:
        other = json.loads(path.read_text())
        change(other)
        forged.write_text(json.dumps(other))
        code, said = check_proof(forged)
        if reason:
            assert (code, reason in said) == (1, True), said
    forged.write_text("{}")
    assert check_proof(forged)[0] == 2


def test_what_cannot_be_proven(call: Call, home: Path, archived: dict[str, Any], chat: Path) -> None:
    """An unknown event, one that no checkpoint covers, and an archive that was altered."""
    asked = ("audit", "prove", "nobody", "--archive", "archive", "--public-key", "key.pub.pem")
    ran = call(*asked)
    assert (ran.code, "no event of the archive" in ran.err) == (2, True)
    path = prove(call, home)
    proof = json.loads(path.read_text())
    call("audit", "keygen", "--key", "new.pem", "--public-key", "new.pub.pem")
    other = ("audit", "prove", proof["event_id"], "--archive", "archive", "--public-key", "new.pub.pem")
    ran = call(*other)
    assert (ran.code, "no checkpoint signed by these keys covers" in ran.err) == (2, True)
    shutil.rmtree("archive/checkpoints")
    ran = call(*other[:-1], "key.pub.pem")
    assert (ran.code, "sign with: helamem archive --key" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("archive", "--to", "a", "--checkpoints", "kept"), "--checkpoints needs --key"),
        (("archive", "--to", "a", "--home", "home", "--key", "missing.pem"), "cannot be read"),
        (("archive", "--to", "a", "--home", "home", "--key", "key.pub.pem"), "may be read by others"),
        (("archive", "--to", "s3://bucket/a", "--home", "home"), "helamem[s3]"),
        (("audit", "verify", "--archive", "a", "--public-key", "key.pub.pem"), "no archive at a"),
        (("audit", "verify", "--archive", "archive", "--public-key", "key.pem"), "no public Ed25519 key"),
        (("audit", "verify", "--archive", "archive"), "--public-key"),
        (("audit", "keygen", "--key", "key.pem", "--public-key", "k2"), "never overwritten"),
        (("replay", "--archive", "archive", "--into", "x", "--home", "home"), "give one of --archive"),
        (("digest", "--archive", "archive", "--kafka"), "give one of --archive"),
        (("replay", "--archive", "archive", "--into", "x", "--kafka"), "give one of --archive"),
        (("replay", "--archive", "a", "--into", "x"), "no archive at a"),
    ],
)
def test_misuse(call: Call, archived: dict[str, Any], arguments: tuple[str, ...], words: str) -> None:
    """One sentence, exit code 2, and nothing is made."""
    ran = call(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in " ".join(ran.err.replace("│", " ").split())
    assert not Path("a").exists()
    assert not Path("x").exists()


def test_keys_of_another_kind(call: Call, archived: dict[str, Any]) -> None:
    """Only Ed25519 is taken, and a private key only where nobody else can read it."""
    assert Path("key.pem").stat().st_mode & 0o777 == 0o600
    key = generate_private_key(65537, 2048)
    private = Path("rsa.pem")
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    private.chmod(0o600)
    Path("rsa.pub.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert "holds no private Ed25519 key" in call("archive", "--to", "archive", "--home", "home", "--key", private).err
    assert "no public Ed25519 key" in call("audit", "verify", "--archive", "archive", "--public-key", "rsa.pub.pem").err


def test_a_changed_key(call: Call, home: Path, archived: dict[str, Any], chat: Path) -> None:
    """After a change of keys an audit names both, and goes over the whole record."""
    call("audit", "keygen", "--key", "new.pem", "--public-key", "new.pub.pem")
    call("recall", "Where is Tom?", "--space", "acme/mira", "--home", home)
    call("archive", "--to", "archive", "--key", "new.pem", "--home", home)
    assert call(*VERIFY, "--archive", "archive").code == 1
    assert call(*VERIFY, "--public-key", "new.pub.pem", "--archive", "archive", "--home", home).code == 0


@pytest.mark.slow
def test_following_beside_a_running_instance(call: Call, home: Path, archived: dict[str, Any], tmp_path: Path) -> None:
    """While another process writes the home, it is archived; the log gets the checkpoints once it is free."""
    archiver = start("archive", "--to", "archive", "--key", "key.pem", "--home", home, "--follow", "--every", "0.2")
    runner = start("run", "--home", home)
    try:
        before = len(list(Path("archive/checkpoints").iterdir()))
        deadline = time.monotonic() + 30
        runner.send_signal(signal.SIGTERM)
        runner.communicate(timeout=30)
        assert run("recall", "Where is Tom?", "--space", "acme/mira", "--home", home).code == 0
        while len(list(Path("archive/checkpoints").iterdir())) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for process in (archiver, runner):
            process.send_signal(signal.SIGTERM)
        runner.wait(timeout=60)
        out, err = archiver.communicate(timeout=60)
    assert archiver.returncode == 0, err
    assert json.loads(out)["records"] > 0
    call("archive", "--to", "archive", "--key", "key.pem", "--home", home)
    found = call(*VERIFY, "--archive", "archive", "--home", home).json
    assert (found["clean"], found["uncovered"], found["notes"]) == (True, 0, [])
