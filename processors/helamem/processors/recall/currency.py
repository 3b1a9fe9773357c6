"""What still holds before what was superseded, among the turns that a recall found.

Turns are read for claims such as "we moved to Bergen". Of what turns claim of one slot the newest holds; where an older
one scored higher, the two change places, and both stay in the answer. What holds of that which is asked about, such as
where somebody lives, deserves some more. A question about the past is left as it is.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import NO, NONE, YES, Claim, Slot, slot_of
from helamem.processors.consolidation.claims.kinds import Kind, kinds_asked, words_for
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.consolidation.validity import End, Stated, current_of, ends
from helamem.processors.recall.ranking import names
from helamem.processors.store.port import FactRecord, Turn

_KEPT = 200_000
"""Turns of which is known what they claim, some 150 bytes each; others are read again."""
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


class Currency:
    """Knows what turns claim; it remembers some of them, since the words of a turn never change."""

    def __init__(self) -> None:
        self._claims: OrderedDict[str, tuple[Claim, ...]] = OrderedDict()

    def of(self, turn: Turn) -> tuple[Claim, ...]:
        """Return what a turn claims."""
        found = self._claims.pop(turn.id, None)
        if found is None:
            found = tuple(claims(turn.text, turn.speaker))
        self._claims[turn.id] = found
        if len(self._claims) > _KEPT:
            self._claims.popitem(last=False)
        return found

    def unknown(self, turn_ids: Iterable[str]) -> list[str]:
        """Return those turns of which is not known what they claim."""
        return [id_ for id_ in turn_ids if id_ not in self._claims]

    def words(self, query: str, best_ids: Iterable[str]) -> str:
        """Return the words in which what is asked about may have been said anew; empty where nothing changes.

        Args:
            query: The question.
            best_ids: Of the turns that were found, best first.
        """
        if asks_about_the_past(query):
            return ""
        known = (self._claims.get(id_, ()) for id_ in best_ids)
        slots = list(dict.fromkeys(claim.slot for found in known for claim in found))[:_MOST_SLOTS]
        said = [kind.said for kind in kinds_asked(query)] + [words_for(slot) for slot in slots]
        return " ".join(dict.fromkeys(word for words in said for word in words.split()))

    def concerning(self, query: str, best: Iterable[Turn], found: Iterable[Turn]) -> list[str]:
        """Return the ids of those found turns that say something of what the best ones or the question are about."""
        slots = {claim.slot for turn in best for claim in self.of(turn)}
        kinds = kinds_asked(query)
        return [
            turn.id
            for turn in found
            if any(claim.slot in slots or _is_asked(claim, kinds, query) for claim in self.of(turn))
        ]

    def preferring(
        self, scores: Mapping[str, float], turns: Iterable[Turn], asked: Asked, more: float
    ) -> dict[str, float]:
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
            for n, claim in enumerate(self.of(turn))
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
