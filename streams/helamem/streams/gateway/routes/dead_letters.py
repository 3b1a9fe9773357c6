"""Dead letters: records that could not be processed, and another try for them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi import Path as InPath
from starlette.requests import Request

from helamem.schemas.errors import NotFound
from helamem.streams.access.records import OF_ALL
from helamem.streams.async_memory import Memory
from helamem.streams.gateway.accessed import accessed_of
from helamem.streams.gateway.callers import Caller, caller_of
from helamem.streams.gateway.cursors import cursor_of, key_of
from helamem.streams.gateway.fields import CursorQuery, LimitQuery
from helamem.streams.gateway.letter_answers import DeadLetterOut, DeadLettersOut, DeadLetterWhole, RedriveOut
from helamem.streams.gateway.service import service_of
from helamem.streams.redrive import Letter, letters, redrive
from helamem.streams.sealing.erasures import read_erased

_LETTERS = "/v1/dead-letters"
LetterIdPath = Annotated[str, InPath(min_length=1, max_length=64, description="The dead letter's id.")]


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.get(_LETTERS, summary="List the records that could not be processed")(dead_letters)
    router.post(f"{_LETTERS}/redrive", summary="Process all of them once more")(redrive_all)
    router.get(f"{_LETTERS}/{{letter_id}}", summary="Look at a record that could not be processed")(dead_letter)
    router.post(f"{_LETTERS}/{{letter_id}}/redrive", summary="Process one of them once more")(redrive_one)


async def dead_letters(request: Request, limit: LimitQuery = 100, cursor: CursorQuery = None) -> DeadLettersOut:
    """Return the dead letters of the spaces that the key is for, oldest first.

    All that stands behind the first of them in its partition is looked through for records that were redriven. Those
    whose space nobody knows are shown where no key is asked for, and to the owner of the home.
    """
    with service_of(request).memory() as memory:
        page, following = _page(await _of(memory, caller_of(request)), limit, cursor)
    return DeadLettersOut(dead_letters=[DeadLetterOut.of(one) for one in page], next=following)


async def dead_letter(request: Request, letter_id: LetterIdPath) -> DeadLetterWhole:
    """Return one dead letter with the bytes of its record, as they stand in the log: what is sealed stays sealed.

    Where it holds words that were erased, it has `[erased]` for its value.
    """
    with service_of(request).memory() as memory:
        found = _one(await _of(memory, caller_of(request)), letter_id)
        erased = await read_erased(memory.instance.log)
    _note(request, [found])
    return DeadLetterWhole.whole(found, erased)


async def redrive_one(request: Request, letter_id: LetterIdPath) -> RedriveOut:
    """Append the record of one dead letter to its topic again, unchanged, once what was at fault is mended.

    Its old position stays skipped; it takes effect at the new one. What this version cannot read is refused.
    """
    with service_of(request).memory() as memory:
        chosen = _one(await _of(memory, caller_of(request)), letter_id)
        _note(request, [chosen])
        return RedriveOut.of(await redrive(memory.instance.log, [chosen]))


async def redrive_all(request: Request, limit: LimitQuery = 1000, cursor: CursorQuery = None) -> RedriveOut:
    """Append the records of all dead letters that were not redriven yet to their topics again, page by page.

    They are those of the spaces that the key is for, oldest first: send `next` as `cursor` until it is null. What was
    put aside since the first page is left for another time, so that it ends even where all is put aside again.
    """
    with service_of(request).memory() as memory:
        waiting = [one for one in await _of(memory, caller_of(request)) if one.redriven is None]
        page, following = _page(waiting, limit, cursor)
        _note(request, page)
        return RedriveOut.of(await redrive(memory.instance.log, page), following)


async def _of(memory: Memory, caller: Caller) -> list[Letter]:
    """Return the letters that somebody may see, oldest first."""
    found = await letters(memory.instance.log)
    seen = [one for one in found if caller.key is None or (one.space is not None and caller.covers(one.space))]
    return sorted(seen, key=lambda one: (one.put_aside_ms, one.id))


def _note(request: Request, found: list[Letter]) -> None:
    """Have it recorded of their spaces that somebody looked at letters, or redrove them."""
    accessed_of(request).spaces = tuple(dict.fromkeys(one.space or OF_ALL for one in found))


def _page(found: list[Letter], limit: int, cursor: str | None) -> tuple[list[Letter], str | None]:
    """Return the letters of a page, of those that there were at the first page, and the cursor of the next one."""
    if cursor is None:
        left, last_ms = found, max((one.put_aside_ms for one in found), default=0)
    else:
        *behind, last_ms = key_of(cursor, int, str, int)
        left = [one for one in found if [one.put_aside_ms, one.id] > behind and one.put_aside_ms <= last_ms]
    page = left[:limit]
    return page, cursor_of([page[-1].put_aside_ms, page[-1].id, last_ms]) if len(left) > limit else None


def _one(found: list[Letter], letter_id: str) -> Letter:
    for one in found:
        if one.id == letter_id:
            return one
    raise NotFound("there is no such dead letter; GET /v1/dead-letters lists those that there are")
