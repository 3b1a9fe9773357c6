"""LongMemEval's own format (Wu et al., ICLR 2025): questions, each with a history of dated sessions of its own.

Each question's history becomes a space of its own, each session a conversation. Times carry no zone; they are taken as
UTC. The turns of a session are a second apart, in their order; turns without words are left
out, and what is longer than a message may be is cut there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from helamem.schemas.errors import BadInput, Poison
from helamem.schemas.events import MAX_TEXT
from helamem.schemas.times import format_ms, to_ms
from helamem.streams.ingest.incoming import Incoming, message_event, record_of

ABSTAINS = "_abs"
"""In the id of a question that nothing in its history answers."""

_WEEKDAY = re.compile(r"\s*\([A-Za-z]+\)\s*")


class _Turn(Struct, frozen=True):
    role: str
    content: str
    has_answer: bool | None = None


class _Instance(Struct, frozen=True):
    question_id: str
    question_type: str
    question: str
    answer: str | int | float
    question_date: str
    haystack_session_ids: list[str]
    haystack_dates: list[str]
    haystack_sessions: list[list[_Turn]]
    answer_session_ids: list[str]


class Message(Struct, frozen=True, kw_only=True):
    """One turn of a history."""

    message_id: str
    session: str
    role: str
    text: str
    time_ms: int
    answers: bool
    """Whether the file marks it as evidence."""


class History(Struct, frozen=True, kw_only=True):
    """A question and all that was said before it."""

    question_id: str
    question_type: str
    question: str
    answer: str
    space: str
    asked_ms: int
    """When it is asked: at its own date, or after the last turn where that is later."""
    messages: tuple[Message, ...]
    sessions: frozenset[str]
    """Ids of the sessions that answer it."""

    @property
    def abstains(self) -> bool:
        """Whether nothing answers it."""
        return self.question_id.endswith(ABSTAINS)

    def incoming(self) -> Iterator[Incoming]:
        """Yield the records of its messages.

        Raises:
            BadInput: A turn is no message, such as one that is too long.
        """
        for message in self.messages:
            data = {
                "conversation": message.session,
                "message_id": message.message_id,
                "speaker": message.role,
                "role": "agent" if message.role == "assistant" else "user",
                "text": message.text,
            }
            try:
                event = message_event(self.space, format_ms(message.time_ms), data)
            except Poison as poison:
                raise BadInput(f"question {self.question_id}, turn {message.message_id}: {poison}") from None
            yield Incoming(record=record_of(event), space=self.space, read_bytes=0)


def read_histories(path: Path) -> list[History]:
    """Return the questions of a LongMemEval file.

    Raises:
        BadInput: The file is not in that format.
    """
    try:
        instances = msgspec.json.decode(path.read_bytes(), type=list[_Instance])
        return [_history(instance, place) for place, instance in enumerate(instances)]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        raise BadInput(f"{path} is not in LongMemEval's format: {error}; it is a JSON array of questions") from None


def _history(one: _Instance, place: int) -> History:
    if not len(one.haystack_sessions) == len(one.haystack_dates) == len(one.haystack_session_ids):
        raise ValueError(
            f"question {one.question_id} has {len(one.haystack_sessions)} haystack_sessions, "
            f"{len(one.haystack_dates)} haystack_dates and {len(one.haystack_session_ids)} haystack_session_ids"
        )
    messages: list[Message] = []
    asked_ms = _time_ms(one.question_date)
    sessions = zip(one.haystack_session_ids, one.haystack_dates, one.haystack_sessions, strict=True)
    for number, (session, begins, turns) in enumerate(sessions):
        begin_ms = _time_ms(begins)
        for place_of_turn, turn in enumerate(turns):
            if not turn.content.strip():
                continue
            time_ms = begin_ms + place_of_turn * 1000
            asked_ms = max(asked_ms, time_ms)
            messages.append(
                Message(
                    message_id=f"{number}:{place_of_turn}",
                    session=session,
                    role=turn.role,
                    text=turn.content[:MAX_TEXT],
                    time_ms=time_ms,
                    answers=bool(turn.has_answer),
                )
            )
    return History(
        question_id=one.question_id,
        question_type=one.question_type,
        question=one.question,
        answer=str(one.answer),
        space=f"longmemeval/{place}-" + re.sub(r"[^\w.:@-]", "-", one.question_id),
        asked_ms=asked_ms,
        messages=tuple(messages),
        sessions=frozenset(one.answer_session_ids),
    )


def _time_ms(text: str) -> int:
    """Return a time like "2023/05/20 (Sat) 02:21"."""
    return to_ms(datetime.strptime(_WEEKDAY.sub(" ", text).strip(), "%Y/%m/%d %H:%M").replace(tzinfo=UTC))
