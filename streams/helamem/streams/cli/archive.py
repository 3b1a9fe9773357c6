"""`helamem archive`: the log into immutable segments, on disk or in an object store."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helamem.schemas.errors import RetryLater
from helamem.schemas.topics import TOPICS
from helamem.streams.cli.archive_source import source_of
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.kafka import KafkaOption, only_one
from helamem.streams.cli.metrics import (
    LOOPBACK,
    OnceMetricsHostOption,
    OnceMetricsOption,
    measuring,
    measuring_once,
)
from helamem.streams.cli.output import Waiting, log_from_now, say, show, table
from helamem.streams.cli.progress import bar

if TYPE_CHECKING:  # they import cryptography, and aiokafka
    from helamem.streams.archive.archiver import Archiver
    from helamem.streams.archive.run import Round

    OnRound = Callable[[Round], None]

EVERY_S = 60.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "archive", archive, "helamem archive --to archive --key archiver.pem --checkpoints checkpoints.jsonl")


def archive(
    context: typer.Context,
    *,
    to: Annotated[
        str, typer.Option("--to", help="A directory, or a URL such as s3://bucket/path.", show_default=False)
    ],
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Private key that signs; see helamem audit keygen.", show_default="none"),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            "--checkpoints", help="Also add checkpoints to this file; keep it elsewhere.", show_default="none"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C or SIGTERM.")] = False,
    every: Annotated[
        float, typer.Option("--every", min=0.1, help="With --follow: seconds between two rounds.")
    ] = EVERY_S,
    kafka: KafkaOption = False,
    metrics: OnceMetricsOption = None,
    metrics_host: OnceMetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Copy the whole log into an archive that is never rewritten, and go on where the last run ended.

    With a key each run signs what it archived, and the log itself gets the signed checkpoints too. A home that
    another process writes gets them from the next run that finds it free. What the log had dropped before it was
    archived is named. The same log always goes into the same archive, also after `topics migrate`.
    """
    only_one(context, kafka=kafka)
    if follow:
        log_from_now()
    if checkpoints is not None and key is None:
        raise typer.BadParameter("--checkpoints needs --key: only what is signed is worth keeping elsewhere")
    job = partial(_archive, to, key, checkpoints, every if follow else None, home=home, kafka=kafka)
    total = asyncio.run(_measured(job, metrics, metrics_host, follow=follow))
    answer = {name: total[name] for name in ("records", "segments", "size_bytes", "checkpoints", "published")}
    rows = [(name.replace("_", " "), count) for name, count in answer.items()]
    drawn = table(to, ("what", "count"), rows, right=("count",))
    show(answer | {"missing": total["missing"]}, lambda console: console.print(drawn), as_json=json)


async def _measured(
    job: Callable[[OnRound], Awaitable[dict[str, Any]]], port: int | None, host: str, *, follow: bool
) -> dict[str, Any]:
    """Run the job; one that follows is stopped by whoever reads its metrics, and does not wait for a last read."""
    async with AsyncExitStack() as stack:
        if follow:
            measured = await stack.enter_async_context(measuring(port, host))
            measured.set_ready(True)
            metrics = measured.metrics
        else:
            metrics = await stack.enter_async_context(measuring_once(port, host))
        if metrics is None:
            return await job(lambda done: None)
        from helamem.streams.metrics.proving import ArchiveMeter  # noqa: PLC0415 - it imports the engine

        return await job(ArchiveMeter(metrics).ended)


async def _archive(
    to: str, key: Path | None, kept: Path | None, every_s: float | None, on_round: OnRound, *, home: Path, kafka: bool
) -> dict[str, Any]:
    from helamem.streams.archive.run import archive_round  # noqa: PLC0415 - it imports cryptography

    stopping = asyncio.Event()
    if every_s is not None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
    total: dict[str, Any] = {
        "records": 0, "segments": 0, "size_bytes": 0, "checkpoints": 0, "published": 0, "missing": [],
    }  # fmt: skip
    async with source_of(home, kafka=kafka) as source:
        with ExitStack() as stack, bar("archiving") as advance:
            archiver = _open(stack, to, key)
            if every_s is not None:
                say(f"archiving to {to}; stop with Ctrl-C or SIGTERM")
            waiting = Waiting()
            while True:
                try:
                    log, earlier = await source.logs(archiver)
                    done = await archive_round(
                        archiver, log, TOPICS, source.publish, earlier=earlier, kept=kept, on_progress=advance
                    )
                except RetryLater as error:
                    if every_s is None:
                        raise
                    waiting.note(error)
                else:
                    waiting.over()
                    _count(total, done)
                    on_round(done)
                if every_s is None or await _stopped(stopping, every_s):
                    return total


async def _stopped(stopping: asyncio.Event, every_s: float) -> bool:
    """Wait for the next round, or for a stop, and return whether that was asked for."""
    try:
        async with asyncio.timeout(every_s):
            await stopping.wait()
    except TimeoutError:
        return False
    return True


def _open(stack: ExitStack, to: str, key: Path | None) -> Archiver:
    from helamem.streams.archive.archiver import Archiver  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.archive.files import LocalFiles, open_files  # noqa: PLC0415 - likewise
    from helamem.streams.archive.layout import LOCK  # noqa: PLC0415 - likewise
    from helamem.streams.audit.keys import load_private  # noqa: PLC0415 - likewise
    from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - likewise
    from helamem.streams.log.writer_lock import WriterLock  # noqa: PLC0415 - likewise

    signer = None if key is None else load_private(key)
    files = open_files(to)
    if isinstance(files, LocalFiles):
        files.make()
        lock = WriterLock.take(files.root / LOCK, f"the archive {to}", wall_clock_ms)
        stack.callback(lock.release)
    return Archiver(files, signer, wall_clock_ms)


def _count(total: dict[str, Any], done: Round) -> None:
    for name in ("records", "segments", "size_bytes", "checkpoints", "published"):
        total[name] += getattr(done, name)
    for one in done.missing:
        gap = {
            "partition": str(one.partition),
            "begin": one.gap.begin,
            "end": one.gap.end,
            "reason": one.gap.reason,
        }
        if gap not in total["missing"]:
            total["missing"].append(gap)
            why = "the log had dropped them" if one.gap.reason == "retention" else "the log passed over these offsets"
            say(f"missing: records {one.gap.begin} to {one.gap.end - 1} of {one.partition}: {why}", logging.WARNING)
