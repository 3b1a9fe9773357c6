"""The times that a question names; the expected days were looked up in a calendar."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.directories import directory
from fakes.events import SPACE, message
from fakes.machine import Machine, machine
from helamem.processors.recall.periods import periods, within
from helamem.processors.recall.recall import Recall
from helamem.schemas.events import RecallSettings
from helamem.schemas.times import format_ms, parse_time

ASKED = parse_time("2025-03-12T15:00:00Z")  # a Wednesday
DAY_MS = 86_400_000

TABLE = [
    # Plain dates.
    ("What did Mira buy on 3 June 2023?", [("2023-06-03", "2023-06-03")]),
    ("What did Mira buy on 3rd June, 2023?", [("2023-06-03", "2023-06-03")]),
    ("What did Mira buy on the 3rd of June 2023?", [("2023-06-03", "2023-06-03")]),
    ("What did she paint on October 13, 2023?", [("2023-10-13", "2023-10-13")]),
    ("What did she paint on Oct 13th 2023?", [("2023-10-13", "2023-10-13")]),
    ("What happened on 2024-02-29?", [("2024-02-29", "2024-02-29")]),
    ("Where was he by 5 Sept. 2024?", [("2024-09-05", "2024-09-05")]),
    # Months and years.
    ("What did they do in May 2023?", [("2023-05-01", "2023-05-31")]),
    ("Which film did she see in February, 2024?", [("2024-02-01", "2024-02-29")]),
    ("How often did she swim in 2023?", [("2023-01-01", "2023-12-31")]),
    ("What was the best of 2024?", [("2024-01-01", "2024-12-31")]),
    # Without a year the newest one that has begun.
    ("When did she camp in June?", [("2024-06-01", "2024-06-30")]),
    ("What did he cook in March?", [("2025-03-01", "2025-03-31")]),
    ("What did he cook last February?", [("2025-02-01", "2025-02-28")]),
    ("What did he cook during April?", [("2024-04-01", "2024-04-30")]),
    ("Whom did he meet on 12 March?", [("2025-03-12", "2025-03-12")]),
    ("Whom did he meet on March 13?", [("2024-03-13", "2024-03-13")]),
    # As seen from the day of the question.
    ("What did she say yesterday?", [("2025-03-11", "2025-03-11")]),
    ("What happened last week?", [("2025-03-03", "2025-03-09")]),
    ("What happened last Friday?", [("2025-03-07", "2025-03-07")]),
    ("Whom did he meet two weeks ago?", [("2025-02-26", "2025-02-26")]),
    ("What did she read last month?", [("2025-02-01", "2025-02-28")]),
    ("Where did they travel last year?", [("2024-01-01", "2024-12-31")]),
    # Two of them.
    (
        "What changed between May 2023 and yesterday?",
        [("2023-05-01", "2023-05-31"), ("2025-03-11", "2025-03-11")],
    ),
    # No time at all.
    ("What may Mira do? April said that May likes tents.", []),
    ("Who ran 2000 metres, and who owns 1984?", []),
    ("What happened on 31 June 2023?", [("2023-06-01", "2023-06-30")]),
    ("What happened on 2023-13-01?", []),
    ("Is 12 2023 a number?", []),
    ("Who was born in 1950?", []),
    ("", []),
]


@pytest.mark.parametrize(("query", "expected"), TABLE)
def test_a_question_names_its_times(query: str, expected: list[tuple[str, str]]) -> None:
    """First and last day, both included."""
    found = [
        (format_ms(period.begin_ms)[:10], format_ms(period.end_ms - DAY_MS)[:10]) for period in periods(query, ASKED)
    ]
    assert found == expected


@given(
    query=st.text(max_size=80),
    asked=st.integers(parse_time("1970-01-01T00:00:00Z"), parse_time("9999-12-31T00:00:00Z")),
)
def test_whatever_is_asked_has_whole_days(query: str, asked: int) -> None:
    """No text and no day of the calendar is too much."""
    for words in (query, f"in {query} May, yesterday", f"on 31 December 9999 {query}"):
        for period in periods(words, asked):
            assert period.begin_ms < period.end_ms
            assert period.begin_ms % DAY_MS == period.end_ms % DAY_MS == 0


def test_the_last_moment_of_a_day_is_inside() -> None:
    """And the first of the next is not."""
    named = periods("on 3 June 2023", ASKED)
    begin = parse_time("2023-06-03T00:00:00Z")
    times = np.array([begin - 1, begin, begin + DAY_MS - 1, begin + DAY_MS])
    assert within(times, named).tolist() == [False, True, True, False]


@pytest.fixture
def place() -> Iterator[Path]:
    with directory() as path:
        yield path


@pytest.fixture
async def one(place: Path) -> AsyncIterator[Machine]:
    async with machine(place) as opened:
        yield opened


async def test_what_was_said_then_comes_first_in_a_large_space(one: Machine) -> None:
    """Two hundred turns of other days match as well; of those on the day, each is found, and none that is later."""
    start = parse_time("2023-01-01T09:00:00Z")
    await one.append(
        *(
            message(f"m{n}", "We packed the blue tent.", conversation=f"c{n}", time_ms=start + n * DAY_MS)
            for n in range(220)
        )
    )
    await one.settle()
    recall = Recall(one.store, one.embedder, one.settings.hebbian)

    async def ask(query: str, until: str | None = None) -> list[str]:
        until_ms = None if until is None else parse_time(until)
        hits = await recall.recall(SPACE, query, RecallSettings(k=3, m=0), ASKED, until_ms=until_ms)
        return [format_ms(hit.turn.time_ms)[:10] for hit in hits if hit.turn is not None]

    assert (await ask("Which tent did we pack on 3 June 2023?"))[0] == "2023-06-03"
    assert {day[:7] for day in await ask("Which tents did we pack in May 2023?")} == {"2023-05"}
    assert all(day < "2023-05-02" for day in await ask("Which tents did we pack in May 2023?", "2023-05-01T12:00:00Z"))
