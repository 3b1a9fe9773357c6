"""A page that is open when somebody is erased stops showing their words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from console.conftest import PATIENCE_MS

pytestmark = pytest.mark.slow
Visit = Callable[..., Page]
TEXTS = ("We have moved from Lisbon to Bergen.", "The piano arrived in Bergen.", "Bergen is full of rain.")
QUERY = "Where does Mira live since Lisbon?"


def lived(client: httpx.Client) -> tuple[list[str], str]:
    """Say something in the space that nobody else uses; return the ids of the memories, and that of a fact of them."""
    batch = {
        "messages": [
            {"conversation": "monday", "speaker": "Mira", "text": text, "message_id": f"m{number}"}
            for number, text in enumerate(TEXTS)
        ]
    }
    said = client.post("/messages/batch?wait=searchable", json=batch).json()
    ids = [one["memory_id"] for one in said["messages"]]
    recall = client.post("/recall", json={"query": QUERY}).json()
    client.post("/reinforce", json={"recall_id": recall["recall_id"], "memory_ids": ids[:2]}).raise_for_status()
    until = time.monotonic() + 30
    while not (facts := client.get("/facts").json()["facts"]):
        assert time.monotonic() < until, "no fact was distilled"
        time.sleep(0.05)
    return ids, facts[0]["id"]


def label(page: Page, id_: str) -> Any:
    """Return what the graph writes at a memory or fact."""
    return page.locator(".graph").evaluate("(graph, id) => graph.label(id)", id_)


def test_an_open_page_stops_showing_what_was_erased(visit: Visit, quick: str) -> None:
    """In graph, details, table, facts, questions and events, also one change back.

    Its stream of events has told nothing yet when the erasure ends it, so it cannot go on behind what it was told.
    """
    with httpx.Client(base_url=f"{quick}/v1/spaces/acme/mira", timeout=60) as client:
        ids, fact = lived(client)
        feed = visit("#/throughput/acme/mira", quick)
        expect(feed.get_by_role("status").filter(has_text="Live")).to_have_count(1)
        client.post("/recall", json={"query": QUERY}).raise_for_status()
        expect(feed.locator(".events")).to_contain_text(QUERY)
        page = visit("#/explore/acme/mira", quick)
        page.locator(".graph[data-laid-out]").wait_for()
        expect(page.locator(".live")).to_have_text("Live")
        expect(page.locator(".asked")).to_contain_text("Lisbon")
        assert label(page, ids[0]) == "Mira: We have moved from Lisbon to…"
        assert label(page, fact) not in (None, "(erased)")
        page.get_by_role("button", name="Table").click()
        page.locator("tbody .as-text", has_text=TEXTS[0]).last.click()
        expect(page.locator(".detail .words")).to_have_text(TEXTS[0])
        client.post("/erase", json={"subject": "Mira"}).raise_for_status()
    expect(feed.locator(".events")).to_contain_text("subject.erased", timeout=PATIENCE_MS)
    expect(feed.locator(".events")).not_to_contain_text("Lisbon")
    expect(page.locator(".detail .words")).to_have_text("Its words were erased.", timeout=PATIENCE_MS)
    page.get_by_label("Previous change").click()
    expect(page.locator(".detail .words")).to_have_text("Its words were erased.")
    shown = page.locator("body").inner_text()
    assert "Lisbon" not in shown
    assert "piano" not in shown
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Graph").click()
    expect(page.locator(".known .fact").first).to_contain_text("(its words were erased)")
    page.wait_for_function(
        "id => document.querySelector('.graph').label(id) === 'Mira: (erased)'", arg=ids[0], timeout=PATIENCE_MS
    )
    assert label(page, fact) == "(erased)"
    for word in ("Lisbon", "piano", "rain"):
        assert word not in page.content()
