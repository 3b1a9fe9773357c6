"""The demo on the fleet: in which order it talks and asks. That it runs is shown in tests/deploy."""

from __future__ import annotations

from helamem.streams.demo.live import ASKED_AFTER, steps


def test_a_question_is_asked_once_what_it_is_about_was_said_a_while_ago() -> None:
    """All messages and questions of the demo, each once; a question names only what stands well before it."""
    said: list[str] = []
    asked = 0
    for step in steps():
        if "query" not in step:
            said.append(step["message_id"])
            continue
        asked += 1
        behind = len(said) - max(said.index(message_id) for message_id in step["used"])
        assert behind > ASKED_AFTER or len(said) == 418
    assert len(said) == len(set(said)) == 418
    assert asked == 60
