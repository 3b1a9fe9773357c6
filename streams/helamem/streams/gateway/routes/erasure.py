"""Erasing what a data subject said."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter
from starlette.requests import Request

from helamem.schemas.errors import RetryLater
from helamem.streams.erasure.erase import UnfinishedError
from helamem.streams.gateway.accessed import accessed_of
from helamem.streams.gateway.answers import ErasureOut
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.fields import NamePath, TenantPath
from helamem.streams.gateway.requests import EraseIn
from helamem.streams.gateway.service import service_of


def register(router: APIRouter) -> None:
    """Add the endpoints."""
    router.post("/v1/spaces/{tenant}/{name}/erase", summary="Erase a data subject")(erase_subject)


async def erase_subject(request: Request, tenant: TenantPath, name: NamePath, asked: EraseIn) -> ErasureOut:
    """Erase what a data subject said in a space, and the facts that were distilled from it, for ever.

    The memory is closed meanwhile: other requests are answered 503. Interrupted, the same request goes on.
    """
    space = f"{tenant}/{name}"
    try:
        if asked.dry_run:
            accessed_of(request).endpoint += " (dry run)"
        found = await service_of(request).behind.erase(space, asked.subject, dry_run=asked.dry_run)
    except UnfinishedError as error:
        if caller_of(request).covers(error.space):
            raise
        raise RetryLater("another erasure was interrupted and has to be finished first, by whoever began it") from None
    return ErasureOut(**msgspec.to_builtins(found), dry_run=asked.dry_run)
