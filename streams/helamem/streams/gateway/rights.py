"""Who may do what: the one table of what each endpoint needs."""

from __future__ import annotations

from typing import Literal, get_args

Right = Literal["append", "recall", "audit", "erase", "admin"]
RIGHTS: tuple[Right, ...] = get_args(Right)

_SPACE = "/v1/spaces/{tenant}/{name}"

NEEDED: dict[tuple[str, str], tuple[Right, ...]] = {
    ("GET", "/"): (),
    ("GET", "/console/{asset:path}"): (),
    ("GET", "/live"): (),
    ("GET", "/ready"): (),
    ("GET", "/openapi.json"): (),
    ("GET", "/metrics"): ("admin",),
    ("POST", "/v1/owner/call"): ("admin",),
    ("GET", "/v1/dead-letters"): ("admin",),
    ("GET", "/v1/dead-letters/{letter_id}"): ("admin",),
    ("POST", "/v1/dead-letters/redrive"): ("admin",),
    ("POST", "/v1/dead-letters/{letter_id}/redrive"): ("admin",),
    ("POST", "/v1/messages/stream"): ("append",),
    ("POST", "/v1/recall"): ("recall",),
    ("GET", "/v1/spaces"): ("recall",),
    ("GET", _SPACE): ("recall",),
    ("POST", f"{_SPACE}/messages"): ("append",),
    ("POST", f"{_SPACE}/messages/batch"): ("append",),
    ("POST", f"{_SPACE}/recall"): ("recall",),
    ("POST", f"{_SPACE}/reinforce"): ("recall",),
    ("POST", f"{_SPACE}/forget"): ("append", "recall"),
    ("POST", f"{_SPACE}/restore"): ("append", "recall"),
    ("GET", f"{_SPACE}/facts"): ("recall",),
    ("GET", f"{_SPACE}/profile"): ("recall",),
    ("GET", f"{_SPACE}/memories"): ("recall",),
    ("GET", f"{_SPACE}/memories/{{memory_id}}"): ("recall",),
    ("GET", f"{_SPACE}/memories/{{memory_id}}/neighbours"): ("recall",),
    ("GET", f"{_SPACE}/why/{{id}}"): ("audit",),
    ("GET", f"{_SPACE}/trace/{{event_id}}"): ("audit",),
    ("GET", f"{_SPACE}/diff"): ("audit",),
    ("GET", f"{_SPACE}/history"): ("audit",),
    ("GET", f"{_SPACE}/events"): ("audit",),
    ("POST", f"{_SPACE}/erase"): ("erase",),
}
"""By method and path template: the rights that a key needs for it, all of them; none asks for no key."""

_UNRECORDED = frozenset(
    {
        ("GET", "/metrics"),
        ("POST", "/v1/owner/call"),
        ("GET", "/v1/dead-letters"),
        ("POST", "/v1/messages/stream"),
        ("POST", "/v1/recall"),
        ("GET", "/v1/spaces"),
        ("GET", _SPACE),
        ("POST", f"{_SPACE}/messages"),
        ("POST", f"{_SPACE}/messages/batch"),
        ("POST", f"{_SPACE}/recall"),
        ("POST", f"{_SPACE}/reinforce"),
    }
)


def is_recorded(method: str, path: str) -> bool:
    """Return whether it is recorded who was answered: not what is an event itself, nor what shows nobody's words.

    The owner's own calls are not: who has the files needs no gateway to read them.
    """
    return bool(NEEDED[method, path]) and (method, path) not in _UNRECORDED
