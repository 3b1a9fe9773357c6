"""What a failure of Kafka means for the caller: try again, or have somebody set something right."""

from __future__ import annotations

from aiokafka import errors

from helamem.schemas.errors import ConfigurationError, HelamemError, RetryLater
from helamem.streams.log.kafka_settings import KafkaSettings
from helamem.streams.log.port import TakesNoRecordsError

FAILURES = (errors.KafkaError, errors.ConsumerStoppedError, TimeoutError, OSError)
"""What aiokafka raises when something does not work; anything else is a bug."""

_Kinds = type[BaseException] | tuple[type[BaseException], ...]

_REFUSED = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.ClusterAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.SaslAuthenticationFailed,
    errors.TopicAuthorizationFailedError,
    errors.UnsupportedSaslMechanismError,
)
_UNREACHABLE = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    errors.StaleMetadata,
    TimeoutError,
    OSError,
)
_SENTENCES: tuple[tuple[_Kinds, type[HelamemError], str], ...] = (
    (
        errors.UnknownTopicOrPartitionError,
        ConfigurationError,
        "{where} does not have the topic, {doing}; create it with `helamem topics apply`",
    ),
    (
        _REFUSED,
        ConfigurationError,
        "{where} refused access, {doing} ({name}); check user, password and the user's rights",
    ),
    (
        (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError),
        TakesNoRecordsError,
        "{where} takes no record this large, or none at all during a migration, {doing}; wait or set max.message.bytes",
    ),
    (
        errors.UnsupportedCodecError,
        ConfigurationError,
        "{where} has records in a compression that is not installed here, {doing} ({error}); `pip install cramjam`",
    ),
    (
        errors.CommitFailedError,
        ConfigurationError,
        "{where} lets only a group's running workers move it, {doing}; stop them and try again",
    ),
    (
        _UNREACHABLE,
        RetryLater,
        "{where} did not answer, {doing} ({name}); check that it runs and is reachable{protocol}, then try again",
    ),
    (errors.KafkaError, RetryLater, "{where} could not do it now, {doing} ({name}: {error}); try again"),
)
"""From the special to the general; the first that fits is told."""


def explained(error: BaseException, doing: str, settings: KafkaSettings) -> HelamemError:
    """Return the error to raise for what aiokafka raised.

    Args:
        error: One of `FAILURES`.
        doing: What was tried, as in "appending to helamem.facts.g1/0".
        settings: Whose cluster it was.
    """
    kind, sentence = next(
        ((kind, sentence) for types, kind, sentence in _SENTENCES if isinstance(error, types)),
        (RetryLater, _SENTENCES[-1][2]),
    )
    protocol = settings.security_protocol
    return kind(
        sentence.format(
            where=f"Kafka at {settings.bootstrap_servers}",
            doing=doing,
            name=type(error).__name__,
            error=error,
            # A broker that wants TLS does not say so to one that talks plainly, and the other way round.
            protocol="" if protocol == "PLAINTEXT" else f" with {protocol}",
        )
    )
