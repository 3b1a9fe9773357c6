"""`Untraced`: what stands for a `Tracing` where nobody traces."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # they import arrays, and commands that need none import this
    from helamem.processors.embedder.port import Embedder
    from helamem.processors.recall.hits import Hit
    from helamem.processors.store.port import MemoryStore
    from helamem.streams.metrics.unmeasured import Unmeasured


class Untraced:
    """Makes no spans, and leaves everything as it is."""

    def pump(self, group: str, sealed_tenants: Collection[str] = ()) -> Unmeasured:
        """Return what is put around the ports of the pump of a group; words of these tenants are sealed."""
        from helamem.streams.metrics.unmeasured import Unmeasured  # noqa: PLC0415 - see above

        del group, sealed_tenants
        return Unmeasured()

    def sending(
        self, topic: str, *, space: str | None = None, records: int = 1, cause: str | None = None
    ) -> AbstractContextManager[str | None]:
        """Have records sent inside, whose events carry the trace context that is given, if any.

        Args:
            topic: Where to.
            space: Of all of them, or None where there are several.
            records: How many.
            cause: Trace context of the event that they follow from.
        """
        del topic, space, records, cause
        return nullcontext()

    def recall(self, space: str) -> AbstractContextManager[None]:
        """Have a question to a space answered inside."""
        del space
        return nullcontext()

    def found(self, hits: Sequence[Hit]) -> None:
        """Note what the recall under way found."""

    def store(self, store: MemoryStore) -> MemoryStore:
        """Return the store that recalls ask."""
        return store

    def embedder(self, embedder: Embedder) -> Embedder:
        """Return the embedder that recalls ask."""
        return embedder

    def close(self) -> None:
        """Send what is left."""


UNTRACED = Untraced()
