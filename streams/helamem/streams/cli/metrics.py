"""The options with which a long-running command answers for its metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from helamem.streams.cli.output import say

if TYPE_CHECKING:  # it imports arrays
    from helamem.streams.metrics import Metrics

MetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        envvar="HELAMEM_METRICS_PORT",
        min=0,
        max=65535,
        metavar="PORT",
        help="Answer /metrics, /live and /ready on this port; 0 takes a free one.",
        show_default="nowhere",
    ),
]
MetricsHostOption = Annotated[
    str,
    typer.Option(
        "--metrics-host",
        envvar="HELAMEM_METRICS_HOST",
        help="Address to answer at; beyond loopback others can reach it, and nobody is asked for a name.",
    ),
]
OnceMetricsOption = Annotated[
    int | None,
    typer.Option(
        "--metrics",
        min=0,
        max=65535,
        metavar="PORT",
        help="Answer /metrics on this port meanwhile; at the end wait until it was read once more, a minute at most.",
        show_default="nowhere",
    ),
]
"""For what ends by itself. It takes no port from the environment: there it is that of the process it runs beside."""
OnceMetricsHostOption = Annotated[
    str,
    typer.Option("--metrics-host", help="Address to answer at; beyond loopback others can reach it."),
]
LOOPBACK = "127.0.0.1"
LAST_READ_S = 60.0


class Measuring(NamedTuple):
    """What a command measures with."""

    metrics: Metrics | None
    """None where nobody wants to know."""
    set_ready: Callable[[bool], None]
    """Says whether the process does its work."""


UNMEASURED = Measuring(None, lambda ready: None)


@asynccontextmanager
async def measuring(port: int | None, host: str) -> AsyncIterator[Measuring]:
    """Answer for the metrics of a command as long as the context lasts; without a port, measure nothing.

    Raises:
        BadInput: The port cannot be had.
    """
    if port is None:
        yield UNMEASURED
        return
    from helamem.streams.metrics import Metrics, exposed  # noqa: PLC0415 - it imports arrays

    metrics = Metrics()
    async with exposed(metrics, port, host) as health:
        say(f"metrics at http://{health.address}/metrics")
        yield Measuring(metrics, health.set_ready)


@asynccontextmanager
async def measuring_once(port: int | None, host: str) -> AsyncIterator[Metrics | None]:
    """Answer for the metrics of a command that ends by itself; what it came to is read before it is gone.

    Raises:
        BadInput: The port cannot be had.
    """
    if port is None:
        yield None
        return
    from helamem.streams.metrics import Metrics, exposed  # noqa: PLC0415 - it imports arrays

    metrics = Metrics()
    async with exposed(metrics, port, host) as health:
        say(f"metrics at http://{health.address}/metrics")
        health.set_ready(ready=True)
        yield metrics
        if not await health.read_again(LAST_READ_S):
            say(f"nobody read the metrics of the end within {LAST_READ_S:.0f} s")
