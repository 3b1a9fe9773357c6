"""The snapshots of a home: which there are, which one a past state begins with, and which have to go.

One is a directory that is never changed. It is renamed into its place whole and out of it again before it is removed,
so whoever copies from it has all of it, or finds out that it is gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from helamem.processors.store.edge_shards import sync_directory
from helamem.schemas.errors import RetryLater
from helamem.streams.home import STORE, Home, wall_clock_ms
from helamem.streams.log.writer_lock import WriterLock
from helamem.streams.snapshots import manifest as manifests
from helamem.streams.snapshots.files import copy_files
from helamem.streams.snapshots.manifest import DeadLetters, Manifest, State, refused

BEGUN = "begun"
"""Where the next one is made."""
_GONE = ".gone"
_LOCK = "snapshots.lock"
_LEVELS = 48


class Kept(NamedTuple):
    """A snapshot and where it is."""

    folder: Path
    manifest: Manifest


class Snapshots:
    """The snapshots below a home.

    Args:
        root: Their directory, which need not be there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def lock(self) -> WriterLock:
        """Keep out whoever else makes or removes some; their directory has to be there.

        Raises:
            ConfigurationError: Another process does (`InUseError`).
        """
        return WriterLock.take(self.root / _LOCK, f"the directory {self.root}", wall_clock_ms)

    def kept(self) -> list[Kept]:
        """Return those that there are, the shortest first.

        Raises:
            ConfigurationError: One of them is damaged, or was altered.
        """
        found = []
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            if folder.is_dir() and folder.name != BEGUN and folder.suffix != _GONE:
                try:
                    found.append(Kept(folder, manifests.read(folder)))
                except FileNotFoundError:
                    if folder.exists():  # and has not just been removed
                        raise refused(folder, f"{folder / manifests.FILE} is missing") from None
        return sorted(found, key=lambda one: (one.manifest.records, one.folder.name))

    def nearest(self, state: State, dead: DeadLetters, signed_by: Collection[str] | None = None) -> Kept | None:
        """Return the one from which the fewest records lead to a state, or None.

        Args:
            state: Where to.
            dead: What stands in the dead letters now.
            signed_by: Public keys in hexadecimal, one of which must have signed; None takes any, and unsigned ones.
        """
        fit = [
            one
            for one in self.kept()
            if one.manifest.state.reaches(state, dead) and (signed_by is None or one.manifest.public_key in signed_by)
        ]
        return max(
            fit,
            key=lambda one: (sum(one.manifest.state.positions[at] for at in state.positions), -one.manifest.size_bytes),
            default=None,
        )

    def fill(self, home: Home, one: Kept) -> bool:
        """Put a copy of a snapshot into a home that has no store yet; return False where it is gone.

        Every file is compared with its sum in the manifest before any of them is used.

        Raises:
            ConfigurationError: A file was altered or is missing; the home has no store still.
            RetryLater: The disk is full or fails.
        """
        beside = home.path / f"{STORE}.copy"
        shutil.rmtree(beside, ignore_errors=True)
        wanted = one.manifest.files
        try:
            found = copy_files(one.folder, list(wanted), beside)
        except FileNotFoundError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if not one.folder.exists():
                return False
            raise refused(one.folder, f"{error.filename} is missing") from None
        except OSError as error:
            raise RetryLater(f"the snapshot {one.folder} cannot be copied: {error}; free some space") from error
        for name, theirs in wanted.items():
            if found[name] != theirs:
                shutil.rmtree(beside)
                raise refused(one.folder, f"{one.folder / name} is not what the snapshot was made of")
        derived = beside / home.derived_path.name
        if derived.exists():
            derived.replace(home.derived_path)
        shutil.copyfile(one.folder / manifests.FILE, home.path / manifests.FILE)
        (beside / STORE).rename(home.store_path)
        shutil.rmtree(beside)
        sync_directory(home.path)
        return True

    def thin(self, every: int, keep: int) -> None:
        """Remove what is not to be kept, and what is left of earlier removals."""
        for folder in self.root.glob(f"*{_GONE}"):
            shutil.rmtree(folder, ignore_errors=True)
        spaces: dict[str | None, dict[int, Kept]] = {}
        for one in self.kept():
            numbers = spaces.setdefault(one.manifest.state.space, {})
            number = max(1, one.manifest.records // every)
            if number in numbers:
                self.remove(numbers[number])
            numbers[number] = one
        for numbers in spaces.values():
            staying = staying_of(numbers, keep)
            for number, one in numbers.items():
                if number not in staying:
                    self.remove(one)

    def remove(self, one: Kept) -> None:
        """Remove one; whoever copies from it finds out that it is gone."""
        gone = _put_away(one.folder)
        shutil.rmtree(gone, ignore_errors=True)

    def clear(self) -> None:
        """Remove all, also what is damaged, but not what was begun.

        Raises:
            OSError: Something of one is still there.
        """
        folders = [path for path in self.root.iterdir() if path.is_dir() and path.name != BEGUN]
        for folder in folders:
            shutil.rmtree(folder if folder.suffix == _GONE else _put_away(folder))
        sync_directory(self.root)


def _put_away(folder: Path) -> Path:
    """Take one out of its place, from where alone it is copied."""
    return folder.rename(folder.with_suffix(_GONE))


def staying_of(numbers: Iterable[int], keep: int) -> set[int]:
    """Return which of some snapshots stay, by number: the newest ones of those that any power of two divides.

    So the further back, the further they lie apart, and few are enough. One that went is never wanted again.

    Args:
        numbers: Counted from 1.
        keep: How many of each distance.
    """
    known = sorted(numbers, reverse=True)
    return {number for level in range(_LEVELS) for number in [n for n in known if n % 2**level == 0][:keep]}
