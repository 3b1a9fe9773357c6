"""What encoding carries from batch to batch besides the store: the settings in force and the events it has seen.

Messages are not among them: the store itself knows for ever which message was the first with its id.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct, structs

from helamem.processors.seen import Seen
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.settings import Settings

STATE_VERSION = 1


class _Stored(Struct, frozen=True, array_like=True):
    version: int
    settings: Settings
    seen: bytes
    embedder: str | None = None


class EncodingState:
    """The state of one partition.

    Args:
        settings: In force.
        seen: The events that were accepted.
        embedder: What embeds this projection, whatever the log says; None is what the log says.
    """

    def __init__(self, settings: Settings, seen: Seen, embedder: str | None = None) -> None:
        self.embedder = embedder
        self.settings = self._own(settings)
        self.seen = seen

    def take(self, settings: Settings) -> None:
        """Put settings from the log in force."""
        self.settings = self._own(settings)

    def _own(self, settings: Settings) -> Settings:
        return settings if self.embedder is None else embedded_by(settings, self.embedder)

    @classmethod
    def of(cls, stored: bytes | None, configured: Settings, embedder: str | None = None) -> EncodingState:
        """Return a state from a checkpoint, or the one at the start of a partition.

        Args:
            stored: From the checkpoint, which says itself what embeds.
            configured: In force until the log says otherwise.
            embedder: What embeds, whatever the log says.

        Raises:
            ConfigurationError: Another version of helamem wrote it.
        """
        if not stored:
            return cls(configured, Seen(), embedder)
        try:
            found = msgspec.msgpack.decode(stored, type=_Stored)
        except msgspec.DecodeError:
            found = None
        if found is None or found.version != STATE_VERSION:
            raise ConfigurationError(
                "a checkpoint of encoding was written by another version of helamem; "
                "use that version, or rebuild the projection with `helamem replay`"
            )
        return cls(found.settings, Seen(found.seen), found.embedder)

    def to_bytes(self) -> bytes:
        """Return the state for a checkpoint: the same state is always the same bytes."""
        return msgspec.msgpack.encode(_Stored(STATE_VERSION, self.settings, self.seen.to_bytes(), self.embedder))


def embedded_by(settings: Settings, embedder: str) -> Settings:
    """Return settings with another embedder."""
    return structs.replace(settings, encoding=structs.replace(settings.encoding, embedder=embedder))
