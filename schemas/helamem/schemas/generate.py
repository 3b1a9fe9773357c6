"""The published documents: a JSON Schema of every event, and one AsyncAPI 3 document, made from the types.

`python -m helamem.schemas.generate` writes them beside this module, `--check` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from helamem.schemas.events import (
    EVENT_TYPES,
    CheckpointSigned,
    ConversationMessage,
    EventData,
    HubFormed,
    KeyChanged,
    KnowledgeDistilled,
    KnowledgeRetracted,
    MemoryForgotten,
    MemoryRecalled,
    MemoryReinforced,
    MemoryRestored,
    ModelAnswered,
    RecordDeadLettered,
    SettingsApplied,
    SpaceAccessed,
    SubjectErased,
)
from helamem.schemas.examples import EXAMPLES
from helamem.schemas.topics import (
    ACCESS,
    CHECKPOINTS,
    CONTROL,
    CONVERSATIONS,
    DEAD_LETTERS,
    EFFECTS,
    FACTS,
    HUBS,
    RECALLS,
    TOPICS,
    TopicSpec,
    inlet_of,
)
from helamem.schemas.wire import Envelope, encode

PUBLISHED = Path(__file__).parent / "published"
DOCUMENT_VERSION = "1.0.0"
"""Version of the AsyncAPI document: a new event version raises the minor part."""
_KAFKA_BINDING = "0.5.0"

_KEYED: dict[type[EventData], str] = {
    RecordDeadLettered: "keyed-like-the-record",
    CheckpointSigned: "keyed-by-partition",
    ModelAnswered: "keyed-by-input",
}
"""Events whose key is not their space."""

INLET = inlet_of("{tenant}")
"""Every tenant's inlet."""
Operation = tuple[str, str, TopicSpec, tuple[type[EventData], ...]]
OPERATIONS: tuple[Operation, ...] = (
    ("gateway", "send", CONVERSATIONS, (ConversationMessage,)),
    ("gateway", "send", RECALLS, (MemoryReinforced,)),
    ("tenant", "send", INLET, (ConversationMessage,)),
    ("merge", "receive", INLET, (ConversationMessage,)),
    ("merge", "send", CONVERSATIONS, (ConversationMessage,)),
    ("settings", "send", CONVERSATIONS, (SettingsApplied,)),
    ("settings", "send", RECALLS, (SettingsApplied,)),
    ("encoding", "receive", CONVERSATIONS, (ConversationMessage, SettingsApplied)),
    ("encoding", "receive", FACTS, (KnowledgeDistilled, KnowledgeRetracted)),
    ("encoding", "receive", CONTROL, (MemoryForgotten, MemoryRestored, SubjectErased)),
    ("recall", "send", RECALLS, (MemoryRecalled,)),
    ("coactivation", "receive", RECALLS, (MemoryRecalled, MemoryReinforced, SettingsApplied)),
    ("coactivation", "send", HUBS, (HubFormed,)),
    ("consolidation", "receive", HUBS, (HubFormed,)),
    ("consolidation", "send", FACTS, (KnowledgeDistilled, KnowledgeRetracted)),
    ("forgetting", "send", CONTROL, (MemoryForgotten, MemoryRestored)),
    ("erasure", "send", CONTROL, (SubjectErased,)),
    ("erasure", "send", FACTS, (KnowledgeDistilled, KnowledgeRetracted)),
    ("pump", "send", DEAD_LETTERS, (RecordDeadLettered,)),
    ("redrive", "receive", DEAD_LETTERS, (RecordDeadLettered,)),
    ("archive", "send", CHECKPOINTS, (CheckpointSigned,)),
    ("audit", "receive", CHECKPOINTS, (CheckpointSigned,)),
    ("effects", "send", EFFECTS, (ModelAnswered,)),
    ("effects", "receive", EFFECTS, (ModelAnswered,)),
    ("gateway", "send", ACCESS, (SpaceAccessed, KeyChanged)),
    ("access", "receive", ACCESS, (SpaceAccessed, KeyChanged)),
)
"""Who sends and who receives what."""


def json_schema(data_type: type[EventData]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of one event type: the whole envelope with its data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:helamem:event:{data_type.event_type}",
        **_envelope(data_type, "#/$defs/{name}"),
        "$defs": _components([data_type], "#/$defs/{name}"),
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all topics."""
    data_types = list(EVENT_TYPES.values())
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "helamem events",
            "version": DOCUMENT_VERSION,
            "description": (
                "Every memory an agent platform forms is an event that can be replayed. Events travel as CloudEvents"
                " 1.0 structured JSON; fields that a reader does not know are to be ignored."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {_short(spec): _channel(spec) for spec in (*TOPICS, INLET)},
        "operations": {
            f"{processor}.{action}.{_short(spec)}": _operation((processor, action, spec, events))
            for processor, action, spec, events in OPERATIONS
        },
        "components": {
            "messages": {data_type.event_type: _message(data_type) for data_type in data_types},
            "messageTraits": _message_traits(),
            "schemas": {
                **{
                    data_type.event_type: _envelope(data_type, "#/components/schemas/{name}")
                    for data_type in data_types
                },
                **_components(data_types, "#/components/schemas/{name}"),
            },
        },
    }


def documents() -> dict[str, bytes]:
    """Return every published document by file name."""
    contents = {f"{name}.schema.json": json_schema(data_type) for name, data_type in EVENT_TYPES.items()}
    contents["asyncapi.json"] = asyncapi()
    return {
        name: orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        for name, content in contents.items()
    }


def outdated() -> list[str]:
    """Return the names of the published files that differ from the types, are missing or are left over."""
    wanted = documents()
    found = {path.name: path.read_bytes() for path in PUBLISHED.glob("*.json")}
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Write the documents, or with `--check` only say which are out of date (exit 1)."""
    parser = argparse.ArgumentParser(prog="python -m helamem.schemas.generate", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a document is out of date")
    check = parser.parse_args(arguments).check
    names, wanted = outdated(), documents()
    for name in names:
        if check:
            sys.stdout.write(f"{name} is out of date; run: python -m helamem.schemas.generate\n")
        elif name in wanted:
            PUBLISHED.mkdir(exist_ok=True)
            (PUBLISHED / name).write_bytes(wanted[name])
            sys.stdout.write(f"{name} written\n")
        else:
            (PUBLISHED / name).unlink()
            sys.stdout.write(f"{name} removed\n")
    return int(check and bool(names))


def _envelope(data_type: type[EventData], ref_template: str) -> dict[str, Any]:
    """Return the schema of the envelope round `data_type`."""
    envelope = _components([Envelope], ref_template)["Envelope"]
    properties: dict[str, Any] = envelope["properties"]
    properties["specversion"] = {"const": "1.0", "description": properties["specversion"]["description"]}
    properties["type"] = {"const": data_type.event_type, "description": properties["type"]["description"]}
    properties["data"] = {"$ref": ref_template.format(name=data_type.__name__)}
    return {**envelope, "title": data_type.event_type, "description": inspect.getdoc(data_type)}


def _components(data_types: list[type[Any]], ref_template: str) -> dict[str, Any]:
    """Return the schemas of `data_types` and of all that they contain, by name, with the words of their fields."""
    _, found = msgspec.json.schema_components(data_types, ref_template=ref_template)
    schemas: dict[str, Any] = orjson.loads(orjson.dumps(found))  # own copies, tuples as lists
    structs = _structs(data_types)
    for name, schema in schemas.items():
        for field, words in _field_descriptions(structs[name]).items():
            if "$ref" not in schema["properties"][field]:  # what stands beside a reference is ignored by many readers
                schema["properties"][field]["description"] = words
    return dict(sorted(schemas.items()))


def _structs(data_types: list[type[Any]]) -> dict[str, type[Struct]]:
    """Return these struct types and those in their fields, by name."""
    found: dict[str, type[Struct]] = {}
    waiting: list[Any] = [msgspec.inspect.type_info(data_type) for data_type in data_types]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            found[info.cls.__name__] = info.cls
            waiting += [field.type for field in info.fields]
        elif isinstance(info, msgspec.inspect.UnionType):
            waiting += info.types
        elif isinstance(info, msgspec.inspect.VarTupleType):
            waiting.append(info.item_type)
        elif isinstance(info, msgspec.inspect.DictType):
            waiting.append(info.value_type)
    return found


def _field_descriptions(struct: type[Struct]) -> dict[str, str]:
    """Return the strings that stand below the fields of a struct in its source."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(words.value.value)
        for field, words in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and field.target.id in struct.__struct_fields__
        and isinstance(words, ast.Expr)
        and isinstance(words.value, ast.Constant)
        and isinstance(words.value.value, str)
    }


def _short(spec: TopicSpec) -> str:
    return "inlet" if spec == INLET else spec.base_name.removeprefix("helamem.")


def _channel(spec: TopicSpec) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": spec.name,
        "description": f"Keyed by {spec.key}. Kept {_kept(spec)}, never compacted: an audit needs every record.",
        "messages": {
            data_type.event_type: {"$ref": f"#/components/messages/{data_type.event_type}"} for data_type in spec.events
        },
        "bindings": {
            "kafka": {
                "topic": spec.name,
                "partitions": spec.partitions,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": spec.retention_ms,
                    "retention.bytes": -1,
                    "max.message.bytes": spec.max_record_bytes,
                },
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }
    if spec.transit:
        channel["description"] = f"A tenant's own producers write it. Keyed by {spec.key}. Deleted once it is merged."
        del channel["bindings"]["kafka"]["topic"]  # it is the address with the parameter in it
        channel["parameters"] = {"tenant": {"description": "The tenant, whose spaces alone it takes."}}
    return channel


def _kept(spec: TopicSpec) -> str:
    return "for ever" if spec.retention_ms < 0 else f"{spec.retention_ms // 86_400_000} days"


def _operation(operation: Operation) -> dict[str, Any]:
    processor, action, spec, events = operation
    channel = f"#/channels/{_short(spec)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "tags": [{"name": processor}],
        "messages": [{"$ref": f"{channel}/messages/{data_type.event_type}"} for data_type in events],
    }


def _message(data_type: type[EventData]) -> dict[str, Any]:
    keyed = _KEYED.get(data_type, "keyed-by-space")
    return {
        "name": data_type.event_type,
        "title": data_type.__name__,
        "summary": (inspect.getdoc(data_type) or "").partition("\n")[0],
        "traits": [{"$ref": f"#/components/messageTraits/{trait}"} for trait in ("cloud-event", keyed)],
        "payload": {"$ref": f"#/components/schemas/{data_type.event_type}"},
        "examples": [
            {"name": data_type.event_type, "payload": orjson.loads(encode(example))}
            for example in EXAMPLES
            if type(example.data) is data_type
        ],
    }


def _message_traits() -> dict[str, Any]:
    space = _components([Envelope], "")["Envelope"]["properties"]["subject"]
    record_key = {"type": "string", "description": "The key of the record that was put aside, whatever its bytes."}
    partition_key = {"type": "string", "description": "Topic and partition that the event is about, `topic/partition`."}
    input_key = {"type": "string", "description": "SHA-256 of the input in UTF-8, lower-case hexadecimal."}
    return {
        "cloud-event": {
            "contentType": "application/cloudevents+json",
            "externalDocs": {
                "description": "CloudEvents 1.0, structured mode, JSON",
                "url": "https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md",
            },
        },
        "keyed-by-space": {"bindings": {"kafka": {"key": space, "bindingVersion": _KAFKA_BINDING}}},
        "keyed-like-the-record": {"bindings": {"kafka": {"key": record_key, "bindingVersion": _KAFKA_BINDING}}},
        "keyed-by-input": {"bindings": {"kafka": {"key": input_key, "bindingVersion": _KAFKA_BINDING}}},
        "keyed-by-partition": {"bindings": {"kafka": {"key": partition_key, "bindingVersion": _KAFKA_BINDING}}},
    }


if __name__ == "__main__":
    sys.exit(main())
