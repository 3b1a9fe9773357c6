"""What distils in a process: the extractive distiller, or a model elsewhere whose answers are recorded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from helamem.processors.consolidation.distiller import Distiller
from helamem.processors.consolidation.extractive import ExtractiveDistiller
from helamem.processors.consolidation.llm.chat import ChatModel, ChatSettings
from helamem.processors.consolidation.llm.distiller import LlmDistiller, WhenSpent
from helamem.processors.consolidation.llm.spending import Budget, Cap, Prices
from helamem.processors.consolidation.llm.watch import Watch
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.effects.recorded import RecordedAnswers
from helamem.streams.log.port import Log

EXTRACTIVE = "extractive"
BATCH_RECORDS = 100
"""Hubs of a batch."""


class ModelSettings(Struct, frozen=True, kw_only=True):
    """A model that distils, how it is asked, and what it may cost."""

    chat: ChatSettings
    concurrency: int = 4
    prices: Prices = Prices()
    cap: Cap = Cap()
    when_spent: WhenSpent = "quote"

    @property
    def batch_records(self) -> int:
        """Hubs of a batch: a stop waits for the batch under way, so it is not much more than are asked for at once."""
        return min(BATCH_RECORDS, 2 * self.concurrency)


@asynccontextmanager
async def distilling(
    wanted: Distiller | ModelSettings | None,
    log: Log,
    clock: Callable[[], int],
    *,
    index: Path,
    watch: Watch | None = None,
) -> AsyncIterator[Distiller]:
    """Yield what distils.

    Args:
        wanted: A model, a distiller that was put together by hand, or None for the one that quotes.
        log: Where the answers of a model are recorded.
        clock: Milliseconds since 1970.
        index: File that finds recorded answers.
        watch: Told of what a model is asked and answers.

    Raises:
        ConfigurationError: What the model needs is not installed.
    """
    if not isinstance(wanted, ModelSettings):
        yield wanted or ExtractiveDistiller()
        return
    model = ChatModel(wanted.chat, watch=watch)
    try:
        with AnswerIndex(index) as found:
            answers = RecordedAnswers(log, found, clock)
            yield LlmDistiller(
                model,
                wanted.chat,
                answers,
                Budget(answers, wanted.cap, wanted.prices, clock),
                concurrency=wanted.concurrency,
                when_spent=wanted.when_spent,
                watch=watch,
            )
    finally:
        await model.close()
