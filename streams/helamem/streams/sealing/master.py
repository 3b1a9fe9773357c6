"""The master key, which wraps all data keys: from a file beside them, or from the environment.

A key management service becomes another adapter of `MasterKey`.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from helamem.schemas.errors import ConfigurationError
from helamem.streams.sealing.files import create_secret

VARIABLE = "HELAMEM_MASTER_KEY"
"""Holds the master key as 64 hexadecimal digits; where it is set there is no file."""
FILE = "master.key"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_OTHERS = 0o077


class MasterKey(Protocol):
    """Wraps data keys."""

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """Return a data key that only `unwrap` with the same context opens."""
        ...

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key.

        Raises:
            ConfigurationError: Another master key wrapped it, or it was altered.
        """
        ...


class LocalMasterKey:
    """A master key in this process's memory: AES-256-GCM.

    Args:
        key: 32 bytes.
        origin: Where it came from, in words.
    """

    def __init__(self, key: bytes, origin: str) -> None:
        self._cipher = AESGCM(key)
        self._origin = origin

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """See `MasterKey.wrap`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """See `MasterKey.unwrap`."""
        try:
            return self._cipher.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError):  # too short to hold a nonce
            raise ConfigurationError(
                f"the master key from {self._origin} does not open the keys of this home; give the one with which they "
                f"were made, by its file or by {VARIABLE}"
            ) from None


def master_key(directory: Path, *, create: bool, environment: Mapping[str, str] = os.environ) -> MasterKey:
    """Return the master key of a directory of keys: the environment's, or else that of the file in it.

    Args:
        directory: Where the file lies, or is made.
        create: Make a key where there is none. Only whoever begins to seal may: where a key was lost, a new one would
            stand in the way when that is restored.
        environment: Of the process.

    Raises:
        ConfigurationError: There is none, it is no key, or others may read the file.
    """
    if text := environment.get(VARIABLE):
        return LocalMasterKey(_key(text, VARIABLE), VARIABLE)
    path = directory / FILE
    try:
        if path.stat().st_mode & _OTHERS:
            raise ConfigurationError(f"the master key {path} may be read by others; run: chmod 600 {path}")
        text = path.read_text("ascii")
    except FileNotFoundError:
        if not create:
            raise ConfigurationError(
                f"there is no master key: neither {path} nor {VARIABLE}; restore the file from its copy, or set the "
                "variable"
            ) from None
        text = secrets.token_hex(_KEY_BYTES)
        if not create_secret(path, f"{text}\n".encode()):  # somebody else has just made one
            return master_key(directory, create=False, environment=environment)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the master key {path} cannot be read: {error}; check the file") from None
    return LocalMasterKey(_key(text, str(path)), str(path))


def _key(text: str, origin: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise ConfigurationError(f"{origin} holds no master key; it has 64 hexadecimal digits: openssl rand -hex 32")
    return key
