"""A lineage as PROV-JSON, the W3C's form for where things come from (PROV-DM, https://www.w3.org/submissions/prov-json).

| here | there |
|---|---|
| message, memory, edge, hub, fact | entity |
| recall, reinforcement, co-activation, distillation | activity |
| speaker, distiller | agent |
| what a thing came from | wasDerivedFrom |
| a recall that strengthened an edge, with its contribution | wasInfluencedBy |
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from helamem.streams.lineage.node import Kind, Lineage, Node, walk

NAMESPACE = "urn:helamem:"
_Document = dict[str, dict[str, Any]]
_EVENTS: frozenset[Kind] = frozenset({"recalled", "reinforced", "retracted", "forgotten", "restored", "erased"})


def prov(lineage: Lineage) -> _Document:
    """Return the PROV-JSON document of a lineage."""
    document: _Document = {
        "prefix": {
            "helamem": NAMESPACE,
            "prov": "http://www.w3.org/ns/prov#",
            "xsd": "http://www.w3.org/2001/XMLSchema#",
        }
    }
    for parent, node in walk(lineage.node):
        if node.kind == "pair":
            continue
        _declare(document, node, lineage.space)
        if parent is not None and parent.kind != "pair":
            _relate(document, parent, node)
    return document


def _declare(document: _Document, node: Node, space: str) -> None:
    name, details = _name(node.kind, node.id), node.details
    if node.kind in _EVENTS:
        _put(
            document,
            "activity",
            name,
            {
                "prov:startTime": details["time"],
                "prov:endTime": details["time"],
                "prov:type": _type(node.kind),
                "helamem:space": space,
                **({"helamem:cue": details["cue"]} if "cue" in details else {}),
                **_record(details),
            },
        )
        return
    said = {f"helamem:{key}": details[key] for key in ("text", "weight_units", "content_hash") if key in details}
    entity = {"prov:type": _type(node.kind), "helamem:space": space, **said, **_record(details)}
    _put(document, "entity", name, entity)
    if node.kind == "message":
        _agent(document, name, details["speaker"], "prov:Person" if details["role"] == "user" else "prov:SoftwareAgent")
    elif node.kind == "hub":
        _made(document, name, "co-activation", details["time"])
    elif node.kind == "fact":
        _made(document, name, "distillation", details["time"])
        _agent(document, name, details["distiller"], "prov:SoftwareAgent")


def _relate(document: _Document, parent: Node, node: Node) -> None:
    """Say how a thing follows from what stands below it."""
    whole, part = _name(parent.kind, parent.id), _name(node.kind, node.id)
    key = f"_:{quote(whole, safe='')}-{quote(part, safe='')}"
    if node.kind in _EVENTS:
        relation: dict[str, Any] = {"prov:influencee": whole, "prov:influencer": part}
        for name in ("gain_units", "contribution_units"):
            if name in node.details:
                relation[f"helamem:{name}"] = node.details[name]
        _put(document, "wasInfluencedBy", key, relation)
    elif parent.kind == "memory" and node.kind in ("edge", "temporal-edge"):
        _put(document, "wasInfluencedBy", key, {"prov:influencee": whole, "prov:influencer": part})
    else:
        _put(document, "wasDerivedFrom", key, {"prov:generatedEntity": whole, "prov:usedEntity": part})


def _made(document: _Document, entity: str, what: str, time: str) -> None:
    activity = f"{entity}/{what}"
    _put(document, "activity", activity, {"prov:startTime": time, "prov:endTime": time, "prov:type": _type(what)})
    key = f"_:{quote(activity, safe='')}"
    _put(document, "wasGeneratedBy", key, {"prov:entity": entity, "prov:activity": activity, "prov:time": time})


def _agent(document: _Document, entity: str, who: str, kind: str) -> None:
    agent = f"helamem:agent/{quote(who, safe='')}"
    _put(document, "agent", agent, {"prov:type": {"$": kind, "type": "prov:QUALIFIED_NAME"}, "prov:label": who})
    key = f"_:{quote(entity, safe='')}-{quote(agent, safe='')}"
    _put(document, "wasAttributedTo", key, {"prov:entity": entity, "prov:agent": agent})


def _record(details: dict[str, Any]) -> dict[str, Any]:
    record = details.get("record")
    if record is None:
        return {}
    return {
        "helamem:record": f"{record['topic']}/{record['partition']}@{record['offset']}",
        "helamem:sha256": record["sha256"],
    }


def _name(kind: str, id_: str) -> str:
    return f"helamem:{kind}/{quote(id_, safe='')}"


def _type(kind: str) -> dict[str, str]:
    return {"$": f"helamem:{kind}", "type": "prov:QUALIFIED_NAME"}


def _put(document: _Document, section: str, name: str, what: dict[str, Any]) -> None:
    document.setdefault(section, {}).setdefault(name, what)
