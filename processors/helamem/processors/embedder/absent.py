"""A service that this machine does not know: what it embedded can be looked at, and nothing new be asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from helamem.schemas.errors import ConfigurationError


class AbsentEmbedder:
    """Stands for an embedder that cannot be made here.

    Args:
        name: Its name.
        dimension: Length of its vectors.
        why: What is raised when it is asked.
    """

    quick = False

    def __init__(self, name: str, dimension: int, why: ConfigurationError) -> None:
        self.name = name
        self.dimension = dimension
        self._why = why

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuse, unless there is nothing to embed.

        Raises:
            ConfigurationError: Says what is missing.
        """
        if texts:
            raise self._why
        return np.zeros((0, self.dimension), dtype=np.float32)
