"""The past of a fleet: a space as it was at some moments, put together from Kafka for one question and then removed.

A home keeps past states beside it. A gateway of a fleet keeps nothing: it has the directory for temporary files, and
what others left there whose process was killed is removed before anything is put there.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from helamem.processors.embedder.choose import is_recorded
from helamem.processors.embedder.port import Embedder
from helamem.processors.store.edge_room import OPENING_BYTES, RESERVE_BYTES, SHARD_BYTES, Room
from helamem.schemas.errors import BadInput, RetryLater
from helamem.schemas.times import format_ms
from helamem.schemas.topics import TOPICS
from helamem.streams.config import Config
from helamem.streams.home import wall_clock_ms
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.writer_lock import InUseError, WriterLock
from helamem.streams.replay import TooMuchError, restate_from

MOST_RECORDS = 500_000
"""Most that are read for one past state."""
LONGEST_S = 300.0
"""How long putting together what one question needs may take."""
PATIENCE_S = 20.0
"""How long it is waited for what is away meanwhile."""
ROOM_BYTES = RESERVE_BYTES + OPENING_BYTES + 3 * SHARD_BYTES
"""Free at least where it is begun."""
_PREFIX = "helamem-past-"
_BEGUN = f".{_PREFIX}"
"""Of a directory whose lock is not yet held."""
_BEGUN_S = 60.0
"""After which such a one counts as left behind."""
_LOCK = "past.lock"


@asynccontextmanager
async def past_of_fleet(
    config: Config, space: str, moments_ms: Sequence[int], *, embedder: Embedder, instead: str | None = None
) -> AsyncIterator[list[Path]]:
    """Yield for each moment a home that holds what a space was then; all of them are gone afterwards.

    Args:
        config: Where the fleet is.
        space: What alone is in them.
        moments_ms: By append time, milliseconds since 1970.
        embedder: What embeds the fleet's store.
        instead: Its name, where it is not what the log names.

    Raises:
        BadInput: The log held nothing at a moment.
        RetryLater: Kafka is away, or the disk is full.
        TooMuchError: It is too much for a gateway, or Kafka does not hold all of it.
    """
    if instead is not None and is_recorded(instead):
        raise TooMuchError(f"the store is embedded by the service {instead}, which a gateway does not ask again")
    await asyncio.to_thread(sweep)
    with _directory() as folder:
        _check_room(folder)
        places = [folder / str(number) for number in range(len(moments_ms))]
        bound = asyncio.timeout(LONGEST_S)
        patience = _Patience(bound)
        try:
            async with bound, await KafkaLog.open(config.kafka(), TOPICS) as log:
                for place, moment_ms in zip(places, moments_ms, strict=True):
                    await restate_from(
                        log,
                        place,
                        of=f"the log in Kafka at {config.kafka_servers}",
                        most_records=MOST_RECORDS,
                        until=format_ms(moment_ms),
                        spaces=[space],
                        embedder=embedder,
                        re_embed=instead,
                        keys=config.keys,
                        lean=True,
                        on_progress=patience.went_on,
                        on_retry=patience.stood,
                    )
        except TimeoutError:
            if patience.lost_at is not None:
                raise patience.lost_at from None
            raise TooMuchError(f"that takes longer than {LONGEST_S:g} s") from None
        yield places


def sweep() -> None:
    """Remove what gateways left behind that were killed; what others use stays."""
    root = Path(tempfile.gettempdir())
    for path in (*root.glob(f"{_PREFIX}*"), *root.glob(f"{_BEGUN}*")):
        with suppress(OSError, BadInput, InUseError):  # somebody else has just removed it, or uses it
            found = path.lstat()
            if path.is_symlink() or found.st_uid != os.getuid():
                continue
            if path.name.startswith(_PREFIX):
                lock = _locked(path)
                _remove(path, lock)
            elif time.time() - found.st_mtime > _BEGUN_S:
                shutil.rmtree(path)


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory, which nobody sweeps away, and remove it at the end.

    Raises:
        TooMuchError: There is nowhere to make it.
    """
    try:
        begun = Path(tempfile.mkdtemp(prefix=_BEGUN))
        lock = _locked(begun)
        place = begun.rename(begun.with_name(begun.name.removeprefix(".")))  # locked by now, and so to be seen
    except (OSError, BadInput) as error:
        raise TooMuchError(f"no directory for temporary files can be had ({error}); set TMPDIR to one") from None
    try:
        yield place
    finally:
        _remove(place, lock)


def _locked(path: Path) -> WriterLock:
    return WriterLock.take(path / _LOCK, f"the directory {path}", wall_clock_ms)


def _remove(path: Path, lock: WriterLock) -> None:
    shutil.rmtree(path, ignore_errors=True)  # a child that has yet to end may write once more: the next sweep
    lock.release()


def _check_room(folder: Path) -> None:
    """Refuse where there is little room, which on a small volume nobody will free.

    Raises:
        TooMuchError: There is.
    """
    try:
        Room(folder, ROOM_BYTES, what="past states").check()
    except RetryLater as error:
        raise TooMuchError(f"{error} or set TMPDIR to a directory with more") from None


class _Patience:
    """Ends what has stood for too long. It raises nothing itself: a replay would take that for the fault of a record.

    Args:
        bound: Of the work, which is about to begin.

    Attributes:
        lost_at: What was away for too long, or None.
    """

    def __init__(self, bound: asyncio.Timeout) -> None:
        self._bound = bound
        self._since_s: float | None = None
        self.lost_at: RetryLater | None = None

    def went_on(self, done: int, total: int) -> None:
        """Note that something was done."""
        del done, total
        self._since_s = None

    def stood(self, error: RetryLater) -> None:
        """Note that something is away."""
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        if now_s - self._since_s >= PATIENCE_S and not self._bound.expired():
            self.lost_at = error
            self._bound.reschedule(asyncio.get_running_loop().time())
