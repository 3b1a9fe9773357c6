"""The data keys: one for each data subject of a space, wrapped by the master key.

A key is in use, retired (it opens what it sealed and seals nothing more) or destroyed. A file's name says which, so
each step is one rename.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import orjson
from msgspec import Struct

from helamem.schemas.errors import ConfigurationError
from helamem.streams.sealing.files import sync_directory, wipe, write_secret
from helamem.streams.sealing.master import FILE, MasterKey, master_key

_KEY_BYTES = 32
_USED, _RETIRED, _DESTROYED = "", ".retired", ".destroyed"


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
            ConfigurationError: There never was such a key here.
        """
        ...

    def live(self, space: str, subject: str) -> list[str]:
        """Return the ids of the keys of a data subject that are not destroyed."""
        ...

    def retire(self, space: str, subject: str) -> None:
        """Seal nothing more with the key in use; the next `current` makes another."""
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
    """A `KeyStore` in a directory: one file for each key. One process at a time writes it.

    Args:
        directory: Made with its master key by `make_keys`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._master: MasterKey | None = None
        self._opened: dict[str, bytes] = {}
        self._names = self._listed()
        self._used = {name.owner: name.key_id for name in self._names.values() if name.state == _USED}

    def current(self, space: str, subject: str) -> DataKey:
        """See `KeyStore.current`."""
        owner = _owner(space, subject)
        if owner in self._used:
            name = self._names[self._used[owner]]
            return DataKey(name.key_id, self._open(name, space, subject))
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
        if name is None or not (self.directory / name.file).exists():  # the process that writes has gone on
            self._names = self._listed()
            name = self._names.get(key_id)
        if name is None or name.owner != _owner(space, subject):
            raise ConfigurationError(
                f"the key {key_id} of {subject} in {space} is not in {self.directory}, and was not destroyed there; "
                "restore the keys from their copy"
            )
        return None if name.state == _DESTROYED else self._open(name, space, subject)

    def live(self, space: str, subject: str) -> list[str]:
        """See `KeyStore.live`."""
        return [key_id for key_id in self.known(space, subject) if self._names[key_id].state != _DESTROYED]

    def known(self, space: str, subject: str) -> list[str]:
        """Return the ids of all keys that a data subject ever had here."""
        owner = _owner(space, subject)
        return sorted(name.key_id for name in self._names.values() if name.owner == owner)

    def retire(self, space: str, subject: str) -> None:
        """See `KeyStore.retire`."""
        for key_id in self.live(space, subject):
            if self._names[key_id].state == _USED:
                self._move(self._names[key_id], _RETIRED)
        self._used.pop(_owner(space, subject), None)

    def destroy(self, space: str, subject: str, key_id: str) -> None:
        """See `KeyStore.destroy`."""
        name = self._names.get(key_id)
        if name is None or name.owner != _owner(space, subject):
            return
        self._opened.pop(key_id, None)
        if self._used.get(name.owner) == key_id:
            del self._used[name.owner]
        # Renamed first: from then on nobody takes it for a key, whenever the bytes go.
        moved = name if name.state == _DESTROYED else self._move(name, _DESTROYED)
        wipe(self.directory / moved.file)

    def _open(self, name: _Name, space: str, subject: str) -> bytes:
        key = self._opened.get(name.key_id)
        if key is None:
            path = self.directory / name.file
            try:
                stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
                wrapped = bytes.fromhex(stored.wrapped)
            except (OSError, ValueError) as error:
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

    def _listed(self) -> dict[str, _Name]:
        if not self.directory.is_dir():
            return {}
        names = {}
        for path in self.directory.iterdir():
            if path.name == FILE or path.suffix == ".new":
                continue
            owner, _, rest = path.name.partition("-")
            key_id, dot, state = rest.partition(".")
            names[key_id] = _Name(owner, key_id, dot + state)
        return names


def _owner(space: str, subject: str) -> str:
    return hashlib.sha256(orjson.dumps([space, subject])).hexdigest()[:32]


def _context(space: str, subject: str, key_id: str) -> bytes:
    return orjson.dumps([space, subject, key_id])
