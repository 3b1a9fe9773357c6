"""`helamem recall` and `helamem reinforce`: a question, its answer, and what of it was useful."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from helamem.schemas.errors import BadInput
from helamem.schemas.events import RecallSettings
from helamem.schemas.times import format_ms, parse_time
from helamem.streams.cli.commands import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    NoProcessOption,
    SpaceOption,
    add,
    check_space,
)
from helamem.streams.cli.output import day_and_minute, printable, shortened, show, table
from helamem.streams.cli.past import SignedByOption, described, opening, past_state, tell
from helamem.streams.cli.session import Session, in_home, report

if TYPE_CHECKING:  # they import the engine
    from helamem.processors.recall.hits import Hit
    from helamem.processors.store.port import Turn
    from helamem.streams.async_memory import Recalled

_ASKED = RecallSettings()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    add(app, "recall", recall, 'helamem recall "Where does Mira live?" --space acme/mira -k 5')
    add(app, "reinforce", reinforce, "helamem reinforce RECALL_ID MEMORY_ID MEMORY_ID")


def recall(
    *,
    query: Annotated[str, typer.Argument(metavar="QUERY", help="The question, in plain words.", show_default=False)],
    space: SpaceOption,
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="Memories.")] = _ASKED.k,
    m: Annotated[int, typer.Option("-m", min=0, max=1000, help="Further memories, open to association.")] = _ASKED.m,
    facts: Annotated[int, typer.Option("--facts", min=0, max=1000, help="Facts beside them.")] = _ASKED.facts,
    as_of: Annotated[
        str | None,
        typer.Option(
            "--as-of",
            metavar="TIME",
            help="Answer as of this time, like 2025-03-01T09:00:00Z: nothing said later is found.",
            show_default="now",
        ),
    ] = None,
    state: Annotated[
        bool,
        typer.Option(
            "--state",
            help="With --as-of: answer from the state as it was then, rebuilt from the log, and leave no trace.",
        ),
    ] = False,
    no_emit: Annotated[
        bool, typer.Option("--no-emit", help="Leave no trace: nothing is learned, and nothing can be reinforced.")
    ] = False,
    no_spreading: Annotated[bool, typer.Option("--no-spreading", help="Leave association out.")] = False,
    budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            min=1,
            help="Most tokens of all texts together, or of the whole context.",
            show_default="no bound; 1,000 for a context",
        ),
    ] = None,
    context: Annotated[
        bool,
        typer.Option(
            "--context", help="Print the answer as a block for a prompt: turns in the order of time, facts apart."
        ),
    ] = False,
    public_key: SignedByOption = None,
    no_process: NoProcessOption = False,
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Ask a space a question and see what it remembers, best first, and why.

    The recall is recorded in the log and strengthens the links between its results a little; say with reinforce
    which of them were useful.
    """
    as_of_ms = None if as_of is None else parse_time(as_of)
    if state and as_of is None:
        raise BadInput("--state needs --as-of TIME: the moment whose state is to answer")
    was = asyncio.run(past_state(home, as_of, check_space(space), public_key)) if state and as_of is not None else None
    if was is not None and as_of is not None:
        tell(as_of, was)
    place = home if was is None else was.home

    async def ask(session: Session) -> tuple[Recalled, dict[str, Turn]]:
        recalled = await session.memory.recall(
            await session.known(space),
            query,
            k=k,
            m=m,
            facts=facts,
            spreading=not no_spreading,
            token_budget=budget,
            context=context,
            as_of=as_of_ms,
            record=not no_emit and not state,
        )
        seeds = {hit.result.via for hit in recalled.hits if hit.result.via is not None}
        return recalled, await session.memory.turns(space, sorted(seeds))

    with opening(was, home, as_of or ""):
        recalled, seeds = in_home(place, ask, process=not no_process, recalls=True)
    results = [_result(rank, hit, seeds) for rank, hit in enumerate(recalled.hits, start=1)]
    answer: dict[str, Any] = {
        "recall_id": recalled.recall_id if recalled.recorded else None,
        "space": space,
        "query": query,
        "as_of": format_ms(recalled.as_of_ms),
        "recorded": recalled.recorded,
        **({} if was is None else {"state": described(was)}),
        "results": results,
    }
    if (block := recalled.context) is not None:
        answer |= {"context": block.text, "tokens": block.tokens}

    def people(console: Console) -> None:
        if block is not None:
            console.print(Text(printable(block.text)), soft_wrap=True)
            return
        columns = ("#", "score", "when", "what, why it is here, memory id")
        rows = [
            (
                result["rank"],
                f"{result['score']:.3f}",
                day_and_minute(parse_time(result["time"])),
                # One below the other, so that an id stays in one piece where the terminal is narrow.
                f"{result['speaker']}: {result['text']}\n{_why(result)}\n{result['id']}",
            )
            for result in results
        ]
        console.print(table(f"{space}: {query}", columns, rows, right=("#", "score"), lines=True))
        if recalled.recorded and results:
            again = f"helamem reinforce {recalled.recall_id} MEMORY_ID... --home {home}"
            console.print(Text(f"Say what was useful: {printable(again)}"), soft_wrap=True)

    show(answer, people, as_json=json)


def reinforce(
    *,
    recall_id: Annotated[
        str, typer.Argument(metavar="RECALL_ID", help="The id that recall printed.", show_default=False)
    ],
    memory_ids: Annotated[
        list[str], typer.Argument(metavar="MEMORY_ID...", help="Which of its results were useful.", show_default=False)
    ],
    home: HomeOption = DEFAULT_HOME,
    json: JsonOption = False,
) -> None:
    """Say which results of a recall were useful: the links between them grow stronger."""

    async def strengthen(session: Session) -> None:
        await session.memory.reinforce(recall_id, memory_ids)
        report(await session.catch_up())

    in_home(home, strengthen)
    answer = {"recall_id": recall_id, "reinforced": memory_ids}
    show(answer, lambda console: console.print(f"{len(memory_ids)} memories reinforced"), as_json=json)


def _result(rank: int, hit: Hit, seeds: dict[str, Turn]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "rank": rank,
        "id": hit.result.id,
        "kind": hit.result.kind,
        "path": hit.result.path,
        "score": hit.result.score,
        "base": hit.result.base,
        "via": hit.result.via,
    }
    if hit.result.via in seeds:
        result["via_text"] = seeds[hit.result.via].text
    if (turn := hit.turn) is not None:
        return result | {
            "speaker": turn.speaker,
            "role": turn.role,
            "text": turn.text,
            "time": format_ms(turn.time_ms),
            "conversation": turn.conversation,
            "message_id": turn.message_id,
        }
    fact = hit.fact
    assert fact is not None  # a hit is one or the other
    return result | {
        "speaker": fact.subject,
        "text": fact.text,
        "time": format_ms(fact.valid_from_ms),
        "fact_kind": fact.kind,
        "valid_until": None if hit.ended_ms is None else format_ms(hit.ended_ms),
        "evidence": fact.evidence,
    }


def _why(result: dict[str, Any]) -> str:
    via = f" via “{shortened(result['via_text'])}”" if "via_text" in result else ""
    return f"→ {result['path']}{via}"
