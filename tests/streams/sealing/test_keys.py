"""Where data keys are kept: made durably, retired, destroyed, and never mixed up."""

from __future__ import annotations

import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import UNSET
from msgspec.structs import replace

from fakes.events import message
from helamem.processors.encoding.unsealing import Erased, MissingKeyError
from helamem.schemas.errors import ConfigurationError, Poison, RetryLater
from helamem.schemas.events import ConversationMessage
from helamem.streams.sealing.fleet import PatientOpener
from helamem.streams.sealing.keys import KeyFiles, make_keys
from helamem.streams.sealing.master import VARIABLE
from helamem.streams.sealing.seal import Opener, Sealer

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
    assert {file.name for file in files} > {"lock", "master.key"}
    assert len(files) == 3
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


def test_processes_that_share_a_directory_make_one_key(tmp_path: Path) -> None:
    """However many begin at once, with no master key yet: each data subject gets one key, and all open it."""
    directory = tmp_path / "keys"
    program = f"""
from pathlib import Path
from helamem.streams.sealing.keys import KeyFiles, make_keys
make_keys(Path({str(directory)!r}))
keys = KeyFiles(Path({str(directory)!r}))
print([keys.current({SPACE!r}, who) for who in "abcdefgh"])
"""
    started = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(4)]
    said = {one.communicate(timeout=60)[0] for one in started}
    assert [one.returncode for one in started] == [0] * 4
    assert len(said) == 1
    assert len(list(directory.iterdir())) == 2 + 8


def test_a_key_that_another_process_retired_seals_nothing_more(directory: Path) -> None:
    """Whoever used it before looks whether it is still in use; destroyed, it opens nothing from memory either."""
    speaker, eraser = KeyFiles(directory), KeyFiles(directory)
    old = speaker.current(SPACE, "Mira")
    assert eraser.retire(SPACE, "Mira") == [old.id]
    new = speaker.current(SPACE, "Mira")
    assert new.id != old.id
    assert eraser.current(SPACE, "Mira") == new
    assert speaker.find(SPACE, "Mira", old.id) == old.key
    eraser.destroy(SPACE, "Mira", old.id)
    assert speaker.find(SPACE, "Mira", old.id) is None
    assert eraser.live(SPACE, "Mira") == speaker.live(SPACE, "Mira") == [new.id]


def test_a_key_that_comes_late_is_waited_for(directory: Path) -> None:
    """For a while, each time; then the record that it sealed is put aside, and others of the same key at once."""
    keys = KeyFiles(directory)
    event = Sealer(keys, ["acme"]).seal(message("m1", "Bread.", space=SPACE))
    now = [0.0]
    opener = PatientOpener(Opener(KeyFiles(directory), Erased()), wait_s=10.0, clock=lambda: now[0])
    (file,) = (path for path in directory.iterdir() if path.name not in {"lock", "master.key"})
    away = file.rename(directory.with_name(file.name))
    with pytest.raises(RetryLater, match="restore the keys"):
        opener.open(event)
    away.rename(file)
    assert opener.open(event) == "Bread."
    file.rename(away)
    now[0] = 86_400.0
    with pytest.raises(RetryLater, match="restore the keys"):
        opener.open(event)
    now[0] += 10.0
    for _ in range(2):
        with pytest.raises(Poison, match=r"cannot be opened: the key .* restore the keys from their copy, and redrive"):
            opener.open(event)


def test_a_record_that_names_a_key_of_somebody_else_waits_no_longer_because_that_opens_others(directory: Path) -> None:
    """It never opens: were the time begun anew whenever the key serves whom it belongs to, it would stop a worker."""
    keys = KeyFiles(directory)
    event = Sealer(keys, ["acme"]).seal(message("m1", "Bread.", space=SPACE))
    now = [0.0]
    opener = PatientOpener(Opener(keys, Erased()), wait_s=10.0, clock=lambda: now[0])
    assert isinstance(event.data, ConversationMessage)
    assert event.data.sealed is not UNSET
    stolen = replace(event.data.sealed, keys=tuple(replace(one, subject="Tom") for one in event.data.sealed.keys))
    wrong = replace(event, data=replace(event.data, sealed=stolen))
    for other in (wrong, replace(event, space="acme/else")):
        now[0] += 100.0
        with pytest.raises(RetryLater, match="is not in"):
            opener.open(other)
        now[0] += 10.0
        assert opener.open(event) == "Bread."
        with pytest.raises(Poison, match="is not in"):
            opener.open(other)


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


def test_a_directory_that_is_away_is_tried_again(directory: Path) -> None:
    """A volume that was taken off, or may only be read, is said in one sentence, and is no end of a worker."""
    keys = KeyFiles(directory)
    made = keys.current(SPACE, "Mira")
    event = Sealer(keys, ["acme"]).seal(message("m1", "Bread.", space=SPACE))
    away = directory.rename(directory.with_name("away"))
    for use in (
        lambda: keys.current(SPACE, "Tom"),
        lambda: keys.retire(SPACE, "Mira"),
        lambda: keys.destroy(SPACE, "Mira", made.id),
    ):
        with pytest.raises(RetryLater, match=r"cannot be changed now .*; see that the directory is there"):
            use()
    for look in (
        lambda: keys.find(SPACE, "Mira", made.id),
        lambda: KeyFiles(directory).find(SPACE, "Mira", made.id),
        lambda: keys.live(SPACE, "Mira"),
        lambda: keys.known(SPACE, "Mira"),
        lambda: PatientOpener(Opener(keys, Erased()), wait_s=0.0).open(event),
    ):
        with pytest.raises(RetryLater, match=r"are away \(No such file or directory\); mount them"):
            look()
    away.rename(directory)
    assert keys.current(SPACE, "Mira") == made
    assert keys.find(SPACE, "Mira", made.id) == made.key


def test_a_key_that_is_damaged_says_so(directory: Path) -> None:
    """Also where its bytes are no key's at all."""
    made = KeyFiles(directory).current(SPACE, "Mira")
    (file,) = directory.glob(f"*{made.id}")
    for wrapped in ("00", "00" * 60):
        file.write_text(f'{{"space":"{SPACE}","subject":"Mira","wrapped":"{wrapped}"}}')
        with pytest.raises(ConfigurationError, match=r"does not open the keys|cannot be read .*; restore it"):
            KeyFiles(directory).find(SPACE, "Mira", made.id)


def test_a_key_that_is_destroyed_while_it_is_read_is_no_damaged_one(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who had opened the file sees it wiped: whoever asks again is told that it is gone."""
    made = KeyFiles(directory).current(SPACE, "Mira")
    late, eraser = KeyFiles(directory), KeyFiles(directory)
    read = Path.read_bytes

    def slow(path: Path) -> bytes:
        with path.open("rb") as file:
            if made.id in path.name:
                eraser.destroy(SPACE, "Mira", made.id)
            return file.read()

    monkeypatch.setattr(Path, "read_bytes", slow)
    with pytest.raises(MissingKeyError, match="was moved just now"):
        late.find(SPACE, "Mira", made.id)
    monkeypatch.setattr(Path, "read_bytes", read)
    assert late.find(SPACE, "Mira", made.id) is None
