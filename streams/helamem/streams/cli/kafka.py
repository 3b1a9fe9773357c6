"""Commands that look at a home or at the fleet's Kafka: the option, and the log that it stands for."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.topics import TOPICS
from helamem.streams import logs

if TYPE_CHECKING:  # they import aiokafka
    from helamem.streams.log.kafka_history import KafkaHistory
    from helamem.streams.log.kafka_settings import KafkaSettings
    from helamem.streams.log.port import Log

KafkaOption = Annotated[
    bool,
    typer.Option(
        "--kafka", help="Use the fleet's Kafka, as `helamem config` shows it, instead of a home.", show_default=False
    ),
]


def only_one(context: typer.Context, *, kafka: bool = False, archive: str | None = None) -> None:
    """Look whether two of `--home`, `--kafka` and `--archive` were given; a home of the environment does not count.

    Raises:
        BadParameter: They were.
    """
    source = context.get_parameter_source("home")
    home = source is not None and source.name == "COMMANDLINE"
    if kafka and home:
        raise typer.BadParameter("give one of --home, for a home of this machine, and --kafka, for the fleet")
    if archive is not None and (kafka or home):
        raise typer.BadParameter("give one of --archive, --home and --kafka")


def place(home: Path, *, kafka: bool) -> str:
    """Return what a person calls the log that is looked at."""
    if not kafka:
        return str(home)
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    return f"Kafka at {load_config().kafka_servers}"


def quiet_clients() -> None:
    """Let clients of Kafka log nothing: what matters of an outage is raised, and said once."""
    if not logs.begun():  # a process that logs has set their levels
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def fleets_kafka() -> KafkaSettings:
    """Return how to reach the fleet's Kafka, with its clients kept quiet.

    Raises:
        BadInput: The configuration is not valid.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    quiet_clients()
    return load_config().kafka()


@asynccontextmanager
async def kafka_log() -> AsyncIterator[Log]:
    """Open the fleet's log.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: Topics are missing, or Kafka refuses access.
        RetryLater: Kafka is away.
    """
    from helamem.streams.log.kafka import KafkaLog  # noqa: PLC0415 - it imports aiokafka

    async with await KafkaLog.open(fleets_kafka(), TOPICS) as log:
        yield log


@asynccontextmanager
async def sealing_kafka_log() -> AsyncIterator[Log]:
    """Open the fleet's log to append to, with words sealed as the configuration says, with the errors of `kafka_log`.

    Raises:
        ConfigurationError: The keys are not there.
    """
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka
    from helamem.streams.sealing.fleet import fleet_sealing  # noqa: PLC0415 - it imports arrays

    sealing = fleet_sealing(load_config())
    async with kafka_log() as log:
        yield sealing.sealing(log)


def keys_of(home: Path, *, kafka: bool) -> Path | None:
    """Return where the keys are that open the words of the log that is looked at; there may be none."""
    if not kafka:
        return home / "keys"
    from helamem.streams.config import load_config  # noqa: PLC0415 - it imports aiokafka

    return load_config().keys


@asynccontextmanager
async def kafka_history() -> AsyncIterator[KafkaHistory]:
    """Open the fleet's log in all its generations, with the errors of `kafka_log`."""
    from helamem.streams.log.kafka_history import KafkaHistory  # noqa: PLC0415 - it imports aiokafka

    async with KafkaHistory(fleets_kafka()) as history:
        yield history


@asynccontextmanager
async def log_to_read(home: Path, *, kafka: bool) -> AsyncIterator[Log]:
    """Open the log of a home for reading, also while another process writes it, or that of the fleet.

    Raises:
        BadInput: There is no home.
    """
    if kafka:
        async with kafka_log() as log:
            yield log
        return
    from helamem.streams.home import Home, wall_clock_ms  # noqa: PLC0415 - only commands that read a log need it
    from helamem.streams.log.sqlite import SqliteLog  # noqa: PLC0415 - likewise

    path = Home.look(home).log_path
    async with await SqliteLog.open(path, TOPICS, wall_clock_ms, read_only=True) as found:
        yield found
