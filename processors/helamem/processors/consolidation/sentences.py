"""Whole sentences of a text: a full stop in an abbreviation, a number or an address ends none."""

from __future__ import annotations

import re

_SENTENCE = re.compile(r"[^.!?…]+(?:[.!?…]+(?=\S)[^.!?…]+)*[.!?…]*[\"')\]]*")
_GOES_ON = re.compile(
    r"(?:^|[\s(\"'])(?:Dr|Mr|Mrs|Ms|Prof|St|Mt|vs|e\.g|i\.e|approx|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|[A-Z])\.$"
)
"""What a full stop of its own stands behind, whatever comes next."""
_MAY_GO_ON = re.compile(r"(?:^|[\s(\"'])(?:etc|Jr|Sr|Inc|Ltd|Co|Corp|Ave|Rd|(?:[A-Za-z]\.)+[A-Za-z])\.$")
"""What may end a sentence too: "5 p.m." does before a capital letter."""
_NUMBER = re.compile(r"(?:^|\s)[Nn]o\.$")
_WORDS = re.compile(r"[\w'-]+")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each whole and with its punctuation."""
    whole: list[str] = []
    for found in _SENTENCE.findall(text):
        if whole and (_is_cut(whole[-1], found) or not _WORDS.search(found)):
            whole[-1] = f"{whole[-1]}{found}".strip()
        elif found.strip():
            whole.append(found.strip())
    return whole


def _is_cut(before: str, after: str) -> bool:
    """Return whether the full stop between two pieces of text ends no sentence."""
    following = after.lstrip()[:1]
    return bool(
        _GOES_ON.search(before)
        or (_MAY_GO_ON.search(before) and not following.isupper())
        or (_NUMBER.search(before) and following.isdigit())
    )
