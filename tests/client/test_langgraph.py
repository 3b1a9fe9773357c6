"""A store of LangGraph does what LangGraph's own does, by one contract that both run; and what only a memory has to."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore, GetOp, InvalidNamespaceError, Op, PutOp, SearchItem, SearchOp
from langgraph.store.memory import InMemoryStore

from client.gateway import serving
from fakes.directories import directory
from fakes.words import wordllama
from helamem.client import AsyncClient, Client, Message
from helamem.client.langgraph import HelamemStore
from helamem.schemas.errors import BadInput

PAGE = Path(__file__).parents[2] / "docs" / "adapters.md"
Place = tuple[tuple[str, ...], str]


def embedded(texts: Sequence[str]) -> list[list[float]]:
    return [vector.tolist() for vector in wordllama().embed([*texts])]


@pytest.fixture(params=["LangGraph's own", "by a Client", "by an AsyncClient"])
async def store(request: pytest.FixtureRequest, address: str) -> AsyncIterator[BaseStore]:
    """A store that nobody has put anything into."""
    below = f"acme/{uuid.uuid4()}"
    if request.param == "LangGraph's own":
        dims = wordllama().dimension
        yield InMemoryStore(index={"dims": dims, "embed": embedded})
    elif request.param == "by a Client":
        with Client(address) as client:
            yield HelamemStore(client, below)
    else:
        async with AsyncClient(address) as asked:
            yield HelamemStore(asked, below)


@pytest.fixture
def ours(address: str) -> Any:
    with Client(address) as client:
        yield HelamemStore(client, f"acme/{uuid.uuid4()}")


async def put(store: BaseStore, *items: tuple[Place, dict[str, Any] | None]) -> None:
    """Put all at once: each put waits until it can be read."""
    await store.abatch([PutOp(namespace, key, value) for (namespace, key), value in items])


USERS, MIRA, TOM = ("users",), ("users", "mira"), ("users", "tom")
FOOD = {"text": "Mira likes pizza with olives", "kind": "food", "stars": 5}
HOME = {"text": "Mira lives in a house in Bergen", "kind": "home", "stars": 2}
CAR = {"text": "Tom drives an old car", "kind": "thing", "stars": 3, "more": {"colours": ["red", "blue"]}}


async def test_what_is_put_is_got_until_it_is_replaced_or_deleted(store: BaseStore) -> None:
    """What is got has the time of its first and of its last put; a key means something in its namespace alone."""
    assert await store.aget(MIRA, "a") is None
    await put(store, ((MIRA, "a"), FOOD), ((MIRA, "b"), HOME), ((TOM, "a"), CAR))
    first = await store.aget(MIRA, "a")
    assert first is not None
    assert (first.namespace, first.key, first.value) == (MIRA, "a", FOOD)
    assert first.created_at == first.updated_at or isinstance(store, InMemoryStore)
    await store.aput(MIRA, "a", {"text": "Mira likes soup"})
    second = await store.aget(MIRA, "a")
    assert second is not None
    assert second.value == {"text": "Mira likes soup"}
    assert second.updated_at > first.updated_at
    assert second.created_at == first.created_at or isinstance(store, InMemoryStore)  # which begins anew
    await store.adelete(MIRA, "a")
    await store.adelete(MIRA, "a")
    assert await store.aget(MIRA, "a") is None
    assert {one.key: one.value for one in await store.asearch(USERS)} == {"b": HOME, "a": CAR}
    await store.aput(MIRA, "a", FOOD)
    again = await store.aget(MIRA, "a")
    assert again is not None
    assert again.created_at > second.created_at


async def test_values_are_whatever_json_can_say(store: BaseStore) -> None:
    values: dict[str, dict[str, Any]] = {
        "empty": {},
        "deep": {"a": [1, 2.5, None, True, {"b": ["ø", "\n", "\U0001f600", ""]}]},
        "large": {"n": 2**70, "text": "word " * 5_000},
        "key with / and . and \n and ø": {"x": 1},
    }
    await put(store, *(((MIRA, key), value) for key, value in values.items()))
    for key, value in values.items():
        item = await store.aget(MIRA, key)
        assert item is not None
        assert item.value == value


def found(items: Sequence[SearchItem]) -> set[Place]:
    return {(item.namespace, item.key) for item in items}


async def test_a_search_filters_by_fields(store: BaseStore) -> None:
    """Below a prefix of namespaces, by equality and by operators, all of them at once, page by page."""
    await put(store, ((MIRA, "food"), FOOD), ((MIRA, "home"), HOME), ((TOM, "car"), CAR))
    filters: list[tuple[dict[str, Any], set[str]]] = [
        ({}, {"food", "home", "car"}),
        ({"kind": "food"}, {"food"}),
        ({"stars": {"$gte": 3}}, {"food", "car"}),
        ({"stars": {"$gt": 2, "$lt": 5}}, {"car"}),
        ({"stars": {"$lte": 2}}, {"home"}),
        ({"kind": {"$ne": "food"}, "stars": {"$eq": 3}}, {"car"}),
        ({"more": {"colours": ["red", "blue"]}}, {"car"}),
        ({"more": {"colours": ["red"]}}, set()),
        ({"none": 1}, set()),
    ]
    for wanted, keys in filters:
        assert {item.key for item in await store.asearch(USERS, filter=wanted)} == keys, wanted
    assert found(await store.asearch(TOM)) == {(TOM, "car")}
    assert await store.asearch(("others",)) == []
    assert len(await store.asearch((), limit=2)) == 2
    pages = [await store.asearch(USERS, limit=2, offset=offset) for offset in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert set().union(*map(found, pages)) == {(MIRA, "food"), (MIRA, "home"), (TOM, "car")}


async def test_a_search_by_words_gives_the_best_first(store: BaseStore) -> None:
    """Each key once, with its newest value and a score; a filter holds besides."""
    await put(store, ((MIRA, "food"), FOOD), ((MIRA, "home"), HOME), ((TOM, "car"), CAR))
    await put(store, ((MIRA, "food"), {**FOOD, "text": "Mira likes soup with carrots"}))
    hits = await store.asearch(USERS, query="What soup does Mira like?")
    assert len(hits) == 3
    assert (hits[0].key, hits[0].value["text"]) == ("food", "Mira likes soup with carrots")
    scores = [hit.score for hit in hits if hit.score is not None]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 3
    assert [hit.key for hit in await store.asearch(USERS, query="soup", limit=1)] == ["food"]
    assert len(await store.asearch(USERS, query="soup", limit=5, offset=2)) == 1
    assert [hit.key for hit in await store.asearch(USERS, query="soup", filter={"kind": "home"})] == ["home"]
    await store.adelete(MIRA, "food")
    assert "food" not in {hit.key for hit in await store.asearch(USERS, query="soup")}


async def test_namespaces_are_listed(store: BaseStore) -> None:
    """By what they begin and end with, down to a depth, page by page."""
    names = [("a", "b", "c"), ("a", "b", "d", "e"), ("a", "b", "d", "i"), ("a", "x", "c"), ("z",)]
    await put(store, *(((name, "key"), {"n": number}) for number, name in enumerate(names)))
    assert await store.alist_namespaces() == names
    assert await store.alist_namespaces(prefix=("a", "b")) == names[:3]
    assert await store.alist_namespaces(prefix=("a", "*", "c")) == [names[0], names[3]]
    assert await store.alist_namespaces(suffix=("c",)) == [names[0], names[3]]
    assert await store.alist_namespaces(prefix=("a",), suffix=("*", "e")) == [names[1]]
    assert await store.alist_namespaces(max_depth=2) == [("a", "b"), ("a", "x"), ("z",)]
    assert await store.alist_namespaces(limit=2, offset=1) == names[1:3]


async def test_in_a_batch_reads_come_before_puts_and_the_last_put_counts(store: BaseStore) -> None:
    await put(store, ((MIRA, "a"), {"n": 1}), ((MIRA, "gone"), {"n": 0}))
    ops: list[Op] = [
        PutOp(MIRA, "a", {"n": 2}),
        GetOp(MIRA, "a"),
        PutOp(MIRA, "a", {"n": 3}),
        SearchOp(MIRA, filter={"n": 1}),
        PutOp(MIRA, "gone", {"n": 4}),
        PutOp(MIRA, "gone", None),
    ]
    results: list[Any] = await store.abatch(ops)
    assert [results[at] for at in (0, 2, 4, 5)] == [None] * 4
    assert results[1].value == {"n": 1}
    assert [item.value for item in results[3]] == [{"n": 1}]
    assert [item.value for item in await store.asearch(MIRA)] == [{"n": 3}]


async def test_what_can_be_no_namespace_is_refused(store: BaseStore) -> None:
    bad: list[tuple[Any, ...]] = [(), ("a.b",), ("",), ("langgraph", "x")]
    for namespace in bad:
        with pytest.raises(InvalidNamespaceError):
            await store.aput(namespace, "key", {})


def test_many_threads_may_put_the_same_key(ours: HelamemStore, address: str) -> None:
    """One of the values is there in the end, for everybody; all others are forgotten, and none is found by words."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: ours.put(MIRA, "k", {"text": f"soup number {number}"}), range(8)))
    item = ours.get(MIRA, "k")
    assert item is not None
    assert [one.value for one in ours.search((), query="soup number")] == [item.value]
    space = ours._space_of(MIRA)
    with Client(address) as client:
        assert [one.conversation for one in client.memories(space)] == ["k"]
        hits = client.recall(space, "soup number", record=False).results
    assert [hit.text for hit in hits] == [f'{{"text": "{item.value["text"]}"}}']


async def test_who_dies_before_the_former_value_is_forgotten_does_no_harm(ours: HelamemStore, address: str) -> None:
    """The newest counts, also by words that only the former one has; the next put forgets them all."""
    await ours.aput(MIRA, "k", {"text": "Mira likes pizza"})
    space = ours._space_of(MIRA)
    async with AsyncClient(address) as client:
        (first,) = await client.memories(space)
        left = Message(
            space=space,
            conversation="k",
            speaker="langgraph",
            role="agent",
            text='{"text": "Mira likes soup"}',
            message_id=f"langgraph:5000:{uuid.uuid4()}",
        )
        other = Message(space=space, conversation="k", speaker="Mira", text="I like pizza, and this is no put.")
        await client.append([left, other], searchable=True)
        assert len(await client.memories(space)) == 3
        item = await ours.aget(MIRA, "k")
        assert item is not None
        assert item.value == {"text": "Mira likes soup"}
        assert [one.value for one in await ours.asearch((), query="pizza")] == [item.value]
        assert [one.value for one in await ours.asearch(())] == [item.value]
        await ours.aput(MIRA, "k", {"text": "Mira likes salad"})
        assert [one.text for one in await client.memories(space)] == [other.text, '{"text": "Mira likes salad"}']
        hidden = await client.memory(space, first.id)
        assert hidden.hidden
        told = await client.why(space, first.id)
        assert "replaced by a later put" in str(told.lineage)


@pytest.mark.parametrize(
    ("created", "text"),
    [("5000", "This is no JSON."), ("5000", '["no object"]'), ("9" * 30, "{}"), ("5000", '{"a":' * 6_000)],
    ids=["words", "a list", "no time", "deep"],
)
async def test_what_only_looks_like_a_put_is_no_item(ours: HelamemStore, address: str, created: str, text: str) -> None:
    """Whoever may append may give an id like that of a put: it is read, searched and put past."""
    space = ours._space_of(MIRA)
    forged = Message(
        space=space, conversation="k", speaker="Tom", text=text, message_id=f"langgraph:{created}:{uuid.uuid4()}"
    )
    async with AsyncClient(address) as client:
        await client.append([forged], searchable=True)
        assert await ours.aget(MIRA, "k") is None
        assert await ours.asearch((), query=text[:10]) == await ours.asearch(()) == []
        await ours.aput(MIRA, "k", HOME)
        item = await ours.aget(MIRA, "k")
        assert item is not None
        assert item.value == HOME
        await ours.adelete(MIRA, "k")
        assert [one.text for one in await client.memories(space)] == [text]


async def test_spaces_that_can_be_no_namespace_are_passed_by(ours: HelamemStore, address: str) -> None:
    """Others may have made them; a search below the store, and a list, go on without them."""
    await ours.aput(MIRA, "k", HOME)
    async with AsyncClient(address) as client:
        others = [f"{ours._space}.", f"{ours._space}..x", f"{ours._space}.a."]
        await client.append(
            [Message(space=space, conversation="c", speaker="Tom", text="I live in Bergen.") for space in others],
            searchable=True,
        )
        assert {one.space for one in await client.spaces()} >= {*others}
    assert await ours.alist_namespaces() == [MIRA]
    for query in (None, "Bergen"):
        assert found(await ours.asearch((), query=query)) == {(MIRA, "k")}


class State(TypedDict):
    question: str
    answer: str


def defined(number: int) -> dict[str, Any]:
    """Return what a program of the page defines."""
    names: dict[str, Any] = {}
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(programs[number], names)  # noqa: S102 - it is ours, and this is how it is run as written
    return names


async def test_a_graph_remembers_from_run_to_run(address: str) -> None:
    """The program of the page; a node puts what it is told, and another run of the graph finds it by its words."""

    async def node(state: State, runtime: Runtime[None]) -> dict[str, str]:
        assert runtime.store is not None
        hits = await runtime.store.asearch(("users", "mira"), query=state["question"], limit=1)
        await runtime.store.aput(("users", "mira"), state["question"], {"said": state["question"]})
        return {"answer": hits[0].value["said"] if hits else "nothing"}

    graph: StateGraph[State, None, State, State] = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    graph.add_edge("node", END)
    with Client(address) as client:
        compiled = defined(2)["remembering"](graph, client)
        first = await compiled.ainvoke({"question": "I live in Bergen", "answer": ""})
        second = await compiled.ainvoke({"question": "Where do I live?", "answer": ""})
    assert (first["answer"], second["answer"]) == ("nothing", "I live in Bergen")


def test_what_it_cannot_hold_is_refused_before_anything_is_put(ours: HelamemStore) -> None:
    refused: list[tuple[tuple[str, ...], str, Any, str]] = [
        (("users", "Åse"), "k", {}, "cannot stand in the name of a space"),
        (("u" * 120,), "k", {}, "longer than 128 characters"),
        (MIRA, "", {}, "a key has 1 to 256 characters"),
        (MIRA, "k" * 257, {}, "a key has 1 to 256 characters"),
        (MIRA, "k", {"at": object()}, "cannot be written as JSON"),
        (MIRA, "k", {"n": float("nan")}, "cannot be written as JSON"),
        (MIRA, "k", {"text": "x" * 32_768}, "at most 32,768"),
    ]
    for namespace, key, value, why in refused:
        with pytest.raises((BadInput, InvalidNamespaceError), match=why):
            ours.batch([PutOp(MIRA, "first", {"n": 1}), PutOp(namespace, key, value)])
    assert ours.get(MIRA, "k" * 257) is None
    assert ours.search(()) == []
    ours.put(MIRA, "first", {"n": 1})
    with pytest.raises(BadInput, match="no operator"):
        ours.search((), filter={"n": {"$in": [1]}})
    with pytest.raises(BadInput, match="TENANT/NAME"):
        HelamemStore(ours._memory, "acme")
    with pytest.raises(BadInput, match="await its async methods"):
        HelamemStore(AsyncClient(), "acme/x").get(MIRA, "k")


@pytest.mark.slow
@pytest.mark.broad
async def test_it_survives_a_restart_and_says_where_nothing_is_processed() -> None:
    """Values and deletions are what they were; a gateway that processes nothing takes no put."""
    with directory() as place:
        home = place / "home"
        with serving(home) as url, Client(url) as client:
            store = HelamemStore(client, "acme/agents")
            await put(store, ((MIRA, "a"), FOOD), ((MIRA, "b"), HOME), ((TOM, "car"), CAR))
            await put(store, ((MIRA, "a"), {"n": 2}), ((MIRA, "b"), None))
            before = store.search(())
        with serving(home, "gateway") as url, Client(url) as client:
            store = HelamemStore(client, "acme/agents")
            assert store.search(()) == before
            assert store.get(MIRA, "b") is None
            assert store.list_namespaces() == [MIRA, TOM]
            with pytest.raises(BadInput, match="processes nothing"):
                store.put(MIRA, "c", {"n": 1})
