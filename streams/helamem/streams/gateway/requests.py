"""What is asked: the bodies of requests."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from helamem.schemas.events import MAX_INTEGER, MOST_SUBJECTS, RecallSettings
from helamem.schemas.times import from_ms
from helamem.streams.async_memory import Message
from helamem.streams.gateway.fields import Asked, Name, Said, Space, Time, Uuid, strict

MOST_MESSAGES = 1000
"""In one batch."""
MOST_SPACES = 16
"""That one recall asks."""
_ASKED = RecallSettings()

_MESSAGE: dict[str, Any] = {
    "conversation": "monday",
    "speaker": "Mira",
    "text": "We have moved from Lisbon to Bergen.",
    "time": "2025-05-12T18:00:00Z",
}


class MessageIn(Asked):
    """Something that was said, to be remembered."""

    model_config = strict(_MESSAGE)

    conversation: Name
    speaker: Name
    text: Said
    time: Annotated[Time | None, Field(description="When it was said; left out, now.")] = None
    role: Annotated[
        Literal["user", "agent"], Field(description="Whether the speaker is whom an agent serves, or an agent.")
    ] = "user"
    message_id: Annotated[
        Name | None,
        Field(
            description="Unique within the space: sent again, the message is there once. Left out, it follows from "
            "Idempotency-Key, or is made up."
        ),
    ] = None
    data_subjects: Annotated[
        list[Name] | None,
        Field(
            min_length=1,
            max_length=MOST_SUBJECTS,
            description="Whose words they are; left out, a user's are the speaker's.",
        ),
    ] = None

    def message(self, space: str) -> Message:
        """Return it as the library takes it."""
        return Message(
            space=space,
            conversation=self.conversation,
            speaker=self.speaker,
            text=self.text,
            time=_moment(self.time),
            role=self.role,
            message_id=self.message_id,
            data_subjects=tuple(self.data_subjects or ()),
        )


class BatchIn(Asked):
    """Messages of one space, in the order in which they were said: all of them are appended, or none."""

    model_config = strict({"messages": [_MESSAGE]})

    messages: Annotated[list[MessageIn], Field(min_length=1, max_length=MOST_MESSAGES)]


class RecallIn(Asked):
    """A question to a space."""

    model_config = strict({"query": "Where does Mira live?", "k": 5})

    query: Said
    k: Annotated[int, Field(ge=1, le=1000, description="Memories.")] = _ASKED.k
    m: Annotated[int, Field(ge=0, le=1000, description="Further memories, open to association.")] = _ASKED.m
    facts: Annotated[int, Field(ge=0, le=1000, description="Facts beside them.")] = _ASKED.facts
    spreading: Annotated[bool, Field(description="Whether association takes part.")] = True
    token_budget: Annotated[
        int | None, Field(ge=1, le=MAX_INTEGER, description="Most tokens of all texts together, or of the context.")
    ] = None
    context: Annotated[
        bool, Field(description="Give the answer as a block for a prompt too: at most 1,000 tokens, or token_budget.")
    ] = False
    as_of: Annotated[
        Time | None, Field(description="Answer as of this time: nothing that was said later is found.")
    ] = None
    record: Annotated[
        bool, Field(description="Put the recall into the log: links learn from it, and it can be reinforced.")
    ] = True


class RecallsIn(RecallIn):
    """A question to several spaces, such as an agent's and its team's; each has an answer and an event of its own."""

    model_config = strict({"spaces": ["acme/mira", "acme/team"], "query": "Where does Mira live?"})

    spaces: Annotated[list[Space], Field(min_length=1, max_length=MOST_SPACES)]


class ReinforceIn(Asked):
    """Which results of a recall were useful."""

    model_config = strict(
        {
            "recall_id": "0190c0de-1111-4222-8333-444455556666",
            "memory_ids": [
                "0190c0de-1111-4222-8333-444455556667",
                "0190c0de-1111-4222-8333-444455556668",
            ],
        }
    )

    recall_id: Name
    memory_ids: Annotated[list[Uuid], Field(min_length=1, max_length=1000)]


class MarkIn(Asked):
    """Which memories to hide from recall, or to bring back, and why."""

    model_config = strict(
        {"memory_ids": ["0190c0de-1111-4222-8333-444455556667"], "reason": "Mira says that it was a misunderstanding"}
    )

    memory_ids: Annotated[list[Uuid], Field(min_length=1, max_length=1000)]
    reason: Annotated[Name, Field(description="For whoever looks into the log; say nothing private here.")]


class EraseIn(Asked):
    """Whom to erase in a space."""

    model_config = strict({"subject": "Mira", "dry_run": True})

    subject: Annotated[Name, Field(description="A speaker, or whom messages name as their data subject.")]
    dry_run: Annotated[bool, Field(description="Only say what would be erased.")] = False


def _moment(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else from_ms(time_ms)
