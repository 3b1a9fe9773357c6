"""A person sees what could not be processed, and tries it again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from console.conftest import HOSTILE

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
