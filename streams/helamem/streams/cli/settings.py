"""`helamem settings`: what decides, besides records, what a log becomes, and what its tenants forget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from helamem.schemas.complaints import invalid
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.schemas.settings import Settings
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add, check_policy, check_tenant
from helamem.streams.cli.kafka import KafkaOption, kafka_log, only_one, place
from helamem.streams.cli.output import show, table
from helamem.streams.cli.session import Session, in_home

_FORGETTING, _OF_TENANTS = "forgetting", "forgetting_of"
_DEFAULT = "default"
_NONE = "none"


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "settings", settings, "helamem settings --tenant acme --set forgetting.budget=10000")


def settings(
    context: typer.Context,
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change one of the hebbian or forgetting settings, for all that comes after; may be repeated. A list "
            "is written with commas, no value as none.",
            show_default=False,
        ),
    ] = None,
    tenant: Annotated[
        str | None,
        typer.Option(
            "--tenant",
            help="Change what this tenant forgets: it gets a policy of its own, which begins as that of all. "
            "--set forgetting=default takes it away.",
            show_default="all",
        ),
    ] = None,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show the settings in force, or change some for everything that is recalled or forgotten from now on.

    They stand in the log, so a replay follows the same ones. How memories are embedded cannot be changed in place:
    replay the log into another home for that.
    """
    only_one(context, kafka=kafka)
    if tenant is not None:
        check_tenant(tenant)
        if not changes:
            raise typer.BadParameter("give --set with --tenant, such as --set forgetting.budget=10000")

    async def look(session: Session) -> Settings:
        from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed where a home is open
        from helamem.streams.settings_log import apply_settings  # noqa: PLC0415 - it imports arrays

        in_force = session.memory.instance.settings
        wanted = changed(in_force, changes or (), tenant)
        if wanted != in_force:
            await apply_settings(session.memory.instance.log, wanted, wall_clock_ms)
        return wanted

    found = msgspec.to_builtins(asyncio.run(_of_the_fleet(changes or (), tenant)) if kafka else in_home(home, look))
    rows = [(name, _text(value)) for name, value in _flat(found)]
    drawn = table(place(home, kafka=kafka), ("setting", "value"), rows)
    show({"settings": found}, lambda console: console.print(drawn), as_json=json)


async def _of_the_fleet(changes: Sequence[str], tenant: str | None) -> Settings:
    """Return the settings of the fleet's log, changed.

    Raises:
        ConfigurationError: It has none yet.
    """
    from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed here
    from helamem.streams.settings_log import apply_settings, settings_in_force  # noqa: PLC0415 - it imports arrays

    async with kafka_log() as log:
        in_force = await settings_in_force(log, {})
        if in_force is None:
            raise ConfigurationError("the log in Kafka has no settings yet; run: helamem topics apply")
        wanted = changed(in_force, changes, tenant)
        if changes:  # also where they are in force: Kafka may have failed before it had taken them in all partitions
            await apply_settings(log, wanted, wall_clock_ms)
        return wanted


def changed(in_force: Settings, changes: Sequence[str], tenant: str | None = None) -> Settings:
    """Return settings with changes like `hebbian.eta_recalled=0.01`.

    Args:
        in_force: What is changed.
        changes: Each a name and a value.
        tenant: Change what this tenant forgets; None changes what holds for all that have no policy of their own.

    Raises:
        BadInput: No such setting, none that can be changed in place, or a value that it cannot have.
    """
    values: dict[str, Any] = msgspec.to_builtins(in_force)
    of_tenants: dict[str, Any] = values.pop(_OF_TENANTS)
    known = dict(_flat(values))
    for change in changes:
        name, equals, value = change.partition("=")
        group, _, field = name.partition(".")
        if not equals:
            raise BadInput(f"--set {change!r} has no value; write it like hebbian.eta_recalled=0.01")
        if (name, value) == (_FORGETTING, _DEFAULT) and tenant is not None:
            of_tenants.pop(tenant, None)
            continue
        if name not in known:
            raise BadInput(f"there is no setting {name}; there are {', '.join(known)}")
        if tenant is not None and group != _FORGETTING:
            raise BadInput(f"{name} is the same for all tenants; leave out --tenant, or set one of {_FORGETTING}")
        if group not in {"hebbian", _FORGETTING}:
            raise BadInput(
                f"{name} cannot be changed in place: the memories of this home are made with {_text(known[name])}; "
                "replay the log into another home instead"
            )
        at = values[group] if tenant is None else of_tenants.setdefault(tenant, dict(values[group]))
        at[field] = _value(value, known[name])
    try:
        wanted = msgspec.convert(values | {_OF_TENANTS: of_tenants}, Settings, strict=False)
    except msgspec.ValidationError as error:
        poison = invalid(error, "")
        raise BadInput(f"the setting {poison.field} {poison.reason}") from None
    for policy in (wanted.forgetting, *wanted.forgetting_of.values()):
        check_policy(policy)
    return wanted


def _value(text: str, known: object) -> object:
    """Return what a person wrote, as it is put in the place of a known value."""
    if isinstance(known, list | tuple):
        return [] if text == _NONE else [part.strip() for part in text.split(",")]
    return None if text == _NONE else text


def _flat(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return settings by name; those of a group stand behind its name and a dot."""
    flat = []
    for name, value in values.items():
        if isinstance(value, dict):
            flat += [(f"{name}.{inside}", inner) for inside, inner in _flat(value)]
        else:
            flat.append((name, value))
    return flat


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or _NONE
    return _NONE if value is None else f"{value}"
