"""Ed25519 keys in PEM files: the private one for the archiver alone, public ones for whoever audits."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from helamem.schemas.errors import BadInput

_OTHERS = 0o077


def make_keys(private: Path, public: Path) -> str:
    """Make a pair of keys, write both files, and return the public key in hexadecimal.

    Args:
        private: A new file, readable by its owner alone.
        public: A new file.

    Raises:
        BadInput: One of the files is there already or cannot be written; then neither was made.
    """
    for path in (private, public):
        if path.exists():
            raise BadInput(f"{path} is there already, and a key is never overwritten; name a new file")
    key = Ed25519PrivateKey.generate()
    _write(public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), 0o644)
    try:
        _write(private, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    except BaseException:
        public.unlink()
        raise
    return key_text(key.public_key())


def load_private(path: Path) -> Ed25519PrivateKey:
    """Return the private key in a PEM file.

    Raises:
        BadInput: There is no such file, it holds no such key, or others may read it.
    """
    raw = _read(path)
    if path.stat().st_mode & _OTHERS:
        raise BadInput(f"the private key {path} may be read by others; run: chmod 600 {path}")
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadInput(f"{path} holds no private Ed25519 key without a password; make one with: helamem audit keygen")
    return key


def load_public(paths: Sequence[Path]) -> dict[str, Ed25519PublicKey]:
    """Return the public keys in PEM files by their hexadecimal form.

    Raises:
        BadInput: A file is missing or holds no such key.
    """
    keys = {}
    for path in paths:
        try:
            key = load_pem_public_key(_read(path))
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise BadInput(f"{path} holds no public Ed25519 key; give the public one of `helamem audit keygen`")
        keys[key_text(key)] = key
    return keys


def key_text(key: Ed25519PublicKey) -> str:
    """Return a public key in hexadecimal."""
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"the key {path} cannot be read: {error.strerror}; check the path") from None


def _write(path: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, so that the mode holds from the beginning
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise BadInput(f"the key {path} cannot be written: {error.strerror}; check the path") from None
