"""Facts that are told again: their evidence grows, whatever the batches and restarts, and their words stay."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.events import SPACE, START_MS, distilled, message, retracted
from fakes.machine import Machine, machine
from helamem.processors.digest import digest
from helamem.processors.store.port import FactRecord
from helamem.schemas.ids import fact_id, memory_id
from helamem.schemas.wire import Event

TEXT = "Anna lives in Bergen."
HOME = ("home", "bergen")


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


def told() -> list[Event]:
    """Return one fact told three times, the second time with an earlier beginning, and another one in between."""
    return [
        *(message(f"m{n}", f"We live in Bergen, and that is sentence {n}.") for n in range(4)),
        distilled("f0", TEXT, evidence=["m0"], claim=HOME, time_ms=START_MS + 5),
        distilled("f1", "Anna lived in Oslo.", evidence=["m3"], claim=("home", "oslo")),
        distilled(
            "f2", TEXT, evidence=["m1", "m0"], claim=HOME, time_ms=START_MS + 2, supersedes=["Anna lived in Oslo."]
        ),
        distilled("f3", TEXT, evidence=["m2"], time_ms=START_MS + 9),
        distilled(
            "f2", TEXT, evidence=["m1", "m0"], claim=HOME, time_ms=START_MS + 2, supersedes=["Anna lived in Oslo."]
        ),
    ]


async def encode(one: Machine, batch_records: int) -> None:
    """Run a new encoding pump to the end of the log."""
    await one.pump(one.encoding(), batch_records=batch_records).run(until=await one.ends())


async def the_fact(one: Machine) -> FactRecord:
    """Return the fact that is told again and again."""
    id_ = fact_id(SPACE, "fact", TEXT)
    return (await one.store.facts(SPACE, [id_]))[id_]


@pytest.mark.parametrize("batch_records", [1, 2, 3, 1000])
async def test_evidence_grows_in_whatever_batches_it_comes(one: Machine, batch_records: int) -> None:
    """It stands in the order of the log, each piece once; the fact holds from the earliest time that was told."""
    await one.append(*told())
    await encode(one, batch_records)
    fact = await the_fact(one)
    assert fact.evidence == tuple(memory_id(SPACE, name) for name in ("m0", "m1", "m2"))
    assert len(fact.evidence_hashes) == 3
    assert (fact.key, fact.value, fact.sources) == ("home", "bergen", 1)
    assert fact.supersedes == (fact_id(SPACE, "fact", "Anna lived in Oslo."),)
    assert fact.valid_from_ms == START_MS + 2
    found = await one.store.search_facts(SPACE, one.embedder.embed([TEXT])[0], "Bergen", 5)
    assert set(found.lexical) == {fact.id}


async def test_taken_again_after_a_crash_it_is_the_same(one: Machine, place: Path) -> None:
    """Between any two steps; and a rebuild has the same digest."""
    await one.append(*told(), retracted("x", "Anna lived in Oslo."))
    async with one.beside(place / "whole") as whole:
        await encode(whole, 1000)
        expected = (await digest(whole.store)).digest
    for batch_records in (1, 2, 1000):
        failed = 0
        while True:
            seen = 0

            def fail(step: str, moment: str, at: int = failed) -> None:
                nonlocal seen
                if (step, moment) == ("checkpoint", "before"):
                    seen += 1
                    if seen > at:
                        raise RuntimeError("killed here")

            async with one.beside(place / f"again{batch_records}") as again:
                again.watch.fault = fail
                try:
                    await encode(again, batch_records)
                    break
                except (RuntimeError, BaseExceptionGroup):
                    failed += 1
        async with one.beside(place / f"again{batch_records}") as again:
            assert (await digest(again.store)).digest == expected
            assert len((await the_fact(again)).evidence) == 3
        assert failed


async def test_what_a_fact_claims_is_part_of_the_digest(one: Machine, place: Path) -> None:
    """Two values of one key are two states."""
    await one.append(message("m0", "We live in Bergen."), distilled("f0", TEXT, claim=HOME))
    await encode(one, 1000)
    (place / "other").mkdir()
    async with machine(place / "other") as other:
        await other.append(message("m0", "We live in Bergen."), distilled("f0", TEXT, claim=("home", "oslo")))
        await encode(other, 1000)
        assert await one.digest() != await other.digest()
