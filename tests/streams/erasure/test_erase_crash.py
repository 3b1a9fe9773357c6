"""An erasure that is killed at any of its steps, and run again, ends as one that nobody disturbed."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.subjects import erased, leaks, lived, opened
from helamem.processors.digest import digest

MARKS = (
    "write_secret:after:1",  # named, and nothing else
    "append:after:1",  # the events are in the log
    "rename:before:3",  # memories are copied
    "rename:before:5",  # both shards are copied, and the old memories are gone
    "rename:before:6",  # memories are in place, facts are not
    "rename:after:7",  # a key is no key any more, and its bytes are there
    "distil:before:1",  # all is gone, and nothing was told again
    "append:after:2",  # what was told again is in the log
)


@pytest.fixture(scope="module")
def life() -> Iterator[Path]:
    with directory() as place:
        asyncio.run(lived(place / "home", sealed=True))
        yield place / "home"


@pytest.fixture(scope="module")
def expected(life: Path) -> Iterator[str]:
    """The digest after an erasure that nobody disturbed."""
    with directory() as place:
        shutil.copytree(life, place / "home")
        asyncio.run(erased(place / "home"))
        yield asyncio.run(_digest(place / "home"))


async def _digest(home: Path) -> str:
    async with opened(home) as (instance, process):
        await process()
        return (await digest(instance.store)).digest


@pytest.mark.slow
@pytest.mark.parametrize("mark", MARKS)
def test_killed_and_run_again_it_ends_right(life: Path, expected: str, mark: str) -> None:
    """In between the home can be used; at the end nothing is left to do and no file has a word."""
    with directory() as place:
        home = place / "home"
        shutil.copytree(life, home)
        environment = {**os.environ, "HELAMEM_TEST_KILL": mark, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        killed = subprocess.run(
            [sys.executable, "-m", "fakes.subjects", home], env=environment, capture_output=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        assert (home / "erasing.json").exists()
        asyncio.run(_digest(home))
        assert not asyncio.run(erased(home)).erased_before
        assert asyncio.run(_digest(home)) == expected
        assert not leaks(home)
        assert not (home / "erasing.json").exists()
        assert asyncio.run(erased(home)).erased_before
