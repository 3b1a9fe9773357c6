"""What is answered where something is wrong: problem+json (RFC 9457), with one sentence that says what to do."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from helamem.schemas.errors import BadInput, ConfigurationError, Conflict, HelamemError, NotFound, RetryLater
from helamem.streams.log.port import TakesNoRecordsError
from helamem.streams.log.writer_lock import InUseError

MEDIA_TYPE = "application/problem+json"
SCOPE = "helamem.problem"
"""Where in the scope the kind of what was answered stands, where that is a problem."""
MOST_HEADERS = 100
"""Of one request."""
MOST_HEAD_BYTES = 64 * 2**10
"""Of a request's line and headers together."""
RETRY_S = 1
"""After how long to try again what is away."""
_MOST_TOLD = 100
"""Wrong fields that an answer tells."""
_LONGEST_NAME = 200
"""Of a field that an answer tells; the name may be any that was sent."""
_TYPE = "urn:helamem:problem:"
_log = logging.getLogger(__name__)


class Problem(Exception):  # noqa: N818 - it is called so by its standard
    """Why a request is not answered.

    Args:
        status: Of HTTP.
        kind: Last part of the problem's type; says what is wrong to a program.
        detail: One sentence for a person: what is wrong, and what to do.
        headers: Further headers of the answer.
        fields: What is wrong with which fields of the request.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        fields: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.fields = list(fields)

    def answer(self, scope: Scope) -> Response:
        """Return the answer to a request, and leave in its scope what kind of problem it is."""
        scope[SCOPE] = self.kind
        return self.response()

    def response(self) -> Response:
        """Return the answer."""
        body: dict[str, Any] = {
            "type": _TYPE + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": _writable(self.detail),
        }
        if self.fields:
            body["errors"] = self.fields
        return Response(orjson.dumps(body), self.status, self.headers, MEDIA_TYPE)


def problem_of(error: HelamemError) -> Problem:
    """Return what an error of ours is to whoever asked."""
    match error:
        case NotFound():
            return Problem(404, "not-found", str(error))
        case Conflict():
            return Problem(409, "conflict", str(error))
        case BadInput():
            return Problem(400, "bad-input", str(error))
        case RetryLater() | InUseError() | TakesNoRecordsError():
            return away(str(error))
        case ConfigurationError():
            return Problem(500, "configuration", str(error))
        case _:
            return Problem(500, "failed", str(error))


def away(detail: str, after_s: float = RETRY_S) -> Problem:
    """Return the problem of something that is away and comes back."""
    return Problem(503, "retry-later", detail, headers={"Retry-After": str(max(1, math.ceil(after_s)))})


def too_many_headers() -> Problem:
    """Return the problem of a request whose headers are too many or too large."""
    return Problem(
        431,
        "headers-too-large",
        f"a request has at most {MOST_HEADERS} headers, and {MOST_HEAD_BYTES:,} bytes with its first line; send fewer",
    )


def failed(error: BaseException) -> Problem:
    """Log what nobody foresaw and return what is said of it: nothing of what it says, which may quote anything."""
    _log.error("a request failed", exc_info=(type(error), error, error.__traceback__))
    return _unforeseen()


def install(app: FastAPI) -> None:
    """Have an application answer problems."""
    app.add_exception_handler(Problem, _of_problem)
    app.add_exception_handler(HelamemError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _of_others)


async def _of_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.answer(request.scope)


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, HelamemError)
    return problem_of(error).answer(request.scope)


async def _of_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    fields = [
        {"field": "body", "reason": f"Is no JSON from character {one['loc'][-1]} on"}
        if one["type"] == "json_invalid"
        else {"field": _path(one["loc"]), "reason": one["msg"].removeprefix("Value error, ")}
        for one in error.errors()[:_MOST_TOLD]
    ]
    first = fields[0]
    return Problem(
        422, "invalid", f"{first['field']}: {first['reason']}; mend the request and send it again", fields=fields
    ).answer(request.scope)


async def _of_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):  # raised where the body was read
        return error.__cause__.answer(request.scope)
    kind, detail = "bad-request", f"{error.detail}; see /openapi.json"
    if error.status_code == HTTPStatus.NOT_FOUND:
        kind, detail = "not-found", f"there is no {request.url.path}; /openapi.json lists all that there is"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        kind = "method-not-allowed"
        detail = f"{request.url.path} does not take {request.method}; /openapi.json says what it takes"
    return Problem(error.status_code, kind, detail, headers=error.headers).answer(request.scope)


async def _of_others(request: Request, _: Exception) -> Response:
    """Answer; the error goes on to the door, which logs it."""
    return _unforeseen().answer(request.scope)


def _unforeseen() -> Problem:
    return Problem(500, "failed", "something in helamem went wrong; its log says what, please report it")


def _path(loc: Sequence[int | str]) -> str:
    """Return where in a request something is: `body.messages.0.text`, `query.limit`."""
    return _writable(".".join(map(str, loc))[:_LONGEST_NAME])


def _writable(text: str) -> str:
    """Return a text without halves of surrogate pairs, which a request may name and UTF-8 cannot write."""
    return text.encode("utf-8", "replace").decode()
