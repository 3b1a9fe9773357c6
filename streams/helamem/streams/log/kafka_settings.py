"""How to reach a Kafka cluster, and how patient to be with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aiokafka import codec
from aiokafka.abc import AbstractTokenProvider
from aiokafka.helpers import create_ssl_context

from helamem.schemas.errors import ConfigurationError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]


@dataclass(frozen=True, kw_only=True)  # no msgspec Struct: that cannot keep a single field out of its repr
class KafkaSettings:
    """Where Kafka is and how to talk to it. Secrets are not in its repr.

    Raises:
        ConfigurationError: The settings contradict each other.
    """

    bootstrap_servers: str = "localhost:9092"
    """`host:port`, several separated by commas."""
    client_id: str = "helamem"
    """What the broker's logs and quotas know this program by."""
    security_protocol: SecurityProtocol = "PLAINTEXT"
    tls_ca_file: Path | None = None
    """Certificates (PEM) that may sign the brokers' own; None takes the system's."""
    tls_cert_file: Path | None = None
    """This client's certificate (PEM), where brokers ask for one."""
    tls_key_file: Path | None = None
    tls_key_password: str | None = field(default=None, repr=False)
    sasl_mechanism: SaslMechanism = "PLAIN"
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    sasl_token_provider: AbstractTokenProvider | None = field(default=None, repr=False)
    """Gives tokens for OAUTHBEARER."""
    compression: Compression = "none"
    """How appended batches are packed; all but gzip need the package `cramjam`."""
    timeout_s: float = 20.0
    """How long one operation may take, retries included, before it is `RetryLater`. A new leader takes seconds."""
    max_batch_bytes: int = 1_000_000
    """Most bytes of records that one partition takes in one request; a single larger record goes alone."""
    max_pending_bytes: int = 32 * 2**20
    """Appends wait while so many bytes are not acknowledged yet."""

    def __post_init__(self) -> None:
        if not self.bootstrap_servers.strip():
            raise ConfigurationError("no Kafka server is named; give at least one as host:port")
        if self.timeout_s <= 0 or self.max_batch_bytes <= 0 or self.max_pending_bytes <= 0:
            raise ConfigurationError("timeout_s, max_batch_bytes and max_pending_bytes of Kafka must be above 0")
        if self.compression != "none" and not getattr(codec, f"has_{self.compression}")():
            raise ConfigurationError(
                f"Kafka's compression {self.compression} needs a package that is not installed; `pip install cramjam`"
                " or take gzip"
            )
        if not self.security_protocol.startswith("SASL"):
            return
        if self.sasl_mechanism == "OAUTHBEARER":
            if self.sasl_token_provider is None:
                raise ConfigurationError("Kafka with OAUTHBEARER needs a token provider; give one")
        elif self.sasl_mechanism != "GSSAPI" and (self.sasl_username is None or self.sasl_password is None):
            raise ConfigurationError(f"Kafka with {self.sasl_mechanism} needs a user name and a password; give both")

    def client_options(self) -> dict[str, Any]:
        """Return what every aiokafka client takes.

        Raises:
            ConfigurationError: A file of the TLS settings cannot be read.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "client_id": self.client_id,
            "request_timeout_ms": max(1, int(self.timeout_s * 1000)),
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
                "sasl_oauth_token_provider": self.sasl_token_provider,
            }
        if self.security_protocol.endswith("SSL"):
            try:
                options["ssl_context"] = create_ssl_context(
                    cafile=self.tls_ca_file,
                    certfile=self.tls_cert_file,
                    keyfile=self.tls_key_file,
                    password=self.tls_key_password or "",  # with None, OpenSSL would ask at the terminal
                )
            except (OSError, ValueError) as error:  # an SSLError is an OSError
                raise ConfigurationError(
                    f"the TLS files for Kafka cannot be read ({error}); check the paths and the key's password"
                ) from error
        return options
