"""What a model answered as a record of `helamem.effects`, and back."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, NamedTuple

import numpy as np
from msgspec import UNSET

from helamem.processors.answers import Answered, Question
from helamem.schemas.errors import Poison
from helamem.schemas.events import ModelAnswered
from helamem.schemas.ids import answer_id
from helamem.schemas.records import NewRecord, Record
from helamem.schemas.topics import EFFECTS
from helamem.schemas.wire import Event, decode, encode
from helamem.streams.log.partitioner import partition_of

SPACE = "helamem/effects"
"""Subject of recorded answers: the same text of two spaces is one question."""
_NUMBER_BYTES = 4


class Cost(NamedTuple):
    """What an answer took, of whom, and when; a record says it once, however often it is read."""

    tenant: str
    time_ms: int
    """When the log took it."""
    place: str
    """Partition and offset of the record."""
    tokens_in: int
    tokens_out: int


class Found(NamedTuple):
    """A recorded answer."""

    id: str
    model: str
    content: bytes
    cost: Cost | None = None
    """Where somebody has to pay for it."""


def answer_record(question: Question, answered: Answered, time_ms: int) -> NewRecord:
    """Return the record of an answer; its id follows from the question alone."""
    embedding = question.kind == "embedding"
    event = Event(
        id=question.id,
        source="helamem/effects",
        space=SPACE,
        time_ms=time_ms,
        data=ModelAnswered(
            kind=question.kind,
            model=question.model,
            version=answered.version,
            prompt_hash=question.prompt_hash,
            input_hash=question.input_hash,
            answer=base64.b64encode(answered.content).decode() if embedding else answered.content.decode(),
            **_account(answered),
        ),
    )
    return NewRecord(topic=EFFECTS.name, key=question.input_hash.encode(), value=encode(event))


def found_in(record: Record, partitions: int) -> Found | None:
    """Return the answer that a record holds, or None where it holds none: whoever reads it passes over the same ones.

    Args:
        record: From the topic of effects.
        partitions: How many that has.
    """
    try:
        event = decode(record.value)
    except Poison:
        return None
    data = event.data
    if not isinstance(data, ModelAnswered):
        return None
    if event.id != answer_id(data.kind, data.model, data.prompt_hash, data.input_hash):
        return None
    # Which of two answers came first is known only where all of one key stand in one partition.
    if record.key != data.input_hash.encode() or partition_of(record.key, partitions) != record.partition:
        return None
    content = data.answer.encode() if data.kind != "embedding" else _numbers(data.answer)
    return None if content is None else Found(event.id, data.model, content, _cost(record, data))


def _account(answered: Answered) -> dict[str, Any]:
    if answered.tenant is None:
        return {}
    return {"tenant": answered.tenant, "tokens_in": answered.tokens_in, "tokens_out": answered.tokens_out}


def _cost(record: Record, data: ModelAnswered) -> Cost | None:
    if data.tenant is UNSET:
        return None
    return Cost(
        data.tenant,
        record.append_time_ms,
        f"{record.topic}/{record.partition}={record.offset}",
        0 if data.tokens_in is UNSET else data.tokens_in,
        0 if data.tokens_out is UNSET else data.tokens_out,
    )


def _numbers(text: str) -> bytes | None:
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not content or len(content) % _NUMBER_BYTES:
        return None
    return content if math.isfinite(float(np.frombuffer(content, dtype="<f4").sum(dtype=np.float64))) else None
