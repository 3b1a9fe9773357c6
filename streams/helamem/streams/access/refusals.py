"""`Refusals`: which of them are recorded, so that whoever asks in a loop fills neither memory nor log."""

from __future__ import annotations

from collections import defaultdict

from helamem.schemas.events import SpaceAccessed

STATUS = 403
"""Of whoever lacks the right, or has no business in the space."""
AGAIN_MS = 10_000
"""The same refusal is recorded once in so long."""
MOST_OF_CALLER = 100
"""Different ones of a caller in that time."""


class Refusals:
    """Remembers what is recorded already."""

    def __init__(self) -> None:
        self._since_ms = 0
        self._seen: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def is_new(self, space: str, refused: SpaceAccessed, now_ms: int) -> bool:
        """Return whether a refusal is to be recorded, and take it that it is."""
        if not 0 <= now_ms - self._since_ms < AGAIN_MS:
            self._since_ms = now_ms
            self._seen.clear()
        seen, what = self._seen[refused.caller], (refused.endpoint, space)
        if what in seen or len(seen) >= MOST_OF_CALLER:
            return False
        seen.add(what)
        return True
