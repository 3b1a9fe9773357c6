"""`helamem topics migrate` beside others: who gives it up, groups of platforms, operators, a broker that hangs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from typing import Self

import pytest
from aiokafka import AIOKafkaConsumer

from contracts.log_contract import read_all
from fixtures.kafka import Kafka
from helamem.schemas.errors import RetryLater
from helamem.schemas.records import TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS, RECALLS, TOPICS
from helamem.streams.log.generation import specs_of
from helamem.streams.log.kafka import KafkaLog
from helamem.streams.log.kafka_configs import change_configs, configs_of, put_configs
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.kafka_topics import admin_client
from streams.cli.fleet import Fleet, fleet, kafka, own_kafka
from streams.cli.idle_fleet import IdleFleet
from streams.cli.killed_migration import THERE
from streams.cli.shell import Ran, ended, run, start
from streams.cli.test_fleet_migrate import KILLED

__all__ = ["fleet", "kafka", "own_kafka"]

pytestmark = pytest.mark.slow  # the broker takes seconds to start


class Marked:
    """A migration that has come to its mark."""

    def __init__(self, how: str, step: str, number: int, partitions: int) -> None:
        self._process = start(how, step, number, partitions, program=(str(KILLED),))
        assert self._process.stderr is not None
        said = ""
        while THERE not in said:
            line = self._process.stderr.readline()
            assert line, f"it ended before it was there: {said}"
            said += line
        if how == "stop":
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            ended(self._process)

    def goes_on(self, number: signal.Signals) -> Ran:
        """Tell it to, and wait for its end."""
        self._process.send_signal(number)
        return ended(self._process)


@pytest.fixture
def idle(fleet: Fleet) -> IdleFleet:
    fleet.store.start()
    idle = IdleFleet(KafkaSettings(bootstrap_servers=fleet.broker.servers), fleet.home)
    asyncio.run(idle.begin())
    return idle


def test_who_migrates_is_not_disturbed(idle: IdleFleet) -> None:
    """It cannot be given up while it is at work; one that was away meanwhile finds out and switches nothing."""
    with Marked("wait", "switch", 1, 7) as at_work:
        refused = run("topics", "migrate", "--cancel")
        assert (refused.code, "somebody else is migrating" in refused.err) == (1, True), refused.err
        assert asyncio.run(idle.states()) == ["in use, sealed", "being filled"]
        assert at_work.goes_on(signal.SIGUSR1).code == 0
    assert asyncio.run(idle.states()) == ["left", "in use"]

    with Marked("stop", "commit", 2, 5) as away:
        assert run("topics", "migrate", "--cancel").json == {"generation": 2}
        late = away.goes_on(signal.SIGCONT)
    assert (late.code, "generation 2 is not as it was copied any more" in late.err) == (1, True), late.err
    assert asyncio.run(idle.states()) == ["left", "in use", "being filled"]


def test_records_that_came_in_meanwhile_are_not_left_behind(idle: IdleFleet) -> None:
    """Given up, records taken, and begun again while the first stood still: that one switches nothing."""
    with Marked("stop", "commit", 2, 7) as away:
        asyncio.run(idle.cancel())
        asyncio.run(idle.distil("late"))
        asyncio.run(idle.processed())
        assert ended(start("kill", "compare", 1, 7, program=(str(KILLED),))).code == -9
        late = away.goes_on(signal.SIGCONT)
    assert (late.code, "generation 1 is not as it was copied any more" in late.err) == (1, True), late.err
    assert asyncio.run(idle.states()) == ["in use, sealed", "being filled"]
    assert asyncio.run(idle.migrate(7)) == 2


def test_a_platforms_group_has_to_have_read_everything(idle: IdleFleet) -> None:
    """Also where it has committed nothing yet: in some partitions of a topic, or at all while it has members."""
    asyncio.run(groups_of_a_platform(idle))


async def groups_of_a_platform(idle: IdleFleet) -> None:
    await idle.distil(*(f"d{number}" for number in range(20)))
    await idle.processed()
    async with await KafkaLog.open(idle.settings, [FACTS]) as log:
        ends = await log.end_offsets(await log.partitions(FACTS.name))
        read = TopicPartition(FACTS.name, 0)
        await log.commit("platform", {read: ends[read]})
        left = sum(ends.values()) - ends[read]
        assert left > 0
        with pytest.raises(
            RetryLater, match=rf"left are: platform {left} records; let workers .* kafka-consumer-groups"
        ):
            await idle.migrate(8)
        await log.commit("platform", ends)
    consumer = AIOKafkaConsumer(
        FACTS.name, bootstrap_servers=idle.settings.bootstrap_servers, group_id="newcomer", enable_auto_commit=False
    )
    await consumer.start()
    try:
        with pytest.raises(RetryLater, match=r"workers are at work: newcomer \(1\)"):
            await idle.migrate(8)
    finally:
        await consumer.stop()
    assert await idle.migrate(8) == 2
    moved = [spec for spec in specs_of(2, 8, TOPICS) if spec.base_name == FACTS.base_name]
    async with await KafkaLog.open(idle.settings, moved) as log:
        partitions = await log.partitions(FACTS.name)
        assert await log.committed("platform") == await log.end_offsets(partitions)
        assert len(partitions) == 8


def test_what_an_operator_set_goes_along(idle: IdleFleet) -> None:
    """Retention, sizes, what was taken off; given up in the middle of the switch, sizes and times are right again."""
    changed = {"retention.ms": "2592000000", "max.message.bytes": "5000000", "segment.ms": "3600000"}
    asyncio.run(configured(idle, changed))
    assert ended(start("kill", "configs", 3, 6, program=(str(KILLED),))).code == -9
    assert asyncio.run(idle.states()) == ["in use, sealed", "being filled"]
    assert asyncio.run(idle.config(RECALLS, 2)).in_force["message.timestamp.type"] == "LogAppendTime"
    asyncio.run(idle.cancel())
    assert asyncio.run(idle.config(CONVERSATIONS, 1)).own.items() >= changed.items()
    asyncio.run(idle.distil(*(f"d{number}" for number in range(20))))
    asyncio.run(idle.processed())
    asyncio.run(configured(idle, changed := changed | {"max.message.bytes": "6000000"}))
    assert asyncio.run(idle.migrate(6)) == 2
    assert asyncio.run(idle.config(CONVERSATIONS, 2)).own.items() >= changed.items()
    recalls = asyncio.run(idle.config(RECALLS, 2)).own
    assert ("flush.messages" in recalls, recalls["retention.ms"]) == (False, "-1")
    assert asyncio.run(times(idle, 1, 4)) == asyncio.run(times(idle, 2, 6))
    shown = run("topics", "show")
    assert (shown.code, shown.err) == (0, "")
    asyncio.run(idle.distil("more"))


async def configured(idle: IdleFleet, changes: Mapping[str, str]) -> None:
    """Set what an operator may set of one topic, and take something off another."""
    async with admin_client(idle.settings, "setting") as admin:
        await change_configs(admin, {CONVERSATIONS.name: changes})
        own = (await configs_of(admin, [RECALLS.name]))[RECALLS.name].own
        await put_configs(admin, {RECALLS.name: {name: own[name] for name in own.keys() - {"flush.messages"}}})


async def times(idle: IdleFleet, generation: int, partitions: int) -> dict[bytes, int]:
    """Return when the log took each fact."""
    specs = [one for one in specs_of(generation, partitions, TOPICS) if one.base_name == FACTS.base_name]
    async with KafkaLog(idle.settings, specs) as log:
        numbered = await log.partitions(FACTS.name)
        return {one.value: one.append_time_ms for at in numbered for one in await read_all(log, at)}


def test_kafka_hangs_behind_the_switch(idle: IdleFleet, own_kafka: Kafka) -> None:
    """It says that the migration is done, in one sentence, and it is."""
    with Marked("stop", "switched", 2, 6) as done:
        own_kafka.pause()
        ran = done.goes_on(signal.SIGCONT)
    own_kafka.resume()
    assert (ran.code, "the migration is done and generation 2 is in use" in ran.err) == (1, True), ran.err
    assert "Traceback" not in ran.err
    assert asyncio.run(idle.states()) == ["left", "in use"]
    assert "has 6 partitions already" in run("topics", "migrate", "--partitions", 6).err
