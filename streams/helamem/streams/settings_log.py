"""The settings in force stand in the log: a record in every partition whose fold reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec
import orjson

from helamem.processors.encoding.state import EncodingState, embedded_by
from helamem.processors.store.port import Checkpoint
from helamem.schemas.errors import Poison
from helamem.schemas.events import SettingsApplied
from helamem.schemas.ids import derived_id
from helamem.schemas.records import NewRecord, TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import CONVERSATIONS, GOVERNED
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.log.port import Log

SPACE = "helamem/settings"
"""Subject of settings events: they belong to a partition, not to one of its spaces."""
_MARKER = SettingsApplied.event_type.encode()
_PAGE = 10_000


async def settings_in_force(
    log: Log, encoded: Mapping[TopicPartition, Checkpoint], ends: Mapping[TopicPartition, int] | None = None
) -> Settings | None:
    """Return the newest settings in the log, or None where none were ever applied.

    Every governed partition gets the same ones in one append, so one of them tells. What encoding has processed is
    known from its checkpoint; only records after it are looked through. Where there is none, the shortest partition is
    looked through that has settings.

    Args:
        log: What to read.
        encoded: The checkpoints of encoding, or nothing where there is no projection yet.
        ends: The moment in question; None is now.
    """
    if not encoded:
        return await _scanned(log, ends)
    partition = (await log.partitions(CONVERSATIONS.name))[0]
    checkpoint = encoded.get(partition)
    found = EncodingState.of(checkpoint.state, Settings()).settings if checkpoint else None
    offset = checkpoint.position.offset if checkpoint else (await log.begin_offsets([partition]))[partition]
    found = await _newest(log, partition, offset, None if ends is None else ends[partition]) or found
    instead = embedded_instead(encoded)
    return found if found is None or instead is None else embedded_by(found, instead)


async def _scanned(log: Log, ends: Mapping[TopicPartition, int] | None) -> Settings | None:
    partitions = [partition for spec in GOVERNED for partition in await log.partitions(spec.name)]
    begins = await log.begin_offsets(partitions)
    lasts = await log.end_offsets(partitions) if ends is None else ends
    for partition in sorted(partitions, key=lambda at: lasts.get(at, 0) - begins[at]):
        if found := await _newest(log, partition, begins[partition], lasts.get(partition, 0)):
            return found
    return None


async def _newest(log: Log, partition: TopicPartition, offset: int, end: int | None) -> Settings | None:
    found = None
    while records := await log.read(partition, offset, end=end, limit=_PAGE):
        offset = records[-1].offset + 1
        for record in records:
            found = settings_of(record.value) or found
    return found


def embedded_instead(encoded: Mapping[TopicPartition, Checkpoint]) -> str | None:
    """Return what embeds a projection whatever the log says, by the checkpoints of its encoding; None is the log's."""
    states = (EncodingState.of(checkpoint.state, Settings()) for checkpoint in encoded.values())
    return next((state.embedder for state in states if state.embedder is not None), None)


async def settings_at(log: Log, ends: Mapping[TopicPartition, int]) -> Settings | None:
    """Return the settings that were in force at a moment; those of now, where it lies before all settings."""
    return await settings_in_force(log, {}, ends) or await settings_in_force(log, {})


async def without_settings(log: Log) -> list[TopicPartition]:
    """Return the governed partitions in which no settings stand.

    They stand first in a partition that was made in good order; where they do not, all of it is looked through.
    """
    return [
        partition
        for spec in GOVERNED
        for partition in await log.partitions(spec.name)
        if not await _has_settings(log, partition)
    ]


async def _has_settings(log: Log, partition: TopicPartition) -> bool:
    offset = (await log.begin_offsets([partition]))[partition]
    limit = 1  # the first record tells, as a rule
    while records := await log.read(partition, offset, limit=limit):
        if any(settings_of(record.value) is not None for record in records):
            return True
        offset, limit = records[-1].offset + 1, _PAGE
    return False


def is_settings(value: bytes) -> bool:
    """Return whether a record with this value may put settings in force; it is not decoded."""
    return _MARKER in value


def settings_of(value: bytes) -> Settings | None:
    """Return the settings that a record with this value puts in force, if it does."""
    if not is_settings(value):
        return None
    try:
        data = decode(value).data
    except Poison:  # it goes to the dead letters when its turn comes
        return None
    return data.settings if isinstance(data, SettingsApplied) else None


async def apply_settings(log: Log, settings: Settings, clock: Callable[[], int]) -> None:
    """Append settings to every governed partition; they hold for the records after them."""
    partitions = [p for spec in GOVERNED for p in await log.partitions(spec.name)]
    ends = await log.end_offsets(partitions)
    canonical = orjson.dumps(msgspec.to_builtins(settings), option=orjson.OPT_SORT_KEYS).decode()
    await log.append(
        [
            NewRecord(
                topic=partition.topic,
                partition=partition.partition,
                key=SPACE.encode(),
                value=encode(
                    Event(
                        id=derived_id("settings", str(partition), str(ends[partition]), canonical),
                        source="helamem/settings",
                        space=SPACE,
                        time_ms=clock(),
                        data=SettingsApplied(settings=settings),
                    )
                ),
            )
            for partition in partitions
        ]
    )
