"""`helamem dead-letters`: the records that could not be processed, and another try for them."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.times import format_ms
from helamem.streams.cli.commands import DEFAULT_HOME, EXIT_PROBLEM, HomeOption, JsonOption
from helamem.streams.cli.kafka import KafkaOption, log_to_read, only_one, place, sealing_kafka_log
from helamem.streams.cli.output import printable, say, show, table
from helamem.streams.cli.recorded import record_command
from helamem.streams.cli.session import Session, in_home, report

if TYPE_CHECKING:  # it stands with what reads the log
    from helamem.streams.log.port import Log
    from helamem.streams.redrive import Letter, Outcome

_HELP = "Look at the records that could not be processed, and process them once more."
_ID_HELP = "Ids, or beginnings of them, as list prints them."


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", help=_HELP)
    group.command("list", epilog="Example: helamem dead-letters list")(list_letters)
    group.command("show", epilog="Example: helamem dead-letters show ID")(show_letter)
    group.command("redrive", epilog="Example: helamem dead-letters redrive --all --kafka")(redrive_letters)
    app.add_typer(group, name="dead-letters", epilog="Example: helamem dead-letters list")


def list_letters(
    context: typer.Context, *, kafka: KafkaOption = False, home: HomeOption = DEFAULT_HOME, json: JsonOption = False
) -> None:
    """List the records that were put aside because they could not be processed, with position and reason.

    It only reads, also while another process writes. Where there are dead letters, all that stands behind the first of
    them in its partition is looked through for records that were redriven.
    """
    only_one(context, kafka=kafka)
    found = asyncio.run(_read(home, kafka=kafka))
    rows = [(one.id, one.place, one.data.group, _complaint(one), one.redriven or "no") for one in found]
    title = f"{place(home, kafka=kafka)}: {len(found)} dead letters"
    show(
        {"count": len(found), "dead_letters": [_described(one) for one in found]},
        lambda console: console.print(table(title, ("id", "position", "group", "reason", "redriven"), rows)),
        as_json=json,
    )


def show_letter(
    context: typer.Context,
    letter_id: Annotated[str, typer.Argument(metavar="ID", help=_ID_HELP, show_default=False)],
    *,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Show one dead letter with its bytes: as text where they can be printed, in base64 otherwise."""
    only_one(context, kafka=kafka)
    (one,) = _chosen(asyncio.run(_read(home, kafka=kafka)), [letter_id])
    answer = _described(one) | _bytes("key", one.key) | _bytes("value", one.value)

    def people(console: Console) -> None:
        rows = [
            (name, "" if value is None else value) for name, value in answer.items() if not name.startswith("value")
        ]
        console.print(table(one.id, ("what", "is"), rows))
        written = next(value for name, value in answer.items() if name.startswith("value"))
        console.print(printable(written), markup=False, highlight=False, soft_wrap=True)

    show(answer, people, as_json=json)


def redrive_letters(
    context: typer.Context,
    letter_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help=_ID_HELP, show_default=False)
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that were not redriven yet.")] = False,
    kafka: KafkaOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Append records that were put aside to their topic again, unchanged, once what was at fault is mended.

    Their old positions stay skipped; they take effect at the new ones, with their own ids and times, so that doing it
    twice changes nothing. What this version still cannot read is refused: it has no id, and would be put aside again.

    Exit codes: 0 done, 1 something was refused or put aside again, 2 no such id or bad usage.
    """
    only_one(context, kafka=kafka)
    if bool(letter_ids) == everything:
        raise typer.BadParameter("name the dead letters to redrive, or give --all")

    async def on(log: Log) -> list[Outcome]:
        from helamem.streams.access.records import OF_ALL  # noqa: PLC0415 - only commands that change a log need it
        from helamem.streams.redrive import letters, redrive  # noqa: PLC0415 - only commands that read a log need it

        found = await letters(log)
        chosen = [one for one in found if one.redriven is None] if everything else _chosen(found, letter_ids or [])
        outcomes = await redrive(log, chosen)
        redriven = [one.letter.space or OF_ALL for one in outcomes if one.appended]
        await record_command(log, None if kafka else home, "dead-letters redrive", redriven)
        return outcomes

    async def in_session(session: Session) -> tuple[list[Outcome], Counter[str]]:
        return await on(session.memory.instance.log), await session.catch_up()

    async def in_kafka() -> list[Outcome]:
        async with sealing_kafka_log() as log:
            return await on(log)

    counts = Counter[str]()
    if kafka:
        outcomes = asyncio.run(in_kafka())
    else:
        outcomes, counts = in_home(home, in_session, process=True)
    report(counts)
    refused = [one for one in outcomes if one.refusal]
    for one in refused:
        say(f"{one.letter.place} is left alone: {one.refusal}")
    answer = {
        "redriven": sum(one.appended for one in outcomes),
        "already": sum(one.place is not None and not one.appended for one in outcomes),
        "refused": len(refused),
        "dead_letters": [
            _described(one.letter) | {"redriven": one.place and str(one.place), "refusal": one.refusal or None}
            for one in outcomes
        ],
    }
    rows = [(one.letter.place, one.place or "left alone") for one in outcomes]
    show(
        answer,
        lambda console: console.print(table(place(home, kafka=kafka), ("position", "stands now at"), rows)),
        as_json=json,
    )
    if refused or counts["dead-lettered"]:
        raise typer.Exit(EXIT_PROBLEM)


async def _read(home: Path, *, kafka: bool) -> list[Letter]:
    from helamem.streams.redrive import letters  # noqa: PLC0415 - only commands that read a log need it

    async with log_to_read(home, kafka=kafka) as log:
        return await letters(log)


def _chosen(found: Sequence[Letter], ids: Sequence[str]) -> list[Letter]:
    """Return the letters with these ids or beginnings of ids, each once.

    Raises:
        BadInput: There is none, or more than one.
    """
    chosen: dict[str, Letter] = {}
    for id_ in ids:
        fitting = [one for one in found if one.id.startswith(id_)]
        if not fitting:
            raise BadInput(f"there is no dead letter {id_}; `helamem dead-letters list` prints their ids")
        if len(fitting) > 1:
            raise BadInput(f"{len(fitting)} dead letters have ids that begin with {id_}; give more of the one you mean")
        chosen[fitting[0].id] = fitting[0]
    return list(chosen.values())


def _described(one: Letter) -> dict[str, Any]:
    return {
        "id": one.id,
        "group": one.data.group,
        "topic": one.data.topic,
        "partition": one.data.partition,
        "offset": one.data.offset,
        "field": one.data.field,
        "reason": one.data.reason,
        "put_aside": format_ms(one.put_aside_ms),
        "size_bytes": len(one.value),
        "redriven": one.redriven and str(one.redriven),
    }


def _complaint(one: Letter) -> str:
    return f"{one.data.field}: {one.data.reason}" if one.data.field else one.data.reason


def _bytes(name: str, raw: bytes) -> dict[str, str]:
    """Return bytes for an answer, as text where every character can be printed."""
    from helamem.streams.redrive import legible  # noqa: PLC0415 - only commands that read a log need it

    text = legible(raw)
    return {f"{name}_base64": base64.b64encode(raw).decode()} if text is None else {name: text}
