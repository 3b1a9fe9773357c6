"""What a process that serves a home leaves in it, so that commands of the home's owner are answered by it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from helamem.streams.sealing.files import write_secret

FILE = "served.json"
"""The file in a home; it is there as long as the home is served, and may be left by a process that was killed."""


class Served(Struct, frozen=True, kw_only=True):
    """Where a home is served."""

    address: str
    token: str
    """Opens everything; who may read the file may read the home too."""


@contextmanager
def announced(home: Path, address: str, token: str) -> Iterator[None]:
    """Say in a home where it is served, for as long as the context lasts."""
    write_secret(home / FILE, msgspec.json.encode(Served(address=address, token=token)))
    try:
        yield
    finally:
        (home / FILE).unlink(missing_ok=True)


def new_token() -> str:
    """Return what nobody guesses."""
    return secrets.token_urlsafe(32)


def served_at(home: Path) -> Served | None:
    """Return where a home is served, or None where nobody says so."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Served)
    except (OSError, msgspec.DecodeError):
        return None
