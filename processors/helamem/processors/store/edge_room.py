"""Room on the disk: Edge must not be let run into its end.

Its files are mapped into memory, and the kernel answers the touch of a mapped page that finds no room by killing the
process (SIGBUS). So a write is refused, as something to be tried again, while there is still a reserve.
"""

from __future__ import annotations

import os
from pathlib import Path

from helamem.schemas.errors import RetryLater

RESERVE_BYTES = 256 * 1024**2
"""Left free at least: one operation may make a shard add a segment file and a piece of its log, 32 MB each."""
OPENING_BYTES = 64 * 1024**2
"""Free at least where a store is opened, and while a log beside it grows: files that are mapped have holes."""
SHARD_BYTES = 48 * 1024**2
"""What a new shard takes."""
_MIB = 1024**2


class Room:
    """The free space of the disk that holds a store.

    Args:
        path: The store's directory.
        reserve_bytes: What must be free for a write.
        what: Lies at the path.
    """

    def __init__(self, path: Path, reserve_bytes: int = RESERVE_BYTES, *, what: str = "the store") -> None:
        self._path = path
        self._reserve_bytes = reserve_bytes
        self._what = what

    def check(self) -> None:
        """Refuse to go on when there is too little.

        Raises:
            RetryLater: Says how much is free and how much is needed.
        """
        self._need(self._reserve_bytes)

    def check_to_open(self, new_shards: int) -> None:
        """Refuse to open a store, or to make so many shards, where there is too little room for it.

        Raises:
            RetryLater: Says how much is free and how much is needed.
        """
        self._need(OPENING_BYTES + new_shards * SHARD_BYTES)

    def check_for_copy(self) -> None:
        """Refuse to go on unless the whole store would fit once more, as while segments are merged.

        Raises:
            RetryLater: Says how much is free and how much is needed.
        """
        files = (file.stat() for file in self._path.rglob("*") if file.is_file())
        self._need(self._reserve_bytes + sum(file.st_blocks * 512 for file in files))

    def _need(self, size_bytes: int) -> None:
        disk = os.statvfs(self._path)
        free_bytes = disk.f_bavail * disk.f_frsize
        if free_bytes < size_bytes:
            raise RetryLater(
                f"the disk that holds {self._what} at {self._path} is almost full: {free_bytes // _MIB:,} MiB are "
                f"free, {size_bytes // _MIB:,} MiB are needed to go on safely; free some space"
            )
