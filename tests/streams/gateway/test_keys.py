"""API keys: kept as hashes, scoped, revoked at once, and only so many requests a second."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from helamem.schemas.errors import BadInput, ConfigurationError, NotFound
from helamem.streams.gateway.keys import FILE, ApiKey, Keys
from helamem.streams.gateway.rates import TokenBucket
from helamem.streams.gateway.rights import Right
from streams.gateway.asking import SPACE, Gateway, said


def add(
    keys: Keys, *, tenant: str = "acme", spaces: tuple[str, ...] = ("*",), per_s: float | None = None, note: str = ""
) -> tuple[ApiKey, str]:
    rights: tuple[Right, ...] = ("recall",)
    return keys.add(tenant=tenant, spaces=spaces, rights=rights, note=note, per_s=per_s, clock=lambda: 5)


def test_no_file_holds_a_key(tmp_path: Path) -> None:
    """Only its hash; the file is its owner's alone, and another process finds the key in it."""
    key, text = add(Keys(tmp_path))
    file = tmp_path / FILE
    assert text not in file.read_text()
    assert text.removeprefix(f"helamem_{key.id}_") not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert Keys(tmp_path).find(text) == key


def test_what_is_no_key_finds_none(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    key, text = add(keys)
    for shown in ("", "helamem", f"helamem_{key.id}", f"helamem_{key.id}_", text[:-1], text + "x", text.upper(), "é_x"):
        assert keys.find(shown) is None


def test_a_change_of_the_file_counts_at_once(tmp_path: Path) -> None:
    """Keys that another process adds or revokes; revoking twice changes nothing."""
    keys, elsewhere = Keys(tmp_path), Keys(tmp_path)
    assert not keys.made()
    key, text = add(elsewhere)
    assert keys.find(text) == key
    assert elsewhere.revoke(key.id, lambda: 7).revoked_ms == 7
    assert keys.find(text) is None
    assert keys.made()
    assert keys.revoke(key.id, lambda: 9).revoked_ms == 7
    with pytest.raises(NotFound, match="helamem keys list"):
        keys.revoke("nobody", lambda: 9)


def test_two_who_add_lose_nothing(tmp_path: Path) -> None:
    """Each reads what the other has written before it writes."""
    threads = [threading.Thread(target=lambda: [add(Keys(tmp_path)) for _ in range(10)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Keys(tmp_path).all()) == 40


def test_a_damaged_file_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ConfigurationError, match="restore it from a copy"):
        Keys(tmp_path).find("helamem_a_b")


def test_a_key_is_for_some_spaces_of_one_tenant(tmp_path: Path) -> None:
    key, _ = add(Keys(tmp_path), spaces=("mira", "team-*"))
    covered = [
        space for space in ("acme/mira", "acme/team-1", "acme/tom", "other/mira", "acme2/mira") if key.covers(space)
    ]
    assert covered == ["acme/mira", "acme/team-1"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tenant": "a/b"}, "no tenant"),
        ({"spaces": ("a/b",)}, "no pattern"),
        ({"spaces": ("a",) * 1001}, "at most 1,000 patterns, and these are 1,001"),
        ({"rights": ("write",)}, "there is no right 'write'"),
        ({"rights": ()}, "opens nothing"),
        ({"per_s": 0.0}, "a rate above 0"),
        ({"per_s": float("nan")}, "a rate above 0"),
    ],
)
def test_what_can_be_no_key_is_refused(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    asked = {"tenant": "acme", "spaces": ("*",), "rights": ("recall",), "note": "", "per_s": None, "clock": lambda: 0}
    with pytest.raises(BadInput, match=sentence):
        Keys(tmp_path).add(**(asked | change))  # type: ignore[arg-type]
    assert not (tmp_path / FILE).exists()


def test_a_bucket_fills_again() -> None:
    """A burst, then one at a time; it says how long to wait."""
    now = [0.0]
    bucket = TokenBucket(2.0, 2.0, lambda: now[0])
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.5]
    now[0] = 0.5
    assert [bucket.take() for _ in range(2)] == [0.0, 0.5]
    now[0] = 100.0
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, 0.5]


async def test_where_there_are_keys_one_is_needed(gateway: Gateway) -> None:
    """From the moment at which the first is made; health and the document are for everybody."""
    assert (await gateway.get("/v1/spaces")).status_code == 200
    key = gateway.key()
    for shown in (None, "helamem_a_b"):
        answer = await gateway.client_of(shown).get("/v1/spaces")
        assert (answer.status_code, answer.json()["type"]) == (401, "urn:helamem:problem:unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await gateway.client_of(key).get("/v1/spaces")).status_code == 200
    for path in ("/live", "/ready", "/openapi.json"):
        assert (await gateway.get(path)).status_code == 200
    gateway.service.keys.revoke(key.split("_")[1], lambda: 0)
    assert (await gateway.client_of(key).get("/v1/spaces")).status_code == 401


async def test_a_file_of_keys_that_is_gone_opens_no_door(gateway: Gateway) -> None:
    """Whoever asked with one is refused, and so is whoever asks without; keys that are made anew count."""
    key = gateway.key()
    assert (await gateway.client_of(key).get("/v1/spaces")).status_code == 200
    (gateway.home / FILE).unlink()
    for shown in (None, key):
        assert (await gateway.client_of(shown).get("/v1/spaces")).status_code == 401
    assert (await gateway.client_of(gateway.key()).get("/v1/spaces")).status_code == 200


async def test_a_key_does_what_its_rights_say(gateway: Gateway) -> None:
    reader = gateway.client_of(gateway.key("acme", "recall"))
    answer = await reader.post(f"{SPACE}/messages", json=said())
    assert answer.status_code == 403
    assert "the right append" in answer.json()["detail"]
    assert (await reader.post(f"{SPACE}/recall", json={"query": "Who?"})).status_code == 200


async def test_a_key_that_asks_too_often_waits(gateway: Gateway) -> None:
    """429 with when to come again; other keys are none the worse."""
    slow, other = (gateway.client_of(gateway.key(per_s=per_s)) for per_s in (1.0, None))
    statuses = [(await slow.get("/v1/spaces")).status_code for _ in range(2)]
    assert statuses == [200, 429]
    refused = await slow.get("/v1/spaces")
    assert refused.headers["retry-after"] == "1"
    assert (await other.get("/v1/spaces")).status_code == 200


async def test_an_address_beyond_this_machine_is_never_open(gateway: Gateway) -> None:
    """Also where the file with the keys is gone."""
    gateway.service.open_door = False
    assert (await gateway.get("/v1/spaces")).status_code == 401


async def test_the_file_is_readable_json(gateway: Gateway) -> None:
    gateway.key(note="for the tests")
    (key,) = json.loads((gateway.home / FILE).read_text())["keys"]
    assert key["note"] == "for the tests"
