"""Sealing words with the keys of their data subjects, and opening them.

From the keys of all subjects one key is derived, so the words open only while every one of them exists. The nonce is
derived from the words and their event: the same event is sealed to the same bytes, which a repeated append needs, and
a nonce never comes again with other words.
"""

from __future__ import annotations

import base64
import hmac
from collections import OrderedDict
from collections.abc import Collection, Sequence

import msgspec
import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from helamem.processors.encoding.content import canonical, statement_id
from helamem.processors.encoding.unsealing import NO_CLAIM, Claimed, Erased, claim_of, words_of
from helamem.schemas.errors import Poison
from helamem.schemas.events import (
    EVERYONE,
    SEALED_TEXT,
    ConversationMessage,
    KnowledgeDistilled,
    MemoryRecalled,
    Sealed,
    SealingKey,
    Wordy,
    subjects_of,
)
from helamem.schemas.ids import derived_id
from helamem.schemas.traceparent import caused
from helamem.schemas.wire import Event
from helamem.streams.sealing.keys import KeyStore

_CLAIM: msgspec.json.Decoder[Claimed] = msgspec.json.Decoder(Claimed)
_NONCE_BYTES = 12
_RENAMED = 65_536
"""How many facts' former ids are kept: each of up to 64 partitions may name one of the last thousand that it told."""


class Sealer:
    """Seals the words of events.

    Args:
        keys: Of the data subjects; those that are missing are made.
        tenants: Whose words are sealed.
    """

    def __init__(self, keys: KeyStore, tenants: Collection[str]) -> None:
        self._keys = keys
        self._tenants = frozenset(tenants)
        self._renamed: OrderedDict[str, str] = OrderedDict()

    def seals(self, space: str) -> bool:
        """Return whether words in this space are sealed."""
        return space.partition("/")[0] in self._tenants

    def seal(self, event: Event) -> Event:
        """Return an event with its words sealed; one without words, or sealed already, as it is.

        The ids of a fact follow from its words, so a sealed one gets others, which follow from the commitment; what
        supersedes a fact that was sealed here before names it by its new id, since the former one bears out guesses.
        """
        data = event.data
        if not isinstance(data, Wordy) or data.sealed is not UNSET or not self.seals(event.space):
            return event
        named = sorted(set(_subjects(data)))
        current = [self._keys.current(event.space, subject) for subject in named]
        key = _combined([one.key for one in current])
        commitment = _hmac(_hmac(key, b"commitment"), _content(event.time_ms, data)).hex()
        keys = tuple(SealingKey(subject=subject, key=one.id) for subject, one in zip(named, current, strict=True))
        sealed = Sealed(keys=keys, ciphertext="=", commitment=commitment)
        text = words_of(data)
        if isinstance(data, MemoryRecalled):
            data = replace(data, query=SEALED_TEXT, sealed=sealed)
        else:
            data = replace(data, text=SEALED_TEXT, sealed=sealed)
        if isinstance(data, KnowledgeDistilled):
            claim = claim_of(data)
            data = replace(data, key=UNSET, value=UNSET, supersedes=self._as_sealed(data.supersedes))
            data = replace(data, fact_id=self._renaming(data.fact_id, statement_id(event.space, data)))
            id_ = derived_id("distilled", data.hub, data.fact_id)
            event = replace(event, id=id_, traceparent=caused(event.traceparent, id_))
            if any(claim):
                sealed = replace(sealed, claim=_encrypt(key, orjson.dumps(claim), _context(event, "claim")))
        ciphertext = _encrypt(key, text.encode(), _context(event))
        return replace(event, data=replace(data, sealed=replace(sealed, ciphertext=ciphertext)))

    def _as_sealed(self, ids: tuple[str, ...] | UnsetType) -> tuple[str, ...] | UnsetType:
        return ids if ids is UNSET else tuple(self._renamed.get(id_, id_) for id_ in ids)

    def _renaming(self, former: str, now: str) -> str:
        self._renamed[former] = now
        self._renamed.move_to_end(former)
        if len(self._renamed) > _RENAMED:
            self._renamed.popitem(last=False)
        return now


class Opener:
    """Opens what was sealed; an `Unsealer`.

    Args:
        keys: Where the keys are.
        erased: What the log says was erased.
    """

    def __init__(self, keys: KeyStore, erased: Erased) -> None:
        self._keys = keys
        self._erased = erased

    def open(self, event: Event) -> str | None:
        """Return the words of an event, or None where they are erased; see `Unsealer.open`."""
        data = event.data
        assert isinstance(data, Wordy)
        if data.sealed is UNSET:
            return words_of(data)
        if (key := self._key(event, data.sealed)) is None:
            return None
        text = _decrypt(key, data.sealed.ciphertext, _context(event), "data.sealed.ciphertext")
        if isinstance(data, MemoryRecalled):
            opened: Wordy = replace(data, query=text)
        else:
            opened = replace(data, text=text)
        expected = _hmac(_hmac(key, b"commitment"), _content(event.time_ms, opened)).hex()
        if not hmac.compare_digest(expected, data.sealed.commitment):
            raise Poison("does not commit to the words that are sealed", "data.sealed.commitment")
        return text

    def claim(self, event: Event) -> Claimed:
        """Return key and value of a fact; see `Unsealer.claim`."""
        data = event.data
        assert isinstance(data, KnowledgeDistilled)
        if data.sealed is UNSET or data.sealed.claim is UNSET:
            return claim_of(data)
        if (key := self._key(event, data.sealed)) is None:
            return NO_CLAIM
        claim = _decrypt(key, data.sealed.claim, _context(event, "claim"), "data.sealed.claim")
        try:
            return _CLAIM.decode(claim)
        except msgspec.DecodeError:
            raise Poison("is no key with its value", "data.sealed.claim") from None

    def _key(self, event: Event, sealed: Sealed) -> bytes | None:
        """Return the key that sealed the words of an event, or None where it is destroyed."""
        if self._erased.closed(event.space, sealed):
            return None
        found = [self._keys.find(event.space, one.subject, one.key) for one in sealed.keys]
        keys = [key for key in found if key is not None]
        return None if len(keys) < len(found) else _combined(keys)


def _subjects(data: Wordy) -> Sequence[str]:
    match data:
        case ConversationMessage():
            return subjects_of(data)
        case KnowledgeDistilled():
            return (EVERYONE,) if data.data_subjects is UNSET else data.data_subjects
        case MemoryRecalled():  # a question may say anything about anybody
            return (EVERYONE,)


def _content(time_ms: int, data: Wordy) -> bytes:
    """Return what a commitment is made to; equal for equal content, whatever event brings it."""
    match data:
        case ConversationMessage():
            return canonical(data, time_ms)
        case KnowledgeDistilled():
            return orjson.dumps([data.kind, data.text])
        case MemoryRecalled():
            return orjson.dumps([data.query])


def _context(event: Event, *part: str) -> bytes:
    """Return what sealed words, or another part of an event, belong to: elsewhere they do not open."""
    return orjson.dumps([event.space, event.data.event_type, event.id, *part])


def _combined(keys: Sequence[bytes]) -> bytes:
    return _hmac(b"helamem sealing 1", b"".join(keys))


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _encrypt(key: bytes, plaintext: bytes, context: bytes) -> str:
    nonce = _hmac(_hmac(key, b"nonce"), _hmac(key, context) + plaintext)[:_NONCE_BYTES]
    return base64.b64encode(nonce + AESGCM(_hmac(key, b"words")).encrypt(nonce, plaintext, context)).decode()


def _decrypt(key: bytes, ciphertext: str, context: bytes, field: str) -> str:
    try:
        raw = base64.b64decode(ciphertext, validate=True)
        return AESGCM(_hmac(key, b"words")).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context).decode()
    except (ValueError, InvalidTag):
        raise Poison("was not sealed so for this event", field) from None
