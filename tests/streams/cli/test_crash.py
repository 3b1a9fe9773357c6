"""Ingestion that is killed, repeated or without room on the disk comes to the same in the end."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.cli.shell import ended, run, run_with_little_disk, start


@pytest.fixture(scope="module")
def undisturbed(locomo_dev: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of a file that was ingested once, in peace."""
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    assert run("ingest", locomo_dev, "--home", home).code == 0
    return digest(home)


def digest(home: Path) -> str:
    ran = run("digest", "--home", home)
    assert (ran.code, ran.err) == (0, "")
    return str(ran.json["digest"])


def size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


POINTS: dict[str, Callable[[Path], bool]] = {
    "the home is made": lambda home: (home / "home.json").exists(),
    "the log is made": lambda home: size_bytes(home / "log.sqlite-wal") > 10_000,
    "some of the file is in the log": lambda home: size_bytes(home / "log.sqlite-wal") > 300_000,
    "most of the file is in the log": lambda home: size_bytes(home / "log.sqlite-wal") > 1_200_000,
    "the first vectors are there": lambda home: size_bytes(home / "embeddings.sqlite-wal") > 10_000,
    "half of the vectors are there": lambda home: size_bytes(home / "embeddings.sqlite-wal") > 1_500_000,
    "a checkpoint is written": lambda home: any((home / "store" / "checkpoints").glob("encoding@*")),
    "all partitions have checkpoints": lambda home: (
        len(list((home / "store" / "checkpoints").glob("encoding@helamem.conversations*"))) == 4
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_ingestion_is_taken_up(home: Path, locomo_dev: Path, undisturbed: str, point: str) -> None:
    """Killed there, and there again where it gets so far, then ingested twice: the same digest."""
    killed = 0
    for _ in range(2):
        process = start("ingest", locomo_dev, "--home", home)
        while process.poll() is None and not POINTS[point](home):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        killed += ended(process).code == -signal.SIGKILL
    assert killed
    for _ in range(2):
        assert run("ingest", locomo_dev, "--home", home).code == 0
    assert digest(home) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most_bytes", "complaint"),
    [
        (300_000, "; 0 records of the file are safely in the log"),
        (1_000_000, "; 1,000 records of the file are safely in the log"),
        (2_000_000, "; what is in the log is safe"),
    ],
    ids=["no room for the log", "no room for all of the log", "no room for memories"],
)
def test_a_full_disk_is_said_and_the_rest_taken_up(
    home: Path, locomo_dev: Path, undisturbed: str, most_bytes: int, complaint: str
) -> None:
    """One sentence says what is safe; with room again, the same command comes to the same digest."""
    empty = home.with_name("empty.jsonl")
    empty.write_text("")
    assert run("ingest", empty, "--home", home).code == 0
    ran = run_with_little_disk(most_bytes, "ingest", locomo_dev, "--home", home)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("helamem: ")
    assert ran.err.count("\n") == 1
    assert complaint in ran.err
    assert "the same command" in ran.err
    assert run("ingest", locomo_dev, "--home", home).code == 0
    assert digest(home) == undisturbed


@pytest.mark.parametrize("most_bytes", [1_000, 1_000_000])
def test_a_home_that_cannot_be_made_for_want_of_room(home: Path, chat: Path, most_bytes: int) -> None:
    """It is said in one sentence, and with room again the same command makes it."""
    ran = run_with_little_disk(most_bytes, "ingest", chat, "--home", home)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 1
    assert run("ingest", chat, "--home", home).json["encoded"] == 6
