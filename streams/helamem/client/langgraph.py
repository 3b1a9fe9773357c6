"""A store of LangGraph: what graphs put there is remembered, and found again by what it says.

Each namespace is a space. Each put is a message, whose conversation is the key: the newest one that may be recalled is
the value, and those before are forgotten, as all of them are by a deletion. The order is that of the log, so nobody has
to be asked first who else is writing, and whoever dies between a message and what is to be forgotten leaves a former
value that nobody takes for the newest.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Generator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import ge, gt, le, lt
from typing import Any, TypeVar

try:
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        InvalidNamespaceError,
        Item,
        ListNamespacesOp,
        MatchCondition,
        Op,
        PutOp,
        Result,
        SearchItem,
        SearchOp,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        f"helamem.client.langgraph needs {error.name}; install it with: pip install 'helamem[langgraph]'"
    ) from error

from helamem.client import requests
from helamem.client.answers import Memory
from helamem.client.asynchronous import AsyncClient
from helamem.client.requests import Call, Flow, Message
from helamem.client.synchronous import Client
from helamem.schemas.errors import BadInput, NotFound, RetryLater
from helamem.schemas.events import MAX_TEXT
from helamem.schemas.times import MAX_MS, from_ms, to_ms

Kind = TypeVar("Kind", Item, SearchItem)
Namespace = tuple[str, ...]
Place = tuple[Namespace, str]
"""A namespace and a key in it."""

_SPACE = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,63}/[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_LABEL = re.compile("[A-Za-z0-9_:@-]+")
_LONGEST_KEY = 256
_LONGEST_SPACE = 128
"""Of the part behind the slash."""
_MOST_HITS = 1000
_SPACES_AT_ONCE = 16
_PUT = re.compile("langgraph:([0-9]+):[0-9a-f-]{36}")
"""Id of a message that is a put: since when there is such an item, and what makes it unlike any other."""
_ORDER = {"$gt": gt, "$gte": ge, "$lt": lt, "$lte": le}


class HelamemStore(BaseStore):
    """A `BaseStore` in a memory behind a gateway.

    Values are JSON objects. They are searched by all that they say: `index` chooses nothing, and there is no `ttl`.

    Args:
        memory: Who is asked; whoever made it closes it. With an `AsyncClient` the store has its async methods alone.
        space: TENANT/NAME, below which namespaces are spaces: ("users", "mira") of acme/agents is
            acme/agents.users.mira.
        speaker: What its messages have as speaker.
        record: Whether a search by words is a recall that is recorded, so that links learn from it.

    Raises:
        BadInput: It is no name of a space.
    """

    __slots__ = ("_memory", "_record", "_space", "_speaker")

    def __init__(
        self, memory: Client | AsyncClient, space: str, *, speaker: str = "langgraph", record: bool = True
    ) -> None:
        if not _SPACE.fullmatch(space):
            raise BadInput(f"the space {space!r} is not written TENANT/NAME; write it like acme/agents")
        self._memory = memory
        self._space = space
        self._speaker = speaker
        self._record = record

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked and return what comes of it: what is read is as it was before, of puts the last counts.

        Raises:
            InvalidNamespaceError: A namespace cannot be the name of a space.
            BadInput: A key or a value cannot be put.
            RetryLater: The gateway cannot be reached, or does not process what it takes in.
        """
        if isinstance(self._memory, AsyncClient):
            raise BadInput("this store asks by an AsyncClient; await its async methods, or give it a Client")
        return self._memory.run(self._batch([*ops]))

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what `batch` does."""
        flow = self._batch([*ops])
        if isinstance(self._memory, AsyncClient):
            return await self._memory.run(flow)
        return await asyncio.to_thread(self._memory.run, flow)

    def _batch(self, ops: Sequence[Op]) -> Flow[list[Result]]:
        results: list[Result] = []
        puts: dict[Place, PutOp] = {}
        for op in ops:
            match op:
                case GetOp():
                    found = yield from self._newest(op.namespace, [op.key])
                    results.append(_item(op.namespace, found[op.key], Item) if op.key in found else None)
                case SearchOp():
                    results.append((yield from self._search(op)))
                case ListNamespacesOp():
                    results.append((yield from self._list(op)))
                case PutOp():
                    puts[op.namespace, op.key] = op
                    results.append(None)
        by_namespace: dict[Namespace, list[PutOp]] = {}
        for op in puts.values():
            by_namespace.setdefault(op.namespace, []).append(op)
        texts = {place: _text(op) for place, op in puts.items() if op.value is not None}  # all before any is sent
        spaces = {namespace: self._space_of(namespace) for namespace in by_namespace}
        for namespace, those in by_namespace.items():
            new = {op.key: texts[namespace, op.key] for op in those if op.value is not None}
            gone = [op.key for op in those if op.value is None]
            if new:
                yield from self._put(namespace, new)
            if gone:
                memories = yield from self._visible(spaces[namespace], gone)
                yield from _forget(spaces[namespace], memories, "deleted by key")
        return results

    def _put(self, namespace: Namespace, texts: Mapping[str, str]) -> Flow[None]:
        """Append values and forget what they replace."""
        space, now = self._space_of(namespace), datetime.now(UTC)
        before = yield from self._newest(namespace, [*texts])
        created = {key: to_ms(now) if key not in before else _created_ms(before[key]) for key in texts}
        appended = yield from requests.append(
            [
                Message(
                    space=space,
                    conversation=key,
                    speaker=self._speaker,
                    text=text,
                    time=now,
                    role="agent",
                    message_id=f"langgraph:{created[key]}:{uuid.uuid4()}",
                )
                for key, text in texts.items()
            ],
            searchable=True,
        )
        visible = yield from self._visible(space, [*texts])
        if not appended.searchable:  # somebody who put the same key a moment later may have hidden it already
            there = {memory.id for memory in visible}
            for one in appended.messages:
                if one.memory_id not in there:
                    yield from _processed(space, one.memory_id)
        newest = {memory.id for memory in _newest(visible).values()}
        yield from _forget(space, [memory for memory in visible if memory.id not in newest], "replaced by a later put")

    def _newest(self, namespace: Namespace, keys: Sequence[str]) -> Flow[dict[str, Memory]]:
        """Return the newest value of each key that has one."""
        return _newest((yield from self._visible(self._space_of(namespace), keys)))

    def _visible(self, space: str, keys: Sequence[str] | None) -> Flow[list[Memory]]:
        """Return what was put into a space, or at some of its keys, and is not forgotten."""
        known = None if keys is None else [key for key in keys if 0 < len(key) <= _LONGEST_KEY]
        found = yield from requests.memories(space, conversations=known)
        return [memory for memory in found if _is_put(memory)]

    def _search(self, op: SearchOp) -> Flow[list[SearchItem]]:
        wanted = op.offset + op.limit
        if wanted < 1:
            return []
        spaces = {
            self._space_of(namespace): namespace
            for namespace in (yield from self._namespaces())
            if namespace[: len(op.namespace_prefix)] == op.namespace_prefix
        }
        items: list[SearchItem] = []
        scores: dict[Place, float] = {}
        if op.query:
            scores = yield from self._scores(spaces, op.query, _MOST_HITS if op.filter else min(wanted, _MOST_HITS))
        for space, namespace in spaces.items():
            # By words alone the best are known by their keys; else all are looked at.
            keys = [key for at, key in scores if at == namespace] if op.query and not op.filter else None
            found = [] if keys == [] else (yield from self._visible(space, keys))
            for key, memory in _newest(found).items():
                items.append(_item(namespace, memory, SearchItem))
                items[-1].score = scores.get((namespace, key))
        matching = [item for item in items if _matches(item.value, op.filter or {})]
        matching.sort(key=lambda item: item.updated_at, reverse=True)
        matching.sort(key=lambda item: -1.0 if item.score is None else item.score, reverse=True)
        return matching[op.offset : wanted]

    def _scores(self, spaces: Mapping[str, Namespace], query: str, k: int) -> Flow[dict[Place, float]]:
        """Return how well what was put matches, of each key the best."""
        scores: dict[Place, float] = {}
        names = [*spaces]
        for first in range(0, len(names), _SPACES_AT_ONCE):
            recalls = yield from requests.recall_several(
                names[first : first + _SPACES_AT_ONCE], query, k=k, m=0, facts=0, record=self._record
            )
            for recalled in recalls:
                for hit in recalled.results:
                    if hit.conversation is not None and _PUT.fullmatch(hit.message_id or ""):
                        scores.setdefault((spaces[recalled.space], hit.conversation), hit.score)
        return scores

    def _list(self, op: ListNamespacesOp) -> Flow[list[Namespace]]:
        found = yield from self._namespaces()
        matching = {one for one in found if all(_fits(one, condition) for condition in op.match_conditions or ())}
        cut = matching if op.max_depth is None else {one[: op.max_depth] for one in matching}
        return sorted(cut)[op.offset : op.offset + op.limit]

    def _namespaces(self) -> Flow[list[Namespace]]:
        """Return the namespaces there are; a space below that can be none, as with two dots, is somebody else's."""
        below = f"{self._space}."
        spaces = yield from requests.spaces()
        found = [one.space.removeprefix(below).split(".") for one in spaces if one.space.startswith(below)]
        return [tuple(labels) for labels in found if all(map(_LABEL.fullmatch, labels))]

    def _space_of(self, namespace: Namespace) -> str:
        space = ".".join([self._space, *namespace])
        for label in namespace:
            if not _LABEL.fullmatch(label):
                raise InvalidNamespaceError(
                    f"the label {label!r} of the namespace {namespace!r} cannot stand in the name of a space; use "
                    "letters and digits of ASCII and _ : @ -"
                )
        if len(space.partition("/")[2]) > _LONGEST_SPACE:
            raise InvalidNamespaceError(
                f"the namespace {namespace!r} makes a name of a space longer than {_LONGEST_SPACE} characters; "
                "shorten its labels"
            )
        return space


def _text(op: PutOp) -> str:
    """Return a value as it is remembered."""
    if not 0 < len(op.key) <= _LONGEST_KEY:
        raise BadInput(f"a key has 1 to {_LONGEST_KEY} characters, and this one {len(op.key):,}; give another one")
    try:
        text = json.dumps(op.value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadInput(f"the value of the key {op.key!r} cannot be written as JSON: {error}") from None
    if len(text) > MAX_TEXT:
        raise BadInput(
            f"the value of the key {op.key!r} has {len(text):,} characters as JSON, and at most {MAX_TEXT:,} are "
            "taken; put less into one"
        )
    return text


def _item(namespace: Namespace, memory: Memory, kind: type[Kind]) -> Kind:
    return kind(
        namespace=namespace,
        key=memory.conversation,
        value=json.loads(memory.text),
        created_at=from_ms(_created_ms(memory)),
        updated_at=memory.time,
    )


def _is_put(memory: Memory) -> bool:
    """Return whether a message can be a put: whoever may append may also give an id that looks like one."""
    put = _PUT.fullmatch(memory.message_id)
    if put is None or int(put[1]) > MAX_MS:
        return False
    try:
        return isinstance(json.loads(memory.text), dict)
    except (ValueError, RecursionError):
        return False


def _created_ms(memory: Memory) -> int:
    put = _PUT.fullmatch(memory.message_id)
    assert put is not None  # others are left out where they are read
    return int(put[1])


def _newest(memories: Iterable[Memory]) -> dict[str, Memory]:
    """Return of each key the last one that the log has."""
    newest: dict[str, Memory] = {}
    for memory in memories:
        if memory.conversation not in newest or memory.turn > newest[memory.conversation].turn:
            newest[memory.conversation] = memory
    return newest


def _forget(space: str, memories: Sequence[Memory], reason: str) -> Generator[Call[Any], Any, None]:
    for first in range(0, len(memories), 1000):
        ids = [memory.id for memory in memories[first : first + 1000]]
        if not (yield from requests.forget(space, ids, reason, applied=True)).applied:
            raise RetryLater(
                f"what was put into {space} is safe, but what it replaces can still be found; put it again"
            )


def _processed(space: str, memory_id: str) -> Flow[None]:
    """Raise where a memory is not there yet: it is in the log, and would come later."""
    try:
        yield from requests.memory(space, memory_id)
    except NotFound:
        raise RetryLater(
            f"what was put into {space} is safe in the log, but cannot be read yet: the gateway is behind; put it again"
        ) from None


def _fits(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    if len(namespace) < len(path):
        return False
    part = namespace[: len(path)] if condition.match_type == "prefix" else namespace[len(namespace) - len(path) :]
    return all(wanted in ("*", label) for wanted, label in zip(path, part, strict=True))


def _matches(value: object, wanted: object) -> bool:
    """Return whether a value is what a filter wants: equal, or as its operators say, field by field."""
    if isinstance(wanted, Mapping):
        if any(name.startswith("$") for name in wanted):
            return all(_compares(value, name, operand) for name, operand in wanted.items())
        return isinstance(value, Mapping) and all(_matches(value.get(name), one) for name, one in wanted.items())
    if isinstance(wanted, list | tuple):
        return (
            isinstance(value, list)
            and len(value) == len(wanted)
            and all(_matches(one, other) for one, other in zip(value, wanted, strict=True))
        )
    return value == wanted


def _compares(value: object, operator: str, operand: object) -> bool:
    if operator in ("$eq", "$ne"):
        return (value == operand) is (operator == "$eq")
    if operator not in _ORDER:
        raise BadInput(f"{operator} is no operator of a filter; use one of $eq, $ne, {', '.join(_ORDER)}")
    try:
        return bool(_ORDER[operator](float(value), float(operand)))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
