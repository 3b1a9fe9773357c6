"""Moments as states: all that decides what a projection of a log would hold there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import orjson

from helamem.schemas.errors import BadInput
from helamem.schemas.records import TopicPartition, base_name_of
from helamem.schemas.settings import Settings
from helamem.schemas.topics import DEAD_LETTERS, EFFECTS, GOVERNED
from helamem.streams.archive.encoding import encode_record
from helamem.streams.audit.hashes import leaf_hash
from helamem.streams.dead_letters import dead_positions
from helamem.streams.log.port import Log
from helamem.streams.moments import Vector
from helamem.streams.rebuild import GROUPS, part_of
from helamem.streams.settings_log import settings_at, settings_of
from helamem.streams.snapshots.manifest import DeadLetters, State, put_aside

_READ_WHOLE = {DEAD_LETTERS.name, EFFECTS.name}


class Known(NamedTuple):
    """What a log says of some positions, whatever the spaces."""

    vector: Vector
    settings: Settings
    dead: DeadLetters
    """What stands in the dead letters now."""


async def known_at(log: Log, vector: Vector) -> Known:
    """Return what a log says of some positions.

    Dead letters and what models answered are read to their ends whatever the moment, so that none of them belong to it.

    Raises:
        BadInput: The log is empty.
    """
    vector = {at: 0 if at.topic in _READ_WHOLE else end for at, end in vector.items()}
    settings = await settings_at(log, vector)
    if settings is None:
        raise BadInput("the log is empty, and so is all of its past; append something first")
    return Known(vector, settings, await dead_letters_of(log))


async def dead_letters_of(log: Log) -> DeadLetters:
    """Return what a replay passes over, whatever the moment."""
    dead: dict[TopicPartition, set[int]] = {}
    for group in GROUPS:
        for partition, offsets in (await dead_positions(log, group)).items():
            dead.setdefault(partition, set()).update(offsets)
    return dead


async def state_of(log: Log, known: Known, space: str | None) -> State:
    """Return all that decides what a projection of a space, or of all, holds at some positions."""
    part = await part_of(log, known.vector, spaces=[space] if space else ())
    positions = {str(partition): end for partition, end in part.ends.items()}
    return State(
        positions=positions,
        log=await hash_before(log, part.ends),
        space=space,
        settings=known.settings,
        put_aside=put_aside(known.dead, positions),
    )


async def is_of(log: Log, state: State) -> bool:
    """Return whether a state is one of this log, which has its positions."""
    return state.log == await hash_before(log, _partitions(state))


async def hash_before(log: Log, positions: Mapping[TopicPartition, int]) -> str:
    """Return the SHA-256 (hex) over the last record before each position, by the leaf hashes of the audit.

    Every record has its time and an id, so another log has other ones, also a copy that went a way of its own.
    """
    leaves = {}
    for at, end in positions.items():
        for record in await log.read(at, end - 1, end=end, limit=1) if end else ():
            leaves[str(at)] = leaf_hash(encode_record(record)).hex()
    return hashlib.sha256(orjson.dumps(leaves, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def begins_with_settings(log: Log, state: State) -> bool:
    """Return whether what a state was folded by stands in the log before all that it comes of.

    Before the first settings of a partition those count that are in force at the end, and that may be others later.
    """
    governed = {spec.base_name for spec in GOVERNED}
    for at, end in _partitions(state).items():
        if end and base_name_of(at.topic) in governed:
            begin = (await log.begin_offsets([at]))[at]
            first = await log.read(at, begin, limit=1)
            if not first or settings_of(first[0].value) is None:
                return False
    return True


def _partitions(state: State) -> dict[TopicPartition, int]:
    split = ((name.rpartition("/"), end) for name, end in state.positions.items())
    return {TopicPartition(topic, int(number)): end for (topic, _, number), end in split}
