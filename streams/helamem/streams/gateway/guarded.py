"""`GuardedRoute`: a route that asks the one table what its caller needs, before anything of the body is read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from helamem.streams.gateway.accessed import SCOPE, Accessed
from helamem.streams.gateway.callers import caller_of
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.rights import NEEDED
from helamem.streams.gateway.service import service_of

ROUTE = "helamem.route"
"""Where in the scope a route leaves its path template."""


class GuardedRoute(APIRoute):
    """Refuses whoever lacks one of its rights, or has no business in the space that its path names."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers; a route that is not in the table is not made."""
        answer = super().get_route_handler()
        method = "".join(self.methods or ())
        path, rights, takes_json = self.path, NEEDED[method, self.path], self.body_field is not None
        parameters = sorted(one.alias for one in self.dependant.query_params)

        async def guarded(request: Request) -> Response:
            request.scope[ROUTE] = path
            if rights:
                caller = caller_of(request)
                accessed = request.scope[SCOPE] = Accessed.of(request, path)
                caller.check(rights)
                if "tenant" in request.path_params:
                    caller.check_space(f"{request.path_params['tenant']}/{request.path_params['name']}")
                accessed.let_in(path)
                if accessed.spaces and caller.name is not None:
                    accessed.check_room(service_of(request).trail)
                _check_parameters(request, parameters)
            if takes_json and not _is_json(request.headers.get("content-type", "")):
                raise Problem(
                    415, "not-json", "the body must be application/json; set the header Content-Type to what it is"
                )
            return await answer(request)

        return guarded


def _check_parameters(request: Request, known: Sequence[str]) -> None:
    """Refuse what nobody heeds: the answer would be taken for one to another question.

    Raises:
        RequestValidationError: Something in the query is no parameter.
    """
    there = f"there is no such parameter; there are {', '.join(known)}" if known else "there are no parameters"
    wrong = [name for name in request.query_params if name not in known]
    if wrong:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": there} for name in wrong]
        )


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
