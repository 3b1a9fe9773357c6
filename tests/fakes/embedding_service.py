"""A service on this machine that speaks `/v1/embeddings`, and counts what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson


class Service:
    """What the service answers next, and what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, dict[str, Any]]] = []
        self.status = 200
        self.status_of: Callable[[list[str]], int] = lambda texts: self.status
        self.answer: Callable[[list[str]], bytes] = vectors
        self.url = ""

    @property
    def texts(self) -> list[str]:
        """All texts that it was asked for."""
        return [text for _, _, asked in self.calls for text in asked["input"]]


def vector(text: str) -> list[float]:
    """Return three numbers that depend on the text."""
    return [float(len(text)), float(text.count("a")), 1.0]


def vectors(texts: list[str]) -> bytes:
    """Return a good answer, not in the order of the texts: the protocol names each by its index."""
    items = [{"object": "embedding", "index": n, "embedding": vector(text)} for n, text in enumerate(texts)]
    return orjson.dumps({"object": "list", "data": items[::-1], "model": "m", "usage": {"total_tokens": 1}})


def never_the_same(service: Service) -> None:
    """Let each call give other vectors for the same texts, as services on several machines do."""

    def answer(texts: list[str]) -> bytes:
        call = len(service.calls)
        items = [
            {"object": "embedding", "index": n, "embedding": [*vector(text)[:2], float(call)]}
            for n, text in enumerate(texts)
        ]
        return orjson.dumps({"object": "list", "data": items, "model": "m-2026"})

    service.answer = answer


@contextmanager
def serving() -> Iterator[Service]:
    """Start the service, and end it."""
    known = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            known.calls.append((self.path, self.headers.get("authorization"), asked))
            body = known.answer(asked["input"])
            self.send_response(known.status_of(asked["input"]))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    known.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield known
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
