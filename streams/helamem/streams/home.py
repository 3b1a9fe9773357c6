"""`Home`: the directory that holds everything of an embedded instance."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct, structs

from helamem.schemas.errors import BadInput, ConfigurationError, HelamemError, RetryLater
from helamem.schemas.settings import Settings
from helamem.schemas.times import format_ms
from helamem.schemas.topics import CONVERSATIONS, TOPICS, TopicSpec
from helamem.streams.log.generation import specs_of
from helamem.streams.log.writer_lock import WriterLock

FORMAT = 1
"""Number of the layout that this version writes; a home of a higher one is refused."""

STORE = "store"
"""The directory of the store in a home."""

_DESCRIPTION = "home.json"
_UNFINISHED = "home.json.new"
LOCK = "writer.lock"
"""The file of the lock of a home."""


class _Format(Struct, frozen=True, kw_only=True):
    """The part of `home.json` that every version can read."""

    format: int


class Asked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a replay was asked for, in the words of whoever asked."""

    until: str | None = None
    since: str | None = None
    embedder: str | None = None
    """Instead of the one in the log's settings."""
    spaces: tuple[str, ...] = ()
    only: str | None = None


class _Description(_Format, frozen=True, kw_only=True, omit_defaults=True):
    """What `home.json` says."""

    created: str = ""
    projection_of: str | None = None
    """The home whose log a replay read, or the archive in words; such a home has no log of its own."""
    unfinished: bool = False
    """Whether that replay is still going on, or was interrupted."""
    asked: Asked = Asked()
    """What that replay was asked for."""
    settings: Settings | None = None
    """In force in that log; the home may lack the partition that says so."""
    generation: int = CONVERSATIONS.generation
    """Of that log."""
    partitions: int = CONVERSATIONS.partitions
    """Of each of its topics that is keyed by space."""
    sealed_tenants: tuple[str, ...] = ()
    """Tenants whose words are sealed in the log."""


def wall_clock_ms() -> int:
    """Return the time of this machine, milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def lock_home(path: Path, clock: Callable[[], int], *, brief: bool = False) -> WriterLock:
    """Keep every writer out of a home, or of what is left of one; whoever comes during a brief lock waits for its end.

    Raises:
        BadInput: There is no such directory, or it cannot be written.
        ConfigurationError: Another process writes it (`InUseError`).
    """
    return WriterLock.take(path / LOCK, f"the home {path}", clock, brief=brief)


class Home:
    """An embedded instance's directory; open it with `Home.open` to write or `Home.look` to read.

    Nothing in it is made before its owner needs it: the paths below may not exist yet.
    """

    def __init__(self, path: Path, lock: WriterLock | None, description: _Description) -> None:
        self.path = path
        self._lock = lock
        self._description = description

    @classmethod
    def open(
        cls, path: Path, *, create: bool = True, clock: Callable[[], int] = wall_clock_ms, brief: bool = False
    ) -> Self:
        """Open a home for writing and keep every other writer out until it is closed.

        Args:
            path: The directory.
            create: Make a new home where there is none: at a path that does not exist or is empty.
            clock: Returns milliseconds since 1970.
            brief: It will be open for a moment only, and who comes meanwhile waits.

        Raises:
            BadInput: There is no home, or the directory holds something else, or it cannot be written.
            ConfigurationError: Another process writes it (`InUseError`), or a newer version made it.
            RetryLater: The disk is full.
        """
        try:
            if not _is_home(path, create=create):
                _make_directory(path)
            lock = lock_home(path, clock, brief=brief)
            try:
                # Looked at again under the lock: another process may have made it meanwhile.
                if not _is_home(path, create=create):
                    _write(path, _Description(format=FORMAT, created=format_ms(clock())))
                description = _read(path)
            except BaseException:
                lock.release()
                raise
        except OSError as error:
            raise _explain(error, path) from None
        return cls(path, lock, description)

    def begin_projection(
        self,
        of: Path | str,
        asked: Asked | None = None,
        settings: Settings | None = None,
        topics: Sequence[TopicSpec] = TOPICS,
    ) -> None:
        """Say that a replay fills this home from another's log, until `finish_projection`.

        Args:
            of: The other home, or in words the log to write to instead.
            asked: What the replay was asked for.
            settings: In force in its log.
            topics: Of its log, in the generation that is replayed.

        Raises:
            BadInput: It has a log or a store of its own, a replay filled it already and this one does not go on from
                there, or it holds half of another replay.
        """
        asked, said, source = asked or Asked(), self._description, of if isinstance(of, str) else str(of.resolve())
        filled = said.projection_of is not None and not said.unfinished and asked.since is None
        # The store process fills a home that has neither log nor replay: its log is on Kafka.
        served = said.projection_of is None and self.store_path.exists()
        if self.log_path.exists() or filled or served:
            raise BadInput(f"{self.path} is a helamem home already; name a new directory for the replay")
        conversations = next(spec for spec in topics if spec.base_name == CONVERSATIONS.base_name)
        log = {"generation": conversations.generation, "partitions": conversations.partitions}
        same = said.projection_of == source and _what(said.asked) == _what(asked)
        same = same and said.generation == conversations.generation  # positions mean something in one generation only
        if said.projection_of is not None and not (same and (not said.unfinished or said.asked == asked)):
            half = "half of " if said.unfinished else ""
            raise BadInput(
                f"{self.path} holds {half}another replay; name a new directory, or give its own command to go on"
            )
        self._say(structs.replace(said, projection_of=source, unfinished=True, asked=asked, settings=settings, **log))

    def finish_projection(self) -> None:
        """Say that the replay is complete, so that the home may be looked at."""
        self._say(structs.replace(self._description, unfinished=False))

    @property
    def projection_of(self) -> str | None:
        """What a replay read to fill this home, which has no log of its own; None for all others.

        Raises:
            BadInput: The replay did not finish.
        """
        if self._description.unfinished:
            raise BadInput(f"the replay into {self.path} did not finish; run it again")
        return self._description.projection_of

    @property
    def unfinished(self) -> bool:
        """Whether a replay is filling this home, or was interrupted."""
        return self._description.unfinished

    @property
    def asked(self) -> Asked:
        """What the replay that filled this home was asked for."""
        return self._description.asked

    @property
    def settings(self) -> Settings | None:
        """The settings in force in the log that a replay read to fill this home; None for all others."""
        return self._description.settings

    @property
    def topics(self) -> tuple[TopicSpec, ...]:
        """The topics of the log that a replay read to fill this home."""
        return specs_of(self._description.generation, self._description.partitions, TOPICS)

    @property
    def sealed_tenants(self) -> tuple[str, ...]:
        """Tenants whose words are sealed in the log."""
        return self._description.sealed_tenants

    def seal_tenant(self, tenant: str) -> None:
        """Note that the words of a tenant are sealed, from now on and for ever."""
        tenants = tuple(sorted({*self.sealed_tenants, tenant}))
        self._say(structs.replace(self._description, sealed_tenants=tenants))

    def _say(self, description: _Description) -> None:
        _write(self.path, description)
        self._description = description

    @classmethod
    def look(cls, path: Path) -> Self:
        """Open a home for reading only, also while another process writes it.

        Raises:
            BadInput: There is no home, or it cannot be read.
            ConfigurationError: A newer version made it.
        """
        try:
            _is_home(path, create=False)
            description = _read(path)
        except OSError as error:
            raise _explain(error, path) from None
        return cls(path, None, description)

    @property
    def read_only(self) -> bool:
        """Whether it was opened to be looked at; a closed home is read-only too."""
        return self._lock is None

    @property
    def lock_descriptor(self) -> int:
        """The open lock, for a child that shall keep writers out for as long as it works here itself."""
        assert self._lock is not None  # it was opened for writing
        return self._lock.descriptor

    @property
    def log_path(self) -> Path:
        """The file of the log."""
        return self.path / "log.sqlite"

    @property
    def store_path(self) -> Path:
        """The directory of the store, a projection that may be thrown away."""
        return self.path / STORE

    @property
    def derived_path(self) -> Path:
        """The file of what a replay derived again."""
        return self.path / "derived.jsonl"

    @property
    def moments_path(self) -> Path:
        """The directory of past states that were asked for, which may be thrown away."""
        return self.path / "moments"

    @property
    def snapshots_path(self) -> Path:
        """The directory of snapshots, which may be thrown away."""
        return self.path / "snapshots"

    @property
    def keys_path(self) -> Path:
        """The directory of the keys that seal words; without it they are lost."""
        return self.path / "keys"

    @property
    def erasing_path(self) -> Path:
        """The file that names an erasure which is under way."""
        return self.path / "erasing.json"

    @property
    def embeddings_path(self) -> Path:
        """The file of the cache of embeddings, which may be thrown away."""
        return self.path / "embeddings.sqlite"

    @property
    def effects_path(self) -> Path:
        """The file of the index of what models answered, which may be thrown away."""
        return self.path / "effects.sqlite"

    def close(self) -> None:
        """Let other writers in; a second call does nothing."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _what(asked: Asked) -> tuple[object, ...]:
    """Return what has to be the same for one replay to go on where another ended."""
    return asked.spaces, asked.only, asked.embedder


def _is_home(path: Path, *, create: bool) -> bool:
    """Return whether `path` holds a home; False means that one may be made there."""
    names = _names(path)
    if _DESCRIPTION in names:
        return True
    # A process that died while it made a home leaves these two; anything else belongs to somebody.
    foreign = names - {LOCK, _UNFINISHED}
    if foreign and create:
        raise BadInput(
            f"the directory {path} holds other things ({min(foreign)}) and no {_DESCRIPTION}, so it is not a helamem"
            " home; name an empty or a new directory"
        )
    if not create:
        raise BadInput(f"there is no helamem home at {path}; check the path, or make one by writing to it first")
    return False


def _make_directory(path: Path) -> None:
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for directory in missing:
        _sync_directory(directory.parent)


def _names(path: Path) -> set[str]:
    try:
        return {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return set()


def _write(path: Path, description: _Description) -> None:
    """Write `home.json` whole or not at all: the rename is the moment at which it counts."""
    unfinished = path / _UNFINISHED
    with unfinished.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(description)) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path / _DESCRIPTION)
    _sync_directory(path)


def _read(path: Path) -> _Description:
    """Return what `home.json` says, after looking at its format alone: a newer one may say anything else."""
    raw = (path / _DESCRIPTION).read_bytes()
    try:
        found = msgspec.json.decode(raw, type=_Format).format
        if found > FORMAT:
            raise ConfigurationError(
                f"the home {path} was written by a newer helamem (format {found}; this one reads up to {FORMAT});"
                " upgrade helamem"
            )
        return msgspec.json.decode(raw, type=_Description)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{path / _DESCRIPTION} is damaged ({error}); restore it from a copy") from None


def _sync_directory(path: Path) -> None:
    """Make the names in a directory durable; syncing a file does not do that."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: Path) -> HelamemError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RetryLater(f"the home {path} cannot be made: its disk is full; free some space and try again")
    return BadInput(f"the home {path} cannot be opened: {error.strerror}; check the path and its permissions")
