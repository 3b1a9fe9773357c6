"""Signed checkpoints: what is signed, how one names the one before it, and where copies of them lie."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.events import CheckpointSigned
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.topics import CHECKPOINTS
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.archive.files import Files
from helamem.streams.archive.layout import checkpoint_name, checkpoint_numbers
from helamem.streams.audit.hashes import checkpoint_hash
from helamem.streams.audit.keys import key_text
from helamem.streams.log.port import Log

FIRST = "0" * 64
"""What the first checkpoint names as the one before it."""
_DOMAIN = b"helamem checkpoint 1\n"
_UNSIGNED = "0" * 128
_PAGE = 1000


def message_of(checkpoint: CheckpointSigned) -> bytes:
    """Return what a checkpoint's signature is over: all but itself, as JSON with sorted keys."""
    fields: dict[str, Any] = msgspec.to_builtins(checkpoint)
    del fields["signature"]
    return _DOMAIN + orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)


def hash_of(checkpoint: CheckpointSigned) -> str:
    """Return the hash by which the next checkpoint names this one."""
    return checkpoint_hash(message_of(checkpoint)).hex()


def sign(key: Ed25519PrivateKey, **fields: Any) -> CheckpointSigned:
    """Return a checkpoint with its signature, from all of its other fields but the public key."""
    unsigned = CheckpointSigned(**fields, public_key=key_text(key.public_key()), signature=_UNSIGNED)
    return msgspec.structs.replace(unsigned, signature=key.sign(message_of(unsigned)).hex())


def fault_of(checkpoint: CheckpointSigned, keys: Mapping[str, Ed25519PublicKey]) -> str | None:
    """Return what is wrong with a checkpoint's signature, or None."""
    key = keys.get(checkpoint.public_key)
    if key is None:
        return f"is signed by another key ({checkpoint.public_key[:16]}…)"
    try:
        key.verify(bytes.fromhex(checkpoint.signature), message_of(checkpoint))
    except InvalidSignature:
        return "was changed after it was signed, or its signature was"
    return None


def line_of(checkpoint: CheckpointSigned) -> bytes:
    """Return a checkpoint as a line of JSON."""
    return orjson.dumps(msgspec.to_builtins(checkpoint), option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def checkpoint_from(raw: bytes) -> CheckpointSigned:
    """Return the checkpoint that a line is.

    Raises:
        BadInput: It is none.
    """
    try:
        found = msgspec.json.decode(raw, type=CheckpointSigned)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"this is no checkpoint: {error}") from None
    if line_of(found) != raw:
        raise BadInput("this checkpoint holds what no archiver writes")
    return found


def in_archive(files: Files) -> list[tuple[str, bytes]]:
    """Return the checkpoints of an archive as (name, line), in order."""
    names = [checkpoint_name(number) for number in checkpoint_numbers(files)]
    return [(name, files.read(name)) for name in names]


def in_file(path: Path) -> list[tuple[str, bytes]]:
    """Return the lines of a file of checkpoints as (place, line).

    Raises:
        BadInput: It cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise BadInput(f"the checkpoints {path} cannot be read: {error.strerror}; check the path") from None
    return [(f"{path}, line {number}", line) for number, line in enumerate(lines, start=1)]


async def in_log(log: Log) -> list[tuple[str, bytes | None]]:
    """Return the checkpoints in a log as (place, line), in order; None stands for a record that is none."""
    found: list[tuple[str, bytes | None]] = []
    for partition in await log.partitions(CHECKPOINTS.name):
        offset = (await log.begin_offsets([partition]))[partition]
        while records := await log.read(partition, offset, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                try:
                    data = decode(record.value).data
                except Poison:
                    data = None
                line = line_of(data) if isinstance(data, CheckpointSigned) else None
                found.append((f"{partition}, offset {record.offset}", line))
    return found


def as_record(checkpoint: CheckpointSigned) -> NewRecord:
    """Return a checkpoint as a record for the log."""
    at = TopicPartition(checkpoint.topic, checkpoint.partition)
    event = Event(
        id=derived_id("checkpoint", checkpoint.archive_id, str(checkpoint.number)),
        source="helamem/archive",
        space=str(at),
        time_ms=checkpoint.signed_at,
        data=checkpoint,
    )
    return NewRecord(topic=CHECKPOINTS.name, key=str(at).encode(), value=encode(event))


async def publish(log: Log, files: Files, archive_id: str) -> int:
    """Append to the log the checkpoints of an archive that follow the last one in it; return how many those were."""
    missing = await asyncio.to_thread(_after, files, await _last_in_log(log, archive_id))
    await log.append([as_record(one) for one in missing])
    return len(missing)


async def keep(path: Path, files: Files, archive_id: str) -> int:
    """Add to a file the checkpoints of an archive that follow the last one in it, and return how many those were.

    A line that was cut off when its writer was killed is cut away first; it is written again whole.

    Raises:
        BadInput: The file cannot be written.
    """
    return await asyncio.to_thread(_keep, path, files, archive_id)


async def _last_in_log(log: Log, archive_id: str) -> int:
    """Return the highest number of this archive's checkpoints near the end of the topic, -1 where there is none."""
    (partition,) = await log.partitions(CHECKPOINTS.name)
    begin = (await log.begin_offsets([partition]))[partition]
    end = (await log.end_offsets([partition]))[partition]
    while end > begin:
        start = max(begin, end - _PAGE)
        numbers = [one.number for one in await _between(log, partition, start, end) if one.archive_id == archive_id]
        if numbers:
            return max(numbers)
        end = start
    return -1


async def _between(log: Log, partition: TopicPartition, start: int, end: int) -> list[CheckpointSigned]:
    found = []
    while start < end and (records := await log.read(partition, start, end=end, limit=_PAGE)):
        start = records[-1].offset + 1
        for record in records:
            try:
                data = decode(record.value).data
            except Poison:
                continue
            if isinstance(data, CheckpointSigned):
                found.append(data)
    return found


def _after(files: Files, number: int) -> list[CheckpointSigned]:
    numbers = checkpoint_numbers(files)
    return [checkpoint_from(files.read(checkpoint_name(one))) for one in numbers if one > number]


def _keep(path: Path, files: Files, archive_id: str) -> int:
    try:
        with path.open("a+b") as file:
            file.seek(0)
            there = file.read()
            whole = there[: there.rfind(b"\n") + 1]
            if len(whole) < len(there):
                file.truncate(len(whole))
            last = -1
            for line in whole.splitlines(keepends=True):
                checkpoint = checkpoint_from(line)
                if checkpoint.archive_id == archive_id:
                    last = max(last, checkpoint.number)
            missing = _after(files, last)
            file.write(b"".join(line_of(one) for one in missing))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInput(f"the checkpoints cannot be kept in {path}: {error.strerror}; name another file") from None
    except BadInput as error:
        raise BadInput(f"{path} holds something else than checkpoints ({error}); name another file") from None
    return len(missing)
