"""Running an application as a process: until a signal or a failure, and never much longer."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable

from helamem.streams.fleet.app import FleetApp

_log = logging.getLogger(__name__)
_MARGIN_S = 10.0
"""What closing everything may take, after work under way has ended."""


async def run_worker(app: FleetApp) -> int:
    """Run the application until SIGTERM, SIGINT or a failure, and return the exit code.

    Work under way is finished first, within the application's `drain_s`. Where even that does not end, because
    something blocks the event loop or Kafka does not answer, the process is ended a few seconds later: what was not
    finished is taken again by others. A second signal does not wait.

    Returns:
        0 after a signal, 1 after a failure.
    """
    failure = await run_until_stopped(app)
    if failure is None:
        return 0
    _log.critical("this worker ends: %s", failure)
    return 1


async def run_until_stopped(app: FleetApp, *, on_signal: Callable[[], None] = lambda: None) -> BaseException | None:
    """Run the application as `run_worker` does, and return what ended it, or None after a signal.

    Args:
        app: What to run.
        on_signal: Called at the first signal, before anything ends.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    before: dict[int, signal.Handlers | Callable[..., object] | int | None] = {}

    def ask(*_: object) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)  # the second one does not wait
        _end_process_after(app.drain_s + _MARGIN_S)
        on_signal()
        loop.call_soon_threadsafe(asked.set)

    # Not the loop's own handlers: those say nothing while something blocks the loop.
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, ask)
    app.in_worker = True
    starting = asyncio.create_task(app.start())
    waiting = {asyncio.create_task(asked.wait()), asyncio.create_task(app.wait_until_stopped())}
    try:
        await asyncio.wait({starting, *waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done() and starting.exception() is None:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        _end_process_after(app.drain_s + _MARGIN_S)
        for task in (*waiting, starting):
            task.cancel()
        failure = app.crash_reason
        if starting.done() and not starting.cancelled():
            failure = failure or starting.exception()
        await app.stop()
        for each, handler in before.items():
            signal.signal(each, handler)
    return failure or app.crash_reason


def _end_process_after(seconds: float) -> None:
    def end() -> None:
        _log.critical(
            "stopping took more than %.0f s, so the process ends; what was under way is taken again by others", seconds
        )
        os._exit(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
