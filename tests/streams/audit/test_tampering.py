"""What was signed cannot be altered unseen: every single tampering is found, and nothing else is.

With `HELAMEM_TEST_AUDIT=long` it is 1,000 tamperings and 1,000 audits of what nobody altered, otherwise a tenth of
each.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from helamem.streams.audit.findings import Finding
from streams.audit.tampering import TAMPERINGS, Done
from streams.audit.world import World, small_segments

LONG = os.environ.get("HELAMEM_TEST_AUDIT") == "long"
EACH = 50 if LONG else 5
"""How often each of the 20 kinds is tried."""
CLEAN = 250 if LONG else 25
"""Logs that nobody altered; each is audited in four ways."""


@pytest.fixture(autouse=True, scope="module")
def _small() -> Iterator[None]:
    with small_segments():
        yield


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture(scope="module")
def worlds(place: Path) -> list[World]:
    """Logs that were archived in one, two, three and four goes."""
    made = [World(place / f"world{number}") for number in range(4)]
    for number, world in enumerate(made):
        world.root.mkdir()
        world.live(seed=number, rounds=number + 1)
    return made


def names(finding: Finding, done: Done) -> bool:
    """Return whether a finding says what was done."""
    if done.where == "checkpoints":
        return finding.kind == "checkpoint"
    if (finding.partition, finding.where) != (str(done.at), done.where):
        return False
    if done.last is None:
        return finding.kind in done.kinds and finding.offset == done.offset
    first = finding.begin if finding.offset is None else finding.offset
    assert first is not None
    assert done.offset is not None
    return done.offset - 8 <= first <= done.last


@pytest.mark.parametrize("kind", TAMPERINGS)
@pytest.mark.parametrize("seed", range(EACH))
def test_a_tampering_is_found_and_named(worlds: list[World], place: Path, kind: str, seed: int) -> None:
    """One thing is done to log, archive or checkpoints; the audit names the record, or the checkpoint."""
    tampered = worlds[seed % len(worlds)].copy(place / "tampered")
    try:
        done = TAMPERINGS[kind](tampered, random.Random(f"{kind} {seed}"))
        found = tampered.verify()
        assert any(names(one, done) for one in found.findings), (done, found.findings)
    finally:
        shutil.rmtree(tampered.root)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(CLEAN))
def test_what_nobody_altered_is_clean(place: Path, seed: int) -> None:
    """However a log grew, and whenever it was archived: nothing is found, whichever copies are compared."""
    rng = random.Random(seed)
    clean = World(place / "clean")
    clean.root.mkdir()
    try:
        clean.live(seed, rng.randint(1, 3), rng.randint(1, 12), signed=rng.random() < 0.9)
        clean.live(seed + 1, 1, rng.randint(1, 12))
        for copies in ({}, {"archive": False}, {"log": False}, {"kept": False}):
            found = clean.verify(**copies)
            assert (found.findings, found.uncovered) == ((), 0), copies
    finally:
        shutil.rmtree(clean.root)
