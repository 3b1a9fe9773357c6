"""Claims read from a text: plain patterns of English, no model, and nothing from questions, wishes or plans.

It is general on purpose and misses much; what it does find must be said plainly. Where a claim is missed, recall still
has the turn itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from helamem.processors.consolidation.claims.claim import NO, NONE, YES, Claim, Slot
from helamem.processors.consolidation.claims.owned import owned
from helamem.processors.consolidation.claims.predicates import Predicate, predicates, subject_of
from helamem.processors.consolidation.claims.rules import ANY, RULES, Made
from helamem.processors.consolidation.claims.telling import may_claim
from helamem.processors.consolidation.sentences import sentences

_MOST_CHARACTERS = 2000
"""Of one text that are read."""
_SHORTEST = 8
_OPPOSITE = {YES: NO, NO: YES}


def claims(text: str, speaker: str) -> Iterator[tuple[str, Claim]]:
    """Yield what a text claims, in its order and each with its sentence; of each slot the last one there counts.

    Args:
        text: What was said.
        speaker: Who said it: "I" and "we".
    """
    read = text[:_MOST_CHARACTERS]
    if not may_claim(read):
        return
    whole = sentences(read)
    for sentence in whole:
        if len(sentence) < _SHORTEST or sentence.endswith("?"):
            continue
        if len(whole) == 1 or may_claim(sentence):
            yield from ((sentence, claim) for claim in _sentence(sentence, speaker).values())


def _sentence(sentence: str, speaker: str) -> dict[Slot, Claim]:
    made: dict[Slot, Claim] = {}
    for claim in owned(sentence, speaker):
        made[claim.slot] = claim
    for predicate in predicates(sentence):
        for key, value in _of(predicate):
            claim = Claim(subject_of(predicate.who, speaker), key, value)
            made[claim.slot] = claim
    return made


def _of(predicate: Predicate) -> list[Made]:
    """Return what a predicate claims: of the rules that fit the first, turned round where it is negated."""
    if not ANY.match(predicate.rest):
        return []
    for rule in RULES:
        if rule.fits(predicate) and (match := rule.pattern.match(predicate.rest)):
            groups = defaultdict(str, {name: value for name, value in match.groupdict().items() if value})
            made = list(rule.make(groups))
            if made and predicate.negated:
                made = [turned for one in made if (turned := _negated(one, predicate)) is not None]
            if made:
                return made
    return []


def _negated(made: Made, predicate: Predicate) -> Made | None:
    """Return the opposite; "I don't live in Bergen" says nothing of where, "no longer" says that it is over."""
    key, value = made
    if value in _OPPOSITE:
        return key, _OPPOSITE[value]
    return (key, NONE) if predicate.no_longer and value != NONE else None
