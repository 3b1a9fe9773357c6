"""What is asked of a gateway: requests built without sending any, the same for the client with async and without."""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from helamem.client.answers import (
    Appended,
    BatchAppended,
    Fact,
    FactsPage,
    Lineage,
    Marked,
    MemoriesPage,
    Memory,
    Neighbours,
    Profile,
    Recalled,
    Recalls,
    Reinforced,
    SpaceSize,
    SpacesPage,
)
from helamem.schemas.errors import BadInput
from helamem.schemas.times import format_ms, to_ms

MOST_MESSAGES = 1000
"""In one request."""
MOST_BYTES = 4 * 2**20
"""Of one request, roughly; a gateway takes twice as much."""
_CONVERSATIONS = 16
"""Named in one request."""
_LONGEST_KEY = 200
_KEY = re.compile(f"[!-~]([ -~]{{0,{_LONGEST_KEY - 2}}}[!-~])?")
"""Printable, and with no space around it, which a header loses."""
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
T = TypeVar("T")


class Message(Struct, frozen=True, kw_only=True):
    """Something that was said, to be remembered."""

    space: str
    """`tenant/name`: what may be recalled together."""
    conversation: str
    speaker: str
    text: str
    time: datetime | None = None
    """When it was said, with a zone; None is when the gateway takes it in."""
    role: Literal["user", "agent"] = "user"
    message_id: str | None = None
    """Unique within the space: sent again, the message is there once. None makes one up."""
    data_subjects: tuple[str, ...] = ()
    """Whose words they are; none named: a user's are the speaker's."""


class Call(Struct, Generic[T], frozen=True, kw_only=True):
    """One request, and what its answer is."""

    method: Literal["GET", "POST"]
    path: str
    answer: type[T]
    query: Mapping[str, str | Sequence[str]] = {}
    body: bytes | None = None
    headers: Mapping[str, str] = {}
    safe: bool
    """Whether sending it twice does what sending it once does."""


Flow = Generator[Call[Any], Any, T]
"""Requests one after the other: each is yielded, its answer sent in; what it returns is the answer to them all."""


def append(
    messages: Sequence[Message], *, searchable: bool = False, idempotency_key: str | None = None
) -> Flow[BatchAppended]:
    """Append messages of any number and of any spaces; they are durable in the log on return.

    They are sent in batches, those of a space in order. Each batch is appended whole or not at all, and once, however
    often it has to be sent.

    Args:
        messages: What was said.
        searchable: Return when all of it can be recalled, or after some seconds; `searchable` of the answer says which.
        idempotency_key: The same messages with the same key, in another call, are appended once. None makes one up for
            this call.

    Raises:
        BadInput: A message is not valid; none of its batch was appended.
        Conflict: Its id is that of another message, which says something else; likewise.
        RetryLater: The gateway cannot be reached, or cannot write now.
    """
    key = _key(idempotency_key)
    done: dict[int, Appended] = {}
    in_time = True if searchable else None
    calls = [
        (places, _batch(space, bodies, f"{key}:{number}", wait=searchable and last))
        for space, batches in _batches(messages).items()
        for number, (places, bodies, last) in enumerate(_with_last(batches))
    ]
    for places, call in calls:
        answer: BatchAppended = yield call
        done |= zip(places, answer.messages, strict=True)
        if answer.searchable is False:
            in_time = False
    return BatchAppended(messages=[done[place] for place in range(len(messages))], searchable=in_time)


def recall(
    space: str,
    query: str,
    *,
    k: int | None = None,
    m: int | None = None,
    facts: int | None = None,
    spreading: bool = True,
    token_budget: int | None = None,
    context: bool = False,
    as_of: datetime | None = None,
    record: bool = True,
) -> Flow[Recalled]:
    """Return what a space knows about a question, best first, facts last.

    Args:
        space: What may be recalled.
        query: The question.
        k: Results; None is as many as the gateway gives.
        m: Further results, which association may fill; likewise.
        facts: Further results from the facts; likewise.
        spreading: Whether association takes part.
        token_budget: Bound on the tokens of all texts together; of a context, on the whole block.
        context: Give the answer as a block for a prompt too.
        as_of: Answer as of this time: nothing that was said later is found. None is now.
        record: Put the recall into the log: links learn from it, and it can be reinforced. Such a recall is asked again
            only where it certainly was not answered, since each leaves its event.

    Raises:
        BadInput: The space or the query is not valid.
        RetryLater: The gateway cannot be reached, or cannot answer now.
    """
    body = _question(
        query,
        k=k,
        m=m,
        facts=facts,
        spreading=spreading,
        token_budget=token_budget,
        context=context,
        as_of=as_of,
        record=record,
    )
    answer: Recalled = yield _post(f"{_path(space)}/recall", body, Recalled, safe=not record)
    return answer


def recall_several(
    spaces: Sequence[str],
    query: str,
    *,
    k: int | None = None,
    m: int | None = None,
    facts: int | None = None,
    spreading: bool = True,
    token_budget: int | None = None,
    context: bool = False,
    as_of: datetime | None = None,
    record: bool = True,
) -> Flow[list[Recalled]]:
    """Return what each of several spaces knows, such as an agent's own and its team's; arguments as of `recall`.

    Raises:
        BadInput: A space or the query is not valid.
        RetryLater: The gateway cannot be reached, or cannot answer now.
    """
    body = _question(
        query,
        k=k,
        m=m,
        facts=facts,
        spreading=spreading,
        token_budget=token_budget,
        context=context,
        as_of=as_of,
        record=record,
    )
    answer: Recalls = yield _post("/v1/recall", {"spaces": list(spaces), **body}, Recalls, safe=not record)
    return answer.recalls


def reinforce(
    recall_id: str, memory_ids: Sequence[str], *, space: str, idempotency_key: str | None = None
) -> Flow[Reinforced]:
    """Say which memories of a recall were useful; links among these and its first one gain the full weight, once.

    Args:
        recall_id: From the recall.
        memory_ids: Ids of memories that it returned.
        space: Of the recall.
        idempotency_key: The same again in another call strengthens once. None makes one up for this call.

    Raises:
        NotFound: There is no such recall in the space.
        BadInput: It did not return these memories, or the key cannot stand in a header.
        Conflict: The key was used to say that other memories of the recall were useful.
        RetryLater: The gateway cannot be reached, or cannot write now.
    """
    body = {"recall_id": recall_id, "memory_ids": list(memory_ids)}
    key = _key(idempotency_key)
    answer: Reinforced = yield _post(
        f"{_path(space)}/reinforce", body, Reinforced, headers={"Idempotency-Key": key}, safe=True
    )
    return answer


def spaces() -> Flow[list[SpaceSize]]:
    """Return the spaces that the key is for, by name."""
    found: list[SpaceSize] = []
    cursor: str | None = ""
    while cursor is not None:
        page: SpacesPage = yield _get("/v1/spaces", SpacesPage, limit="1000", cursor=cursor)
        found += page.spaces
        cursor = page.next
    return found


def facts(space: str) -> Flow[list[Fact]]:
    """Return the facts of a space, by the time since when they hold, hidden ones and what is over included."""
    found: list[Fact] = []
    cursor: str | None = ""
    while cursor is not None:
        page: FactsPage = yield _get(f"{_path(space)}/facts", FactsPage, limit="1000", cursor=cursor)
        found += page.facts
        cursor = page.next
    return found


def profile(space: str, *, as_of: datetime | None = None) -> Flow[Profile]:
    """Return what is known of the people of a space and what its agents know, put together from facts that hold.

    Args:
        space: Whose profile.
        as_of: What held at this time, of what was known by then. None is now.
    """
    answer: Profile = yield _get(f"{_path(space)}/profile", Profile, as_of=_time(as_of))
    return answer


def memory(space: str, memory_id: str) -> Flow[Memory]:
    """Return a memory, also one that is hidden or erased.

    Raises:
        NotFound: The space has no such memory; what was just appended may take a moment.
    """
    answer: Memory = yield _get(_memory_path(space, memory_id), Memory)
    return answer


def memories(space: str, *, conversations: Sequence[str] | None = None) -> Flow[list[Memory]]:
    """Return the memories of a space that may be recalled, by the time at which they were said.

    Args:
        space: Theirs.
        conversations: Only of these, and of each among its last 1,000 turns alone; None is all of the space.
    """
    found: list[Memory] = []
    parts: list[Sequence[str] | None] = (
        [None]
        if conversations is None
        else [conversations[first : first + _CONVERSATIONS] for first in range(0, len(conversations), _CONVERSATIONS)]
    )
    for part in parts:
        cursor: str | None = ""
        while cursor is not None:
            page: MemoriesPage = yield _get(
                f"{_path(space)}/memories", MemoriesPage, limit="1000", cursor=cursor, conversation=part or ()
            )
            found += page.memories
            cursor = page.next
    return sorted(found, key=lambda memory: (memory.time, memory.id))


def forget(space: str, memory_ids: Sequence[str], reason: str, *, applied: bool = False) -> Flow[Marked]:
    """Hide memories from recall by an event in the log; `restore` brings them back.

    Args:
        space: Theirs.
        memory_ids: Up to 1,000.
        reason: For whoever looks into the log.
        applied: Return when recalls know of it, or after some seconds; `applied` of the answer says which.

    Raises:
        NotFound: The space has no such memory; none was hidden.
        RetryLater: The gateway cannot be reached, or cannot write now.
    """
    answer: Marked = yield _mark(space, "forget", memory_ids, reason, applied=applied)
    return answer


def restore(space: str, memory_ids: Sequence[str], reason: str, *, applied: bool = False) -> Flow[Marked]:
    """Bring back memories that were hidden; what was erased stays so. Arguments and errors are those of `forget`."""
    answer: Marked = yield _mark(space, "restore", memory_ids, reason, applied=applied)
    return answer


def neighbours(space: str, memory_id: str, *, as_of: datetime | None = None) -> Flow[Neighbours]:
    """Return a memory and what recalls have linked it to, the strongest first.

    Args:
        space: The memory's.
        memory_id: Its id.
        as_of: Weights as they have faded by this time. None is now.

    Raises:
        NotFound: The space has no such memory.
    """
    path = f"{_memory_path(space, memory_id)}/neighbours"
    answer: Neighbours = yield _get(path, Neighbours, as_of=_time(as_of))
    return answer


def why(space: str, id_: str, *, other: str | None = None, as_of: datetime | None = None) -> Flow[Lineage]:
    """Return where a fact or a memory came from, or the link between two memories: down to messages and recalls.

    Args:
        space: Theirs.
        id_: Of a fact or a memory.
        other: Of another memory, for the link between them.
        as_of: Weights as they have faded by this time. None is each one's last touch.

    Raises:
        NotFound: The log has neither a fact nor a memory of this id, or no such link.
    """
    path = f"{_path(space)}/why/{_id(id_)}"
    answer: Lineage = yield _get(path, Lineage, other="" if other is None else _id(other), as_of=_time(as_of))
    return answer


def _question(
    query: str, *, spreading: bool, context: bool, record: bool, as_of: datetime | None, **numbers: int | None
) -> dict[str, Any]:
    given = {name: number for name, number in numbers.items() if number is not None}
    until = {} if as_of is None else {"as_of": _time(as_of)}
    return {"query": query, "spreading": spreading, "context": context, "record": record, **until, **given}


def _batches(messages: Sequence[Message]) -> dict[str, list[tuple[list[int], list[bytes]]]]:
    """Return by space, in order, the messages of each request: their places and their JSON."""
    batches: defaultdict[str, list[tuple[list[int], list[bytes]]]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for place, message in enumerate(messages):
        body, space = _said(message), message.space
        if not batches[space] or len(batches[space][-1][0]) == MOST_MESSAGES or sizes[space] + len(body) > MOST_BYTES:
            batches[space].append(([], []))
            sizes[space] = 0
        places, bodies = batches[space][-1]
        places.append(place)
        bodies.append(body)
        sizes[space] += len(body) + 1
    return batches


def _with_last(batches: Sequence[tuple[list[int], list[bytes]]]) -> Iterator[tuple[list[int], list[bytes], bool]]:
    for number, (places, bodies) in enumerate(batches, 1):
        yield places, bodies, number == len(batches)


def _said(message: Message) -> bytes:
    said: dict[str, Any] = {
        "conversation": message.conversation,
        "speaker": message.speaker,
        "text": message.text,
        "role": message.role,
    }
    if message.time is not None:
        said["time"] = _time(message.time)
    if message.message_id is not None:
        said["message_id"] = message.message_id
    if message.data_subjects:
        said["data_subjects"] = list(message.data_subjects)
    return _json(said)


def _key(given: str | None) -> str:
    """Return an idempotency key as it may stand in a header, or one made up."""
    if given is None:
        return str(uuid.uuid4())
    if not _KEY.fullmatch(given):
        raise BadInput(
            f"an idempotency key has 1 to {_LONGEST_KEY} letters, digits and signs of ASCII, and this one does not; "
            "give such a one, or none"
        )
    return given


def _batch(space: str, bodies: Sequence[bytes], key: str, *, wait: bool) -> Call[BatchAppended]:
    return Call(
        method="POST",
        path=f"{_path(space)}/messages/batch",
        answer=BatchAppended,
        query={"wait": "searchable"} if wait else {},
        body=b'{"messages":[' + b",".join(bodies) + b"]}",
        headers={"Content-Type": "application/json", "Idempotency-Key": key},
        safe=True,
    )


def _mark(space: str, what: str, memory_ids: Sequence[str], reason: str, *, applied: bool) -> Call[Marked]:
    return Call(
        method="POST",
        path=f"{_path(space)}/{what}",
        answer=Marked,
        query={"wait": "applied"} if applied else {},
        body=_json({"memory_ids": list(memory_ids), "reason": reason}),
        headers={"Content-Type": "application/json"},
        safe=True,
    )


def _get(path: str, answer: type[T], **query: str | Sequence[str]) -> Call[T]:
    given = {name: value for name, value in query.items() if value}
    return Call(method="GET", path=path, answer=answer, query=given, safe=True)


def _post(
    path: str, body: Mapping[str, Any], answer: type[T], *, safe: bool, headers: Mapping[str, str] | None = None
) -> Call[T]:
    sent = {"Content-Type": "application/json", **(headers or {})}
    return Call(method="POST", path=path, answer=answer, body=_json(body), headers=sent, safe=safe)


def _json(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise BadInput("a text holds half of a surrogate pair, which UTF-8 cannot write; mend it") from None


def _path(space: str) -> str:
    tenant, _, name = space.partition("/")
    if not (tenant[:1].isalnum() and name[:1].isalnum()) or "/" in name:
        raise BadInput(f"the space {space!r} is not written TENANT/NAME; write it like acme/mira")
    return f"/v1/spaces/{quote(tenant, safe='')}/{quote(name, safe='')}"


def _memory_path(space: str, memory_id: str) -> str:
    return f"{_path(space)}/memories/{_id(memory_id)}"


def _id(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise BadInput(f"{text!r} is no id of a memory or a fact; name one that a recall returned")
    return text


def _time(moment: datetime | None) -> str:
    return "" if moment is None else format_ms(to_ms(moment))
