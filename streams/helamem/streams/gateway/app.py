"""The HTTP application: what it is made of."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from helamem.streams.gateway import problems
from helamem.streams.gateway.door import Door
from helamem.streams.gateway.guarded import GuardedRoute
from helamem.streams.gateway.quick_append import QuickAppend
from helamem.streams.gateway.routes import (
    console,
    dead_letters,
    erasure,
    events,
    facts,
    forgetting,
    health,
    history,
    lineage,
    memories,
    messages,
    owner,
    recalls,
    spaces,
)
from helamem.streams.gateway.service import Service

_SUBJECTS = (
    messages,
    recalls,
    spaces,
    memories,
    facts,
    lineage,
    history,
    events,
    forgetting,
    erasure,
    dead_letters,
    health,
    console,
    owner,
)


def build_app(service: Service) -> ASGIApp:
    """Return the application that answers from a service."""
    return Door(QuickAppend(build_api(service), service), service)


def build_api(service: Service | None = None) -> FastAPI:
    """Return what is behind the door; without a service it can say what it takes and answers nothing."""
    app = FastAPI(
        title="helamem",
        version=version("helamem"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    router = APIRouter(route_class=GuardedRoute)
    for subject in _SUBJECTS:
        subject.register(router)
    app.include_router(router)
    problems.install(app)
    return app
