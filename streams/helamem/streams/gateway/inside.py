"""A gateway for a client in this process: the same endpoints, without a socket, a key or a rate between."""

from __future__ import annotations

from pathlib import Path

import httpx
from starlette.types import Receive, Scope, Send

from helamem.streams.gateway.app import build_api
from helamem.streams.gateway.callers import SCOPE, Caller
from helamem.streams.gateway.held import Held
from helamem.streams.gateway.home_behind import HomeBehind
from helamem.streams.gateway.keys import Keys
from helamem.streams.gateway.problems import failed
from helamem.streams.gateway.service import Service
from helamem.streams.metrics.registry import Metrics
from helamem.streams.metrics.server import Health


def inside(home: Path, held: Held) -> httpx.AsyncBaseTransport:
    """Return what carries the requests of the owner of a home to its memory.

    Args:
        home: The home.
        held: Its memory.
    """
    metrics = Metrics()
    service = Service(HomeBehind(home, held), keys=Keys(home), metrics=metrics, health=Health(metrics), open_door=True)
    api = build_api(service)

    async def owned(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await api({**scope, SCOPE: Caller(key=None)}, receive, send)
        except Exception as error:  # it was answered, and the answer says that the log tells it
            failed(error)
            raise

    return httpx.ASGITransport(owned, raise_app_exceptions=False)
