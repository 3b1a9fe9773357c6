"""What a gateway runs on."""

from __future__ import annotations

import asyncio
from importlib.machinery import ModuleSpec

import pytest
import uvloop

from helamem.streams.gateway import server


async def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_the_quicker_loop_is_taken_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """And Python's own elsewhere."""
    assert isinstance(server.run(_loop()), uvloop.Loop)

    def nothing(_: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(server, "find_spec", nothing)
    assert not isinstance(server.run(_loop()), uvloop.Loop)


def test_what_it_raises_comes_out() -> None:
    """As from any other loop."""

    async def fail() -> None:
        raise ValueError("as wanted")

    with pytest.raises(ValueError, match="as wanted"):
        server.run(fail())
