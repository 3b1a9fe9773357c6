"""A progress bar on standard error, where a person looks at it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

from helamem.schemas.errors import RetryLater
from helamem.streams.cli.output import Waiting

Advance = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@contextmanager
def bar(label: str, *, size_in_bytes: bool = False) -> Iterator[Advance]:
    """Show how far something is; nothing is shown where standard error is no terminal.

    Args:
        label: What is going on.
        size_in_bytes: Whether bytes are counted; otherwise things are.
    """
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where a bar is seen
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if size_in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
    task = progress.add_task(label, total=None)

    def advance(done: int, total: int) -> None:
        progress.update(task, completed=done, total=total)
        progress.start()  # not before there is something to show; once started it stays so

    try:
        yield advance
    finally:
        progress.stop()


class Told(TypedDict):
    """What a long piece of work is given to tell how it goes."""

    on_progress: Advance
    on_retry: Callable[[RetryLater], None]


@contextmanager
def told(label: str) -> Iterator[Told]:
    """Show how far something is, and say what is away while it waits for that.

    Args:
        label: What is going on.
    """
    waiting = Waiting()
    with bar(label) as advance:

        def on_progress(done: int, total: int) -> None:
            waiting.over()
            advance(done, total)

        yield Told(on_progress=on_progress, on_retry=waiting.note)


@contextmanager
def steps() -> Iterator[Callable[[str, int, int], None]]:
    """Show one bar after the other: what is going on, how much is done, and of how much."""
    if not sys.stderr.isatty():
        yield lambda name, done, total: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where a bar is seen
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415 - likewise

    with Progress(
        TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), console=Console(stderr=True)
    ) as progress:
        tasks = {}

        def note(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield note
