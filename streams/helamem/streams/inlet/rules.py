"""By which rules a tenant's own records are taken: a gateway's, with the topic in the place of a key."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET
from msgspec.structs import replace

from helamem.schemas.errors import Poison
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import derived_id, tenant_of
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.wire import Event
from helamem.streams.dead_letters import unforeseen
from helamem.streams.placement import check_place
from helamem.streams.pump import event_of

GROUP = "merge"
"""The consumer group that shares the inlets."""
SOURCE = "helamem/inlet"
Fault = Literal["no-event", "other-type", "other-tenant", "misplaced", "sealed", "over-quota"]
"""What kept a record out."""
FAULTS: tuple[Fault, ...] = ("no-event", "other-type", "other-tenant", "misplaced", "sealed", "over-quota")


class Refused(Poison):
    """A record that a tenant may not have merged.

    Args:
        fault: Why, as metrics have it.
        poison: Why, in words.
    """

    def __init__(self, fault: Fault, poison: Poison) -> None:
        super().__init__(poison.reason, poison.field)
        self.fault = fault


def taken(record: Record, tenant: str, partitions: int, most_bytes: int | None = None) -> Event:
    """Return the message that a record of an inlet becomes in the topic that everybody reads.

    The inlet says whose it is; what its event says of that has to agree. Id and source are those of an append and not
    the producer's: an id that somebody chose could be that of another tenant's message in the same partition, which
    would then be taken for a repetition. So a record that is merged twice, or comes by a gateway too, is one message.

    Args:
        record: What stands in the inlet.
        tenant: Whose inlet it is.
        partitions: How many the inlet has.
        most_bytes: How much text the tenant may append in a day, or None for no bound.

    Raises:
        Refused: It is none that the tenant may append.
    """
    try:
        event = event_of(record)
    except Exception as error:  # noqa: BLE001 - whatever its bytes provoke, it is the record that is at fault
        raise Refused("no-event", unforeseen(error)) from None
    data = event.data
    if not isinstance(data, ConversationMessage):
        raise Refused(
            "other-type",
            Poison(
                f"is {data.event_type}, and an inlet takes {ConversationMessage.event_type} alone; ask a gateway for "
                "anything else",
                "type",
            ),
        )
    if tenant_of(event.space) != tenant:
        raise Refused(
            "other-tenant",
            Poison(
                f"is no space of {tenant}, whose inlet this is; append the message to the inlet of its own tenant",
                "subject",
            ),
        )
    try:
        check_place(TopicPartition(record.topic, record.partition), record.key, event, partitions)
    except Poison as poison:
        raise Refused("misplaced", poison) from None
    if data.sealed is not UNSET:
        raise Refused(
            "sealed",
            Poison("is not for producers: give the text, and it is sealed where the tenant's words are", "data.sealed"),
        )
    if most_bytes is not None and text_bytes(event) > most_bytes:
        raise Refused(
            "over-quota",
            Poison(
                f"is longer than the {most_bytes:,} bytes that {tenant} may append here in a day; send it in parts",
                "data.text",
            ),
        )
    return replace(event, id=derived_id("message", event.space, data.message_id), source=SOURCE)


def text_bytes(event: Event) -> int:
    """Return the size of a message's text, as quotas count it."""
    assert isinstance(event.data, ConversationMessage)
    return len(event.data.text.encode("utf-8", "replace"))
