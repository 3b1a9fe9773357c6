"""Words without which no pattern can match: most sentences hold none, and then nobody has to try a hundred of them.

A pattern whose own words are too common stands here with what else must be there: "my" alone says little, "my" and "is"
may claim something.
"""

from __future__ import annotations

import re

from helamem.processors.consolidation.claims.vocabulary import TRADES

_WORD = re.compile(r"\w+")
_KINDS = """dog puppy cat kitten rabbit bunny hamster pig parrot budgie canary bird fish goldfish turtle tortoise snake
    lizard gecko horse pony ferret rat mouse chicken goat labrador poodle beagle terrier retriever shepherd corgi
    dachshund husky""".split()
_VERBS = """play sing paint draw ride collect bake knit smoke drink eat swim surf climb dance speak run teach coach
    volunteer meditate ski skate practice practise drive like love enjoy adore hate dislike detest use""".split()
_TELLING = frozenset(
    """moved relocated emigrated settled bought rented found live lives living based work works working job jobs
    position role started joined promoted laid fired redundant unemployed retired married engaged dating seeing broke
    broken split divorced separated single husband wife fiance fiancee fiancé fiancée boyfriend girlfriend partner
    lost rehomed rehome sold gave given allergic allergy diagnosed recovered beat beaten cured healed disappeared died
    vegan vegetarian pescatarian flexitarian keto gluten meat into fan fond keen tired university college academy
    transferred enrolled switched changed study studies studying major majors majoring begun began graduated dropped
    stopped quit taken picked yoga pilates karate judo boxing running swimming climbing skiing surfing cycling dancing
    ballet meditation crossfit gymnastics archery fencing rowing sailing hiking fishing hunting left canceled cancelled
    ended membership subscription subscribe subscribed traded replaced swapped turned years kids children child kid
    name favourite favorite""".split()
).union(TRADES, *((kind, f"{kind}s") for kind in _KINDS), *((f"{v}", f"{v}s", f"{v}es", f"{v}e") for v in _VERBS))
"""Each alone."""
_DATES = frozenset(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december noon midnight tomorrow""".split()
)
_SET = frozenset("on at to until".split())
_DIGIT = re.compile(r"\d")


def _pairs(*pairs: tuple[str, str]) -> dict[str, frozenset[str]]:
    """Return with which others a word tells something, from lists of words that do so with each of other words."""
    return {
        word: frozenset(other for firsts, others in pairs if word in firsts.split() for other in others.split())
        for firsts, _ in pairs
        for word in firsts.split()
    }


_TOGETHER = _pairs(
    ("my our", "is are"),
    ("home apartment flat house place", "is"),
    ("gone", "is has off"),
    ("with", "now"),
    ("out", "going start starts took landed accepted got gotten have has"),
    ("let", "go"),
    ("over", "got gotten with between"),
    ("off", "went"),
    ("up", "took"),
    ("back", "to"),
    ("away", "passed ran flew put give"),
    ("down", "put"),
    ("goodbye", "say said"),
    ("together", "longer"),
    ("done", "i"),
    ("by", "go goes"),
    *((date, " ".join(_SET)) for date in _DATES),
)
_ANY = _TELLING.union(_TOGETHER, *_TOGETHER.values())


def may_claim(text: str) -> bool:
    """Return whether a text can claim anything at all, by its words alone."""
    found = _ANY.intersection(_WORD.findall(text.lower()))
    if not found.isdisjoint(_TELLING):
        return True
    for word in found:
        if word in _TOGETHER and not found.isdisjoint(_TOGETHER[word]):
            return True
    return not found.isdisjoint(_SET) and _DIGIT.search(text) is not None
