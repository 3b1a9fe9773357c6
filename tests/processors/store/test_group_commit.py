"""When flushes are shared, and when they must not be."""

from __future__ import annotations

import asyncio

import pytest

from helamem.processors.store import group_commit
from helamem.processors.store.group_commit import GroupCommit
from helamem.schemas.errors import RetryLater


class Disk:
    """Flushes that end when told to; each covers what was written before it began."""

    def __init__(self) -> None:
        self.written = 0
        self.durable = 0
        self.flushes = 0
        self.go_on = asyncio.Semaphore(0)
        self.full = False

    async def flush(self) -> None:
        covers = self.written
        self.flushes += 1
        await self.go_on.acquire()
        if self.full:
            raise RetryLater("the disk is full")
        self.durable = covers


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_who_wait_share_the_next_flush() -> None:
    """A hundred ask while one is under way: it is two flushes, and the second is not begun before the first ends."""
    disk = Disk()
    commits = GroupCommit(disk.flush)
    first = asyncio.create_task(commits.flush())
    await turns()
    others = [asyncio.create_task(commits.flush()) for _ in range(100)]
    await turns()
    assert disk.flushes == 1
    disk.go_on.release()
    await first
    disk.go_on.release()
    await asyncio.gather(*others)
    assert disk.flushes == 2


async def test_a_flush_that_has_begun_answers_nobody_who_came_later() -> None:
    """What was written meanwhile is not covered by it."""
    disk = Disk()
    commits = GroupCommit(disk.flush)
    disk.written = 1
    first = asyncio.create_task(commits.flush())
    await turns()
    disk.written = 2
    second = asyncio.create_task(commits.flush())
    disk.go_on.release()
    await first
    await turns()
    assert (disk.durable, second.done()) == (1, False)
    disk.go_on.release()
    await second
    assert disk.durable == 2


async def test_a_failed_flush_is_told_to_all_who_shared_it_and_the_next_one_is_tried() -> None:
    """Nobody takes for durable what is not."""
    disk = Disk()
    commits = GroupCommit(disk.flush)
    disk.full = True
    asked = [asyncio.create_task(commits.flush()) for _ in range(3)]
    disk.go_on.release()
    assert [type(e) for e in await asyncio.gather(*asked, return_exceptions=True)] == [RetryLater] * 3
    disk.full = False
    disk.go_on.release()
    await commits.flush()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.gather(_cancelled(commits))
    disk.go_on.release()


async def _cancelled(commits: GroupCommit) -> None:
    task = asyncio.create_task(commits.flush())
    await turns()
    task.cancel()
    await task


async def test_who_goes_away_does_not_take_the_flush_with_him() -> None:
    """The others who share it are answered."""
    disk = Disk()
    commits = GroupCommit(disk.flush)
    asked = [asyncio.create_task(commits.flush()) for _ in range(3)]
    await turns()
    asked[0].cancel()
    await turns()
    disk.go_on.release()
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError, type(None), type(None)]


async def test_a_flush_waits_for_who_writes_and_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """One flush for all whose writes were under way when the first of them asked."""
    monkeypatch.setattr(group_commit, "GATHER_STEPS", 100_000)
    disk = Disk()
    disk.go_on.release()
    commits = GroupCommit(disk.flush)
    with commits.writing():
        flushing = [asyncio.create_task(commits.flush()) for _ in range(2)]
        await asyncio.sleep(0.05)
        assert disk.flushes == 0
    await asyncio.gather(*flushing)
    assert disk.flushes == 1


async def test_a_flush_does_not_wait_for_ever() -> None:
    """Whoever writes without an end keeps nobody waiting."""
    disk = Disk()
    disk.go_on.release()
    commits = GroupCommit(disk.flush)
    with commits.writing():
        await commits.flush()
    assert disk.flushes == 1
