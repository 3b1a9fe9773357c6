"""Learning of pairs: `pairs.jsonl` was written by hand, and nothing of the ranking was changed for it.

Each pair's question is answered by two memories, and the second has no content word in common with it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from helamem.processors.encoding.keywords import keywords
from helamem.streams.evaluate.pairs import evaluate_pairs, read_pairs

FILE = Path(__file__).parent / "pairs.jsonl"
_LETTERS = 4
"""From which two words count as the same, whatever their endings."""


def stems(text: str) -> set[str]:
    """Return the beginnings of all content words of a text."""
    sentences = re.split(r"[,.?!:;]", text)  # so that none is left out for being one too many
    return {word[:_LETTERS] for sentence in sentences for word in keywords(sentence.lower())}


def test_no_second_memory_shares_a_word_with_its_question() -> None:
    """The first does, and the question that is asked in use shares words with both."""
    pairs = read_pairs(FILE).pairs
    assert len(pairs) >= 50
    for pair in pairs:
        assert not stems(pair.question) & stems(pair.second.text), pair.question
        assert stems(pair.question) & stems(pair.first.text), pair.question
        assert stems(pair.together) & stems(pair.first.text), pair.together
        assert stems(pair.together) & stems(pair.second.text), pair.together


@pytest.mark.slow
async def test_a_pair_that_was_used_together_is_found_together() -> None:
    """Used once, the second memory is there next time; other questions lose nothing, and without the gate it is not."""
    rules = (await evaluate_pairs(FILE))["rules"]
    second = rules["helamem"]["second"]
    assert second["before@10"] < 0.3
    assert second["after@10"] > 0.9
    assert second["gain"]["low"] > 0.5
    for which in ("first", "others"):
        assert rules["helamem"][which]["gain"]["difference"] >= -0.005
    for without_gate in ("ungated", "paper"):
        assert rules[without_gate]["second"]["gain"]["high"] < second["gain"]["low"]
