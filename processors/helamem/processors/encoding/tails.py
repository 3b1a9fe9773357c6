"""The last turns of each conversation, for the links between neighbouring turns."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from helamem.processors.store.port import MemoryStore, Turn
from helamem.schemas.records import Position

TAIL_TURNS = 2
"""How many earlier turns of a conversation a turn is encoded with."""
_CONVERSATIONS = 20_000
"""How many conversations are remembered, more than a batch has; others are looked up when they go on."""
_READS_AT_ONCE = 16

Conversation = tuple[str, str]
"""A space, and a conversation in it."""


class Tails:
    """The last turns of the conversations of one partition, in log order.

    Args:
        store: Where a conversation that is not remembered is looked up, by position, so that turns which a crash
            left in the store past the checkpoint are not mistaken for earlier ones.
        from_start: Whether the partition begins at its first record, so that nothing was said before.
    """

    def __init__(self, store: MemoryStore, *, from_start: bool) -> None:
        self._store = store
        self._tails: OrderedDict[Conversation, list[Turn]] = OrderedDict()
        self._stored: set[str] | None = set() if from_start else None
        """Spaces with turns that are not remembered: there the store is asked. None is any space."""

    async def look_up(self, firsts: Mapping[Conversation, Position]) -> None:
        """Have the conversations of a batch at hand: each as it stood before its first turn in the batch.

        They are asked for at once: a batch may begin hundreds of them, and the store may be another process.
        """
        missing = [conversation for conversation in firsts if conversation not in self._tails]
        asked = [key for key in missing if self._stored is None or key[0] in self._stored]
        found = await self._read(asked, firsts)
        self._tails.update((conversation, []) for conversation in missing)
        self._tails.update(zip(asked, found, strict=True))
        for conversation in firsts:
            self._tails.move_to_end(conversation)
        while len(self._tails) > _CONVERSATIONS:
            (space, _), _ = self._tails.popitem(last=False)
            if self._stored is not None:
                self._stored.add(space)

    async def _read(self, asked: list[Conversation], firsts: Mapping[Conversation, Position]) -> list[list[Turn]]:
        turnstile = asyncio.Semaphore(_READS_AT_ONCE)

        async def read(conversation: Conversation) -> list[Turn]:
            async with turnstile:
                return await self._store.conversation_tail(*conversation, firsts[conversation], TAIL_TURNS)

        return await asyncio.gather(*map(read, asked))

    def before(self, space: str, conversation: str) -> list[Turn]:
        """Return the last `TAIL_TURNS` turns of a conversation that was looked up, oldest first."""
        return self._tails[space, conversation]

    def add(self, turn: Turn) -> None:
        """Take the turn that was just encoded as the newest of its conversation."""
        tail = self._tails[turn.space, turn.conversation]
        tail.append(turn)
        del tail[:-TAIL_TURNS]
