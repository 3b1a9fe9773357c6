from __future__ import annotations

import pytest

from helamem.schemas.errors import BadInput
from helamem.schemas.events import EVENT_TYPES, EventData, SettingsApplied
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.records import Position, TopicPartition, base_name_of, generation_of
from helamem.schemas.topics import GOVERNED, TOPICS, topic_of
from helamem.schemas.wire import Event


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.data.event_type)
def test_every_event_has_a_topic(example: Event) -> None:
    assert type(example.data) in topic_of(example.data).events


def test_only_settings_have_several_topics() -> None:
    for data_type in EVENT_TYPES.values():
        carriers = tuple(spec for spec in TOPICS if data_type in spec.events)
        assert carriers == (GOVERNED if data_type is SettingsApplied else carriers[:1])


def test_a_foreign_event_has_none() -> None:
    class Foreign(EventData, frozen=True, kw_only=True):
        event_type = "foreign.v1"

    with pytest.raises(KeyError):
        topic_of(Foreign())


def test_names_are_unique_and_name_their_generation() -> None:
    names = [spec.name for spec in TOPICS]
    assert len(set(names)) == len(names)
    assert [generation_of(name) for name in names] == [spec.generation for spec in TOPICS]
    assert all(name.startswith("helamem.") for name in names)


@pytest.mark.parametrize(
    ("name", "base_name", "generation"),
    [("helamem.facts.g2", "helamem.facts", 2), ("a.g1.g12", "a.g1", 12), ("x.gg.g3", "x.gg", 3)],
)
def test_the_generation_stands_at_the_end(name: str, base_name: str, generation: int) -> None:
    assert (base_name_of(name), generation_of(name)) == (base_name, generation)


@pytest.mark.parametrize(
    "name", ["helamem.facts", "", "5", ".g1", "facts.g", "facts.g0", "facts.g01", "facts.g-1", "f.g٣"]
)
def test_a_name_without_generation_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="names no generation; it must end like"):
        generation_of(name)
    assert base_name_of(name) == ""


def test_the_base_names_of_our_topics_are_those_of_their_specs() -> None:
    assert [base_name_of(spec.name) for spec in TOPICS] == [spec.base_name for spec in TOPICS]


def test_positions_compare_generation_first() -> None:
    assert Position(1, 900) < Position(2, 0) < Position(2, 1)
    assert str(TopicPartition("helamem.facts.g1", 3)) == "helamem.facts.g1/3"
