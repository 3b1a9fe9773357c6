"""`KafkaSettings`: contradictions are refused, secrets stay secret."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from aiokafka import codec, errors

from helamem.schemas.errors import ConfigurationError, RetryLater
from helamem.streams.log.kafka_errors import explained
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.port import TakesNoRecordsError


def test_secrets_are_not_shown() -> None:
    """Neither password is in the text of the settings, nor in a sentence about their cluster."""
    word = "hunter2"
    settings = KafkaSettings(
        security_protocol="SASL_SSL", sasl_username="worker", sasl_password=word, tls_key_password=word
    )
    sentence = str(explained(errors.KafkaConnectionError("x"), "reading", settings))
    assert word not in f"{settings!r} {settings} {sentence}"
    assert "with SASL_SSL" in sentence
    options = settings.client_options()
    assert options["sasl_plain_password"] == word
    assert options["ssl_context"].check_hostname
    assert options["ssl_context"].verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"bootstrap_servers": " "}, "no Kafka server"),
        ({"timeout_s": 0}, "above 0"),
        ({"security_protocol": "SASL_SSL"}, "PLAIN needs a user name and a password"),
        ({"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}, "token provider"),
    ],
)
def test_contradictions_are_refused(options: dict[str, Any], reason: str) -> None:
    """The error says what is missing."""
    with pytest.raises(ConfigurationError, match=reason):
        KafkaSettings(**options)


def test_a_compression_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the package that is missing."""
    monkeypatch.setattr(codec, "has_zstd", lambda: False)  # also where some other package brings it
    with pytest.raises(ConfigurationError, match="pip install cramjam"):
        KafkaSettings(compression="zstd")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing or broken certificate is a matter of configuration, said in one sentence."""
    broken = tmp_path / "broken.pem"
    broken.write_text("not a certificate")
    for path in (tmp_path / "missing.pem", broken):
        with pytest.raises(ConfigurationError, match="check the paths"):
            KafkaSettings(security_protocol="SSL", tls_ca_file=path).client_options()


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (errors.KafkaConnectionError("x"), RetryLater, "check that it runs and is reachable, then try again"),
        (errors.KafkaTimeoutError(), RetryLater, "did not answer"),
        (TimeoutError(), RetryLater, "did not answer"),
        (ConnectionRefusedError(), RetryLater, "did not answer"),
        (errors.NotEnoughReplicasError(), RetryLater, "NotEnoughReplicasError"),
        (errors.UnknownTopicOrPartitionError(), ConfigurationError, "helamem topics apply"),
        (errors.TopicAuthorizationFailedError("t"), ConfigurationError, "check user, password"),
        (errors.MessageSizeTooLargeError(), TakesNoRecordsError, "max.message.bytes"),
        (errors.UnsupportedCodecError("zstd"), ConfigurationError, "pip install cramjam"),
        (errors.CommitFailedError(), ConfigurationError, "stop them"),
    ],
)
def test_every_failure_says_what_to_do(error: Exception, kind: type[Exception], advice: str) -> None:
    """What goes away by itself is to be tried again; what does not is for a person."""
    told = explained(error, "appending to t.g1/0", KafkaSettings(bootstrap_servers="kafka.example:9092"))
    assert type(told) is kind
    assert advice in str(told)
    assert "kafka.example:9092" in str(told)
    assert "appending to t.g1/0" in str(told)
