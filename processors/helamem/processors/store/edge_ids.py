"""Ids as text: the engine gives UUID objects, whose text takes longer to write than a score to compute."""

from __future__ import annotations

from uuid import UUID

KEPT = 200_000
"""Ids whose text is kept, about 150 bytes each."""


class IdTexts(dict[int, str]):
    """The text of an id by its number; it remembers those that come back again and again."""

    def __missing__(self, number: int) -> str:
        """Return the text of an id that is not remembered yet."""
        if len(self) >= KEPT:
            self.clear()
        text = self[number] = str(UUID(int=number))
        return text
