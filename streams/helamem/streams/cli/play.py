"""`helamem play`: the demo's conversations on the fleet, so that there is something to look at."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.backoff import Backoff, Stopped, until_done
from helamem.streams.cli.commands import JsonOption, add
from helamem.streams.cli.kafka import sealing_kafka_log
from helamem.streams.cli.metrics import LOOPBACK, Measuring, MetricsHostOption, MetricsOption, measuring
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.worker import Outages

if TYPE_CHECKING:  # it imports aiokafka
    from helamem.streams.config import Config


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "play", play, "helamem play --rate 20")


def play(
    *,
    rate: Annotated[float, typer.Option("--rate", min=0.01, max=1000, help="Messages and questions a second.")] = 5.0,
    metrics: MetricsOption = None,
    metrics_host: MetricsHostOption = LOOPBACK,
    json: JsonOption = False,
) -> None:
    """Hold the demo's conversations on the fleet's Kafka, ask its questions and say what was of use, until Ctrl-C.

    Each round is two agents with new, empty memories. It is for trying a fleet out: what it says stays in the log.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    counts = asyncio.run(_play(load_config(), 1 / rate, metrics, metrics_host))
    rows = sorted(counts.items())
    show(
        {"counts": dict(rows)},
        lambda console: console.print(table("played", ("what", "count"), rows, right=("count",))),
        as_json=json,
    )


async def _play(config: Config, interval_s: float, port: int | None, host: str) -> Counter[str]:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    outages = Outages()
    counts: Counter[str] = Counter()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with measuring(port, host) as measured:
        with suppress(Stopped):
            await until_done(
                lambda: _on_the_fleet(config, interval_s, measured, stopping, counts=counts, on_retry=outages.note),
                backoff=Backoff(),
                stopping=stopping,
                on_retry=outages.note,
            )
    return counts


async def _on_the_fleet(
    config: Config,
    interval_s: float,
    measured: Measuring,
    stopping: asyncio.Event,
    *,
    counts: Counter[str],
    on_retry: Callable[[RetryLater], None],
) -> None:
    """Open log and store and play; nothing comes back but by `stopping`.

    Raises:
        RetryLater: Kafka or the store is away at the start.
        ConfigurationError: The log has no settings yet.
    """
    from helamem.processors.embedder.choose import choose_embedder  # noqa: PLC0415 - it imports arrays
    from helamem.processors.reranker.choose import choose_reranker  # noqa: PLC0415 - likewise
    from helamem.streams.demo.live import LivePlayer  # noqa: PLC0415 - likewise
    from helamem.streams.fleet.worker import open_store  # noqa: PLC0415 - it imports the engine
    from helamem.streams.settings_log import settings_in_force  # noqa: PLC0415 - it imports arrays

    async with sealing_kafka_log() as log:
        settings = await settings_in_force(log, {})
        if settings is None:
            raise ConfigurationError("the log has no settings yet; run: helamem topics apply")
        embedder = choose_embedder(settings.encoding.embedder)
        reranker = None if config.reranker is None else choose_reranker(config.reranker)
        async with open_store(config, embedder, settings.encoding.language) as store:
            player = LivePlayer(
                log,
                store,
                embedder,
                settings,
                interval_s=interval_s,
                metrics=measured.metrics,
                on_retry=on_retry,
                reranker=reranker,
            )
            measured.set_ready(True)
            say(f"playing on Kafka at {config.kafka_servers}; stop with Ctrl-C or SIGTERM")
            try:
                await player.play(stopping)
            finally:
                measured.set_ready(False)
                counts.update(player.counts)
