"""`IssuerKeys`: the public keys of an issuer, fetched when they are needed and kept for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import msgspec

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.gateway.oidc_settings import OidcSettings, check_address

FRESH_S = 300.0
"""So long keys are used without asking again: one that its issuer withdraws counts no longer."""
STALE_S = 3600.0
"""So long they are used while the issuer is away."""
PAUSE_S = 10.0
"""Between two questions, so that made-up ids of keys do not become as many."""
_TIMEOUT_S = 5.0
"""For all of one question."""
_MOST_BYTES = 2**20
_log = logging.getLogger(__name__)


class IssuerKeys:
    """Finds keys by their ids.

    Args:
        settings: Name the issuer.
        clock: Seconds, from any beginning.
    """

    def __init__(self, settings: OidcSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: list[dict[str, Any]] = []
        self._fetched_s: float | None = None
        self._asked_s: float | None = None
        self._away: RetryLater | None = None
        self._in_turn = asyncio.Lock()
        self._beside: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None, algorithm: str) -> Any:
        """Return a key that checks signatures of an algorithm, or None where the issuer has none.

        Args:
            key_id: As the token names it; None takes the only key that fits.
            algorithm: One that is allowed.

        Raises:
            RetryLater: The issuer is away.
            ConfigurationError: It is another one than configured.
        """
        found = self._of(key_id, algorithm)
        if found is not None and self._age_s() < FRESH_S:
            return found
        if found is not None and self._age_s() < STALE_S and self._away is not None:
            # It was away when last asked: nobody with a key that counts waits until it is known whether it still is.
            if self._beside is None or self._beside.done():
                self._beside = asyncio.create_task(self._renew_beside())
            return found
        async with self._in_turn:
            if self._age_s() >= FRESH_S or self._of(key_id, algorithm) is None:
                await self._renew()
        if self._age_s() >= STALE_S:
            raise self._away or RetryLater(f"the keys of {self._settings.issuer} are not known yet; try again")
        found = self._of(key_id, algorithm)
        if found is None and self._away is not None:  # it may have this key by now
            raise self._away
        return found

    def _age_s(self) -> float:
        return float("inf") if self._fetched_s is None else self._clock() - self._fetched_s

    def _of(self, key_id: str | None, algorithm: str) -> Any:
        fitting = [
            key for one in self._keys if key_id in (None, one.get("kid")) and (key := _key(one, algorithm)) is not None
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None

    async def _renew_beside(self) -> None:
        async with self._in_turn:
            try:
                await self._renew()
            except ConfigurationError as error:  # whoever needs new keys is told
                _log.warning("tokens cannot be checked: %s", error)

    async def _renew(self) -> None:
        """Ask the issuer, where that was not done just now."""
        if self._asked_s is not None and self._clock() - self._asked_s < PAUSE_S:
            return
        self._asked_s = self._clock()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                keys = await self._fetch()
        except TimeoutError:
            self._note_away(f"no answer within {_TIMEOUT_S:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError, ValueError) as error:
            self._note_away(str(error) or type(error).__name__)
        else:
            self._keys, self._fetched_s, self._away = keys, self._clock(), None

    def _note_away(self, why: str) -> None:
        self._away = RetryLater(f"the keys of {self._settings.issuer} cannot be fetched ({why}); try again later")
        _log.warning("tokens cannot be checked: %s", self._away)

    async def _fetch(self) -> list[dict[str, Any]]:
        issuer = self._settings.issuer
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            address = self._settings.jwks_url
            if address is None:
                told = await _json(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if told.get("issuer") != issuer:
                    raise ConfigurationError(
                        f"what answers at {issuer} calls itself {told.get('issuer')}; mend HELAMEM_OIDC_ISSUER"
                    )
                address = str(told.get("jwks_uri"))
                check_address(f"the jwks_uri of {issuer}", address)
            told = await _json(client, address)
        return msgspec.convert(told.get("keys"), list[dict[str, Any]])


async def _json(client: httpx.AsyncClient, address: str) -> dict[str, Any]:
    body = bytearray()
    async with client.stream("GET", address) as answer:
        answer.raise_for_status()
        async for part in answer.aiter_bytes():
            body += part
            if len(body) > _MOST_BYTES:
                raise ValueError(f"{address} answers more than {_MOST_BYTES:,} bytes")
    return msgspec.json.decode(body, type=dict[str, Any])


def _key(one: dict[str, Any], algorithm: str) -> Any:
    """Return the key that a JSON Web Key is, or None where it does not check signatures of this algorithm."""
    if one.get("use", "sig") != "sig" or one.get("alg", algorithm) != algorithm or "d" in one:
        return None
    try:
        return jwt.PyJWK(one, algorithm).key
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):  # whatever an issuer publishes besides
        return None
