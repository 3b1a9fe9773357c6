"""A long log of messages and recalls, and what encoding keeps beside it: what replays and past states are measured on.

Nine of ten messages and recalls go round a hundred spaces, the tenth goes to one large space.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from benchmarks.conversations import SPACES, message, space
from benchmarks.ingest import APPEND
from benchmarks.recalls import Drawn
from benchmarks.texts import Texts
from benchmarks.timing import significant
from msgspec import Struct, structs

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.encoding.reading import Said
from helamem.schemas.records import NewRecord
from helamem.streams.async_memory import AsyncMemory, Message
from helamem.streams.embedding_cache import EmbeddingCache
from helamem.streams.home import Home

LARGE = space(SPACES)
EVERY = 10
"""One of so many goes to the large space."""


class History(Struct, frozen=True, kw_only=True):
    """How long the log is."""

    messages: int
    recalls: int

    @property
    def events(self) -> int:
        """Of both kinds."""
        return self.messages + self.recalls


def _said(count: int) -> Iterator[Message]:
    texts = Texts()
    for number in range(count):
        turn, place = divmod(number, EVERY)
        if place:
            yield message(turn * (EVERY - 1) + place - 1, texts.message(number))
        else:
            yield structs.replace(message(turn, texts.message(number), 1), space=LARGE)


def _recalls(history: History) -> Iterator[NewRecord]:
    large = Drawn(history.messages // EVERY, 1, first=SPACES).records(history.recalls)
    others = Drawn(history.messages * (EVERY - 1) // EVERY // SPACES, seed=1).records(history.recalls)
    for number in range(history.recalls):
        yield next(others if number % EVERY else large)


async def write(home: Path, history: History) -> float:
    """Make a home whose log holds the history, nothing of it processed; return events appended a second.

    Vectors and what is read of messages are kept as encoding would have kept them.
    """
    embedder = WordLlamaEmbedder()
    said, recalls = _said(history.messages), _recalls(history)
    took = 0.0
    asked = 0
    async with await AsyncMemory.open(home, embedder=embedder) as opened:
        with EmbeddingCache(embedder, Home.look(home).embeddings_path) as cache:
            for done in range(APPEND, history.messages + APPEND, APPEND):
                chunk = list(islice(said, APPEND))
                cache.embed_and_read([Said(one.speaker, one.text, sealed=False) for one in chunk])
                some = list(islice(recalls, history.recalls * done // history.messages - asked))
                asked += len(some)
                begin = time.perf_counter()
                await opened.append(chunk)
                await opened.instance.log.append(some)
                took += time.perf_counter() - begin
    return significant(history.events / took)
