"""A remote model whose answers are recorded: asked once, and never in a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.processors.answers import Answered, Answers, NotRecorded, Question, hash_of
from helamem.processors.embedder.port import TEXTS_PER_CALL, Embedder, RemoteEmbedder
from helamem.schemas.errors import ConfigurationError

_BYTES = 4
"""Of one number."""


class RecordedEmbedder:
    """An `AsyncEmbedder` over what a remote model answered.

    Args:
        name: Of the model, as the settings have it.
        dimension: Of its vectors.
        answers: Where its answers are recorded.
        embedder: What is asked for the rest; None asks nobody.
    """

    def __init__(self, name: str, dimension: int, answers: Answers, embedder: Embedder | None) -> None:
        self.name = name
        self.dimension = dimension
        self._answers = answers
        self._embedder = embedder

    async def embed_async(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector per text, shape (n, dimension); each is durable in the record before it is returned.

        Raises:
            NotRecorded: A text was never embedded, and nobody may be asked.
            RetryLater: The model or the record is away; what was answered before that is recorded.
            Poison: The model refuses one of the texts for good.
            ConfigurationError: A recorded vector has another length than the model's.
        """
        questions = [Question(kind="embedding", model=self.name, input_hash=hash_of(text)) for text in texts]
        known = await self._answers.find(list(dict.fromkeys(questions)))
        if missing := {one: text for one, text in zip(questions, texts, strict=True) if one not in known}:
            known |= await self._ask(missing, questions)
        for content in known.values():
            if len(content) != self.dimension * _BYTES:
                raise ConfigurationError(
                    f"the recorded vectors of {self.name} have {len(content) // _BYTES} numbers, not {self.dimension}; "
                    "set the dimension to that"
                )
        if not questions:
            return np.zeros((0, self.dimension), dtype=np.float32)
        joined = np.frombuffer(b"".join(known[one] for one in questions), dtype="<f4")
        return np.asarray(joined.reshape(len(questions), self.dimension), dtype=np.float32)

    async def _ask(self, missing: dict[Question, str], questions: list[Question]) -> dict[Question, bytes]:
        embedder = self._embedder
        if embedder is None:
            first = next(iter(missing))
            raise NotRecorded(questions.index(first), first)
        known: dict[Question, bytes] = {}
        # Recorded call by call: what was answered is paid for, and a busy service may refuse any of the calls.
        waiting = list(missing.items())
        for start in range(0, len(waiting), TEXTS_PER_CALL):
            part = waiting[start : start + TEXTS_PER_CALL]
            texts = [text for _, text in part]
            if isinstance(embedder, RemoteEmbedder):
                vectors, versions = await asyncio.to_thread(embedder.answer, texts)
            else:
                vectors, versions = await asyncio.to_thread(embedder.embed, texts), [None] * len(texts)
            known |= await self._answers.record(
                {
                    one: Answered(content=vector.astype("<f4").tobytes(), version=version)
                    for (one, _), vector, version in zip(part, vectors, versions, strict=True)
                }
            )
        return known
