"""What a model's statement claims: read from its words, and only where the messages bear it out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fakes.turns import turn
from helamem.processors.consolidation.llm.drafts import Draft
from helamem.processors.consolidation.llm.evidence import Shown
from helamem.processors.consolidation.llm.keyed import keyed, since_ms
from helamem.schemas.times import to_ms

EARLY, LATE = datetime(2023, 5, 7, 12, tzinfo=UTC), datetime(2024, 2, 1, 12, tzinfo=UTC)
SHOWN = Shown(
    {
        "m1": turn(1, "I live in Lisbon with my sister Lea.", speaker="Anna Berg", time=EARLY),
        "m2": turn(2, "I moved from Lisbon to Bergen.", speaker="Anna Berg", time=LATE),
        "m3": turn(3, "I love hiking, and my dog Rex does too.", speaker="Anna Berg", time=EARLY),
        "m4": turn(4, "Tom is a nurse now, and so is my cousin.", speaker="Carl", time=EARLY),
        "m5": turn(5, "Tom and I broke up.", speaker="Anna Berg", time=LATE),
        "m6": turn(6, "I lost my dog Rex.", speaker="Anna Berg", time=LATE),
        "m7": turn(7, "My brother moved to Berlin.", speaker="Anna Berg", time=LATE),
        "m8": turn(8, "So much hiking this year, and I loved all of it!", speaker="Anna Berg", time=EARLY),
        "m9": turn(9, "My sister lives in Lisbon.", speaker="Anna Berg", time=EARLY),
        "m10": turn(10, "I do not live in Lisbon.", speaker="Anna Berg", time=EARLY),
        "m11": turn(11, "I visited my brother, who works as a nurse.", speaker="Anna Berg", time=EARLY),
        "m12": turn(12, "My sister likes hiking.", speaker="Anna Berg", time=EARLY),
        "m13": turn(13, "All that hiking, I never liked it.", speaker="Anna Berg", time=EARLY),
        "m14": turn(14, "Hiking? That isn’t what I love.", speaker="Anna Berg", time=EARLY),
        "m15": turn(15, "My sister gave up tennis, and so much tennis it was.", speaker="Anna Berg", time=EARLY),
    }
)


def draft(text: str, *evidence: str, subject: str = "Anna Berg") -> Draft:
    return Draft(kind="fact", subject=subject, text=text, confidence=90, evidence=evidence)


@pytest.mark.parametrize(
    ("one", "expected", "since"),
    [
        (draft("Anna Berg lives in Lisbon.", "m1"), ("Anna Berg", "home", "lisbon"), EARLY),
        (draft("Anna lives in Lisbon.", "m1", subject="Anna"), ("Anna Berg", "home", "lisbon"), EARLY),
        (draft("Anna lives in Lisbon.", "m1", "m2"), ("Anna Berg", "home", "lisbon"), EARLY),
        (draft("Anna Berg moved from Lisbon to Bergen.", "m1", "m2"), ("Anna Berg", "home", "bergen"), LATE),
        (draft("Anna Berg likes hiking.", "m3"), ("Anna Berg", "likes:hiking", "yes"), EARLY),
        (draft("Anna and Tom broke up.", "m5"), ("Anna Berg", "relationship", "single"), LATE),
        (draft("Anna Berg lost her dog Rex.", "m6"), ("Anna Berg", "pet:rex", "no"), LATE),
        (draft("Anna's brother moved to Berlin.", "m7"), ("Anna Berg's brother", "home", "berlin"), LATE),
        (draft("Tom is a nurse.", "m4", subject="Tom"), ("Tom", "occupation", "nurse"), EARLY),
        (draft("Anna Berg likes hiking.", "m8"), ("Anna Berg", "likes:hiking", "yes"), EARLY),
        (draft("Anna Berg likes hiking.", "m13", "m8"), ("Anna Berg", "likes:hiking", "yes"), EARLY),
    ],
    ids=lambda one: one.text if isinstance(one, Draft) else "",
)
def test_the_third_person_claims_what_the_first_one_does(
    one: Draft, expected: tuple[str, str, str], since: datetime
) -> None:
    """Of the speaker by any of their names, of theirs and of others; since the message that bears it out."""
    found = keyed(one, SHOWN)
    assert found is not None
    assert (tuple(found.claim), found.since_ms) == (expected, to_ms(since))


@pytest.mark.parametrize(
    "one",
    [
        draft("Anna Berg does not like hiking.", "m3"),  # nobody said so
        draft("Anna Berg lives in Lisbon.", "m2"),  # the message says another town
        draft("Anna Berg lives in Bergen.", "m1"),
        draft("Anna Berg lives in Lisbon.", "m9"),  # of somebody else
        draft("Anna Berg works as a nurse.", "m11"),
        draft("Anna Berg likes hiking.", "m12"),
        draft("Anna Berg plays tennis.", "m15"),
        draft("Anna Berg lives in Lisbon.", "m10"),  # the message denies it
        draft("Anna Berg likes hiking.", "m13"),
        draft("Anna Berg likes hiking.", "m14"),
        draft("Anna Berg no longer lives in Lisbon.", "m1"),
        draft("Anna Berg says: I live in Lisbon.", "m1"),
        draft("Anna Berg lives in Lisbon. Lea does too.", "m1"),
        draft("Lea lives with Anna Berg.", "m1"),
        draft("Holm is a nurse.", "m4", subject="Tom"),
        draft("Anna Berg has a sister.", "m1"),
    ],
    ids=lambda one: one.text,
)
def test_what_is_not_borne_out_or_not_read_claims_nothing(one: Draft) -> None:
    """The statement stays without a key."""
    assert keyed(one, SHOWN) is None


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("Anna moved to Bergen.", EARLY),
        ("Anna moved to Bergen on 2023-05-07.", EARLY),
        ("Anna moved to Bergen in 2023.", EARLY),
        ("Anna moved to Bergen on 2023-05-01.", datetime(2023, 5, 1, 23, 59, 59, 999_000, UTC)),
        ("Anna moved to Bergen in February 2023.", datetime(2023, 2, 28, 23, 59, 59, 999_000, UTC)),
        ("Anna works at Equinor from 2023-09-01.", datetime(2023, 9, 1, tzinfo=UTC)),
        ("Anna lives in Bergen until 2022-04-01.", EARLY),
        ("Anna moved to Bergen on 2023-02-31.", EARLY),
        ("Anna moved to Bergen on 3 May.", EARLY),
    ],
)
def test_it_holds_since_its_date(text: str, since: datetime) -> None:
    """At the latest since it was said."""
    assert since_ms(text, to_ms(EARLY)) == to_ms(since)
