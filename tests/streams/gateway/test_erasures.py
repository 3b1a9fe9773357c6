"""Erasures over HTTP."""

from __future__ import annotations

import pytest

from streams.gateway.asking import SPACE, Gateway


@pytest.mark.parametrize("dry_run", [True, False])
async def test_another_tenant_is_not_told_whose_erasure_was_interrupted(gateway: Gateway, *, dry_run: bool) -> None:
    """It waits until whoever began it has finished it; who has the space is told by what."""
    await gateway.remember("We live in Bergen.")
    await gateway.remember("We live in Oslo.", space="/v1/spaces/other/team")
    (gateway.home / "erasing.json").write_text('{"space": "acme/mira", "subject": "Mira"}')
    asked = {"subject": "Mira", "dry_run": dry_run}
    strangers = gateway.client_of(gateway.key("other"))
    answer = await strangers.post("/v1/spaces/other/team/erase", json=asked)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:helamem:problem:retry-later")
    assert "another erasure was interrupted" in answer.json()["detail"]
    assert not [word for word in ("acme", "mira", "Mira") if word in answer.text]
    client = gateway.client_of(gateway.key("acme"))
    told = await client.post("/v1/spaces/acme/else/erase", json=asked)
    assert (told.status_code, "helamem erase Mira --space acme/mira" in told.json()["detail"]) == (400, True)
    finished = await client.post(f"{SPACE}/erase", json={"subject": "Mira"})
    assert (finished.status_code, finished.json()["memories"]) == (200, 1)
    assert (await strangers.post("/v1/spaces/other/team/erase", json=asked)).status_code == 200
