"""How an archive is laid out: names of its files, and the page in it that tells a stranger how to read them."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress

import msgspec
from msgspec import Struct

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.records import TopicPartition, base_name_of, generation_of
from helamem.streams.archive.files import AlreadyThereError, Files

FORMAT = 1
"""Number of the layout; an archive of a higher one is refused."""
DESCRIPTION = "archive.json"
EXPLANATION = "FORMAT.txt"
LOCK = "writer.lock"
TOPICS_FOLDER = "topics"
CHECKPOINTS_FOLDER = "checkpoints"
_TOPIC = "topic.json"
_RECORDS, _MANIFEST = ".records.gz", ".manifest.json"
_SPAN = re.compile(r"^(\d{20})-(\d{20})\.")
_CHECKPOINT = re.compile(r"^(\d{20})\.json$")

HOW_TO_READ = """\
This directory is an archive of a helamem log. Nothing in it is ever rewritten. To read it you need SHA-256, gzip
(RFC 1952), JSON and, for the signatures, Ed25519 (RFC 8032).

archive.json                                 the archive's id, a UUID
topics/TOPIC/topic.json                      how many partitions the topic has; it comes when all are archived once
topics/TOPIC/PARTITION/BEGIN.records.gz      the records with BEGIN <= offset < END
topics/TOPIC/PARTITION/BEGIN-END.manifest.json   their index and hashes; records without a manifest do not count
checkpoints/NUMBER.json                      signed checkpoints, counted from 0

A topic's name ends in its generation, as in helamem.facts.g1. A later generation begins with copies of all records
that the log still held of the one before, and goes on from there: to read everything, read the latest generation that
has a topic.json. Copies have a header helamem-origin, TOPIC/PARTITION@OFFSET, and the append time of the original.

BEGIN.records.gz is several gzip members one after the other (the manifest's "blocks"); gunzip reads them as one
file. Uncompressed it is records, each after its length. All numbers are unsigned, big end first:

    4 bytes   length of what follows up to the next record
    4 bytes   "HMR1"
    4 bytes   length, then the topic's name (UTF-8)
    4 bytes   partition
    8 bytes   offset
    8 bytes   append time, milliseconds since 1970-01-01T00:00:00Z
    4 bytes   length, then the key
    4 bytes   number of headers, then for each: 4 bytes length, name (UTF-8), 4 bytes length, value
    4 bytes   length, then the value: an event as JSON (CloudEvents 1.0)

Hashes are SHA-256; ‖ joins bytes; R is a record from "HMR1" on.

    leaf         L(n)   = SHA-256(00 ‖ R(n))
    node                = SHA-256(01 ‖ left ‖ right), as in RFC 6962, section 2.1; a segment's "root" is over its leaves
    chain        H(n)   = SHA-256(02 ‖ H(n-1) ‖ L(n))
    its begin    H(-1)  = SHA-256(03 ‖ archive id, 16 bytes ‖ 4 bytes length ‖ topic ‖ 4 bytes partition ‖ 8 bytes
                          offset of the first record)
    checkpoint          = SHA-256(04 ‖ M), which the next checkpoint names as "previous"; the first names 64 zeros

A checkpoint's signature is Ed25519 over M = "helamem checkpoint 1", a line feed (0A), and the checkpoint without its
"signature" as JSON: UTF-8, keys sorted, no spaces. All of its texts are ASCII.
"""


class Span(Struct, frozen=True, order=True):
    """The offsets that a segment reaches over: `begin <= offset < end`."""

    begin: int
    end: int


class _Description(Struct, frozen=True, kw_only=True):
    """What `archive.json` says."""

    archive_id: str
    format: int


class _Topic(Struct, frozen=True, kw_only=True):
    """What `topic.json` says."""

    partitions: int
    topic: str


def begin_archive(files: Files) -> str:
    """Make a new archive and return its id.

    Raises:
        BadInput: The place holds something else.
    """
    others = set(files.names("")) - {LOCK, EXPLANATION, DESCRIPTION + ".unfinished", EXPLANATION + ".unfinished"}
    if others:
        raise BadInput(
            f"{files.place} holds other things ({min(others)}) and no {DESCRIPTION}, so it is no archive; name a new"
            " or empty place"
        )
    archive_id = str(uuid.uuid4())
    if EXPLANATION not in files.names(""):
        files.publish(EXPLANATION, HOW_TO_READ.encode())
    files.publish(DESCRIPTION, msgspec.json.encode(_Description(archive_id=archive_id, format=FORMAT)) + b"\n")
    return archive_id


def archive_id_of(files: Files) -> str | None:
    """Return the id of the archive that lies there, or None.

    Raises:
        ConfigurationError: It is damaged, or a newer version made it.
    """
    if DESCRIPTION not in files.names(""):
        return None
    try:
        found = msgspec.json.decode(files.read(DESCRIPTION), type=_Description)
        uuid.UUID(found.archive_id)
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(
            f"{DESCRIPTION} of the archive {files.place} is damaged ({error}); restore it from a copy"
        ) from None
    if found.format > FORMAT:
        raise ConfigurationError(
            f"the archive {files.place} has format {found.format} and this helamem reads up to {FORMAT}; upgrade it"
        )
    return found.archive_id


def check_partitions(files: Files, topic: str, partitions: int) -> bool:
    """Return whether it is written down how many partitions a topic has.

    Raises:
        ConfigurationError: The archive has the topic with another number.
    """
    found = archived_partitions(files, topic)
    if found not in (None, partitions):
        raise ConfigurationError(
            f"the archive {files.place} holds {topic} in {found} partitions and the log in {partitions}; a topic is"
            " never grown in place: keep the number, or give the topic its next generation"
        )
    return found is not None


def state_partitions(files: Files, topic: str, partitions: int) -> None:
    """Write down how many partitions a topic has, once all of them are archived for the first time.

    Raises:
        ConfigurationError: The archive has the topic with another number.
    """
    if not check_partitions(files, topic, partitions):
        raw = msgspec.json.encode(_Topic(topic=topic, partitions=partitions)) + b"\n"
        with suppress(AlreadyThereError):  # another archiver was faster; the next look compares
            files.publish(f"{TOPICS_FOLDER}/{topic}/{_TOPIC}", raw)


def archived_generations(files: Files, base_name: str) -> list[int]:
    """Return the generations of a topic that are archived, each once as a whole, in order."""
    names = [name for name in files.names(TOPICS_FOLDER) if base_name_of(name) == base_name]
    return sorted(generation_of(name) for name in names if archived_partitions(files, name) is not None)


def all_partitions(files: Files) -> list[TopicPartition]:
    """Return every partition of which there is anything, of all generations, in order."""
    return [
        TopicPartition(topic, number)
        for topic in files.names(TOPICS_FOLDER)
        for number in sorted(int(name) for name in files.names(f"{TOPICS_FOLDER}/{topic}") if name.isdecimal())
    ]


def archived_partitions(files: Files, topic: str) -> int | None:
    """Return how many partitions an archived topic has; None where it is not in the archive.

    Raises:
        ConfigurationError: What says so is damaged.
    """
    folder = f"{TOPICS_FOLDER}/{topic}"
    if _TOPIC not in files.names(folder):
        return None
    try:
        return msgspec.json.decode(files.read(f"{folder}/{_TOPIC}"), type=_Topic).partitions
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{folder}/{_TOPIC} of the archive {files.place} is damaged ({error}); restore it from a copy"
        ) from None


def folder_of(at: TopicPartition) -> str:
    """Return the folder of a partition."""
    return f"{TOPICS_FOLDER}/{at.topic}/{at.partition}"


def records_name(at: TopicPartition, begin: int) -> str:
    """Return the name of a segment's file: by its begin alone, so that there is only one, whoever archives."""
    return f"{folder_of(at)}/{begin:020}{_RECORDS}"


def manifest_name(at: TopicPartition, span: Span) -> str:
    """Return the name of a segment's manifest."""
    return f"{folder_of(at)}/{span.begin:020}-{span.end:020}{_MANIFEST}"


def checkpoint_name(number: int) -> str:
    """Return the name of a checkpoint."""
    return f"{CHECKPOINTS_FOLDER}/{number:020}.json"


def spans(files: Files, at: TopicPartition) -> list[Span]:
    """Return the segments of a partition, in order."""
    names = files.names(folder_of(at))
    found = (_SPAN.match(name) for name in names if name.endswith(_MANIFEST))
    return sorted(Span(int(match[1]), int(match[2])) for match in found if match)


def checkpoint_numbers(files: Files) -> list[int]:
    """Return the numbers of the checkpoints that are there, in order."""
    found = (_CHECKPOINT.match(name) for name in files.names(CHECKPOINTS_FOLDER))
    return sorted(int(match[1]) for match in found if match)
