"""The command line, with an embedder and a store that quote in their errors what they were given, as others' may."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.processors.embedder.wordllama import WordLlamaEmbedder
from helamem.processors.store.edge import EdgeStore
from helamem.processors.store.port import Writes
from helamem.streams.cli import main

REFUSED = "zqrefused"
"""The embedder fails at texts with this word."""

_embed = WordLlamaEmbedder.embed


def embed(self: WordLlamaEmbedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Embed, or fail and say at what."""
    if refused := [text for text in texts if REFUSED in text]:
        raise ValueError(f"no vector for {refused}") from KeyError(refused[0])
    return _embed(self, texts)


async def write(self: EdgeStore, writes: Writes) -> None:
    """Fail and say at what."""
    raise RuntimeError(f"cannot write {self} {writes!r}")


if __name__ == "__main__":
    WordLlamaEmbedder.embed = embed  # type: ignore[method-assign]
    if "HELAMEM_TEST_FAILING_STORE" in os.environ:
        EdgeStore.write = write  # type: ignore[method-assign]
    main()
