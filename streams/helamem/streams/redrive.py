"""Redrive: the bytes of a dead letter once more, at a new position, after what was at fault is mended.

A position that was put aside stays so for ever; a redriven record takes effect where it stands anew, with its own
event id and time. That a letter was redriven is not written down anywhere: it is redriven when the same bytes stand
at a later position of its topic. To know it, the log is read from the first dead letter's position on.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from helamem.schemas.errors import Poison
from helamem.schemas.events import RecordDeadLettered
from helamem.schemas.ids import tenant_of
from helamem.schemas.records import NewRecord, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import TOPICS, TopicSpec, tenant_of_inlet
from helamem.schemas.wire import Space, decode
from helamem.streams.dead_letters import dead_letter_events
from helamem.streams.log.partitioner import partition_of
from helamem.streams.log.port import Log
from helamem.streams.placement import check_place

_PAGE = 1000


class Place(Struct, frozen=True):
    """Where one record stands."""

    partition: TopicPartition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition} @ {self.offset}"


class Letter(Struct, frozen=True, kw_only=True):
    """One dead letter, and what became of its record."""

    id: str
    put_aside_ms: int
    """When the log took the dead letter, milliseconds since 1970."""
    data: RecordDeadLettered
    redriven: Place | None = None
    """The next later position with the same bytes."""

    @property
    def place(self) -> Place:
        """Where the record stands that was put aside."""
        return Place(TopicPartition(self.data.topic, self.data.partition), self.data.offset)

    @property
    def key(self) -> bytes:
        """The record's key."""
        return base64.b64decode(self.data.key_base64)

    @property
    def value(self) -> bytes:
        """The record's value."""
        return base64.b64decode(self.data.value_base64)

    @property
    def space(self) -> str | None:
        """Whose record it is: what its key says and, where that can be read, its event too; None where nobody knows.

        In a tenant's inlet both are what a stranger says, so they count only where they name a space of the tenant.
        """
        try:
            space = msgspec.convert(self.key.decode(), Space)
        except (UnicodeDecodeError, msgspec.ValidationError):
            return None
        if tenant_of_inlet(self.data.topic) not in (None, tenant_of(space)):
            return None
        try:
            told = msgspec.json.decode(self.value, type=_Envelope).subject
        except (UnicodeDecodeError, msgspec.DecodeError):  # whose it is, its bytes do not say
            told = None
        return space if told in (None, space) else None


class _Envelope(Struct):
    """What of an event says whose it is."""

    subject: str | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What a redrive did with one letter."""

    letter: Letter
    place: Place | None
    """Where the record stands now, or None where it was left alone."""
    appended: bool = False
    """False where it stood there before."""
    refusal: str = ""
    """Why it was left alone."""


def legible(raw: bytes) -> str | None:
    """Return bytes as text, where every character can be printed."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return None
    return text if all(character.isprintable() or character in "\n\t" for character in text) else None


async def letters(log: Log) -> list[Letter]:
    """Return all dead letters of a log, oldest first.

    It reads the dead letters, and of every partition that has some all records from the first of them on.

    Raises:
        RetryLater: The log is away.
    """
    found = [
        Letter(id=event.id, put_aside_ms=record.append_time_ms, data=event.data)
        async for record, event in dead_letter_events(log)
        if isinstance(event.data, RecordDeadLettered)
    ]
    later = await _later_places(log, found)
    return [replace(letter, redriven=later.get(letter.id)) for letter in found]


async def redrive(log: Log, chosen: Sequence[Letter]) -> list[Outcome]:
    """Append the records of letters again, unchanged, with the same key; those that were redriven are left alone.

    What this version cannot read, or does not take in that topic, would only be put aside again: it is refused.

    Args:
        log: Where to.
        chosen: From `letters`.

    Raises:
        RetryLater: The log cannot be written now. Some may be appended; the same again does the rest.
    """
    names = await _names(log)
    outcomes: dict[str, Outcome] = {}
    waiting: dict[tuple[str, int, bytes], list[Letter]] = defaultdict(list)
    for letter in chosen:
        if letter.redriven is not None:
            outcomes[letter.id] = Outcome(letter=letter, place=letter.redriven)
        elif refusal := await _refusal(log, letter, names):
            outcomes[letter.id] = Outcome(letter=letter, place=None, refusal=refusal)
        else:  # of several letters of one record (of two groups, or a producer's doubles) one copy is enough
            waiting[letter.data.topic, letter.data.partition, letter.value].append(letter)
    places = await log.append([_record(same[0], names) for same in waiting.values()])
    for same, (partition, offset) in zip(waiting.values(), places, strict=True):
        for letter in same:
            outcomes[letter.id] = Outcome(letter=letter, place=Place(partition, offset), appended=True)
    return [outcomes[letter.id] for letter in chosen]


async def _names(log: Log) -> dict[str, str]:
    """Return the full name of each topic in the generation in use, by its base name."""
    return {spec.base_name: (await log.partitions(spec.name))[0].topic for spec in TOPICS}


def _record(letter: Letter, names: Mapping[str, str]) -> NewRecord:
    spec = _spec(letter)
    assert spec is not None  # refused before
    same_generation = names[spec.base_name] == letter.data.topic
    # In its own partition, which not every record's key names; another generation may have others.
    partition = letter.data.partition if same_generation else None
    return NewRecord(topic=spec.name, key=letter.key, value=letter.value, partition=partition)


async def _refusal(log: Log, letter: Letter, names: Mapping[str, str]) -> str:
    """Return why a letter cannot be redriven, or nothing."""
    spec = _spec(letter)
    if tenant_of_inlet(letter.data.topic) is not None:
        return f"it came by the inlet {letter.data.topic}; have its producer send what was meant there again"
    if spec is None:
        return f"this version knows no topic {letter.data.topic}; redrive it with the program that reads that topic"
    try:
        event = decode(letter.value)
    except Poison as poison:
        return (
            f"this version cannot read it ({poison}); redrive it with one that can, "
            "or append what was meant as a new event"
        )
    if not isinstance(event.data, spec.events):
        return (
            f"{event.data.event_type} does not belong into {spec.name}; "
            "append what was meant to the topic that carries it"
        )
    count = len(await log.partitions(spec.name))
    number = _record(letter, names).partition
    at = TopicPartition(names[spec.base_name], partition_of(letter.key, count) if number is None else number)
    try:
        check_place(at, letter.key, event, count)
    except Poison as poison:
        return f"it would be put aside again: {poison}"
    return ""


def _spec(letter: Letter) -> TopicSpec | None:
    """Return the topic in which a letter's record would stand now, in whatever generation that is."""
    base_name = base_name_of(letter.data.topic)
    return next((spec for spec in TOPICS if spec.base_name == base_name), None)


async def _later_places(log: Log, found: Iterable[Letter]) -> dict[str, Place]:
    """Return the next later place with the same bytes, by letter id; a newer generation is later as a whole."""
    names = await _names(log)
    begins: dict[TopicPartition, int] = {}
    sought: dict[bytes, list[Letter]] = defaultdict(list)
    for letter in found:
        spec = _spec(letter)
        if spec is None:
            continue
        sought[_hash(letter.value)].append(letter)
        if names[spec.base_name] == letter.data.topic:
            at, offset = letter.place.partition, letter.data.offset + 1
            begins[at] = min(begins.get(at, offset), offset)
        else:
            begins.update(dict.fromkeys(await log.partitions(spec.name), 0))
    held = await log.begin_offsets(list(begins))
    places: dict[str, Place] = {}
    for partition, begin in begins.items():
        offset = max(begin, held[partition])
        while records := await log.read(partition, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                for letter in sought.get(_hash(record.value), ()):
                    if _is_later(letter, partition, record.offset):
                        places.setdefault(letter.id, Place(partition, record.offset))
    return places


def _is_later(letter: Letter, partition: TopicPartition, offset: int) -> bool:
    spec = _spec(letter)
    assert spec is not None
    if letter.data.topic == partition.topic:
        return letter.place.partition == partition and letter.data.offset < offset
    base_name, generation = base_name_of(partition.topic), generation_of(partition.topic)
    return spec.base_name == base_name and letter.data.generation < generation


def _hash(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
