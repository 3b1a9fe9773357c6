"""Ctrl-C and SIGTERM, for commands that go on until then."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def stop_at_signals(stop: Callable[[], None]) -> None:
    """Have `stop` called at the first Ctrl-C or SIGTERM; the second one does not wait for it."""
    loop = asyncio.get_running_loop()

    def once() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, once)
