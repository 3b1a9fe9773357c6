"""Everything can be done by keyboard, and is told to whoever does not look."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.slow
Visit = Callable[..., Page]
MOST_TABS = 60


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until something has the focus."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            return
    pytest.fail(f"{MOST_TABS} tabs do not lead to {wanted}")


def test_a_person_without_a_mouse_searches_selects_and_walks_the_graph(visit: Visit) -> None:
    page = visit("#/explore/demo/otto")
    page.locator(".graph[data-laid-out]").wait_for()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, page.get_by_label("Search", exact=True))
    page.keyboard.type("What made the overhauled hubs grind?")
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="results")).to_have_count(1)
    tab_to(page, page.locator(".hit-text").first)
    page.keyboard.press("Enter")
    words = page.locator(".detail .words")
    expect(words).to_contain_text("grinding")
    expect(page.get_by_role("status").filter(has_text="Selected:")).to_have_count(1)
    page.get_by_label("Search", exact=True).focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    graph = page.locator(".graph")
    tab_to(page, graph)
    before = words.inner_text()
    for key in ("ArrowUp", "ArrowRight", "ArrowLeft", "ArrowDown"):
        page.keyboard.press(key)
        if words.inner_text() != before:
            break
    assert words.inner_text() != before
    page.keyboard.press("Enter")
    expect(page.locator(".detail")).to_be_focused()


def test_the_table_tells_what_the_graph_shows(visit: Visit) -> None:
    """Those with the strongest links first, facts before them; a row shows its details."""
    page = visit("#/explore/demo/otto")
    page.locator(".graph[data-laid-out]").wait_for()
    tab_to(page, page.get_by_role("button", name="Table"))
    page.keyboard.press("Space")
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text("fact:")
    expect(page.locator(".table-head .note")).to_have_text("the first 200 of 208")
    page.get_by_label("Filter").fill("pitted and brown")
    expect(rows).to_have_count(3)  # the head, a memory, and the fact that rests on it
    rows.nth(2).get_by_role("button").press("Enter")
    expect(page.locator(".detail .words")).to_contain_text("pitted and brown")


def test_what_should_not_move_does_not(visit: Visit) -> None:
    """Where the system asks for calm, playing goes from change to change, and the graph is laid out unseen."""
    page = visit("#/explore/demo/otto", reduced_motion="reduce")
    page.locator(".graph[data-laid-out]").wait_for()
    slider = page.get_by_label("Moment", exact=True)
    slider.fill("0")
    page.get_by_label("Speed").select_option("4")
    page.get_by_label("Play").click()
    expect(page.locator(".time-head .note").first).to_contain_text(re.compile(r"\b([3-9]|\d\d+) memories"))
    page.get_by_label("Pause").click()
