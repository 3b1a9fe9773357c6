"""The data keys: one for each data subject of a space, wrapped by the master key.

A key is in use, retired (it opens what it sealed and seals nothing more) or destroyed. A file's name says which, so
each step is one rename. Processes that share a directory take turns at changing it, by a lock in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import orjson
from msgspec import Struct

from helamem.processors.encoding.unsealing import MissingKeyError
from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.schemas.events import SealingKey
from helamem.streams.sealing.files import sync_directory, wipe, write_secret
from helamem.streams.sealing.master import FILE, MasterKey, master_key

_KEY_BYTES = 32
_USED, _RETIRED, _DESTROYED = "", ".retired", ".destroyed"
_LOCK = "lock"
_NO_KEYS = {FILE, _LOCK}
"""Files in the directory that are none."""


def make_keys(directory: Path) -> None:
    """Make a directory for keys, for its owner alone, and a master key, unless there are.

    Raises:
        ConfigurationError: The master key is none, or others may read it.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    sync_directory(directory.parent)
    master_key(directory, create=True)


class DataKey(NamedTuple):
    """A key and its id."""

    id: str
    key: bytes


class KeyStore(Protocol):
    """Where data keys are kept."""

    def current(self, space: str, subject: str) -> DataKey:
        """Return the key in use of a data subject; it is made, durably, where there is none."""
        ...

    def find(self, space: str, subject: str, key_id: str) -> bytes | None:
        """Return a key that is in use or retired; None where it was destroyed.

        Raises:
            MissingKeyError: There never was such a key here.
            RetryLater: The keys are away.
        """
        ...

    def live(self, space: str, subject: str) -> list[str]:
        """Return the ids of the keys of a data subject that are not destroyed.

        Raises:
            RetryLater: The keys are away.
        """
        ...

    def known(self, space: str, subject: str) -> list[str]:
        """Return the ids of all keys that a data subject ever had here.

        Raises:
            RetryLater: The keys are away.
        """
        ...

    def retire(self, space: str, subject: str) -> list[str]:
        """Seal nothing more with the key in use; the next `current` makes another.

        Returns:
            The ids of all keys that are retired now.
        """
        ...

    def destroy(self, space: str, subject: str, key_id: str) -> None:
        """Destroy a key, durably; a second time does no harm."""
        ...


class _Stored(Struct, frozen=True, kw_only=True):
    space: str
    subject: str
    wrapped: str
    """In hexadecimal."""


class _Name(NamedTuple):
    owner: str
    key_id: str
    state: str

    @property
    def file(self) -> str:
        return f"{self.owner}-{self.key_id}{self.state}"


class KeyFiles:
    """A `KeyStore` in a directory, one file for each key; many processes may use it at once.

    What is read is remembered. Whether a key is still in use is looked at before each use, since another process may
    retire or destroy it at any time.

    Args:
        directory: Made with its master key by `make_keys`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._master: MasterKey | None = None
        self._opened: dict[str, bytes] = {}
        self._names: dict[str, _Name] = {}
        self._used: dict[str, str] = {}

    def current(self, space: str, subject: str) -> DataKey:
        """See `KeyStore.current`."""
        owner = _owner(space, subject)
        if (known := self._in_use(owner)) is not None and known.key_id in self._opened:
            return DataKey(known.key_id, self._opened[known.key_id])
        with self._locked():
            if (known := self._in_use(owner)) is not None:
                return DataKey(known.key_id, self._open(known, space, subject))
            name, key = _Name(owner, str(uuid.uuid4()), _USED), secrets.token_bytes(_KEY_BYTES)
            wrapped = self._unlocked().wrap(key, _context(space, subject, name.key_id))
            stored = _Stored(space=space, subject=subject, wrapped=wrapped.hex())
            write_secret(self.directory / name.file, msgspec.json.encode(stored))
        self._names[name.key_id] = name
        self._used[owner] = name.key_id
        self._opened[name.key_id] = key
        return DataKey(name.key_id, key)

    def find(self, space: str, subject: str, key_id: str) -> bytes | None:
        """See `KeyStore.find`."""
        name = self._names.get(key_id)
        if name is None or not self._is_there(name):  # another process has gone on
            self._look()
            name = self._names.get(key_id)
        if name is None or name.owner != _owner(space, subject):
            raise MissingKeyError(
                f"the key {key_id} of {subject} in {space} is not in {self.directory}, and was not destroyed there; "
                "restore the keys from their copy",
                SealingKey(subject=subject, key=key_id),
            )
        return None if name.state == _DESTROYED else self._open(name, space, subject)

    def live(self, space: str, subject: str) -> list[str]:
        """See `KeyStore.live`."""
        return [key_id for key_id in self.known(space, subject) if self._names[key_id].state != _DESTROYED]

    def known(self, space: str, subject: str) -> list[str]:
        """See `KeyStore.known`."""
        self._look()
        owner = _owner(space, subject)
        return sorted(name.key_id for name in self._names.values() if name.owner == owner)

    def retire(self, space: str, subject: str) -> list[str]:
        """See `KeyStore.retire`."""
        with self._locked():
            retired = self.live(space, subject)
            for key_id in retired:
                if self._names[key_id].state == _USED:
                    self._move(self._names[key_id], _RETIRED)
        self._used.pop(_owner(space, subject), None)
        return retired

    def destroy(self, space: str, subject: str, key_id: str) -> None:
        """See `KeyStore.destroy`."""
        self._opened.pop(key_id, None)
        with self._locked():
            name = self._names.get(key_id)
            if name is None or name.owner != _owner(space, subject):
                return
            if self._used.get(name.owner) == key_id:
                del self._used[name.owner]
            # Renamed first: from then on nobody takes it for a key, whenever the bytes go.
            moved = name if name.state == _DESTROYED else self._move(name, _DESTROYED)
            wipe(self.directory / moved.file)

    def check(self) -> None:
        """Look whether keys can be opened here.

        Raises:
            ConfigurationError: There is no master key, it is none, or others may read it.
        """
        self._unlocked()

    def _in_use(self, owner: str) -> _Name | None:
        """Return the key in use of an owner, as far as this process knows, if it still is."""
        name = self._names.get(self._used.get(owner, ""))
        return name if name is not None and self._is_there(name) else None

    def _is_there(self, name: _Name) -> bool:
        return (self.directory / name.file).exists()

    def _open(self, name: _Name, space: str, subject: str) -> bytes:
        key = self._opened.get(name.key_id)
        if key is None:
            path = self.directory / name.file
            try:
                stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
                wrapped = bytes.fromhex(stored.wrapped)
            except (OSError, ValueError) as error:
                if not self._is_there(name):  # it may have been opened before, and wiped while it was read
                    key_meant = SealingKey(subject=subject, key=name.key_id)
                    raise MissingKeyError(f"the key {path} was moved just now; try again", key_meant) from None
                raise ConfigurationError(f"the key {path} cannot be read ({error}); restore it from its copy") from None
            key = self._unlocked().unwrap(wrapped, _context(space, subject, name.key_id))
            self._opened[name.key_id] = key
        return key

    def _move(self, name: _Name, state: str) -> _Name:
        moved = name._replace(state=state)
        (self.directory / name.file).rename(self.directory / moved.file)
        sync_directory(self.directory)
        self._names[name.key_id] = moved
        return moved

    def _unlocked(self) -> MasterKey:
        if self._master is None:
            self._master = master_key(self.directory, create=False)
        return self._master

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the one process that changes the directory, and know what is in it.

        Raises:
            RetryLater: It cannot be changed now.
        """
        try:
            descriptor = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                self._look()
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise RetryLater(
                f"the keys in {self.directory} cannot be changed now ({error.strerror}); see that the directory is "
                "there, can be written and has room"
            ) from None

    def _look(self) -> None:
        """Learn what the directory holds.

        Raises:
            RetryLater: It cannot be read now; a key that it held is not missing.
        """
        try:
            paths = [*self.directory.iterdir()]
        except OSError as error:
            raise RetryLater(
                f"the keys in {self.directory} are away ({error.strerror}); mount them, or restore them from their copy"
            ) from None
        names = {}
        for path in paths:
            if path.name in _NO_KEYS or path.suffix == ".new":
                continue
            owner, _, rest = path.name.partition("-")
            key_id, dot, state = rest.partition(".")
            names[key_id] = _Name(owner, key_id, dot + state)
        self._names = names
        self._used = {name.owner: name.key_id for name in names.values() if name.state == _USED}
        for key_id in [one for one in self._opened if one not in names or names[one].state == _DESTROYED]:
            del self._opened[key_id]


def _owner(space: str, subject: str) -> str:
    return hashlib.sha256(orjson.dumps([space, subject])).hexdigest()[:32]


def _context(space: str, subject: str, key_id: str) -> bytes:
    return orjson.dumps([space, subject, key_id])
