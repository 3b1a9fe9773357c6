"""The `Answers` port: what models answered, recorded so that nobody has to ask again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from helamem.schemas.errors import MissingRecord
from helamem.schemas.ids import answer_id
from helamem.schemas.records import TopicPartition

Kind = Literal["embedding", "distillation"]


class Question(Struct, frozen=True, kw_only=True, gc=False):
    """All that a model was asked. The same question again is answered from the record."""

    kind: Kind
    model: str
    input_hash: str
    """SHA-256 (hex) of the input; see `hash_of`."""
    prompt_hash: str | None = None
    """SHA-256 (hex) of the instructions that go with the input, or None where a model takes none."""

    @property
    def id(self) -> str:
        """The id of the record, a UUID that follows from the question."""
        return answer_id(self.kind, self.model, self.prompt_hash, self.input_hash)


class Answered(Struct, frozen=True, kw_only=True, gc=False):
    """What came back."""

    content: bytes
    """An embedding: little-endian 32-bit floats. Anything else: text in UTF-8."""
    version: str | None = None
    """What the service called the model, where it said so."""
    tenant: str | None = None
    """On whose account it was asked, where somebody has to pay for it."""
    tokens_in: int = 0
    """Tokens of instructions and input."""
    tokens_out: int = 0
    """Tokens of the answer."""


class NotRecorded(Exception):  # noqa: N818 - whoever asked says it in words of its own
    """An answer is needed that is not recorded, and nobody may be asked.

    Args:
        place: Which of the inputs it is, counted from 0.
        question: The one without an answer.
    """

    def __init__(self, place: int, question: Question) -> None:
        super().__init__(f"{question.model} was not asked for {question.input_hash}")
        self.place = place
        self.question = question


class Answers(Protocol):
    """Where answers are recorded and found again. Of two answers to one question the first in the log is in force."""

    async def find(self, questions: Sequence[Question]) -> dict[Question, bytes]:
        """Return the recorded answers to those of the questions that have one.

        Raises:
            RetryLater: The record is away.
        """
        ...

    async def record(self, answered: Mapping[Question, Answered]) -> dict[Question, bytes]:
        """Record answers durably and return, for each question, the one in force; another may have come before.

        Raises:
            RetryLater: The record is away; some of them may be recorded.
        """
        ...


def missing_record(question: Question, whose: str, at: TopicPartition, offset: int) -> MissingRecord:
    """Return the error of a replay that would have to ask: which answer, to what, and where that stands."""
    return MissingRecord(
        f"what {question.model} answered to {whose} at {at}={offset} (input hash {question.input_hash}) is not recorded"
        " in helamem.effects, and a replay asks no model; process the log to its end first, or name a model with"
        " --embedder"
    )


def hash_of(text: str) -> str:
    """Return the SHA-256 (hex) of an input or of instructions, in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
