"""One writer: an exclusive lock of the operating system that also says who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.times import format_ms

_PATIENCE_S = 10.0
"""How long a brief holder is waited for."""
_UNSAID_S = 0.2
"""How long one that has not yet said who it is."""
_LOOK_AGAIN_S = 0.02


class Holder(Struct, frozen=True, kw_only=True):
    """Who holds a lock."""

    pid: int
    command: str
    since_ms: int
    """When it took the lock, milliseconds since 1970."""
    brief: bool = False
    """It writes a few records and is gone: whoever comes meanwhile waits for it."""


class InUseError(ConfigurationError):
    """Another process writes here already.

    Args:
        guarded: What was to be written, in words and with its path.
        holder: Who writes it, or None where it has not yet said so.
    """

    def __init__(self, guarded: str, holder: Holder | None) -> None:
        who = (
            f"process {holder.pid} ({holder.command}) since {format_ms(holder.since_ms)}"
            if holder
            else "another process, which is just starting"
        )
        super().__init__(f"{guarded} is being written by {who}; stop that process first, or name another directory")
        self.guarded = guarded
        self.who = who
        self.holder = holder


class WriterLock:
    """A lock that the operating system gives back when its process ends, however it ends.

    A child made by a bare `fork` shares the lock; one that executes a program does so only where `descriptor` is passed
    on to it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, guarded: str, clock: Callable[[], int], *, brief: bool = False) -> WriterLock:
        """Take the lock at once, or as soon as a brief holder has let go of it, or not at all. It may block so long.

        Args:
            path: The lock's own file. It stays behind. Where it goes with its directory, one that was taken meanwhile
                is no lock, and is taken again.
            guarded: What the lock is for, in words and with its path.
            clock: Returns milliseconds since 1970.
            brief: It will be held for a moment only.

        Raises:
            InUseError: Another process holds it; the error names that process.
            BadInput: The lock's file cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise BadInput(
                f"{guarded} cannot be locked for writing: {error.strerror}: {path}; check the path and its permissions"
            ) from None
        began = time.monotonic()
        try:
            looked = False
            while not _locked(descriptor):
                holder = _read_holder(descriptor)
                # At first that may be who was there before: a brief one has just followed, and not yet said so.
                if looked and time.monotonic() - began >= _patience_s(holder):
                    os.close(descriptor)
                    raise InUseError(guarded, holder)
                looked = True
                time.sleep(_LOOK_AGAIN_S)
        except OSError as error:
            os.close(descriptor)
            raise BadInput(
                f"{guarded} cannot be locked: {error.strerror}: {path}; use a directory on a local disk"
            ) from None
        if not _is_at(path, descriptor):
            os.close(descriptor)
            return cls.take(path, guarded, clock, brief=brief)
        _write_holder(descriptor, clock(), brief=brief)
        return cls(descriptor)

    @property
    def descriptor(self) -> int:
        """The open file; the lock is held until every process that has it has closed it."""
        assert self._descriptor is not None  # it was not released
        return self._descriptor

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _patience_s(holder: Holder | None) -> float:
    if holder is None:
        return _UNSAID_S
    return _PATIENCE_S if holder.brief else 0.0


def _locked(descriptor: int) -> bool:
    """Take the lock if it is free, and return whether it was."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file is the one that stands at a path now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_holder(descriptor: int, now_ms: int, *, brief: bool) -> None:
    command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]
    note = msgspec.json.encode(Holder(pid=os.getpid(), command=command, since_ms=now_ms, brief=brief))
    # The lock is what protects; the note is a courtesy, and a full disk shall not keep anyone from opening.
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, note, 0)


def _read_holder(descriptor: int) -> Holder | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None
