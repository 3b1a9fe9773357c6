"""`helamem demo`: what it serves afterwards, and when."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib import util
from pathlib import Path

import httpx
import pytest

from helamem.streams.cli import demo
from helamem.streams.cli.gateway import PORT
from helamem.streams.gateway.pages import pages
from streams.cli.shell import Ran


@pytest.mark.slow
@pytest.mark.broad
def test_on_a_terminal_it_ends_by_serving_what_it_made(tmp_path: Path) -> None:
    """At another port where the usual one is taken; Ctrl-C ends it in good order and throws the home away."""
    ours, theirs = pty.openpty()
    with ExitStack() as stack:
        taken = stack.enter_context(socket.socket())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else has it, which is as good
            taken.bind(("127.0.0.1", PORT))
            taken.listen()
        process = subprocess.Popen(
            [sys.executable, "-m", "helamem.streams.cli", "demo"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        stack.callback(process.kill)
        os.close(theirs)
        seen = b""
        while not (said := re.search(rb"(\w+): (http://127\.0\.0\.1:\d+)/ ", seen)):
            seen += os.read(ours, 65536)
        assert said[1] == (b"Console" if pages() else b"console"), seen
        address = said[2].decode()
        assert not address.endswith(f":{PORT}")
        with httpx.Client(base_url=address, timeout=60) as client:
            assert [one["space"] for one in client.get("/v1/spaces").json()["spaces"]] == ["demo/ada", "demo/otto"]
            assert client.get("/").is_success == bool(pages())
            history = client.get("/v1/spaces/demo/ada/history").json()["changes"]
            assert {"memory", "links", "fact"} <= {change["kind"] for change in history}
        assert b"digest, rebuilt" in seen
        process.send_signal(signal.SIGINT)
        with suppress(OSError):  # the other end is closed: the command has ended
            while part := os.read(ours, 65536):
                seen += part
        os.close(ours)
        assert process.wait(timeout=30) == 0
        assert b"Traceback" not in seen
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("serve", "terminal", "as_json", "served"),
    [
        (None, True, False, True),
        (None, False, False, False),
        (None, True, True, False),
        (False, True, False, False),
        (True, False, False, True),
    ],
)
def test_it_serves_where_a_person_is_or_says_so(
    *, serve: bool | None, terminal: bool, as_json: bool, served: bool
) -> None:
    """A script that asks for nothing gets its prompt back."""
    assert demo.wants_serving(serve=serve, terminal=terminal, as_json=as_json) == served


def test_to_serve_and_to_print_json_contradict_each_other(call: Callable[..., Ran]) -> None:
    ran = call("demo", "--serve", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "leave out --serve, or --json" in ran.err


def test_without_its_extra_it_says_how_to_get_it(
    call: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line at the end, or before anything is done where serving was asked for."""
    found = util.find_spec
    monkeypatch.setattr(
        "helamem.streams.cli.gateway.find_spec", lambda name: None if name == "uvicorn" else found(name)
    )
    demo.serve_demo(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "install it with: pip install 'helamem[gateway]'" in line
    ran = call("demo", "--serve")
    assert (ran.code, ran.out) == (2, "")
    assert "pip install 'helamem[gateway]'" in ran.err
