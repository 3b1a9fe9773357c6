"""The `Reranker` port: a question and texts in, a score for each text out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

RERANKED = 30
"""Best candidates of a recall, those that association brought among them, that a reranker puts in order."""


class Reranker(Protocol):
    """What reads a question and a text together. It blocks while it computes; callers put it in a thread."""

    @property
    def name(self) -> str:
        """Name and version: equal names give equal scores for equal pairs."""
        ...

    def score(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return how well each text answers the query, shape (len(texts),); higher is better, none is NaN.

        Scores compare within one call only. A text's score does not depend on the other texts.
        """
        ...
