"""What the fields of requests and answers are made of."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from helamem.schemas.errors import BadInput
from helamem.schemas.events import MAX_TEXT
from helamem.schemas.times import parse_time

TENANT = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
NAME = "[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}"
_MOST_FIELDS = 32
"""That an object of a request may have: more than any takes, and so few that telling what is wrong stays cheap."""
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


def strict(example: dict[str, Any]) -> ConfigDict:
    """Return the configuration of a request: an unknown field is a mistake, and no value is made of another kind."""
    return ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra={"examples": [example]})


class Asked(BaseModel):
    """What objects of requests share."""

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, value: Any) -> Any:
        """Refuse a heap of unknown fields as one mistake; each by itself would hold up everybody for seconds."""
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError(f"has {len(value):,} fields; /openapi.json says which there are")
        return value


def _time_ms(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("a time is written like 2025-03-01T09:00:00Z")  # noqa: TRY004 - pydantic asks for it
    try:
        return parse_time(value)
    except BadInput as error:
        raise ValueError(str(error)) from None


Time = Annotated[
    int,
    BeforeValidator(_time_ms),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": "^(19[7-9][0-9]|[2-9][0-9]{3})-",
            "examples": ["2025-03-01T09:00:00Z"],
        }
    ),
]
"""A time of a request: RFC 3339 with a zone, from 1970 to 9999; milliseconds since 1970 inside."""
Said = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Uuid = Annotated[str, Field(pattern=_UUID, max_length=36)]
Space = Annotated[str, Field(pattern=f"^{TENANT}/{NAME}$", max_length=193, examples=["acme/mira"])]
TenantPath = Annotated[
    str,
    Path(
        pattern=f"^{TENANT}$",
        max_length=64,
        description="The part of the space's name before the slash.",
        examples=["acme"],
    ),
]
NamePath = Annotated[
    str,
    Path(
        pattern=f"^{NAME}$",
        max_length=128,
        description="The part of the space's name behind the slash.",
        examples=["mira"],
    ),
]
UuidPath = Annotated[str, Path(pattern=_UUID, max_length=36, description="Id of a fact or of a memory.")]
MemoryIdQuery = Annotated[str | None, Query(pattern=_UUID, max_length=36, description="Id of another memory.")]
MemoryIdPath = Annotated[str, Path(pattern=_UUID, max_length=36, description="The memory's id.")]
LimitQuery = Annotated[int, Query(ge=1, le=1000, description="Most items of this page.")]
CursorQuery = Annotated[
    str | None,
    Query(min_length=1, max_length=2000, description="`next` of the page before; left out, the list begins."),
]
AsOfQuery = Annotated[Time | None, Query(description="As of this time; left out, now.")]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same again has the same effect once: retries are safe."),
]
