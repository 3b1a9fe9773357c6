"""The `Distiller` port: a cluster of memories in, statements out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from helamem.processors.store.port import Turn

Kind = Literal["user-trait", "fact", "agent-knowledge"]


class Cluster(Struct, frozen=True, kw_only=True):
    """A hub and its strongest neighbours, as far as they exist and are not hidden."""

    space: str
    turns: tuple[Turn, ...]
    """The hub first, then its neighbours, strongest first."""


class Statement(Struct, frozen=True, kw_only=True):
    """One thing that is known from a cluster."""

    kind: Kind
    text: str
    subject: str
    valid_from_ms: int
    evidence: tuple[Turn, ...]
    """The turns that say it, in time order."""


class Distiller(Protocol):
    """What turns clusters into statements; every statement names the turns it rests on."""

    @property
    def name(self) -> str:
        """Name and version; part of every fact."""
        ...

    async def distill(self, clusters: Sequence[Cluster]) -> list[list[Statement]]:
        """Return the statements of each cluster, in the clusters' order.

        Raises:
            RetryLater: A remote model is away.
        """
        ...
