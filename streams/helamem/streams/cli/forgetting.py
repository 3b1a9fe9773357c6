"""Commands that follow a home's log and forget by themselves, where the policies say how often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from helamem.streams.cli.output import Waiting, say

if TYPE_CHECKING:  # they import the engine
    from helamem.streams.forgetting.rounds import Round
    from helamem.streams.instance import Instance


@asynccontextmanager
async def forgetting_beside(instance: Instance, waiting: Waiting) -> AsyncIterator[None]:
    """Apply the policies of forgetting when they are due; where that fails, the instance is stopped."""
    from helamem.streams.forgetting.rounds import Rounds  # noqa: PLC0415 - it imports arrays
    from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed here

    rounds = Rounds(
        instance.store,
        instance.log,
        instance.settings,
        clock=wall_clock_ms,
        on_round=_say_round,
        on_retry=waiting.note,
    )
    stopping = asyncio.Event()

    def stop_if_failed(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            instance.stop()

    task = asyncio.create_task(rounds.run(stopping))
    task.add_done_callback(stop_if_failed)
    try:
        yield
    finally:
        stopping.set()
        await task


def _say_round(done: Round) -> None:
    """Say what a round hid; one that hid nothing is not worth a line."""
    if done.run is not None:
        counts = ", ".join(f"{name.replace('-', ' ')}: {count}" for name, count in done.decision.counts.items())
        say(f"forgot memories of {done.tenant}, {counts}; undo with: helamem restore --run {done.run}")
