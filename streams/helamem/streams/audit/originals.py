"""What there was to copy of one partition, in few bytes a record: an audit holds that of a whole topic at a time."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import Literal

HASH_BYTES = 16
"""Of each record the first half of its SHA-256 is kept: to find another record with the same one takes 2^128 tries."""
EVERYWHERE = -1
"""Where a record belongs of which each partition has a copy: settings."""
_FOUND = -2
Taken = Literal["the same", "another", "again", "of none"]
"""What a copy is, beside what it says that it is a copy of."""


class Originals:
    """The records of one partition in the earlier generation, by offset: a hash, and where the copy belongs.

    It takes 20 bytes a record, and 16 more where offsets are passed over.
    """

    def __init__(self) -> None:
        self._begins = array("q")  # of each run of offsets without a gap: the first one
        self._before = array("q")  # and how many records there are before it
        self._hashes = bytearray()
        self._targets = array("i")
        self.first_copied = sys.maxsize
        """The lowest offset of which any partition has a copy: what lies before was gone when the log was migrated."""

    def __len__(self) -> int:
        return len(self._targets)

    @property
    def end(self) -> int:
        """What lies from this offset on nobody has told."""
        return self._begins[-1] + len(self) - self._before[-1] if self._begins else 0

    def add(self, offset: int, hash_: bytes, target: int) -> None:
        """Take in the next record, and in which partition its copy belongs."""
        if not self._begins or offset != self.end:
            self._begins.append(offset)
            self._before.append(len(self))
        self._hashes += hash_[:HASH_BYTES]
        self._targets.append(target)

    def take(self, offset: int, hash_: bytes) -> Taken:
        """Take the copy of the record at an offset for found, and return what it is."""
        self.first_copied = min(self.first_copied, offset)
        index = self._index(offset)
        if index is None:
            return "of none"
        target = self._targets[index]
        if target == _FOUND:
            return "again"
        if target != EVERYWHERE:
            self._targets[index] = _FOUND
        known = self._hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]
        return "the same" if known == hash_[:HASH_BYTES] else "another"

    def without_copy(self) -> Iterator[tuple[int, int]]:
        """Yield each record that was not found, and where its copy belongs, in order."""
        for run, begin in enumerate(self._begins):
            before = self._before[run]
            end = self._before[run + 1] if run + 1 < len(self._before) else len(self)
            for index in range(before, end):
                if self._targets[index] >= 0:
                    yield begin + index - before, self._targets[index]

    def _index(self, offset: int) -> int | None:
        run = bisect_right(self._begins, offset) - 1
        if run < 0:
            return None
        index = self._before[run] + offset - self._begins[run]
        end = self._before[run + 1] if run + 1 < len(self._before) else len(self)
        return index if index < end else None
