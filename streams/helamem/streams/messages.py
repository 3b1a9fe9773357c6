"""`Message`: something that was said, and the event that puts it into the log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Literal

from msgspec import UNSET, Struct

from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import derived_id
from helamem.schemas.times import to_ms
from helamem.schemas.wire import Event

SOURCE = "helamem/embedded"


class Message(Struct, frozen=True, kw_only=True):
    """Something that was said, to be remembered."""

    space: str
    """`tenant/name`: what may be recalled together."""
    conversation: str
    speaker: str
    text: str
    time: datetime | None = None
    """When it was said, with a zone; None is now."""
    role: Literal["user", "agent"] = "user"
    message_id: str | None = None
    """Unique within the space; the first message with an id counts. None makes one up."""
    data_subjects: tuple[str, ...] = ()
    """Whose words they are; none named: a user's are the speaker's, an agent's are those of everyone in the space."""


def event_of(
    message: Message, *, new_id: Callable[[], str], now_ms: Callable[[], int], traceparent: str | None
) -> Event:
    """Return the event of a message; its id follows from space and message id.

    Args:
        message: It.
        new_id: Makes its id, where it has none.
        now_ms: Says its time, where it has none: milliseconds since 1970.
        traceparent: Of the trace that it belongs to.
    """
    message_id = message.message_id or new_id()
    return Event(
        id=derived_id("message", message.space, message_id),
        source=SOURCE,
        space=message.space,
        time_ms=now_ms() if message.time is None else to_ms(message.time),
        traceparent=traceparent,
        data=ConversationMessage(
            message_id=message_id,
            conversation=message.conversation,
            speaker=message.speaker,
            role=message.role,
            text=message.text,
            data_subjects=message.data_subjects or UNSET,
        ),
    )
