from __future__ import annotations

import inspect
import re

import msgspec
import pytest

from helamem.schemas.errors import Poison
from helamem.schemas.events import EVENT_TYPES, EventData
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.wire import Event


@pytest.mark.parametrize("data_type", EVENT_TYPES.values(), ids=lambda data_type: data_type.event_type)
def test_events_are_frozen_keyword_only_and_described(data_type: type[EventData]) -> None:
    assert data_type.__struct_config__.frozen
    assert not data_type.__match_args__, "keyword-only structs match nothing by position"
    assert inspect.getdoc(data_type) not in {None, inspect.getdoc(EventData)}
    assert re.fullmatch(r"[a-z]+(\.[a-z-]+)+\.v[1-9][0-9]*", data_type.event_type)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.data.event_type)
def test_events_cannot_be_changed(example: Event) -> None:
    for field in msgspec.structs.fields(example.data):
        with pytest.raises(AttributeError):
            setattr(example.data, field.name, None)


def test_every_event_type_of_the_module_is_listed() -> None:
    ours = [each for each in EventData.__subclasses__() if each.__module__ == EventData.__module__]
    assert list(EVENT_TYPES.values()) == ours


def test_poison_says_field_and_reason() -> None:
    poison = Poison("must not be empty", "data.text")
    assert (str(poison), poison.field, poison.reason) == (
        "data.text: must not be empty",
        "data.text",
        "must not be empty",
    )
    assert str(Poison("the event is empty")) == "the event is empty"
