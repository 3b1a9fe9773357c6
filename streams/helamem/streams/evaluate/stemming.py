"""The stemmer by which LoCoMo compares words (Porter, "An algorithm for suffix stripping", Program 14(3), 1980)."""

from __future__ import annotations

import re

_C = "[^aeiou](?:[^aeiouy])*"
_V = "[aeiouy](?:[aeiou])*"
_MEASURE_0 = re.compile(f"^(?:{_C})?{_V}{_C}")
_MEASURE_1 = re.compile(f"^(?:{_C})?{_V}{_C}(?:{_V})?$")
_MEASURE_2 = re.compile(f"^(?:{_C})?(?:{_V}{_C}){{2}}")
_VOWEL = re.compile(f"^(?:{_C})?{_V}")
_SHORT = re.compile(f"^{_C}[aeiouy][^aeiouwxy]$")

_STEP_2 = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("abli", "able"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
)
_STEP_3 = (
    ("icate", "ic"),
    ("ative", ""),
    ("alize", "al"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ful", ""),
    ("ness", ""),
)
_STEP_4 = (
    *"al ance ence er ic able ible ant ement ment ent".split(),
    "ion",
    *"ou ism ate iti ous ive ize".split(),
)


def stem(word: str) -> str:
    """Return the stem of a word in lower case; words of one or two letters are their own."""
    if len(word) < 3:
        return word
    first_y = word.startswith("y")  # there it is a consonant, and the patterns take it for one in upper case
    word = "Y" + word[1:] if first_y else word
    word = _replaced(_replaced(_plural(word), _STEP_2), _STEP_3)
    word = _without_residue(_without_suffix(word))
    return "y" + word[1:] if first_y else word


def _plural(word: str) -> str:
    """Steps 1a to 1c."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        word = word[:-1] if _MEASURE_0.match(word[:-3]) else word
    else:
        for ending in ("ed", "ing"):
            if word.endswith(ending) and _VOWEL.match(word[: -len(ending)]):
                word = _mended(word[: -len(ending)])
                break
    return word[:-1] + "i" if word.endswith("y") and _VOWEL.match(word[:-1]) else word


def _mended(stem_: str) -> str:
    if stem_.endswith(("at", "bl", "iz")) or _SHORT.match(stem_):
        return stem_ + "e"
    doubled = len(stem_) > 1 and stem_[-1] == stem_[-2] and stem_[-1] not in "aeiouylsz"
    return stem_[:-1] if doubled else stem_


def _replaced(word: str, endings: tuple[tuple[str, str], ...]) -> str:
    """Steps 2 and 3: of the endings the longest that fits, where something that can be said is left before it."""
    fitting = [(ending, other) for ending, other in endings if word.endswith(ending)]
    if not fitting:
        return word
    ending, other = max(fitting, key=lambda pair: len(pair[0]))
    before = word[: -len(ending)]
    return before + other if _MEASURE_0.match(before) else word


def _without_suffix(word: str) -> str:
    """Step 4."""
    fitting = [ending for ending in _STEP_4 if word.endswith(ending)]
    if not fitting:
        return word
    ending = max(fitting, key=len)
    before = word[: -len(ending)]
    if not _MEASURE_2.match(before) or (ending == "ion" and not before.endswith(("s", "t"))):
        return word
    return before


def _without_residue(word: str) -> str:
    """Step 5."""
    if word.endswith("e"):
        before = word[:-1]
        if _MEASURE_2.match(before) or (_MEASURE_1.match(before) and not _SHORT.match(before)):
            word = before
    return word[:-1] if word.endswith("ll") and _MEASURE_2.match(word) else word
