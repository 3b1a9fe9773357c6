"""`helamem config`: what the fleet's commands are told from outside, and by whom."""

from __future__ import annotations

import msgspec
import typer

from helamem.streams.cli.commands import JsonOption, add
from helamem.streams.cli.output import show, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "config", config, "helamem config")


def config(*, json: JsonOption = False) -> None:
    """Show every setting of the fleet with its value, where that comes from, and what it is for.

    The setting kafka_servers is the variable HELAMEM_KAFKA_SERVERS, or kafka_servers in a TOML file: the one that
    HELAMEM_CONFIG names, or helamem.toml here. A variable wins over the file. Secrets are not shown. Settings that
    contradict each other are shown too, and then the exit code is 2.
    """
    from helamem.streams.config import describe, load_config  # noqa: PLC0415 - it imports aiokafka

    loaded = load_config()
    settings = describe(loaded)
    rows = [(s.name, "" if s.value is None else s.value, s.source, s.description) for s in settings]
    drawn = table("settings of the fleet", ("setting", "value", "from", "what it is for"), rows)
    show({"settings": msgspec.to_builtins(settings)}, lambda console: console.print(drawn), as_json=json)
    loaded.kafka().client_options()  # complains of what does not fit together, as do the next ones
    loaded.qdrant()
    loaded.asked_distiller()
