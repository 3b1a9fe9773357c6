"""How Faust proves to a broker who it is, from the settings that every client of ours has."""

from __future__ import annotations

import ssl

import faust
from faust.auth import Credentials, OAuthCredentials

from helamem.streams.log.kafka_settings import KafkaSettings


def credentials_of(kafka: KafkaSettings) -> Credentials | None:
    """Return Faust's credentials, or None where brokers ask for none.

    Raises:
        ConfigurationError: A file of the TLS settings cannot be read.
    """
    tls: ssl.SSLContext | None = kafka.client_options().get("ssl_context")
    if not kafka.security_protocol.startswith("SASL"):
        return None if tls is None else faust.SSLCredentials(tls)
    # Each of them chooses SASL_SSL by itself where it is given a context.
    if kafka.sasl_mechanism == "OAUTHBEARER":
        assert kafka.sasl_token_provider is not None  # the settings see to it
        return OAuthCredentials(oauth_cb=kafka.sasl_token_provider, ssl_context=tls)
    if kafka.sasl_mechanism == "GSSAPI":
        return faust.GSSAPICredentials(ssl_context=tls)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password,
        ssl_context=tls,
        mechanism=kafka.sasl_mechanism,
    )
