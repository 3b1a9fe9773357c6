"""What a snapshot says of itself: which state it is, and of which blocks its files are; signed where there is a key."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec
import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct
from msgspec.structs import replace

from helamem.processors.store.edge_shards import write_durably
from helamem.schemas.errors import ConfigurationError
from helamem.schemas.records import TopicPartition
from helamem.schemas.settings import LOGIC_VERSION, Settings
from helamem.streams.snapshots.blocks import FileBlocks, Files, are_sound

FILE = "snapshot.json"
LISTING = "files.json"
FORMAT = 1
_DOMAIN = b"helamem snapshot 1\n"

DeadLetters = Mapping[TopicPartition, Collection[int]]
"""The offsets that were put aside, by partition."""


class State(Struct, frozen=True, kw_only=True):
    """All that decides what a projection holds. What is equal in all of it is equal to the digest."""

    positions: dict[str, int]
    """Up to where each partition was folded, by `topic/partition`; of those in which the space may stand, all."""
    log: str
    """SHA-256 over the last record before each of these positions, which mean something in one log only."""
    space: str | None
    """Which alone was folded; None is all."""
    settings: Settings
    put_aside: str
    """SHA-256 over the positions before these that stood in the dead letters: they were passed over."""
    logic_version: int = LOGIC_VERSION

    def reaches(self, later: State, dead: DeadLetters) -> bool:
        """Return whether a replay that goes on from here comes to a later state of the same log.

        What of the settings can be changed in place is changed by records, at which a replay comes by; what memories
        are made with has to be the same.

        Args:
            later: Where it has to come to.
            dead: What stands in the dead letters now.
        """
        return (
            self.space == later.space
            and replace(
                self.settings,
                hebbian=later.settings.hebbian,
                forgetting=later.settings.forgetting,
                forgetting_of=later.settings.forgetting_of,
            )
            == later.settings
            and all(self.positions.get(at, end + 1) <= end for at, end in later.positions.items())
            and self.holds(dead)
        )

    def holds(self, dead: DeadLetters) -> bool:
        """Return whether a replay would still come to this state.

        A record may have been folded before the live processor put it aside, and other rules give another state.
        """
        return self.logic_version == LOGIC_VERSION and self.put_aside == put_aside(dead, self.positions)

    @property
    def name(self) -> str:
        """A name for the state, which no other has."""
        canonical = orjson.dumps(msgspec.to_builtins(self), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:32]


class _Format(Struct, frozen=True, kw_only=True):
    """The part that every version can read."""

    format: int = FORMAT


class Manifest(_Format, frozen=True, kw_only=True):
    """What is signed."""

    state: State
    records: int
    """How many records of the space it comes of."""
    digest: str
    """Of the projection, as `helamem digest` prints it."""
    taken_at: int
    """Milliseconds since 1970."""
    size_bytes: int
    """Of all files, holes included."""
    files: str
    """SHA-256 of `files.json`, which names the files and the SHA-256 of each block of each."""
    public_key: str | None
    """Whose signature follows, in hexadecimal; None where nobody signed."""


class _Signed(Struct, frozen=True, kw_only=True):
    manifest: msgspec.Raw
    signature: str | None


def write_files(folder: Path, files: Files) -> str:
    """Write of which blocks the files of a snapshot are; durable on return. Return what the manifest says of it."""
    raw = orjson.dumps(msgspec.to_builtins(files), option=orjson.OPT_SORT_KEYS)
    write_durably(folder / LISTING, raw)
    return hashlib.sha256(raw).hexdigest()


def read_files(folder: Path, manifest: Manifest) -> dict[str, FileBlocks]:
    """Return of which blocks the files of a snapshot are, once that is found to be what its manifest vouches for.

    Raises:
        FileNotFoundError: It says nothing.
        ConfigurationError: It was altered.
    """
    file = folder / LISTING
    raw = file.read_bytes()
    if hashlib.sha256(raw).hexdigest() != manifest.files:
        raise refused(folder, f"{file} is not what the snapshot was made of")
    try:
        files = msgspec.json.decode(raw, type=dict[str, FileBlocks])
    except msgspec.MsgspecError:
        raise refused(folder, f"{file} is damaged") from None
    if not are_sound(files):
        raise refused(folder, f"{file} names files elsewhere")
    return files


def write(folder: Path, manifest: Manifest, key: Ed25519PrivateKey | None) -> None:
    """Write what a snapshot says of itself; durable on return.

    Args:
        folder: Of the snapshot.
        manifest: Names the public key that belongs to `key`.
        key: Signs; None leaves it unsigned.
    """
    raw = orjson.dumps(msgspec.to_builtins(manifest), option=orjson.OPT_SORT_KEYS)
    signature = None if key is None else key.sign(_DOMAIN + raw).hex()
    write_durably(folder / FILE, msgspec.json.encode(_Signed(manifest=msgspec.Raw(raw), signature=signature)))


def read(folder: Path) -> Manifest:
    """Return what a snapshot says of itself, once its signature is found to be that of the key it names.

    Raises:
        FileNotFoundError: It says nothing.
        ConfigurationError: It is damaged, was altered, or a newer version wrote it.
    """
    file = folder / FILE
    try:
        found = msgspec.json.decode(file.read_bytes(), type=_Signed)
        if msgspec.json.decode(found.manifest, type=_Format).format > FORMAT:
            raise refused(folder, f"{file} was written by a newer helamem")
        manifest = msgspec.json.decode(found.manifest, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise refused(folder, f"{file} is damaged") from None
    if manifest.public_key is not None:
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(manifest.public_key))
            key.verify(bytes.fromhex(found.signature or ""), _DOMAIN + bytes(found.manifest))
        except (InvalidSignature, ValueError):
            raise refused(folder, f"{file} was changed after it was signed, or its signature was") from None
    return manifest


def refused(folder: Path, why: str) -> ConfigurationError:
    """Return the error that says why a snapshot is not used, and what to do."""
    return ConfigurationError(f"{why}; remove the snapshot {folder}, and the state is rebuilt from what is left")


def put_aside(dead: DeadLetters, positions: Mapping[str, int]) -> str:
    """Return the sum of those dead letters that lie before some positions."""
    before = {str(at): sorted(o for o in offsets if o < positions.get(str(at), 0)) for at, offsets in dead.items()}
    canonical = orjson.dumps({at: found for at, found in before.items() if found}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()
