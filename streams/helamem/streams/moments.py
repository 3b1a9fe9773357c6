"""Moments: what a log held at a time, after an event, or up to given positions.

Topics are not ordered against each other, so a moment is a **position vector**: for each partition the first offset
that does not belong to it any more. It is written as a time, as the id of an event, as `topic/partition=offset,…`, or
as the name of a file that ends in .json and holds positions, such as `helamem digest` prints.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import orjson

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.records import TopicPartition, generation_of
from helamem.schemas.times import format_ms, parse_time
from helamem.schemas.topics import TOPICS
from helamem.schemas.wire import decode, marker_of
from helamem.streams.log.port import Log

Vector = dict[TopicPartition, int]
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[T ]")
_PAGE = 1000


async def now(log: Log) -> Vector:
    """Return the end of every partition."""
    return await log.end_offsets([p for spec in TOPICS for p in await log.partitions(spec.name)])


async def moment(log: Log, text: str) -> Vector:
    """Return the position vector of a moment, of every partition.

    A time takes what had been appended by then, that millisecond included. An event's id takes what had been appended
    when the event was, and of its own partition nothing after it. Of positions, a partition that is not named is
    empty.

    Raises:
        BadInput: It is none of these, it lies before the log begins, or names what the log does not hold.
    """
    ends = await now(log)
    if _TIME.match(text):
        return await at_time(log, parse_time(text))
    if "=" in text:
        return _within(ends, _parsed(text))
    if text.endswith(".json"):
        return _within(ends, _read(Path(text)))
    return await _after_event(log, ends, text)


def generation_in(text: str | Mapping[TopicPartition, int] | None) -> int | None:
    """Return the generation that the positions of a moment name; None where it is a time or an event, or names none.

    Raises:
        BadInput: It is not written as positions are, or names several generations.
    """
    if text is None or isinstance(text, str):
        if text is None or _TIME.match(text) or not ("=" in text or text.endswith(".json")):
            return None
        names = list(_parsed(text) if "=" in text else _read(Path(text)))
    else:
        names = list(map(str, text))
    found = {generation_of(name.rpartition("/")[0]) for name in names}
    if len(found) > 1:
        raise BadInput(f"positions of one moment are of one generation, and these are of {len(found)}: {names[0]}, …")
    return found.pop() if found else None


async def at_time(log: Log, time_ms: int) -> Vector:
    """Return what the log held at a time, by append time.

    Raises:
        BadInput: It held nothing yet.
    """
    vector = await log.offsets_at(list(await now(log)), time_ms)
    if not any(vector.values()):
        raise BadInput(f"the log held nothing yet at {format_ms(time_ms)}; name a later time")
    return vector


def written(vector: Mapping[TopicPartition, int]) -> str:
    """Return positions as text that `moment` reads."""
    return ",".join(f"{partition}={offset}" for partition, offset in sorted(vector.items()))


def _parsed(text: str) -> dict[str, int]:
    positions: dict[str, int] = {}
    for part in text.split(","):
        name, _, offset = part.strip().rpartition("=")
        if not name or not (offset.isascii() and offset.isdecimal()):
            raise BadInput(f"{part.strip()!r} is no position; write it like helamem.conversations.g1/0=120")
        positions[name] = int(offset)
    return positions


def _read(path: Path) -> Mapping[str, int]:
    try:
        found = orjson.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"the positions in {path} cannot be read: {error.strerror}; check the path") from None
    except orjson.JSONDecodeError:
        found = None
    if isinstance(found, dict):
        found = found.get("positions", found)
    if not isinstance(found, dict) or not all(type(offset) is int and offset >= 0 for offset in found.values()):
        raise BadInput(f"{path} holds no positions; write there what `helamem digest` prints")
    return found


def _within(ends: Vector, positions: Mapping[str, int]) -> Vector:
    known = {str(partition): partition for partition in ends}
    vector = dict.fromkeys(ends, 0)
    for name, offset in positions.items():
        if name not in known:
            raise BadInput(f"the log has no partition {name}; it has {', '.join(sorted(known)[:3])} and so on")
        if offset > ends[known[name]]:
            raise BadInput(f"{name} ends at {ends[known[name]]} and the position {offset} lies behind that")
        vector[known[name]] = offset
    return vector


async def _after_event(log: Log, ends: Vector, event_id: str) -> Vector:
    marker = marker_of(event_id)
    for partition, end in ends.items():
        offset = (await log.begin_offsets([partition]))[partition]
        while records := await log.read(partition, offset, end=end, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                if marker not in record.value:
                    continue
                try:
                    found = decode(record.value).id == event_id
                except Poison:
                    continue
                if found:
                    vector = await log.offsets_at(list(ends), record.append_time_ms)
                    return vector | {partition: record.offset + 1}
    raise BadInput(
        f"{event_id!r} is no moment: no time like 2025-03-01T09:00:00Z, no positions like "
        "helamem.recalls.g1/0=12, no .json file of positions, and no event of this log"
    )
