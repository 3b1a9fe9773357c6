"""What commands print: JSON where a program reads, tables where a person does."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.times import format_ms
from helamem.streams import logs

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_SHORT = 60


def show(data: object, people: Callable[[Console], None], *, as_json: bool) -> None:
    """Print an answer.

    Args:
        data: For programs: one JSON document with sorted keys.
        people: Prints the same for a person.
        as_json: Whether JSON was asked for; it is also printed to whatever is no terminal.
    """
    terminal = sys.stdout.isatty()
    if terminal and not as_json:
        people(Console())
        return
    option = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if terminal else 0)
    typer.echo(orjson.dumps(data, option=option), nl=False)


def say(sentence: str, level: int = logging.INFO) -> None:
    """Tell a person something that is no part of the answer; a long-running process logs it, at this level."""
    if logs.begun():
        logging.getLogger("helamem").log(level, "%s", sentence)
    else:
        typer.echo(f"helamem: {sentence}", err=True)


def log_from_now(level: str | None = None) -> None:
    """Have a long-running command log, as HELAMEM_LOG_LEVEL says unless a level is given.

    Raises:
        BadInput: There is no such level.
    """
    level = os.environ.get("HELAMEM_LOG_LEVEL", "info") if level is None else level
    if level not in logs.LEVELS:
        raise BadInput(f"HELAMEM_LOG_LEVEL is {level!r}; it must be one of {', '.join(logs.LEVELS)}")
    logs.begin(level)


class Waiting:
    """Says what is away, once as long as it is the same, and once that it is back."""

    def __init__(self) -> None:
        self._on = ""

    def note(self, error: RetryLater) -> None:
        """Note that something is away."""
        if str(error) != self._on:
            self._on = str(error)
            say(f"waiting: {error}", logging.WARNING)

    def over(self) -> None:
        """Note that something was done."""
        if self._on:
            say("going on")
        self._on = ""


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[str] = (), lines: bool = False
) -> Table:
    """Return a table.

    Args:
        title: What it shows.
        columns: Their heads.
        rows: Their cells, printed as they are: what strangers wrote is neither markup nor control characters here.
        right: The columns that stand to the right.
        lines: Whether a line stands between rows, where cells are long.
    """
    drawn = Table(title=Text(printable(title)), title_justify="left", header_style="bold", show_lines=lines)
    for column in columns:
        drawn.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(str(cell))) for cell in row))
    return drawn


def printable(text: str) -> str:
    """Return a text without what would steer a terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def shortened(text: str) -> str:
    """Return the beginning of a text, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _SHORT else f"{line[: _SHORT - 1]}…"


def day_and_minute(time_ms: int) -> str:
    """Return a time for a person: UTC, to the minute."""
    return format_ms(time_ms)[:16].replace("T", " ")
