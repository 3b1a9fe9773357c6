"""`/metrics`, `/live` and `/ready` of a process, answered by a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST

from helamem.schemas.errors import BadInput
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.registry import Metrics

CONTENT_TYPE = CONTENT_TYPE_LATEST
"""Of Prometheus' text format."""
PATHS = ("/metrics", "/live", "/ready")
LIVE_S = 60.0
"""How long the event loop may be busy without a break; optimising a large store takes seconds."""
_BEAT_S = 1.0
_PLAIN = "text/plain; charset=utf-8"


def _nothing() -> None:
    """Tell nobody."""


class Health:
    """Whether a process lives and is ready.

    Args:
        metrics: Shows whether it is ready, too.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.address = ""
        """Where it is answered, `host:port`."""
        self.on_read: Callable[[], object] = _nothing
        """Called, by the thread that answers, when somebody has read the metrics."""
        self._metrics = metrics
        self._beat = time.monotonic()
        self._ready = False

    @property
    def live(self) -> bool:
        """Whether the event loop went round lately."""
        return time.monotonic() - self._beat < LIVE_S

    @property
    def ready(self) -> bool:
        """Whether the process does its work."""
        return self._ready

    def set_ready(self, ready: bool) -> None:  # noqa: FBT001 - what else
        """Say whether it does."""
        self._ready = ready
        self._metrics.set(c.READY, int(ready))

    async def read_again(self, within_s: float) -> bool:
        """Wait until somebody reads the metrics as they are now; return whether that was in time."""
        loop, read = asyncio.get_running_loop(), asyncio.Event()
        self.on_read = lambda: loop.call_soon_threadsafe(read.set)
        try:
            async with asyncio.timeout(within_s):
                await read.wait()
        except TimeoutError:
            return False
        finally:
            self.on_read = _nothing
        return True

    async def beat(self) -> None:
        """Show that the event loop goes round, until cancelled."""
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(_BEAT_S)


@asynccontextmanager
async def exposed(metrics: Metrics, port: int, host: str = "127.0.0.1") -> AsyncIterator[Health]:
    """Answer on a port as long as the context lasts.

    Args:
        metrics: What `/metrics` shows.
        port: Where; 0 takes any that is free.
        host: Address of this machine to listen at; the default is reached from this machine only.

    Raises:
        BadInput: The port cannot be had.
    """
    health = Health(metrics)
    server = _listen(metrics, health, port, host)
    health.address = f"[{host}]:{server.server_port}" if ":" in host else f"{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="metrics", daemon=True)
    thread.start()
    beating = asyncio.create_task(health.beat())
    try:
        yield health
    finally:
        health.set_ready(ready=False)
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        await asyncio.to_thread(server.shutdown)
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Whoever asks has a second process on the port otherwise, and sees now the one and now the other.
    allow_reuse_port = False

    def __init__(self, metrics: Metrics, health: Health, port: int, host: str) -> None:
        self.metrics = metrics
        self.health = health
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing where a reader hung up, as Prometheus does when a scrape takes too long."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10  # seconds for a client to say what it wants

    def do_GET(self) -> None:
        """Answer."""
        path, health = self.path.partition("?")[0], self.server.health
        if path == "/metrics":
            on_read = health.on_read  # whoever waits from now on wants what is newer than this
            self._answer(HTTPStatus.OK, self.server.metrics.text(), CONTENT_TYPE)
            on_read()
        elif path in PATHS:
            well = health.live if path == "/live" else health.ready
            status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, f"{path[1:] if well else f'not {path[1:]}'}\n".encode(), _PLAIN)
        else:
            self._answer(HTTPStatus.NOT_FOUND, f"there is {', '.join(PATHS)}\n".encode(), _PLAIN)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing: a scrape is no event."""

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _listen(metrics: Metrics, health: Health, port: int, host: str) -> _Server:
    try:
        return _Server(metrics, health, port, host)
    except (OSError, OverflowError) as error:
        why = error.strerror if isinstance(error, OSError) else "there is no such port"
        raise BadInput(
            f"port {port} of {host} cannot be had for metrics: {why}; name another one with --metrics"
        ) from None
