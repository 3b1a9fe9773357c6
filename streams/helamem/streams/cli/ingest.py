"""`helamem ingest`: from a file into the log, and from there into memory."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import typer

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    EXIT_BAD_INPUT,
    EXIT_PROBLEM,
    HomeOption,
    JsonOption,
    add,
    check_space,
)
from helamem.streams.cli.kafka import KafkaOption, only_one, sealing_kafka_log
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.progress import bar
from helamem.streams.cli.session import opened_or_served, report
from helamem.streams.cli.tracing import tracing
from helamem.streams.ingest.formats import Format, read_file
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.runner import Appended, append_lines
from helamem.streams.log.port import Log

SHOWN_BAD_LINES = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "ingest", ingest, "helamem ingest chat.jsonl --space acme/mira")


def ingest(
    context: typer.Context,
    *,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The file: JSON lines, or LoCoMo's own format.", show_default=False)
    ],
    file_format: Annotated[
        Format, typer.Option("--format", help="How the file is written; auto looks at its beginning.")
    ] = "auto",
    space: Annotated[
        str | None,
        typer.Option("--space", help="Where messages go that name no space, TENANT/NAME.", show_default="none"),
    ] = None,
    no_process: Annotated[
        bool, typer.Option("--no-process", help="Only append to the log; process it later with: helamem run --once")
    ] = False,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Put the messages of a file into the log and make memories of them.

    A line of JSON is a message with text, speaker and time (and space, conversation, message_id, role), or a whole
    event. Bad lines are reported and the good ones kept. Ingesting a file again adds nothing. With --kafka the fleet's
    log takes them, and its workers make memories of them; what is counted as appended is acknowledged by Kafka.

    Exit codes: 0 done, 1 a message was put aside or contradicts an earlier one, 2 bad lines or bad usage.
    """
    only_one(context, kafka=kafka)
    if space is not None:
        check_space(space)
    lines = _readable(file, file_format, space)
    size_bytes = file.stat().st_size
    begun = time.monotonic()

    complaints = _Complaints()

    async def run() -> tuple[Appended, bool, Counter[str] | None]:
        """Return what was appended, whether it was processed, and what was counted, where that is known here."""
        if kafka:
            with tracing("kafka") as traced, bar("reading", size_in_bytes=True) as advance:
                async with sealing_kafka_log() as log:
                    await _need_settings(log)
                    appended = await append_lines(
                        log,
                        lines,
                        on_progress=lambda done: advance(done.read_bytes, size_bytes),
                        on_bad=complaints.tell,
                        tracing=traced,
                    )
                    return appended, False, None
        async with opened_or_served(home, create=True) as session:
            with bar("reading", size_in_bytes=True) as advance:
                appended = await session.append(
                    lines, lambda done: advance(done.read_bytes, size_bytes), complaints.tell
                )
            counts = Counter[str]() if no_process else await session.catch_up()
            return appended, session.caught_up, counts if session.counts else None

    appended, processed, known = asyncio.run(run())
    counts = known or Counter[str]()
    if appended.bad > SHOWN_BAD_LINES:
        say(f"and more bad lines: {appended.bad} in all")
    report(counts)
    if conflicts := counts["conflict"]:
        say(f"messages that repeat the id of an earlier one in other words: {conflicts}; the earlier ones count")
    summary = {
        "lines": appended.lines,
        "appended": appended.records,
        "bad": appended.bad,
        "processed": processed,
        "seconds": round(time.monotonic() - begun, 3),
    }
    if known is not None:
        summary |= {
            "encoded": counts["encoded"],
            "duplicates": counts["duplicate"],
            "conflicts": conflicts,
            "dead_letters": counts["dead-lettered"],
        }
    drawn = table(str(file), ("what", "count"), list(summary.items()), right=("count",))
    show(summary, lambda console: console.print(drawn), as_json=json)
    if appended.bad:
        raise typer.Exit(EXIT_BAD_INPUT)
    if conflicts or counts["dead-lettered"]:
        raise typer.Exit(EXIT_PROBLEM)


def _readable(file: Path, file_format: Format, space: str | None) -> Iterator[Incoming | BadLine]:
    """Return the lines of a file; the first is read here, so that an unreadable file makes no home."""
    try:
        lines = read_file(file, file_format, space)
        first = next(lines, None)
    except OSError as error:
        raise BadInput(
            f"the file {file} cannot be read: {error.strerror}; check the path and its permissions"
        ) from None
    return iter(()) if first is None else chain([first], lines)


async def _need_settings(log: Log) -> None:
    """Refuse a log without settings: what is to become of its records would be left open."""
    from helamem.streams.settings_log import without_settings  # noqa: PLC0415 - it imports arrays

    if await without_settings(log):
        raise ConfigurationError("the log in Kafka has no settings yet; run: helamem topics apply")


class _Complaints:
    """Reports bad lines, the first of them one by one."""

    def __init__(self) -> None:
        self._count = 0

    def tell(self, bad: BadLine) -> None:
        """Report one."""
        self._count += 1
        if self._count <= SHOWN_BAD_LINES:
            say(f"line {bad.line}: {bad.reason}")
