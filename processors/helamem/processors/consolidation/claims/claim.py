"""A claim: what a sentence says of somebody that holds until something else is said."""

from __future__ import annotations

from typing import NamedTuple

from helamem.processors.consolidation.claims.words import stem

YES, NO = "yes", "no"
"""Values of a key with something behind its colon."""
NONE = "none"
"""Value of any other key when it has none any more."""

Slot = tuple[str, str]
"""A subject and a key, in lower case and without endings: of one slot only one value holds at a time."""


class Claim(NamedTuple):
    """One thing that a sentence claims."""

    subject: str
    """Whom or what it is about, as it was written."""
    key: str
    """What is claimed, such as `home`; behind a colon what it is about where there can be several: `likes:tennis`."""
    value: str
    """Lower case."""

    @property
    def slot(self) -> Slot:
        """What only one value holds of at a time."""
        return slot_of(self.subject, self.key)

    @property
    def ends(self) -> bool:
        """Whether it only says that something is over."""
        return self.value in (NO, NONE)


def slot_of(subject: str, key: str) -> Slot:
    """Return the slot of a subject and a key."""
    kind, colon, about = key.partition(":")
    return subject.casefold(), f"{kind}{colon}{' '.join(map(stem, about.split()))}"


def same_value(one: str, other: str) -> bool:
    """Return whether two values mean the same as far as words tell: one may say more, `chef` and `pastry chef`."""
    first, second = ({stem(word) for word in value.split()} for value in (one, other))
    return first <= second or second <= first
