"""`helamem mcp`, asked by the client of the SDK."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPError

from client.gateway import serving
from fakes.directories import directory
from streams.cli.shell import ended, logged, run, start

MCP = ("-m", "helamem.streams.cli", "mcp")
WITHOUT = """
from importlib import util
found = util.find_spec
util.find_spec = lambda name: None if name == "mcp" else found(name)
from helamem.streams.cli import main
main()
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with directory() as place, serving(place / "home") as url:
        yield url


@pytest.fixture
def home() -> Iterator[Path]:
    with directory() as place:
        yield place / "home"


TINY = f"onnx:{Path(__file__).parents[2] / 'processors' / 'reranker' / 'tiny_onnx'}"
PAGE = Path(__file__).parents[3] / "docs" / "mcp.md"


def stdio(*arguments: object, **env: str) -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[*MCP, *map(str, arguments)], env=env)


async def ask(client: Client, tool: str, **arguments: Any) -> Any:
    """Return what a tool answers."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    assert answer.content[0].type == "text"
    assert json.loads(answer.content[0].text) == answer.structured_content
    return answer.structured_content


async def refused(client: Client, tool: str, **arguments: Any) -> str:
    """Return why a tool did not do it."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error
    assert answer.content[0].type == "text"
    return answer.content[0].text


async def test_tools_say_what_they_are_for(address: str) -> None:
    """Each has a description, and so has each argument; which ones only read is said."""
    async with Client(stdio("--url", address)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        templates = (await client.list_resource_templates()).resource_templates
        fixed = (await client.list_resources()).resources
    page = PAGE.read_text()
    assert set(tools) == set(re.findall(r"^\| `(\w+)` ", page, flags=re.MULTILINE))
    for tool in tools.values():
        assert (tool.description or "").endswith(".")
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is (tool.name in {"profile", "why"})
        for name, argument in tool.input_schema["properties"].items():
            assert argument["description"], f"{tool.name}: {name}"
    assert [one.uri for one in fixed] == ["helamem://spaces"]
    assert {one.uri_template for one in templates} == {
        "helamem://{tenant}/{name}/facts",
        "helamem://{tenant}/{name}/facts/{fact_id}",
    }


async def test_the_configuration_of_the_page_starts_a_server(address: str) -> None:
    """As a host reads it, but for the gateway's address and where `helamem` stands."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    told = json.loads(text)["mcpServers"]["memory"]
    assert told["command"] == "helamem"
    command = str(Path(sys.executable).with_name("helamem"))
    env = {**told["env"], "HELAMEM_URL": address, "HELAMEM_API_KEY": "helamem_none"}
    async with Client(StdioServerParameters(command=command, args=told["args"], env=env)) as client:
        assert (await ask(client, "profile"))["space"] == "acme/mira"


async def test_over_a_gateway_an_agent_remembers_and_recalls(address: str) -> None:
    """By standard input; what one agent remembered is there for another one; of facts there are none yet."""
    texts = ("I live in Bergen with my sister.", "My piano stands in Bergen.", "I bake bread in Bergen on Sundays.")
    async with Client(stdio("--url", address, "--space", "acme/mira")) as client:
        said = [await ask(client, "remember", text=text, speaker="Mira", message_id=text[:9]) for text in texts]
        assert all(one["searchable"] for one in said)
        ids = [one["memory_id"] for one in said]
        found = await ask(client, "recall", query="Where does Mira live?", k=3)
        assert "Bergen" in found["context"]
        assert {hit["id"] for hit in found["results"]} == set(ids)
        told = await ask(client, "why", id=ids[0])
        assert (told["lineage"]["id"], told["problems"]) == (ids[0], [])
        assert (await ask(client, "reinforce", recall_id=found["recall_id"], memory_ids=ids))["reinforced"] == ids
    async with Client(stdio("--url", address)) as client:
        again = await ask(
            client, "recall", query="Where does Mira live?", space="acme/mira", as_of="2020-01-01T00:00:00Z"
        )
        assert again["results"] == []
        assert (await ask(client, "profile", space="acme/mira"))["space"] == "acme/mira"
        spaces = (await client.read_resource("helamem://spaces")).contents[0]
        assert {"space": "acme/mira", "memories": 3} in json.loads(spaces.text)  # type: ignore[union-attr]
        facts = (await client.read_resource("helamem://acme/mira/facts")).contents[0]
        assert json.loads(facts.text) == []  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="has no fact nobody"):
            await client.read_resource("helamem://acme/mira/facts/nobody")


async def test_what_is_wrong_is_told_to_the_model(address: str) -> None:
    """In the gateway's words; a server whose gateway is away says so, and goes on."""
    async with Client(stdio("--url", address)) as client:
        assert "no space was named" in await refused(client, "recall", query="Where?")
        assert "is not written TENANT/NAME" in await refused(client, "recall", query="Where?", space="mira")
        assert "like 2025-03-01T09:00:00Z" in await refused(client, "profile", space="acme/mira", as_of="yesterday")
        nobody = "0190c0de-1111-4222-8333-444455556666"
        told = await refused(client, "reinforce", recall_id=nobody, memory_ids=[nobody], space="acme/mira")
        assert "the log holds no recall" in told
    async with Client(stdio("--url", "http://127.0.0.1:1")) as client:
        for _ in range(2):
            assert "start a gateway there" in await refused(client, "profile", space="acme/mira")


async def test_a_home_is_opened_without_a_gateway(home: Path) -> None:
    """Whatever gateway the environment names. The server ends with its standard input, and leaves the home to others.

    The configured reranker is asked: this one counts bread and rye.
    """
    elsewhere = {"HELAMEM_URL": "no address", "HELAMEM_RERANKER": TINY}
    async with Client(stdio("--home", home, "--space", "acme/mira", **elsewhere)) as client:
        for text in ("I moved to Bergen.", "We baked bread, rye bread."):
            await ask(client, "remember", text=text, speaker="Mira")
        found = await ask(client, "recall", query="Where does Mira live?")
        assert [hit["text"] for hit in found["results"]] == ["We baked bread, rye bread.", "I moved to Bergen."]
    assert run("spaces", "--home", home).json == {"spaces": {"acme/mira": 2}}


async def test_over_http_it_is_the_same(address: str) -> None:
    """On this machine, until a signal."""
    process = start("mcp", "--http", "--port", 0, "--url", address)
    assert process.stderr is not None
    try:
        said = logged(process.stderr.readline())
        assert said.startswith("answering MCP at http://127.0.0.1:")
        async with Client(said.split()[3].rstrip(";")) as client:
            await ask(client, "remember", text="The team meets on Mondays.", speaker="Ada", space="acme/team")
            found = await ask(client, "recall", query="When does the team meet?", space="acme/team")
            assert [hit["speaker"] for hit in found["results"]] == ["Ada"]
        process.send_signal(signal.SIGTERM)
        ran = ended(process)
        assert (ran.code, ran.out, ran.err) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_without_its_extra_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, "mcp"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "helamem: answering MCP needs mcp; install it with: pip install 'helamem[mcp]'\n"


def test_two_memories_are_one_too_many(home: Path) -> None:
    ran = run("mcp", "--home", home, "--url", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (2, "")
    assert "--home and --url name two memories" in ran.err
