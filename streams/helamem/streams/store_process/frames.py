"""Frames: a length of four bytes, most significant first, and so many bytes."""

from __future__ import annotations

import asyncio

from helamem.schemas.errors import BadInput

MAX_FRAME_BYTES = 64 * 1024**2
MAX_HELLO_BYTES = 4096
"""Of the first frame: whatever speaks another protocol is found out before anything is waited for."""

_LENGTH_BYTES = 4


async def read_length(reader: asyncio.StreamReader, most_bytes: int = MAX_FRAME_BYTES) -> int | None:
    """Return the length of the next frame, or None where the other side has ended.

    Raises:
        BadInput: It is longer than `most_bytes`; what follows cannot be understood either.
        ConnectionError: The other side ended within a length, or is gone.
    """
    try:
        length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES))
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise ConnectionResetError("the other side ended in the middle of a frame") from None
    if length > most_bytes:
        raise BadInput(
            f"a frame of {length:,} bytes came, and at most {most_bytes:,} are taken here; send it in pieces, "
            "or speak the protocol of helamem's store process"
        )
    return length


async def read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    """Return the bytes of a frame whose length was read.

    Raises:
        ConnectionError: The other side ended within the frame, or is gone.
    """
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        raise ConnectionResetError("the other side ended in the middle of a frame") from None


def framed(body: bytes) -> bytes:
    """Return a frame around `body`.

    Raises:
        BadInput: It is too long.
    """
    if len(body) > MAX_FRAME_BYTES:
        raise BadInput(
            f"{len(body):,} bytes do not fit into a frame of the store process, at most {MAX_FRAME_BYTES:,} do; "
            "ask for less, or give less, at once"
        )
    return len(body).to_bytes(_LENGTH_BYTES) + body
