"""Whose words are sealed, and with what that does not go together."""

from __future__ import annotations

import re
from pathlib import Path

from helamem.processors.embedder.choose import is_recorded
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.topics import TOPICS
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.settings_log import settings_in_force

TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


async def seal_tenant(path: Path, tenant: str) -> tuple[str, ...]:
    """Have the words of a tenant sealed in a home, which is made where there is none; return all such tenants.

    Raises:
        BadInput: The directory holds something else, or the home was filled by a replay.
        ConfigurationError: Another process writes it, or a service embeds for it.
    """
    with Home.open(path) as home:
        if home.projection_of is not None:
            raise BadInput(f"{path} was filled by a replay and has no log of its own; seal {home.projection_of}")
        if home.log_path.exists():
            async with await SqliteLog.open(home.log_path, TOPICS, wall_clock_ms, read_only=True) as log:
                settings = await settings_in_force(log, {})
            if settings is not None:
                check_embedder(f"the home {path}", settings.encoding.embedder)
        if not home.sealed_tenants:
            from helamem.streams.sealing.keys import make_keys  # noqa: PLC0415 - it imports cryptography

            make_keys(home.keys_path)
        home.seal_tenant(tenant)
        return home.sealed_tenants


def check_distiller(place: str, model: str) -> None:
    """Refuse a model elsewhere that distils where words are sealed, for the same reason.

    Raises:
        ConfigurationError: Always.
    """
    raise ConfigurationError(
        f"words are sealed in {place}, and what {model} answers would stand in its log unsealed; unset "
        "HELAMEM_DISTILLER there, so that facts are quoted"
    )


def check_embedder(place: str, name: str) -> None:
    """Refuse a service that embeds where words are sealed: its answers are recorded, and are not.

    Raises:
        ConfigurationError: It is one.
    """
    if is_recorded(name):
        raise ConfigurationError(
            f"{name} embeds for {place}, and what a service answers stands in the log unsealed; to seal words, begin "
            "a log with a model on this machine, such as wordllama"
        )
