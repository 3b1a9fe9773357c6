"""`helamem merge`: what tenants' own producers wrote, into the topic that everybody reads."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import BadInput
from helamem.streams.cli.commands import EXIT_PROBLEM, JsonOption, add
from helamem.streams.cli.gateway import fleet_keys, missing
from helamem.streams.cli.kafka import quiet_clients
from helamem.streams.cli.metrics import LOOPBACK, Measuring, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import log_from_now, say, show, table
from helamem.streams.cli.signals import stop_at_signals
from helamem.streams.cli.worker import Outages

if TYPE_CHECKING:  # they import aiokafka and FastAPI
    from helamem.streams.config import Config
    from helamem.streams.inlet.merger import Taken


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "merge", merge, "helamem merge")


def merge(
    *,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            "--ready-file",
            help="A file that is there from when the process has its share of the inlets until it stops.",
            show_default="none",
        ),
    ] = None,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    json: JsonOption = False,
) -> None:
    """Merge tenants' inlets into the topic that everybody reads, beside any number of others, until Ctrl-C or SIGTERM.

    An inlet (helamem topics apply --inlet TENANT) is what a tenant's own producers write. By the rules of a gateway
    what passes is appended; the rest goes to the dead letters. Bounds of tenants come from the file that
    HELAMEM_GATEWAY_KEYS names: who has appended what they may waits. Inlets that are made later are found.

    Exit codes: 0 stopped with all finished, 1 something was left to others, 2 the configuration or the log is at
    fault.
    """
    if lacking := missing():
        raise BadInput(lacking.replace("answering HTTP", "merging by the rules of a gateway"))
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    config = load_config()
    log_from_now(config.log_level)
    quiet_clients()
    running = _Running(config, ready_file)
    asyncio.run(running.run(metrics, metrics_host))
    rows = sorted(running.counts.items())
    show(
        {"counts": dict(rows), "abandoned": running.abandoned},
        lambda console: console.print(table("merge", ("what", "count"), rows, right=("count",))),
        as_json=json,
    )
    if running.abandoned:
        say(
            f"not finished in time and left to others: {', '.join(running.abandoned)}; nothing is lost, whoever has "
            "these partitions next begins where this process had come to",
            logging.WARNING,
        )
        raise typer.Exit(EXIT_PROBLEM)


class _Running:
    """One run."""

    def __init__(self, config: Config, ready_file: Path | None) -> None:
        self._config = config
        self._ready_file = ready_file
        self._outages = Outages()
        self._said: Sequence[str] | None = None
        self.counts: Counter[str] = Counter(merged=0)
        self.abandoned: list[str] = []

    async def run(self, port: int | None, host: str) -> None:
        """Merge until a signal or a failure.

        Raises:
            HelamemError: The configuration or the log is at fault.
        """
        from helamem.streams.inlet.run import Merging  # noqa: PLC0415 - it imports aiokafka and FastAPI

        stopping = asyncio.Event()
        self._not_ready()
        try:
            async with measuring(port, host) as measured:

                def stop() -> None:
                    stopping.set()
                    measured.set_ready(False)
                    self._not_ready()

                stop_at_signals(stop)
                merging = Merging(
                    self._config,
                    fleet_keys(self._config, LOOPBACK),
                    metrics=measured.metrics,
                    on_ready=lambda inlets: self._ready(inlets, measured, stopping),
                    on_taken=self._note,
                    on_retry=self._outages.note,
                )
                await merging.run(stopping)
                self.abandoned = merging.abandoned
        finally:
            self._not_ready()

    def _ready(self, inlets: Sequence[str], measured: Measuring, stopping: asyncio.Event) -> None:
        if stopping.is_set():
            return
        self._outages.over()
        measured.set_ready(True)
        if self._ready_file is not None:
            self._ready_file.touch()
        if inlets != self._said:  # the group shares them out anew whenever somebody comes or goes
            self._said = inlets
            many = f"merging {len(inlets)} inlet{'' if len(inlets) == 1 else 's'}"
            named = many if inlets else "no inlets yet, helamem topics apply --inlet makes one"
            say(f"ready: {named}, on Kafka at {self._config.kafka_servers}; stop with Ctrl-C or SIGTERM")

    def _note(self, taken: Taken) -> None:
        self._outages.over()
        self.counts["merged"] += taken.merged
        self.counts.update({f"refused {fault}": records for fault, records in taken.refused.items()})

    def _not_ready(self) -> None:
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)
