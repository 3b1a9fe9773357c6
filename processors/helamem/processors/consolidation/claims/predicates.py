"""Subjects and predicates of a sentence: who, and what is said of them plainly.

Wishes, plans, memories and what depends on something else are no predicates here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

NAME = r"[A-Z][\w'’-]*\w"
_KIN = (
    r"(?:(?:older|younger|little|big|best|twin|step|ex)[ -]?)?(?:wife|husband|partner|boyfriend|girlfriend|fianc[eé]e?|"
    r"daughter|son|mother|father|mom|mum|dad|parents|sister|brother|friend|roommate|flatmate|neighbou?r|boss|colleague|"
    r"cousin|aunt|uncle|grandmother|grandfather|grandma|grandpa|niece|nephew)"
)
_WHO = re.compile(
    rf"(?:^|(?<=[\s,;:(—–\"]))(?P<who>I|[Ww]e|(?:[Mm]y|[Oo]ur) {_KIN}(?:,? {NAME},?)?|[A-Z][\w-]*\w(?<!ing))"
    r"(?=\s|['’](?:m|ve|s|re|d|ll)\b)"
)
_NOT_NAMES = frozenset(
    """he she they it you this that these those there here what who which when where why how if and but or so then
    now not no yes yeah oh well maybe everyone everybody someone nobody people the a an his her their its your one some
    all most both since because while after before until although today yesterday tomorrow also just still even life
    nothing something everything anything my our turns sounds looks seems feels hey hi hello guess news good great
    wow thanks sorry""".split()
)
_ADVERBS = frozenset(
    """just now also finally recently currently actually still already really even officially both totally absolutely
    always usually only simply all sadly happily completely truly honestly definitely lately since suddenly eventually
    mostly often newly first proudly""".split()
)
_BE = frozenset("am is are 'm 's 're ’m ’s ’re being".split())
_WAS = frozenset("was were".split())
_HAVE = frozenset("have has 've ’ve been".split())
_DO = frozenset("do does did".split())
_NOT = frozenset(
    "not never n't n’t don't don’t doesn't doesn’t isn't isn’t aren't aren’t haven't haven’t hasn't".split()
)
_OPEN = frozenset(
    """would could should might may must will shall can 'd ’d 'll ’ll had won't won’t can't can’t cannot couldn't
    wouldn't didn't didn’t wasn't weren't want wants wanted wish hope hoping plan planning going gonna used thinking
    considering trying about supposed almost nearly""".split()
)
"""What makes it a wish, a plan or long ago."""
_TAKEN_BACK = re.compile(
    r"\b(?:if|whether|unless|wish|wishes|would|could|imagine|pretend|when|whenever|hope|hoping|dream(?:ed|ing|t)?|before|"
    r"until|back when|as (?:a|soon)|thought|said that|asked|like|than|once)\b[^,;:]*$",
    re.IGNORECASE,
)
"""What stands in front of a subject in its clause and makes it depend on something."""
_TOKEN = re.compile(r"\s*(no longer\b|['’](?:m|ve|s|re|d|ll)\b|[\w'’-]+|\S)")
_BEFORE = _ADVERBS | _BE | _WAS | _HAVE | _DO | _NOT | {"no longer"}
"""What may stand before the main word."""
_ALSO = re.compile(
    r"(?:, and then|, and|, then| and then| and have| and| but| then|,) (?=(?:now |just |also )?(?:moved|relocated|"
    r"started|quit|got|adopted|broke|split|joined|switched|became|left|lost|sold|bought|works?|working|lives?|living|stopped|took|"
    r"gave|am|is|are|was|found|retired|graduated|married|engaged|no longer)\b)"
)
"""What goes on about the same subject."""
_ANY_MORE = re.compile(r"\b(?:any ?more|any longer|these days)\b")


class Predicate(NamedTuple):
    """What is said of a subject."""

    who: str
    """As it was written: "I", "my sister Lea", "Bert"."""
    is_: bool
    """Whether it is what somebody is: "am", "is", "are"."""
    was: bool
    perfect: bool
    """Whether it has come about: "have moved"."""
    negated: bool
    no_longer: bool
    """Whether it was so until now: "no longer", "not ... any more"."""
    rest: str
    """From the main word on."""

    @property
    def agrees(self) -> bool:
        """Whether its main word is a verb of today in the right person: "I like", "Bert likes"."""
        third = self.who not in ("I", "we", "We")
        return (
            self.is_ or self.was or (self.rest.partition(" ")[0].rstrip(".,!;:").endswith("s") == third or self.negated)
        )


def predicates(sentence: str) -> Iterator[Predicate]:
    """Yield what a sentence says plainly, in its order; what follows by "and" belongs to the same subject."""
    starts = [match for match in _WHO.finditer(sentence) if match["who"].casefold() not in _NOT_NAMES]
    for number, match in enumerate(starts):
        if _TAKEN_BACK.search(sentence[: match.start()]):
            continue
        after = starts[number + 1] if number + 1 < len(starts) else None
        until = after.start() if after is not None and after["who"] in ("I", "we") else None
        rest = sentence[match.end() : until]
        begins = [0, *(also.end() for also in _ALSO.finditer(rest))]
        for begin in begins:
            found = _predicate(match["who"].rstrip(","), rest[begin:])
            if found is not None:
                yield found


def _predicate(who: str, text: str) -> Predicate | None:
    """Return a predicate without what stands before its main word, or None where that makes it a wish or a plan."""
    seen: set[str] = set()
    at = 0
    while (token := _TOKEN.match(text, at)) is not None:
        word = " ".join(token[1].casefold().split())
        if word in _OPEN:
            return None
        if word not in _BEFORE or (word in ("have", "has") and _owns(text, token.end())):
            break
        seen.add(word)
        at = token.end()
    else:
        return None
    rest = text[at:].strip()
    negated = bool(seen & _NOT)
    no_longer = "no longer" in seen or (negated and _ANY_MORE.search(rest) is not None)
    return Predicate(
        who=who,
        is_=bool(seen & _BE or any(word[:2] in ("is", "ar") for word in seen & _NOT)),
        was=bool(seen & _WAS),
        perfect=bool(seen & _HAVE),
        negated=negated or no_longer,
        no_longer=no_longer,
        rest=rest,
    )


def _owns(text: str, at: int) -> bool:
    """Return whether "have" is the main word: "have a dog", and not "have moved"."""
    return re.match(r"\s+(?:an?|the|my|our|two|three|four|five|six|one|some|no|\d+|another)\b", text[at:]) is not None


def subject_of(who: str, speaker: str) -> str:
    """Return whom a predicate is about: the speaker, somebody of a name, or a relative of the speaker."""
    first, _, others = who.partition(" ")
    if first in ("I", "We", "we"):
        return speaker
    if first.casefold() not in ("my", "our"):
        return who
    name = others.rpartition(" ")[2]
    return name if name[:1].isupper() else f"{speaker}'s {others}"
