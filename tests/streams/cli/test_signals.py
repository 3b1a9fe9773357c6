"""How a command that goes on until a signal is told of it."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from helamem.streams.cli.signals import stop_at_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_second_signal_does_not_wait(number: signal.Signals) -> None:
    """The first one asks the command to stop; then signals do again what they do by themselves."""
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    stopped = asyncio.Event()
    stop_at_signals(stopped.set)
    try:
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stopped.wait()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        for each, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(each, handler)
