"""The snapshots of a home: which there are, which one a past state begins with, and which have to go.

One is a directory that is never changed and names the blocks of its files, which it shares with others. It is renamed
into its place once all of them are there, and out of it again before those go that no other names: whoever puts its
files together has all of them, or finds out that it is gone.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from helamem.processors.store.edge_shards import sync_directory
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.home import STORE, Home, wall_clock_ms
from helamem.streams.log.port import Log
from helamem.streams.log.writer_lock import WriterLock
from helamem.streams.snapshots import manifest as manifests
from helamem.streams.snapshots.blocks import AlteredBlockError, Blocks, named
from helamem.streams.snapshots.manifest import DeadLetters, Manifest, State, refused
from helamem.streams.snapshots.moment import begins_with_settings, is_of

BEGUN = "begun"
"""Where the next one is made."""
BLOCKS = "blocks"
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
        self.blocks = Blocks(root / BLOCKS)
        self._swept = False

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
            if folder.is_dir() and folder.name not in (BEGUN, BLOCKS) and folder.suffix != _GONE:
                try:
                    found.append(Kept(folder, manifests.read(folder)))
                except FileNotFoundError:
                    if folder.exists():  # and has not just been removed
                        raise refused(folder, f"{folder / manifests.FILE} is missing") from None
        return sorted(found, key=lambda one: (one.manifest.records, one.folder.name))

    async def nearest(
        self, log: Log, state: State, dead: DeadLetters, signed_by: Collection[str] | None = None
    ) -> Kept | None:
        """Return the one from which the fewest records lead to a state, or None.

        Args:
            log: Of which the state is.
            state: Where to.
            dead: What stands in the dead letters now.
            signed_by: Public keys in hexadecimal, one of which must have signed; None takes any, and unsigned ones.

        Raises:
            ConfigurationError: One of them is damaged or was altered, or this one is of another log.
        """
        fit = [
            one
            for one in self.kept()
            if one.manifest.state.reaches(state, dead) and (signed_by is None or one.manifest.public_key in signed_by)
        ]
        fit.sort(
            key=lambda one: (sum(one.manifest.state.positions[at] for at in state.positions), -one.manifest.size_bytes),
            reverse=True,
        )
        for one in fit:
            await check_log(log, one)
            if one.manifest.state.settings == state.settings or await begins_with_settings(log, one.manifest.state):
                return one
        return None

    def fill(self, home: Home, one: Kept) -> bool:
        """Put the files of a snapshot into a home that has no store yet; return False where it is gone or replaced.

        Every block is compared with its name, and the names with the manifest, before any of the files is used.

        Raises:
            ConfigurationError: A block was altered or is missing; the home has no store still.
            RetryLater: The disk is full or fails.
        """
        beside = home.path / f"{STORE}.copy"
        shutil.rmtree(beside, ignore_errors=True)
        try:
            self.blocks.restore(manifests.read_files(one.folder, one.manifest), beside)
            shutil.copyfile(one.folder / manifests.FILE, home.path / manifests.FILE)
        except FileNotFoundError as error:
            shutil.rmtree(beside, ignore_errors=True)
            if _is_gone(one):
                return False
            raise refused(one.folder, f"{error.filename} is missing") from None
        except ConfigurationError:  # its list is not what its manifest says
            if _is_gone(one):
                return False
            raise
        except AlteredBlockError as error:
            shutil.rmtree(beside)
            raise refused(one.folder, str(error)) from None
        except OSError as error:
            shutil.rmtree(beside, ignore_errors=True)
            raise RetryLater(f"the snapshot {one.folder} cannot be copied: {error}; free some space") from error
        derived = beside / home.derived_path.name
        if derived.exists():
            derived.replace(home.derived_path)
        (beside / STORE).rename(home.store_path)
        shutil.rmtree(beside)
        sync_directory(home.path)
        return True

    def put(self, folder: Path, name: str) -> None:
        """Give a snapshot its place, in which there may be one of the same state.

        Args:
            folder: Of the snapshot, on the same disk.
            name: Of its state.
        """
        place = self.root / name
        if place.exists():  # signed by another key, or by none
            self._remove(place)
        folder.rename(place)
        sync_directory(self.root)

    def thin(self, every: int, keep: int | None) -> None:
        """Remove what is not to be kept, and what is left of earlier removals and of what was never finished."""
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
        if not self._swept:
            self.sweep()
            self._swept = True

    def sweep(self) -> None:
        """Remove the blocks that no snapshot names."""
        sync_directory(self.root)  # what is out of its place stays so when the power fails
        self.blocks.sweep({block for one in self.kept() for block in self._named(one)})

    def remove(self, one: Kept) -> None:
        """Remove one; whoever copies from it finds out that it is gone. Its blocks go with the next `thin`."""
        self._remove(one.folder)

    def _remove(self, folder: Path) -> None:
        self._swept = False
        shutil.rmtree(_put_away(folder), ignore_errors=True)

    def _named(self, one: Kept) -> set[str]:
        try:
            return named(manifests.read_files(one.folder, one.manifest))
        except FileNotFoundError:
            raise refused(one.folder, f"{one.folder / manifests.LISTING} is missing") from None

    def clear(self) -> None:
        """Remove all, also what is damaged, but not what was begun.

        Raises:
            OSError: Something of one is still there.
        """
        folders = [path for path in self.root.iterdir() if path.is_dir() and path.name != BEGUN]
        # Those that have gone are where others are put, and blocks go after all that name them, as always.
        for folder in sorted(folders, key=lambda path: (path.suffix != _GONE, path.name == BLOCKS)):
            shutil.rmtree(folder if folder.suffix == _GONE else _put_away(folder))
        sync_directory(self.root)


async def check_log(log: Log, one: Kept) -> None:
    """Refuse a snapshot of another log, be its positions as they may.

    Raises:
        ConfigurationError: It is one.
    """
    if not await is_of(log, one.manifest.state):
        raise refused(one.folder, f"{one.folder / manifests.FILE} was made of another log")


def _put_away(folder: Path) -> Path:
    """Take one out of its place, from where alone it is copied."""
    return folder.rename(folder.with_suffix(_GONE))


def _is_gone(one: Kept) -> bool:
    """Return whether one is not in its place any more, where another of the same state may be.

    Raises:
        ConfigurationError: What is there was altered.
    """
    try:
        return manifests.read(one.folder) != one.manifest
    except FileNotFoundError:
        return not one.folder.exists()


def staying_of(numbers: Iterable[int], keep: int | None) -> set[int]:
    """Return which of some snapshots stay, by number: the newest ones of those that any power of two divides.

    So the further back, the further they lie apart, and few are left. One that went is never wanted again.

    Args:
        numbers: Counted from 1.
        keep: How many of each distance; None keeps all.
    """
    if keep is None:
        return set(numbers)
    known = sorted(numbers, reverse=True)
    return {number for level in range(_LEVELS) for number in [n for n in known if n % 2**level == 0][:keep]}
