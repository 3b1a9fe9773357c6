"""`--metrics` of replay, audit and archive: what they came to is read before they are gone."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fixtures.prometheus import promtool
from helamem.streams.cli import metrics as options
from helamem.streams.metrics.catalogue import CATALOGUE
from streams.cli.shell import Ran, ended, start

Call = Callable[..., Ran]
WAIT_S = 60.0
NAMES = {one.name for one in CATALOGUE}


@pytest.fixture
def archived(call: Call, home: Path, chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home that was archived and signed; the current directory holds the archive and the keys."""
    monkeypatch.chdir(tmp_path)
    assert call("ingest", chat).code == 0
    assert call("audit", "keygen", "--key", "key.pem", "--public-key", "key.pub.pem").code == 0
    assert call("archive", "--to", "archive", "--key", "key.pem").code == 0
    monkeypatch.delenv("HELAMEM_HOME")
    return home


def serving(*arguments: object) -> tuple[subprocess.Popen[str], str]:
    """Start a command; return it and where its metrics are."""
    process = start(*arguments, "--metrics", 0)
    assert process.stderr is not None
    line = process.stderr.readline()
    (address,) = re.findall(r"metrics at (http://[\d.:]+/metrics)", line) or [line]
    return process, address


def values(address: str) -> dict[str, float]:
    """Read the metrics; each is well formed and of the catalogue."""
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = answer.read()
    assert promtool("check", "metrics", given=text) == ""
    lines = [line.rsplit(" ", 1) for line in text.decode().splitlines() if not line.startswith("#")]
    assert {name.partition("{")[0] for name, _ in lines} <= NAMES
    return {name: float(value) for name, value in lines}


def reads_until(process: subprocess.Popen[str], address: str, name: str, value: float) -> tuple[Ran, dict[str, float]]:
    """Read again and again, as Prometheus does, until the command is gone; return what was read last."""
    deadline = time.monotonic() + WAIT_S
    last: dict[str, float] = {}
    while process.poll() is None:
        assert time.monotonic() < deadline, last
        try:
            last = values(address)
        except OSError:  # it has just ended
            break
        time.sleep(0.05)
    assert last[name] == value, last
    return ended(process), last


@pytest.mark.slow
def test_a_replay_shows_how_far_it_is_and_what_it_came_to(archived: Path) -> None:
    """Its last word is read before it goes, and says that the log gave again what it gave."""
    process, address = serving("replay", "--home", archived, "--into", "rebuilt")
    ran, last = reads_until(process, address, "helamem_replay_progress_ratio", 1)
    assert ran.code == 0
    assert last["helamem_replay_records_applied_total"] == last["helamem_replay_records"] == ran.json["records"] > 0
    assert last["helamem_replay_diverged"] == 0
    assert last['helamem_replay_hubs{result="missing"}'] == 0


def test_an_audit_shows_what_it_found(archived: Path) -> None:
    """Of an intact log nothing; of one that somebody wrote into, a finding, and the exit code says the same."""
    verify = ("audit", "verify", "--archive", "archive", "--home", archived, "--public-key", "key.pub.pem")
    ran, last = reads_until(*serving(*verify), "helamem_audit_findings", 0)
    assert ran.code == 0
    assert last["helamem_audit_records"] == ran.json["records"] > 0
    assert last["helamem_audit_checkpoints"] == ran.json["checkpoints"] > 0
    with closing(sqlite3.connect(archived / "log.sqlite")) as log, log:
        log.execute("UPDATE records SET value = CAST(replace(CAST(value AS TEXT), 'rye', 'bad') AS BLOB)")
    process, address = serving(*verify)
    ran, last = reads_until(process, address, "helamem_audit_progress_ratio", 1)
    assert (ran.code, last["helamem_audit_findings"]) == (1, len(ran.json["findings"]))


def test_an_archiver_that_follows_counts_and_stops_at_once(archived: Path) -> None:
    """Nobody has to read once more when it is stopped: a deployment waits for it."""
    process, address = serving("archive", "--to", "other", "--key", "key.pem", "--home", archived, "--follow")
    deadline = time.monotonic() + WAIT_S
    while "helamem_archive_round_timestamp_seconds" not in (last := values(address)):
        assert time.monotonic() < deadline, last
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    ran = ended(process)
    assert (ran.code, "nobody read" in ran.err) == (0, False)
    assert last["helamem_archived_records_total"] == ran.json["records"] > 0
    assert last["helamem_archived_bytes_total"] == ran.json["size_bytes"] > 0
    assert last["helamem_checkpoints_signed_total"] == ran.json["checkpoints"] > 0


@pytest.mark.slow
def test_where_nobody_reads_it_says_so_and_ends(call: Call, archived: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is the same."""
    monkeypatch.setattr(options, "LAST_READ_S", 0.1)
    ran = call("replay", "--home", archived, "--into", "rebuilt", "--metrics", 0)
    assert (ran.code, ran.json["reproduced"]) == (0, True)
    assert ran.err.endswith("helamem: nobody read the metrics of the end within 0 s\n")
    monkeypatch.setenv("HELAMEM_METRICS_PORT", "70000")  # of the process beside which it runs
    assert call("replay", "--home", archived, "--into", "again").code == 0
