"""`helamem run`, the one writer, and what signals do."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from streams.cli.shell import ended, logged, message, run, start, write_lines


def following(home: Path) -> subprocess.Popen[str]:
    """Start `run` and wait until it follows the log."""
    process = start("run", "--home", home)
    assert process.stderr is not None
    assert logged(process.stderr.readline()).startswith(f"following the log of {home}")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_stops_it_in_good_order(home: Path, chat: Path, number: signal.Signals) -> None:
    """It ends well, says what it did, and nothing of the log is lost."""
    run("ingest", chat, "--home", home, "--no-process")
    process = following(home)
    process.send_signal(number)
    ran = ended(process)
    assert ran.code == 0
    assert ran.json.keys() == {"counts"}
    assert ran.err == ""
    assert run("spaces", "--home", home).json == {"spaces": {"acme/mira": 4, "acme/tom": 2}}


@pytest.mark.slow
@pytest.mark.parametrize("command", [("run",), ("up", "--port", "0")])
def test_it_forgets_by_itself_where_the_policy_says_how_often(
    home: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """It says what went and how to undo it, and the next command knows of it."""
    lines = [message(n, f"Day {n} at the harbour.", time=f"202{n}-01-01T00:00:00Z") for n in range(3)]
    run("ingest", write_lines(tmp_path / "chat.jsonl", *lines), "--home", home)
    policy = ("every_days=7", "older_than_days=500", "budget=2")
    run("settings", *[part for value in policy for part in ("--set", f"forgetting.{value}")], "--home", home)
    process = start(*command, "--home", home)
    assert process.stderr is not None
    process.stderr.readline()  # that it is there
    said = logged(process.stderr.readline())
    assert said.startswith("forgot memories of acme, faded: 1, over budget: 0; undo with: helamem restore --run ")
    process.terminate()
    ran = ended(process)
    assert (ran.code, ran.err) == (0, "")
    undone = run("restore", "--run", said.rpartition(" ")[2], "--home", home).json["restored"]
    assert [len(ids) for ids in undone.values()] == [1]


@pytest.mark.slow
def test_a_second_writer_is_told_who_is_first(home: Path, chat: Path) -> None:
    """While it runs, commands that write are refused with its process id; looking at dead letters works."""
    run("ingest", chat, "--home", home)
    process = following(home)
    try:
        for arguments in (("ingest", chat), ("spaces",), ("recall", "Who?", "--space", "acme/mira"), ("run",)):
            ran = run(*arguments, "--home", home)
            assert (ran.code, ran.out) == (2, "")
            assert f"is being written by process {process.pid} " in ran.err
            assert ran.err.count("\n") == 1
        assert run("dead-letters", "list", "--home", home).json["count"] == 0
    finally:
        process.terminate()
        assert ended(process).code == 0
    assert run("spaces", "--home", home).code == 0


@pytest.mark.slow
def test_a_stop_under_way_loses_nothing(home: Path, tmp_path: Path, locomo_dev: Path) -> None:
    """Stopped while it processes thousands of messages, then finished by another command: the same digest."""
    run("ingest", locomo_dev, "--home", tmp_path / "undisturbed")
    run("ingest", locomo_dev, "--home", home, "--no-process")
    for _ in range(2):
        process = following(home)
        time.sleep(0.2)
        process.terminate()
        assert ended(process).code == 0
    expected = run("digest", "--home", tmp_path / "undisturbed").json["digest"]
    assert run("digest", "--home", home).json["digest"] == expected


@pytest.mark.slow
def test_ctrl_c_ends_a_command_without_a_traceback(home: Path, tmp_path: Path) -> None:
    """Exit code 130, no words, and the same command goes on afterwards."""
    # Enough for many seconds, so that it is caught in the middle also where this process has to wait for its turn.
    long = write_lines(
        tmp_path / "long.jsonl",
        *(message(n, f"Day {n} at the harbour.", time="2025-01-01T00:00:00Z") for n in range(10_000)),
    )
    process = start("ingest", long, "--home", home)
    while not (home / "store" / "checkpoints").is_dir():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    ran = ended(process)
    assert (ran.code, ran.out, ran.err) == (130, "", "")
    assert run("ingest", long, "--home", home).code == 0
