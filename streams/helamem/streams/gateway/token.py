"""`Token`: what a bearer token opens."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec import Struct

from helamem.streams.gateway.rights import Right


class Token(Struct, frozen=True, kw_only=True):
    """What a token opens; what `ApiKey` is for a key."""

    id: str
    tenant: str
    spaces: tuple[str, ...]
    rights: tuple[Right, ...]
    until_s: float
    """Seconds since 1970 at which it expires, leeway included."""

    def covers(self, space: str) -> bool:
        """Return whether a space is one of the token's."""
        tenant, _, name = space.partition("/")
        return tenant == self.tenant and any(fnmatchcase(name, pattern) for pattern in self.spaces)
