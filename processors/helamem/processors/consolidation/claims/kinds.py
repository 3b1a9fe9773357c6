"""What people ask about what can change, and in which words it is said: so that a question finds the newest statement.

"Where does she live?" shares no word with "we have settled in Bergen". The words are those of everyday English.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import Slot


class Kind(NamedTuple):
    """Keys that are asked about and spoken of in the same words."""

    keys: frozenset[str]
    """What stands in front of a key's colon."""
    asked: frozenset[str]
    """Words of a question."""
    said: str
    """Words of a statement."""


def _kind(keys: str, asked: str, said: str) -> Kind:
    return Kind(frozenset(keys.split()), frozenset(asked.split()), said)


KINDS = (
    _kind(
        "home",
        "live lives living lived reside resides based home moved move city town address",
        "live living moved settled based relocated home house flat apartment",
    ),
    _kind(
        "employer occupation",
        "work works working worked job jobs profession employed employer company occupation career",
        "work working job position company quit resigned retired laid fired promoted started became",
    ),
    _kind(
        "relationship",
        "relationship partner married single dating engaged boyfriend girlfriend husband wife spouse seeing divorced",
        "relationship married engaged dating seeing single broke split divorced boyfriend girlfriend husband wife",
    ),
    _kind(
        "pet",
        "pet pets animal animals dog dogs cat cats rabbit hamster hamsters parrot bird horse",
        "pet dog cat rabbit hamster parrot adopted named called died passed away",
    ),
    _kind("allergy", "allergic allergy allergies", "allergic allergy"),
    _kind("condition", "diagnosed illness disease suffer condition health sick", "diagnosed recovered gone doctor"),
    _kind("diet", "vegan vegetarian diet meat eat eats", "vegan vegetarian pescatarian meat eat diet"),
    _kind(
        "studies school",
        "study studying studies major majoring degree course university school college student",
        "studying study major degree course university college graduated switched enrolled",
    ),
    _kind("car", "car drive drives vehicle", "car drive drives sold traded"),
    _kind("age", "old age", "years old turned"),
    _kind("children", "kids children", "kids children baby"),
    _kind("name", "name called", "name call go by"),
    _kind("speaks", "language languages speak speaks", "speak speaks language"),
    _kind(
        "does",
        "sport sports hobby hobbies instrument play plays exercise",
        "play practise started stopped quit took up",
    ),
    _kind("member", "member club clubs team choir band", "joined left club team choir band"),
)
_WORD = re.compile(r"[^\W_]+")


def kinds_asked(question: str) -> list[Kind]:
    """Return the kinds that a question asks about, by its words."""
    words = {word.casefold() for word in _WORD.findall(question)}
    return [kind for kind in KINDS if words & kind.asked]


def words_for(slot: Slot) -> str:
    """Return the words in which something else may have been said of a slot."""
    subject, key = slot
    kind, _, about = key.partition(":")
    said = next((one.said for one in KINDS if kind in one.keys), "" if about else key)
    return f"{subject} {about or said}" if about else f"{subject} {said}"
