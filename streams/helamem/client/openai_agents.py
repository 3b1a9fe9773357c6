"""A session of the OpenAI Agents SDK that remembers beyond itself: what was said in any session can be recalled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

try:
    from agents import SessionABC, SQLiteSession, TResponseInputItem
    from agents.memory import Session
    from agents.run import CallModelData, ModelInputData
except ModuleNotFoundError as error:
    raise ImportError(
        f"helamem.client.openai_agents needs {error.name}; install it with: pip install 'helamem[openai-agents]'"
    ) from error

from helamem.client.asynchronous import AsyncClient
from helamem.client.requests import Message

_SPEAKERS = {"user": "user", "assistant": "agent"}


class HelamemSession(SessionABC):
    """A session whose messages are remembered in a space.

    The turns of the session itself, with all that tools said, are kept by another session; taking one back or clearing
    it changes only that: what was said was said.

    Args:
        session_id: Of the session; the conversation of its messages.
        memory: Who is asked; whoever made it closes it.
        space: TENANT/NAME: what may be recalled together.
        user: What a user's messages have as speaker.
        agent: What an agent's messages have as speaker.
        history: Keeps the session's own turns; None keeps them in this process.
        token_budget: Most tokens of what `recalling` adds.
    """

    def __init__(
        self,
        session_id: str,
        memory: AsyncClient,
        space: str,
        *,
        user: str = "user",
        agent: str = "agent",
        history: Session | None = None,
        token_budget: int = 1000,
    ) -> None:
        self.session_id = session_id
        self._memory = memory
        self._space = space
        self._speakers = {"user": user, "agent": agent}
        self._history: Session = SQLiteSession(session_id) if history is None else history
        self._token_budget = token_budget
        self._known: tuple[str, str] = ("", "")
        """The last question and what is known about it: a run asks its model several times."""

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the session's turns, or the last of them."""
        return await self._history.get_items(limit)

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add turns, and remember what users and agents said."""
        said = _texts(items)
        if any(kind == "user" for kind, _ in said):
            self._known = ("", "")  # asked again in the same words, what is known may be more
        await self._memory.append(
            [
                Message(
                    space=self._space,
                    conversation=self.session_id,
                    speaker=self._speakers[kind],
                    text=text,
                    role="user" if kind == "user" else "agent",
                )
                for kind, text in said
            ]
        )
        await self._history.add_items(items)

    async def pop_item(self) -> TResponseInputItem | None:
        """Take the last turn back from the session, not from the memory."""
        return await self._history.pop_item()

    async def clear_session(self) -> None:
        """Forget the session's turns; what was said stays in the memory."""
        await self._history.clear_session()

    async def recalling(self, data: CallModelData[Any]) -> ModelInputData:
        """Add what is known about the user's last message to the instructions: `RunConfig.call_model_input_filter`."""
        asked = data.model_data
        query = next((text for kind, text in reversed(_texts(asked.input)) if kind == "user"), "")
        if query and query != self._known[0]:
            recalled = await self._memory.recall(self._space, query, context=True, token_budget=self._token_budget)
            self._known = (query, (recalled.context or "") if recalled.results else "")
        known = self._known[1] if query else ""
        instructions = "\n\n".join(part for part in (asked.instructions, known) if part)
        return ModelInputData(input=asked.input, instructions=instructions or None)


def _texts(items: Iterable[TResponseInputItem]) -> list[tuple[str, str]]:
    """Return who said what: users and agents, in words."""
    found = []
    for item in items:
        kind = _SPEAKERS.get(str(item.get("role")))
        content: Any = item.get("content")
        parts = [content] if isinstance(content, str) else [part.get("text") for part in content or ()]
        text = "\n".join(part for part in parts if part)
        if kind is not None and text:
            found.append((kind, text))
    return found
