"""Which events a partition has accepted lately, so that the same id again is recognised."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from itertools import chain
from typing import Literal

WINDOW = 8192
"""Accepted events of a partition within which the same id again is recognised."""

_HASH_BYTES = 8
Verdict = Literal["accepted", "duplicate", "conflict"]


class Seen:
    """The accepted events of one partition.

    Args:
        stored: What `to_bytes` returned.
    """

    def __init__(self, stored: bytes = b"") -> None:
        size = 2 * _HASH_BYTES
        self._hashes = OrderedDict(
            (stored[start : start + _HASH_BYTES], stored[start + _HASH_BYTES : start + size])
            for start in range(0, len(stored), size)
        )

    def admit(self, event_id: str, value: bytes) -> tuple[Verdict, bytes]:
        """Say whether an event is new, and return the 8 bytes of its id's hash.

        Args:
            event_id: The event's id.
            value: The record's bytes; the same id with other bytes is a conflict, and the first one counts.
        """
        id_hash = blake2b(event_id.encode(), digest_size=_HASH_BYTES).digest()
        value_hash = blake2b(value, digest_size=_HASH_BYTES).digest()
        first = self._hashes.get(id_hash)
        if first is not None:
            return ("duplicate" if first == value_hash else "conflict"), id_hash
        self._hashes[id_hash] = value_hash
        if len(self._hashes) > WINDOW:
            self._hashes.popitem(last=False)
        return "accepted", id_hash

    def to_bytes(self) -> bytes:
        """Return per accepted event, oldest first, 8 bytes of its id's hash and 8 of its bytes' hash."""
        return b"".join(chain.from_iterable(self._hashes.items()))
