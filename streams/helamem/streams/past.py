"""The past of a home: its state at a moment, put together once and kept beside it for a while.

It is a home of its own below `moments/`, named by what decides its content: positions, spaces, settings, dead letters
and the number of the rules. So it never goes stale, and may be deleted at any time. It begins with the nearest
snapshot before that moment where there is one, and with nothing otherwise; the rest is a replay.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from helamem.processors.embedder.port import Embedder
from helamem.schemas.errors import BadInput, ConfigurationError, RetryLater
from helamem.schemas.topics import TOPICS
from helamem.streams.home import Home, wall_clock_ms
from helamem.streams.log.sqlite import SqliteLog
from helamem.streams.log.writer_lock import InUseError
from helamem.streams.moments import moment
from helamem.streams.replay import restate
from helamem.streams.snapshots import manifest as manifests
from helamem.streams.snapshots.manifest import Manifest
from helamem.streams.snapshots.moment import known_at, state_of
from helamem.streams.snapshots.shelf import Snapshots

KEPT = 2
"""How many past states a home keeps, those that were used last; each takes some 200 MB or more."""


class Past(Struct, frozen=True, kw_only=True):
    """A past state."""

    home: Path
    """What holds it."""
    records: int
    """How many records it comes of."""
    snapshot: Manifest | None
    """What it began with; None where all of it was replayed."""


async def past(
    home: Path,
    text: str,
    *,
    space: str | None = None,
    signed_by: Collection[str] | None = None,
    embedder: Embedder | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_retry: Callable[[RetryLater], None] = lambda error: None,
) -> Past:
    """Return a home that holds what another one was at a moment; it is put together where it is not there.

    Args:
        home: The home; it may be in use.
        text: The moment, see `moments.moment`.
        space: Which alone has to be right in it; None is all, and begins with no snapshot.
        signed_by: Public keys in hexadecimal. Where they are given only a snapshot that one of them signed is begun
            with, and nothing that was kept is believed.
        embedder: What the settings name, where it has to be put together by hand.
        on_progress: Told how many records of how many were applied.
        on_retry: Told whenever something is away and will be tried again.

    Raises:
        BadInput: There is no such home, it has no log of its own, or the moment is none.
        ConfigurationError: A snapshot was altered, or is of another log.
        RetryLater: Another process is just putting it together, or looks at it.
    """
    looked = Home.look(home)
    if (origin := looked.projection_of) is not None:
        raise BadInput(f"{home} was filled by a replay and has no log of its own; name {origin} instead")
    async with await SqliteLog.open(looked.log_path, TOPICS, wall_clock_ms, read_only=True) as log:
        known = await known_at(log, await moment(log, text))
        state, whole = await state_of(log, known, space), await state_of(log, known, None)
        kept = looked.moments_path
        place = next((kept / one.name for one in (whole, state) if _is_whole(kept / one.name)), kept / state.name)
        snapshots = Snapshots(looked.snapshots_path)
        if signed_by is not None and (place / "home.json").exists():  # of one that went its lock is left
            with in_turn(home, text), Home.open(place, create=False):
                shutil.rmtree(place)

        async def seed(into: Home) -> None:
            (into.path / manifests.FILE).unlink(missing_ok=True)  # of another go, which was interrupted
            while (nearest := await snapshots.nearest(log, state, known.dead, signed_by)) is not None:
                if await asyncio.to_thread(snapshots.fill, into, nearest):
                    return

        while True:
            if not _is_whole(place):
                with in_turn(home, text):
                    await restate(
                        home,
                        place,
                        until=known.vector,
                        spaces=[space] if space else (),
                        lean=True,
                        embedder=embedder,
                        on_progress=on_progress,
                        on_retry=on_retry,
                        seed=seed,
                    )
            with suppress(FileNotFoundError):  # an erasure, or whoever made room, has just removed it
                os.utime(place / "home.json")
                begun_with = manifests.read(place) if (place / manifests.FILE).exists() else None
                break
    _make_room(kept, place)
    return Past(home=place, records=sum(state.positions.values()), snapshot=begun_with)


@contextmanager
def in_turn(home: Path, text: str) -> Iterator[None]:
    """Open what holds a past state, or say who has it open: one process at a time has it.

    Args:
        home: The home whose past it is.
        text: The moment.

    Raises:
        RetryLater: Another process is just putting it together, or looks at it.
    """
    try:
        yield
    except InUseError as busy:
        raise RetryLater(
            f"the state of {home} at {text} is just being put together or looked at by {busy.who}; try again when that"
            " has ended"
        ) from busy


def _is_whole(place: Path) -> bool:
    try:
        return not Home.look(place).unfinished
    except BadInput:  # there is none
        return False


def _make_room(kept: Path, newest: Path) -> None:
    """Remove the states that were used longest ago, but none that somebody has open."""
    used: dict[Path, int] = {}
    for path in kept.iterdir():
        if path != newest:
            with suppress(FileNotFoundError):  # it is none, or was removed
                used[path] = (path / "home.json").stat().st_mtime_ns
    for path in sorted(used, key=used.__getitem__, reverse=True)[KEPT - 1 :]:
        with suppress(BadInput, ConfigurationError), Home.open(path, create=False):
            shutil.rmtree(path)
