"""What is installed has the console: a wheel that is built from the source distribution holds all of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSOLE = "helamem/streams/console/"
OURS = ROOT / "streams" / CONSOLE


HATCHLING = [sys.executable, "-m", "hatchling", "build"]


def unpacked(folder: Path) -> Path:
    """Return the source distribution, unpacked: it holds only our own words."""
    subprocess.run([*HATCHLING, "-t", "sdist", "-d", folder], cwd=ROOT, check=True, capture_output=True)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        assert not [name for name in archive.getnames() if "/vendor" in name]
        archive.extractall(folder, filter="data")
    return folder / source.name.removesuffix(".tar.gz")


@pytest.mark.slow
def test_a_wheel_of_the_source_distribution_has_the_console(tmp_path: Path) -> None:
    """What others wrote comes when the wheel is made."""
    subprocess.run([*HATCHLING, "-t", "wheel", "-d", tmp_path], cwd=unpacked(tmp_path), check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name.removeprefix(CONSOLE) for name in archive.namelist() if name.startswith(CONSOLE)}
        assert b"MIT" in archive.read(f"{CONSOLE}vendor/LICENSES.txt")
    own = {path.name for path in OURS.iterdir() if path.is_file()}
    libraries = {"forceatlas2.js", "graphology.umd.min.js", "sigma.min.js", "LICENSES.txt"}
    assert held == own | {f"vendor/{name}" for name in libraries}


@pytest.mark.slow
def test_where_npm_reaches_nothing_only_what_is_installed_for_work_on_it_goes_without(tmp_path: Path) -> None:
    """A wheel that lacks its console is refused with a sentence; `make demo` works all the same."""
    source = unpacked(tmp_path)
    away = {**os.environ, "npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0"}
    away |= {"npm_config_cache": str(tmp_path / "cache")}
    for target, code in (("wheel", 1), ("wheel:editable", 0)):
        build = subprocess.run(
            [*HATCHLING, "-t", target, "-d", tmp_path],
            cwd=source,
            env=away,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (build.returncode, "set HELAMEM_WITHOUT_CONSOLE=1" in build.stdout + build.stderr) == (code, True)
    assert not (source / "streams" / CONSOLE / "vendor").exists()
