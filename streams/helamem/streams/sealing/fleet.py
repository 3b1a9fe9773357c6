"""Sealing in a fleet: whose words, and with which keys, by the configuration that all its processes share."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from msgspec import UNSET

from helamem.processors.encoding.unsealing import Claimed, Erased, MissingKeyError, NoKeys, Unsealer
from helamem.schemas.errors import BadInput, ConfigurationError, Poison, RetryLater
from helamem.schemas.events import SealingKey, Wordy
from helamem.schemas.wire import Event
from helamem.streams.config import Config
from helamem.streams.log.port import Log
from helamem.streams.sealing.tenants import TENANT, check_distiller, check_embedder

if TYPE_CHECKING:  # it imports cryptography
    from helamem.streams.sealing.keys import KeyFiles
    from helamem.streams.sealing.seal import Sealer

T = TypeVar("T")

KEY_WAIT_S = 10.0
"""How long a record waits for a key that is not there yet: a shared disk may show a file late on another machine."""


class Sealing:
    """What a process of the fleet seals and opens with; made by `fleet_sealing`.

    Attributes:
        tenants: Whose words are sealed.
        keys: What seals and opens them, or None where there are no keys.
    """

    def __init__(self, tenants: Collection[str], keys: KeyFiles | None) -> None:
        self.tenants = tuple(sorted(tenants))
        self.keys = keys
        self._sealer: Sealer | None = None
        if keys is not None and self.tenants:
            from helamem.streams.sealing.seal import Sealer  # noqa: PLC0415 - it imports cryptography

            self._sealer = Sealer(keys, self.tenants)

    def sealing(self, log: Log) -> Log:
        """Return a log that seals what is appended; what is sealed already stays as it is."""
        if self._sealer is None:
            return log
        from helamem.streams.sealing.log import SealingLog  # noqa: PLC0415 - it imports cryptography

        return SealingLog(log, self._sealer)

    def seal(self, event: Event) -> Event:
        """Return an event as the log will have it; sealed already it stays as it is."""
        return event if self._sealer is None else self._sealer.seal(event)

    def unsealer(self, erased: Erased) -> Unsealer:
        """Return what opens sealed words for workers, whom no record may stop: what cannot be opened is put aside."""
        if self.keys is None:
            return NoKeys(erased, put_aside=True)
        from helamem.streams.sealing.seal import Opener  # noqa: PLC0415 - it imports cryptography

        return PatientOpener(Opener(self.keys, erased))


class PatientOpener:
    """An `Unsealer` that waits for a key that is not there, for a while, and then refuses the one record.

    Args:
        opener: What opens.
        wait_s: How long.
        clock: Seconds, from any beginning.
    """

    def __init__(
        self, opener: Unsealer, wait_s: float = KEY_WAIT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._opener = opener
        self._wait_s = wait_s
        self._clock = clock
        self._since: dict[tuple[str, SealingKey], float] = {}

    def open(self, event: Event) -> str | None:
        """Return the words; see `Unsealer.open`.

        Raises:
            RetryLater: A key is not there yet.
            Poison: It has not come.
        """
        return self._patiently(event, self._opener.open)

    def claim(self, event: Event) -> Claimed:
        """Return what a fact claims; see `Unsealer.claim`, and `open` for the errors."""
        return self._patiently(event, self._opener.claim)

    def _patiently(self, event: Event, reading: Callable[[Event], T]) -> T:
        try:
            words = reading(event)
        except MissingKeyError as missing:
            # By the key and not by the record: others that it sealed do not wait for it once more.
            begun = self._since.setdefault((event.space, missing.key), self._clock())
            if self._clock() - begun < self._wait_s:
                raise RetryLater(str(missing)) from None
            raise Poison(f"cannot be opened: {missing}, and redrive the record", "data.sealed") from None
        if self._since and isinstance(event.data, Wordy) and event.data.sealed is not UNSET:
            for one in event.data.sealed.keys:  # they are there: should one be missing again, it is waited for again
                self._since.pop((event.space, one), None)
        return words


def sealed_tenants(config: Config) -> tuple[str, ...]:
    """Return the tenants whose words are sealed.

    Raises:
        BadInput: One of them is none, or there are some and no keys.
    """
    tenants = tuple(sorted({name.strip() for name in config.sealed_tenants.split(",") if name.strip()}))
    for name in tenants:
        if not TENANT.fullmatch(name):
            raise BadInput(
                f"HELAMEM_SEALED_TENANTS names {name!r}, which is no tenant; one is the part of a space's name before "
                "the slash, like acme"
            )
    if tenants and config.keys is None:
        raise BadInput("HELAMEM_SEALED_TENANTS needs HELAMEM_KEYS, a directory that all processes of the fleet share")
    return tenants


def fleet_sealing(config: Config) -> Sealing:
    """Return what the configuration says of sealing, with keys that can be opened.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: The keys are not there, or a service embeds or distils, whose answers are not sealed.
    """
    tenants = sealed_tenants(config)
    if tenants:
        check_embedder("the fleet", config.embedder)
        if (model := config.asked_distiller()) is not None:
            check_distiller("the fleet", model.chat.model)
    if config.keys is None:
        return Sealing((), None)
    if not config.keys.is_dir():
        raise ConfigurationError(
            f"there are no keys at {config.keys}, which HELAMEM_KEYS names; mount the directory that all processes of "
            "the fleet share, or for a new fleet make it with: helamem topics apply"
        )
    from helamem.streams.sealing.keys import KeyFiles  # noqa: PLC0415 - it imports cryptography

    keys = KeyFiles(config.keys)
    keys.check()
    return Sealing(tenants, keys)


def make_fleet_keys(config: Config) -> Path | None:
    """Make the directory of keys and the master key, where words are sealed and there are none; return it if so.

    Raises:
        BadInput: The configuration is not valid.
        ConfigurationError: The directory cannot be made, or a service embeds or distils.
    """
    if not sealed_tenants(config) or config.keys is None:
        return None
    from helamem.streams.sealing.keys import make_keys  # noqa: PLC0415 - it imports cryptography

    try:
        make_keys(config.keys)
    except OSError as error:
        raise ConfigurationError(
            f"no keys can be made at {config.keys}: {error.strerror}; check HELAMEM_KEYS and its permissions"
        ) from None
    fleet_sealing(config)
    return config.keys
