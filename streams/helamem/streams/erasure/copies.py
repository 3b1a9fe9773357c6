"""The copies of a home's state that lie in it, past states and snapshots: kept from everybody, and removed.

Whoever fills one holds its lock and asks only then what was erased. So one that was begun before an erasure is in use
when that looks for it, and one that is begun afterwards has no erased word, once there is no snapshot to begin with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from helamem.schemas.errors import BadInput
from helamem.streams.home import LOCK, Home, lock_home, wall_clock_ms
from helamem.streams.sealing.files import sync_directory
from helamem.streams.snapshots.shelf import BEGUN, Snapshots


class Copies:
    """The copies in one home. A context manager, which keeps locks until its end.

    Args:
        home: The home; it is not locked by this.
    """

    def __init__(self, home: Path) -> None:
        looked = Home.look(home)
        self._moments = looked.moments_path
        self._snapshots = Snapshots(looked.snapshots_path)
        self._locked: set[Path] = set()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def lock(self) -> None:
        """Keep everybody out of all copies that there are, and from taking snapshots.

        Raises:
            InUseError: Somebody uses one, or takes some.
        """
        if self._snapshots.root not in self._locked:
            self._snapshots.root.mkdir(exist_ok=True)  # somebody may be about to
            self._stack.callback(self._snapshots.lock().release)
            self._locked.add(self._snapshots.root)
        for place in (self._snapshots.root / BEGUN, *_folders(self._moments)):
            if place in self._locked or not place.is_dir():
                continue
            try:
                lock = lock_home(place, wall_clock_ms)
            except BadInput:
                if place.is_dir():
                    raise
                continue  # somebody has just made room there
            self._stack.callback(lock.release)
            self._locked.add(place)

    def remove(self) -> None:
        """Remove them, and leave the files of locks: somebody may be waiting to open one.

        Raises:
            InUseError: Somebody began with another one meanwhile; what could be removed is gone.
        """
        self._snapshots.clear()
        try:
            self.lock()  # also those that were begun with a snapshot before it went
        finally:
            for place in self._locked - {self._snapshots.root}:
                if place.is_dir():  # they may be deleted by hand at any time
                    _empty(place)


def _folders(root: Path) -> Iterator[Path]:
    return (path for path in (sorted(root.iterdir()) if root.is_dir() else ()) if path.is_dir())


def _empty(place: Path) -> None:
    """Remove all that is in a directory but its lock; files first, so that half of a home is none."""
    for path in sorted(place.iterdir(), key=lambda path: (path.is_dir(), path.name)):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    sync_directory(place)
