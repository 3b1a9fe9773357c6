"""Homes that an evaluation makes for itself."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from helamem.processors.embedder.port import Embedder
from helamem.processors.reranker.port import Reranker
from helamem.schemas.settings import EncodingSettings, Settings
from helamem.streams.async_memory import AsyncMemory
from helamem.streams.instance import Instance


async def evaluation_home(
    path: Path,
    settings: Settings | None = None,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
) -> AsyncMemory:
    """Make a home for an evaluation.

    Which newcomers a full list of neighbours takes hangs on the ids of events, so they are counted here and not drawn:
    the same file gives the same figures.

    Args:
        path: Where there is nothing yet.
        settings: Others than the default ones; they name the embedder.
        embedder: Another one than the default.
        reranker: What puts recalled memories in order, or None.
    """
    if settings is None and embedder is not None:
        settings = Settings(encoding=EncodingSettings(embedder=embedder.name))
    numbers = count()
    return AsyncMemory(
        await Instance.open(path, settings=settings, embedder=embedder),
        new_id=lambda: f"evaluation-{next(numbers)}",
        reranker=reranker,
    )
