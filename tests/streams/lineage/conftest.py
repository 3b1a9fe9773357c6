"""The home of the demo, played once for all tests of lineage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from helamem.streams.demo.play import play


@pytest.fixture(scope="package")
def demo_home() -> Iterator[Path]:
    """A home with messages, recalls, reinforcements, hubs and facts; nobody writes to it."""
    with directory() as path:
        asyncio.run(play(path / "home", path / "rebuilt"))
        yield path / "home"
