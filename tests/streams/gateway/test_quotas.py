"""What a tenant may ask and append with all its keys together."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from helamem.schemas.errors import BadInput
from helamem.schemas.topics import CONVERSATIONS
from helamem.streams.gateway.keys import Keys, TenantLimit
from helamem.streams.gateway.problems import Problem
from helamem.streams.gateway.quotas import FILE, Quotas
from streams.gateway.asking import SPACE, Gateway, said

NDJSON = {"Content-Type": "application/x-ndjson"}
DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2


def test_bounds_are_set_one_by_one(tmp_path: Path) -> None:
    """One that is not named stays, 0 lifts one, and nothing is left of a tenant without any."""
    keys = Keys(tmp_path)
    assert keys.limit("acme", per_s=2.5, messages_a_day=10) == TenantLimit(per_s=2.5, messages_a_day=10)
    assert keys.limit("acme", bytes_a_day=5, per_s=None) == TenantLimit(per_s=2.5, messages_a_day=10, bytes_a_day=5)
    assert Keys(tmp_path).limits() == {"acme": keys.limit_of("acme")}
    keys.limit("acme", per_s=0, messages_a_day=0, bytes_a_day=0)
    assert Keys(tmp_path).limits() == {}
    for bound in (-1, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="no bound for per_s"):
            keys.limit("acme", per_s=bound)
    with pytest.raises(BadInput, match="no tenant"):
        keys.limit("a/b", per_s=1)


def test_a_day_ends_at_midnight(tmp_path: Path) -> None:
    """Until then it is 429 with the seconds to it; what is never allowed in one day is 413."""
    now = [NOON_MS]
    keys = Keys(tmp_path)
    keys.limit("acme", messages_a_day=2, bytes_a_day=100)
    quotas = Quotas(tmp_path, keys, lambda: now[0])
    with quotas.taking("acme", [10, 10]):
        pass
    with (
        pytest.raises(Problem, match="may append 2 messages a day and has 0 left") as refused,
        quotas.taking("acme", [1]),
    ):
        pass
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (429, str(DAY_MS // 2000 + 1))
    with pytest.raises(Problem, match="these are 3; send fewer") as refused, quotas.taking("acme", [1, 1, 1]):
        pass
    assert refused.value.status == 413
    now[0] += DAY_MS // 2
    with pytest.raises(Problem, match="bytes of text a day"), quotas.taking("acme", [101]):
        pass
    with quotas.taking("acme", [100]):
        pass
    assert quotas.used("other").messages == 0


def test_what_was_not_appended_is_given_back(tmp_path: Path) -> None:
    quotas = Quotas(tmp_path, Keys(tmp_path), lambda: NOON_MS)
    with quotas.taking("acme", [3]):
        pass
    with pytest.raises(ZeroDivisionError), quotas.taking("acme", [5]):
        raise ZeroDivisionError
    assert (quotas.used("acme").messages, quotas.used("acme").size_bytes) == (1, 3)


def test_midnight_takes_nothing_off_a_day(tmp_path: Path) -> None:
    """What is given back after it was counted the day before; a clock that is set back a little forgets no count."""
    now = [NOON_MS]
    keys = Keys(tmp_path)
    keys.limit("acme", messages_a_day=2)
    quotas = Quotas(tmp_path, keys, lambda: now[0])
    with suppress(ZeroDivisionError), quotas.taking("acme", [1, 1]):
        now[0] += DAY_MS
        with quotas.taking("acme", [1]):
            pass
        raise ZeroDivisionError
    assert quotas.used("acme").messages == 1
    now[0] -= DAY_MS // 2 + 1
    with quotas.taking("acme", [1]):
        pass
    with pytest.raises(Problem, match="has 0 left") as refused, quotas.taking("acme", [1]):
        pass
    assert refused.value.headers["Retry-After"] == str(DAY_MS // 1000 + 1)
    now[0] -= 365 * DAY_MS
    assert quotas.used("acme").messages == 0


@pytest.mark.parametrize(("gateways", "each"), [(1, 10), (3, 4), (20, 1)])
def test_gateways_share_a_quota(tmp_path: Path, gateways: int, each: int) -> None:
    """Each takes its part of it, rounded up, and says so: together they take all of it and not much more."""
    keys = Keys(tmp_path, gateways=gateways)
    keys.limit("acme", messages_a_day=10)
    quotas = Quotas(None, keys, lambda: NOON_MS)
    with pytest.raises(Problem) as refused, quotas.taking("acme", [1] * (each + 1)):
        pass
    assert refused.value.status == 413
    with quotas.taking("acme", [1] * each):
        pass
    with pytest.raises(Problem) as refused, quotas.taking("acme", [1]):
        pass
    assert refused.value.status == 429
    part = f" ({each} by each of {gateways} gateways)" if gateways > 1 else ""
    assert refused.value.detail.startswith(f"the tenant acme may append 10 messages a day{part} and has 0 left;")


async def test_gateways_share_a_rate(gateway: Gateway) -> None:
    """A key's and a tenant's: one waits as long as there are gateways longer, and is told how large a part is."""
    keys = gateway.service.keys
    keys.gateways = 3
    key = gateway.key(per_s=0.03)
    limited, unlimited = gateway.client_of(key), gateway.client_of(gateway.key())
    keys.limit("acme", per_s=0.06)
    for client, who, in_all, each, wait_s in (
        (unlimited, "all keys of the tenant acme together", 0.06, 0.02, 50),
        (limited, f"the key {key.split('_')[1]}", 0.03, 0.01, 100),
    ):
        answers = [await client.get("/v1/spaces") for _ in range(2)]
        keys.limit("acme", per_s=0)
        assert [answer.status_code for answer in answers] == [200, 429]
        assert wait_s / 2 < int(answers[1].headers["retry-after"]) <= wait_s + 1
        assert answers[1].json()["detail"] == (
            f"{who} may ask {in_all} times a second ({each} at each of 3 gateways); wait and ask again"
        )


async def test_counts_survive_a_restart(tmp_path: Path) -> None:
    """They are written as time goes and at the end; a file that cannot be read counts for nothing."""
    quotas = Quotas(tmp_path, Keys(tmp_path), lambda: NOON_MS)
    async with quotas.running():
        with quotas.taking("acme", [7]):
            pass
    assert Quotas(tmp_path, Keys(tmp_path), lambda: NOON_MS + 1).used("acme").size_bytes == 7
    assert Quotas(tmp_path, Keys(tmp_path), lambda: NOON_MS + DAY_MS).used("acme").size_bytes == 0
    (tmp_path / FILE).write_text("{")
    assert Quotas(tmp_path, Keys(tmp_path), lambda: NOON_MS).used("acme").messages == 0


async def test_all_keys_of_a_tenant_share_its_rate(gateway: Gateway) -> None:
    clients = [gateway.client_of(gateway.key()) for _ in range(2)]
    gateway.service.keys.limit("acme", per_s=0.01)
    statuses = [(await client.get("/v1/spaces")).status_code for client in clients]
    assert statuses == [200, 429]
    refused = await clients[0].get("/v1/spaces")
    assert refused.json()["detail"].startswith("all keys of the tenant acme together may ask 0.01 times a second")
    assert 50 < int(refused.headers["retry-after"]) <= 101
    assert (await gateway.client_of(gateway.key("other")).get("/v1/spaces")).status_code == 200


async def test_a_tenant_appends_no_more_than_its_quota(gateway: Gateway) -> None:
    """Over all its keys; a repetition counts for nothing, also at the quota, and the owner of the home has none."""
    client, other = (gateway.client_of(gateway.key()) for _ in range(2))
    gateway.service.keys.limit("acme", messages_a_day=3)
    for _ in range(2):
        assert (await client.post(f"{SPACE}/messages", json=said("é", message_id="1"))).is_success
    assert gateway.service.quotas.used("acme").messages == 1
    assert gateway.service.quotas.used("acme").size_bytes == 2
    batch = {"messages": [said(message_id=id_) for id_ in ("2", "3", "4")]}
    refused = await other.post(f"{SPACE}/messages/batch", json=batch)
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:helamem:problem:quota-exceeded")
    assert "has 2 left" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert (await other.post(f"{SPACE}/messages/batch", json={"messages": batch["messages"][:2]})).is_success
    assert (await client.post(f"{SPACE}/messages", json=said(message_id="5"))).status_code == 429
    gateway.service.keys.limit("acme", messages_a_day=1)
    again = await other.post(f"{SPACE}/messages/batch", json={"messages": batch["messages"][:2]})
    assert (again.status_code, [one["repeated"] for one in again.json()["messages"]]) == (200, [True, True])
    owner = gateway.client_of(gateway.service.token)
    assert (await owner.post(f"{SPACE}/messages", json=said(message_id="5"))).status_code == 201


async def test_a_stream_goes_on_the_next_day_where_the_quota_ended_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is safe in the log by then and from which line on to send it again; nothing is appended twice."""
    monkeypatch.setattr("helamem.streams.gateway.lines.BATCH_RECORDS", 2)
    now = [NOON_MS]
    gateway.service.quotas = Quotas(gateway.home, gateway.service.keys, lambda: now[0])
    gateway.service.keys.limit("acme", messages_a_day=3)
    lines = [json.dumps(said(space="acme/mira", message_id=str(number))) + "\n" for number in range(4)]
    lines.insert(1, "\n")
    before = await gateway.records(CONVERSATIONS.name)
    client = gateway.client_of(gateway.key())
    refused = await client.post("/v1/messages/stream", content="".join(lines), headers=NDJSON)
    assert refused.status_code == 429
    assert "2 messages of the stream are safely in the log; send it again from line 4 on" in refused.json()["detail"]
    assert gateway.service.quotas.used("acme").messages == 2
    now[0] += DAY_MS
    rest = await client.post("/v1/messages/stream", content="".join(lines[3:]), headers=NDJSON)
    assert (rest.status_code, rest.json()["appended"]) == (200, 2)
    assert await gateway.records(CONVERSATIONS.name) - before == 4
