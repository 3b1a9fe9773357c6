"""Configuration: the environment over the file, one sentence for what is wrong, and no secret anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from helamem.processors.consolidation.llm.chat import ChatSettings
from helamem.processors.consolidation.llm.spending import Cap, Prices
from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.streams.cli import gateway
from helamem.streams.config import HIDDEN, Config, config_file, describe, load_config, source_of
from helamem.streams.distilling import ModelSettings

SECRET = "s3cret-of-the-cluster"  # noqa: S105 - it opens nothing


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of whoever runs the tests counts."""
    monkeypatch.chdir(tmp_path)
    for name in Config.model_fields:
        monkeypatch.delenv(f"HELAMEM_{name.upper()}", raising=False)
    monkeypatch.delenv("HELAMEM_CONFIG", raising=False)


def shown(config: Config) -> dict[str, tuple[str | None, str]]:
    return {setting.name: (setting.value, setting.source) for setting in describe(config)}


def test_the_defaults_are_shown_as_such() -> None:
    """Every setting is listed, described, and comes from nowhere else."""
    config = load_config()
    settings = describe(config)
    assert [setting.name for setting in settings] == list(Config.model_fields)
    assert {setting.source for setting in settings} == {"default"}
    assert all(setting.description.endswith(".") for setting in settings)
    assert config.kafka().bootstrap_servers == "localhost:9092"


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """And each setting says which of them it comes from."""
    Path("helamem.toml").write_text('kafka_servers = "file:1"\nbatch_records = 7\nstore_home = "/var/lib/helamem"\n')
    monkeypatch.setenv("HELAMEM_KAFKA_SERVERS", "environment:1")
    config = load_config()
    assert (config.kafka_servers, config.batch_records) == ("environment:1", 7)
    assert config.kafka().bootstrap_servers == "environment:1"
    values = shown(config)
    assert values["kafka_servers"] == ("environment:1", "HELAMEM_KAFKA_SERVERS")
    assert values["store_home"] == ("/var/lib/helamem", "helamem.toml")
    assert values["qdrant_prefix"] == ("helamem", "default")


def test_a_named_file_is_read_instead_and_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one in the working directory then counts no longer; a missing one is refused by name."""
    Path("helamem.toml").write_text("batch_records = 7\n")
    other = tmp_path / "other.toml"
    monkeypatch.setenv("HELAMEM_CONFIG", str(other))
    with pytest.raises(BadInput, match=rf"there is no file {other}, which HELAMEM_CONFIG names"):
        load_config()
    other.write_text("batch_records = 8\n")
    assert load_config().batch_records == 8
    assert config_file() == other
    assert source_of("batch_records") == str(other)


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("HELAMEM_BATCH_RECORDS", "many", "the setting batch_records is not valid.*HELAMEM_BATCH_RECORDS"),
        ("HELAMEM_BATCH_RECORDS", "0", "the setting batch_records is not valid.*greater than or equal to 1"),
        ("HELAMEM_KAFKA_SECURITY", "TLS", "the setting kafka_security is not valid.*'PLAINTEXT', 'SSL'"),
        ("HELAMEM_KAFKA_SERVER", "a:1", "HELAMEM_KAFKA_SERVER is no setting; `helamem config` lists"),
        ("HELAMEM_STORE", "sqlite", "the setting store is not valid.*'process' or 'qdrant'"),
    ],
)
def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str) -> None:
    """In one sentence, with where it comes from."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput, match=complaint) as caught:
        load_config()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("batch_records = 'many'", "the setting batch_records is not valid.*it comes from helamem.toml"),
        ("kafka_server = 'a:1'", "kafka_server in helamem.toml is no setting; `helamem config` lists"),
        ("[kafka]\nservers = 'a:1'", "kafka in helamem.toml is no setting"),
        ("batch_records", "helamem.toml is not TOML"),
        ("\xff", "helamem.toml is not TOML"),
    ],
)
def test_a_bad_file_is_named(text: str, complaint: str) -> None:
    """In one sentence, with where it comes from."""
    Path("helamem.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=complaint) as caught:
        load_config()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "variable",
    [
        "HELAMEM_HOME",
        "HELAMEM_URL",
        "HELAMEM_API_KEY",
        "HELAMEM_SPACE",
        "HELAMEM_TEST_KAFKA",
        "HELAMEM_FIRE_SEED",
        "HELAMEM_OPENAI_API_KEY",
    ],
)
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Homes, clients, tests and embedders look for theirs themselves."""
    monkeypatch.setenv(variable, "x")
    load_config()


SECRETS = ("kafka_key_password", "kafka_password", "qdrant_api_key")


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_in_no_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Neither in what is shown nor in a repr; it is used all the same."""
    monkeypatch.setenv(f"HELAMEM_{name.upper()}", SECRET)
    monkeypatch.setenv("HELAMEM_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("HELAMEM_KAFKA_USERNAME", "mira")
    monkeypatch.setenv("HELAMEM_KAFKA_PASSWORD", SECRET)
    config = load_config()
    assert shown(config)[name] == (HIDDEN, f"HELAMEM_{name.upper()}")
    texts = (config, describe(config), config.kafka(), config.model_dump(), config.model_dump_json())
    assert not [text for text in texts if SECRET in f"{text!r} {text}"]
    assert config.kafka().sasl_password == SECRET


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_in_no_error(name: str) -> None:
    """Whatever else is wrong, in the file or with the secret itself."""
    for wrong in (
        f"{name} = ['{SECRET}']",
        f"{name} = '{SECRET}'\nbatch_records = 0",
        f"{name} = '{SECRET}'\n{name} = '{SECRET}'",
        f"{name} = '{SECRET}",
        f"{name}s = '{SECRET}'",
    ):
        Path("helamem.toml").write_text(wrong)
        with pytest.raises(BadInput) as caught:
            load_config()
        assert SECRET not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_a_secret_is_in_no_error_of_what_does_not_fit_together() -> None:
    """A password without a user name is refused without being named."""
    Path("helamem.toml").write_text(f"kafka_security = 'SASL_SSL'\nkafka_password = '{SECRET}'\n")
    with pytest.raises(ConfigurationError, match="needs a user name and a password") as caught:
        load_config().kafka()
    assert SECRET not in str(caught.value)


def test_a_password_in_an_address_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it belongs into the setting for it, it is found in addresses."""
    monkeypatch.setenv("HELAMEM_QDRANT_URL", f"https://mira:{SECRET}@qdrant.example:6333/a@b")
    config = load_config()
    assert shown(config)["qdrant_url"][0] == f"https://{HIDDEN}@qdrant.example:6333/a@b"
    assert config.qdrant_url.startswith(f"https://mira:{SECRET}@")


def test_a_model_that_distils_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one nobody is asked; its key is shown nowhere."""
    assert load_config().asked_distiller() is None
    Path("helamem.toml").write_text(
        f'distiller = "openai:g:7b"\ndistiller_base_url = "http://m:8000/v1"\ndistiller_api_key = "{SECRET}"\n'
        "distiller_concurrency = 9\ndistiller_price_in = 0.15\ndistiller_price_out = 0.6\ndistiller_cap_cost = 2.5\n"
        'distiller_cap_tokens = 1000000\ndistiller_when_spent = "wait"\ndistiller_max_tokens = 512\n'
    )
    monkeypatch.setenv("HELAMEM_DISTILLER_TIMEOUT_S", "20")
    config = load_config()
    assert config.asked_distiller() == ModelSettings(
        chat=ChatSettings(base_url="http://m:8000/v1", model="g:7b", api_key=SECRET, timeout_s=20.0, max_tokens=512),
        concurrency=9,
        prices=Prices(per_million_in=0.15, per_million_out=0.6),
        cap=Cap(tokens=1_000_000, cost=2.5),
        when_spent="wait",
    )
    assert shown(config)["distiller_api_key"] == (HIDDEN, "helamem.toml")
    assert SECRET not in str(describe(config)) + repr(config) + repr(config.asked_distiller())


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('distiller = "gpt"', "there is no distiller 'gpt'; HELAMEM_DISTILLER is extractive or openai:MODEL"),
        ('distiller = "openai:"', "there is no distiller 'openai:'"),
        ('distiller = "openai:g"', "the distiller openai:g needs HELAMEM_DISTILLER_BASE_URL"),
        (
            'distiller = "openai:g"\ndistiller_base_url = "http://m/v1"\ndistiller_cap_tokens = 2000',
            "HELAMEM_DISTILLER_CAP_TOKENS is 2000 and one question with the longest answer takes",
        ),
        (
            'distiller = "openai:g"\ndistiller_base_url = "m"\ndistiller_cap_cost = 0.001\ndistiller_price_out = 1',
            "HELAMEM_DISTILLER_CAP_COST is 0.001 and one question with the longest answer costs",
        ),
        (
            'distiller = "openai:g"\ndistiller_base_url = "http://m/v1"\ndistiller_cap_cost = 1',
            "HELAMEM_DISTILLER_CAP_COST is set and no price",
        ),
    ],
)
def test_a_distiller_that_cannot_be_is_named(settings: str, complaint: str) -> None:
    """With what to set."""
    Path("helamem.toml").write_text(settings + "\n")
    with pytest.raises(ConfigurationError, match=complaint):
        load_config().asked_distiller()


def test_an_issuer_of_tokens_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's tokens count by default; algorithms are separated by commas."""
    assert load_config().asked_oidc() is None
    monkeypatch.setenv("HELAMEM_OIDC_ISSUER", "https://login.acme.example")
    with pytest.raises(ConfigurationError, match="HELAMEM_OIDC_AUDIENCE is not"):
        load_config().asked_oidc()
    monkeypatch.setenv("HELAMEM_OIDC_AUDIENCE", "helamem")
    monkeypatch.setenv("HELAMEM_OIDC_ALGORITHMS", "ES256, EdDSA,")
    settings = load_config().asked_oidc()
    assert settings is not None
    assert (settings.issuer, settings.audience, settings.algorithms) == (
        "https://login.acme.example",
        "helamem",
        ("ES256", "EdDSA"),
    )


@pytest.mark.parametrize(
    ("variable", "error", "complaint"),
    [
        ("HELAMEM_OIDC_AUDIENCE", ConfigurationError, "HELAMEM_OIDC_AUDIENCE is set and HELAMEM_OIDC_ISSUER is not"),
        ("HELAMEM_OIDC_ISUER", BadInput, "HELAMEM_OIDC_ISUER is no setting"),
    ],
)
def test_a_gateway_that_lacks_only_the_name_of_its_issuer_does_not_start(
    monkeypatch: pytest.MonkeyPatch, variable: str, error: type[Exception], complaint: str
) -> None:
    """It would take anybody on this machine for the owner, where nobody without a token was to come in."""
    monkeypatch.setenv(variable, "helamem")
    with pytest.raises(error, match=complaint):
        gateway._oidc()


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("ALGORITHMS", "HS256", "tokens signed by 'HS256' cannot be trusted"),
        ("ALGORITHMS", "none", "tokens signed by 'none' cannot be trusted"),
        ("ALGORITHMS", " ", "no token would count"),
        ("ISSUER", "http://login.acme.example", "begins with https://"),
        ("JWKS_URL", "http://login.acme.example/keys", "HELAMEM_OIDC_JWKS_URL is http"),
    ],
)
def test_tokens_that_anybody_could_make_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    for variable, said in {"ISSUER": "https://login.acme.example", "AUDIENCE": "helamem", name: value}.items():
        monkeypatch.setenv(f"HELAMEM_OIDC_{variable}", said)
    with pytest.raises(ConfigurationError, match=complaint):
        load_config().asked_oidc()
