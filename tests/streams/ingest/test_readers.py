"""What the readers make of files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from helamem.schemas.errors import BadInput
from helamem.schemas.events import ConversationMessage
from helamem.schemas.times import format_ms
from helamem.schemas.wire import Event, decode
from helamem.streams.ingest.formats import Format, read_file
from helamem.streams.ingest.incoming import BadLine, Incoming
from helamem.streams.ingest.locomo import read_samples

PLAIN = {"speaker": "Mira", "time": "2025-01-01T00:00:00Z", "text": "Hello."}
SAMPLE = {
    "sample_id": "conv 1",
    "conversation": {
        "speaker_a": "Ann",
        "speaker_b": "Bo",
        "session_2_date_time": "1:05 am on 9 May, 2023",
        "session_2": [{"speaker": "Bo", "dia_id": "D2:1", "text": "Look.", "blip_caption": "a cat"}],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
        "session_1": [
            {"speaker": "Ann", "dia_id": "D1:1", "text": "Hi Bo."},
            {"speaker": "Bo", "dia_id": "D1:2", "text": "Hi Ann."},
        ],
    },
    "qa": [{"question": "Who?", "answer": "Bo", "evidence": ["D1:2; D2:1", "D", "D9:9", "D1:2"], "category": 4}],
}


def read(path: Path, file_format: Format = "auto", space: str | None = None) -> tuple[list[Event], list[BadLine]]:
    lines = list(read_file(path, file_format, space))
    assert [line.read_bytes for line in lines] == sorted(line.read_bytes for line in lines)
    if lines:
        assert lines[-1].read_bytes == path.stat().st_size
    events = [decode(line.record.value) for line in lines if isinstance(line, Incoming)]
    return events, [line for line in lines if isinstance(line, BadLine)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "notes.jsonl"


def test_a_plain_message_gets_what_it_leaves_out(path: Path) -> None:
    """Conversation and message id follow from file and line, so that reading again gives the same event."""
    path.write_text(f"\n{json.dumps(PLAIN)}")
    (event,), bad = read(path, space="a/b")
    assert bad == []
    assert event.data == ConversationMessage(
        message_id="notes:2", conversation="notes", speaker="Mira", role="user", text="Hello."
    )
    assert (event.space, format_ms(event.time_ms)) == ("a/b", "2025-01-01T00:00:00.000Z")
    assert read(path, space="a/b") == ([event], [])
    (elsewhere,), _ = read(path, space="a/c")
    assert elsewhere.id != event.id


def test_a_whole_event_is_taken_as_it_is(path: Path) -> None:
    """Its id, its source and its space are kept, whatever space the file is for."""
    envelope = {
        "specversion": "1.0",
        "id": "mine",
        "source": "chat/7",
        "type": "conversation.message.v1",
        "time": "2025-01-01T01:00:00+01:00",
        "subject": "a/b",
        "data": {"message_id": "1", "conversation": "c", "speaker": "Mira", "text": "Hello."},
    }
    path.write_text(json.dumps(envelope))
    (event,), _ = read(path, space="other/space")
    assert (event.id, event.source, event.space) == ("mine", "chat/7", "a/b")
    assert format_ms(event.time_ms) == "2025-01-01T00:00:00.000Z"


@pytest.mark.parametrize("kind", ["settings.applied.v1", "record.dead-lettered.v1"])
def test_events_that_govern_a_log_are_not_taken_from_files(path: Path, kind: str) -> None:
    """Settings for one partition, or a dead letter for a good record, would make a home unusable."""
    golden = Path(__file__).parents[2] / "golden" / "events" / f"{kind}.json"
    path.write_bytes(golden.read_bytes().replace(b"\n", b" "))
    events, (bad,) = read(path)
    assert events == []
    assert "not ingested" in bad.reason


def test_locomo_sessions_become_conversations_in_order_of_time(path: Path) -> None:
    """Sessions go by number, turns are a second apart, pictures are told by their captions."""
    path.write_text(json.dumps([SAMPLE]))
    events, bad = read(path)
    assert bad == []
    messages = [(event, event.data) for event in events if isinstance(event.data, ConversationMessage)]
    assert [(event.space, format_ms(event.time_ms), data.text) for event, data in messages] == [
        ("locomo/conv-1", "2023-05-08T13:56:00.000Z", "Hi Bo."),
        ("locomo/conv-1", "2023-05-08T13:56:01.000Z", "Hi Ann."),
        ("locomo/conv-1", "2023-05-09T01:05:00.000Z", "Look. [shares a cat]"),
    ]
    (sample,) = read_samples(path)
    assert sample.questions[0].evidence == ("D1:2", "D2:1")


def test_several_samples_cannot_share_a_space(path: Path) -> None:
    """Their message ids would collide; one sample may be given any space."""
    path.write_text(json.dumps([SAMPLE, SAMPLE]))
    with pytest.raises(BadInput, match="need a space each"):
        read(path, space="a/b")
    path.write_text(json.dumps(SAMPLE))
    events, _ = read(path, space="a/b")
    assert {event.space for event in events} == {"a/b"}


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"conversation": 1}', '[{"conversation": {"session_1": []}}]'])
def test_what_is_not_locomo_is_refused(path: Path, content: str) -> None:
    """One sentence says what is wrong."""
    path.write_text(content)
    with pytest.raises(BadInput, match="LoCoMo"):
        read(path, "locomo")


def test_a_missing_file_is_refused(path: Path) -> None:
    """So is a directory."""
    for missing in (path, path.parent):
        with pytest.raises(BadInput, match="there is no file"):
            read(missing)


def test_an_empty_file_holds_nothing(path: Path) -> None:
    """Blank lines are none."""
    path.write_text("\n  \n")
    assert [*read_file(path, "auto", None)] == []
