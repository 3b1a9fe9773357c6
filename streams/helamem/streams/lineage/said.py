"""The messages that memories came from, and the turns beside them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from helamem.processors.encoding.content import content_hash
from helamem.processors.recall.ranking import RankingParameters
from helamem.schemas.events import ConversationMessage
from helamem.schemas.ids import memory_id
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.lineage.node import Node
from helamem.streams.lineage.reader import Found, LogReader

TEMPORAL_WEIGHT = RankingParameters().temporal
"""Weight of the link between neighbouring turns: given, not learned."""


@dataclass(slots=True, kw_only=True)
class Said:
    """A memory and the message that it came from."""

    memory_id: str
    found: Found
    turn: int
    previous: str | None
    """The memory of the turn before."""
    following: str | None = None
    """The memory of the turn after; not known where the log was not read that far."""

    @property
    def message(self) -> ConversationMessage:
        """What was said."""
        assert isinstance(self.found.event.data, ConversationMessage)
        return self.found.event.data

    @property
    def content_hash(self) -> str:
        """SHA-256 (hex) of the message's canonical content, as facts name it."""
        return content_hash(self.message, self.found.event.time_ms)

    def node(self, *more: Node) -> Node:
        """Return the memory, and below it the message."""
        message = self.message
        spoken = Node(
            kind="message",
            id=self.found.event.id,
            details=self.found.described
            | {
                "message_id": message.message_id,
                "conversation": message.conversation,
                "speaker": message.speaker,
                "role": message.role,
                "text": self.found.words,
            },
        )
        details = {
            "conversation": message.conversation,
            "turn": self.turn,
            "speaker": message.speaker,
            "text": self.found.words,
            "content_hash": self.content_hash,
        }
        return Node(kind="memory", id=self.memory_id, details=details, children=(spoken, *more))


def message_of(found: Found) -> str | None:
    """Return the id of the memory that a message becomes; None where it is no message."""
    data = found.event.data
    return memory_id(found.event.space, data.message_id) if isinstance(data, ConversationMessage) else None


def temporal_edge(one: str, other: str, *children: Node) -> Node:
    """Return the link between two neighbouring turns."""
    return Node(
        kind="temporal-edge",
        id=f"{one} {other}",
        details={"memory_ids": [one, other], "weight": TEMPORAL_WEIGHT},
        children=children,
    )


async def said(
    reader: LogReader, space: str, memory_ids: Collection[str], *, following: bool = False
) -> dict[str, Said]:
    """Return the first message of each memory that exists, by memory id.

    Args:
        reader: The log; the space's partition of conversations is read until all are found.
        space: The space.
        memory_ids: Which memories.
        following: Whether the turn after each is wanted too; all of the partition is read then.
    """
    wanted = set(memory_ids)
    known: set[str] = set()
    last: dict[str, Said] = {}
    memories: dict[str, Said] = {}
    async for one in reader.events(CONVERSATIONS, space):
        id_ = message_of(one)
        if id_ is None or id_ in known:  # the first message with an id is the one that counts
            continue
        assert isinstance(one.event.data, ConversationMessage)
        known.add(id_)
        before = last.get(one.event.data.conversation)
        here = Said(
            memory_id=id_,
            found=one,
            turn=before.turn + 1 if before else 0,
            previous=before.memory_id if before else None,
        )
        if before is not None:
            before.following = id_
        last[one.event.data.conversation] = here
        if id_ in wanted:
            memories[id_] = here
            if len(memories) == len(wanted) and not following:
                break
    return memories
