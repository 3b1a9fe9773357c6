"""The blocks that the files of snapshots are made of: each is kept once, whichever snapshots name it.

A block is named by its SHA-256 and never changed. Edge lays files out in pages of up to 32 MiB, most of which are
holes, and writes most of what is new behind what is there: of a snapshot, what came since the one before it is new,
and little else. Blocks of 16 KiB would save a tenth of the disk, since links that were learned are written here
and there, and make fourteen times as many files.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TypeVar

from msgspec import Struct

from helamem.processors.store.edge_shards import sync_directory

BLOCK_BYTES = 256 * 1024
_AT_ONCE = 2
"""Files that are worked on side by side; reading, hashing and syncing let go of the interpreter."""
_NEW = ".new"
_SUM = re.compile("[0-9a-f]{64}")

T = TypeVar("T")


class FileBlocks(Struct, frozen=True, kw_only=True):
    """What a file holds."""

    size_bytes: int
    blocks: list[str]
    """The SHA-256 of each 256 KiB of it, without the zeros at their end; empty where there are only zeros, and none
    where only zeros follow."""


Files = Mapping[str, FileBlocks]
"""Files by their names, with `/` between folders."""


class AlteredBlockError(Exception):
    """A block does not hold what its name says.

    Args:
        path: Of the block.
        name: Of a file that it is a part of.
    """

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(f"{path}, a part of {name}, is not what the snapshot was made of")


class Blocks:
    """The blocks in a directory, which need not be there.

    Args:
        root: The directory.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def keep(self, source: Path, names: Sequence[str]) -> dict[str, FileBlocks]:
        """Keep what some files hold, and return it; durable on return.

        A block that is there and was altered is written anew.

        Args:
            source: The directory of the files; nobody writes them.
            names: Of the files below it, with `/` between folders.

        Raises:
            OSError: One of them is not there, or the disk is full.
        """
        self.root.mkdir(exist_ok=True)
        found = _each(names, lambda name: self._keep_file(source / name))
        for folder in {self._path(one).parent for one in named(found)}:  # also of blocks that a killed process left
            sync_directory(folder)
        sync_directory(self.root)
        return found

    def restore(self, files: Files, into: Path) -> None:
        """Put files together in a directory, durably. Every block is compared with its name before it is used.

        Args:
            files: What `keep` returned.
            into: The directory; it has none of them yet.

        Raises:
            AlteredBlockError: A block was altered; some of the files may be there.
            FileNotFoundError: A block is missing.
            OSError: The disk is full.
        """
        folders = _folders(files, into)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        _each(list(files), lambda name: self._restore_file(name, files[name], into / name))
        for folder in folders:
            sync_directory(folder)

    def sweep(self, staying: Collection[str]) -> None:
        """Remove all blocks but some, by name, and what was left half written."""
        for folder in self.root.iterdir() if self.root.is_dir() else ():
            for path in folder.iterdir():
                if path.name not in staying:
                    path.unlink(missing_ok=True)
            with suppress(OSError):  # there are some left
                folder.rmdir()

    def _path(self, name: str) -> Path:
        return self.root / name[:2] / name

    def _keep_file(self, source: Path) -> FileBlocks:
        blocks: list[str] = []
        with source.open("rb", buffering=0) as reading:
            size_bytes = os.fstat(reading.fileno()).st_size
            for index in _with_data(reading.fileno(), size_bytes):
                at = index * BLOCK_BYTES
                piece = os.pread(reading.fileno(), BLOCK_BYTES, at)
                if len(piece) < min(BLOCK_BYTES, size_bytes - at):
                    raise OSError(errno.EIO, "became shorter while it was read", str(source))
                piece = piece.rstrip(b"\0")
                if piece:
                    blocks.extend([""] * (index - len(blocks)))
                    blocks.append(self._keep(piece))
        return FileBlocks(size_bytes=size_bytes, blocks=blocks)

    def _keep(self, piece: bytes) -> str:
        name = hashlib.sha256(piece).hexdigest()
        path = self._path(name)
        with suppress(FileNotFoundError):
            if path.read_bytes() == piece:
                return name
        path.parent.mkdir(exist_ok=True)
        begun = path.with_name(f"{name}.{threading.get_ident()}{_NEW}")  # two files may have the same block
        try:
            with begun.open("wb") as writing:
                writing.write(piece)
                writing.flush()
                os.fsync(writing.fileno())
            begun.replace(path)
        except OSError:
            begun.unlink(missing_ok=True)
            raise
        return name

    def _restore_file(self, name: str, file: FileBlocks, target: Path) -> None:
        with target.open("xb", buffering=0) as writing:
            for index, one in enumerate(file.blocks):
                if one:
                    piece = self._path(one).read_bytes()
                    if hashlib.sha256(piece).hexdigest() != one:
                        raise AlteredBlockError(self._path(one), name)
                    _write(writing.fileno(), piece, index * BLOCK_BYTES)
            writing.truncate(file.size_bytes)
            os.fsync(writing.fileno())


def names_below(root: Path, folder: str) -> list[str]:
    """Return the names of all files below a folder of a directory, sorted, with `/` between folders."""
    return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())


def named(files: Files) -> set[str]:
    """Return the names of the blocks of some files."""
    return {one for file in files.values() for one in file.blocks if one}


def are_sound(files: Files) -> bool:
    """Return whether some files lie where they are put together and nowhere else, and so do their blocks."""
    return all(
        not PurePosixPath(name).is_absolute()
        and ".." not in PurePosixPath(name).parts
        and all(not one or _SUM.fullmatch(one) for one in file.blocks)
        for name, file in files.items()
    )


def _each(names: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
    with ThreadPoolExecutor(_AT_ONCE, "helamem-snapshot") as threads:
        return dict(zip(names, threads.map(work, names), strict=True))


def _folders(names: Collection[str], root: Path) -> set[Path]:
    return {root.joinpath(*parts) for name in names for parts in _heads(PurePosixPath(name).parts)}


def _heads(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [parts[:count] for count in range(len(parts))]


def _with_data(descriptor: int, size_bytes: int) -> Iterator[int]:
    """Yield which blocks of a file have data, in turn; all of them where the file system knows no holes."""
    following = 0
    for begin, end in _data(descriptor, size_bytes):
        first = max(following, begin // BLOCK_BYTES)
        following = max(following, -(-end // BLOCK_BYTES))
        yield from range(first, following)


def _data(descriptor: int, size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data; all of it where the file system knows no holes."""
    at = 0
    while at < size_bytes:
        try:
            begin = os.lseek(descriptor, at, os.SEEK_DATA)
            at = os.lseek(descriptor, begin, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            begin, at = at, size_bytes
        yield begin, min(at, size_bytes)


def _write(descriptor: int, piece: bytes, at: int) -> None:
    left = memoryview(piece)
    while left:
        count = os.pwrite(descriptor, left, at)
        left, at = left[count:], at + count
