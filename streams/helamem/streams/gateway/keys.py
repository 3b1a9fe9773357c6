"""API keys: a file of the home that holds their hashes, and what each of them may do."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from helamem.schemas.errors import BadInput, ConfigurationError, NotFound
from helamem.schemas.events import KeyChanged
from helamem.schemas.wire import Event
from helamem.streams.access.records import change_event
from helamem.streams.gateway.rates import TokenBucket
from helamem.streams.gateway.rights import RIGHTS, Right
from helamem.streams.sealing.files import write_secret

FILE = "api-keys.json"
"""The file in a home."""
_PREFIX = "helamem"
_SECRET_BYTES = 32
"""So long that a plain hash hides it: there is nothing to guess."""
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_MOST_PATTERNS = 1000
"""Of a key; so many fit into the record of its change."""
_PATTERN = re.compile(r"[A-Za-z0-9_.:@*?\[\]!-]{1,128}")


class ApiKey(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One key, without its secret."""

    id: str
    sha256: str
    """Of the whole key, in hexadecimal."""
    tenant: str
    spaces: tuple[str, ...] = ("*",)
    """Patterns for the part of a space's name behind the slash."""
    rights: tuple[Right, ...]
    note: str = ""
    per_s: Annotated[float, Meta(gt=0)] | None = None
    """Requests a second, or None for no bound."""
    created_ms: int
    revoked_ms: int | None = None

    def covers(self, space: str) -> bool:
        """Return whether a space is one of the key's."""
        tenant, _, name = space.partition("/")
        return tenant == self.tenant and any(fnmatchcase(name, pattern) for pattern in self.spaces)


class TenantLimit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much a tenant may ask and append with all its keys together; None for no bound."""

    per_s: float | None = None
    """Requests a second."""
    messages_a_day: int | None = None
    """Days are those of UTC."""
    bytes_a_day: int | None = None
    """Of the texts of messages, in UTF-8."""


class _Unrecorded(Struct, frozen=True, kw_only=True):
    """A change that is not in the log yet: it stands in the file from the moment at which it counts."""

    key: str
    change: Literal["added", "revoked"]
    time_ms: int


class _File(Struct, frozen=True, kw_only=True, omit_defaults=True):
    keys: tuple[ApiKey, ...] = ()
    unrecorded: tuple[_Unrecorded, ...] = ()
    limits: dict[str, TenantLimit] = {}


class _Content(NamedTuple):
    """What the file holds, to be changed."""

    keys: dict[str, ApiKey]
    unrecorded: list[_Unrecorded]
    limits: dict[str, TenantLimit]


class Keys:
    """The keys of a home, or of the gateways of a fleet, read again whenever their file changes.

    Args:
        home: The home's directory, or any other; None has no keys, and none can be made.
        file: The file in it; None is that of a home.
        gateways: How many count by it, each for itself: each takes its part of rates and quotas.
    """

    def __init__(self, home: Path | None, file: str | None = None, *, gateways: int = 1) -> None:
        self.gateways = gateways
        self._path = None if home is None else home / (file or FILE)
        self.shared = home is None or file is not None
        """Whether they are those of the gateways of a fleet."""
        self._read_as: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}
        self._unrecorded: tuple[_Unrecorded, ...] = ()
        self._recorded: set[tuple[str, str]] = set()
        """Changes that are in the log while the file still says otherwise: others share it, or it cannot be written."""
        self._limits: dict[str, TenantLimit] = {}
        self._made = False
        self._buckets: dict[str, tuple[float, TokenBucket]] = {}

    def made(self) -> bool:
        """Return whether there are keys or were any: who revokes the last one, or loses the file, opens no door."""
        self._refresh()
        return self._made

    def all(self) -> list[ApiKey]:
        """Return every key in the order in which they were added, revoked ones included."""
        self._refresh()
        return list(self._keys.values())

    def find(self, text: str) -> ApiKey | None:
        """Return the key that somebody shows, or None where it is none or was revoked."""
        self._refresh()
        prefix, _, rest = text.partition("_")
        found = self._keys.get(rest.partition("_")[0])
        shown = _hash(text)
        if found is None or prefix != _PREFIX or not hmac.compare_digest(shown, found.sha256):
            return None
        return None if found.revoked_ms is not None else found

    def holds(self, key: ApiKey) -> bool:
        """Return whether a key is still what it was when it was found: what goes on for long asks again."""
        self._refresh()
        return self._keys.get(key.id) == key

    def wait_s(self, key: ApiKey) -> float:
        """Count a request of a key and return 0, or after how many seconds it may ask."""
        if key.per_s is None:
            return 0.0
        return self._take(key.id, key.per_s)

    def tenant_wait_s(self, tenant: str) -> float:
        """Count a request of a tenant and return 0, or after how many seconds it may ask."""
        per_s = self.limit_of(tenant).per_s
        return 0.0 if per_s is None else self._take(f"tenant {tenant}", per_s)

    def _take(self, name: str, per_s_in_all: float) -> float:
        per_s = per_s_in_all / self.gateways
        kept = self._buckets.get(name)
        if kept is None or kept[0] != per_s:
            kept = self._buckets[name] = (per_s, TokenBucket(per_s, max(1.0, per_s)))
        return kept[1].take()

    def limits(self) -> dict[str, TenantLimit]:
        """Return the limits of tenants that have some."""
        self._refresh()
        return dict(self._limits)

    def limit_of(self, tenant: str) -> TenantLimit:
        """Return how much a tenant may ask and append."""
        self._refresh()
        return self._limits.get(tenant, TenantLimit())

    def limit(self, tenant: str, **bounds: float | None) -> TenantLimit:
        """Set bounds of a tenant, by the names of `TenantLimit`, and return all of them; 0 lifts one.

        Raises:
            BadInput: There can be no such tenant, or no such bound.
        """
        _check_tenant(tenant)
        for name, bound in bounds.items():
            if bound is not None and not 0 <= bound < float("inf"):
                raise BadInput(f"{bound} is no bound for {name}; name a number above 0, or 0 for no bound")
        with self._changing() as changed:
            limit = msgspec.structs.replace(
                changed.limits.get(tenant, TenantLimit()),
                **{name: bound or None for name, bound in bounds.items() if bound is not None},
            )
            changed.limits[tenant] = limit
            if limit == TenantLimit():
                del changed.limits[tenant]
        return limit

    def add(
        self,
        *,
        tenant: str,
        spaces: tuple[str, ...],
        rights: tuple[Right, ...],
        note: str,
        per_s: float | None,
        clock: Callable[[], int],
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its text, which is kept nowhere.

        Raises:
            BadInput: There can be no such tenant, pattern, right or rate.
        """
        _check_tenant(tenant)
        for pattern in spaces:
            if not is_pattern(pattern):
                raise BadInput(
                    f"{pattern!r} is no pattern for spaces; it is for the part behind the slash, like mira or team-*"
                )
        if len(spaces) > _MOST_PATTERNS:
            raise BadInput(
                f"a key is for at most {_MOST_PATTERNS:,} patterns, and these are {len(spaces):,}; name fewer, such as "
                "team-* for all that begin so"
            )
        if unknown := [right for right in rights if right not in RIGHTS]:
            raise BadInput(f"there is no right {unknown[0]!r}; the rights are {', '.join(RIGHTS)}")
        if not rights:
            raise BadInput(f"a key without rights opens nothing; name some of {', '.join(RIGHTS)}")
        if per_s is not None and not per_s > 0:
            raise BadInput("a key that may ask nothing opens nothing; name a rate above 0")
        id_ = secrets.token_hex(6)
        text = f"{_PREFIX}_{id_}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        key = ApiKey(
            id=id_,
            sha256=_hash(text),
            tenant=tenant,
            spaces=spaces,
            rights=rights,
            note=note,
            per_s=per_s,
            created_ms=clock(),
        )
        with self._changing() as changed:
            changed.keys[id_] = key
            changed.unrecorded.append(_Unrecorded(key=id_, change="added", time_ms=key.created_ms))
        return key, text

    def revoke(self, id_: str, clock: Callable[[], int]) -> ApiKey:
        """Have a key open nothing any more; a second time changes nothing.

        Raises:
            NotFound: There is no such key.
        """
        with self._changing() as changed:
            found = changed.keys.get(id_)
            if found is None:
                raise NotFound(f"there is no key {id_}; see: helamem keys list")
            if found.revoked_ms is None:
                changed.keys[id_] = msgspec.structs.replace(found, revoked_ms=(now_ms := clock()))
                changed.unrecorded.append(_Unrecorded(key=id_, change="revoked", time_ms=now_ms))
            return changed.keys[id_]

    def unrecorded(self) -> list[Event]:
        """Return the events of changes that are not in the log yet, in order; whoever has the log appends them."""
        self._refresh()
        return [
            change_event(
                one.time_ms,
                KeyChanged(key=key.id, change=one.change, tenant=key.tenant, spaces=key.spaces, rights=key.rights),
            )
            for one in self._unrecorded
            if (one.key, one.change) not in self._recorded and (key := self._keys.get(one.key)) is not None
        ]

    def recorded(self, events: list[Event]) -> None:
        """Note that these events are in the log; a file that cannot be written here goes on saying otherwise."""
        done = {(one.data.key, one.data.change) for one in events if isinstance(one.data, KeyChanged)}
        self._recorded |= done
        try:
            with self._changing() as changed:
                changed.unrecorded[:] = [one for one in changed.unrecorded if (one.key, one.change) not in done]
        except OSError as error:
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise

    @contextmanager
    def _changing(self) -> Iterator[_Content]:
        """Give all that the file holds to change, and write it; two who do wait for each other."""
        if self._path is None:
            raise ConfigurationError("this gateway has no file of keys; name one with HELAMEM_GATEWAY_KEYS")
        lock = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._refresh()
            content = _Content(dict(self._keys), [*self._unrecorded], dict(self._limits))
            yield content
            if content != _Content(self._keys, [*self._unrecorded], self._limits):
                written = msgspec.json.encode(
                    _File(
                        keys=tuple(content.keys.values()),
                        unrecorded=tuple(content.unrecorded),
                        limits=content.limits,
                    )
                )
                write_secret(self._path, msgspec.json.format(written) + b"\n")
        finally:
            os.close(lock)
        self._refresh()

    def _refresh(self) -> None:
        """Read the file where it is another one than last time."""
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._read_as, self._keys, self._unrecorded, self._limits = None, {}, (), {}
            return
        as_found = found.st_ino, found.st_mtime_ns, found.st_size
        if as_found == self._read_as:
            return
        try:
            read = msgspec.json.decode(self._path.read_bytes(), type=_File)
        except msgspec.DecodeError as error:
            raise ConfigurationError(f"{self._path} is damaged ({error}); restore it from a copy") from None
        self._keys = {key.id: key for key in read.keys}
        self._unrecorded, self._limits = read.unrecorded, read.limits
        self._made = self._made or bool(self._keys)
        self._read_as = as_found


def command(verb: str, *, shared: bool) -> str:
    """Return the command that changes keys, as it has to be called.

    Args:
        verb: Such as `add`.
        shared: Whether they are those of the gateways of a fleet: their variable says where the file is, and strangers
            need not know more.
    """
    return f'helamem keys {verb} --file "$HELAMEM_GATEWAY_KEYS"' if shared else f"helamem keys {verb}"


def is_tenant(name: str) -> bool:
    """Return whether there can be a tenant of a name."""
    return _TENANT.fullmatch(name) is not None


def is_pattern(text: str) -> bool:
    """Return whether a text can be a pattern for the part of a space's name behind the slash."""
    return _PATTERN.fullmatch(text) is not None


def _check_tenant(tenant: str) -> None:
    if not is_tenant(tenant):
        raise BadInput(f"{tenant!r} is no tenant; it is the part of a space's name before the slash, like acme")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
