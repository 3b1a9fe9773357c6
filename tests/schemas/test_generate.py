"""The published documents: up to date, valid, and true of real events."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given

from helamem.schemas import generate
from helamem.schemas.events import EVENT_TYPES
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.topics import TOPICS, inlet_of
from helamem.schemas.wire import Event, encode
from schemas.golden_events import GOLDEN
from schemas.strategies import events

PARSER = "HELAMEM_ASYNCAPI_PARSER"
DOCUMENT: dict[str, Any] = orjson.loads((generate.PUBLISHED / "asyncapi.json").read_bytes())
VALIDATORS = {
    name: jsonschema.Draft202012Validator(orjson.loads((generate.PUBLISHED / f"{name}.schema.json").read_bytes()))
    for name in EVENT_TYPES
}


def test_documents_are_up_to_date() -> None:
    """After a change of a type, run `python -m helamem.schemas.generate`."""
    assert generate.outdated() == []


def test_check_tells_what_is_out_of_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "PUBLISHED", tmp_path)
    assert generate.main(["--check"]) == 1
    assert "asyncapi.json is out of date" in capsys.readouterr().out
    (tmp_path / "left-over.json").write_text("{}")
    assert generate.main([]) == 0
    assert "left-over.json removed" in capsys.readouterr().out
    assert generate.main(["--check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_schemas_are_schemas(name: str) -> None:
    VALIDATORS[name].check_schema(VALIDATORS[name].schema)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.data.event_type)
def test_examples_are_valid(example: Event) -> None:
    VALIDATORS[example.data.event_type].validate(orjson.loads(encode(example)))


@pytest.mark.parametrize("path", sorted((GOLDEN / "events").glob("*.json")), ids=lambda path: path.stem)
def test_golden_events_are_valid(path: Path) -> None:
    if path.stem in VALIDATORS:
        VALIDATORS[path.stem].validate(orjson.loads(path.read_bytes()))


@given(events())
def test_whatever_is_written_is_valid(event: Event) -> None:
    """The schemas and the codec say the same."""
    VALIDATORS[event.data.event_type].validate(orjson.loads(encode(event)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("subject", "acme/alice\n"), ("type", "other"), ("id", ""), ("data", {}), ("data", None)],
)
def test_schemas_refuse_what_the_codec_refuses(field: str, value: object) -> None:
    envelope = orjson.loads(encode(EXAMPLES[0])) | {field: value}
    assert not VALIDATORS["conversation.message.v1"].is_valid(envelope)


def references(node: Any) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: Any, reference: str) -> Any:
    """Return what a local reference names."""
    assert reference.startswith("#/")
    for part in reference[2:].split("/"):
        document = document[part]
    return document


def test_every_reference_resolves() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    for reference in found:
        assert isinstance(resolve(DOCUMENT, reference), dict)


def test_every_topic_is_a_channel() -> None:
    """And so is what a tenant's own producers write, with the tenant as parameter."""
    channels = DOCUMENT["channels"]
    topics = (*TOPICS, inlet_of("{tenant}"))
    assert {channel["address"] for channel in channels.values()} == {spec.name for spec in topics}
    assert {name for name, channel in channels.items() if "parameters" in channel} == {"inlet"}
    assert [*channels["inlet"]["parameters"]] == ["tenant"]
    for spec in topics:
        (channel,) = (channel for channel in channels.values() if channel["address"] == spec.name)
        assert list(channel["messages"]) == [data_type.event_type for data_type in spec.events]
        kafka = channel["bindings"]["kafka"]
        assert kafka["partitions"] == spec.partitions
        assert kafka["topicConfiguration"]["retention.ms"] == spec.retention_ms
        assert kafka["topicConfiguration"]["cleanup.policy"] == ["delete"]


def test_every_operation_uses_messages_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in {"send", "receive"}
        messages = resolve(DOCUMENT, operation["channel"]["$ref"])["messages"]
        assert operation["messages"]
        for message in operation["messages"]:
            channel, _, name = message["$ref"].rpartition("/messages/")
            assert channel == operation["channel"]["$ref"]
            assert name in messages


def test_every_message_is_sent_and_received_by_somebody() -> None:
    """But dead letters and what is restored come from people too, and every event has a sender at least."""
    sent = {
        data_type for _, action, _, data_types in generate.OPERATIONS for data_type in data_types if action == "send"
    }
    received = {
        data_type for _, action, _, data_types in generate.OPERATIONS for data_type in data_types if action == "receive"
    }
    assert sent == received == set(EVENT_TYPES.values())
    assert len(DOCUMENT["operations"]) == len(generate.OPERATIONS)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_message_has_a_valid_example_and_a_key(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    assert message["examples"]
    whole = {"$ref": message["payload"]["$ref"], "components": DOCUMENT["components"]}
    validator = jsonschema.Draft202012Validator(whole)
    for example in message["examples"]:
        validator.validate(example["payload"])
    traits = [resolve(DOCUMENT, trait["$ref"]) for trait in message["traits"]]
    assert [trait for trait in traits if "key" in trait.get("bindings", {}).get("kafka", {})]


_SCRIPT = """
const {Parser} = require('@asyncapi/parser');
let text = '';
process.stdin.on('data', chunk => text += chunk).on('end', async () => {
  const {document, diagnostics} = await new Parser().parse(text);
  process.stdout.write(JSON.stringify({
    parsed: document !== undefined,
    errors: diagnostics.filter(d => d.severity < 2).map(d => d.path.join('/') + ': ' + d.message),
  }));
});
"""


def test_the_asyncapi_parser_takes_it() -> None:
    """AsyncAPI's own parser has no complaint (`npm install @asyncapi/parser` in the folder that is named)."""
    folder = os.environ.get(PARSER)
    if not folder:
        pytest.skip(f"{PARSER} names no folder with @asyncapi/parser")
    node = shutil.which("node")
    assert node, f"{PARSER} is set, but there is no node"
    output = subprocess.run(
        [node, "-e", _SCRIPT],
        cwd=Path(folder),
        input=(generate.PUBLISHED / "asyncapi.json").read_bytes(),
        capture_output=True,
        check=True,
    ).stdout
    assert json.loads(output) == {"parsed": True, "errors": []}
