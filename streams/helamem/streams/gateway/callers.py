"""Who asks, and what they may."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from starlette.requests import Request

from helamem.streams.gateway.keys import ApiKey, command
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.rights import Right
from helamem.streams.gateway.token import Token

SCOPE = "helamem.caller"


class Caller(Struct, frozen=True, kw_only=True):
    """Somebody who asks."""

    key: ApiKey | Token | None
    """None is the owner of the home, or anybody where no keys are asked for: they may do everything."""
    owner: bool = False
    """Whether they have shown the token that stands in the home."""
    shared: bool = False
    """Whether their key is one of the gateways of a fleet."""
    name: str | None = None
    """Who it is in records of access; None where nobody is told from others, since there are no keys."""

    def has(self, rights: Sequence[Right]) -> bool:
        """Return whether they have all of these rights."""
        return self.key is None or all(right in self.key.rights for right in rights)

    def check(self, rights: Sequence[Right]) -> None:
        """Refuse whoever lacks one of these rights.

        Raises:
            Problem: Of status 403.
        """
        if self.key is None or self.has(rights):
            return
        needed = f"the right {rights[0]}" if len(rights) == 1 else f"the rights {' and '.join(rights)}"
        has = ", ".join(self.key.rights) or "none"
        if isinstance(self.key, Token):
            raise Problem(
                403, "forbidden", f"this needs {needed}, and the token shown has {has}; its issuer grants them"
            )
        add = f"{command('add', shared=self.shared)} --tenant {self.key.tenant} --rights {','.join(rights)}"
        raise Problem(
            403,
            "forbidden",
            f"this needs a key with {needed}, and the one shown has {has}; make one with: {add}",
        )

    def check_space(self, space: str) -> None:
        """Refuse whoever has no business in a space, whether there is one or not.

        Raises:
            Problem: Of status 403.
        """
        if not self.covers(space):
            raise Problem(403, "forbidden", f"the key shown is not for {space}; show one that is")

    def covers(self, space: str) -> bool:
        """Return whether a space is theirs."""
        return self.key is None or self.key.covers(space)


def caller_of(request: Request) -> Caller:
    """Return who asks; the door has looked."""
    caller = request.scope[SCOPE]
    assert isinstance(caller, Caller)
    return caller
