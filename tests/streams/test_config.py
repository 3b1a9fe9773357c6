"""Configuration: the environment over the file, one sentence for what is wrong, and no secret anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from helamem.schemas.errors import BadInput, ConfigurationError
from helamem.streams.config import HIDDEN, Config, config_file, describe, load_config, source_of

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
    "variable", ["HELAMEM_HOME", "HELAMEM_TEST_KAFKA", "HELAMEM_FIRE_SEED", "HELAMEM_OPENAI_API_KEY"]
)
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """Homes, tests and embedders look for theirs themselves."""
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
