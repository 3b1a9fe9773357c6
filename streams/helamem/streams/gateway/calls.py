"""Which methods of a memory the owner of a home may call from another process, and what they return."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from helamem.processors.profile.profile import Profile
from helamem.processors.store.port import FactRecord, Turn
from helamem.streams.async_memory import Memory, Recalled

PATH = "/v1/owner/call"
KIND = "application/msgpack"
CATCH_UP_S = 30.0
Method = Literal["recall", "reinforce", "turns", "facts", "profile", "spaces", "catch_up"]
RETURNS: dict[Method, Any] = {
    "recall": Recalled,
    "reinforce": None,
    "turns": dict[str, Turn],
    "facts": list[FactRecord],
    "profile": Profile,
    "spaces": dict[str, int],
    "catch_up": bool | None,
}
"""By method, the type of what it returns."""


class Call(Struct, frozen=True, kw_only=True):
    """A call of one method."""

    method: Method
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


async def answered(memory: Memory, raw: bytes, *, follows: bool) -> bytes:
    """Return what a call gives, as it is sent.

    Raises:
        ValidationError: It is no call (msgspec).
    """
    call = msgspec.msgpack.decode(raw, type=Call)
    if call.method == "catch_up":
        return msgspec.msgpack.encode(await _caught_up(memory) if follows else None)
    return msgspec.msgpack.encode(await getattr(memory, call.method)(*call.args, **call.kwargs))


async def _caught_up(memory: Memory) -> bool:
    """Wait until what is in the log now can be recalled; return whether that was in time."""
    ends = {at: end for at, end in (await memory.instance.ends()).items() if "conversations" in at.topic}
    return await memory.instance.encoded(ends, CATCH_UP_S)
