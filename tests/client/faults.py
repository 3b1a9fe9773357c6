"""A server between client and gateway that loses requests and answers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

Fault = Literal["lost request", "lost answer", "away", "bad gateway"]
_AWAY = b'{"type":"urn:helamem:problem:retry-later","title":"","status":503,"detail":"the log is away; try again"}'


class Faults(ThreadingHTTPServer):
    """Passes on what it is asked, but for what a test planned for the next requests.

    Attributes:
        planned: What happens to the next requests, in order; what follows is passed on.
        asked: Method, path and Idempotency-Key of all that was asked.
    """

    daemon_threads = True

    def __init__(self, gateway: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.planned: deque[Fault] = deque()
        self.asked: list[tuple[str, str, str | None]] = []
        self.gateway = httpx.Client(base_url=gateway, timeout=60)
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Faults

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.asked.append((self.command, self.path, self.headers.get("Idempotency-Key")))
        fault = self.server.planned.popleft() if self.server.planned else None
        self.close_connection = True
        if fault == "lost request":
            return
        if fault in {"away", "bad gateway"}:
            self._send(503 if fault == "away" else 502, {"Retry-After": "0"}, _AWAY if fault == "away" else b"<html>")
            return
        kept = {name: value for name, value in self.headers.items() if name.lower() not in {"host", "connection"}}
        answer = self.server.gateway.request(self.command, self.path, content=body, headers=kept)
        if fault != "lost answer":
            self._send(answer.status_code, {"Content-Type": answer.headers["Content-Type"]}, answer.content)

    do_GET = do_POST = _answer  # noqa: N815 - http.server calls them so

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def between(gateway: str) -> Iterator[Faults]:
    """Start one and end it."""
    with Faults(gateway) as server, server.gateway:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
