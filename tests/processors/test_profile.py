"""The profile: what facts say that hold, by person and key, with their evidence, and nothing else."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.directories import directory
from fakes.events import SPACE, START_MS, distilled, forgotten, message, restored, retracted
from fakes.machine import Machine, machine
from helamem.processors.profile.profile import MOST_QUOTES, Profile, profile, profile_of
from helamem.schemas.ids import fact_id, memory_id

DAY_MS = 86_400_000
LISBON, BERGEN, TEA = "Anna lives in Lisbon.", "Anna moved to Bergen.", "Anna likes tea."


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        await opened.append(
            *(message(f"m{n}", f"Sentence number {n} was said.") for n in range(4)),
            distilled("f0", LISBON, kind="user-trait", evidence=["m0"], claim=("home", "lisbon")),
            distilled(
                "f1", BERGEN, kind="user-trait", evidence=["m1"], claim=("home", "bergen"), time_ms=START_MS + DAY_MS
            ),
            distilled("f2", TEA, kind="user-trait", evidence=["m2"], claim=("likes:tea", "yes")),
            distilled("f3", "Anna spoke of the sea.", kind="user-trait", evidence=["m3"]),
            distilled("f4", "The ferry leaves at seven.", evidence=["m3"]),
            distilled("f5", "Trains need a reservation.", kind="agent-knowledge", evidence=["m3"]),
            distilled("f6", BERGEN, kind="user-trait", evidence=["m3"], claim=("home", "bergen")),
        )
        await opened.settle()
        yield opened


async def known(one: Machine, as_of_ms: int = START_MS + 9 * DAY_MS) -> list[tuple[str, str, str]]:
    """Return who, key and text of all that the profile says."""
    found = await profile(one.store, SPACE, as_of_ms)
    rows = [(person.subject, entry.key, entry.text) for person in found.user_model for entry in person.entries]
    return rows + [("agents", entry.key, entry.text) for entry in found.agent_knowledge]


async def test_it_says_what_holds_with_its_evidence(one: Machine) -> None:
    """Claims by key, then other traits; plain facts are no part of it, agents' knowledge stands apart."""
    assert await known(one) == [
        ("Anna", "home", BERGEN),
        ("Anna", "likes:tea", TEA),
        ("Anna", "", "Anna spoke of the sea."),
        ("agents", "", "Trains need a reservation."),
    ]
    (person,) = (await profile(one.store, SPACE, START_MS + 9 * DAY_MS)).user_model
    home = person.entries[0]
    assert home.evidence == (memory_id(SPACE, "m1"), memory_id(SPACE, "m3"))
    assert home.fact_ids == (fact_id(SPACE, "user-trait", BERGEN),)


async def test_at_an_earlier_moment_it_says_what_held_then(one: Machine) -> None:
    """Of what was known by then."""
    late = distilled(
        "g", "Anna lives in Porto.", kind="user-trait", claim=("home", "porto"), time_ms=START_MS + 5 * DAY_MS
    )
    await one.append(late)
    await one.settle()
    homes = [
        [text for _, key, text in await known(one, START_MS + day * DAY_MS) if key == "home"] for day in (-1, 4, 5)
    ]
    assert homes == [[], [BERGEN], ["Anna lives in Porto."]]


async def test_what_is_forgotten_or_retracted_is_not_in_it(one: Machine) -> None:
    """And it comes back with what is restored; what had been superseded holds again."""
    await one.append(forgotten("c", "m2"), retracted("x", BERGEN, kind="user-trait"))
    await one.settle()
    assert [text for who, _, text in await known(one) if who == "Anna"] == [LISBON, "Anna spoke of the sea."]
    await one.append(restored("d", "m2"))
    await one.settle()
    assert TEA in [text for _, _, text in await known(one)]


async def test_it_is_a_function_of_the_facts_and_short(one: Machine) -> None:
    """In whatever order they are read; of statements without a key only the newest are in it."""
    await one.append(
        *(
            distilled(f"q{n}", f"Anna said thing {n}.", kind="user-trait", time_ms=START_MS + n * DAY_MS)
            for n in range(MOST_QUOTES + 3)
        )
    )
    await one.settle()
    facts = [fact async for fact in one.store.scan_facts(SPACE)]

    def made(seed: int) -> Profile:
        random.Random(seed).shuffle(facts)
        return profile_of(SPACE, facts, (), START_MS + 99 * DAY_MS)

    assert len({repr(made(seed)) for seed in range(5)}) == 1
    (person,) = made(0).user_model
    quotes = [entry.text for entry in person.entries if not entry.key]
    assert quotes == [f"Anna said thing {n}." for n in range(MOST_QUOTES + 2, 2, -1)]
    assert made(0).left_out == 4
