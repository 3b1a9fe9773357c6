"""Words brought to one form, so that `hiking in the hills` and `hikes` name the same thing."""

from __future__ import annotations

import re

_MOST_WORDS = 5
"""Of a value, or of what a key is about."""
_CUT = re.compile(
    r"[,;:!?(\"]|\s[-–—]|(?:^|\s)(?:and|but|because|since|so|with|without|where|which|who|that|after|before|when|while|whenever|though|"
    r"although|until|unless|if|as|at|in|on|for|from|to|near|by|last|this|next|every|ago|yesterday|today|tonight|"
    r"tomorrow|now|again|recently|lately|too|also|any|anymore|these|right|already|instead|either|still|over|then|than|"
    r"really|always|together|more|most|very|much|a lot|is|are|was|were|has|have|had|or|during|about|around|like|"
    r"myself|ourselves|once|twice|all|of late)(?=[\s,;:!?]|$)",
    re.IGNORECASE,
)
"""What begins something else."""
_ARTICLES = re.compile(r"^(?:(?:an?|the|my|our|his|her|their|some|any|new|to|of)\s+)+", re.IGNORECASE)
_NOTHING = frozenset(
    "it that this them him her you me us there one things stuff what how being doing everything".split()
)
_POINTS = frozenset("it that this them him her you me us there what how not being having both".split())
"""Those that point at something else, whatever follows."""
_PUNCTUATION = " .,;:!?'’\"()"


def without_article(text: str) -> str:
    """Return a text without articles and possessives in front and punctuation around."""
    return _ARTICLES.sub("", text.strip(_PUNCTUATION)).strip(_PUNCTUATION)


def short(text: str | None) -> str:
    """Return what is named in lower case: the first few words up to one that begins something else, or nothing."""
    words = without_article(text or "")
    if cut := _CUT.search(words):
        words = words[: cut.start()]
    kept = " ".join(words.split()[:_MOST_WORDS]).strip(_PUNCTUATION).casefold()
    first, _, others = kept.partition(" ")
    return "" if first in _NOTHING and (not others or first in _POINTS) else kept


def place(text: str) -> str:
    """Return the name of a place in lower case."""
    return re.sub(r"^(?:the|an?) ", "", text.strip(_PUNCTUATION)).removesuffix("'s").removesuffix("’s").casefold()


def stem(word: str) -> str:
    """Return a word without the endings of English: `hiking` and `hike`, `nuts` and `nut` are the same."""
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if len(word) > 5 and word.endswith("ing"):
        word = word[:-3]
        return word[:-1] if word[-1] == word[-2] and word[-1] not in "aeiouls" else word
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def each(text: str | None) -> list[str]:
    """Return the things of a short list such as "peanuts, cashews and shellfish"."""
    parts = re.split(r"\s*(?:,|\band\b|\bor\b|&)\s*", (text or "").strip())
    return list(dict.fromkeys(found for part in parts[:4] if (found := short(part))))
