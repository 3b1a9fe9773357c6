"""Where data keys are kept: made durably, retired, destroyed, and never mixed up."""

from __future__ import annotations

import secrets
import stat
from pathlib import Path

import pytest

from helamem.schemas.errors import ConfigurationError
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.master import VARIABLE

SPACE = "acme/team"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return a directory with a master key."""
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


def test_a_key_is_the_same_next_time_and_its_owners_alone(directory: Path) -> None:
    first = KeyFiles(directory).current(SPACE, "Mira")
    again = KeyFiles(directory)
    assert again.current(SPACE, "Mira") == first
    assert again.find(SPACE, "Mira", first.id) == first.key
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = list(directory.iterdir())
    assert len(files) == 2
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert first.key not in file.read_bytes()
        assert first.key.hex().encode() not in file.read_bytes()


def test_subjects_and_spaces_have_keys_of_their_own(directory: Path) -> None:
    keys = KeyFiles(directory)
    made = {keys.current(space, who).key for space in (SPACE, "acme/else") for who in ("Mira", "Tom")}
    assert len(made) == 4
    with pytest.raises(ConfigurationError, match="is not in"):
        keys.find(SPACE, "Tom", keys.current(SPACE, "Mira").id)


def test_a_retired_key_opens_and_seals_nothing_more(directory: Path) -> None:
    keys = KeyFiles(directory)
    old = keys.current(SPACE, "Mira")
    keys.retire(SPACE, "Mira")
    for store in (keys, KeyFiles(directory)):
        assert store.current(SPACE, "Mira").id != old.id
        assert store.find(SPACE, "Mira", old.id) == old.key


def test_a_destroyed_key_is_gone_and_known_to_be(directory: Path) -> None:
    """Its file says so and has no bytes; whoever read the directory before sees it too."""
    keys, reader = KeyFiles(directory), KeyFiles(directory)
    old = keys.current(SPACE, "Mira")
    reader.find(SPACE, "Mira", old.id)
    keys.destroy(SPACE, "Mira", old.id)
    keys.destroy(SPACE, "Mira", old.id)
    (file,) = directory.glob("*.destroyed")
    assert file.stat().st_size == 0
    assert keys.find(SPACE, "Mira", old.id) is None
    assert KeyFiles(directory).find(SPACE, "Mira", old.id) is None
    assert reader.find(SPACE, "Mira", old.id) is None
    assert keys.live(SPACE, "Mira") == []
    assert keys.current(SPACE, "Mira").id != old.id


def test_a_key_that_was_never_here_is_an_error(directory: Path) -> None:
    keys = KeyFiles(directory)
    lost = keys.current(SPACE, "Mira")
    (file,) = directory.glob(f"*{lost.id}")
    file.unlink()
    with pytest.raises(ConfigurationError, match="restore the keys from their copy"):
        KeyFiles(directory).find(SPACE, "Mira", lost.id)


def test_the_master_key_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is in no file; with another one the keys do not open, and without one they are refused."""
    monkeypatch.setenv(VARIABLE, secrets.token_hex(32))
    directory = tmp_path / "keys"
    make_keys(directory)
    made = KeyFiles(directory).current(SPACE, "Mira")
    assert not (directory / "master.key").exists()
    assert KeyFiles(directory).current(SPACE, "Mira") == made
    monkeypatch.setenv(VARIABLE, secrets.token_hex(32))
    with pytest.raises(ConfigurationError, match="does not open the keys"):
        KeyFiles(directory).current(SPACE, "Mira")
    monkeypatch.setenv(VARIABLE, "abc")
    with pytest.raises(ConfigurationError, match="64 hexadecimal digits"):
        KeyFiles(directory).current(SPACE, "Mira")
    monkeypatch.delenv(VARIABLE)
    with pytest.raises(ConfigurationError, match="there is no master key"):
        KeyFiles(directory).current(SPACE, "Mira")
    assert not (directory / "master.key").exists(), "a lost key is never replaced"


def test_a_master_key_that_others_may_read_is_refused(directory: Path) -> None:
    (directory / "master.key").chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        KeyFiles(directory).current(SPACE, "Mira")
