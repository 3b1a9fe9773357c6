"""Where the store process of a home listens.

The socket lies in the home. A socket's path may have some 100 bytes and no more, so for a home that lies deeper the
socket is put into a short temporary directory, and a file in the home says where that is.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater

SOCKET = "store.sock"
ADDRESS = "store.address"
"""File that holds the path of a socket elsewhere."""

_LONGEST_BYTES = 103
"""What macOS takes; Linux takes 107."""
_PREFIX = "helamem-"
_TEMPORARY = (None, "/tmp")  # noqa: S108 - the directory made in it is private and has a name of its own


def command(home: Path) -> str:
    """Return the command that serves a home's store, for sentences that say what to do."""
    return f"helamem store --home {shlex.quote(str(home))}"


def find(home: Path) -> Path:
    """Return where the store process of a home listens, or would listen.

    Raises:
        RetryLater: Nobody serves it.
    """
    inside = home.resolve() / SOCKET
    if _fits(inside):
        return inside
    address = home / ADDRESS
    try:
        elsewhere = Path(os.fsdecode(address.read_bytes()))
        # What lies in a shared directory may have been swept away, and put there anew by somebody else.
        ours = elsewhere.stat().st_uid == address.stat().st_uid
    except OSError:
        ours = False
    if not ours:
        raise RetryLater(f"nobody serves the store of {home}; start it with: {command(home)}")
    return elsewhere


@contextlib.contextmanager
def bound(home: Path) -> Iterator[tuple[socket.socket, Path]]:
    """Bind the socket of a home, for its owner alone, and remove it in the end; connections wait for `listen`.

    Whoever calls it holds the home's lock, so a socket that is there already belongs to a process that was killed.

    Raises:
        BadInput: Something else lies where the socket has to be, or the directory cannot be written.
        ConfigurationError: No path is short enough.
    """
    try:
        _remove_stale(home)
        path = _place(home)
    except OSError as error:
        raise BadInput(f"the store of {home} cannot be served: {error}; check the path and its permissions") from None
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as listening:
        # From its first moment on: to change the mode afterwards would leave a gap.
        mask = os.umask(0o177)
        try:
            listening.bind(str(path))
        except OSError as error:
            raise BadInput(f"no socket can be made at {path}: {error.strerror}; use a local disk") from None
        finally:
            os.umask(mask)
        try:
            yield listening, path
        finally:
            _remove(home, path)


def _place(home: Path) -> Path:
    inside = home.resolve() / SOCKET
    if _fits(inside):
        return inside
    for parent in _TEMPORARY:
        directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        if _fits(directory / SOCKET):
            (home / ADDRESS).write_bytes(os.fsencode(directory / SOCKET))
            return directory / SOCKET
        directory.rmdir()
    raise ConfigurationError(
        f"the path {home} is too long for a socket, and so is {tempfile.gettempdir()}; set TMPDIR to a shorter one"
    )


def _remove_stale(home: Path) -> None:
    inside, address = home.resolve() / SOCKET, home / ADDRESS
    if inside.exists() and not stat.S_ISSOCK(inside.lstat().st_mode):
        raise BadInput(f"{inside} is no socket, and one has to be there; move it away")
    inside.unlink(missing_ok=True)
    if address.exists():
        elsewhere = Path(os.fsdecode(address.read_bytes()))
        if elsewhere.name == SOCKET and elsewhere.parent.name.startswith(_PREFIX):
            _remove(home, elsewhere)


def _remove(home: Path, path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    if path.parent != home.resolve():
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        (home / ADDRESS).unlink(missing_ok=True)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_BYTES
