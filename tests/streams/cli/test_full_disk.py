"""A home on a disk that is almost full: whatever is asked is refused in a sentence, and no signal kills anybody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from streams.cli.shell import ended, logged, run, start

MESSAGES = "/v1/spaces/acme/mira/messages"
FULL = "is almost full"
pytestmark = [pytest.mark.slow, pytest.mark.broad]


def said(text: str) -> dict[str, str]:
    return {"conversation": "monday", "speaker": "Mira", "text": text}


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of its own, of 600 MiB."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    place = Path(tempfile.mkdtemp(prefix="helamem-disk-"))
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    try:
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        try:
            yield place
        finally:
            subprocess.run([shutil.which("umount") or "umount", "--lazy", str(place)], check=True)
    finally:
        place.rmdir()


def fill(disk: Path, free_mib: int) -> Path:
    """Leave so much free, and return the file that takes the rest."""
    ballast = disk / "ballast"
    ballast.unlink(missing_ok=True)
    room = os.statvfs(disk)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize - free_mib * 2**20)
    return ballast


def test_a_full_disk_stops_a_home_and_kills_nobody(disk: Path) -> None:
    """New homes are refused, running ones take no appends and go on answering, and none is opened; then all goes on."""
    home = disk / "home"
    for free_mib in (20, 150):
        fill(disk, free_mib)
        refused = run("up", "--home", home, "--port", 0)
        assert (refused.code, FULL in refused.err) == (1, True), refused
    ballast = fill(disk, 550)
    up = start("up", "--home", home, "--port", 0)
    try:
        assert up.stderr is not None
        address = logged(up.stderr.readline()).split(" at ")[1].split(";")[0]
        with httpx.Client(base_url=address, timeout=30) as client:
            assert client.post(f"{MESSAGES}?wait=searchable", json=said("I live in Bergen.")).json()["searchable"]
            for free_mib in (40, 0):
                fill(disk, free_mib)
                answer = client.post(MESSAGES, json=said("I live in Oslo."))
                assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
                assert FULL in answer.json()["detail"]
                asked = {"query": "Where does Mira live?", "record": False}
                found = client.post("/v1/spaces/acme/mira/recall", json=asked).json()["results"]
                assert [hit["text"] for hit in found] == ["I live in Bergen."]
            up.send_signal(signal.SIGTERM)
            assert ended(up).code == 0
        refused = run("recall", "Where?", "--space", "acme/mira", "--home", home)
        assert (refused.code, FULL in refused.err) == (1, True), refused
        ballast.unlink()
        found = run("recall", "Where does Mira live?", "--space", "acme/mira", "--home", home)
        assert [hit["text"] for hit in found.json["results"]] == ["I live in Bergen."]
    finally:
        up.kill()
        up.communicate()
