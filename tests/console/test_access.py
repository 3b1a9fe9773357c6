"""Nobody is left out: names, landmarks, one heading above all, and colours that can be told apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

Visit = Callable[..., Page]
PALETTE = (Path(__file__).parents[2] / "streams/helamem/streams/console/palette.css").read_text()
GROUNDS = ("ground", "surface", "raised")
ON_ALL = ("text", "muted", "accent", "fact", "association", "good", "bad", "user", "agent")
PAIRS = [
    *((front, ground) for front in ON_ALL for ground in GROUNDS),
    ("on-accent", "accent"),
    ("accent", "accent-ground"),
    ("text", "accent-ground"),
    ("fact", "fact-ground"),
    ("association", "association-ground"),
    ("text", "bad-ground"),
]
FOR_TEXT, FOR_CONTROLS = 4.5, 3.0
"""Least contrasts of WCAG 2.2, AA (1.4.3 and 1.4.11)."""

PROBLEMS = """() => {
  const seen = (element) => element.checkVisibility({ visibilityProperty: true });
  const named = (element) => element.getAttribute("aria-label") || element.labels?.length || element.textContent.trim()
    || element.getAttribute("alt") || element.getAttribute("aria-labelledby");
  const every = (selector) => [...document.querySelectorAll(selector)].filter(seen);
  const problems = [];
  for (const element of every("a, button, input, select, [role=group], section, aside")) {
    if (!named(element)) problems.push(`no name: ${element.outerHTML.slice(0, 120)}`);
  }
  for (const input of every("input, select")) {
    if (!input.labels?.length && !input.getAttribute("aria-label")) problems.push(`no label: ${input.outerHTML}`);
  }
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  problems.push(...ids.filter((id, place) => ids.indexOf(id) !== place).map((id) => `twice: #${id}`));
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const element of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of element.getAttribute(attribute).split(" ")) {
        if (!document.getElementById(id)) problems.push(`${attribute} leads nowhere: ${id}`);
      }
    }
  }
  for (const [selector, number] of [["main", 1], ["header.bar", 1], ["nav", 1], ["h1", 1]]) {
    const found = document.querySelectorAll(selector).length;
    if (found !== number) problems.push(`${found} times ${selector}`);
  }
  if (document.querySelector("[tabindex]:not([tabindex='0'], [tabindex='-1'])")) problems.push("an order of tabs");
  if (document.querySelector("img:not([alt]), svg:not([aria-hidden])")) problems.push("a picture without words");
  for (const list of document.querySelectorAll("ul, ol")) {
    if ([...list.children].some((child) => child.tagName !== "LI")) problems.push(`no list: ${list.className}`);
  }
  if (!document.documentElement.lang) problems.push("no language");
  if (document.documentElement.scrollWidth > innerWidth) problems.push("the page is wider than its window");
  for (const element of every("button, .bar a, select")) {
    const { width, height } = element.getBoundingClientRect();
    const inText = element.matches(".as-text, .as-link, .skip");
    if (!inText && Math.min(width, height) < 20) problems.push(`small: ${element.outerHTML.slice(0, 120)}`);
  }
  return problems;
}"""


def themes() -> dict[str, dict[str, str]]:
    """Return the colours of each theme by name; each colour is told once, for both."""
    pairs = re.findall(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", PALETTE)
    assert len(dict.fromkeys(name for name, *_ in pairs)) == PALETTE.count("--") > 0
    return {"light": {name: light for name, light, _ in pairs}, "dark": {name: dark for name, _, dark in pairs}}


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(theme: str) -> None:
    colours = themes()[theme]
    weak = {
        (front, ground): round(contrast(colours[front], colours[ground]), 2)
        for front, ground in PAIRS
        if contrast(colours[front], colours[ground]) < FOR_TEXT
    }
    assert weak == {}
    assert all(contrast(colours["control"], colours[ground]) >= FOR_CONTROLS for ground in GROUNDS)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1440, 1024])
def test_everything_has_a_name_and_its_place(visit: Visit, width: int) -> None:
    page = visit("#/explore/demo/otto", viewport={"width": width, "height": 700})
    page.locator(".graph[data-laid-out]").wait_for()
    assert page.evaluate(PROBLEMS) == []
    page.get_by_label("Search", exact=True).fill("hubs")
    page.keyboard.press("Enter")
    page.locator(".hit-text").first.click()
    expect(page.locator(".detail .words")).to_be_visible()
    assert page.evaluate(PROBLEMS) == []
    for view, shown in VIEWS.items():
        page.goto(re.sub("#.*", f"#/{view}/demo/otto", page.url))
        page.locator(shown).first.wait_for()
        assert page.evaluate(PROBLEMS) == [], view


VIEWS = {"lineage": ".chooser .fact", "dead-letters": ".letters tbody tr", "throughput": ".tile"}

SEEN = """async () => {
  const { colour } = await import("/console/theme.js");
  return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color, colour("ground")];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_are_those_of_the_system_until_somebody_chooses(visit: Visit, system: str) -> None:
    """Both by style and where they are painted, and what is chosen stays."""
    other = "dark" if system == "light" else "light"
    page = visit("#/explore/demo/otto", color_scheme=system)
    button = page.get_by_role("button", name=f"Use {other} colours")
    expect(button).to_be_visible()
    assert page.evaluate(SEEN) == shown(system)
    button.click()
    assert page.evaluate(SEEN) == shown(other)
    page.reload()
    expect(page.get_by_role("button", name=f"Use {system} colours")).to_be_visible()
    assert page.evaluate(SEEN) == shown(other)


def shown(theme: str) -> list[str]:
    """Return what `SEEN` finds in a theme."""
    ground, text = (themes()[theme][name] for name in ("ground", "text"))
    return [*(f"rgb({int(one[1:3], 16)}, {int(one[3:5], 16)}, {int(one[5:], 16)})" for one in (ground, text)), ground]
