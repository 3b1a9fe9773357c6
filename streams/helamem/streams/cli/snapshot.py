"""`helamem snapshot`: states of large spaces, kept so that questions about the past are answered in seconds."""

from __future__ import annotations

import asyncio
import signal
from asyncio import sleep as _sleep
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from helamem.schemas.errors import RetryLater
from helamem.schemas.times import format_ms
from helamem.streams.backoff import Backoff
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.output import Waiting, say, show, table
from helamem.streams.cli.progress import Advance, told

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.snapshots.taking import Taker

_WAITS = Backoff(first_s=5.0, longest_s=600.0)
"""From look to look, and longer where one failed: on a full disk each may replay for minutes what then is not kept."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "snapshot", snapshot, "helamem snapshot --key archiver.pem --follow")


def snapshot(
    *,
    every: Annotated[
        int, typer.Option("--every", metavar="RECORDS", min=1, help="Records of a space between two snapshots.")
    ] = 8_000,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            min=1,
            help="How many of all, of every second one, of every fourth, and so on.",
            show_default="all of all",
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", help="Private key that signs; see helamem audit keygen.", show_default="none"),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C or SIGTERM.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Keep the state of large spaces as it was, so that recall --as-of TIME --state need not replay all of their past.

    A space gets a snapshot whenever it has grown by so many records; one with fewer needs none. Of each, only what is
    new since the one before it takes room. The home may be in use: its log is only read. Snapshots may be removed at
    any time.
    """
    taker = asyncio.run(_snapshot(home, every, keep, key, follow=follow))
    kept = [one.manifest for one in taker.snapshots.kept()]
    answer = {
        "taken": taker.taken,
        "kept": [
            {
                "space": one.state.space,
                "records": one.records,
                "digest": one.digest,
                "signed_by": one.public_key,
                "taken_at": format_ms(one.taken_at),
                "size_bytes": one.size_bytes,
                "positions": one.state.positions,
            }
            for one in kept
        ],
    }
    rows = [
        (one.state.space, one.records, format_ms(one.taken_at), (one.public_key or "")[:16] or "nobody", one.digest)
        for one in kept
    ]
    columns = ("space", "records", "taken", "signed by", "digest")
    drawn = table(f"{taker.taken} taken, {len(kept)} kept", columns, rows, right=("records",))

    def people(console: Console) -> None:
        if kept:
            console.print(drawn)
        else:
            console.print(f"no space has {every:,} records yet; the past of smaller ones is replayed when asked for")

    show(answer, people, as_json=json)


async def _snapshot(home: Path, every: int, keep: int | None, key: Path | None, *, follow: bool) -> Taker:
    from helamem.streams.audit.keys import load_private  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.snapshots.taking import Schedule, Taker  # noqa: PLC0415 - it imports the engine

    signer = None if key is None else load_private(key)
    schedule = Schedule(every=every, keep=keep)
    with told("replaying") as telling, Taker(home, schedule, key=signer, on_retry=telling["on_retry"]) as taker:
        if not follow:
            await taker.catch_up(telling["on_progress"])
            return taker
        loop, this = asyncio.get_running_loop(), asyncio.current_task()
        assert this is not None  # `asyncio.run` has made it
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, this.cancel)  # what was begun goes on the next time
        say(f"taking snapshots of {home}; stop with Ctrl-C or SIGTERM")
        with suppress(asyncio.CancelledError):
            await _follow(taker, telling["on_progress"])
        return taker


async def _follow(taker: Taker, advance: Advance) -> None:
    waiting, failures = Waiting(), 0
    while True:
        try:
            await taker.catch_up(advance)
        except RetryLater as error:
            waiting.note(error)
            failures += 1
        else:
            waiting.over()
            failures = 0
        await _sleep(_WAITS.wait_s(max(1, failures)))
