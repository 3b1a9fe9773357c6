"""Configuration of the fleet: from the environment (`HELAMEM_…`) and from a file, with secrets kept out of sight."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from helamem.processors.consolidation.llm.chat import ChatSettings
from helamem.processors.consolidation.llm.distiller import WhenSpent, least_tokens
from helamem.processors.consolidation.llm.spending import Cap, Prices
from helamem.processors.embedder.choose import DEFAULT as DEFAULT_EMBEDDER
from helamem.processors.store.qdrant_settings import QdrantSettings, Quantization
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.streams.distilling import EXTRACTIVE, ModelSettings
from helamem.streams.gateway.oidc_settings import OidcSettings
from helamem.streams.log.kafka_settings import Compression, KafkaSettings, SaslMechanism, SecurityProtocol

PREFIX = "HELAMEM_"
FILE_VARIABLE = "HELAMEM_CONFIG"
DEFAULT_FILE = Path("helamem.toml")
HIDDEN = "(set, not shown)"
_OF_OTHERS = tuple(f"{PREFIX}{name}" for name in ("TEST_", "REQUIRE_", "FIRE", "OPENAI_", "ASYNCAPI_"))
_CREDENTIALS = re.compile(r"(?<=//)[^/?#]*@")
"""User and password in an address."""


class Config(BaseSettings):
    """What a worker or a tool of the fleet is told from outside."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    kafka_servers: str = Field("localhost:9092", description="Kafka brokers, host:port, several separated by commas.")
    kafka_security: SecurityProtocol = Field("PLAINTEXT", description="How to talk to Kafka.")
    kafka_ca_file: Path | None = Field(None, description="Certificates (PEM) that may sign the brokers' own.")
    kafka_cert_file: Path | None = Field(None, description="This client's certificate (PEM).")
    kafka_key_file: Path | None = Field(None, description="Its key (PEM).")
    kafka_key_password: SecretStr | None = Field(None, description="Password of the key.")
    kafka_sasl_mechanism: SaslMechanism = Field("PLAIN", description="How to log in to Kafka.")
    kafka_username: str | None = Field(None, description="User name at Kafka.")
    kafka_password: SecretStr | None = Field(None, description="Password at Kafka.")
    kafka_compression: Compression = Field("none", description="How appended batches are packed.")
    kafka_replication: int = Field(1, ge=1, description="Replicas of topics that `helamem topics apply` makes.")
    store: Literal["process", "qdrant"] = Field(
        "process", description="process: `helamem store` on this machine. qdrant: a Qdrant server."
    )
    store_home: Path = Field(Path("helamem-home"), description="Home that `helamem store` serves.")
    qdrant_url: str = Field("http://localhost:6333", description="Address of the Qdrant server.")
    qdrant_api_key: SecretStr | None = Field(None, description="Its API key.")
    qdrant_prefix: str = Field("helamem", min_length=1, description="Beginning of the names of our collections.")
    qdrant_grpc_port: int = Field(6334, ge=1, le=65535, description="Its port for gRPC, by which all calls go.")
    qdrant_timeout_s: int = Field(10, ge=1, description="Seconds after which a call counts as failed.")
    qdrant_replication: int = Field(1, ge=1, description="Replicas of each shard of our collections.")
    qdrant_write_consistency: int | None = Field(
        None, ge=1, description="Replicas that have to confirm a write; unset, more than half of them."
    )
    qdrant_payload_on_disk: bool = Field(
        default=True, description="Whether payloads are read from disk when asked for."
    )
    qdrant_quantization: Quantization = Field(
        "none", description="Smaller copies of vectors to search by; results are scored by the vectors themselves."
    )
    embedder: str = Field(DEFAULT_EMBEDDER, description="What embeds; must be the one in the log's settings.")
    reranker: str | None = Field(
        None, description="What puts the memories of a recall in order, as onnx:DIR; unset, nothing does."
    )
    distiller: str = Field(
        "extractive",
        max_length=200,
        description="What distils: extractive quotes, openai:MODEL asks a service that speaks /v1/chat/completions.",
    )
    distiller_base_url: str | None = Field(None, description="Address of that service up to and including /v1.")
    distiller_api_key: SecretStr | None = Field(None, description="Its API key.")
    distiller_connect_timeout_s: float = Field(5.0, gt=0, description="Seconds to reach it.")
    distiller_timeout_s: float = Field(60.0, gt=0, description="Seconds after which a call of it counts as failed.")
    distiller_concurrency: int = Field(4, ge=1, le=256, description="Most calls of it at a time.")
    distiller_max_tokens: int = Field(2048, ge=64, description="Most tokens of one answer.")
    distiller_temperature: float = Field(0.0, ge=0, le=2, description="How freely the model chooses its words.")
    distiller_price_in: float = Field(0.0, ge=0, description="What a million tokens of questions cost.")
    distiller_price_out: float = Field(0.0, ge=0, description="What a million tokens of answers cost.")
    distiller_cap_tokens: int | None = Field(
        None, ge=0, description="Most tokens, questions and answers, of one tenant in a day (UTC)."
    )
    distiller_cap_cost: float | None = Field(
        None, ge=0, description="Most that one tenant may cost in a day (UTC), by the prices."
    )
    distiller_when_spent: WhenSpent = Field(
        "quote",
        description="Hubs of a tenant at its cap: quote distils them without the model, wait holds up the backlog.",
    )
    session_timeout_s: float = Field(
        10.0, ge=1, description="A worker that is silent for so long loses its partitions."
    )
    edge_interval_s: float = Field(
        0.25,
        ge=0,
        le=60,
        description="Seconds within which the edges of a memory are written once, however often used.",
    )
    effects_index: Path | None = Field(
        None, description="File in which a worker finds again what models answered; unset, it reads that at each start."
    )
    batch_records: int = Field(1000, ge=1, le=100_000, description="Most records in one batch.")

    sealed_tenants: str = Field("", description="Tenants whose words are sealed, several separated by commas.")
    keys: Path | None = Field(
        None, description="Directory of the keys that seal words, the same one for all processes; see docs/erasure.md."
    )
    recall_audit: Literal["strict", "relaxed"] = Field(
        "strict",
        description="strict: recalls are in the log before they are answered. relaxed: answers do not wait for that.",
    )
    gateway_keys: Path | None = Field(
        None,
        description="File of the API keys of all gateways of a fleet, made by helamem keys add --file; "
        "a home's gateway has the home's.",
    )
    gateways: int = Field(
        1,
        ge=1,
        le=1000,
        description="Gateways and processes that merge, side by side: each takes its part of all rates and quotas.",
    )
    oidc_issuer: str | None = Field(
        None, description="Issuer whose bearer tokens a gateway takes besides keys; unset, none. See docs/access.md."
    )
    oidc_audience: str | None = Field(None, description="Audience that its tokens must name.")
    oidc_jwks_url: str | None = Field(
        None, description="Address of its keys; unset, what its /.well-known/openid-configuration says."
    )
    oidc_algorithms: str = Field("RS256,ES256", description="Signatures that count, several separated by commas.")
    oidc_leeway_s: float = Field(30.0, ge=0, le=600, description="Seconds by which its clock may differ from ours.")
    oidc_tenant_claim: str = Field("tenant", description="Claim that names the tenant; a.b is b within a.")
    oidc_spaces_claim: str | None = Field(
        None, description="Claim with patterns for the tenant's spaces; unset, a token is for all of them."
    )
    oidc_rights_claim: str = Field("scope", description="Claim with the rights: a list, or words with blanks between.")
    oidc_rights_prefix: str = Field("helamem:", description="What stands before each right there.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="Port for /metrics, /live and /ready; without one there are none."
    )
    metrics_host: str = Field("127.0.0.1", description="Address at which they are answered.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What processes log to their standard error; info says what an operator should know."
    )
    traces: Literal["off", "otlp"] = Field(
        "off", description="otlp: traces go to the collector that the OTEL_… variables name; needs helamem[otel]."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())

    def kafka(self) -> KafkaSettings:
        """Return how to reach Kafka.

        Raises:
            ConfigurationError: The settings contradict each other.
        """
        return KafkaSettings(
            bootstrap_servers=self.kafka_servers,
            security_protocol=self.kafka_security,
            tls_ca_file=self.kafka_ca_file,
            tls_cert_file=self.kafka_cert_file,
            tls_key_file=self.kafka_key_file,
            tls_key_password=_secret(self.kafka_key_password),
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_username,
            sasl_password=_secret(self.kafka_password),
            compression=self.kafka_compression,
        )

    def asked_distiller(self) -> ModelSettings | None:
        """Return the model that distils, or None where none does.

        Raises:
            ConfigurationError: There is no such distiller, or the settings contradict each other.
        """
        if self.distiller == EXTRACTIVE:
            return None
        kind, _, model = self.distiller.partition(":")
        if kind != "openai" or not model:
            raise ConfigurationError(
                f"there is no distiller {self.distiller!r}; HELAMEM_DISTILLER is {EXTRACTIVE} or openai:MODEL"
            )
        if not self.distiller_base_url:
            raise ConfigurationError(
                f"the distiller {self.distiller} needs HELAMEM_DISTILLER_BASE_URL, the service's address up to /v1"
            )
        if self.distiller_cap_cost is not None and not (self.distiller_price_in or self.distiller_price_out):
            raise ConfigurationError(
                "HELAMEM_DISTILLER_CAP_COST is set and no price, so that nothing would ever cost anything; set "
                "HELAMEM_DISTILLER_PRICE_IN and HELAMEM_DISTILLER_PRICE_OUT"
            )
        wanted = ModelSettings(
            chat=ChatSettings(
                base_url=self.distiller_base_url,
                model=model,
                api_key=_secret(self.distiller_api_key),
                connect_timeout_s=self.distiller_connect_timeout_s,
                timeout_s=self.distiller_timeout_s,
                max_tokens=self.distiller_max_tokens,
                temperature=self.distiller_temperature,
            ),
            concurrency=self.distiller_concurrency,
            prices=Prices(per_million_in=self.distiller_price_in, per_million_out=self.distiller_price_out),
            cap=Cap(tokens=self.distiller_cap_tokens, cost=self.distiller_cap_cost),
            when_spent=self.distiller_when_spent,
        )
        least = least_tokens(wanted.chat)
        tokens, cost = least.tokens_in + least.tokens_out, wanted.prices.of(least)
        if wanted.cap.tokens is not None and wanted.cap.tokens < tokens:
            raise ConfigurationError(
                f"HELAMEM_DISTILLER_CAP_TOKENS is {wanted.cap.tokens} and one question with the longest answer takes "
                f"{tokens} or more: nothing would ever be asked; raise it, or lower HELAMEM_DISTILLER_MAX_TOKENS"
            )
        if wanted.cap.cost is not None and wanted.cap.cost < cost:
            raise ConfigurationError(
                f"HELAMEM_DISTILLER_CAP_COST is {wanted.cap.cost:g} and one question with the longest answer costs "
                f"{cost:g} or more: nothing would ever be asked; raise it, or lower HELAMEM_DISTILLER_MAX_TOKENS"
            )
        return wanted

    def asked_oidc(self) -> OidcSettings | None:
        """Return whose bearer tokens count, or None where nobody's do.

        Raises:
            ConfigurationError: They could not be trusted, or the issuer or an audience is missing.
        """
        if self.oidc_issuer is None:
            if others := sorted(name for name in self.model_fields_set if name.startswith("oidc_")):
                raise ConfigurationError(
                    f"{PREFIX}{others[0].upper()} is set and HELAMEM_OIDC_ISSUER is not, so that no token would count "
                    "and without keys anybody could ask; set the issuer too, or neither"
                )
            return None
        if self.oidc_audience is None:
            raise ConfigurationError(
                "HELAMEM_OIDC_ISSUER is set and HELAMEM_OIDC_AUDIENCE is not, so that tokens for any other service "
                "would count; set it to what the issuer calls helamem"
            )
        settings = OidcSettings(
            issuer=self.oidc_issuer,
            audience=self.oidc_audience,
            jwks_url=self.oidc_jwks_url,
            algorithms=tuple(name.strip() for name in self.oidc_algorithms.split(",") if name.strip()),
            leeway_s=self.oidc_leeway_s,
            tenant_claim=self.oidc_tenant_claim,
            spaces_claim=self.oidc_spaces_claim,
            rights_claim=self.oidc_rights_claim,
            rights_prefix=self.oidc_rights_prefix,
        )
        settings.check()
        return settings

    def qdrant(self) -> QdrantSettings:
        """Return how our collections on a Qdrant server are kept.

        Raises:
            ConfigurationError: The settings contradict each other.
        """
        return QdrantSettings(
            replication=self.qdrant_replication,
            write_consistency=self.qdrant_write_consistency,
            payload_on_disk=self.qdrant_payload_on_disk,
            quantization=self.qdrant_quantization,
        )


class Setting(Struct, frozen=True, kw_only=True):
    """One setting as `helamem config` shows it."""

    name: str
    value: str | None
    """In words; secrets are `HIDDEN`."""
    source: str
    """The variable, the file, or `default`."""
    description: str


def config_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is looked for; it need not be there unless it was named."""
    return Path(environment.get(FILE_VARIABLE, DEFAULT_FILE))


def load_config() -> Config:
    """Return the configuration in force.

    Raises:
        BadInput: A value is not valid, a name is unknown, or the named file is not there or not TOML.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named is not None and not Path(named).is_file():
        raise BadInput(f"there is no file {named}, which {FILE_VARIABLE} names; check the path")
    known = {PREFIX + name.upper() for name in Config.model_fields}
    clients = {"HELAMEM_URL", "HELAMEM_API_KEY", "HELAMEM_SPACE"}
    elsewhere = {FILE_VARIABLE, "HELAMEM_HOME", "HELAMEM_MASTER_KEY"} | clients
    for variable in sorted(os.environ):
        if variable.startswith(PREFIX) and variable not in known | elsewhere and not _of_others(variable):
            raise BadInput(f"{variable} is no setting; `helamem config` lists those that there are")
    try:
        return Config()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"{name} in {config_file()} is no setting; `helamem config` lists those that there are"
            ) from None
        raise BadInput(f"the setting {name} is not valid: {first['msg']}; it comes from {source_of(name)}") from None
    except ValueError as error:
        raise BadInput(f"{config_file()} is not TOML: {error}") from None


def describe(config: Config) -> list[Setting]:
    """Return every setting with its value and where that came from."""
    return [
        Setting(
            name=name,
            value=_shown(getattr(config, name)),
            source=source_of(name),
            description=field.description or "",
        )
        for name, field in Config.model_fields.items()
    ]


def source_of(name: str) -> str:
    """Return where a setting comes from."""
    if name in EnvSettingsSource(Config)():
        return PREFIX + name.upper()
    if name in TomlConfigSettingsSource(Config, config_file())():
        return str(config_file())
    return "default"


def _of_others(variable: str) -> bool:
    """Return whether a variable belongs to the tests or to an embedder, which look for theirs themselves."""
    return variable.startswith(_OF_OTHERS)


def _secret(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    return HIDDEN if isinstance(value, SecretStr) else _CREDENTIALS.sub(f"{HIDDEN}@", str(value))
