"""`Accessed`: what a request looks at or changes, as it is recorded."""

from __future__ import annotations

import re

from msgspec import UNSET, Struct
from starlette.requests import Request

from helamem.schemas.errors import BadInput, HelamemError, RetryLater
from helamem.schemas.events import SpaceAccessed
from helamem.streams.access.records import OF_ALL
from helamem.streams.access.trail import AccessTrail
from helamem.streams.gateway.callers import Caller
from helamem.streams.gateway.problems import Problem, away, problem_of
from helamem.streams.gateway.rights import is_recorded

SCOPE = "helamem.accessed"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_REFUSED, _FAILED = 400, 500


class Accessed(Struct, kw_only=True):
    """One request at an endpoint that takes a key."""

    endpoint: str
    """Method and path template."""
    spaces: tuple[str, ...]
    """Of which it is recorded; empty where it shows nothing, or is an event of its own."""
    item: str | None
    """The memory or the fact that its path names."""
    changes: bool
    """Whether it changes something: then it is in the log before it is answered."""

    @classmethod
    def of(cls, request: Request, path: str) -> Accessed:
        """Return what a request at a path template is taken for before its endpoint says more."""
        named = request.path_params
        space = f"{named['tenant']}/{named['name']}" if "tenant" in named else OF_ALL
        item = str(named.get("memory_id", named.get("id", "")))
        return cls(
            endpoint=f"{request.method} {path}",
            spaces=(space,),
            item=item if _UUID.fullmatch(item) else None,
            changes=request.method != "GET",
        )

    def let_in(self, path: str) -> None:
        """Leave out what is not recorded once its caller is let in; who is refused always is."""
        method = self.endpoint.partition(" ")[0]
        if not is_recorded(method, path):
            self.spaces = ()

    def check_room(self, trail: AccessTrail) -> None:
        """Refuse what could not be recorded; that it was refused is not recorded either.

        Raises:
            RetryLater: Too much waits for the log already.
        """
        try:
            trail.check_room()
        except RetryLater:
            self.spaces = ()
            raise

    async def record(self, trail: AccessTrail, caller: Caller, status: int) -> Problem | None:
        """Note what a request came to, and wait until it is in the log where it changed something.

        Returns:
            What is to be answered instead, since it could not be recorded; or None.
        """
        if caller.name is None or (status >= _FAILED and not self.changes):
            return None
        try:
            for space in self.spaces:
                accessed = SpaceAccessed(
                    caller=caller.name, endpoint=self.endpoint, status=status, item=self.item or UNSET
                )
                trail.note(space, accessed)
        except BadInput:  # there can be no such space
            return None
        if not self.changes or not self.spaces or _REFUSED <= status < _FAILED:
            return None
        try:
            await trail.flush_surely()
        except HelamemError as error:
            problem = problem_of(error)
            detail = f"it is done, but who did it could not be recorded yet: {problem.detail}; send it again"
            return away(detail) if problem.status == away("").status else Problem(_FAILED, "failed", detail)
        return None


def accessed_of(request: Request) -> Accessed:
    """Return what is recorded of a request; its endpoint may say more."""
    accessed = request.scope[SCOPE]
    assert isinstance(accessed, Accessed)
    return accessed
