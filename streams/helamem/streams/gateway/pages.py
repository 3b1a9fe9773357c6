"""The console's files, as they are sent: all of them are known, and nothing else is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from msgspec import Struct

INDEX = "index.html"
VENDOR = "vendor"
"""The folder with what others wrote, which an installation brings."""
_KINDS = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


class Page(Struct, frozen=True, kw_only=True):
    """A file as it is sent."""

    body: bytes
    kind: str
    tag: str
    """Its ETag: the hash of its bytes."""


@cache
def pages() -> Mapping[str, Page]:
    """Return the console's files by path below its folder; nothing where the installation brought no libraries."""
    folder = files("helamem.streams.console")
    if not (folder / VENDOR / "sigma.min.js").is_file():
        return {}
    inner = {f"{VENDOR}/{one.name}": one for one in (folder / VENDOR).iterdir()}
    return {
        path: _page(one, kind)
        for path, one in ({one.name: one for one in folder.iterdir()} | inner).items()
        if (kind := _KINDS.get(path.rpartition(".")[2])) is not None
    }


def _page(one: Traversable, kind: str) -> Page:
    body = one.read_bytes()
    return Page(body=body, kind=kind, tag=f'"{hashlib.sha256(body).hexdigest()[:32]}"')
