"""`helamem settings`: what decides, besides records, what a log becomes."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from helamem.schemas.complaints import invalid
from helamem.schemas.errors import BadInput
from helamem.schemas.settings import Settings
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.output import show, table
from helamem.streams.cli.session import Session, in_home


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "settings", settings, "helamem settings --set hebbian.eta_recalled=0.01")


def settings(
    *,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change one of the hebbian settings, for all that comes after; may be repeated.",
            show_default=False,
        ),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show the settings in force, or change some for everything that is recalled from now on.

    They stand in the log, so a replay follows the same ones. How memories are embedded cannot be changed in place:
    replay the log into another home for that.
    """

    async def look(session: Session) -> Settings:
        from helamem.streams.home import wall_clock_ms  # noqa: PLC0415 - only needed where a home is open
        from helamem.streams.settings_log import apply_settings  # noqa: PLC0415 - it imports arrays

        in_force = session.memory.instance.settings
        wanted = changed(in_force, changes or ())
        if wanted != in_force:
            await apply_settings(session.memory.instance.log, wanted, wall_clock_ms)
        return wanted

    found = msgspec.to_builtins(in_home(home, look))
    rows = [(name, _text(value)) for name, value in _flat(found)]
    drawn = table(str(home), ("setting", "value"), rows)
    show({"settings": found}, lambda console: console.print(drawn), as_json=json)


def changed(in_force: Settings, changes: tuple[str, ...] | list[str]) -> Settings:
    """Return settings with changes like `hebbian.eta_recalled=0.01`.

    Raises:
        BadInput: No such setting, none that can be changed in place, or a value that it cannot have.
    """
    values: dict[str, Any] = msgspec.to_builtins(in_force)
    known = dict(_flat(values))
    for change in changes:
        name, equals, value = change.partition("=")
        group, _, field = name.partition(".")
        if not equals:
            raise BadInput(f"--set {change!r} has no value; write it like hebbian.eta_recalled=0.01")
        if name not in known:
            raise BadInput(f"there is no setting {name}; there are {', '.join(known)}")
        if group != "hebbian":
            raise BadInput(
                f"{name} cannot be changed in place: the memories of this home are made with {_text(known[name])}; "
                "replay the log into another home instead"
            )
        values[group][field] = value
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        poison = invalid(error, "")
        raise BadInput(f"the setting {poison.field} {poison.reason}") from None


def _flat(values: dict[str, Any]) -> list[tuple[str, Any]]:
    flat = []
    for name, value in values.items():
        if isinstance(value, dict):
            flat += [(f"{name}.{field}", inner) for field, inner in value.items()]
        else:
            flat.append((name, value))
    return flat


def _text(value: object) -> str:
    return f"{value}"
