"""`helamem profile` and what `facts` says of what is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.events import distilled, message, record
from fakes.words import wordllama
from helamem.schemas.ids import memory_id
from helamem.streams.async_memory import AsyncMemory
from streams.cli.shell import Ran, run_on_terminal

Call = Callable[..., Ran]
SPACE = "acme/mira"
JANUARY_MS, JUNE_MS = 1_735_732_800_000, 1_748_779_200_000
"""The firsts of January and June 2025, noon."""


@pytest.fixture(autouse=True)
def _known(home: Path) -> None:
    async def fill() -> None:
        async with await AsyncMemory.open(home, embedder=wordllama()) as memory:
            events = [
                message("m0", "I live in Lisbon.", space=SPACE, speaker="Mira", time_ms=JANUARY_MS),
                message("m1", "We moved to Bergen.", space=SPACE, speaker="Mira", time_ms=JUNE_MS),
                distilled("f0", "Mira: I live in Lisbon.", space=SPACE, claim=("home", "lisbon"), time_ms=JANUARY_MS),
                distilled(
                    "f1",
                    "Mira: We moved to Bergen.",
                    space=SPACE,
                    claim=("home", "bergen"),
                    time_ms=JUNE_MS,
                    evidence=["m1"],
                    supersedes=["Mira: I live in Lisbon."],
                ),
            ]
            await memory.instance.log.append([record(one) for one in events])
            await memory.process()

    asyncio.run(fill())


def test_a_profile_says_what_holds_and_what_held(call: Call) -> None:
    """Now, and at a moment before; each entry names its evidence."""
    now = call("profile", SPACE).json
    assert (now["space"], now["agent_knowledge"], now["left_out"]) == (SPACE, [], 0)
    (person,) = now["user_model"]
    (entry,) = person["entries"]
    assert (entry["key"], entry["value"], entry["since"]) == ("home", "bergen", "2025-06-01T12:00:00.000Z")
    assert entry["evidence"] == [memory_id(SPACE, "m1")]
    then = call("profile", SPACE, "--as-of", "2025-03-01T00:00:00Z").json
    assert [entry["value"] for person in then["user_model"] for entry in person["entries"]] == ["lisbon"]
    assert then["as_of"] == "2025-03-01T00:00:00.000Z"


def test_facts_say_until_when_they_held(call: Call) -> None:
    """And which ones they supersede."""
    old, new = call("facts", "--space", SPACE).json["facts"]
    assert (old["key"], old["value"], old["valid_until"], old["supersedes"]) == (
        "home",
        "lisbon",
        "2025-06-01T12:00:00.000Z",
        [],
    )
    assert (new["value"], new["valid_until"], new["supersedes"]) == ("bergen", None, [old["id"]])


def test_nothing_is_said_in_words(home: Path) -> None:
    """And not by a table without rows."""
    code, seen = run_on_terminal("profile", SPACE, "--as-of", "2024-12-01T00:00:00Z", "--home", home)
    assert (code, "Nothing yet" in seen, "evidence" in seen) == (0, True, False)


def test_a_space_that_is_not_there_is_refused(call: Call) -> None:
    """As everywhere."""
    ran = call("profile", "acme/nobody")
    assert ran.code == 2
    assert "acme/nobody" in ran.err
    assert call("profile", "nobody").err.startswith("helamem: the space 'nobody': must be `tenant/name`")
