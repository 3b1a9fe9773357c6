"""What opens the sealed words of a log; most logs have none, and then no cryptography is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from helamem.processors.encoding.unsealing import Erased, NoKeys, Unsealer
from helamem.schemas.errors import BadInput

if TYPE_CHECKING:  # it imports cryptography
    from helamem.streams.sealing.keys import KeyStore


def opener(keys: KeyStore | Path | None, erased: Erased) -> Unsealer:
    """Return what opens sealed words.

    Args:
        keys: The keys, or their directory, which may not exist, or None where there are none.
        erased: What the log says was erased.
    """
    if isinstance(keys, Path) and not keys.is_dir():
        keys = None
    if keys is None:
        return NoKeys(erased)
    from helamem.streams.sealing.keys import KeyFiles  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.sealing.seal import Opener  # noqa: PLC0415 - likewise

    return Opener(KeyFiles(keys) if isinstance(keys, Path) else keys, erased)


def check_keys(keys: Path | None) -> None:
    """Refuse a directory of keys that is none.

    Raises:
        BadInput: There is no such directory.
    """
    if keys is not None and not keys.is_dir():
        raise BadInput(f"there are no keys at {keys}; name the directory `keys` of the home that sealed the words")
