"""Inclusion proofs: that one event stands in the log as it was signed, for who has nothing but a public key."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from helamem.schemas.errors import BadInput, ConfigurationError, Poison
from helamem.schemas.events import CheckpointSigned, SegmentRoot
from helamem.schemas.records import Record, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import CHECKPOINTS, TopicSpec
from helamem.schemas.wire import decode
from helamem.streams.archive.encoding import encode_record
from helamem.streams.archive.layout import Span
from helamem.streams.archive.reader import ArchiveReader
from helamem.streams.audit.checkpoints import checkpoint_from, fault_of, in_archive
from helamem.streams.audit.hashes import inclusion_path, leaf_hash, merkle_root

FORMAT = "helamem inclusion proof 1"


async def prove(
    reader: ArchiveReader, topics: Sequence[TopicSpec], event_id: str, keys: Mapping[str, Ed25519PublicKey]
) -> dict[str, Any]:
    """Return the proof that an event stands in an archived log; `docs/verify_proof.py` checks it.

    Args:
        reader: The archive.
        topics: Where to look, in every generation.
        event_id: The event's id. Where it stands twice, the first one in its partition is meant: that one counts; of
            several generations it is the first that was archived.
        keys: Public keys, by their hexadecimal form; checkpoints of other keys do not count.

    Raises:
        BadInput: There is no such event, or no checkpoint covers it yet.
        ConfigurationError: The archive is not as it was signed there.
    """
    return await asyncio.to_thread(_prove, reader, topics, event_id, keys)


def _prove(
    reader: ArchiveReader, topics: Sequence[TopicSpec], event_id: str, keys: Mapping[str, Ed25519PublicKey]
) -> dict[str, Any]:
    at, span, record = _find(reader, topics, event_id)
    checkpoint, segment = _covering(reader, at, span, keys)
    records = list(reader.records(at, span))
    leaves = [leaf_hash(encode_record(one)) for one in records]
    if merkle_root(leaves).hex() != segment.root:
        raise ConfigurationError(
            f"the archive {reader.files.place} was altered near record {record.offset} of {at}, so nothing can be"
            " proven there; see what with: helamem audit verify"
        )
    path = inclusion_path(leaves, records.index(record))
    return {
        "format": FORMAT,
        "event_id": event_id,
        "record": {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "append_time_ms": record.append_time_ms,
            "key_base64": base64.b64encode(record.key).decode(),
            "headers": [[name, base64.b64encode(value).decode()] for name, value in record.headers],
            "value_base64": base64.b64encode(record.value).decode(),
        },
        "path": [{"side": "left" if left else "right", "hash": beside.hex()} for left, beside in path],
        "segment": msgspec.to_builtins(segment),
        "checkpoint": msgspec.to_builtins(checkpoint),
    }


def _find(reader: ArchiveReader, topics: Sequence[TopicSpec], event_id: str) -> tuple[TopicPartition, Span, Record]:
    sought = event_id.encode()
    asked = {spec.base_name for spec in topics} - {CHECKPOINTS.base_name}
    partitions = [at for at in reader.partitions() if base_name_of(at.topic) in asked]
    for at in sorted(partitions, key=lambda one: generation_of(one.topic)):
        for span in reader.spans(at):
            for record in reader.records(at, span):
                if sought in record.value and _id_of(record) == event_id:
                    return at, span, record
    raise BadInput(f"no event of the archive {reader.files.place} has the id {event_id}; check it, or archive first")


def _id_of(record: Record) -> str | None:
    try:
        return decode(record.value).id
    except Poison:
        return None


def _covering(
    reader: ArchiveReader, at: TopicPartition, span: Span, keys: Mapping[str, Ed25519PublicKey]
) -> tuple[CheckpointSigned, SegmentRoot]:
    """Return the checkpoint that covers a segment, and what it says of it."""
    for _, line in in_archive(reader.files):
        try:
            checkpoint = checkpoint_from(line)
        except BadInput:
            continue
        if (checkpoint.topic, checkpoint.partition) != at or fault_of(checkpoint, keys) is not None:
            continue
        for segment in checkpoint.segments:
            if (segment.begin, segment.end) == (span.begin, span.end):
                return checkpoint, segment
    raise BadInput(
        f"no checkpoint signed by these keys covers {at} from {span.begin} to {span.end - 1}; sign with:"
        " helamem archive --key"
    )
