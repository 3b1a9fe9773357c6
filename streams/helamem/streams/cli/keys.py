"""`helamem keys`: who may ask a gateway, and what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.times import format_ms
from helamem.streams.cli.commands import DEFAULT_HOME, HomeOption, JsonOption, add
from helamem.streams.cli.output import say, show, table
from helamem.streams.home import Home, wall_clock_ms

if TYPE_CHECKING:
    from helamem.streams.gateway.keys import ApiKey, Keys
    from helamem.streams.gateway.rights import Right


FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file",
        help="A file of keys that the gateways of a fleet share, instead of a home's; HELAMEM_GATEWAY_KEYS names it to "
        "them.",
        show_default="the home's",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(name="keys", help="Make, list and revoke the API keys of gateways.", no_args_is_help=True)
    add(group, "add", add_key, "helamem keys add --tenant acme --rights append,recall")
    add(group, "list", list_keys, "helamem keys list")
    add(group, "revoke", revoke, "helamem keys revoke KEY_ID")
    add(group, "limit", limit, "helamem keys limit --tenant acme --messages-a-day 100000")
    app.add_typer(group)


def add_key(
    *,
    tenant: Annotated[
        str,
        typer.Option("--tenant", help="Whose spaces: the part of their names before the slash.", show_default=False),
    ],
    rights: Annotated[
        str,
        typer.Option("--rights", help="What it may do, separated by commas: append, recall, audit, erase, admin."),
    ] = "append,recall",
    spaces: Annotated[
        str,
        typer.Option("--spaces", help="Which spaces: patterns for the part behind the slash, separated by commas."),
    ] = "*",
    note: Annotated[str, typer.Option("--note", help="What it is for, for whoever lists the keys.")] = "",
    rate: Annotated[
        float | None, typer.Option("--rate", help="Most requests a second.", show_default="no bound")
    ] = None,
    first: Annotated[
        bool,
        typer.Option("--first", help="Only where there is no key yet, nor was one; otherwise nothing is made."),
    ] = False,
    file: FileOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Make a key and print it; it is kept as a hash alone, so it is shown this once.

    A gateway that runs takes it at once. The home, or the file, is made where there is none.
    """
    if file is None and not (home / "home.json").exists():
        Home.open(home).close()
    keys = _keys(home, file)
    if first and keys.made():
        say(f"there are keys in {file or home} already, so none was made; without --first one is")
        show({"key": None}, lambda console: None, as_json=json)
        return
    key, text = keys.add(
        tenant=tenant,
        spaces=_words(spaces),
        rights=cast("tuple[Right, ...]", _words(rights)),
        note=note,
        per_s=rate,
        clock=wall_clock_ms,
    )
    answer = {"key": text, **_described(key)}
    show(answer, lambda console: console.print(text, soft_wrap=True), as_json=json)


def list_keys(*, file: FileOption = None, home: HomeOption = DEFAULT_HOME, json: JsonOption = False) -> None:
    """List the keys, revoked ones included."""
    keys = [_described(key) for key in _keys(home, file).all()]
    columns = ("id", "tenant", "spaces", "rights", "per_s", "created", "revoked", "note")
    rows = [
        tuple(", ".join(cell) if isinstance(cell, list) else cell or "" for cell in (key[name] for name in columns))
        for key in keys
    ]

    def people(console: Console) -> None:
        console.print(table(str(file or home), columns, rows))

    show({"keys": keys}, people, as_json=json)


def revoke(
    *,
    key_id: Annotated[
        str, typer.Argument(metavar="KEY_ID", help="The key's id, as list prints it.", show_default=False)
    ],
    file: FileOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Have a key open nothing any more; a gateway that runs refuses it at once."""
    found = _keys(home, file).revoke(key_id, wall_clock_ms)
    show(_described(found), lambda console: console.print(f"revoked {found.id}"), as_json=json)


def limit(
    *,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose: the part of a space's name before the slash.", show_default=False)
    ],
    rate: Annotated[
        float | None, typer.Option("--rate", help="Most requests a second.", show_default="as it is")
    ] = None,
    messages_a_day: Annotated[
        int | None, typer.Option("--messages-a-day", help="Most messages a day (UTC).", show_default="as it is")
    ] = None,
    bytes_a_day: Annotated[
        int | None,
        typer.Option("--bytes-a-day", help="Most bytes of their texts a day (UTC).", show_default="as it is"),
    ] = None,
    file: FileOption = None,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Bound what all keys of a tenant may ask and append together, and show it with what was appended today.

    0 lifts a bound, and one that is not named stays. A gateway that runs heeds it at once.
    """
    from helamem.streams.gateway.quotas import Quotas  # noqa: PLC0415 - not every command needs it

    keys = _keys(home, file)
    bounds = keys.limit(tenant, per_s=rate, messages_a_day=messages_a_day, bytes_a_day=bytes_a_day)
    used = Quotas(home, keys).used(tenant) if file is None else None  # gateways of a fleet count for themselves
    rows = [
        ("requests a second", bounds.per_s, None),
        ("messages a day", bounds.messages_a_day, None if used is None else used.messages),
        ("bytes of text a day", bounds.bytes_a_day, None if used is None else used.size_bytes),
    ]
    answer = {
        "tenant": tenant,
        "per_s": bounds.per_s,
        "messages_a_day": bounds.messages_a_day,
        "bytes_a_day": bounds.bytes_a_day,
        "today": None if used is None else {"messages": used.messages, "bytes": used.size_bytes},
    }

    def people(console: Console) -> None:
        told = [
            (what, "no bound" if most is None else f"{most:,}", "" if now is None else f"{now:,}")
            for what, most, now in rows
        ]
        console.print(table(tenant, ("what", "at most", "today"), told, right=("at most", "today")))

    show(answer, people, as_json=json)


def _keys(home: Path, file: Path | None) -> Keys:
    """Return the keys of a home, or of a file that gateways of a fleet share.

    Raises:
        BadInput: There is no home, or no directory for the file.
    """
    from helamem.streams.gateway.keys import Keys  # noqa: PLC0415 - not every command needs it

    if file is None:
        Home.look(home)
        return Keys(home)
    if not file.parent.is_dir():
        raise BadInput(f"there is no directory {file.parent} for the file of keys; make it first")
    return Keys(file.parent, file.name)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _described(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "spaces": [*key.spaces],
        "rights": [*key.rights],
        "per_s": key.per_s,
        "note": key.note,
        "created": format_ms(key.created_ms),
        "revoked": None if key.revoked_ms is None else format_ms(key.revoked_ms),
    }
