"""A person finds a fact and sees where it came from, down to the places and hashes of the log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.slow
Visit = Callable[..., Page]
OTTO = "/v1/spaces/demo/otto"


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield all nodes of a lineage."""
    yield node
    for child in node["children"]:
        yield from walk(child)


def test_a_person_finds_a_fact_and_sees_its_lineage(visit: Visit, address: str) -> None:
    """From the fact to its hub, the recalls with what each gave, the memories and the messages, each at its place."""
    page = visit("#/explore/demo/otto")
    page.locator(".fact-text", has_text="truing stand").first.click()
    expect(page.locator(".detail .words")).to_contain_text("truing stand")
    page.get_by_role("link", name="Where it came from").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where this fact came from")
    fact = page.url.rpartition("/")[2]
    why = httpx.get(f"{address}{OTTO}/why/{fact}", timeout=60).json()
    assert why["problems"] == []
    nodes = list(walk(why["lineage"]))
    for kind in ("fact", "hub", "recalled", "reinforced", "memory", "message"):
        ids = {node["id"] for node in nodes if node["kind"] == kind}
        expect(page.locator(f".card-{kind}")).to_have_count(len(ids))
    gave = sum(node.get("contribution", 0) for node in nodes)
    shown = page.locator(".card .gave", has_text="gave").all_inner_texts()
    assert sum(float(text.split()[-1]) for text in shown) == pytest.approx(gave, abs=0.0006 * len(shown))
    assert page.locator(".way").count() > 20
    message = next(node for node in nodes if node["kind"] == "message")
    record = message["record"]
    page.locator(".card-message", has_text=f"{record['partition']} @ {record['offset']}").first.click()
    aside = page.get_by_label("The chosen part")
    expect(aside).to_contain_text(record["sha256"])
    expect(aside).to_contain_text(message["text"])
    page.get_by_role("button", name="List", exact=True).click()
    expect(page.locator(".tree > li > details > summary")).to_contain_text("Fact")
    aside.get_by_role("link", name="What it caused").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What this message caused")
    expect(page.locator(".tree .tag-recalled").first).to_be_visible()


def test_a_link_says_which_recalls_made_it(visit: Visit) -> None:
    page = visit("#/explore/demo/otto")
    page.locator(".fact-text", has_text="truing stand").first.click()
    page.locator(".detail .links .as-text").first.click()
    page.locator(".detail").get_by_text("why", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Where this link came from")
    expect(page.locator(".card-pair")).to_have_count(1)
    expect(page.locator(".card-memory")).to_have_count(2)
    expect(page.locator(".card-reinforced").first).to_contain_text("gave")


def test_who_lacks_a_right_is_told_and_sees_the_rest(visit: Visit, keyed: tuple[str, str]) -> None:
    """Without `audit` there is no graph and no lineage, but search and details are there."""
    address, key = keyed
    page = visit(at=address)
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("the right audit")
    page.get_by_label("Search", exact=True).fill("Lisbon")
    page.keyboard.press("Enter")
    page.locator(".hit-text").click()
    expect(page.locator(".detail .words")).to_have_text("We have moved from Lisbon to Bergen.")
    page.get_by_role("link", name="Where it came from").click()
    expect(page.get_by_role("alert")).to_contain_text("the right audit")


def test_events_and_rates_come_as_they_happen(visit: Visit, address: str) -> None:
    """What is appended while somebody looks is told with its place, and counted."""
    page = visit("#/throughput/demo/ada")
    expect(page.get_by_role("status").filter(has_text="Live")).to_have_count(1)
    httpx.post(
        f"{address}/v1/spaces/demo/ada/recall", json={"query": "Where does Mira live now?"}, timeout=60
    ).raise_for_status()
    event = page.locator(".events li").first
    expect(event).to_contain_text("memory.recalled")
    expect(event).to_contain_text("Where does Mira live now?")
    requests = page.locator(".tile", has_text="Requests").locator(".tile-value")
    expect(requests).to_contain_text("a second")
    expect(page.locator("tbody tr")).to_have_count(3)
