"""`helamem topics`, and what other commands say while topics or settings are missing."""

from __future__ import annotations

import asyncio

import pytest

from helamem.schemas.topics import GOVERNED, TOPICS
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import apply_topics
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, run_on_terminal, write_lines

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def test_topics_and_settings_are_made_once(fleet: Fleet) -> None:
    """The second time nothing is made; showing says so, to people too."""
    shown = run("topics", "show")
    assert shown.code == 1
    assert {topic["partitions"] for topic in shown.json["topics"]} == {0}
    assert "helamem topics apply" in shown.err
    made = run("topics", "apply")
    assert (made.code, made.err) == (0, "")
    assert [topic["created"] for topic in made.json["topics"]] == [True] * len(TOPICS)
    assert made.json["settings_applied"]
    again = run("topics", "apply")
    assert (again.code, again.err) == (0, "")
    assert [topic["created"] for topic in again.json["topics"]] == [False] * len(TOPICS)
    assert not again.json["settings_applied"]
    shown = run("topics", "show")
    assert (shown.code, shown.err) == (0, "")
    assert shown.json["partitions_without_settings"] == []
    assert {(*topic["faults"], *topic["differences"]) for topic in shown.json["topics"]} == {()}
    governed = sum(spec.partitions for spec in GOVERNED)
    assert fleet.lag() == governed  # the settings, once in each
    code, seen = run_on_terminal("topics", "show")
    assert code == 0
    assert "as it should be" in seen
    assert "helamem.conversations.g1" in seen


def test_a_log_without_settings_is_taken_up(fleet: Fleet) -> None:
    """Where a first try ended between topics and settings, nobody works on, and the next try puts it right."""
    asyncio.run(apply_topics(KafkaSettings(bootstrap_servers=fleet.broker.servers), TOPICS, replication=1))
    shown = run("topics", "show")
    assert (shown.code, len(shown.json["partitions_without_settings"])) == (1, sum(s.partitions for s in GOVERNED))
    assert "no settings stand in helamem.conversations.g1/0" in shown.err
    chat = write_lines(fleet.home.with_name("chat.jsonl"), message(1, "I moved to Bergen."))
    fleet.store.start()
    for arguments in (("ingest", chat, "--kafka"), ("worker", "all"), ("digest", "--kafka")):
        ran = run(*arguments)
        assert ran.code in {1, 2}
        assert "run: helamem topics apply" in ran.err or "has yet to process" in ran.err
        assert ran.err.count("\n") == 1
    assert run("topics", "apply").json["settings_applied"]
    assert run("topics", "show").code == 0


def test_without_topics_every_command_says_what_to_do(fleet: Fleet) -> None:
    """In one sentence, and nothing is made on the way."""
    chat = write_lines(fleet.home.with_name("chat.jsonl"), message(1, "I moved to Bergen."))
    for arguments in (
        ("ingest", chat, "--kafka"),
        ("lag", "--kafka"),
        ("worker", "all"),
        ("dead-letters", "list", "--kafka"),
        ("digest", "--kafka"),
    ):
        ran = run(*arguments)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert "run `helamem topics apply`" in ran.err
        assert ran.err.count("\n") == 1
    assert {topic["partitions"] for topic in run("topics", "show").json["topics"]} == {0}
