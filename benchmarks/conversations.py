"""Messages of many conversations in many spaces, as one stream: what the benchmarks ingest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from benchmarks.texts import Texts

from helamem.processors.consolidation.claims.reading import claims
from helamem.processors.encoding.content import content_hash, spoken
from helamem.processors.encoding.keywords import keywords
from helamem.processors.store.port import Memory, Turn, Vector
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import memory_id
from helamem.schemas.records import Position
from helamem.schemas.times import to_ms
from helamem.streams.async_memory import Message

SPACES = 100
CONVERSATION_TURNS = 50
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_SPEAKERS = (("Mira", "user"), ("Ada", "agent"))

T = TypeVar("T")


def space(number: int) -> str:
    """Return the name of a space."""
    return f"bench/s{number}"


def message(number: int, text: str, spaces: int = SPACES) -> Message:
    """Return one message of the stream; the spaces take turns."""
    turn = number // spaces
    speaker, role = _SPEAKERS[turn % 2]
    return Message(
        space=space(number % spaces),
        conversation=f"c{turn // CONVERSATION_TURNS}",
        speaker=speaker,
        role="user" if role == "user" else "agent",
        text=text,
        time=BEGIN + timedelta(seconds=turn * 30),
        message_id=str(turn),
    )


def messages(count: int, spaces: int = SPACES, start: int = 0) -> list[Message]:
    """Return messages of natural length."""
    texts = Texts()
    return [message(number, texts.message(number), spaces) for number in range(start, start + count)]


def turn_of(number: int, said: Message, spaces: int = SPACES) -> Turn:
    """Return what the product stores of a message, but for the hash of its vector."""
    turn = number // spaces
    assert said.time is not None and said.message_id is not None  # noqa: PT018 - `message` gives both
    data = ConversationMessage(
        message_id=said.message_id, conversation=said.conversation, speaker=said.speaker, role=said.role, text=said.text
    )
    return Turn(
        id=memory_id(said.space, said.message_id),
        space=said.space,
        message_id=said.message_id,
        conversation=said.conversation,
        turn=turn % CONVERSATION_TURNS,
        previous=memory_id(said.space, str(turn - 1)) if turn % CONVERSATION_TURNS else None,
        speaker=said.speaker,
        role=said.role,
        text=said.text,
        time_ms=to_ms(said.time),
        keywords=keywords(said.text),
        content_hash=content_hash(data, to_ms(said.time)),
        vector_hash="0" * 64,
        position=Position(1, number),
        claims=tuple(claim for _, claim in claims(said.text, said.speaker)),
    )


def lexical(turn: Turn) -> str:
    """Return what the product embeds and indexes of a turn."""
    data = ConversationMessage(
        message_id=turn.message_id, conversation=turn.conversation, speaker=turn.speaker, role="user", text=turn.text
    )
    return spoken(data.speaker, data.text)


def memory(turn: Turn, text: str, vector: Vector) -> Memory:
    """Return a turn on its way into the store."""
    return Memory(turn=turn, dense=vector, lexical=text)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in pieces."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
