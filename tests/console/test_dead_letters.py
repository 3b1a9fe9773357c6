"""A person sees what could not be processed, and tries it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from console.conftest import HOSTILE
from helamem.streams.gateway.keys import Keys
from helamem.streams.home import wall_clock_ms

pytestmark = pytest.mark.slow


def test_what_was_put_aside_is_shown_and_can_be_tried_again(visit: Callable[..., Page]) -> None:
    """With its place, its reason and its bytes as text; what still cannot be read is left alone, and that is said."""
    page = visit("#/dead-letters/acme/hostile")
    row = page.locator(".letters tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("acme/hostile")
    expect(row).to_contain_text("conversations.g1")
    row.get_by_role("button", name="Bytes").click()
    shown = page.locator("pre")
    expect(shown).to_be_focused()
    expect(shown).to_contain_text(HOSTILE[0])
    assert page.locator("main img").count() == 0
    row.get_by_role("button", name="Redrive").click()
    expect(page.locator("main [role=status]")).to_contain_text("0 records appended again, 1 left alone:")
    page.get_by_role("button", name="Redrive all").click()
    expect(page.locator("main [role=status]")).to_contain_text("1 left alone:")
    expect(row).to_contain_text("waits")


def test_they_are_shown_where_there_is_no_space_and_to_a_key_that_may_see_nothing_else(
    visit: Callable[..., Page], torn: tuple[str, Path]
) -> None:
    """Where every record was put aside no space is listed; and none is to a key with `admin` alone."""
    address, home = torn
    page = visit(at=address)
    expect(page.get_by_role("heading", level=1)).to_have_text("No space yet")
    page.get_by_role("link", name="Dead letters").click()
    row = page.locator(".letters tbody tr")
    expect(row).to_have_count(1)
    page.get_by_role("button", name="Redrive", exact=True).click()
    expect(page.locator("main [role=status]")).to_contain_text("1 left alone:")
    key, others = (
        Keys(home).add(tenant=tenant, spaces=("*",), rights=("admin",), note="", per_s=None, clock=wall_clock_ms)[1]
        for tenant in ("acme", "umbrella")
    )
    page = visit(at=address)
    page.get_by_label("Key", exact=True).fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("the right recall")
    page.get_by_role("link", name="Dead letters").click()
    expect(page.locator(".letters tbody tr")).to_contain_text("acme/torn")
    page.get_by_role("button", name="Key").click()
    page.get_by_label("Key", exact=True).fill(others)
    page.keyboard.press("Enter")
    expect(page.get_by_text("None in the spaces that this key is for.")).to_be_visible()
    expect(page.get_by_text("every record of the log was processed")).to_have_count(0)
