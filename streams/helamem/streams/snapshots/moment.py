"""Moments as states: all that decides what a projection of a log would hold there."""

from __future__ import annotations

from typing import NamedTuple

from helamem.schemas.errors import BadInput
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import Settings
from helamem.schemas.topics import DEAD_LETTERS, EFFECTS
from helamem.streams.dead_letters import dead_positions
from helamem.streams.log.port import Log
from helamem.streams.moments import Vector
from helamem.streams.rebuild import GROUPS, part_of
from helamem.streams.settings_log import settings_at
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
    return State(positions=positions, space=space, settings=known.settings, put_aside=put_aside(known.dead, positions))
