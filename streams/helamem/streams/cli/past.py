"""Past states for commands that look at them: put together, and said of what."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from helamem.schemas.times import format_ms
from helamem.streams.cli.output import say
from helamem.streams.cli.progress import told

if TYPE_CHECKING:  # it imports the engine
    from helamem.streams.past import Past

SignedByOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--public-key",
        help="Of the past, begin only with a snapshot that this key signed; repeat it where keys were changed.",
        show_default="any snapshot",
    ),
]


async def past_state(home: Path, text: str, space: str | None, signed_by: Sequence[Path] | None) -> Past:
    """Return a home that holds what another one was at a moment.

    Args:
        home: The other home.
        text: The moment.
        space: Which has to be right in it; None is all.
        signed_by: Files of public keys.
    """
    from helamem.streams.audit.keys import load_public  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.past import past  # noqa: PLC0415 - it imports the engine

    keys = load_public(signed_by) if signed_by else None
    with told("rebuilding") as telling:
        return await past(home, text, space=space, signed_by=keys, **telling)


def opening(found: Past | Path | None, home: Path, text: str) -> AbstractContextManager[None]:
    """Return what to open a past state in, so that who has it open is said as in `past`; anything else opens as ever.

    Args:
        found: What is opened; None is the home itself.
        home: The home whose past it is.
        text: The moment.
    """
    from helamem.streams.past import Past, in_turn  # noqa: PLC0415 - it imports the engine

    return in_turn(home, text) if isinstance(found, Past) else nullcontext()


def tell(text: str, found: Past) -> None:
    """Say to a person what a past state comes of."""
    say(f"the state at {text}: {_origin(found)}")


def described(found: Past) -> dict[str, Any]:
    """Return what a past state comes of, as JSON has it."""
    snapshot = found.snapshot
    return {
        "records": found.records,
        "snapshot": None
        if snapshot is None
        else {
            "records": snapshot.records,
            "taken_at": format_ms(snapshot.taken_at),
            "digest": snapshot.digest,
            "signed_by": snapshot.public_key,
        },
    }


def _origin(found: Past) -> str:
    if (snapshot := found.snapshot) is None:
        return "replayed from the beginning of the log"
    signed = "not signed" if snapshot.public_key is None else f"signed by {snapshot.public_key[:16]}…"
    return f"a snapshot of the space's first {snapshot.records} records, {signed}, and a replay of what followed"
