"""The command line: the library, seen from a shell.

Each module holds one group of commands and adds it with its `register`; a further group is one more entry of
`_GROUPS`, in the order of `helamem --help`. What takes long to import (arrays, the engine, the embedder) is imported
by the command that needs it.

Exit codes: 0 done, 1 found a problem, 2 bad input or usage, 130 interrupted.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import typer

from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError
from helamem.streams.cli import (
    access,
    archive,
    audit,
    config,
    dead_letters,
    demo,
    diff,
    digest,
    edges,
    erase,
    evaluate,
    facts,
    forget,
    gateway,
    ingest,
    keys,
    lag,
    mcp,
    merge,
    play,
    profile,
    rebuild,
    recall,
    replay,
    restore_log,
    run,
    settings,
    snapshot,
    spaces,
    store,
    topics,
    why,
    worker,
)
from helamem.streams.cli.commands import new_app
from helamem.streams.cli.output import say

_GROUPS = (
    demo,
    ingest,
    recall,
    run,
    gateway,
    keys,
    access,
    mcp,
    store,
    digest,
    replay,
    diff,
    snapshot,
    archive,
    audit,
    restore_log,
    spaces,
    facts,
    profile,
    edges,
    why,
    dead_letters,
    settings,
    forget,
    erase,
    topics,
    worker,
    merge,
    play,
    rebuild,
    lag,
    config,
    evaluate,
)


def app() -> typer.Typer:
    """Return the command line with all its commands."""
    commands = new_app()
    for group in _GROUPS:
        group.register(commands)
    return commands


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit.

    Args:
        arguments: What stands after `helamem`; None takes the process's own.
    """
    try:
        app()(args=arguments, prog_name="helamem")
    except HelamemError as error:
        say(str(error), logging.ERROR)
        sys.exit(2 if isinstance(error, BadInput | ConfigurationError) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
