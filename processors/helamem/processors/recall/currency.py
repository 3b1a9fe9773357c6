"""What still holds before what was superseded, among the turns that a recall found.

What a turn claims, such as "we moved to Bergen", was read when it was encoded. Of what turns claim of one slot the
newest holds; where an older one scored higher, the two change places, and both stay in the answer. What holds of that
which is asked about, such as where somebody lives, deserves some more. A question about the past is left as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import NO, NONE, YES, Claim, Slot, slot_of
from helamem.processors.consolidation.claims.kinds import Kind, kinds_asked, words_for
from helamem.processors.consolidation.validity import End, Stated, current_of, ends
from helamem.processors.recall.ranking import names
from helamem.processors.store.port import FactRecord, Turn

_MOST_SLOTS = 4
"""Of the best turns for which newer statements are looked up."""
_WORD = re.compile(r"\w+")
_YES_OR_NO = re.compile(r"\s*(?:is|are|am|does|do|has|have|can)\b", re.IGNORECASE)
_PAST = re.compile(
    r"\b(?:before|previous(?:ly)?|former(?:ly)?|used to|originally|back then|at first|earlier|in the past|ago|"
    r"(?:my|his|her|their|our|'s|’s|the) (?:old|first|last|ex))\b",
    re.IGNORECASE,
)


class Asked(NamedTuple):
    """A question, as far as it matters here."""

    query: str
    as_of_ms: int
    """The moment at which it must hold."""


def words_anew(query: str, claims: Iterable[Claim]) -> str:
    """Return the words in which what is asked about may have been said anew; empty where nothing changes.

    Args:
        query: The question.
        claims: Of the best turns that were found.
    """
    if asks_about_the_past(query):
        return ""
    slots = list(dict.fromkeys(claim.slot for claim in claims))[:_MOST_SLOTS]
    said = [kind.said for kind in kinds_asked(query)] + [words_for(slot) for slot in slots]
    return " ".join(dict.fromkeys(word for words in said for word in words.split()))


def concerning(query: str, best: Iterable[Claim], found: Mapping[str, Iterable[Claim]]) -> list[str]:
    """Return the ids of those found turns that say something of what the best ones or the question are about.

    Args:
        query: The question.
        best: What the best turns claim.
        found: What each turn claims, by its id.
    """
    slots = {claim.slot for claim in best}
    kinds = kinds_asked(query)
    return [
        id_
        for id_, claims in found.items()
        if any(claim.slot in slots or _is_asked(claim, kinds, query) for claim in claims)
    ]


def preferring(scores: Mapping[str, float], turns: Iterable[Turn], asked: Asked, more: float) -> dict[str, float]:
    """Return the scores so that of each slot what holds is before what held.

    Args:
        scores: By the turn's id.
        turns: That were found.
        asked: The question.
        more: What is added where a turn says what holds of that which is asked about.
    """
    adjusted = dict(scores)
    if asks_about_the_past(asked.query):
        return adjusted
    stated = [
        (turn.id, claim, Stated(f"{turn.id} {n}", claim.slot, claim.value, turn.time_ms, (turn.turn,)))
        for turn in turns
        for n, claim in enumerate(turn.claims)
        if turn.time_ms <= asked.as_of_ms
    ]
    ended = ends((one for _, _, one in stated), asked.as_of_ms)
    kinds = kinds_asked(asked.query)
    past: dict[Slot, set[str]] = {}
    present: dict[Slot, set[str]] = {}
    deserving: set[str] = set()
    for id_, claim, one in stated:
        if one.id not in ended:
            present.setdefault(claim.slot, set()).add(id_)
            if _is_asked(claim, kinds, asked.query):
                deserving.add(id_)
        elif not names_value(asked.query, one.value):
            past.setdefault(claim.slot, set()).add(id_)
    for id_ in deserving:
        adjusted[id_] += more
    for slot, holding in present.items():
        outdated = past.get(slot, set()) - holding
        if not outdated:
            continue
        old, new = (max(sorted(ids), key=lambda id_: adjusted[id_]) for ids in (outdated, holding))
        if adjusted[old] > adjusted[new]:
            adjusted[old], adjusted[new] = adjusted[new], adjusted[old]
    return adjusted


def rank_facts(
    scores: Mapping[str, float], known: Mapping[str, FactRecord], over: Mapping[str, End]
) -> list[tuple[str, float]]:
    """Return facts best first: what holds before what does not, and of what says the same the best only.

    What holds in the place of a fact that was found is found with it, whatever words it has.

    Args:
        scores: By id of those that were found.
        known: These, and the others of their slots.
        over: Which of them hold no longer.
    """
    best = dict(scores)
    for id_, score in scores.items():
        current = current_of(id_, over)
        if current in known:
            best[current] = max(score, best.get(current, score))
    said: set[tuple[Slot, str]] = set()
    ranked = []
    for id_, score in sorted(best.items(), key=lambda one: (one[0] in over, -one[1], one[0])):
        fact = known[id_]
        claim = (slot_of(fact.subject, fact.key), fact.value)
        if fact.key and claim in said:
            continue
        said.add(claim)
        ranked.append((id_, score))
    return ranked


def asks_about_the_past(query: str) -> bool:
    """Return whether a question asks for what held earlier, by plain words such as "before" and "used to"."""
    return _PAST.search(query) is not None


def names_value(query: str, value: str) -> bool:
    """Return whether a question is about one value, whether it still holds or not: "when did she move to Bergen?".

    What can be answered by yes or no, "does she live in Bergen?", asks for what holds.
    """
    if _YES_OR_NO.match(query):
        return False
    asked = {word.casefold() for word in _WORD.findall(query)}
    return value not in (YES, NO, NONE) and any(len(word) > 2 and word in asked for word in _WORD.findall(value))


def _is_asked(claim: Claim, kinds: Iterable[Kind], query: str) -> bool:
    return any(claim.key.partition(":")[0] in kind.keys for kind in kinds) and names(query, claim.subject)
