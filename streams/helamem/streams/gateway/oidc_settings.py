"""Whose bearer tokens count, and what their claims mean."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from msgspec import Struct

from helamem.schemas.errors import ConfigurationError

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Those whose keys may be public: with others, whoever can check a token could make one."""
_LOOPBACK = re.compile(r"localhost|127\.0\.0\.1|::1")


class OidcSettings(Struct, frozen=True, kw_only=True):
    """How tokens of one issuer are read; see the settings `oidc_…` of the configuration."""

    issuer: str
    audience: str
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    leeway_s: float = 30.0
    tenant_claim: str = "tenant"
    spaces_claim: str | None = None
    rights_claim: str = "scope"
    rights_prefix: str = "helamem:"

    def check(self) -> None:
        """Look whether tokens can be trusted that are read so.

        Raises:
            ConfigurationError: They cannot.
        """
        if unknown := [name for name in self.algorithms if name not in ALGORITHMS]:
            raise ConfigurationError(
                f"tokens signed by {unknown[0]!r} cannot be trusted; HELAMEM_OIDC_ALGORITHMS takes "
                f"{', '.join(ALGORITHMS)}"
            )
        if not self.algorithms:
            raise ConfigurationError("HELAMEM_OIDC_ALGORITHMS is empty, so that no token would count; name some")
        for name, address in (("HELAMEM_OIDC_ISSUER", self.issuer), ("HELAMEM_OIDC_JWKS_URL", self.jwks_url)):
            if address is not None:
                check_address(name, address)


def check_address(name: str, address: str) -> None:
    """Look whether what is fetched from an address comes from there; on this machine it does without TLS too.

    Raises:
        ConfigurationError: It may not; says what named it.
    """
    if not _is_protected(address):
        raise ConfigurationError(
            f"{name} is {address}, where keys could be exchanged on their way; name an address that begins with https://"
        )


def _is_protected(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and _LOOPBACK.fullmatch(parts.hostname or "") is not None)
