"""Words that carry a message."""

from __future__ import annotations

import re

MAX_KEYWORDS = 8
_WORD = re.compile(r"[^\W\d_][\w'-]*\w|\d[\w.:%-]*\w|\d")
_COMMON = frozenset(
    """a about after again all also am an and any are as at back be because been before being but by can could did do
    does doing done down else even ever every for from get gets getting go goes going gonna good got great had has have
    having he hello her here hers hey hi him his how i if in into is it its just know last let like look lot made make
    many maybe me mean might mine more most much must my need never new next no nope not nothing now of off oh ok okay
    on one only or other our ours out over own really right said same say see she should so some something soon still
    such sure take than thank thanks that the their theirs them then there these they thing things think this those
    though time to today tomorrow too two under until up us very want was way we well went were what when where which
    while who whose why will wish with without won't would wow yeah yes yesterday yet you your yours i'm i've i'll i'd
    it's that's don't didn't can't you're you've we're we've they're he's she's isn't wasn't aren't let's what's there's
    """.split()
)


def keywords(text: str) -> tuple[str, ...]:
    """Return up to `MAX_KEYWORDS` distinct words that carry a message: names and numbers first, then long words."""
    seen: dict[str, tuple[int, int, int]] = {}
    for place, word in enumerate(_WORD.findall(text)):
        lower = word.lower()
        if lower in _COMMON:  # most words end here, so it is asked before anything else
            continue
        lower = lower.removesuffix("'s")
        if lower in _COMMON or lower in seen or (len(lower) < 3 and not lower.isdigit()):
            continue
        named = 0 if word[0].isdigit() or (word[0].isupper() and place > 0) else 1
        seen[lower] = (named, -len(lower), place)
    return tuple(sorted(seen, key=seen.__getitem__)[:MAX_KEYWORDS])
