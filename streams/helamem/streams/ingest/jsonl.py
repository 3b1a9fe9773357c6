"""JSON lines: each line a message as plain data, or a whole event in its CloudEvents envelope.

A plain message has `text`, `speaker` and `time`; `space` unless one is given for the file; `conversation` (default:
the file's name), `message_id` (default: conversation and line number), `role` (default: user) and `data_subjects`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from msgspec import UNSET

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.events import RecordDeadLettered, SettingsApplied, SubjectErased, Wordy
from helamem.schemas.wire import MAX_RECORD_BYTES, Event, from_builtins
from helamem.streams.ingest.incoming import BadLine, Incoming, message_event, record_of

LONGEST_LINE = 2 * MAX_RECORD_BYTES
"""In bytes: a message of the greatest length may be longer in its file than in the log."""
_PLAIN = frozenset({"space", "conversation", "message_id", "speaker", "role", "text", "time", "data_subjects"})


def read_jsonl(path: Path, space: str | None) -> Iterator[Incoming | BadLine]:
    """Yield what each line of a file holds; blank lines are passed over.

    Args:
        path: The file.
        space: Where plain messages go that name no space of their own, or None.
    """
    read_bytes = 0
    with path.open("rb") as file:
        for number, (line, size) in enumerate(_lines(file), start=1):
            read_bytes += size
            if (taken := take_line(line, number, read_bytes, stem=path.stem, space=space)) is not None:
                yield taken


def take_line(
    line: bytes | None, number: int, read_bytes: int, *, stem: str | None = None, space: str | None = None
) -> Incoming | BadLine | None:
    """Return what one line holds, or None where it is blank.

    Args:
        line: The line; None is one that was too long to be kept.
        number: Counted from 1.
        read_bytes: How far it reaches.
        stem: Names the conversation of messages that name none; None has every message name its conversation and id.
        space: Where plain messages go that name no space of their own, or None.
    """
    if line is not None and not line.strip():
        return None
    try:
        event = _event(line, stem, number, space)
        return Incoming(record=record_of(event), space=event.space, read_bytes=read_bytes)
    except (Poison, BadInput) as error:
        return BadLine(line=number, reason=str(error), read_bytes=read_bytes)


def _lines(file: Any) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line and its size; None for a line that is too long to be kept."""
    while part := file.readline(LONGEST_LINE):
        size = len(part)
        line: bytes | None = part
        while len(part) == LONGEST_LINE and not part.endswith(b"\n"):
            part, line = file.readline(LONGEST_LINE), None
            size += len(part)
        yield line, size


def _foreign(event: Event) -> Event:
    """Return an event that a file may bring: those that govern a log only helamem itself may write into it."""
    if isinstance(event.data, SettingsApplied):
        raise Poison("settings are not ingested; change them with: helamem settings --set NAME=VALUE", "type")
    if isinstance(event.data, RecordDeadLettered):
        raise Poison("dead letters are not ingested; ingest the record itself once it is mended", "type")
    if isinstance(event.data, SubjectErased):
        raise Poison("erasures are not ingested; ask for one with: helamem erase", "type")
    if isinstance(event.data, Wordy) and event.data.sealed is not UNSET:
        raise Poison("is not ingested: only a home seals words, with its own keys; leave it out", "data.sealed")
    return event


def _event(line: bytes | None, stem: str | None, number: int, space: str | None) -> Event:
    if line is None:
        raise Poison(f"the line is longer than {LONGEST_LINE:,} bytes")
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Poison(f"not JSON: {error}") from None
    if not isinstance(data, dict):
        raise Poison("not a JSON object")
    if "specversion" in data:
        return _foreign(from_builtins(data))
    if unknown := sorted(data.keys() - _PLAIN):
        raise Poison(f"is no field of a message; the fields are {', '.join(sorted(_PLAIN))}", unknown[0])
    conversation = data.get("conversation", stem)
    where = data.get("space", space)
    if where is None:
        raise Poison("is missing; name it in the line or with --space", "space")
    for field in ("time",) if stem is not None else ("time", "conversation", "message_id"):
        if field not in data:
            raise Poison("is missing", field)
    message = {
        "conversation": conversation,
        "message_id": data.get("message_id", f"{conversation}:{number}"),
        **{field: data[field] for field in ("speaker", "role", "text", "data_subjects") if field in data},
    }
    return message_event(where, data["time"], message)
