"""Scores of answers; the stems are those of Porter's own list of examples."""

from __future__ import annotations

from math import exp

import pytest

from helamem.streams.evaluate.scoring import bleu_1, f1, f1_of, f1_of_lists, words
from helamem.streams.evaluate.stemming import stem

STEMS = """
caresses caress, ponies poni, ties ti, caress caress, cats cat, feed feed, agreed agre, plastered plaster, bled bled,
motoring motor, sing sing, conflated conflat, troubled troubl, sized size, hopping hop, tanned tan, falling fall,
hissing hiss, fizzed fizz, failing fail, filing file, happy happi, sky sky, relational relat, conditional condit,
rational ration, valenci valenc, digitizer digit, conformabli conform, radicalli radic, differentli differ, vileli vile,
analogousli analog, vietnamization vietnam, predication predic, operator oper, feudalism feudal, decisiveness decis,
hopefulness hope, callousness callous, formaliti formal, sensitiviti sensit, sensibiliti sensibl, triplicate triplic,
formative form, formalize formal, electriciti electr, electrical electr, hopeful hope, goodness good, revival reviv,
allowance allow, inference infer, airliner airlin, gyroscopic gyroscop, adjustable adjust, defensible defens,
irritant irrit, replacement replac, adjustment adjust, dependent depend, adoption adopt, homologou homolog,
communism commun, activate activ, angulariti angular, homologous homolog, effective effect, bowdlerize bowdler,
probate probat, rate rate, cease ceas, controll control, roll roll, generalizations gener, oscillators oscil, yes ye,
yelling yell, by by, is is, enjoyed enjoi
"""


@pytest.mark.parametrize("pair", [one.strip() for one in STEMS.replace("\n", " ").split(",")])
def test_stems_are_porters(pair: str) -> None:
    word, expected = pair.split()
    assert stem(word) == expected


def test_words_are_compared_without_case_punctuation_articles_and_endings() -> None:
    assert words("The Mentoring-program, and a school!") == ["mentoringprogram", "school"]
    assert f1("She was painting the sunsets.", "paint a sunset") == pytest.approx(2 * 2 / (4 + 2))
    assert f1("adoption agencies", "Adoption agency") == 1
    assert f1("no idea", "Bergen") == f1("", "Bergen") == f1("Bergen", "the") == 0


def test_a_word_counts_as_often_as_it_is_wanted() -> None:
    assert f1("Bergen Bergen", "Bergen") == pytest.approx(2 / 3)


def test_a_list_is_held_against_each_part_that_is_wanted() -> None:
    """Multi-hop answers; the order does not matter, and what is missing counts as 0."""
    assert f1_of_lists("tennis, pottery", "pottery, tennis") == 1
    assert f1_of_lists("pottery", "pottery, tennis, chess, running") == 0.25
    assert f1_of("pottery", "pottery, tennis", 1) == 0.5
    assert f1_of("pottery", "pottery, tennis", 4) == pytest.approx(2 / 3)


def test_of_an_open_domain_answer_the_reason_is_not_wanted() -> None:
    assert f1_of("Likely no", "Likely no; since she hates boats", 3) == 1
    assert f1_of("Likely no", "Likely no; since she hates boats", 4) < 1


def test_bleu_is_clipped_precision_with_a_penalty_for_brevity() -> None:
    assert bleu_1("15 July 2023", "15 July 2023") == 1
    assert bleu_1("July July", "15 July 2023") == pytest.approx(0.5 * exp(1 - 3 / 2))
    assert bleu_1("it was on 15 July 2023", "15 July 2023") == 0.5
    assert bleu_1("", "15 July 2023") == 0
