"""The MCP server: tools and resources over a client of a gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from datetime import datetime
from importlib.metadata import version
from inspect import getdoc
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from helamem.client import AsyncClient, Message
from helamem.schemas.errors import BadInput, HelamemError, NotFound
from helamem.schemas.times import from_ms, parse_time

_ABOUT = (
    "Long-term memory. Before you answer, recall what is known; remember what is worth knowing later; reinforce the "
    "memories that helped, by the recall's id. A space is TENANT/NAME: what may be recalled together."
)
T = TypeVar("T")
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)

SpaceArgument = Annotated[
    str | None, Field(description="TENANT/NAME: what may be recalled together. Left out, the server's own.")
]
TimeArgument = Annotated[str | None, Field(description="A time like 2025-03-01T09:00:00Z; left out, now.")]


def build_server(memory: AsyncClient, space: str | None) -> MCPServer[None]:
    """Return a server, yet to be run.

    Args:
        memory: Who is asked; whoever runs the server closes it.
        space: What is meant where a call names no space, or None.
    """
    server: MCPServer[None] = MCPServer("helamem", version=version("helamem"), instructions=_ABOUT)
    tools = _Tools(memory, space)
    for tool, hints in (
        (tools.remember, _ADDS),
        (tools.recall, _ADDS),
        (tools.reinforce, _ADDS),
        (tools.why, _READS),
        (tools.profile, _READS),
    ):
        server.tool(description=getdoc(tool), annotations=hints)(tool)
    kind = "application/json"
    server.resource("helamem://spaces", mime_type=kind)(tools.spaces)
    server.resource("helamem://{tenant}/{name}/facts", mime_type=kind)(tools.facts)
    server.resource("helamem://{tenant}/{name}/facts/{fact_id}", mime_type=kind)(tools.fact)
    return server


class _Tools:
    """What the server can do; the docstrings are what a model reads."""

    def __init__(self, memory: AsyncClient, space: str | None) -> None:
        self._memory = memory
        self._space = space

    async def remember(
        self,
        text: Annotated[str, Field(description="What was said, in its own words.")],
        speaker: Annotated[str, Field(description="Who said it.")],
        *,
        space: SpaceArgument = None,
        conversation: Annotated[str, Field(description="Turns of one conversation belong together.")] = "mcp",
        role: Annotated[
            Literal["user", "agent"], Field(description="Whether the speaker is whom an agent serves, or an agent.")
        ] = "user",
        time: TimeArgument = None,
        message_id: Annotated[
            str | None, Field(description="Unique within the space; the same again is remembered once.")
        ] = None,
    ) -> dict[str, Any]:
        """Remember something that was said; it can be recalled when this returns."""
        said = Message(
            space=self._which(space),
            conversation=conversation,
            speaker=speaker,
            text=text,
            role=role,
            time=_moment(time),
            message_id=message_id,
        )
        done = await _told(self._memory.append([said], searchable=True))
        return {**_plain(done.messages[0]), "searchable": done.searchable}

    async def recall(
        self,
        query: Annotated[str, Field(description="A question, in plain words.")],
        *,
        space: SpaceArgument = None,
        k: Annotated[int, Field(ge=1, le=100, description="Most memories that match.")] = 10,
        as_of: TimeArgument = None,
    ) -> dict[str, Any]:
        """Recall what is known about a question: memories and facts, best first, and `context`, a block to read.

        `recall_id` and the ids of results are for `reinforce`. `path` says why a result is there.
        """
        found = await _told(self._memory.recall(self._which(space), query, k=k, as_of=_moment(as_of), context=True))
        return _plain(found)

    async def reinforce(
        self,
        recall_id: Annotated[str, Field(description="From recall.")],
        memory_ids: Annotated[list[str], Field(min_length=1, description="Results of kind memory that helped.")],
        *,
        space: SpaceArgument = None,
    ) -> dict[str, Any]:
        """Say which results of a recall helped: they are linked, and lead to each other in later recalls."""
        return _plain(await _told(self._memory.reinforce(recall_id, memory_ids, space=self._which(space))))

    async def why(
        self,
        id: Annotated[str, Field(description="Of a memory or a fact.")],  # noqa: A002 - its name in answers
        *,
        other: Annotated[str | None, Field(description="Of another memory: why the two are linked.")] = None,
        space: SpaceArgument = None,
    ) -> dict[str, Any]:
        """Say where a fact or a memory came from: the messages, with their places in the log, and the recalls."""
        return _plain(await _told(self._memory.why(self._which(space), id, other=other)))

    async def profile(self, *, space: SpaceArgument = None, as_of: TimeArgument = None) -> dict[str, Any]:
        """Say what is known of the people of a space, and what its agents know."""
        return _plain(await _told(self._memory.profile(self._which(space), as_of=_moment(as_of))))

    async def spaces(self) -> str:
        """List the spaces, with their numbers of memories."""
        async with _reading():
            return _text(await self._memory.spaces())

    async def facts(self, tenant: str, name: str) -> str:
        """Read the facts of a space, each with the memories it rests on."""
        async with _reading():
            return _text(await self._memory.facts(f"{tenant}/{name}"))

    async def fact(self, tenant: str, name: str, fact_id: str) -> str:
        """Read one fact."""
        async with _reading():
            found = [fact for fact in await self._memory.facts(f"{tenant}/{name}") if fact.id == fact_id]
        if not found:
            raise ResourceNotFoundError(
                f"the space {tenant}/{name} has no fact {fact_id}; read its facts for their ids"
            )
        return _text(found[0])

    def _which(self, space: str | None) -> str:
        if wanted := space or self._space:
            return wanted
        raise ToolError("no space was named; give one as `space`, or start the server with --space TENANT/NAME")


async def _told(asked: Awaitable[T]) -> T:
    """Return an answer, or have the model read why there is none."""
    try:
        return await asked
    except HelamemError as error:
        raise ToolError(str(error)) from None


@asynccontextmanager
async def _reading() -> AsyncIterator[None]:
    try:
        yield
    except NotFound as error:
        raise ResourceNotFoundError(str(error)) from None
    except HelamemError as error:
        raise ResourceError(str(error)) from None


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else from_ms(parse_time(text))
    except BadInput as error:
        raise ToolError(str(error)) from None


def _plain(answer: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(answer)
    return plain


def _text(answer: Any) -> str:
    return msgspec.json.encode(answer).decode()
