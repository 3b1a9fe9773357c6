"""What a client and the store process say to each other, in msgpack.

The client says `Hello`, the process `Welcome`. Then requests go one way and answers the other; an answer bears its
request's number, so many can be under way. Vectors are float32, little-endian, as raw bytes. Another meaning of
anything here is another `VERSION`.

Every call may be repeated by whoever lost the answer: memories and facts are inserted where absent, edges and marks
are conditional on their positions, a checkpoint replaces an older one, and the rest changes nothing.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
from msgspec import Raw, Struct

from helamem.processors.store.port import Checkpoint, Place, Said, Vector, Writes
from helamem.processors.store.prepared import PreparedMemory
from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError, RetryLater
from helamem.schemas.records import Position

VERSION = 3
PROTOCOL = "helamem-store"

Kind = Literal["turns", "facts", "edges"]
"""What is scanned."""


class Hello(Struct, frozen=True, kw_only=True):
    """The client's first words; every version can read them."""

    protocol: str
    version: int
    client: str
    """Drawn by the client; a new connection with the same one takes the place of the old."""


class Welcome(Struct, frozen=True, kw_only=True, tag="welcome"):
    """The answer to a `Hello`."""

    version: int
    process: str
    """Drawn by the store process when it starts."""
    dimension: int
    language: str
    schema: int


class Refusal(Struct, frozen=True, kw_only=True, tag="refusal"):
    """An error on its way."""

    error: Literal["retry-later", "bad-input", "configuration"]
    sentence: str


class Call(Struct, frozen=True, array_like=True):
    """Base of what can be asked."""


class Write(Call, frozen=True, tag=True):
    """Answered with null once visible."""

    writes: Writes


class Insert(Call, frozen=True, tag=True):
    """Writes memories that the client has prepared; answered with null once visible."""

    memories: tuple[PreparedMemory, ...]


class Flush(Call, frozen=True, tag=True):
    """Answered with null once all that this client wrote before is durable."""


class SaveCheckpoint(Call, frozen=True, tag=True):
    """Answered with null once durable."""

    checkpoint: Checkpoint


class Optimize(Call, frozen=True, tag=True):
    """Answered with null."""


class Erase(Call, frozen=True, tag=True):
    """Answered with null once the words are gone from the disk."""

    space: str
    ids: tuple[str, ...]


class LoadCheckpoints(Call, frozen=True, tag=True):
    """Answered with a `Page`; the cursor names the partition to begin with, in the order of their names."""

    group: str
    cursor: str | None


class Origins(Call, frozen=True, tag=True):
    """Answered with a `Part`, like all that asks by ids."""

    ids: tuple[str, ...]


class Turns(Call, frozen=True, tag=True):
    """Asks for memories."""

    space: str
    ids: tuple[str, ...]


class Facts(Call, frozen=True, tag=True):
    """Asks for facts."""

    space: str
    ids: tuple[str, ...]


class FactsAbout(Call, frozen=True, tag=True):
    """Asks for the visible facts about some topics; the cursor is that of the answer before."""

    space: str
    topics: tuple[str, ...]
    cursor: str | None


class EdgeRows(Call, frozen=True, tag=True):
    """Asks for edge rows."""

    space: str
    ids: tuple[str, ...]


class Tail(Call, frozen=True, tag=True):
    """Answered with a list of turns."""

    space: str
    conversation: str
    before: Position
    limit: int


class TurnsByTime(Call, frozen=True, tag=True):
    """Answered with a `Page` of turns: the first of them, where they are many bytes."""

    space: str
    after: Said | None
    limit: int


class SearchMemories(Call, frozen=True, tag=True):
    """Answered with `Scores`, like all that searches."""

    space: str
    dense: Vector
    lexical: str
    limit: int
    since_ms: int | None
    until_ms: int | None


class SearchFacts(Call, frozen=True, tag=True):
    """Searches facts."""

    space: str
    dense: Vector
    lexical: str
    limit: int
    until_ms: int | None


class ScoreMemories(Call, frozen=True, tag=True):
    """Scores named memories."""

    space: str
    dense: Vector
    lexical: str
    places: tuple[Place, ...]
    memory_ids: tuple[str, ...]


class Scan(Call, frozen=True, tag=True):
    """Answered with a `Page`; any process can go on from a cursor, also one that was started later."""

    kind: Kind
    space: str | None
    cursor: str | None


class Spaces(Call, frozen=True, tag=True):
    """Answered with a map of counts."""


Change = Write | Insert | Flush | SaveCheckpoint | Optimize | Erase
"""Calls that are taken up in the order in which one client sent them."""
Read = (
    LoadCheckpoints
    | Origins
    | Turns
    | Facts
    | FactsAbout
    | EdgeRows
    | Tail
    | TurnsByTime
    | SearchMemories
    | SearchFacts
    | ScoreMemories
    | Scan
    | Spaces
)


class Request(Struct, frozen=True, array_like=True):
    """A call with its number, which is its client's choice and not 0."""

    number: int
    call: Raw


class Answer(Struct, frozen=True, array_like=True):
    """What came of a request; number 0 concerns the connection, which ends with it."""

    number: int
    refusal: Refusal | None
    result: Raw


class Part(Struct, frozen=True, array_like=True):
    """What was found for the first `done` ids; the others are asked for again."""

    records: dict[str, Raw]
    done: int


class Page(Struct, frozen=True, array_like=True):
    """Some records, and the cursor for more."""

    records: list[Raw]
    cursor: str | None
    """None at the end."""


_ERRORS: dict[str, type[HelamemError]] = {
    "retry-later": RetryLater,
    "bad-input": BadInput,
    "configuration": ConfigurationError,
}


def refusal_of(error: HelamemError) -> Refusal:
    """Return an error as it travels."""
    if isinstance(error, RetryLater):
        return Refusal(error="retry-later", sentence=str(error))
    if isinstance(error, BadInput):
        return Refusal(error="bad-input", sentence=str(error))
    return Refusal(error="configuration", sentence=str(error))


def error_of(refusal: Refusal) -> HelamemError:
    """Return an error that travelled, as what it was."""
    return _ERRORS[refusal.error](refusal.sentence)


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, np.ndarray):
        return value.astype("<f4", copy=False).tobytes()
    raise NotImplementedError(f"a {type(value).__name__} does not travel")  # msgspec's word for it in an encoder's hook


def _vector_of(_: Any, raw: Any) -> Vector:
    vector: Vector = np.frombuffer(raw, "<f4")
    return vector


encode = msgspec.msgpack.Encoder(enc_hook=_bytes_of).encode
decode_hello = msgspec.msgpack.Decoder(Hello).decode
decode_greeting = msgspec.msgpack.Decoder(Welcome | Refusal).decode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_call = msgspec.msgpack.Decoder(Change | Read, dec_hook=_vector_of).decode
decode_part = msgspec.msgpack.Decoder(Part).decode
decode_page = msgspec.msgpack.Decoder(Page).decode
NOTHING = Raw(encode(None))
