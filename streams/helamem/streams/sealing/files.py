"""Files that hold secrets: whole or not at all, for their owner alone, and on disk before anything rests on them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_secret(path: Path, content: bytes) -> None:
    """Write a new file that only its owner may read, or replace one."""
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, so that the mode holds from the beginning
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_directory(path.parent)


def create_secret(path: Path, content: bytes) -> bool:
    """Write a new file that only its owner may read, and return whether it is new: one that is there stays.

    Of several processes that do so at once, on several machines too, one succeeds.
    """
    beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    write_secret(beside, content)
    try:
        os.link(beside, path)
    except FileExistsError:
        return False
    finally:
        beside.unlink()
        sync_directory(path.parent)
    return True


def wipe(path: Path) -> None:
    """Overwrite a file's bytes and empty it. What a disk or a file system keeps elsewhere is beyond reach."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.write(bytes(size))
        file.flush()
        os.fsync(file.fileno())
        file.truncate(0)
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Make durable which files a directory holds."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
