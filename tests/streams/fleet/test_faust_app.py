"""What an application is made of, without a broker."""

from __future__ import annotations

from typing import Any

import pytest
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials
from faust.types import TP, Message

from fakes.events import message, record
from helamem.schemas.errors import ConfigurationError, Poison
from helamem.schemas.records import Position, Record, TopicPartition
from helamem.schemas.topics import CONVERSATIONS, FACTS, TOPICS
from helamem.streams.fleet.agents import safe_agent
from helamem.streams.fleet.app import build_app
from helamem.streams.fleet.codec import Arrival, RawSchema, arrival_of
from helamem.streams.fleet.faust_credentials import credentials_of
from helamem.streams.log.kafka_settings import KafkaSettings

KAFKA = KafkaSettings(bootstrap_servers="one:9092, two:9093", client_id="test")


async def ignore(arrival: Arrival) -> None:
    """Do nothing."""


def test_settings_and_topics() -> None:
    """Everything is said, nothing is left to Faust's defaults that would surprise: no web server, no new topics."""
    app = build_app(KAFKA, name="platform", session_timeout_s=10)
    conf: Any = app.conf
    assert (conf.id, conf.web_enabled, conf.topic_allow_declare, conf.topic_disable_leader) == (
        "platform",
        False,
        False,
        True,
    )
    assert [f"{url.host}:{url.port}" for url in conf.broker] == ["one:9092", "two:9093"]
    assert (conf.consumer_auto_offset_reset, conf.broker_session_timeout) == ("earliest", 10)
    topics = app.topics
    handles: list[Any] = [topics.conversations, topics.recalls, topics.hubs, topics.facts, topics.control]
    handles += [topics.dead_letters, topics.checkpoints, topics.effects, topics.access]
    for handle, spec in zip(handles, TOPICS, strict=True):
        assert handle.get_topic_name() == spec.name
        assert (handle.partitions, handle.internal, handle.acks) == (spec.partitions, False, True)


def test_a_topic_that_the_application_does_not_know() -> None:
    """It says what to do."""
    app = build_app(KAFKA, [FACTS])
    with pytest.raises(ConfigurationError, match=r"knows no topic helamem\.hubs; give its spec"):
        _ = app.topics.hubs


def test_one_agent_for_a_topic() -> None:
    """Two agents of one application would share a position; the second is refused, of whatever kind."""
    app = build_app(KAFKA)
    safe_agent(app, app.topics.facts, name="first")(ignore)
    with pytest.raises(ConfigurationError, match="has the agent first already"):
        safe_agent(app, app.topics.facts, name="second")(ignore)

    @app.agent(app.topics.facts, name="plain")
    async def plain(stream: object) -> None:
        """Do nothing."""

    with pytest.raises(ConfigurationError, match="the agents first and plain both read"):
        app._refuse_shared_topics()


def test_drain_and_rebalance() -> None:
    """Partitions must not go to others while their event is still being finished."""
    with pytest.raises(ConfigurationError, match="lower drain_s"):
        build_app(KAFKA, drain_s=60, rebalance_timeout_s=60)


def test_credentials() -> None:
    """What KafkaSettings say, in Faust's words; secrets are not in their repr."""
    assert credentials_of(KAFKA) is None
    sasl = credentials_of(
        KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username="anna",
            sasl_password="hunter2",  # noqa: S106 - no secret
        )
    )
    assert isinstance(sasl, SASLCredentials)
    assert (sasl.protocol.value, sasl.mechanism.value, sasl.username) == ("SASL_SSL", "SCRAM-SHA-512", "anna")
    assert "hunter2" not in repr(sasl)
    assert isinstance(credentials_of(KafkaSettings(security_protocol="SSL")), SSLCredentials)
    token: Any = object()
    oauth = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", sasl_token_provider=token)
    assert isinstance(credentials_of(oauth), OAuthCredentials)


def test_records_become_arrivals() -> None:
    """Position, partition and event; what is no event is Poison, and only where we decode it."""
    new = record(message("m1", "tea"))
    arrived = Record(topic=CONVERSATIONS.name, partition=2, offset=7, append_time_ms=1, key=new.key, value=new.value)
    arrival = arrival_of(arrived)
    assert arrival.partition == TopicPartition(CONVERSATIONS.name, 2)
    assert arrival.position == Position(1, 7)
    assert arrival.event == message("m1", "tea")
    nothing = Message(
        CONVERSATIONS.name,
        2,
        8,
        timestamp=1.0,
        timestamp_type=0,
        headers=None,
        key=None,
        value=None,
        checksum=None,
        tp=TP(CONVERSATIONS.name, 2),
    )
    app: Any = None
    assert RawSchema().loads_key(app, nothing) == b""
    value = RawSchema().loads_value(app, nothing)
    with pytest.raises(Poison):
        arrival_of(Record(topic=CONVERSATIONS.name, partition=2, offset=8, append_time_ms=1, key=b"", value=value))
