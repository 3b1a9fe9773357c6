"""A person searches a space and sees why each result came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from console.conftest import HOSTILE

pytestmark = pytest.mark.slow
Visit = Callable[..., Page]
QUESTION = "What made the overhauled hubs grind?"


def end(address: str) -> str:
    """Return where the log ends, in the partitions of the demo's space: a recall that is recorded moves it."""
    resume: str = httpx.get(f"{address}/v1/spaces/demo/otto/history", timeout=60).json()["resume"]
    return resume


def test_results_say_why_and_teach_nothing(visit: Visit, address: str) -> None:
    """Each has its reason, its score in shares, and where association led it here the way; no recall is recorded."""
    before = end(address)
    page = visit("#/explore/demo/otto")
    page.get_by_label("Search", exact=True).fill(QUESTION)
    page.keyboard.press("Enter")
    hits = page.locator(".hit")
    expect(hits.first).to_be_visible()
    associated = page.locator(".hit-association")
    assert associated.count() > 0
    expect(associated.first.locator(".chip")).to_have_text("Associated")
    expect(associated.first.locator(".path")).to_contain_text("Linked to")
    expect(associated.first.locator(".shares")).to_contain_text("linked")
    expect(page.locator(".hit-base .chip").first).to_have_text("Matched")
    expect(page.get_by_text("Teaches nothing")).to_be_visible()
    page.locator(".hit-association .as-link").first.click()
    expect(page.locator(".detail .words")).to_be_visible()
    assert end(address) == before


def test_hostile_words_stay_words(visit: Visit) -> None:
    """In results and details: nothing of them becomes an element, and no script of theirs runs."""
    page = visit("#/explore/acme/hostile")
    page.get_by_label("Search", exact=True).fill("document title taken bold")
    page.keyboard.press("Enter")
    expect(page.locator(".hit")).to_have_count(len(HOSTILE))
    page.locator(".hit-text", has_text="<img").click()
    expect(page.locator(".words")).to_have_text(HOSTILE[0])
    assert page.locator("main img, main script, main b, main svg[onload]").count() == 0
    assert "taken" not in page.title()


def test_keys_are_asked_for_and_kept_in_the_tab_alone(visit: Visit, keyed: tuple[str, str]) -> None:
    """A gateway with keys shows a field for one; a key that lacks a right gets the gateway's sentence."""
    address, key = keyed
    page = visit(at=address)
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Space")).to_have_value("acme/mira")
    stored: Any = page.evaluate("[Object.values(sessionStorage), Object.values(localStorage), document.cookie]")
    assert stored == [[key], [], ""]
