"""Erasing what a data subject said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from helamem.schemas.errors import RetryLater
from helamem.streams.erasure.erase import UnfinishedError, Work, erase
from helamem.streams.erasure.steps import Erasure
from helamem.streams.gateway.accessed import accessed_of
from helamem.streams.gateway.answers import ErasureOut
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.fields import NamePath, TenantPath
from helamem.streams.gateway.requests import EraseIn
from helamem.streams.gateway.service import Service, service_of


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.post("/v1/spaces/{tenant}/{name}/erase", summary="Erase a data subject")(erase_subject)


async def erase_subject(request: Request, tenant: TenantPath, name: NamePath, asked: EraseIn) -> ErasureOut:
    """Erase what a data subject said in a space, and the facts that were distilled from it, for ever.

    The memory is closed meanwhile: other requests are answered 503. Interrupted, the same request goes on.
    """
    space, service = f"{tenant}/{name}", service_of(request)
    try:
        if asked.dry_run:
            accessed_of(request).endpoint += " (dry run)"
            found = await _look(service, space, asked.subject)
        else:
            found = await _erase(service, space, asked.subject)
    except UnfinishedError as error:
        if caller_of(request).covers(error.space):
            raise
        raise RetryLater("another erasure was interrupted and has to be finished first, by whoever began it") from None
    return ErasureOut(**msgspec.to_builtins(found), dry_run=asked.dry_run)


async def _look(service: Service, space: str, subject: str) -> Erasure:
    with service.memory() as memory:

        @asynccontextmanager
        async def looking() -> AsyncIterator[Work]:
            yield memory.instance, _nothing

        return await erase(service.home, looking, space=space, subject=subject, dry_run=True)


async def _erase(service: Service, space: str, subject: str) -> Erasure:
    @asynccontextmanager
    async def working() -> AsyncIterator[Work]:
        async with service.held.open() as memory:
            yield memory.instance, memory.process

    async with service.held.closed("an erasure is under way; try again in a moment"):
        return await erase(service.home, working, space=space, subject=subject)


async def _nothing() -> None:
    """Leave what is processed to whoever follows the log: the survey reads the log itself."""
