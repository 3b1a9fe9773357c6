"""Where a gateway is, and the key for it."""

from __future__ import annotations

import os

import httpx
from msgspec import Struct

from helamem.schemas.errors import BadInput

LOOPBACK = "http://127.0.0.1:8420"
"""Where `helamem up` answers."""
URL_VARIABLE = "HELAMEM_URL"
KEY_VARIABLE = "HELAMEM_API_KEY"


class Address(Struct, frozen=True, kw_only=True):
    """A gateway and how to come in."""

    url: str
    headers: dict[str, str]


def address(url: str | None, key: str | None) -> Address:
    """Return where to ask.

    Args:
        url: Of the gateway; None takes `HELAMEM_URL`, or `http://127.0.0.1:8420`.
        key: Its API key; None takes `HELAMEM_API_KEY`, or sends none.

    Raises:
        BadInput: The address or the key cannot be used.
    """
    asked = (url or os.environ.get(URL_VARIABLE) or LOOPBACK).rstrip("/")
    try:
        known = httpx.URL(asked)
    except httpx.InvalidURL:
        known = httpx.URL("")
    if known.scheme not in {"http", "https"} or not known.host or "%" in known.host:
        raise BadInput(f"{asked} is no address of a gateway; write it like {LOOPBACK}")
    shown = key or os.environ.get(KEY_VARIABLE)
    if shown is not None and not (shown.isascii() and shown.isprintable()):
        raise BadInput("the API key has characters that no key has; copy it as `helamem keys add` printed it")
    return Address(
        url=asked,
        headers={} if shown is None else {"Authorization": f"Bearer {shown}"},
    )
