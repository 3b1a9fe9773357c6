"""The wire codec: round trips, and one clear sentence for everything that is not an event."""

from __future__ import annotations

import contextlib
import math
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helamem.schemas.errors import BadInput, ConfigurationError, Poison
from helamem.schemas.events import (
    EVENT_TYPES,
    ConversationMessage,
    EventData,
    MemoryRecalled,
    MemoryReinforced,
    RecalledResult,
    RecallSettings,
    RecordDeadLettered,
)
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.upcast import Upcaster
from helamem.schemas.wire import (
    MAX_DEAD_LETTER_BYTES,
    MAX_RECORD_BYTES,
    Event,
    decode,
    encode,
    from_builtins,
)
from schemas.strategies import events

UUID = "0190c0de-1111-4222-8333-444455556666"
PRIVATE = "the patient's name is Mallory"


def message(**changes: Any) -> dict[str, Any]:
    """Return an envelope with a valid message, changed: `data__text=…` changes a field of its data, `...` removes."""
    envelope: dict[str, Any] = {
        "specversion": "1.0",
        "id": "m-1",
        "source": "helamem/tests",
        "type": "conversation.message.v1",
        "time": "2025-03-01T09:00:00Z",
        "subject": "acme/alice",
        "data": {"message_id": "D1:1", "conversation": "c", "speaker": "Alice", "text": PRIVATE},
    }
    for name, value in changes.items():
        inside, _, field = name.rpartition("__")
        place = envelope[inside] if inside else envelope
        if value is ...:
            del place[field]
        else:
            place[field] = value
    return envelope


def recalled(**changes: Any) -> dict[str, Any]:
    """Return an envelope with a recall of one result, whose fields are changed."""
    result = {"id": UUID, "kind": "memory", "path": "base", "score": 0.5, "base": 0.5}
    data = {"query": "q", "as_of": 0, "results": [result | changes], "settings": {}, "applied": {"t/0": 1}}
    return message(type="memory.recalled.v1", data=data)


def poison_of(envelope: object) -> Poison:
    """Return how `decode` refuses these bytes or this envelope."""
    raw = envelope if isinstance(envelope, bytes) else orjson.dumps(envelope)
    with pytest.raises(Poison) as caught:
        decode(raw)
    assert PRIVATE not in str(caught.value)
    return caught.value


def of_data(data: EventData, **changes: Any) -> Event:
    """Return a valid event round `data`, changed."""
    fields: dict[str, Any] = {"id": "m-1", "source": "tests", "space": "acme/alice", "time_ms": 0, "data": data}
    return Event(**(fields | changes))


def said(text: str) -> ConversationMessage:
    """Return a message with this text."""
    return ConversationMessage(message_id="D1:1", conversation="c", speaker="Alice", text=text)


@pytest.mark.parametrize("data_type", EVENT_TYPES.values(), ids=str)
@given(drawn=st.data())
def test_round_trip(data_type: type[EventData], drawn: st.DataObject) -> None:
    """Every event comes back as it was, and its bytes are canonical."""
    event = drawn.draw(events(data_type))
    raw = encode(event)
    assert decode(raw) == event
    assert encode(decode(raw)) == raw
    assert raw == orjson.dumps(orjson.loads(raw), option=orjson.OPT_SORT_KEYS)


def test_every_type_is_an_example() -> None:
    assert list(dict.fromkeys(example.data.event_type for example in EXAMPLES)) == list(EVENT_TYPES)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    """Whatever bytes a record holds: an event or a `Poison`."""
    with contextlib.suppress(Poison):
        decode(raw)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(_JSON, st.sampled_from([*message(), "data__text", "data__message_id", "data__role", "traceparent"]))
def test_no_json_raises_anything_else(value: Any, field: str) -> None:
    """Whatever JSON stands in a field: an event or a `Poison` that names this field."""
    poison: Poison | None = None
    try:
        from_builtins(message(**{field: value}))
    except Poison as error:
        poison = error
    assert poison is None or (poison.field or "").startswith(field.replace("__", "."))


NO_ZONE = "has no zone; write it like 2025-03-01T09:00:00Z"
NO_TIME = "is not a time; write it like 2025-03-01T09:00:00Z"
NO_UUID = "must be a UUID in lower case, like 0190c0de-1111-4222-8333-444455556666"
NO_SPACE = "must be `tenant/name`, of ASCII letters and digits and of . _ - (after the slash also : and @)"


@pytest.mark.parametrize(
    ("envelope", "field", "reason"),
    [
        (message(id=...), "id", "is missing"),
        (message(subject=...), "subject", "is missing"),
        (message(data=...), "data", "is missing"),
        (message(data__text=...), "data.text", "is missing"),
        (message(id=""), "id", "must not be empty"),
        (message(id=7), "id", "must be a string, not a whole number"),
        (message(id="x" * 257), "id", "must have at most 256 characters"),
        (message(data__message_id=""), "data.message_id", "must not be empty"),
        (message(data__text=""), "data.text", "must not be empty"),
        (message(data__text=PRIVATE * 2000), "data.text", "must have at most 32,768 characters"),
        (message(data__text=None), "data.text", "must be a string, not null"),
        (message(data__text=[PRIVATE]), "data.text", "must be a string, not a list"),
        (message(data__role="boss"), "data.role", "is not one of the values allowed here"),
        (message(data=[]), "data", "must be an object, not a list"),
        (message(specversion="2.0"), "specversion", "is not one of the values allowed here"),
        (message(time="2025-03-01T09:00:00"), "time", NO_ZONE),
        (message(time="yesterday"), "time", NO_TIME),
        (message(time="2025-02-30T09:00:00Z"), "time", NO_TIME),
        (message(time="10000-01-01T00:00:00Z"), "time", NO_TIME),
        (message(time=1_740_000_000), "time", "must be a time, not a whole number"),
        (
            message(time="1969-12-31T23:59:59Z"),
            "time",
            "the time 1969-12-31T23:59:59+00:00 lies before 1970; helamem counts from there",
        ),
        (
            message(time="9999-12-31T23:59:59-01:00"),
            "time",
            "the time 9999-12-31T23:59:59-01:00 lies after the year 9999 in UTC",
        ),
        (message(subject="acme"), "subject", NO_SPACE),
        (message(subject="acme/alice\n"), "subject", NO_SPACE),
        (message(subject="acme/álice"), "subject", NO_SPACE),
        (message(subject="../alice"), "subject", NO_SPACE),
        (message(subject="acme/" + "a" * 200), "subject", "must have at most 193 characters"),
        (
            message(traceparent="00-1"),
            "traceparent",
            "must be a W3C trace context: version, trace id, parent id and flags",
        ),
        (recalled(score="high"), "data.results[0].score", "must be a number, not a string"),
        (recalled(score=1e300), "data.results[0].score", "must be at most 1000000000.0"),
        (recalled(score=None), "data.results[0].score", "must be a number, not null"),
        (recalled(id="nobody"), "data.results[0].id", NO_UUID),
        (recalled(via=5), "data.results[0].via", "must be a string or null, not a whole number"),
        (message(type="memory.recalled.v1", data={"query": "q"}), "data.as_of", "is missing"),
        (
            message(type="memory.reinforced.v1", data={"recall_id": "r", "memory_ids": []}),
            "data.memory_ids",
            "must not be empty",
        ),
        (
            message(type="memory.reinforced.v1", data={"recall_id": "r", "memory_ids": [UUID] * 1001}),
            "data.memory_ids",
            "must have at most 1,000 entries",
        ),
        (
            message(type="memory.reinforced.v1", data={"recall_id": "r", "memory_ids": [UUID + "\n"]}),
            "data.memory_ids[0]",
            "must have at most 36 characters",
        ),
        ([], None, "the event must be an object, not a list"),
        (None, None, "the event must be an object, not null"),
        ("text", None, "the event must be an object, not a string"),
    ],
)
def test_bad_events_name_field_and_reason(envelope: object, field: str | None, reason: str) -> None:
    """Each failure says which field and why, in words."""
    poison = poison_of(envelope)
    assert (poison.field, poison.reason) == (field, reason)


@pytest.mark.parametrize(
    ("applied", "reason"),
    [
        (b"-1", "must be at least 0"),
        (b"9007199254740992", "must be at most 9007199254740991"),
        (b"18446744073709551616", "must be a whole number, not a number"),  # the parser makes it a float
        (b"1.5", "must be a whole number, not a number"),
        (b"true", "must be a whole number, not true or false"),
    ],
)
def test_integers_are_kept_exactly_or_refused(applied: bytes, reason: str) -> None:
    """An integer that some JSON reader would round is refused, also beyond 64 bits."""
    raw = orjson.dumps(recalled()).replace(b'"t/0":1', b'"t/0":' + applied)
    poison = poison_of(raw)
    assert (poison.field, poison.reason) == ("data.applied[...]", reason)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "the event is empty"),
        (b" \n", "the event is empty"),
        (b'{"id": "m-1", "data"', "the event is not JSON: unexpected end of data: line 1 column 21 (char 20)"),
        (b'{"id": "m\xff"}', "the event is not valid UTF-8, from byte 9 on"),
        (b'{"score": NaN}', "the event is not JSON: unexpected character, expected a JSON value"),
        (b'{"score": 1e999}', "the event is not JSON: number is infinity"),
        (b'{"text": "\\ud800"}', "the event is not JSON: no low surrogate in string"),
        (b"{} {}", "the event is not JSON: unexpected content after document"),
        (b"\xef\xbb\xbf{}", "the event is not JSON: UTF-8 byte order mark (BOM) is not supported"),
        (b"[" * 5000, "the event is not JSON: depth limit exceeded"),
    ],
)
def test_bytes_that_are_no_json(raw: bytes, reason: str) -> None:
    """Torn lines, foreign encodings and numbers that JSON has not."""
    poison = poison_of(raw)
    assert poison.field is None
    assert poison.reason.startswith(reason)


def test_an_unknown_type_is_named_with_what_is_known() -> None:
    poison = poison_of(message(type="conversation.message.v99"))
    assert poison.field == "type"
    assert "'conversation.message.v99' is not an event type that this version knows" in poison.reason
    assert "conversation.message.v1" in poison.reason
    poison = poison_of(message(type=PRIVATE))
    assert poison.reason.startswith("this is not an event type")
    assert PRIVATE not in poison.reason


def test_long_values_are_cut_in_complaints() -> None:
    assert len(poison_of(message(type="x" * 256)).reason.partition(" is not ")[0]) < 50
    assert len(poison_of(message(data__role="x" * 5000)).reason) < 100


@pytest.mark.parametrize("size_bytes", [MAX_RECORD_BYTES + 1, MAX_DEAD_LETTER_BYTES + 1, 10_000_000])
def test_a_large_record_is_refused(size_bytes: int) -> None:
    """Of a field that nobody knows there may be as much as fits, and no more."""
    raw = orjson.dumps(message(extension=""))
    raw = raw.replace(b'"extension":""', b'"extension":"' + b"x" * (size_bytes - len(raw)) + b'"')
    assert len(raw) == size_bytes
    assert poison_of(raw).reason == f"the event has {size_bytes:,} bytes; at most 1,000,000 are taken"


def test_the_largest_record_fits_into_a_dead_letter() -> None:
    """A dead letter repeats the record in base64, so it may be larger than any other event."""
    data = RecordDeadLettered(
        group="encoding",
        topic="helamem.conversations.g1",
        partition=0,
        generation=1,
        offset=0,
        reason="unreadable",
        key_base64="",
        value_base64="x" * (MAX_RECORD_BYTES * 4 // 3),
    )
    event = of_data(data)
    assert decode(encode(event)) == event


def test_unknown_fields_are_ignored() -> None:
    """A newer writer may add fields; this version leaves them out."""
    raw = orjson.dumps(message(tracestate="a=b", data__mood="fine"))
    assert encode(decode(raw)) == orjson.dumps(
        message(time="2025-03-01T09:00:00.000Z", data__role="user"), option=orjson.OPT_SORT_KEYS
    )


def test_of_duplicate_keys_the_last_counts() -> None:
    raw = orjson.dumps(message()).replace(b'"id":"m-1"', b'"id":"m-1","id":"m-2"')
    assert decode(raw).id == "m-2"


def test_a_time_in_another_zone_is_the_same_event() -> None:
    assert from_builtins(message(time="2025-03-01T11:00:00+02:00")) == from_builtins(message())


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (of_data(said("half \ud83d of a cat")), "data.text: holds half of a surrogate pair"),
        (of_data(said("x"), id="\udfff"), "id: holds half of a surrogate pair"),
        (of_data(said("")), "data.text: must not be empty"),
        (of_data(said("x" * 32_769)), "data.text: must have at most 32,768 characters"),
        (of_data(said("x"), id=""), "id: must not be empty"),
        (of_data(said("x"), space="alice"), "subject: must be `tenant/name`"),
        (of_data(said("x"), time_ms=-1), "-1 milliseconds since 1970 are not a time"),
        (of_data(said("x"), time_ms=10**17), "100000000000000000 milliseconds since 1970 are not a time"),
        (of_data(said("x"), traceparent="00"), "traceparent: must be a W3C trace context"),
        (
            of_data(MemoryReinforced(recall_id="r", memory_ids=(UUID, "\ud800"))),
            "data.memory_ids[1]: must be a UUID",
        ),
        (
            of_data(
                RecordDeadLettered(
                    group="g",
                    topic="t",
                    partition=2**70,
                    generation=1,
                    offset=0,
                    reason="r",
                    key_base64="",
                    value_base64="",
                )
            ),
            "data.partition: must be at most 9007199254740991",
        ),
    ],
)
def test_encode_refuses_what_decode_would(event: Event, sentence: str) -> None:
    """Nothing is written that could not be read again."""
    with pytest.raises(BadInput) as caught:
        encode(event)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_encode_refuses_a_score_that_json_has_not(score: float) -> None:
    """The encoder would write null and lose it."""
    result = RecalledResult(id=UUID, kind="memory", path="base", score=score, base=0.0)
    recall = MemoryRecalled(query="q", as_of=0, results=(result,), settings=RecallSettings(), applied={})
    with pytest.raises(BadInput, match=r"^data\.results\[0\]\.score: must be at "):
        encode(of_data(recall))


def test_encode_refuses_foreign_types() -> None:
    class NotPublished(EventData, frozen=True, kw_only=True):
        event_type = "conversation.message.v1"

    with pytest.raises(BadInput, match="NotPublished is not an event type of this version"):
        encode(of_data(NotPublished()))
    with pytest.raises(BadInput, match="the event cannot be written as JSON: Encoding objects of type complex"):
        encode(of_data(said(1j)))  # type: ignore[arg-type] # what a caller without type checks may do


def test_encode_refuses_a_large_event() -> None:
    results = (RecalledResult(id=UUID, kind="memory", path="base", score=0.1, base=0.1),)
    applied = {f"topic-{'x' * 100}/{number}": 0 for number in range(10_000)}
    recall = MemoryRecalled(query="q", as_of=0, results=results, settings=RecallSettings(), applied=applied)
    with pytest.raises(BadInput, match=r"^the event has 1,\d\d\d,\d\d\d bytes; at most 1,000,000 are taken$"):
        encode(of_data(recall))


def _v0_to_v1(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "conversation.message.v1", {**data, "conversation": data["thread"]}


def _older_to_v0(data: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "conversation.message.v0", {**data, "thread": data["room"]}


TABLE: dict[str, Upcaster] = {
    "conversation.message.v0": _v0_to_v1,
    "conversation.said": _older_to_v0,
}


@pytest.mark.parametrize(
    ("type_string", "field"), [("conversation.message.v0", "thread"), ("conversation.said", "room")]
)
def test_upcasters_lead_to_the_newest_version(type_string: str, field: str) -> None:
    """An old version is read through one upcaster, an older one through a chain of two."""
    old = message(type=type_string, data__conversation=...)
    old["data"][field] = "c"
    assert decode(orjson.dumps(old), TABLE) == from_builtins(message())


def test_an_old_record_that_cannot_be_upcast_is_poison() -> None:
    with pytest.raises(Poison, match=r"^data: cannot be read as conversation\.message\.v0 \(KeyError\)$"):
        from_builtins(message(type="conversation.message.v0"), TABLE)
    with pytest.raises(Poison, match=r"^data: must be an object, not null$"):
        from_builtins(message(type="old"), {"old": lambda _: ("conversation.message.v1", cast("Any", None))})


@pytest.mark.parametrize("length", [1, 2, 5])
def test_upcasters_in_a_circle_cannot_hang(length: int) -> None:
    circle: dict[str, Upcaster] = {
        f"v{number}": lambda data, to=f"v{(number + 1) % length}": (to, data)  # type: ignore[misc] # bound early
        for number in range(length)
    }
    with pytest.raises(ConfigurationError, match="the upcasters of v0 lead in a circle"):
        from_builtins(message(type="v0"), circle)
