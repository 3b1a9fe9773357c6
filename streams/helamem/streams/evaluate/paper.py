"""HeLa-Mem as its paper states it (arXiv 2604.16839): its recall and its ungated rule, over one space, for comparison.

    base_j = [(1 + cos) / 2 + α · keyword overlap] · exp(−Δt / τ),    τ = 60 days
    S_j    = base_j + β · Σ_i base_i · w_ij                           over the memories i with a base above a threshold
    result = the k highest by base, then the m highest by S that are not among them
    rule   = after each recall, with nobody asked: w ← min(1, 0.995 · w), then w ← min(1, w + η) for each pair of it

Neighbouring turns begin with a weight of 0.5, in the same matrix as what is learned. α, β and the threshold are the
defaults of the released code, since the text that we have does not give them; there a model picks keywords, here the
encoding does. Unlike the released code, Δt is event time, and the decay is called.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from helamem.processors.encoding.keywords import keywords
from helamem.processors.store.port import Turn

_DAY_MS = 86_400_000


class PaperSettings(Struct, frozen=True, kw_only=True):
    """The numbers of the paper, and of its released code where that alone has them."""

    alpha: float = 0.5
    """Weight of the keywords."""
    beta: float = 0.1
    """What a memory lends for a weight of 1."""
    threshold: float = 0.4
    """Base score from which a memory lends."""
    tau_days: float = 60.0
    eta: float = 0.02
    """Weight that each pair of each recall gains."""
    kept: float = 0.995
    """Factor on every weight at each recall."""
    temporal: float = 0.5
    """Weight with which neighbouring turns begin."""


class PaperMemory:
    """The memories of one space with their weights.

    Args:
        turns: What was said, each conversation in its order.
        vectors: One unit vector per turn, shape (n, dimension).
        settings: The paper's numbers.
    """

    def __init__(
        self, turns: Sequence[Turn], vectors: NDArray[np.float32], settings: PaperSettings | None = None
    ) -> None:
        self._settings = settings or PaperSettings()
        self._ids = [turn.id for turn in turns]
        self._vectors = vectors.astype(np.float64)
        self._keywords = [frozenset(turn.keywords) for turn in turns]
        self._time_ms = np.array([turn.time_ms for turn in turns], dtype=np.int64)
        self._place = {id_: place for place, id_ in enumerate(self._ids)}
        self._weights = np.zeros((len(turns), len(turns)))
        for place, turn in enumerate(turns):
            if turn.previous in self._place:
                before = self._place[turn.previous]
                self._weights[place, before] = self._weights[before, place] = self._settings.temporal

    @property
    def weights(self) -> NDArray[np.float64]:
        """A copy of the weights, shape (n, n)."""
        return self._weights.copy()

    def recall(self, query: str, vector: NDArray[np.float32], as_of_ms: int, k: int, m: int) -> list[str]:
        """Return up to `k + m` ids: by base score, then by spreading; nothing is learned here."""
        settings = self._settings
        wanted = frozenset(keywords(query))
        overlap = np.array([len(wanted & known) / len(wanted) if wanted else 0.0 for known in self._keywords])
        similarity = (1.0 + self._vectors @ vector.astype(np.float64)) / 2.0
        days = np.maximum(as_of_ms - self._time_ms, 0) / _DAY_MS
        base = (similarity + settings.alpha * overlap) * np.exp(-days / settings.tau_days)
        lent = settings.beta * np.where(base > settings.threshold, base, 0.0) @ self._weights
        by_base = np.argsort(-base, kind="stable")[:k].tolist()
        taken = set(by_base)
        by_spread = [place for place in np.argsort(-(base + lent), kind="stable").tolist() if place not in taken][:m]
        return [self._ids[place] for place in [*by_base, *by_spread]]

    def learn(self, memory_ids: Collection[str]) -> None:
        """Strengthen each pair that was recalled together, and let every weight fade by one recall."""
        places = np.array([self._place[id_] for id_ in memory_ids], dtype=np.int64)
        self._weights *= self._settings.kept
        together = np.ix_(places, places)
        self._weights[together] = np.minimum(1.0, self._weights[together] + self._settings.eta)
        self._weights[places, places] = 0.0
