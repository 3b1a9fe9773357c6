"""The files of a snapshot: read once to be summed, and copied on the way where that is wanted.

Edge lays files out in pages of up to 32 MiB, most of which are holes; a copy has the same holes.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from msgspec import Struct

from helamem.processors.store.edge_shards import sync_directory

_PIECE_BYTES = 1024**2
_ZEROS = memoryview(bytes(_PIECE_BYTES))
_AT_ONCE = 2
"""Files that are worked on side by side; reading and hashing let go of the interpreter."""


class FileSum(Struct, frozen=True, kw_only=True):
    """What a file holds."""

    size_bytes: int
    sha256: str
    """Over the whole file, holes included: what `sha256sum` prints."""


def names_below(root: Path, folder: str) -> list[str]:
    """Return the names of all files below a folder of a directory, sorted, with `/` between folders."""
    return sorted(path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file())


def sum_files(root: Path, names: Sequence[str]) -> dict[str, FileSum]:
    """Make files below a directory durable, and return their sums."""
    return _each(names, lambda name: _through(root / name, None), root)


def copy_files(source: Path, names: Sequence[str], into: Path) -> dict[str, FileSum]:
    """Copy files below a directory into another one, durably, and return the sums of what was copied.

    Raises:
        OSError: One of them is not there, or the disk is full.
    """
    for folder in _folders(names, into):
        folder.mkdir(parents=True, exist_ok=True)
    return _each(names, lambda name: _through(source / name, into / name), into)


def _each(names: Sequence[str], work: Callable[[str], FileSum], root: Path) -> dict[str, FileSum]:
    with ThreadPoolExecutor(_AT_ONCE, "helamem-snapshot") as threads:
        sums = dict(zip(names, threads.map(work, names), strict=True))
    for folder in _folders(names, root):
        sync_directory(folder)
    return sums


def _folders(names: Sequence[str], root: Path) -> set[Path]:
    return {root.joinpath(*parts) for name in names for parts in _heads(PurePosixPath(name).parts)}


def _heads(parts: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [parts[:count] for count in range(len(parts))]


def _through(source: Path, target: Path | None) -> FileSum:
    """Read a file to its end, write it elsewhere where that is wanted, and sync what stays."""
    hashed = hashlib.sha256()
    piece = memoryview(bytearray(_PIECE_BYTES))
    with ExitStack() as stack:
        # unbuffered: pieces go from one file into the other as they are
        reading = stack.enter_context(source.open("rb", buffering=0))
        writing = None if target is None else stack.enter_context(target.open("xb", buffering=0))
        size_bytes = os.fstat(reading.fileno()).st_size
        at = 0
        for begin, end in _data(reading.fileno(), size_bytes):
            _add_zeros(hashed.update, begin - at)
            reading.seek(begin)
            if writing is not None:
                writing.seek(begin)
            at = begin
            while at < end:
                count = reading.readinto(piece[: end - at])
                if not count:
                    raise OSError(errno.EIO, "became shorter while it was read", str(source))
                hashed.update(piece[:count])
                if writing is not None:
                    _write(writing.fileno(), piece[:count])
                at += count
        _add_zeros(hashed.update, size_bytes - at)
        if writing is not None:
            writing.truncate(size_bytes)
        os.fsync((writing or reading).fileno())
    return FileSum(size_bytes=size_bytes, sha256=hashed.hexdigest())


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


def _add_zeros(update: Callable[[memoryview], None], count: int) -> None:
    while count > 0:
        update(_ZEROS[:count])
        count -= _PIECE_BYTES


def _write(descriptor: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]
