"""What is installed has the console: a wheel that is built from the source distribution holds all of it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSOLE = "helamem/streams/console/"
OURS = ROOT / "streams" / CONSOLE


@pytest.mark.slow
def test_a_wheel_of_the_source_distribution_has_the_console(tmp_path: Path) -> None:
    """The source distribution holds only our own words; what others wrote comes when the wheel is made."""
    hatchling = [sys.executable, "-m", "hatchling", "build"]
    subprocess.run([*hatchling, "-t", "sdist", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert not [name for name in archive.getnames() if "/vendor" in name]
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    subprocess.run([*hatchling, "-t", "wheel", "-d", tmp_path], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix(CONSOLE) for name in archive.namelist() if name.startswith(CONSOLE)}
        assert b"MIT" in archive.read(f"{CONSOLE}vendor/LICENSES.txt")
    own = {path.name for path in OURS.iterdir() if path.is_file()}
    libraries = {"forceatlas2.js", "graphology.umd.min.js", "sigma.min.js", "LICENSES.txt"}
    assert held == own | {f"vendor/{name}" for name in libraries}
