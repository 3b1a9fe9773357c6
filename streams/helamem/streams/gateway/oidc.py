"""Bearer tokens of an OpenID Connect issuer: whether one counts, for whom, and what it opens."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jwt

from helamem.schemas.complaints import surrogate_field
from helamem.schemas.times import format_ms
from helamem.streams.gateway.keys import is_pattern, is_tenant
from helamem.streams.gateway.oidc_keys import IssuerKeys
from helamem.streams.gateway.oidc_settings import OidcSettings
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.rights import RIGHTS
from helamem.streams.gateway.token import Token

_LONGEST_NAME = 250
"""Of whom a token is for: it goes into records of access."""
_REQUIRED = ["exp", "iss", "aud", "sub"]


class Oidc:
    """Checks tokens of one issuer.

    Args:
        settings: Whose tokens count, and what their claims mean.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The settings would let tokens count that anybody can make, or contradict each other.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.time) -> None:
        settings.check()
        self._settings = settings
        self._keys = IssuerKeys(settings)
        self._clock = clock

    async def token(self, text: str) -> Token:
        """Return what a token opens.

        Raises:
            Problem: It does not count (401).
            RetryLater: The issuer is away, so that nobody can say.
            ConfigurationError: The issuer is another one than configured.
        """
        asked = self._settings
        try:
            header = jwt.get_unverified_header(text)
        except jwt.InvalidTokenError:
            raise _refused("it is no JSON Web Token") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in asked.algorithms:
            raise _refused(f"it is signed by another algorithm than {', '.join(asked.algorithms)}")
        key = await self._keys.find(key_id if isinstance(key_id, str) else None, algorithm)
        if key is None:
            raise _refused(f"it is signed by a key that {asked.issuer} does not publish")
        try:
            claims = jwt.decode(
                text,
                key,
                algorithms=[algorithm],
                audience=asked.audience,
                issuer=asked.issuer,
                leeway=asked.leeway_s,
                options={"require": _REQUIRED, "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise _refused(_WHY.get(type(error), "it cannot be verified")) from None
        return self._opening(claims)

    def _opening(self, claims: dict[str, Any]) -> Token:
        asked, now_s = self._settings, self._clock()
        until_s = _seconds(claims, "exp") + asked.leeway_s
        if now_s >= until_s:
            raise _refused(f"it expired at {format_ms(int(_seconds(claims, 'exp') * 1000))}")
        for name in ("nbf", "iat"):
            if name in claims and now_s < _seconds(claims, name) - asked.leeway_s:
                raise _refused("it is not valid yet; the clocks of its issuer and of this machine may differ")
        subject, tenant = claims["sub"], claim(claims, asked.tenant_claim)
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_NAME:
            raise _refused(f"its claim `sub` is no name of at most {_LONGEST_NAME} characters")
        if surrogate_field(subject) is not None:
            raise _refused("its claim `sub` holds half of a surrogate pair, so that nobody could record it")
        if not isinstance(tenant, str) or not is_tenant(tenant):
            raise _refused(f"its claim `{asked.tenant_claim}` names no tenant")
        spaces = ("*",) if asked.spaces_claim is None else words(claim(claims, asked.spaces_claim))
        granted = words(claim(claims, asked.rights_claim))
        return Token(
            id=f"token:{subject}",
            tenant=tenant,
            spaces=tuple(pattern for pattern in spaces if is_pattern(pattern)),
            rights=tuple(right for right in RIGHTS if f"{asked.rights_prefix}{right}" in granted),
            until_s=until_s,
        )


_WHY: dict[type[Exception], str] = {
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is of another issuer",
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: f"it lacks one of the claims {', '.join(_REQUIRED)}",
}


def claim(claims: dict[str, Any], name: str) -> Any:
    """Return a claim by its name, or by a path of names with dots between; None where there is none."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    return found


def words(value: Any) -> tuple[str, ...]:
    """Return the words of a claim: a list of them, or a text with blanks between."""
    if isinstance(value, str):
        return tuple(value.split())
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _seconds(claims: dict[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e11:
        raise _refused(f"its claim `{name}` is no time")
    return float(value)


def _refused(why: str) -> Problem:
    return Problem(
        401,
        "unauthorized",
        f"the token shown does not count, since {why}; get another one from its issuer",
        headers={"WWW-Authenticate": 'Bearer realm="helamem", error="invalid_token"'},
    )
