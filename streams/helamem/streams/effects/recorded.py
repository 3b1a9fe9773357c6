"""`RecordedAnswers`: the port `Answers` over the topic `helamem.effects`.

All answers to one question stand in one partition, so one of them is the first, and it is in force for everybody:
whoever records an answer reads on up to where it stands, and takes what it finds first.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence

from helamem.processors.answers import Answered, Question
from helamem.processors.consolidation.llm.spending import Tokens
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import Record, TopicPartition
from helamem.schemas.topics import EFFECTS
from helamem.streams.effects.index import AnswerIndex, Read
from helamem.streams.effects.records import Found, answer_record, found_in
from helamem.streams.log.port import Log

_PAGE = 1000


class RecordedAnswers:
    """Answers in a log, found by an index beside it.

    Args:
        log: What holds them.
        index: What finds them; it is filled from the log.
        clock: Milliseconds since 1970.
    """

    def __init__(self, log: Log, index: AnswerIndex, clock: Callable[[], int]) -> None:
        self._log = log
        self._index = index
        self._clock = clock
        self._next: dict[TopicPartition, int] = {}
        self._reading = asyncio.Lock()

    async def find(self, questions: Sequence[Question]) -> dict[Question, bytes]:
        """Return the answers that are recorded; see `Answers.find`."""
        if not self._next:  # not even looked whether the index is of this log
            await self.catch_up()
        known = await self._look_up(questions)
        if len(known) < len(questions):
            await self.catch_up()
            known |= await self._look_up([one for one in questions if one not in known])
        return known

    async def record(self, answered: Mapping[Question, Answered]) -> dict[Question, bytes]:
        """Append answers and return those in force; see `Answers.record`."""
        now_ms = self._clock()
        await self._log.append([answer_record(one, answer, now_ms) for one, answer in answered.items()])
        await self.catch_up()
        known = await self._look_up(list(answered))
        if len(known) < len(answered):
            raise RetryLater(f"what was appended to {EFFECTS.name} cannot be read back yet")
        return known

    async def spent(self, tenant: str, since_ms: int) -> Tokens:
        """Return what was recorded on a tenant's account; see `Ledger.spent`."""
        await self.catch_up()
        return Tokens(*await asyncio.to_thread(self._index.spent, tenant, since_ms))

    async def answers(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return those of the recorded answers, by the ids of their records, that there are."""
        await self.catch_up()
        return await asyncio.to_thread(self._index.look_up, ids)

    async def catch_up(self) -> None:
        """Read the log to its end."""
        async with self._reading:
            partitions = await self._log.partitions(EFFECTS.name)
            if self._next.keys() != set(partitions):
                await self._begin(partitions)
            ends = await self._log.end_offsets(partitions)
            for at in partitions:
                while self._next[at] < ends[at]:
                    records = await self._log.read(at, self._next[at], end=ends[at], limit=_PAGE)
                    if not records:
                        break
                    await asyncio.to_thread(self._take, at, records, len(partitions))

    async def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Go on where an index ends that was filled from this very log; forget one that was filled from another."""
        begins = await self._log.begin_offsets(partitions)
        read = self._index.read()
        if not await self._is_of_this_log(read, partitions):
            await asyncio.to_thread(self._index.clear)
            read = {}
        self._next = {at: max(begins[at], read[str(at)].next if str(at) in read else 0) for at in partitions}

    async def _is_of_this_log(self, read: Mapping[str, Read], partitions: Sequence[TopicPartition]) -> bool:
        for at in partitions:
            if (one := read.get(str(at))) is None or not one.next:
                continue
            last = await self._log.read(at, one.next - 1, end=one.next, limit=1)
            if not last or _hash(last[0]) != one.last:
                return False
        return True

    def _take(self, at: TopicPartition, records: Sequence[Record], partitions: int) -> None:
        found = [one for record in records if (one := found_in(record, partitions)) is not None]
        read = Read(records[-1].offset + 1, _hash(records[-1]))
        self._index.take(found, {str(at): read})
        self._next[at] = read.next

    async def _look_up(self, questions: Sequence[Question]) -> dict[Question, bytes]:
        ids = {one.id: one for one in questions}
        known = await asyncio.to_thread(self._index.look_up, list(ids))
        return {ids[id_]: content for id_, content in known.items()}


class KeptAnswers:
    """Answers that a replay with another embedder asked for: the log is only read, so they stay in the new home.

    Args:
        recorded: What the log has.
        index: Where the others are kept.
    """

    def __init__(self, recorded: RecordedAnswers, index: AnswerIndex) -> None:
        self._recorded = recorded
        self._index = index
        self.kept = 0

    async def find(self, questions: Sequence[Question]) -> dict[Question, bytes]:
        """Return the answers that are recorded in the log or kept; see `Answers.find`."""
        return await self._recorded.find(questions)

    async def record(self, answered: Mapping[Question, Answered]) -> dict[Question, bytes]:
        """Keep answers; see `Answers.record`."""
        found = [Found(one.id, one.model, answer.content) for one, answer in answered.items()]
        await asyncio.to_thread(self._index.take, found, {})
        self.kept += len(found)
        return {one: answer.content for one, answer in answered.items()}


def _hash(record: Record) -> bytes:
    return hashlib.sha256(record.value).digest()
