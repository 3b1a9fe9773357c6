"""The patterns: of what follows a subject, which claims it makes. Each is tried at the beginning of a predicate."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from helamem.processors.consolidation.claims.claim import NO, NONE, YES
from helamem.processors.consolidation.claims.predicates import NAME, Predicate
from helamem.processors.consolidation.claims.vocabulary import (
    FIRM,
    GIVEN,
    GOT,
    KIND,
    KINDS,
    NEW,
    PET,
    PLACE,
    QUIT,
    ROLE,
    SPORT,
    STOP,
    THING,
    TRADES,
    VERB,
    VERBING,
)
from helamem.processors.consolidation.claims.words import each, place, short

Made = tuple[str, str]
"""A key and its value."""
Groups = Mapping[str, str]
"""What the groups of a pattern found; empty for those that took no part."""
Maker = Callable[[Groups], Iterable[Made]]
_Use = Callable[[Predicate], bool]


class Rule(NamedTuple):
    """A pattern and what it makes."""

    pattern: re.Pattern[str]
    make: Maker
    fits: _Use
    """Which predicates it is for."""


def _rule(pattern: str, make: Maker, fits: _Use = lambda found: not found.was) -> Rule:
    return Rule(re.compile(rf"(?:{pattern})"), make, fits)


def _is(found: Predicate) -> bool:
    return found.is_


def _became(found: Predicate) -> bool:
    return found.is_ or found.perfect


def _any(_: Predicate) -> bool:
    return True


def _ended(found: Predicate) -> bool:
    """Somebody did it or has done it, and it was not denied."""
    return not (found.was or found.negated or found.is_)


def _now(found: Predicate) -> bool:
    """It is so in general: "I play", "Bert plays", "I don't play"."""
    return found.agrees and not (found.was or found.is_ or found.perfect)


def _each(key: str, value: str = YES) -> Maker:
    """Return a maker of a claim for each thing of a list."""
    return lambda groups: [(f"{key}:{one}", value) for one in each(groups["thing"])]


def _about(key: str, value: str = YES) -> Maker:
    return lambda groups: [(f"{key}:{about}", value)] if (about := short(groups["thing"])) else []


def _says(key: str, group: str = "thing") -> Maker:
    return lambda groups: [(key, value)] if (value := short(groups[group])) else []


def _always(*made: Made) -> Maker:
    return lambda groups: made


def _lives(groups: Groups) -> Iterable[Made]:
    return [("home", where)] if (where := place(groups["place"])) else []


def _works(groups: Groups) -> Iterable[Made]:
    """A new job ends what is not said of it: the old employer, or the old occupation."""
    made = [("occupation", short(groups["trade"])), ("employer", short(groups["firm"]))]
    if not any(value for _, value in made):
        return []
    return [(key, value or NONE) for key, value in made if value or groups["new"]]


def _is_a(groups: Groups) -> Iterable[Made]:
    words = short(groups["trade"]).split()
    if not words or words[-1] not in TRADES:
        return []
    firm = short(groups["firm"])
    return [("occupation", " ".join(words)), *([("employer", firm)] if firm else [])]


def _with(status: str) -> Maker:
    return lambda groups: [("relationship", f"{status} {groups['name'].casefold()}".strip())]


def keeps(value: str) -> Maker:
    """Return a maker of claims about an animal: by its name, and by its kind, which may be all that is said later."""

    def make(groups: Groups) -> Iterable[Made]:
        kind = groups["kind"].casefold()
        name = groups["name"].removesuffix("'s").removesuffix("’s").casefold()
        by_kind = (f"pet:{KINDS.get(kind, kind)}", value)
        if not name:
            return [by_kind]
        return [(f"pet:{name}", value), *([by_kind] if value == YES else [])]

    return make


def _lost(groups: Groups) -> Iterable[Made]:
    return [(f"pet:{groups['name'].casefold()}", NO)]


def _does(value: str) -> Maker:
    """Return a maker of a claim about what somebody does again and again: "plays tennis", "gave up tennis"."""

    def make(groups: Groups) -> Iterable[Made]:
        what = short(groups["thing"]) or groups["verb"].casefold()
        return [(f"does:{what}", value)] if what and what not in _IDLE else []

    return make


def _goes_to(groups: Groups) -> Iterable[Made]:
    subject = short(groups["thing"])
    where = place(groups["place"])
    return [(key, value) for key, value in (("studies", subject), ("school", where)) if value]


def _switches(groups: Groups) -> Iterable[Made]:
    old, new = short(groups["thing"]), short(groups["other"])
    return [(f"uses:{old}", NO), (f"uses:{new}", YES)] if old and new else []


_IDLE = frozenset("do doing go going practice practise practicing practising learning".split())
"""Verbs that say nothing of what is done."""

RULES: tuple[Rule, ...] = (
    # Where somebody lives.
    _rule(
        r"(?:moved|relocated|emigrated)(?: (?:back|over|down|up|out|away|house|here))*(?: from .+?)?(?: back)? to "
        rf"{PLACE}",
        _lives,
        _ended,
    ),
    _rule(rf"(?:settled|settled down) in {PLACE}", _lives, _ended),
    _rule(rf"(?:bought|rented|found) an? (?:\w+ )?(?:house|flat|apartment|place|home) in {PLACE}", _lives, _ended),
    _rule(
        r"(?:lives?|living|based)(?: with [\w ]+?)? in (?:an? (?:\w+ )?(?:room|flat|apartment|house|place|studio) in )?"
        rf"{PLACE}",
        _lives,
    ),
    _rule(
        r"(?:moved|living|lives?)(?: back)?(?: in)? with (?P<thing>(?:my |our )?\w+)",
        lambda groups: [("home", f"with {who}")] if (who := short(groups["thing"])) else [],
    ),
    # What somebody works as, and for whom.
    _rule(rf"(?:works?|working) {ROLE}(?: {FIRM})?{STOP}", _works),
    _rule(rf"(?:works?|working) {FIRM}", _works),
    _rule(
        rf"(?:got|gotten|landed|found|started|starts?|took|accepted|began|have|has) {NEW} (?=as|at|for|with)"
        rf"(?:{ROLE})?(?: ?{FIRM})?{STOP}",
        _works,
    ),
    _rule(rf"(?P<new>started|joined up) {ROLE}(?: {FIRM})?{STOP}", _works, _ended),
    _rule(r"promoted to (?:an? |the )?(?P<thing>[a-z][\w -]*)", _says("occupation"), lambda found: not found.negated),
    _rule(
        rf"(?:became |become )?(?:an? )(?P<trade>[a-z]+(?: [a-z]+){{0,2}}?)(?: {FIRM})?{STOP}",
        _is_a,
        lambda found: not found.was,
    ),
    _rule(
        r"(?:quit|left|lost|resigned from) (?:my|the|his|her|their) (?:old )?(?:job|position)",
        _always(("employer", NONE), ("occupation", NONE)),
        _ended,
    ),
    _rule(
        r"(?:got )?(?:laid off|fired|let go|made redundant|unemployed|out of work|between jobs)\b",
        _always(("employer", NONE), ("occupation", NONE)),
        lambda found: not found.negated,
    ),
    _rule(r"retired\b", _always(("employer", NONE), ("occupation", "retired")), lambda found: not found.was),
    # Whom somebody is with.
    _rule(rf"with (?P<name>{NAME}) now\b", _with("dating"), _is),
    _rule(rf"(?:got |gotten )?married(?: to)? (?P<name>{NAME})", _with("married")),
    _rule(rf"(?:got |gotten )?engaged to (?P<name>{NAME})", _with("engaged")),
    _rule(
        rf"(?:started )?(?:dating|seeing|going out with) (?:(?:an?|some) \w+ (?:named|called) )?(?P<name>{NAME})",
        _with("dating"),
    ),
    _rule(r"(?:got |gotten )?married\b(?! (?:for|couple|life))", _with("married")),
    _rule(r"(?:got |gotten )?engaged\b(?! (?:in|with))", _with("engaged")),
    _rule(r"(?:broke|broken|split) up\b(?! into)", _always(("relationship", "single")), _ended),
    _rule(
        r"(?:got |gotten )?(?:divorced|separated|single)\b(?!-| (?:\w+ )?(?:time|day|one|item|parent))",
        _always(("relationship", "single")),
        lambda found: not found.negated,
    ),
    _rule(
        r"(?:divorced|left) (?:my|his|her) (?:husband|wife|partner|boyfriend|girlfriend)",
        _always(("relationship", "single")),
        _ended,
    ),
    # Animals.
    _rule(rf"{GOT} (?:an?|another|two|three) {KIND}s?,?(?: named| called)? (?P<name>{NAME})", keeps(YES)),
    _rule(rf"{GOT} (?:an?|another) {KIND}\b(?! (?:food|park|toy|bed|show|shelter|sitter|walker))", keeps(YES)),
    _rule(rf"(?:{GIVEN}|had to (?:rehome|put down|give away|say goodbye to)) {PET}", keeps(NO)),
    _rule(rf"(?:gave|put) (?:my|our) {KIND}(?:,? (?P<name>{NAME}))? (?:away|down|to)\b", keeps(NO)),
    _rule(rf"{GIVEN} (?P<name>{NAME}){STOP}", _lost, _ended),
    # Allergies, illnesses, what somebody eats.
    _rule(rf"(?:severely |very |badly |mildly |become |became )*allergic to {THING}", _each("allergy"), _any),
    _rule(
        r"(?:have|has|got|developed) an? (?:severe |bad |mild |new )?(?P<thing>[\w-]+(?: [\w-]+)?) allergy",
        _about("allergy"),
    ),
    _rule(
        r"(?:outgrew|outgrown|got rid of|overcame|overcome) (?:my|his|her|the|their) "
        r"(?P<thing>[\w-]+(?: [\w-]+)?) allergy",
        _about("allergy", NO),
        _ended,
    ),
    _rule(
        r"diagnosed with (?P<thing>[\w'’-]+(?: [\w'’-]+){0,2})", _about("condition"), lambda found: not found.negated
    ),
    _rule(
        r"(?:recovered from|got(?:ten)? over|beat(?:en)?) (?:my |the )?(?P<thing>[\w'’-]+(?: [\w'’-]+){0,2})",
        _about("condition", NO),
        _ended,
    ),
    _rule(
        r"(?:became |become |turned |went |gone )?(?:an? |the )?(?:strict |full-time )?"
        r"(?P<thing>vegan|vegetarian|pescatarian|flexitarian|keto|gluten-free)\b"
        r"(?! (?:food|restaurant|recipe|dish|caf|option|meal|cook))",
        _says("diet"),
    ),
    _rule(rf"{QUIT} being (?:an? )?(?:vegan|vegetarian|pescatarian)\b", _always(("diet", NONE)), _ended),
    _rule(r"(?:eats?|eating|started eating|started to eat) meat again", _always(("diet", NONE))),
    _rule(rf"{QUIT} (?:eating )?meat\b", _always(("diet", "vegetarian")), _ended),
    # What somebody likes.
    _rule(rf"(?:like|love|enjoy|adore)s? {THING}", _about("likes"), _now),
    _rule(rf"(?:hate|dislike|detest)s? {THING}", _about("likes", NO), _now),
    _rule(rf"(?:into|an? (?:big |huge )?fan of|fond of|keen on) {THING}", _about("likes"), _is),
    _rule(
        rf"(?:lost interest in|gone off|went off|fallen out of love with|(?:got|grown|grew) tired of) {THING}",
        _about("likes", NO),
        lambda found: not found.negated,
    ),
    _rule(
        rf"(?:(?:come|came|started|learned|grown|grew) to (?:like|love|enjoy)|f[ae]ll(?:en)? in love with) {THING}",
        _about("likes"),
    ),
    # What somebody studies, and where.
    _rule(
        r"(?:goes?|go|transferred|enrolled|a student) (?:to|at|in) (?P<place>(?:the )?[A-Z][\w’. -]*?"
        r"(?:University|College|Academy)(?: of [A-Z]\w+)?)",
        _goes_to,
    ),
    _rule(
        rf"(?:switched|changed) (?:my |his |her )?(?:major|degree|studies|course)(?: from [\w ]+?)? to {THING}",
        _says("studies"),
        _ended,
    ),
    _rule(
        rf"(?:study|studies|studying|majors? in|majoring in|(?:started|began|begun) (?:studying|to study)) "
        rf"(?!at|for|in|abroad|hard)(?P<thing>[\w-]+(?: (?!at)[\w-]+){{0,3}}?)(?: at {PLACE})?{STOP}",
        _goes_to,
    ),
    _rule(
        r"(?:graduated|finished (?:my|his|her) (?:degree|studies)|dropped out)\b",
        _always(("studies", NONE), ("school", NONE)),
        _ended,
    ),
    # What somebody does again and again, and what they gave up.
    _rule(rf"{QUIT} {VERBING}(?: (?:the )?{THING})?", _does(NO), _ended),
    _rule(
        rf"{QUIT} (?:the )?(?!my|his|her|it|on|trying|being)(?P<thing>[a-z][\w-]+(?: [\w-]+)?){STOP}", _does(NO), _ended
    ),
    _rule(rf"(?:started|began|begun|took up|taken up|back to|got back to) {VERBING}(?: (?:the )?{THING})?", _does(YES)),
    _rule(rf"(?:took|taken|picked) up (?:the )?{THING}", _does(YES)),
    _rule(rf"(?:does|do|goes|go|practi[cs]es?|doing) (?:to )?{SPORT}", _does(YES)),
    _rule(rf"{VERB}e?s? (?:the )?{THING}", _does(YES), _now),
    _rule(
        rf"(?P<verb>smoke|drink|swim|run|meditate)s?{STOP}", _does(YES), lambda found: not found.was and not found.is_
    ),
    # What somebody belongs to and pays for.
    _rule(rf"joined {THING}", _about("member"), _ended),
    _rule(
        r"(?:left|quit|dropped out of) (?P<thing>(?:the |my |our )[\w'’-]+(?: [\w'’-]+){0,2}? "
        r"(?:club|team|band|choir|group|gym|class|church|party|board|society|league)|"
        r"(?:the |my )(?:choir|band|club|gym|team))",
        _about("member", NO),
        _ended,
    ),
    _rule(
        r"(?:cancell?ed|ended) (?:my|our|the|his|her) (?P<thing>[\w'’-]+(?: [\w'’-]+){0,2}?) "
        r"(?:membership|subscription)",
        _about("subscription", NO),
        _ended,
    ),
    _rule(r"subscribed? to (?P<thing>[\w'’-]+(?: [\w'’-]+){0,2})", _about("subscription")),
    _rule(
        r"(?:have|has|got|bought) an? (?P<thing>[\w'’-]+(?: [\w'’-]+){0,2}?) (?:membership|subscription)",
        _about("subscription"),
    ),
    # What somebody is and has.
    _rule(rf"drives? an? {THING}", _says("car")),
    _rule(
        rf"(?:traded in|replaced|swapped) (?:my|our|his|her|the) (?:old )?[\w ]+? (?:for|with|by) an? {THING}",
        _says("car"),
    ),
    _rule(r"sold (?:my|our|his|her|the) (?:old )?(?:car|van|truck)\b", _always(("car", NONE)), _ended),
    _rule(r"turned (?P<thing>\d{1,3})\b", _says("age"), _ended),
    _rule(r"(?P<thing>\d{1,3}) years old", _says("age"), _is),
    _rule(
        r"(?:have|has) (?P<thing>one|two|three|four|five|six|\d{1,2}) (?:kids|children|child|kid)\b", _says("children")
    ),
    _rule(r"changed (?:my|his|her) (?:last |first |family )?name to (?P<thing>[A-Z][\w'’-]+)", _says("name"), _ended),
    _rule(r"goe?s? by (?:the name )?(?P<thing>[A-Z][\w'’-]+)", _says("name")),
    _rule(
        r"(?:switched|changed) (?:over )?from (?P<thing>[\w'’+#-]+(?: [\w'’+#-]+)?) "
        r"to (?P<other>[\w'’+#-]+(?: [\w'’+#-]+)?)",
        _switches,
        _ended,
    ),
    _rule(rf"uses? (?P<thing>[\w'’+#-]+(?: [\w'’+#-]+)?){STOP}", _about("uses")),
    _rule(rf"speaks? {THING}", _each("speaks")),
)
"""Of those that match at one place the first counts."""
ANY = re.compile("|".join(re.sub(r"\(\?P<\w+>", "(?:", rule.pattern.pattern) for rule in RULES))
"""Whether any of them can match: most predicates are none of theirs."""
