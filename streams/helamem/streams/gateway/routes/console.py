"""The console: a page for people, and what it is made of. It needs no key; what it asks for does."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from helamem.streams.gateway.pages import INDEX, pages
from helamem.streams.gateway.problems import Problem

ASSETS = "/console/"
_POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types helamem"
)
"""Nothing from elsewhere, nothing inline, and no text that becomes markup."""
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}


def register(router: APIRouter) -> None:
    """Add the pages; they are no part of what is documented for programs."""
    router.get("/", include_in_schema=False)(index)
    router.get(f"{ASSETS}{{asset:path}}", include_in_schema=False)(asset)


async def index(request: Request) -> Response:
    """Return the page."""
    if INDEX not in pages():
        raise Problem(
            404,
            "no-console",
            "this helamem was installed without its console; install it again where npm's registry can be reached, "
            "and ask the API meanwhile: /openapi.json",
        )
    return _sent(request, INDEX)


async def asset(request: Request, asset: str) -> Response:
    """Return a file of the page."""
    if asset not in pages():
        raise Problem(404, "not-found", f"there is no {request.url.path}; the console is at /")
    return _sent(request, asset)


def _sent(request: Request, path: str) -> Response:
    """Return a file, or that whoever asks has it already."""
    page = pages()[path]
    headers = {**_HEADERS, "ETag": page.tag}
    told = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if page.tag in told:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(page.body, media_type=page.kind, headers=headers)
