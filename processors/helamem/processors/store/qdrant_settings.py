"""How the collections on a Qdrant server are kept."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from helamem.schemas.errors import ConfigurationError

Quantization = Literal["none", "scalar", "binary"]


class QdrantSettings(Struct, frozen=True, kw_only=True):
    """What collections are made with.

    Raises:
        ConfigurationError: More replicas have to confirm a write than there are.
    """

    replication: int = 1
    """Replicas of each shard."""
    write_consistency: int | None = None
    """So many replicas have to confirm a write; None is more than half of them."""
    payload_on_disk: bool = True
    """Whether payloads are read from disk when they are asked for, or kept in memory."""
    quantization: Quantization = "none"
    """How vectors are searched: as they are, or by a smaller copy first (8 bits or 1 bit a number)."""

    def __post_init__(self) -> None:
        if self.confirmations > self.replication:
            raise ConfigurationError(
                f"{self.write_consistency} replicas are to confirm a write and there are {self.replication}; "
                "set HELAMEM_QDRANT_WRITE_CONSISTENCY to no more than HELAMEM_QDRANT_REPLICATION"
            )

    @property
    def confirmations(self) -> int:
        """So many replicas have to confirm a write."""
        return self.write_consistency or self.replication // 2 + 1
