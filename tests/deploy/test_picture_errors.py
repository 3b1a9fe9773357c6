"""Drawing pictures: what cannot be drawn is told in one sentence, and nothing is left in the folder."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(*arguments: object) -> str:
    """Return the one sentence with which it refuses."""
    command = [sys.executable, "-m", "deploy.grafana.picture", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    return line.removeprefix("python -m deploy.grafana.picture: ")


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address that is taken, and at which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


class _Somebody(BaseHTTPRequestHandler):
    """A page that is no Prometheus: it has nothing at /api, or answers everything with a page."""

    def do_GET(self) -> None:
        if self.path.startswith("/api"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def somebody() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Somebody) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_no_prometheus(tmp_path: Path, nobody: str, somebody: str) -> None:
    """Nobody at the address, somebody else there, or no address at all."""
    said = refused(nobody, tmp_path)
    assert (
        said == f"no Prometheus answers at {nobody} ([Errno 111] Connection refused); start it, or name another address"
    )
    assert refused(somebody, tmp_path).startswith(f"{somebody} answered a query with 404 (Not Found), so it is no ")
    for other in (f"{somebody}/page", "localhost"):
        said = refused(other, tmp_path)
        assert said == f"{other} is not the address of a Prometheus; name one such as http://localhost:9090"
    assert list(tmp_path.iterdir()) == []


def test_no_such_dashboard(tmp_path: Path, nobody: str) -> None:
    """The sentence names those that there are, before anybody is asked."""
    assert refused(nobody, tmp_path, "--only", "overview", "audit") == (
        "there is no dashboard audit; there are gateway, kafka-and-qdrant, memory, overview, pipeline, recall, "
        "replay-and-audit"
    )


def test_no_such_folder(tmp_path: Path, nobody: str) -> None:
    assert refused(nobody, tmp_path / "none") == f"there is no folder {tmp_path / 'none'}; make it, or name another"
