"""The `Distiller` port: a cluster of memories in, statements out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from helamem.processors.store.port import Turn
from helamem.schemas.errors import RetryLater

Kind = Literal["user-trait", "fact", "agent-knowledge"]


class Cluster(Struct, frozen=True, kw_only=True):
    """A hub and its strongest neighbours, as far as they exist and are not hidden."""

    space: str
    turns: tuple[Turn, ...]
    """The hub first, then its neighbours, strongest first."""
    strength: int = 0
    """Sum of the hub's learned weights, in units of 2⁻³²: what is worth the most is distilled first."""


class Statement(Struct, frozen=True, kw_only=True):
    """One thing that is known from a cluster."""

    kind: Kind
    text: str
    subject: str
    valid_from_ms: int
    evidence: tuple[Turn, ...]
    """The turns that say it, in time order."""
    key: str = ""
    """What it says of its subject; of one subject and key one value holds at a time. Empty where nobody knows."""
    value: str = ""
    valid_until_ms: int | None = None
    """When it held no longer, where that is known already."""
    supersedes: tuple[str, ...] = ()
    """Ids of the facts that hold no longer since this one does."""
    confidence: int | None = None
    """How sure a model is of it, in percent, where one wrote it."""
    answer: str | None = None
    """Id of the recorded answer in which it stands, where a model wrote it."""
    distiller: str | None = None
    """Who wrote it, where that is another than the one that was asked."""


class HubsWait(RetryLater):
    """A distiller cannot take hubs now; nobody but consolidation has to wait for it."""


class Distiller(Protocol):
    """What turns clusters into statements; every statement names the turns it rests on."""

    @property
    def name(self) -> str:
        """Name and version; part of every fact."""
        ...

    @property
    def costly(self) -> bool:
        """Whether it costs money or minutes, so that a cluster which was mostly distilled before is not worth it."""
        ...

    async def distill(self, clusters: Sequence[Cluster]) -> list[list[Statement]]:
        """Return the statements of each cluster, in the clusters' order.

        Raises:
            HubsWait: A remote model is away, or its tenant may not ask it now.
            Poison: A remote model refuses a cluster, or gives no readable answer to it.
        """
        ...
