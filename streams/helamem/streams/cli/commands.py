"""How commands are declared, and the options that many of them share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from helamem.schemas.complaints import invalid
from helamem.schemas.errors import BadInput
from helamem.schemas.settings import ForgettingPolicy, Tenant
from helamem.schemas.wire import Space

EXIT_PROBLEM = 1
EXIT_BAD_INPUT = 2

HomeOption = Annotated[
    Path,
    typer.Option(
        "--home",
        envvar="HELAMEM_HOME",
        help="Directory that holds everything: log, store and settings.",
        show_default="./helamem-home",
    ),
]
DEFAULT_HOME = Path("helamem-home")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON also to a terminal; elsewhere it is always JSON.")]
SpaceOption = Annotated[str, typer.Option("--space", help="The space, TENANT/NAME.", show_default=False)]
AnySpaceOption = Annotated[
    str | None, typer.Option("--space", help="Only this space, TENANT/NAME.", show_default="all")
]
TenantOption = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="All spaces of this tenant: the part of a space's name before the slash.", show_default=False
    ),
]
ArchiveOption = Annotated[
    str | None,
    typer.Option("--archive", help="Read this archive, a directory or a URL, instead of a home.", show_default="none"),
]
KeysOption = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        help="Directory of the keys that open sealed words of an archive: `keys` in the home.",
        show_default="the home's own",
    ),
]
NoProcessOption = Annotated[
    bool,
    typer.Option(
        "--no-process",
        help="Answer at once, from what is processed; otherwise all that is in the log is processed first.",
    ),
]


def new_app() -> typer.Typer:
    """Return a command line without commands."""
    app = typer.Typer(
        name="helamem",
        epilog="Example: helamem ingest chat.jsonl --space acme/mira",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )

    app.callback()(_helamem)
    return app


def add(app: typer.Typer, name: str, function: Callable[..., None], example: str) -> None:
    """Add a command.

    Args:
        app: Where to.
        name: What it is called.
        function: What it does; its docstring is the help.
        example: One call, shown below the help.
    """
    app.command(name, epilog=f"Example: {example}", no_args_is_help=False)(function)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it
    if wanted:
        typer.echo(f"helamem {version('helamem')}")
        raise typer.Exit


def _helamem(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Long-term memory for AI agents: what was said goes into a log, and everything else follows from it."""


def check_space(space: str) -> str:
    """Return the name of a space.

    Raises:
        BadInput: No space can be called so.
    """
    try:
        return msgspec.convert(space, Space)
    except msgspec.ValidationError as error:
        raise BadInput(f"the space {space!r}: {invalid(error, 'space').reason}") from None


def check_tenant(tenant: str) -> str:
    """Return the name of a tenant.

    Raises:
        BadInput: No tenant can be called so.
    """
    try:
        return msgspec.convert(tenant, Tenant)
    except msgspec.ValidationError:
        raise BadInput(
            f"{tenant!r} is no tenant; it is the part of a space's name before the slash, like acme"
        ) from None


def policy_with(policy: ForgettingPolicy, changes: Mapping[str, Any]) -> ForgettingPolicy:
    """Return a policy of forgetting with some values changed.

    Raises:
        BadInput: It makes no sense.
    """
    values: dict[str, Any] = msgspec.to_builtins(policy)
    try:
        return check_policy(msgspec.convert(values | dict(changes), ForgettingPolicy))
    except msgspec.ValidationError as error:
        poison = invalid(error, "")
        raise BadInput(f"the policy of forgetting: {poison.field} {poison.reason}") from None


def check_policy(policy: ForgettingPolicy) -> ForgettingPolicy:
    """Return a policy of forgetting by which something can go.

    Raises:
        BadInput: It protects whoever can speak.
    """
    if {"user", "agent"} <= set(policy.protected):
        raise BadInput(
            "the policy of forgetting: protected holds both user and agent, so nothing could ever be forgotten; leave "
            "one of them out"
        )
    return policy
