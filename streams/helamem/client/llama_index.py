"""A memory block of LlamaIndex: it remembers what leaves the short-term memory, and recalls what bears on a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

try:
    from llama_index.core.base.llms.types import ChatMessage, MessageRole
    from llama_index.core.bridge.pydantic import Field
    from llama_index.core.memory import BaseMemoryBlock
except ModuleNotFoundError as error:
    raise ImportError(
        f"helamem.client.llama_index needs {error.name}; install it with: pip install 'helamem[llama-index]'"
    ) from error

from helamem.client.asynchronous import AsyncClient
from helamem.client.requests import Message

_SAID = {MessageRole.USER: "user", MessageRole.ASSISTANT: "agent", MessageRole.CHATBOT: "agent"}


class HelamemBlock(BaseMemoryBlock[str]):
    """Long-term memory for `llama_index.core.memory.Memory`."""

    name: str = "long_term_memory"
    memory: AsyncClient = Field(description="Who is asked; whoever made it closes it.")
    space: str = Field(description="TENANT/NAME: what may be recalled together.")
    user: str = Field(default="user", description="What a user's messages have as speaker.")
    agent: str = Field(default="agent", description="What an agent's messages have as speaker.")
    conversation: str = Field(default="llama-index", description="Where a message belongs to no session.")
    token_budget: int = Field(default=1000, description="Most tokens of the block.")

    async def _aget(self, messages: list[ChatMessage] | None = None, **_: Any) -> str:
        """Return what is known about the newest message of a user, as a block for a prompt; empty without one."""
        query = next((text for kind, text in reversed(_texts(messages or [])) if kind == "user"), None)
        if query is None:
            return ""
        recalled = await self.memory.recall(self.space, query, context=True, token_budget=self.token_budget)
        return (recalled.context or "") if recalled.results else ""

    async def _aput(self, messages: list[ChatMessage]) -> None:
        """Remember what users and agents said; what tools and systems say is none of it."""
        said = [
            Message(
                space=self.space,
                conversation=str(message.additional_kwargs.get("session_id", self.conversation)),
                speaker=self.user if kind == "user" else self.agent,
                text=text,
                role="user" if kind == "user" else "agent",
            )
            for message in messages
            for kind, text in _texts([message])
        ]
        await self.memory.append(said)


def _texts(messages: Sequence[ChatMessage]) -> list[tuple[str, str]]:
    """Return who said what: users and agents, in words."""
    return [(_SAID[message.role], message.content) for message in messages if message.role in _SAID and message.content]
