"""`helamem mcp`: the memory as tools of an agent, by the Model Context Protocol."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from helamem.schemas.errors import BadInput
from helamem.streams.cli.commands import JsonOption, add, check_space
from helamem.streams.cli.forgetting import forgetting_beside
from helamem.streams.cli.metrics import LOOPBACK
from helamem.streams.cli.output import Waiting, log_from_now, say
from helamem.streams.cli.session import opened
from helamem.streams.cli.signals import stop_at_signals

if TYPE_CHECKING:  # they need the extra
    from mcp.server.mcpserver import MCPServer

    from helamem.client import AsyncClient
    from helamem.streams.async_memory import AsyncMemory

PORT = 8421
PATH = "/mcp"
_TALKATIVE = ("httpx", "mcp")
"""Libraries that log what is nothing but normal."""
_NEEDED = ("mcp", "httpx", "fastapi", "uvicorn")


def register(app: typer.Typer) -> None:
    """Add the command."""
    add(app, "mcp", mcp, "helamem mcp --space acme/mira")


def mcp(
    context: typer.Context,
    *,
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            envvar="HELAMEM_SPACE",
            help="What is meant where a call names no space, TENANT/NAME.",
            show_default="each call names one",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option("--url", envvar="HELAMEM_URL", help="The gateway to ask.", show_default="http://127.0.0.1:8420"),
    ] = None,
    http: Annotated[
        bool, typer.Option("--http", help="Answer streamable HTTP on this machine instead of standard input.")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port for --http; 0 takes a free one.")] = PORT,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            help="Open this home and process its log, instead of asking a gateway; made where there is none.",
            show_default="none",
        ),
    ] = None,
    json: JsonOption = False,  # noqa: ARG001 - what it prints is the protocol's
) -> None:
    """Serve the memory to agents by the Model Context Protocol: remember, recall, reinforce, why, profile.

    It asks a gateway, with the key in HELAMEM_API_KEY, or opens a home. It ends with its standard input, or with --http
    at Ctrl-C or SIGTERM.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise BadInput(f"answering MCP needs {missing[0]}; install it with: pip install 'helamem[mcp]'")
    source = context.get_parameter_source("url")
    if home is not None and source is not None and source.name == "COMMANDLINE":  # not of the environment
        raise BadInput("--home and --url name two memories; name one")
    if space is not None:
        check_space(space)
    log_from_now()
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(_serve(space, url, home, port if http else None))


async def _serve(space: str | None, url: str | None, home: Path | None, port: int | None) -> None:
    from helamem.streams.mcp.tools import build_server  # noqa: PLC0415 - it needs the extra

    async with _asking(url) if home is None else _holding(home) as memory:
        server = build_server(memory, space)
        if port is None:
            await server.run_stdio_async()
        else:
            await _answer_http(server, port)


@asynccontextmanager
async def _asking(url: str | None) -> AsyncIterator[AsyncClient]:
    from helamem.client import AsyncClient  # noqa: PLC0415 - it needs the extra

    async with AsyncClient(url) as memory:
        yield memory


@asynccontextmanager
async def _holding(home: Path) -> AsyncIterator[AsyncClient]:
    """Open a home and process its log as it grows."""
    from helamem.client import AsyncClient  # noqa: PLC0415 - it needs the extra
    from helamem.streams.gateway.held import Held  # noqa: PLC0415 - it imports the engine
    from helamem.streams.gateway.inside import inside  # noqa: PLC0415 - it imports the engine and FastAPI

    waiting = Waiting()

    @asynccontextmanager
    async def memory() -> AsyncIterator[AsyncMemory]:
        async with opened(home, create=True, on_retry=waiting.note, recalls=True) as session:
            yield session.memory

    held = Held(
        memory,
        follows=True,
        on_progress=lambda _: waiting.over(),
        beside=lambda instance: forgetting_beside(instance, waiting),
    )
    async with held.running(), AsyncClient(f"http://{LOOPBACK}", transport=inside(home, held)) as client:
        yield client


async def _answer_http(server: MCPServer[None], port: int) -> None:
    from helamem.streams.gateway.server import address_of, listening, server_of  # noqa: PLC0415 - it needs the extra

    app = server.streamable_http_app(streamable_http_path=PATH, host=LOOPBACK)
    with listening(LOOPBACK, port) as listener:
        serving = server_of(app, lifespan="on")

        def stop() -> None:
            serving.should_exit = True

        stop_at_signals(stop)
        say(f"answering MCP at {address_of(listener)}{PATH}; stop with Ctrl-C or SIGTERM")
        await serving.serve(sockets=[listener])
