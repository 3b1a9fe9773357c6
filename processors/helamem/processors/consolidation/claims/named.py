"""Claims of a statement in the third person: it is turned into what the patterns of the spoken word read.

"Anna Berg's sister Lea lives in Porto" is "my sister Lea lives in Porto", said by Anna Berg; in "Anna Berg lives in
Porto" her name becomes one word, which is what a subject is. So there is one table of patterns.
"""

from __future__ import annotations

import re

from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.consolidation.claims.predicates import NAME
from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.consolidation.sentences import sentences

_NAMED = "Somebody-named"
"""In place of a name."""
_SPOKEN = re.compile(r"\b(?:I|[Mm]e|[Mm]y|[Ww]e|us|[Oo]ur)\b")
_THEIRS = re.compile(r"['’]s? ")
_TOGETHER = re.compile(rf" and {NAME}(?: {NAME})*(?= [a-z])")
"""With whom it is so: "Anna and Tom broke up" is said of Anna."""


def begins_with(text: str, name: str) -> bool:
    """Return whether a text begins with a name as a whole."""
    return re.match(rf"{re.escape(name)}(?!\w)", text) is not None


def claim_about(text: str, name: str, whose: str) -> Claim | None:
    """Return what a sentence that begins with a name claims of whom it names, or of what is theirs.

    One claim at most, since a statement has one key; rather what holds than what is over. A text of several sentences,
    or one that quotes somebody in the first person, claims nothing, and nothing is read of when an event is: dates are
    written in many ways.

    Args:
        text: What was stated.
        name: What it begins with.
        whose: Whom that means, as subject of the claim.
    """
    if not begins_with(text, name) or _SPOKEN.search(text) or len(sentences(text)) != 1:
        return None
    rest = text[len(name) :]
    if theirs := _THEIRS.match(rest):
        found = [claim for _, claim in claims(f"My {rest[theirs.end() :]}", whose)]
    else:
        alone = _TOGETHER.sub("", rest, count=1) if _TOGETHER.match(rest) else rest
        read = [claim for _, claim in claims(f"{_NAMED}{alone}", _NAMED)]
        found = [claim._replace(subject=whose) for claim in read if claim.subject == _NAMED]
    whole = [one for one in found if one.key != "when" and _NAMED.casefold() not in f"{one.key} {one.value}"]
    return min(whole, key=lambda one: one.ends, default=None)
