"""Which reader a file needs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from helamem.schemas.errors import BadInput
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.jsonl import read_jsonl
from helamem.streams.ingest.locomo import looks_like_locomo, read_locomo

Format = Literal["auto", "jsonl", "locomo"]


def read_file(path: Path, file_format: Format, space: str | None) -> Iterator[Incoming | BadLine]:
    """Return what a file holds, line by line.

    Raises:
        BadInput: There is no such file, or it is in no known format.
    """
    existing(path)
    if file_format == "locomo" or (file_format == "auto" and looks_like_locomo(path)):
        return read_locomo(path, space)
    return read_jsonl(path, space)


def existing(path: Path) -> Path:
    """Return the path of a file that is there.

    Raises:
        BadInput: It is not.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}; check the path")
    return path
