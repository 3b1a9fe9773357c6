"""`helamem audit`: keys, verifying what was signed, and proofs for strangers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import orjson
import typer
from rich.console import Console

from helamem.schemas.errors import BadInput
from helamem.schemas.topics import TOPICS
from helamem.streams.cli.commands import DEFAULT_HOME, EXIT_PROBLEM, HomeOption, JsonOption
from helamem.streams.cli.kafka import KafkaOption, kafka_history, log_to_read, only_one
from helamem.streams.cli.metrics import LOOPBACK, OnceMetricsHostOption, OnceMetricsOption, measuring_once
from helamem.streams.cli.output import say, show, table
from helamem.streams.cli.progress import Advance, bar

if TYPE_CHECKING:  # it imports cryptography
    from helamem.streams.audit.verify import Verified
    from helamem.streams.log.port import Log

PublicKeysOption = Annotated[
    list[Path],
    typer.Option(
        "--public-key", help="A key that may have signed; repeat it where keys were changed.", show_default=False
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode="markdown", help="Verify that nobody altered the record, and prove it."
    )
    group.command("keygen", epilog="Example: helamem audit keygen --key archiver.pem --public-key archiver.pub.pem")(
        keygen
    )
    group.command(
        "verify", epilog="Example: helamem audit verify --archive archive --home my-home --public-key archiver.pub.pem"
    )(verify)
    group.command(
        "prove",
        epilog="Example: helamem audit prove EVENT_ID --archive archive --public-key archiver.pub.pem --out proof.json",
    )(prove)
    app.add_typer(group, name="audit", epilog="Example: helamem audit verify --archive archive --public-key FILE")


def keygen(
    *,
    key: Annotated[Path, typer.Option("--key", help="New file for the private key.", show_default=False)],
    public_key: Annotated[Path, typer.Option("--public-key", help="New file for the public one.", show_default=False)],
    json: JsonOption = False,
) -> None:
    """Make a pair of Ed25519 keys: one that signs, for the archiver alone, and one that everybody may have.

    To change keys make a new pair and give the archiver its private key; audits then name both public ones.
    """
    from helamem.streams.audit.keys import make_keys  # noqa: PLC0415 - it imports cryptography

    text = make_keys(key, public_key)
    answer = {"key": str(key), "public_key": str(public_key), "public_key_hex": text}
    rows = [(key, "signs; keep it where only the archiver can read it"), (public_key, "verifies; give it to auditors")]
    drawn = table(text, ("file", "what it is"), rows)
    show(answer, lambda console: console.print(drawn), as_json=json)


def verify(
    context: typer.Context,
    *,
    public_key: PublicKeysOption,
    archive: Annotated[
        str | None, typer.Option("--archive", help="The archive: a directory or a URL.", show_default="none")
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", help="Checkpoints that were kept elsewhere.", show_default="none"),
    ] = None,
    kafka: KafkaOption = False,
    metrics: OnceMetricsOption = None,
    metrics_host: OnceMetricsHostOption = LOOPBACK,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Compare archive, log and checkpoints, and name the first record that was changed, removed, inserted or moved.

    With --archive alone the archive is verified; add --home or --kafka to verify the log beside it. Without --archive
    it is the log by itself. Only a second copy tells which record it was; otherwise it is the interval between two
    checkpoints. docs/audit.md says what that proves, and against whom.

    Exit codes: 0 nothing was found, 1 something was, 2 bad input or usage.
    """
    only_one(context, kafka=kafka)
    source = context.get_parameter_source("home")
    named = source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"}
    with_log = kafka or named or archive is None
    with bar("verifying") as advance:
        job = partial(_verify, archive, home if with_log else None, checkpoints, public_key, kafka=kafka)
        verified = asyncio.run(_measured(job, advance, metrics, metrics_host))
    answer = {
        "clean": verified.clean,
        "findings": [msgspec.to_builtins(finding) for finding in verified.findings],
        "notes": list(verified.notes),
        "checkpoints": verified.checkpoints,
        "records": verified.records,
        "uncovered": verified.uncovered,
    }
    show(answer, lambda console: _draw(console, verified), as_json=json)
    if not verified.clean:
        say(verified.findings[0].words)
        raise typer.Exit(EXIT_PROBLEM)


async def _measured(
    job: Callable[[Advance], Awaitable[Verified]], advance: Advance, port: int | None, host: str
) -> Verified:
    async with measuring_once(port, host) as metrics:
        if metrics is None:
            return await job(advance)
        from helamem.streams.metrics.proving import AuditMeter  # noqa: PLC0415 - it imports the engine

        meter = AuditMeter(metrics)
        verified = await job(meter.noting(advance))
        meter.ended(verified)
        return verified


async def _verify(
    archive: str | None,
    home: Path | None,
    checkpoints: Path | None,
    public_keys: list[Path],
    on_progress: Advance,
    *,
    kafka: bool,
) -> Verified:
    from helamem.streams.archive.reader import ArchiveReader  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.audit.checkpoints import in_file  # noqa: PLC0415 - likewise
    from helamem.streams.audit.keys import load_public  # noqa: PLC0415 - likewise
    from helamem.streams.audit.verify import verify as compare  # noqa: PLC0415 - likewise

    keys = load_public(public_keys)
    kept = None if checkpoints is None else in_file(checkpoints)
    reader = None if archive is None else await asyncio.to_thread(ArchiveReader.open, archive)
    async with AsyncExitStack() as stack:
        log: Log | None = None
        earlier: list[Log] = []
        if kafka:
            logs = await (await stack.enter_async_context(kafka_history())).look()
            log, earlier = logs.in_use, list(logs.left.values())
        elif home is not None:
            log = await stack.enter_async_context(log_to_read(home, kafka=False))
        return await compare(reader, log, TOPICS, keys, earlier=earlier, kept=kept, on_progress=on_progress)


def _draw(console: Console, verified: Verified) -> None:
    title = "nothing was found" if verified.clean else f"found: {len(verified.findings)}"
    rows = [
        (one.kind, one.where, one.partition or "", "" if one.offset is None else one.offset, one.words)
        for one in verified.findings
    ]
    if rows:
        console.print(table(title, ("what", "where", "partition", "offset", "in words"), rows, right=("offset",)))
    else:
        counts = [(verified.checkpoints, verified.records, verified.uncovered)]
        names = ("checkpoints", "records", "records not signed yet")
        console.print(table(title, names, counts, right=names))
    for note in verified.notes:
        say(note)


def prove(
    *,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's id.", show_default=False)],
    archive: Annotated[str, typer.Option("--archive", help="The archive: a directory or a URL.", show_default=False)],
    public_key: PublicKeysOption,
    out: Annotated[Path | None, typer.Option("--out", help="File for the proof.", show_default="printed")] = None,
    json: JsonOption = False,
) -> None:
    """Write a proof that an event stands in the log as it was signed, for somebody who has only the public key.

    docs/verify_proof.py checks it and needs nothing of helamem. The proof holds the event's own bytes and no other's.
    """
    from helamem.streams.archive.reader import ArchiveReader  # noqa: PLC0415 - it imports cryptography
    from helamem.streams.audit.keys import load_public  # noqa: PLC0415 - likewise
    from helamem.streams.audit.proof import prove as make  # noqa: PLC0415 - likewise

    proof = asyncio.run(make(ArchiveReader.open(archive), TOPICS, event_id, load_public(public_key)))
    written = orjson.dumps(proof, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if out is None:
        show(proof, lambda console: console.print_json(written.decode()), as_json=json)
        return
    try:
        out.write_bytes(written)
    except OSError as error:
        raise BadInput(f"the proof cannot be written to {out}: {error.strerror}; name another file") from None
    record = proof["record"]
    answer = {
        "event_id": event_id,
        "proof": str(out),
        "topic": record["topic"],
        "partition": record["partition"],
        "offset": record["offset"],
        "checkpoint": proof["checkpoint"]["number"],
    }
    drawn = table(str(out), ("what", "value"), list(answer.items()))
    show(answer, lambda console: console.print(drawn), as_json=json)
