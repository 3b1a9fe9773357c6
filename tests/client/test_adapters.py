"""Agents of other frameworks remember by the client, each tried with the framework itself."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, Model, ModelResponse, Runner, SQLiteSession, Usage, set_tracing_disabled
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory
from openai.types.responses import ResponseOutputMessage, ResponseOutputText

from helamem.client import AsyncClient, Message
from helamem.client.llama_index import HelamemBlock
from helamem.client.openai_agents import HelamemSession

set_tracing_disabled(disabled=True)
PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
async def client(address: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(address) as asked:
        yield asked


def defined(program: str) -> dict[str, Any]:
    """Return what a program of the page defines."""
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 - it is ours, and this is how it is run as written
    return names


async def searchable(client: AsyncClient, space: str) -> None:
    """Wait until what was said so far can be recalled."""
    said = Message(space=space, conversation="end", speaker="nobody", text="Thank you.")
    assert (await client.append([said], searchable=True)).searchable


async def test_llama_index_remembers_what_its_short_term_memory_lets_go(client: AsyncClient) -> None:
    """The program of the page: what was said long ago is in the prompt, by whom and in which session it was said."""
    memory: Memory = defined(PROGRAMS[0])["remembering"](client)
    memory.token_limit, memory.token_flush_size = 60, 10
    await memory.aput_messages(
        [
            ChatMessage(role="user", content="We have moved from Lisbon to Bergen."),
            ChatMessage(role="assistant", content="How do you like Bergen?"),
            ChatMessage(role="tool", content="The weather service says rain."),
            *[ChatMessage(role="user", content=f"Number {number} is nothing of note.") for number in range(8)],
        ]
    )
    await searchable(client, "acme/mira")
    told = await memory.aget(input="Where does Mira live?")
    store: Any = memory.sql_store
    await store._async_engine.dispose()  # LlamaIndex leaves it open
    assert "We have moved from Lisbon to Bergen." in str(told[0].content)
    hits = (await client.recall("acme/mira", "Bergen", record=False)).results
    assert {(hit.speaker, hit.role, hit.conversation) for hit in hits if "Bergen" in hit.text} == {
        ("Mira", "user", "monday"),
        ("agent", "agent", "monday"),
    }
    assert not any("weather service" in hit.text for hit in hits)


async def test_a_block_without_a_question_or_an_answer_is_empty(client: AsyncClient) -> None:
    block = HelamemBlock(memory=client, space="acme/nothing-yet")
    assert await block.aget(None) == ""
    assert await block.aget([ChatMessage(role="assistant", content="Hello.")]) == ""
    assert await block.aget([ChatMessage(role="user", content="Where?")]) == ""


class Scripted(Model):
    """A model that says the same each time, and notes what it was asked."""

    def __init__(self) -> None:
        self.instructions: list[str | None] = []
        self.asked: list[Any] = []

    async def get_response(self, system_instructions: str | None, input: Any, *_: Any, **__: Any) -> ModelResponse:  # noqa: A002
        self.instructions.append(system_instructions)
        self.asked.append(input)
        text = ResponseOutputText(annotations=[], text="Good to hear.", type="output_text")
        said = ResponseOutputMessage(id="1", content=[text], role="assistant", status="completed", type="message")
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError  # the framework demands the method; nothing here asks for a stream


async def test_openai_agents_recall_what_was_said_in_another_session(client: AsyncClient) -> None:
    """The program of the page: turns of a session are its own, and what was said in any of them is known in all."""
    ask = defined(PROGRAMS[1])["ask"]
    model = Scripted()
    agent = Agent(name="Ada", instructions="Be brief.", model=model)
    monday, tuesday = (HelamemSession(name, client, "acme/ada") for name in ("monday", "tuesday"))
    assert await ask(monday, agent, "We have moved from Lisbon to Bergen.") == "Good to hear."
    assert model.instructions[0] is not None
    assert model.instructions[0].startswith("Be brief.")
    await searchable(client, "acme/ada")
    await ask(tuesday, agent, "Where do I live?")
    assert "We have moved from Lisbon to Bergen." in (model.instructions[1] or "")
    assert [item["content"] for item in model.asked[1]] == ["Where do I live?"]
    hits = (await client.recall("acme/ada", "Bergen", record=False)).results
    assert ("user", "user", "monday") in [(hit.speaker, hit.role, hit.conversation) for hit in hits]


async def test_what_is_asked_again_is_recalled_again(client: AsyncClient) -> None:
    """In the same words and session: what was said in between is known."""
    model = Scripted()
    agent = Agent(name="Ada", model=model)
    session = HelamemSession("thursday", client, "acme/again")
    ask = defined(PROGRAMS[1])["ask"]
    await ask(session, agent, "Where do I live?")
    said = Message(space="acme/again", conversation="c", speaker="user", text="I live in a house in Bergen.")
    assert (await client.append([said], searchable=True)).searchable
    await ask(session, agent, "Where do I live?")
    assert "I live in a house in Bergen." in (model.instructions[1] or "")


async def test_a_session_keeps_its_own_turns(client: AsyncClient) -> None:
    """Those of another session that it is given; what is taken back from it stays in the memory."""
    session = HelamemSession("wednesday", client, "acme/turns", user="Mira", history=SQLiteSession("wednesday"))
    agent = Agent(name="Ada", model=Scripted())
    for question in ("I bake bread on Sundays.", "And cakes."):
        await Runner.run(agent, question, session=session)
    assert len(await session.get_items()) == 4
    assert [item.get("content") for item in (await session.get_items(2))][:1] == ["And cakes."]
    popped = await session.pop_item()
    assert popped is not None
    assert popped.get("role") == "assistant"
    await session.clear_session()
    assert await session.get_items() == []
    await searchable(client, "acme/turns")
    hits = (await client.recall("acme/turns", "bread", record=False)).results
    assert ("Mira", "I bake bread on Sundays.") in [(hit.speaker, hit.text) for hit in hits]


@pytest.mark.parametrize(
    ("module", "framework", "extra"),
    [
        ("langgraph", "langgraph", "langgraph"),
        ("llama_index", "llama_index", "llama-index"),
        ("openai_agents", "agents", "openai-agents"),
    ],
)
def test_without_its_framework_it_says_what_to_install(module: str, framework: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{framework!r}] = None
try:
    import helamem.client.{module}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert f"helamem.client.{module} needs {framework}" in done.stdout
    assert done.stdout.endswith(f"install it with: pip install 'helamem[{extra}]'\n")
