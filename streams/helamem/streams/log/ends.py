"""How far the conversations in a log go: past that, nobody can wait for a message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.log.port import Log


def conversation_ends(
    log: Log, topics: Sequence[str] = (CONVERSATIONS.name,)
) -> Callable[[], Awaitable[Mapping[str, int]]]:
    """Return what tells the end of each partition of the conversations' topics, by `topic/partition`."""

    async def ends() -> Mapping[str, int]:
        partitions = [partition for topic in topics for partition in await log.partitions(topic)]
        return {str(partition): end for partition, end in (await log.end_offsets(partitions)).items()}

    return ends
