"""`Home`: the layout, the one writer, and what is refused."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.streams.home import FORMAT, Home
from helamem.streams.log import writer_lock
from helamem.streams.log.writer_lock import InUseError

HOLDER = """
import sys, time
from pathlib import Path
from helamem.streams.home import Home

with Home.open(Path(sys.argv[1]), clock=lambda: 1_700_000_000_000):
    print("open", flush=True)
    time.sleep(600)
"""


def hold(path: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    process.stdout.close()
    return process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "home"


def test_a_new_home_is_made_whole(path: Path) -> None:
    """Opening makes the directory, its parents and a description, and leaves no temporary file."""
    with Home.open(path, clock=lambda: 0) as home:
        assert not home.read_only
        assert json.loads((path / "home.json").read_text()) == {"format": FORMAT, "created": "1970-01-01T00:00:00.000Z"}
        assert sorted(entry.name for entry in path.iterdir()) == ["home.json", "writer.lock"]
        assert home.log_path == path / "log.sqlite"
        assert home.store_path == path / "store"
        assert home.embeddings_path == path / "embeddings.sqlite"


def test_a_home_is_opened_again(path: Path) -> None:
    """Closing lets the next writer in, and what was described stays as it was."""
    with Home.open(path, clock=lambda: 0):
        pass
    with Home.open(path, create=False, clock=lambda: 9) as home:
        assert "1970-01-01T00:00:00.000Z" in (path / "home.json").read_text()
        home.close()
        home.close()
    with Home.open(path):
        pass


def test_a_second_writer_is_told_who_is_first(path: Path) -> None:
    """One sentence names the process, its command and since when; after SIGKILL the home is free at once."""
    process = hold(path)
    try:
        with pytest.raises(InUseError) as refusal:
            Home.open(path)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    said = str(refusal.value)
    assert f"process {process.pid} (-c {path}) since 2023-11-14T22:13:20.000Z" in said
    assert str(path) in said
    assert "stop that process first" in said
    assert refusal.value.holder is not None
    assert refusal.value.holder.pid == process.pid
    with Home.open(path):
        pass


def test_a_brief_writer_is_waited_for(path: Path) -> None:
    """Such as an archiver, which puts its checkpoints into the log now and then."""
    with Home.open(path):
        pass
    held, free = threading.Event(), threading.Event()

    def write_briefly() -> None:
        with Home.open(path, brief=True):
            held.set()
            free.wait(60)

    writer = threading.Thread(target=write_briefly)
    writer.start()
    held.wait()
    threading.Timer(0.3, free.set).start()
    with Home.open(path):
        assert free.is_set()
    writer.join()


def test_a_brief_writer_that_has_not_said_so_yet_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the name of who was there before stands in its place."""
    with Home.open(path):
        pass
    lock = path / "writer.lock"
    assert b"pid" in lock.read_bytes()
    descriptor = os.open(lock, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    looks: list[float] = []

    def meanwhile(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 1:
            writer_lock._write_holder(descriptor, 0, brief=True)
        elif len(looks) == 3:
            os.close(descriptor)

    monkeypatch.setattr("helamem.streams.log.writer_lock.time.sleep", meanwhile)
    with Home.open(path):
        assert len(looks) == 3


def test_the_same_process_is_a_second_writer_too(path: Path) -> None:
    """Two writers in one process would disturb each other just as well."""
    with Home.open(path), pytest.raises(InUseError, match=f"process {os.getpid()} "):
        Home.open(path)


def test_a_lock_that_goes_with_its_directory_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opened its file before that locks the one that stands there now, which another may have."""
    Home.open(path).close()
    real, held = fcntl.flock, []

    def removed_meanwhile(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real)
        shutil.rmtree(path)
        held.append(Home.open(path))
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with pytest.raises(InUseError, match=f"process {os.getpid()} "):
        Home.open(path)
    held[0].close()
    Home.open(path).close()


def test_a_holder_that_has_not_yet_signed_is_still_a_holder(path: Path) -> None:
    """Between taking the lock and signing it there is a moment; the sentence stays clear in it."""
    with Home.open(path):
        (path / "writer.lock").write_text("")
        with pytest.raises(InUseError, match="another process, which is just starting"):
            Home.open(path)


def test_looking_needs_no_lock(path: Path) -> None:
    """A home can be looked at while another writes it; nothing is made or changed."""
    with Home.open(path):
        before = {entry.name: entry.read_bytes() for entry in path.iterdir()}
        with Home.look(path) as seen:
            assert seen.read_only
            assert seen.log_path == path / "log.sqlite"
        assert {entry.name: entry.read_bytes() for entry in path.iterdir()} == before


def test_a_missing_home_is_refused_where_none_is_to_be_made(path: Path) -> None:
    """Looking, or opening without creating, makes nothing."""
    with pytest.raises(BadInput, match="no helamem home at"):
        Home.look(path)
    with pytest.raises(BadInput, match="no helamem home at"):
        Home.open(path, create=False)
    assert not path.parent.exists()


def test_a_directory_of_somebody_else_is_refused(path: Path) -> None:
    """A directory with other things and no description is left as it is."""
    path.mkdir(parents=True)
    (path / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match=r"holds other things \(thesis.tex\)"):
        Home.open(path)
    assert [entry.name for entry in path.iterdir()] == ["thesis.tex"]


def test_an_empty_directory_becomes_a_home(path: Path) -> None:
    """So does one in which a process died while it made a home."""
    path.mkdir(parents=True)
    (path / "writer.lock").write_text("{")
    (path / "home.json.new").write_text('{"form')
    with Home.open(path):
        assert sorted(entry.name for entry in path.iterdir()) == ["home.json", "writer.lock"]


def test_a_newer_home_is_refused(path: Path) -> None:
    """A home of a newer format is neither opened nor looked at, and stays free for the newer version."""
    path.mkdir(parents=True)
    (path / "home.json").write_text('{"format": 2, "shape": "of things to come"}')
    for open_home in (Home.open, Home.look):
        with pytest.raises(ConfigurationError, match=r"newer helamem \(format 2.*upgrade helamem"):
            open_home(path)
    (path / "home.json").write_text('{"format": 1}')
    with Home.open(path):
        pass


def test_a_damaged_description_is_refused(path: Path) -> None:
    """What cannot be read is not guessed at."""
    path.mkdir(parents=True)
    (path / "home.json").write_text("\x00\x00")
    with pytest.raises(ConfigurationError, match="damaged"):
        Home.open(path)


def test_a_file_is_no_home(tmp_path: Path) -> None:
    """A path that is a file gets a sentence, not a traceback of the system."""
    file = tmp_path / "file"
    file.write_text("")
    for open_home in (Home.open, Home.look):
        with pytest.raises(BadInput, match="Not a directory"):
            open_home(file)


def test_a_description_appears_whole_or_not_at_all(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The description is synced before it gets its name, and the directory after it."""
    synced: list[int] = []
    names: dict[int, set[str]] = {}
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        names[synced[-1]] = {entry.name for entry in path.iterdir()}
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with Home.open(path):
        parents = [path.parent.stat().st_ino, path.parent.parent.stat().st_ino]
        description = (path / "home.json").stat().st_ino
        directory = path.stat().st_ino
    assert synced == [*parents, description, directory]
    assert "home.json" not in names[description]
    assert "home.json" in names[directory]
