"""Where the next page of a list begins, as a word that means something to us alone."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from typing import Any

import orjson

from helamem.schemas.errors import BadInput

_LONGEST = 2000


def cursor_of(key: list[Any]) -> str:
    """Return the cursor behind an item with this key."""
    return base64.urlsafe_b64encode(orjson.dumps(key)).decode().rstrip("=")


def key_of(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the key in a cursor.

    Args:
        cursor: What a page gave as `next`.
        kinds: Of what the key is made.

    Raises:
        BadInput: No page gave this.
    """
    key = None
    if len(cursor) <= _LONGEST:
        with suppress(ValueError, binascii.Error):
            key = orjson.loads(base64.urlsafe_b64decode(cursor.encode() + b"=" * (-len(cursor) % 4)))
    if not isinstance(key, list) or [type(part) for part in key] != [*kinds]:
        raise BadInput("the cursor is none that this list gave; leave it out to begin at the beginning")
    return tuple(key)
