"""`helamem worker`: a process of the fleet."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import BadInput, RetryLater
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.cli.commands import EXIT_PROBLEM, JsonOption, add
from helamem.streams.cli.metrics import UNMEASURED, MetricsOption, measuring
from helamem.streams.cli.output import Waiting, log_from_now, say, show, table
from helamem.streams.cli.tracing import tracing
from helamem.streams.tracing.untraced import UNTRACED

if TYPE_CHECKING:  # they import aiokafka and the engine
    from helamem.streams.config import Config
    from helamem.streams.fleet.app import FleetApp
    from helamem.streams.fleet.worker import Role, Worker
    from helamem.streams.pump import Progress

SAID_AFTER_S = 3.0
"""Something that is away for less is not worth a line."""
OVER_AFTER_S = 60.0
"""An outage of which nothing was heard for so long is over, even where nothing came that could be processed."""


_log = logging.getLogger(__name__)


class Part(StrEnum):
    """What a worker does."""

    ENCODING = "encoding"
    CO_ACTIVATION = "co-activation"
    CONSOLIDATION = "consolidation"
    ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "worker", worker, "helamem worker all")


def worker(
    part: Annotated[Part, typer.Argument(metavar="PART", help="encoding, co-activation, consolidation or all.")],
    *,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            "--ready-file",
            help="A file that is there from when the worker has its share of the partitions until it stops.",
            show_default="none",
        ),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(
            "--app",
            metavar="MODULE:NAME",
            help="A platform's application, made by build_app, whose agents run in the same process.",
            show_default="none",
        ),
    ] = None,
    metrics: MetricsOption = None,
    metrics_host: Annotated[
        str | None,
        typer.Option(
            "--metrics-host",
            help="Address to answer at; beyond loopback others can reach it, and nobody is asked for a name.",
            show_default="127.0.0.1",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Process what is on Kafka, beside any number of other workers, until Ctrl-C or SIGTERM.

    Where Kafka and the store are is configured: see helamem config. What is away is waited for, also at the start.
    What is under way is finished first, within 30 seconds; what takes longer is left to others, and nothing is lost.

    Exit codes: 0 stopped with all finished, 1 something was left to others, 2 the configuration or the log is at
    fault.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.fleet.worker import ROLES  # noqa: PLC0415 - it imports the engine

    config = load_config()
    log_from_now(config.log_level)
    roles = [role for role in ROLES if part in {role, Part.ALL}]
    port = config.metrics_port if metrics is None else metrics
    running = _Running(
        config,
        _application(config, app),
        roles,
        ready_file,
        metrics_at=(port, metrics_host or config.metrics_host),
    )
    asyncio.run(running.run())
    rows = sorted(running.counts.items())
    title = f"worker {part.value}"
    show(
        {"counts": dict(rows), "abandoned": running.abandoned},
        lambda console: console.print(table(title, ("what", "count"), rows, right=("count",))),
        as_json=json,
    )
    if running.abandoned:
        say(
            f"not finished in time and left to other workers: {', '.join(running.abandoned)}; "
            "nothing is lost, whoever has these partitions next begins where this worker had come to",
            logging.WARNING,
        )
        raise typer.Exit(EXIT_PROBLEM)


class Outages:
    """Says once that something is away, and once that it is back.

    Args:
        tell: Takes a sentence and its level.
        after_s: How long it has to be away.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self,
        tell: Callable[[str, int], None] = say,
        after_s: float = SAID_AFTER_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tell = tell
        self._after_s = after_s
        self._clock = clock
        self._began: float | None = None
        self._last = 0.0
        self._told = False

    def note(self, error: RetryLater) -> None:
        """Note that something is away."""
        _log.debug("trying again: %s", error)
        now = self._clock()
        if self._began is None or now - self._last >= OVER_AFTER_S:
            self._began, self._told = now, False
        self._last = now
        if not self._told and now - self._began >= self._after_s:
            self._told = True
            self._tell(f"waiting: {error}", logging.WARNING)

    def over(self) -> None:
        """Note that something was done."""
        if self._told:
            self._tell("going on", logging.INFO)
        self._began, self._told = None, False


class _Running:
    """One run of a worker: the pumps, as a service of the application."""

    def __init__(
        self,
        config: Config,
        app: FleetApp,
        roles: list[Role],
        ready_file: Path | None,
        *,
        metrics_at: tuple[int | None, str],
    ) -> None:
        self._config = config
        self._app = app
        self._roles = roles
        self._ready_file = ready_file
        self._metrics_at = metrics_at
        self._measured = UNMEASURED
        self._traced = UNTRACED
        self._outages = Outages()
        self._stopping = asyncio.Event()
        self._waiting = Waiting()
        self.counts: Counter[str] = Counter()
        self.abandoned: list[str] = []

    async def run(self) -> None:
        """Work until a signal or a failure.

        Raises:
            HelamemError: The configuration or the log is at fault, or so is an agent of the application.
        """
        from helamem.streams.fleet.faust_sensor import MetricsSensor  # noqa: PLC0415 - it imports Faust
        from helamem.streams.fleet.faust_worker import run_until_stopped  # noqa: PLC0415 - likewise

        self._not_ready()
        self._app.run_beside(self._pump)
        try:
            with tracing("kafka", self._config.traces) as self._traced:
                async with measuring(*self._metrics_at) as self._measured:
                    if self._measured.metrics is not None and self._app.agents:
                        self._app.sensors.add(MetricsSensor(self._measured.metrics))
                    failure = await run_until_stopped(self._app, on_signal=self._not_ready)
        finally:
            self._not_ready()
        if failure is not None:
            raise failure

    async def _pump(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`; while Kafka or the store is away at the start, begin again and again."""
        self._stopping = stopping
        try:
            await until_done(self._once, backoff=Backoff(), stopping=stopping, on_retry=self._say_new)
        except Stopped:
            return

    async def _once(self) -> None:
        from helamem.streams.fleet.worker import opened  # noqa: PLC0415 - it imports the engine

        async with AsyncExitStack() as stack:
            worker = await stack.enter_async_context(
                opened(
                    self._config,
                    self._roles,
                    on_progress=self._note,
                    on_retry=self._outages.note,
                    metrics=self._measured.metrics,
                    tracing=self._traced,
                )
            )
            ready = asyncio.create_task(self._say_when_ready(worker))
            try:
                await worker.run(self._stopping)
                self.abandoned = [f"{pump.group} {at}" for pump in worker.pumps for at in pump.abandoned]
            except asyncio.CancelledError:  # it did not end within the application's bound
                self.abandoned = [pump.group for pump in worker.pumps]
                raise
            finally:
                ready.cancel()
                self._measured.set_ready(False)

    def _say_new(self, error: RetryLater) -> None:
        """Say what is away at the start, once as long as it is the same."""
        if not self._stopping.is_set():
            self._waiting.note(error)

    async def _say_when_ready(self, worker: Worker) -> None:
        await worker.ready()
        if self._app.agents:
            await self._app.agents_assigned.wait()
        self._waiting.over()
        self._measured.set_ready(True)
        if self._ready_file is not None:
            self._ready_file.touch()
        agents = f" and the agents {', '.join(sorted(self._app.agents))}" if self._app.agents else ""
        say(
            f"ready: {', '.join(self._roles)}{agents} on Kafka at {self._config.kafka_servers}; "
            "stop with Ctrl-C or SIGTERM"
        )

    def _note(self, progress: Progress) -> None:
        self._outages.over()
        self.counts.update(progress.counts)
        self.counts["records"] += progress.records
        self.counts["dead-lettered"] += progress.dead_letters

    def _not_ready(self) -> None:
        self._measured.set_ready(False)
        if self._ready_file is not None:
            self._ready_file.unlink(missing_ok=True)


def _application(config: Config, named: str | None) -> FleetApp:
    """Return the application to run: the one that a platform names, or one without agents.

    Raises:
        BadInput: There is none by this name.
    """
    from helamem.streams.fleet.app import FleetApp, build_app  # noqa: PLC0415 - it imports Faust

    if named is None:
        return build_app(config.kafka())
    module_name, _, attribute = named.partition(":")
    if not module_name or not attribute:
        raise BadInput(f"--app {named!r} names no application; give module:attribute, such as webhook:app")
    if "" not in sys.path:
        sys.path.insert(0, "")  # modules of the directory that one stands in, as with python -m
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"--app {named}: {error}; check the name, the directory and PYTHONPATH") from error
    if not isinstance(found, FleetApp):
        raise BadInput(f"--app {named} is a {type(found).__name__}, not what build_app returns; name that")
    return found
