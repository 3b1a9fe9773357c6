"""Claims: what plain sentences say that can change, and what is no claim."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.processors.consolidation.claims import owned, reading
from helamem.processors.consolidation.claims.claim import Claim, same_value, slot_of
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.consolidation.claims.rules import RULES
from helamem.processors.consolidation.claims.telling import may_claim

SAID = [
    ("We have moved from Lisbon to Bergen.", [("Anna", "home", "bergen")]),
    ("I live in New York now.", [("Anna", "home", "new york")]),
    ("I no longer live in Oslo.", [("Anna", "home", "none")]),
    ("My sister Lea lives in Porto.", [("Lea", "home", "porto")]),
    ("My brother moved to Berlin last year.", [("Anna's brother", "home", "berlin")]),
    ("Bert moved to Trondheim.", [("Bert", "home", "trondheim")]),
    (
        "I work as a nurse at St. Olav's hospital.",
        [("Anna", "occupation", "nurse"), ("Anna", "employer", "st. olav's hospital")],
    ),
    ("I started a new job at Equinor.", [("Anna", "occupation", "none"), ("Anna", "employer", "equinor")]),
    ("I quit my job yesterday.", [("Anna", "employer", "none"), ("Anna", "occupation", "none")]),
    (
        "I quit my job and moved to Narvik.",
        [("Anna", "employer", "none"), ("Anna", "occupation", "none"), ("Anna", "home", "narvik")],
    ),
    ("I got engaged to Tom!", [("Anna", "relationship", "engaged tom")]),
    ("Tom and I broke up.", [("Anna", "relationship", "single")]),
    ("I'm married to Kim.", [("Anna", "relationship", "married kim")]),
    ("We adopted a cat named Luna.", [("Anna", "pet:luna", "yes"), ("Anna", "pet:cat", "yes")]),
    ("Our dog Rex passed away.", [("Anna", "pet:rex", "no")]),
    (
        "I'm allergic to peanuts and shellfish.",
        [("Anna", "allergy:peanuts", "yes"), ("Anna", "allergy:shellfish", "yes")],
    ),
    ("I'm no longer allergic to cats.", [("Anna", "allergy:cats", "no")]),
    ("I outgrew my milk allergy.", [("Anna", "allergy:milk", "no")]),
    ("I went vegan in June.", [("Anna", "diet", "vegan")]),
    ("I love hiking in the mountains.", [("Anna", "likes:hiking", "yes")]),
    ("I don't like hiking anymore.", [("Anna", "likes:hiking", "no")]),
    ("Bert likes olives.", [("Bert", "likes:olives", "yes")]),
    ("I play the guitar.", [("Anna", "does:guitar", "yes")]),
    ("I gave up smoking.", [("Anna", "does:smoking", "no")]),
    (
        "I'm studying biology at Oslo University.",
        [("Anna", "studies", "biology"), ("Anna", "school", "oslo university")],
    ),
    ("My favorite color is green.", [("Anna", "favourite colour", "green")]),
    ("My new phone number is 555-1234.", [("Anna", "phone number", "555-1234")]),
    ("The wedding has been postponed to 3rd July.", [("wedding", "when", "3 july")]),
    ("I joined a choir.", [("Anna", "member:choir", "yes")]),
    ("I turned 30 yesterday.", [("Anna", "age", "30")]),
]


@pytest.mark.parametrize(("text", "expected"), SAID, ids=[text for text, _ in SAID])
def test_what_is_said_plainly_is_claimed(text: str, expected: list[tuple[str, str, str]]) -> None:
    """Subject, key and value, whatever the words around them."""
    found = list(claims(text, "Anna"))
    assert [(one.subject, one.key, one.value) for _, one in found] == expected
    assert {sentence for sentence, _ in found} == {text}


@pytest.mark.parametrize(
    "text",
    [
        "Do I live in Oslo?",
        "If I moved to Oslo I would be happy.",
        "I might move to Oslo, and I want to live in Rome.",
        "I used to work as a nurse.",
        "I was living in Madrid back then.",
        "I'm going to adopt a dog named Rex.",
        "I wish I lived in Rome.",
        "He moved to Paris.",
        "I'm a mess today, and I love it here.",
        "Sounds like a blast from the past!",
        "It's like having a second family.",
        "My day is great and my point is that it rains.",
        "",
    ],
)
def test_wishes_plans_questions_and_figures_of_speech_claim_nothing(text: str) -> None:
    """Neither does what is said of nobody by name."""
    assert list(claims(text, "Anna")) == []


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("likes:hiking", "likes:hike", True),
        ("allergy:nuts", "allergy:nut", True),
        ("does:running", "does:run", True),
        ("pet:rex", "pet:max", False),
        ("home", "employer", False),
    ],
)
def test_slots_know_a_word_by_its_stem(one: str, other: str, *, same: bool) -> None:
    """And a subject in any case."""
    assert (slot_of("Anna", one) == slot_of("anna", other)) is same


def test_values_that_only_say_more_are_the_same() -> None:
    """More words about the same thing contradict nothing."""
    assert same_value("chef", "pastry chef")
    assert same_value("married", "married tom")
    assert not same_value("bergen", "oslo")
    assert not same_value("yes", "no")


WORDS = st.sampled_from([*{word for text, _ in SAID for word in text.split()}, "and", "if", "?", "\n", "…"])


PATTERNS = [*(rule.pattern for rule in RULES), *(pattern for _, pattern, _ in owned._PATTERNS)]
PATTERN_WORDS = re.findall(r"[a-z]+", " ".join(pattern.pattern for pattern in PATTERNS))


def test_no_claim_is_lost_because_of_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the patterns find, also in what nobody would say, the words let them look for."""
    subjects = "I", "Bert", "My", "My dog", "My sister has", "Our wedding", "Home"
    ends = "", " Kim", " to Kim", " a dog", " with Kim", " to Friday", " in Oslo", " at 9"
    said = [" ".join(PATTERN_WORDS[n : n + words]) for n in range(len(PATTERN_WORDS)) for words in range(1, 5)]
    texts = {f"{subject} {what}{end}." for subject in subjects for what in said for end in ends}
    passed_by = [text for text in texts if not may_claim(text)]
    assert len(passed_by) > 10_000
    monkeypatch.setattr(reading, "may_claim", lambda _: True)
    assert [text for text in passed_by if list(claims(text, "Anna"))] == []


@pytest.mark.parametrize("text", ["Good morning, how nice!", "It was raining all week.", "That tastes of summer."])
def test_most_sentences_need_no_pattern(text: str) -> None:
    """No word in them tells anything."""
    assert not may_claim(text)


@given(st.lists(WORDS | st.text(max_size=5), max_size=40).map(" ".join), st.text(min_size=1, max_size=10))
def test_any_text_is_read_to_its_end(text: str, speaker: str) -> None:
    """Every claim stands in a sentence of the text and fits into an event; the same text claims the same."""
    found = list(claims(text, speaker))
    assert found == list(claims(text, speaker))
    for sentence, one in found:
        assert isinstance(one, Claim)
        assert sentence in text
        assert 0 < len(one.key) <= 256
        assert 0 < len(one.value) <= 256
        assert one.subject
