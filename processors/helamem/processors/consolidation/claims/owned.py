"""Claims about what somebody calls theirs: "my boss is Kim", "our dog Rex died", "the wedding was moved to 3 July"."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from helamem.processors.consolidation.claims.claim import NO, YES, Claim
from helamem.processors.consolidation.claims.predicates import NAME
from helamem.processors.consolidation.claims.rules import Made, keeps
from helamem.processors.consolidation.claims.vocabulary import KIND, PLACE, THING
from helamem.processors.consolidation.claims.words import place, short, without_article

_Maker = Callable[[re.Match[str]], Iterable[Made]]
_MOST_WORDS = 5
_MINE = r"\b(?:[Mm]y|[Oo]ur) "
_DIED = r"(?:passed away|died|has died|has passed away|ran away|flew away|was put down|is gone)"
_DEAD = re.compile(rf"{_MINE}{KIND}(?:,? (?P<name>{NAME}),?)? {_DIED}\b")
_DEAD_BY_NAME = re.compile(rf"(?:^|[\s,])(?P<name>{NAME}) {_DIED}\b")
_ALIVE = re.compile(
    rf"{_MINE}(?:new )?{KIND}(?:,| is named| is called|['’]s name is)? (?P<name>{NAME})\b",
)
_WHO_IS = re.compile(
    rf"{_MINE}(?:new )?(?P<role>wife|husband|fianc[eé]e?|boyfriend|girlfriend)(?:,| is| is named| is called)?"
    rf" (?P<name>{NAME})(?=[\s,.!]|$)",
)
_STATUS = {"wife": "married", "husband": "married", "boyfriend": "dating", "girlfriend": "dating"}
_NO_ALLERGY = re.compile(
    r"\b(?:[Mm]y|[Tt]he) (?P<thing>[\w-]+(?: [\w-]+)?) allergy (?:is|has) (?:gone|over|disappeared|cleared)",
)
_NO_CONDITION = re.compile(r"\b[Mm]y (?P<thing>[a-z-]+(?: [a-z-]+)?) (?:is|has) (?:gone|cured|healed|disappeared)\b")
_OVER = re.compile(rf"\b(?:[Ii]t['’]s|it is) over (?:with|between)\b|\b{NAME} and I are (?:no longer together|done)\b")
_HOME_IS = re.compile(rf"(?:^|[\s,])(?:[Mm]y )?[Hh]ome is (?:now )?(?:in )?{PLACE}")
_HOME = re.compile(rf"{_MINE}(?:new )?(?:home|apartment|flat|house|place) is (?:now )?in {PLACE}")
_IS = re.compile(
    rf"{_MINE}(?:new |current )?(?P<key>(?:favou?rite )?[a-z]+(?: [a-z]+)?) (?:is|are)(?: now| called| named)*"
    rf" {THING}",
)
_ON = re.compile(
    r"\b(?:[Tt]he|[Mm]y|[Oo]ur) (?P<key>[a-z]+(?: [a-z]+)?)(?: (?:to|in|with|of|for) [\w' ]+?)? "
    r"(?:(?:is|will be|takes place) (?:now )?(?:on|at)|"
    r"(?:has been|was|got|is|has)(?: been)? (?:moved|postponed|rescheduled|pushed back|brought forward) (?:to|until))"
    r" (?P<thing>(?:the )?[\w'’:.]*\w(?: [\w'’:.]*\w){0,3})",
)
_DATE = re.compile(
    r"\d|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day|\b(?:january|february|march|april|may|june|july|august|september|"
    r"october|november|december|noon|midnight|tomorrow)\b"
)
_VAGUE = frozenset(
    """day days week weekend month year morning evening night life heart mind point thing things goal idea question
    advice hope feeling head bad guess opinion pleasure experience problem dream answer way time plan plans reason
    moment lot family friends kids eyes hands hands-down best worst turn fault""".split()
)
_NO_VALUE = frozenset(
    """that so very really quite too not still always never going getting doing being making helping all what how why
    when where if because just about as like good great nice fine bad ok okay amazing awesome awful better worse best
    busy here there gone over done back full empty coming growing looking in on at to super pretty such more""".split()
)


def _animal(value: str) -> _Maker:
    def make(match: re.Match[str]) -> Iterable[Made]:
        return keeps(value)(defaultdict(str, {name: found for name, found in match.groupdict().items() if found}))

    return make


def _when(match: re.Match[str]) -> Iterable[Made]:
    when = re.sub(r"(?<=\d)(?:st|nd|rd|th)\b", "", without_article(match["thing"]).casefold())
    known = match["key"].split()[-1] not in _VAGUE and _DATE.search(when)
    return [("when", when)] if known else []


def _what(match: re.Match[str]) -> Iterable[Made]:
    """Return what something of somebody's is, where it has a name or a number, or is a favourite."""
    key = match["key"].replace("favorite", "favourite").replace(" color", " colour")
    named = without_article(match["thing"])
    words = named.casefold().split()
    if not words or key.split()[-1] in _VAGUE or words[0] in _NO_VALUE:
        return []
    if not (key.startswith("favourite ") or named[0].isupper() or named[0].isdigit()):
        return []
    return [(key, short(named) or " ".join(words[:_MOST_WORDS]))]


_THEIRS = re.compile(r"\b(?:[Mm]y|[Oo]ur) ")
_ENDS = re.compile(r"\b(?:away|died|down|gone|over|done|together|allergy)\b")
_SET = re.compile(r"(?:is|be|place|now|moved|postponed|rescheduled|back|forward) (?:on|at|to|until) ")
_AT_HOME = re.compile(r"\b[Hh]ome\b")
_PATTERNS: tuple[tuple[re.Pattern[str], re.Pattern[str], _Maker], ...] = (
    (_THEIRS, _DEAD, _animal(NO)),
    (_THEIRS, _ALIVE, _animal(YES)),
    (_ENDS, _DEAD_BY_NAME, lambda match: [(f"pet:{match['name'].casefold()}", NO)]),
    (
        _THEIRS,
        _WHO_IS,
        lambda match: [("relationship", f"{_STATUS.get(match['role'], 'engaged')} {match['name'].casefold()}")],
    ),
    (_ENDS, _NO_ALLERGY, lambda match: [(f"allergy:{short(match['thing'])}", NO)]),
    (_THEIRS, _NO_CONDITION, lambda match: [(f"condition:{short(match['thing'])}", NO)]),
    (_ENDS, _OVER, lambda match: [("relationship", "single")]),
    (_THEIRS, _HOME, lambda match: [("home", place(match["place"]))]),
    (_AT_HOME, _HOME_IS, lambda match: [("home", place(match["place"]))]),
    (_SET, _ON, _when),
    (_THEIRS, _IS, _what),
)
"""What a sentence must have at all, which is found sooner, the pattern, and what it makes.

What one has taken of a sentence is no later one's.
"""


def owned(sentence: str, speaker: str) -> Iterator[Claim]:
    """Yield what a sentence claims of what is somebody's; of an event, it is the event's own."""
    taken: list[tuple[int, int]] = []
    has = {needed: needed.search(sentence) is not None for needed in (_THEIRS, _ENDS, _AT_HOME, _SET)}
    for needed, pattern, make in _PATTERNS:
        if not has[needed]:
            continue
        for match in pattern.finditer(sentence):
            if any(match.start() < until and since < match.end() for since, until in taken):
                continue
            for key, value in make(match):
                taken.append(match.span())
                yield Claim(match["key"] if key == "when" else speaker, key, value)
