"""What ranking needs to know of a memory besides its scores; it never changes once written, so it is kept.

A space's outlines stand in one table, column by column: a recall takes a few hundred rows out of it at once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from helamem.processors.consolidation.claims.claim import Claim
from helamem.processors.recall.ranking import Bools, Ints, asks, names, word_count
from helamem.processors.store.port import MemoryStore, Place, Turn

KEPT = 200_000
"""Rows kept for all spaces, about 300 bytes each; what is not there is read again."""
_FIRST_ROWS = 32
"""Room of a new table; it doubles whenever it is full."""
_APART = 2**32
"""Between the places of one conversation and those of the next; none has so many turns."""


class Outlines(NamedTuple):
    """Some memories of a space without their words, side by side; arrays have shape (n,)."""

    ids: list[str]
    conversation: Ints
    """A number for each conversation, the same as long as the table is kept."""
    turn: Ints
    asks: Bools
    words: Ints
    time_ms: Ints
    speaker: Ints
    """Likewise a number for each speaker."""
    conversations: Sequence[str]
    """Names of conversations by number."""
    speakers: Sequence[str]
    """Names of speakers by number."""
    claims: Mapping[str, tuple[Claim, ...]]
    """What turns of the space claim, by id; most claim nothing and are not there."""
    place_of: Callable[[str], int | None]
    """The place of a turn of the space; None where it is not kept."""
    id_at: Callable[[int], str | None]
    """The id of the turn at a place; likewise."""

    @property
    def places(self) -> Ints:
        """Return a number for the place of each, shape (n,): in a conversation as far apart as the turns are."""
        return self.conversation * _APART + self.turn

    def around(self, rows: Ints, reach: int) -> set[int]:
        """Return the places of the turns at some rows, shape (m,), and of up to `reach` turns before and after each."""
        return {
            near
            for place in self.places[rows].tolist()
            for near in range(place - min(place % _APART, reach), place + reach + 1)
        }

    def at(self, place: int) -> Place:
        """Return the name of the conversation of a place, and the number of the turn in it."""
        number, turn = divmod(place, _APART)
        return self.conversations[number], turn

    def claimed(self, ids: Iterable[str]) -> dict[str, tuple[Claim, ...]]:
        """Return what those of some turns claim that claim anything, by id."""
        return {id_: self.claims[id_] for id_ in ids if id_ in self.claims}

    def named(self, query: str) -> Bools:
        """Return whether a query names the speaker, shape (n,)."""
        named = np.zeros(len(self.speakers), dtype=np.bool_)
        for number in {*self.speaker.tolist()}:
            named[number] = names(query, self.speakers[number])
        return named[self.speaker]

    def said_until(self, time_ms: int) -> Outlines:
        """Return those that were said at a time or before."""
        kept = np.flatnonzero(self.time_ms <= time_ms)
        return Outlines(
            ids=[self.ids[i] for i in kept.tolist()],
            conversation=self.conversation[kept],
            turn=self.turn[kept],
            asks=self.asks[kept],
            words=self.words[kept],
            time_ms=self.time_ms[kept],
            speaker=self.speaker[kept],
            conversations=self.conversations,
            speakers=self.speakers,
            claims=self.claims,
            place_of=self.place_of,
            id_at=self.id_at,
        )


class OutlineCache:
    """The outlines of memories, read from a store and kept; it may know too little but never anything wrong.

    Whoever was visible when it was read may have been hidden or erased since: the outline stays true, and whoever wants
    to show the memory has to look.

    Args:
        store: Where they are read.
        most_rows: Rows kept for all spaces; more only while one recall needs them.
    """

    def __init__(self, store: MemoryStore, most_rows: int = KEPT) -> None:
        self._store = store
        self._most_rows = most_rows
        self._tables: OrderedDict[str, _Table] = OrderedDict()
        self._rows = 0

    async def of(self, space: str, memory_ids: Sequence[str]) -> Outlines:
        """Return the outlines of those memories that are visible in the space, or once were, in their order."""
        table = self.forget(space) or _Table()
        rows = table.rows(memory_ids)
        if None in rows:
            missing = [id_ for id_, row in zip(memory_ids, rows, strict=True) if row is None]
            turns = await self._store.turns(space, missing)
            table.add(turn for turn in turns.values() if turn.visible)
            rows = table.rows(memory_ids)
        answer = table.outlines(memory_ids, rows)
        if table.row_of:  # a space that nobody knows is not kept
            self._keep(space, table)
        return answer

    def _keep(self, space: str, table: _Table) -> None:
        """Keep a table as the one used last, and forget those that were used longest ago."""
        self.forget(space)  # another recall of the space may have made one meanwhile
        self._tables[space] = table
        self._rows += table.room
        while self._rows > self._most_rows:
            self.forget(next(iter(self._tables)))

    def forget(self, space: str) -> _Table | None:
        """Return a space's table, which is kept no longer, so that nobody else adds to it; None where there is none."""
        table = self._tables.pop(space, None)
        if table is not None:
            self._rows -= table.room
        return table


class _Table:
    """The outlines of one space, a row a memory."""

    def __init__(self) -> None:
        self.row_of: dict[str, int] = {}
        self._id_at: dict[int, str] = {}
        self.conversations: list[str] = []
        self._number_of: dict[str, int] = {}
        self._speakers: list[str] = []
        self._speaker_of: dict[str, int] = {}
        self._claims: dict[str, tuple[Claim, ...]] = {}
        self._columns: NDArray[np.int64] = np.zeros((6, _FIRST_ROWS), dtype=np.int64)

    @property
    def room(self) -> int:
        """How many rows have their memory."""
        return int(self._columns.shape[1])

    def add(self, turns: Iterable[Turn]) -> None:
        """Remember the outlines of some turns."""
        for turn in turns:
            row = self.row_of.setdefault(turn.id, len(self.row_of))
            if row >= self.room:
                self._columns = np.concatenate((self._columns, np.zeros_like(self._columns)), axis=1)
            conversation = _number(turn.conversation, self._number_of, self.conversations)
            self._id_at[conversation * _APART + turn.turn] = turn.id
            self._columns[:, row] = (
                conversation,
                _number(turn.speaker, self._speaker_of, self._speakers),
                turn.turn,
                asks(turn.text),
                word_count(turn.text),
                turn.time_ms,
            )
            if turn.claims:
                self._claims[turn.id] = turn.claims

    def _place_of(self, memory_id: str) -> int | None:
        row = self.row_of.get(memory_id)
        return None if row is None else int(self._columns[0, row]) * _APART + int(self._columns[2, row])

    def rows(self, memory_ids: Sequence[str]) -> list[int | None]:
        """Return which row each memory has, None for one that is not here."""
        return [*map(self.row_of.get, memory_ids)]

    def outlines(self, memory_ids: Sequence[str], rows: Sequence[int | None]) -> Outlines:
        """Return the outlines of memories that have these rows, without those that are not here."""
        if None in rows:
            memory_ids = [id_ for id_, row in zip(memory_ids, rows, strict=True) if row is not None]
            rows = [row for row in rows if row is not None]
        conversation, speaker, turn, asking, words, time_ms = self._columns[:, np.array(rows, dtype=np.int64)]
        return Outlines(
            ids=[*memory_ids],
            conversation=conversation,
            turn=turn,
            asks=asking.astype(np.bool_),
            words=words,
            time_ms=time_ms,
            speaker=speaker,
            conversations=self.conversations,
            speakers=self._speakers,
            claims=self._claims,
            place_of=self._place_of,
            id_at=self._id_at.get,
        )


def _number(name: str, number_of: dict[str, int], kept: list[str]) -> int:
    """Return the number of a name; a new one is kept."""
    number = number_of.setdefault(name, len(kept))
    if number == len(kept):
        kept.append(name)
    return number
