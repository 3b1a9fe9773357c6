"""Whether facts that a model wrote stand in what it answered, word for word: a replay looks, and asks no model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import UNSET

from helamem.processors.consolidation.llm.drafts import Unreadable, read
from helamem.schemas.errors import MissingRecord
from helamem.schemas.events import KnowledgeDistilled
from helamem.schemas.records import Position, TopicPartition

Recorded = Callable[[Sequence[str]], Awaitable[Mapping[str, bytes]]]
"""Returns those of the recorded answers, by id, that there are."""


class Sources:
    """The recorded answers that facts name.

    Args:
        recorded: Finds them.
    """

    def __init__(self, recorded: Recorded) -> None:
        self._recorded = recorded

    async def check(self, at: TopicPartition, facts: Sequence[tuple[Position, KnowledgeDistilled, str]]) -> None:
        """Look at facts that a model wrote; the text is empty of one that was erased, which nobody needs to prove.

        Raises:
            MissingRecord: An answer is not recorded, or does not say the fact; names both.
            RetryLater: The record is away.
        """
        wanted = [one for one in facts if one[1].answer is not UNSET and one[2]]
        answers = await self._recorded([str(fact.answer) for _, fact, _ in wanted]) if wanted else {}
        for position, fact, text in wanted:
            answer = answers.get(str(fact.answer))
            where = f"the fact {fact.fact_id} at {at}={position.offset} by {fact.distiller}"
            if answer is None:
                raise MissingRecord(
                    f"the answer {fact.answer} that {where} rests on is not recorded in helamem.effects, and a replay "
                    "asks no model; replay a log that has it"
                )
            if not _says(answer, fact.kind, text):
                raise MissingRecord(
                    f"the answer {fact.answer} recorded in helamem.effects does not say {where}; somebody else wrote "
                    "one of the two: see helamem audit"
                )


def _says(answer: bytes, kind: str, text: str) -> bool:
    try:
        return any((draft.kind, draft.text) == (kind, text) for draft in read(answer.decode()))
    except Unreadable:
        return False
