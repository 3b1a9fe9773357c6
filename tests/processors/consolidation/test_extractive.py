"""The extractive distiller: whole sentences that were said, told once, with absolute dates and their evidence."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fakes.events import SPACE
from fakes.turns import turn
from helamem.processors.consolidation.distiller import Cluster, Statement
from helamem.processors.consolidation.extractive import MAX_PIECES, ExtractiveDistiller
from helamem.processors.consolidation.sentences import sentences
from helamem.processors.store.port import Turn
from helamem.schemas.events import MAX_TEXT
from helamem.schemas.ids import memory_id


async def distil(*turns: Turn) -> list[Statement]:
    """Return the statements of one cluster."""
    (statements,) = await ExtractiveDistiller().distill([Cluster(space=SPACE, turns=turns)])
    return statements


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I saw Dr. Smith today. He was kind.", ["I saw Dr. Smith today.", "He was kind."]),
        ("Mr. and Mrs. Lee came. We ate.", ["Mr. and Mrs. Lee came.", "We ate."]),
        ("Ms. Wu met Prof. Ito. Fine.", ["Ms. Wu met Prof. Ito.", "Fine."]),
        ("St. Petersburg is big. I like it.", ["St. Petersburg is big.", "I like it."]),
        ("Use e.g. a tent or i.e. a tarp. Done.", ["Use e.g. a tent or i.e. a tarp.", "Done."]),
        ("Tents, stoves, etc. are packed. Good.", ["Tents, stoves, etc. are packed.", "Good."]),
        ("It takes approx. two hours. Fine.", ["It takes approx. two hours.", "Fine."]),
        ("Oslo vs. Bergen tonight. Come!", ["Oslo vs. Bergen tonight.", "Come!"]),
        ("J. R. R. Tolkien wrote it. I read it.", ["J. R. R. Tolkien wrote it.", "I read it."]),
        ("Meet at 5 p.m. tomorrow. Bring cash.", ["Meet at 5 p.m. tomorrow.", "Bring cash."]),
        ("We left at 5 p.m. Then we ate.", ["We left at 5 p.m.", "Then we ate."]),
        ("We moved to the U.S. last year. It was fun.", ["We moved to the U.S. last year.", "It was fun."]),
        ("Bert Jr. is tall. Anna isn't.", ["Bert Jr. is tall.", "Anna isn't."]),
        ("On Jan. 5 we met. Nice.", ["On Jan. 5 we met.", "Nice."]),
        (
            "It is No. 5 on the list. I said no. Then we left.",
            ["It is No. 5 on the list.", "I said no.", "Then we left."],
        ),
        ("It costs 3.50 euros. That is fine!", ["It costs 3.50 euros.", "That is fine!"]),
        ("See www.example.com for v1.2.3. Thanks.", ["See www.example.com for v1.2.3.", "Thanks."]),
        ('He said "Stop!" and left. I stayed.', ['He said "Stop!" and left.', "I stayed."]),
        ("Really?! That is odd.", ["Really?!", "That is odd."]),
        ("Wait... what? Yes.", ["Wait...", "what?", "Yes."]),
        ("No full stop", ["No full stop"]),
        ("", []),
        ("...", []),
    ],
)
def test_sentences_are_whole(text: str, expected: list[str]) -> None:
    """A full stop in an abbreviation, a number or an address ends no sentence."""
    assert sentences(text) == expected


@given(st.text(alphabet="aB .!?…\"')\n5", max_size=60))
def test_sentences_leave_no_word_out(text: str) -> None:
    """Every word is in exactly one sentence, in its order."""
    words = "".join(c for c in text if c.isalnum())
    assert "".join(c for c in "".join(sentences(text)) if c.isalnum()) == words
    assert all(one == one.strip() and one for one in sentences(text))


async def test_statements_quote_whole_sentences_and_no_questions() -> None:
    """Questions, greetings and reactions are left out; what is quoted stands word for word in its evidence."""
    told = [
        turn(0, "Hi! Did you pack the tent already? The tent pole broke near the lake. Ok."),
        turn(1, "Really?! Are we sure about that? (Could we buy another one?)"),
        turn(2, "Haha. Great."),
        turn(3, "The shop in Bergen repairs tent poles for free. Isn't that good?!"),
    ]
    (statement,) = await distil(*told)
    assert statement.text == (
        "2025-03-12 Anna: The tent pole broke near the lake.\n"
        "2025-03-12 Anna: The shop in Bergen repairs tent poles for free."
    )
    assert [one.message_id for one in statement.evidence] == ["m0", "m3"]
    assert (statement.kind, statement.subject, statement.valid_from_ms) == ("fact", "Anna", told[3].time_ms)


async def test_a_cluster_that_only_asks_gives_nothing() -> None:
    """There is nothing to know from questions and reactions."""
    assert await distil(turn(0, "Where is the blue tent now?"), turn(1, "Wow!"), turn(2, "🙂")) == []
    assert await distil() == []


async def test_dates_are_absolute_from_the_day_on_which_each_was_said() -> None:
    """The same word on two days means two days."""
    first = turn(0, "We bought the tent yesterday.", time=datetime(2025, 3, 1, 9, tzinfo=UTC))
    second = turn(1, "Yesterday the ferry was late again.", time=datetime(2025, 1, 1, 9, tzinfo=UTC))
    (statement,) = await distil(first, second)
    assert statement.text == (
        "2025-01-01 Anna: Yesterday [2024-12-31] the ferry was late again.\n"
        "2025-03-01 Anna: We bought the tent yesterday [2025-02-28]."
    )
    assert statement.valid_from_ms == first.time_ms


async def test_what_was_said_twice_is_told_once_in_its_newest_wording() -> None:
    """Nearly the same words are the same statement."""
    (statement,) = await distil(
        turn(0, "The ferry to Lofoten leaves on Friday at seven."),
        turn(1, "The ferry to Lofoten leaves on Friday at eight."),
        turn(2, "Bert packs the stove and the gas."),
    )
    assert [one.message_id for one in statement.evidence] == ["m1", "m2"]
    assert "seven" not in statement.text


@pytest.mark.parametrize(
    ("text", "role", "kind"),
    [
        ("I love hiking in the mountains.", "user", "user-trait"),
        ("I'm allergic to all kinds of nuts.", "user", "user-trait"),
        ("I am a nurse at the clinic.", "user", "user-trait"),
        ("We live in Bergen near the harbour.", "user", "user-trait"),
        ("My dog sleeps under the table.", "user", "user-trait"),
        ("The ferry leaves at seven sharp.", "user", "fact"),
        ("The parking costs ten euros there.", "user", "fact"),
        ("I love to help with tents.", "agent", "agent-knowledge"),
    ],
)
async def test_kinds(text: str, role: Literal["user", "agent"], kind: str) -> None:
    """What a user says of themselves is a trait, what an agent says is its knowledge, the rest are facts."""
    (statement,) = await distil(turn(0, text, role=role))
    assert statement.kind == kind


async def test_one_statement_of_each_kind_and_one_for_each_persons_traits() -> None:
    """Kinds are not mixed, nor are two people's traits."""
    statements = await distil(
        turn(0, "I love hiking in the mountains.", speaker="Anna"),
        turn(1, "I hate tents with broken zippers.", speaker="Bert"),
        turn(2, "The ferry leaves at seven sharp.", speaker="Bert"),
        turn(3, "Parking near the harbour costs ten euros.", speaker="Anna"),
        turn(4, "The weather service expects heavy rain.", speaker="Ada", role="agent"),
    )
    assert sorted((one.kind, one.subject, len(one.evidence)) for one in statements) == [
        ("agent-knowledge", "Ada", 1),
        ("fact", "Anna", 2),
        ("user-trait", "Anna", 1),
        ("user-trait", "Bert", 1),
    ]


async def test_a_long_cluster_and_long_texts_fit_into_an_event() -> None:
    """Few turns are quoted, and of an endless one only whole sentences that fit."""
    long = [turn(n, f"Today we pack tent number {n} {'today ' * 250}. " * 20) for n in range(10)]
    endless = turn(20, "word " * 6000)
    (statement,) = await distil(*long, endless)
    assert len(statement.evidence) <= MAX_PIECES
    assert len(statement.text) <= MAX_TEXT
    assert memory_id(SPACE, "m20") not in {one.id for one in statement.evidence}


WORDS = st.lists(
    st.sampled_from(
        'the tent ferry is not blue? yesterday! Dr. Lee lives in Oslo. I love it a.m. 5 "nuts" (oh)'.split()
    ),
    min_size=1,
    max_size=25,
)


@given(texts=st.lists(WORDS.map(" ".join), min_size=1, max_size=8))
@example(texts=["a.m. Oslo. a.m. the the"])
async def test_every_statement_rests_on_its_evidence(texts: list[str]) -> None:
    """Each line is a turn of the evidence, made of its sentences; the same cluster gives the same statements."""
    turns = [turn(n, text, role="agent" if n == 7 else "user") for n, text in enumerate(texts)]
    statements = await distil(*turns)
    for statement in statements:
        lines = statement.text.split("\n")
        assert len(lines) == len(statement.evidence) <= MAX_PIECES
        for line, evidence in zip(lines, statement.evidence, strict=True):
            said = re.sub(r" \[\d{4}[-/0-9]*\]", "", line.split(": ", 1)[1])
            left = {said}  # after each choice of sentences, since one may begin as another one: "a.m." and "a.m. the"
            for sentence in sentences(evidence.text):
                if not sentence.endswith("?"):
                    left |= {one[len(sentence) :].lstrip() for one in left if one.startswith(sentence)}
            assert "" in left
        assert [one.time_ms for one in statement.evidence] == sorted(one.time_ms for one in statement.evidence)
    assert await distil(*turns) == statements
