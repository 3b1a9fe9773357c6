"""What encoding asks of whoever holds the keys, and what it knows to be erased."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import UNSET

from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.events import KnowledgeDistilled, Sealed, SealingKey, SubjectErased, Wordy
from helamem.schemas.records import Position
from helamem.schemas.wire import Event


class MissingKeyError(ConfigurationError):
    """A key is missing that nobody destroyed: somebody may be about to bring it.

    Args:
        reason: The sentence.
        key: Which, and whose it is said to be.
    """

    def __init__(self, reason: str, key: SealingKey) -> None:
        super().__init__(reason)
        self.key = key


class Erased:
    """What the log says was erased, and where. An event erases in its own space only."""

    def __init__(self) -> None:
        self.keys: set[tuple[str, str]] = set()
        """Of destroyed keys, each by the space that it belongs to and its id."""
        self._things: dict[tuple[str, str], Position] = {}
        self._last_ms: dict[str, int] = {}

    def note(self, space: str, event: SubjectErased, position: Position) -> None:
        """Take in what the event at a position says; of several erasures of the same thing the first one counts."""
        for id_ in (*event.memory_ids, *event.fact_ids):
            self._things[space, id_] = min(position, self._things.get((space, id_), position))
        self.keys.update((space, key) for key in event.keys)

    def note_time(self, space: str, append_time_ms: int) -> None:
        """Take in when the log took an erasure in a space."""
        self._last_ms[space] = max(append_time_ms, self._last_ms.get(space, append_time_ms))

    def asked_before(self, space: str, append_time_ms: int) -> bool:
        """Return whether a question that the log took then may be about somebody who was erased since.

        As far as the times of erasures were noted, which who only processes a log does not do.
        """
        return append_time_ms <= self.seen(space)

    def seen(self, space: str) -> int:
        """Return the append time of the last erasure in a space, as far as times were noted; -1 without one."""
        return self._last_ms.get(space, -1)

    def has(self, space: str, id_: str) -> bool:
        """Return whether the words of a memory or fact were erased, be it later in the log."""
        return (space, id_) in self._things

    def all(self) -> dict[str, set[str]]:
        """Return the ids of all memories and facts whose words were erased, by space."""
        found: dict[str, set[str]] = {}
        for space, id_ in self._things:
            found.setdefault(space, set()).add(id_)
        return found

    def before(self, space: str, id_: str, position: Position) -> bool:
        """Return whether a memory or fact had been erased where a control event of its space stands."""
        return (space, id_) in self._things and self._things[space, id_] < position

    def closed(self, space: str, sealed: Sealed) -> bool:
        """Return whether one of the keys that sealed words of a space was destroyed."""
        return any((space, one.key) in self.keys for one in sealed.keys)


Claimed = tuple[str, str]
"""Key and value of a fact; both empty where it claims nothing, or nobody can read it."""
NO_CLAIM: Claimed = ("", "")


class Words(NamedTuple):
    """The words of an event as far as somebody can read them who has the log before them."""

    text: str | None
    """None where they are erased, or sealed by keys that are elsewhere."""
    erased: bool
    claim: Claimed = NO_CLAIM
    """Of a fact."""


class Unsealer(Protocol):
    """Opens what is sealed."""

    def open(self, event: Event) -> str | None:
        """Return the words of a message, recall or fact, sealed or not; None where they are erased.

        Raises:
            ConfigurationError: A key is not at hand that nobody destroyed.
            Poison: The sealed bytes are not what their keys sealed.
        """
        ...

    def claim(self, event: Event) -> Claimed:
        """Return what a fact claims, sealed or not, with the errors of `open`; nothing where it is erased."""
        ...


def words_of(data: Wordy) -> str:
    """Return the words of an event as they stand there, which is not what was said where they are sealed."""
    return data.query if not hasattr(data, "text") else data.text


def claim_of(data: KnowledgeDistilled) -> Claimed:
    """Return what a fact claims as it stands there: nothing where it is sealed."""
    return ("" if data.key is UNSET else data.key, "" if data.value is UNSET else data.value)


class NoKeys:
    """Opens what is not sealed, and knows what nobody can open any more.

    Args:
        erased: What the log says was erased.
        put_aside: Whether a sealed record is poison. Where a fleet shares a log, anybody may append one, and it must
            not stop everybody; where somebody has one log before them, they are told to give its keys.
    """

    def __init__(self, erased: Erased | None = None, *, put_aside: bool = False) -> None:
        self._erased = erased or Erased()
        self._put_aside = put_aside

    def open(self, event: Event) -> str | None:
        """Return the words; see `Unsealer.open`."""
        data = event.data
        assert isinstance(data, Wordy)
        if data.sealed is UNSET:
            return words_of(data)
        if self._erased.closed(event.space, data.sealed):
            return None
        if self._put_aside:
            raise Poison(
                "seals words, and workers have no keys; process the record in the home where it was sealed",
                "data.sealed",
            )
        raise ConfigurationError(
            f"the words of event {event.id} in {event.space} are sealed, and no keys are at hand; give the keys of "
            "the home where they were sealed"
        )

    def claim(self, event: Event) -> Claimed:
        """Return what a fact claims; see `Unsealer.claim`."""
        self.open(event)
        assert isinstance(event.data, KnowledgeDistilled)
        return claim_of(event.data)
