"""Taking snapshots of large spaces: each goes on from the one before it by a replay, beside whoever uses the home.

A snapshot is of one space. A state is asked about one space at a time, and to open a store takes as long as it is
large: a second for some 200,000 memories. What a space has fewer records of than lie between two snapshots is replayed
in as little time as what follows a snapshot.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.topics import TOPICS
from helamem.streams.audit.keys import key_text
from helamem.streams.home import STORE, Home, wall_clock_ms
from helamem.streams.log.port import Log
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.writer_lock import InUseError
from helamem.streams.moments import Vector, at_time, written
from helamem.streams.replay import replay
from helamem.streams.snapshots import manifest as manifests
from helamem.streams.snapshots.blocks import names_below
from helamem.streams.snapshots.growth import Growth
from helamem.streams.snapshots.manifest import Manifest, State
from helamem.streams.snapshots.moment import dead_letters_of, known_at, state_of
from helamem.streams.snapshots.shelf import BEGUN, Snapshots, check_log, staying_of

_MADE = "snapshot"
"""Where it is said what was begun, until that has its place."""


class Schedule(Struct, frozen=True, kw_only=True):
    """When a snapshot is taken, and which are kept."""

    every: int = 8_000
    """Records of a space between two."""
    keep: int | None = None
    """How many of each distance: of all, of every second one, of every fourth, and so on; None keeps all."""


class Taker:
    """Takes the snapshots of one home. A context manager: nobody else takes some there at the same time.

    Args:
        home: The home, which may be in use.
        schedule: When, and how many are kept.
        key: Signs; None leaves them unsigned.
        embedder: What the settings name, where it has to be put together by hand.
        on_retry: Told whenever something is away and will be tried again.

    Raises:
        BadInput: There is no such home, or it has no log of its own.
        ConfigurationError: Another process takes some (`InUseError`).

    Attributes:
        snapshots: Those of the home.
        taken: How many were taken so far.
    """

    def __init__(
        self,
        home: Path,
        schedule: Schedule,
        *,
        key: Ed25519PrivateKey | None = None,
        embedder: Embedder | None = None,
        on_retry: Callable[[RetryLater], None] = lambda error: None,
    ) -> None:
        looked = Home.look(home)
        if (origin := looked.projection_of) is not None:
            raise BadInput(f"{home} was filled by a replay and has no log of its own; name {origin} instead")
        self._home = home
        self._log_path = looked.log_path
        self._schedule = schedule
        self._key = key
        self._embedder = embedder
        self._on_retry = on_retry
        self._growth = Growth()
        self.taken = 0
        self.snapshots = Snapshots(looked.snapshots_path)
        self.snapshots.root.mkdir(exist_ok=True)
        self._lock = self.snapshots.lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    async def catch_up(self, on_progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Take what is due and will be kept, and remove what will not.

        One that was begun and not finished is gone on with.

        Args:
            on_progress: Told how many records of how many were applied, for each that is taken.

        Raises:
            ConfigurationError: An earlier one was altered or is of another log, or the log does not give again what it
                gave before.
            RetryLater: The disk is full, or the replay was stopped.
        """
        every, keep = self._schedule.every, self._schedule.keep
        async with await SqliteLog.open(self._log_path, TOPICS, wall_clock_ms, read_only=True) as log:
            await self._growth.look(log)
            there = await self._still_true(log)
            for space, most in self._growth.spaces():
                for number in sorted(staying_of(range(1, most // every + 1), keep)):
                    if (space, number) in there:
                        continue
                    time_ms, records = self._growth.reached(space, number * every)
                    # Once nothing more is appended at that time.
                    if (space, records // every) not in there and time_ms < wall_clock_ms():
                        await self._take(log, space, time_ms, records, on_progress)
                        there.add((space, records // every))
        self.snapshots.thin(every, keep)
        if (begun := self.snapshots.root / BEGUN).exists():  # of a process that was killed, and not due any more
            _throw_away(begun)

    async def _still_true(self, log: Log) -> set[tuple[str | None, int]]:
        """Return which there are, by space and number, and remove those that are no longer what a replay comes to."""
        dead = await dead_letters_of(log)
        there = set()
        for one in self.snapshots.kept():
            if not one.manifest.state.holds(dead):
                self.snapshots.remove(one)
                continue
            await check_log(log, one)
            if self._key is None or one.manifest.public_key == self._public_key:
                there.add((one.manifest.state.space, one.manifest.records // self._schedule.every))
        return there

    async def _take(
        self, log: Log, space: str, time_ms: int, records: int, on_progress: Callable[[int, int], None]
    ) -> None:
        known = await known_at(log, await at_time(log, time_ms))
        state = await state_of(log, known, space)
        signed_by = None if self._public_key is None else {self._public_key}
        nearest = await self.snapshots.nearest(log, state, known.dead, signed_by)
        begun = self.snapshots.root / BEGUN
        if begun.exists() and not _goes_on(begun, known.vector, state):
            _throw_away(begun)
        try:
            replayed = await replay(
                self._home,
                begun,
                until=known.vector,
                spaces=[space],
                lean=True,
                embedder=self._embedder,
                on_progress=on_progress,
                on_retry=self._on_retry,
                seed=None if nearest is None else lambda home: asyncio.to_thread(self.snapshots.fill, home, nearest),
            )
        except InUseError as error:  # see `_throw_away`
            raise RetryLater(str(error)) from None
        if not replayed.reproduced:
            shutil.rmtree(begun)
            raise ConfigurationError(
                f"the log of {self._home} does not give again what it gave before, so no snapshot vouches for it; see "
                "what differs with: helamem replay"
            )
        await asyncio.to_thread(self._seal, begun, state, records, replayed.digest.digest)
        self.taken += 1

    def _seal(self, begun: Path, state: State, records: int, digest: str) -> None:
        """Keep the blocks of what was begun, say what it is, give it its place, and remove what was begun."""
        derived = Home.look(begun).derived_path
        names = names_below(begun, STORE) + ([derived.name] if derived.exists() else [])
        made = begun / _MADE
        try:
            files = self.snapshots.blocks.keep(begun, names)
            made.mkdir(exist_ok=True)
            manifest = Manifest(
                state=state,
                records=records,
                digest=digest,
                taken_at=wall_clock_ms(),
                size_bytes=sum(one.size_bytes for one in files.values()),
                files=manifests.write_files(made, files),
                public_key=self._public_key,
            )
            manifests.write(made, manifest, self._key)
            self.snapshots.put(made, state.name)
        except OSError as error:
            with suppress(OSError):
                self.snapshots.sweep()  # or every further try would leave its blocks on a disk that is full
            raise RetryLater(f"the snapshot in {begun} cannot be kept: {error}; free some space") from error
        shutil.rmtree(begun)

    @property
    def _public_key(self) -> str | None:
        return None if self._key is None else key_text(self._key.public_key())


def _throw_away(begun: Path) -> None:
    """Remove what was begun, once nobody works in it.

    Raises:
        RetryLater: Somebody does: the child of a process that was killed has not ended yet.
    """
    try:
        with Home.open(begun, create=False):
            shutil.rmtree(begun)
    except InUseError as error:
        raise RetryLater(str(error)) from None
    except (BadInput, ConfigurationError):  # half made, or torn by a loss of power
        shutil.rmtree(begun)


def _goes_on(begun: Path, vector: Vector, state: State) -> bool:
    """Return whether what was begun comes to the same state when it goes on."""
    try:
        home = Home.look(begun)
    except (BadInput, ConfigurationError):
        return False
    return home.unfinished and (home.asked.until, home.asked.spaces) == (written(vector), (state.space,))
