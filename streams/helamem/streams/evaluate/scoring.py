"""How well an answer's words are those that were wanted: F1 as LoCoMo has it, and BLEU-1.

Words are compared as LoCoMo's own evaluation does (Maharana et al., ACL 2024, `task_eval/evaluation.py`): lower case,
without punctuation, without a, an, the and and, by their stems. F1 is that of the two bags of words. An answer to a
multi-hop question is a list: each wanted part is held against the part of the answer that fits it best, and the mean
counts. Of an open-domain answer only what stands before the first semicolon is wanted.

BLEU-1 (Papineni et al., ACL 2002) is the clipped share of the answer's words among the wanted ones, times the brevity
penalty; words are normalised likewise but not stemmed.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from math import exp

from helamem.streams.evaluate.stemming import stem

MULTI_HOP, OPEN_DOMAIN = 1, 3

_ARTICLES = re.compile(r"\b(?:a|an|the|and)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def words(text: str) -> list[str]:
    """Return the words of an answer, normalised."""
    return _ARTICLES.sub(" ", text.lower().translate(_WITHOUT_PUNCTUATION)).split()


def f1(answer: str, wanted: str) -> float:
    """Return the F1 of two bags of stems, 0 where they share none."""
    given, gold = ([stem(word) for word in words(text)] for text in (answer, wanted))
    shared = sum((Counter(given) & Counter(gold)).values())
    return 2 * shared / (len(given) + len(gold)) if shared else 0.0


def f1_of_lists(answer: str, wanted: str) -> float:
    """Return the mean F1 of the wanted parts, which commas separate, with the parts of the answer that fit best."""
    parts = wanted.split(",")
    return sum(max(f1(one, part) for one in answer.split(",")) for part in parts) / len(parts)


def f1_of(answer: str, wanted: str, category: int) -> float:
    """Return the F1 of an answer to a question of one of LoCoMo's categories 1 to 4."""
    return f1_of_lists(answer, wanted) if category == MULTI_HOP else f1(answer, gold_of(wanted, category))


def gold_of(wanted: str, category: int) -> str:
    """Return what is wanted of an answer."""
    return wanted.split(";", maxsplit=1)[0].strip() if category == OPEN_DOMAIN else wanted


def bleu_1(answer: str, wanted: str) -> float:
    """Return BLEU with single words only: clipped precision times min(1, exp(1 − wanted / given))."""
    given, gold = words(answer), words(wanted)
    if not given:
        return 0.0
    clipped = sum((Counter(given) & Counter(gold)).values())
    return clipped / len(given) * min(1.0, exp(1 - len(gold) / len(given)))
