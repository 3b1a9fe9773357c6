"""`helamem run`: process the log as it grows, until stopped."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.streams.backoff import Stopped
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.forgetting import forgetting_beside
from helamem.streams.cli.metrics import LOOPBACK, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import Waiting, log_from_now, say, show, table
from helamem.streams.cli.progress import bar
from helamem.streams.cli.session import Session, in_home, opened, report
from helamem.streams.cli.signals import stop_at_signals

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.pump import Progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "run", run, "helamem run --home /var/lib/helamem")


def run(
    *,
    once: Annotated[bool, typer.Option("--once", help="Process what is in the log now, then exit.")] = False,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Process the log as it grows, until Ctrl-C or SIGTERM; what is under way is finished first.

    While it runs nobody else can write this home. What is away (a full disk) is waited for. Where the setting
    forgetting.every_days says how often, it applies the policies of forgetting.
    """
    if not once:
        log_from_now()
    counts = in_home(home, Session.catch_up) if once else asyncio.run(_follow(home, metrics, metrics_host))
    report(counts)
    rows = sorted(counts.items())
    show(
        {"counts": dict(rows)},
        lambda console: console.print(table(str(home), ("what", "count"), rows, right=("count",))),
        as_json=json,
    )


async def _follow(home: Path, port: int | None, host: str) -> Counter[str]:
    waiting = Waiting()
    async with (
        measuring(port, host) as measured,
        opened(home, on_retry=waiting.note, metrics=measured.metrics) as session,
    ):
        instance = session.memory.instance

        def stop() -> None:
            instance.stop()
            measured.set_ready(False)

        stop_at_signals(stop)
        measured.set_ready(True)
        say(f"following the log of {home}; stop with Ctrl-C or SIGTERM")
        done = 0
        with bar("processed") as advance, suppress(Stopped):

            def on_progress(progress: Progress) -> None:
                nonlocal done
                done += progress.records
                waiting.over()
                advance(done, done)

            async with forgetting_beside(instance, waiting):
                await instance.follow(on_progress)
        return Counter(instance.counts)
