"""The vectors of a replay: what the log has recorded, what a model on this machine computes again, or a new model's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from helamem.processors.answers import Question, hash_of, missing_record
from helamem.processors.embedder.choose import choose_embedder, is_recorded
from helamem.processors.embedder.port import AsyncEmbedder, Embedder
from helamem.processors.embedder.recorded import RecordedEmbedder
from helamem.processors.encoding.content import spoken
from helamem.processors.encoding.processor import GROUP as ENCODING
from helamem.processors.encoding.sources import Sources
from helamem.schemas.errors import Poison
from helamem.schemas.events import ConversationMessage
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS
from helamem.schemas.wire import decode
from helamem.streams.dead_letters import dead_positions
from helamem.streams.effects.index import AnswerIndex
from helamem.streams.effects.recorded import KeptAnswers, RecordedAnswers
from helamem.streams.embedding_cache import EmbeddingCache
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.port import Log

_PAGE = 1000


class Reading(NamedTuple):
    """What of a log a replay reads."""

    log: Log
    ends: Mapping[TopicPartition, int]
    spaces: Collection[str] | None


@asynccontextmanager
async def replayed_vectors(
    reading: Reading, embedder: Embedder | str, *, ask: bool, cache: Path | None, own: Path, index: Path
) -> AsyncIterator[tuple[Embedder | AsyncEmbedder, KeptAnswers | None]]:
    """Yield what gives a replay its vectors, and what it was to ask a service for.

    Args:
        reading: What is replayed.
        embedder: What embeds, or its name where nobody needs to be asked.
        ask: Whether a service may be asked for what it has not answered yet.
        cache: Vectors that were computed before, which is only read; None keeps a cache in `own`.
        own: File for such a cache.
        index: File of the index of recorded answers.

    Raises:
        MissingRecord: A service would have to be asked for everything, and may not be.
    """
    name = embedder if isinstance(embedder, str) else embedder.name
    if not is_recorded(name):
        chosen = choose_embedder(embedder) if isinstance(embedder, str) else embedder
        with EmbeddingCache(chosen, cache or own, read_only=cache is not None) as cached:
            yield cached, None
        return
    with AnswerIndex(index) as answers:
        recorded = RecordedAnswers(reading.log, answers, wall_clock_ms)
        await recorded.catch_up()
        if ask and not isinstance(embedder, str):
            kept = KeptAnswers(recorded, answers)
            yield RecordedEmbedder(name, embedder.dimension, kept, embedder), kept
            return
        dimension = answers.dimension(name)
        if dimension is None:
            await _nothing_to_embed(reading, name)
        yield RecordedEmbedder(name, dimension or 1, recorded, None), None


@contextmanager
def recorded_sources(log: Log, index: Path) -> Iterator[Sources]:
    """Yield what looks whether the facts that a model wrote stand in what it answered.

    Args:
        log: What is replayed.
        index: File of the index of recorded answers; it is made when the first such fact comes.
    """
    with ExitStack() as stack:
        opened: list[RecordedAnswers] = []

        async def recorded(ids: Sequence[str]) -> Mapping[str, bytes]:
            if not opened:
                opened.append(RecordedAnswers(log, stack.enter_context(AnswerIndex(index)), wall_clock_ms))
            return await opened[0].answers(ids)

        yield Sources(recorded)


async def _nothing_to_embed(reading: Reading, name: str) -> None:
    """See that a log without a single answer of a model needs none.

    Raises:
        MissingRecord: It does; names the first message.
    """
    dead = await dead_positions(reading.log, ENCODING)
    for at in await reading.log.partitions(CONVERSATIONS.name):
        end, passed_over = reading.ends.get(at, 0), dead.get(at, set())
        offset = (await reading.log.begin_offsets([at]))[at]
        while records := await reading.log.read(at, offset, end=end, limit=_PAGE):
            offset = records[-1].offset + 1
            for record in records:
                try:
                    event = decode(record.value)
                except Poison:
                    continue
                wanted = reading.spaces is None or event.space in reading.spaces
                if wanted and isinstance(event.data, ConversationMessage) and record.offset not in passed_over:
                    question = Question(
                        kind="embedding", model=name, input_hash=hash_of(spoken(event.data.speaker, event.data.text))
                    )
                    raise missing_record(question, f"the message {event.data.message_id}", at, record.offset)
