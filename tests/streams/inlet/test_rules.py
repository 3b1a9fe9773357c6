"""What passes from a tenant's inlet, and why the rest does not."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from fakes.events import message, recalled, reinforced
from helamem.schemas.events import MAX_TEXT, ConversationMessage
from helamem.schemas.ids import derived_id
from helamem.schemas.records import Headers, Record
from helamem.schemas.topics import CONVERSATIONS, inlet_of, tenant_of_inlet
from helamem.schemas.wire import MAX_RECORD_BYTES, Event, encode
from helamem.streams.inlet.rules import FAULTS, Refused, taken
from helamem.streams.log.partitioner import partition_of

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SAID = message("m1", "I moved to Bergen.")
SEALED = {
    "keys": [{"subject": "Anna", "key": "0190c0de-1111-4222-8333-444455556666"}],
    "ciphertext": "AAAA",
    "commitment": "0" * 64,
}


def standing(
    value: bytes, *, key: bytes = b"acme/anna", partition: int = 0, tenant: str = "acme", headers: Headers = ()
) -> Record:
    """Return a record as it stands in an inlet."""
    return Record(
        topic=inlet_of(tenant).name,
        partition=partition,
        offset=7,
        append_time_ms=0,
        key=key,
        value=value,
        headers=headers,
    )


def changed(event: Event, **fields: Any) -> bytes:
    """Return the bytes of an event of which some fields of the data are others."""
    envelope = orjson.loads(encode(event))
    envelope["data"] |= fields
    return orjson.dumps(envelope)


def test_a_message_passes_with_an_id_of_its_space() -> None:
    """Neither id nor source are the producer's: the same message by a gateway is the same event."""
    event = taken(standing(encode(SAID)), "acme", 1)
    assert event.data == SAID.data
    assert (event.space, event.time_ms) == (SAID.space, SAID.time_ms)
    assert event.id == derived_id("message", "acme/anna", "m1")
    assert event.source == "helamem/inlet"
    forged = replace(SAID, id=derived_id("message", "globex/tom", "m1"), source="helamem/gateway")
    assert taken(standing(encode(forged)), "acme", 1) == event


def test_the_trace_passes() -> None:
    """It stands in the event or, as other producers write it, in the headers alone."""
    by_header = standing(encode(SAID), headers=(("traceparent", TRACE.encode()),))
    assert taken(by_header, "acme", 1).traceparent == TRACE
    assert taken(standing(encode(replace(SAID, traceparent=TRACE))), "acme", 1).traceparent == TRACE


@pytest.mark.parametrize(
    ("fault", "field", "value", "where"),
    [
        ("no-event", None, b"", {}),
        ("no-event", None, b'{"torn \xff', {}),
        ("no-event", None, b"[" * 100_000, {}),
        ("no-event", None, b" " * (MAX_RECORD_BYTES + 1), {}),
        ("no-event", None, encode(SAID) + b" " * MAX_RECORD_BYTES, {}),
        ("no-event", "data.text", changed(SAID, text="a" * (MAX_TEXT + 1)), {}),
        ("no-event", "data.message_id", changed(SAID, message_id=""), {}),
        ("other-type", "type", encode(recalled("r", ["m1"])), {}),
        ("other-type", "type", encode(reinforced("r", ["m1"])), {}),
        ("other-tenant", "subject", encode(message("m1", "Mine.", space="globex/tom")), {"key": b"globex/tom"}),
        ("other-tenant", "subject", encode(message("m1", "Mine.", space="acme-2/tom")), {"key": b"acme-2/tom"}),
        ("misplaced", "key", encode(SAID), {"key": b"acme/tom"}),
        ("misplaced", "key", encode(SAID), {"key": b""}),
        ("sealed", "data.sealed", changed(SAID, sealed=SEALED), {}),
    ],
)
def test_what_does_not_pass(fault: str, field: str | None, value: bytes, where: dict[str, Any]) -> None:
    """It is refused by name, with the field and without a word of what it holds."""
    with pytest.raises(Refused) as refused:
        taken(standing(value, **where), "acme", 1)
    assert (refused.value.fault, refused.value.field) == (fault, field)
    assert fault in FAULTS
    assert not {"Bergen", "Mine", "globex", "torn"} & {*refused.value.reason.replace(".", " ").split()}


def test_a_space_stands_in_one_partition() -> None:
    """In an inlet of several a record elsewhere than its key says would come before or after the others by chance."""
    at = partition_of(b"acme/anna", 4)
    assert taken(standing(encode(SAID), partition=at), "acme", 4).space == "acme/anna"
    with pytest.raises(Refused, match="partition") as refused:
        taken(standing(encode(SAID), partition=(at + 1) % 4), "acme", 4)
    assert refused.value.fault == "misplaced"


def test_a_text_that_no_day_has_room_for_is_refused() -> None:
    """It would wait for ever, and all behind it."""
    (size,) = (len(one.data.text) for one in [SAID] if isinstance(one.data, ConversationMessage))
    assert taken(standing(encode(SAID)), "acme", 1, size)
    with pytest.raises(Refused, match="17 bytes") as refused:
        taken(standing(encode(SAID)), "acme", 1, size - 1)
    assert refused.value.fault == "over-quota"


@pytest.mark.parametrize("tenant", ["acme", "Acme", "a", "a.b", "a_b", "a-b", "acme.g2", "helamem.inlet.x", "x" * 64])
def test_an_inlet_says_whose_it_is(tenant: str) -> None:
    """A tenant's name stands in that of the topic, whatever it is, and comes back out of it."""
    name = inlet_of(tenant).name
    assert tenant_of_inlet(name) == tenant
    assert len(name) <= 249


@pytest.mark.parametrize(
    "topic",
    [CONVERSATIONS.name, "helamem.inlet.g1", "helamem.inlet..g1", "helamem.inlet.-a.g1", "helamem.inlet.acme", "x.g1"],
)
def test_other_topics_are_no_inlets(topic: str) -> None:
    """Nobody's record is taken for a tenant's."""
    assert tenant_of_inlet(topic) is None


def test_another_generation_is_no_inlet() -> None:
    """There is one for each tenant."""
    assert tenant_of_inlet("helamem.inlet.acme.g2") is None
