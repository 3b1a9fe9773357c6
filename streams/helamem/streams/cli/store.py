"""`helamem store`: a process of its own for the store, shared by workers and commands."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.metrics import LOOPBACK, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import log_from_now, say, show, table
from helamem.streams.cli.signals import stop_at_signals


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "store", store, "helamem store --home /var/lib/helamem")


def store(
    *,
    dimension: Annotated[
        int | None,
        typer.Option(
            "--dimension",
            min=1,
            help="Numbers in a vector of the embedder; only needed for a new store with another embedder.",
            show_default="the store's own; 256 for a new one",
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            "--language",
            help="Language of the keyword index; only needed for a new store.",
            show_default="the store's own; english for a new one",
        ),
    ] = None,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Serve the store of a home to workers on this machine, until Ctrl-C or SIGTERM; what is under way is finished.

    They ask through a socket in the home, which is its owner's alone. While it runs nobody else can write this home:
    the log is then elsewhere, on Kafka.
    """
    log_from_now()
    counts = asyncio.run(_serve(home, dimension, language, metrics, metrics_host))
    rows = sorted(counts.items())
    show(
        {"counts": dict(rows)},
        lambda console: console.print(table(str(home), ("what", "count"), rows, right=("count",))),
        as_json=json,
    )


async def _serve(home: Path, dimension: int | None, language: str | None, port: int | None, host: str) -> Counter[str]:
    from helamem.streams.metrics.watch import watched  # noqa: PLC0415 - it imports arrays
    from helamem.streams.store_process.server import serve  # noqa: PLC0415 - it imports the engine

    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        measured.set_ready(False)

    def serving(address: Path) -> None:
        measured.set_ready(True)
        say(f"serving the store of {home} at {address}; stop with Ctrl-C or SIGTERM")

    async with measuring(port, host) as measured, watched(measured.metrics, home=home):
        stop_at_signals(stop)
        return await serve(
            home,
            stopping,
            dimension=dimension,
            language=language,
            on_ready=serving,
            complain=lambda sentence: say(sentence, logging.WARNING),
            metrics=measured.metrics,
        )
