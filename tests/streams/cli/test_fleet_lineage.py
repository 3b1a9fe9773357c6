"""`why` and `trace` on the fleet's Kafka: the log alone is asked."""

from __future__ import annotations

import pytest

from helamem.schemas.ids import memory_id
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.shell import message, run, write_lines

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


def test_lineage_needs_neither_store_nor_workers(fleet: Fleet) -> None:
    """With --kafka it is read from the topics; a home beside it is a contradiction."""
    run("topics", "apply")
    chat = write_lines(fleet.home.with_name("chat.jsonl"), message(1, "I moved to Bergen."), message(2, "It rains."))
    assert run("ingest", chat, "--kafka").code == 0
    first, second = (memory_id("acme/mira", f"m{number}") for number in (1, 2))
    ran = run("why", first, "--kafka")
    assert (ran.code, ran.err, ran.json["space"]) == (0, "", "acme/mira")
    said, temporal = ran.json["why"]["children"]
    assert (said["text"], said["record"]["topic"]) == ("I moved to Bergen.", "helamem.conversations.g1")
    assert (temporal["memory_ids"], temporal["weight"]) == ([first, second], 0.5)
    traced = run("trace", said["id"], "--kafka", "--space", "acme/mira").json["trace"]
    assert traced["record"] == said["record"]
    assert traced["children"][0]["id"] == first
    assert run("why", first, "--kafka", "--home", fleet.home).code == 2
    assert run("trace", "nothing", "--kafka").code == 2
