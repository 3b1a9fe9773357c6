"""The graph and the facts of a space as of any moment, and how they grow."""

from __future__ import annotations

import math
import re
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from helamem.schemas.times import format_ms, parse_time

pytestmark = pytest.mark.slow
Visit = Callable[..., Page]
OTTO = "/v1/spaces/demo/otto"
STEPS = 1000


class Told:
    """The demo's history, and where its slider stands at a time of what it tells."""

    def __init__(self, address: str) -> None:
        answer = httpx.get(f"{address}{OTTO}/history", timeout=60).json()
        assert answer["next"] is None
        self.changes: list[dict[str, Any]] = answer["changes"]
        self.half_life_ms: int = answer["half_life_s"] * 1000
        self.times = [parse_time(one["time"]) for one in self.changes if one["kind"] == "memory"]
        self.begin_ms = self.times[0]
        self.end_ms = max(
            parse_time(edge["last_strengthened"]) for one in self.changes for edge in one.get("edges", ())
        )

    def grown(self) -> tuple[str, str]:
        """Return the link that was strengthened most often."""
        pairs = Counter(tuple(edge["memory_ids"]) for one in self.changes for edge in one.get("edges", ()))
        (one, other), _ = pairs.most_common(1)[0]
        return one, other

    def strengthened(self, pair: tuple[str, str]) -> list[tuple[int, float]]:
        """Return when a link was strengthened, and its weight then."""
        return [
            (parse_time(edge["last_strengthened"]), edge["weight"])
            for one in self.changes
            for edge in one.get("edges", ())
            if set(edge["memory_ids"]) == set(pair)
        ]

    def step_after(self, time_ms: int) -> int:
        """Return the first step of the slider at which something of this time has happened."""
        return -(-STEPS * (time_ms - self.begin_ms) // (self.end_ms - self.begin_ms))

    def time_of(self, step: int) -> int:
        """Return the time at a step."""
        return self.begin_ms + step * (self.end_ms - self.begin_ms) // STEPS

    def faded(self, pair: tuple[str, str], at_ms: int) -> float:
        """Return what is left of a link at a time."""
        last_ms, weight = [one for one in self.strengthened(pair) if one[0] <= at_ms][-1]
        return weight * math.exp2((last_ms - at_ms) / self.half_life_ms)


def shown(page: Page, text: str) -> float:
    """Return the weight of the link to a memory, as it is shown of what is selected."""
    row = page.locator(".detail .links li", has=page.locator(".weight"), has_text=text)
    return float(row.locator(".weight").inner_text())


def thickness(page: Page, pair: tuple[str, str]) -> float:
    """Return how thick a link is drawn, in pixels."""
    drawn: float = page.locator(".graph").evaluate("(graph, pair) => graph.thickness(pair)", " ".join(sorted(pair)))
    return drawn


def opened(page: Page) -> tuple[Page, Locator, Locator]:
    """Wait until the graph is drawn; return the page, its slider, and what is counted at the moment."""
    page.locator(".graph[data-laid-out]").wait_for()
    return page, page.get_by_label("Moment", exact=True), page.locator(".time-head .note").first


def test_a_person_moves_the_time_and_watches_an_edge_grow(visit: Visit, address: str) -> None:
    """Its weight is the server's as it has faded by then, and it is drawn the thicker the larger that is."""
    told = Told(address)
    pair = told.grown()
    memory = httpx.get(f"{address}{OTTO}/memories/{pair[1]}", timeout=60).json()
    text = memory["text"][:60]
    times = told.strengthened(pair)
    page, slider, counts = opened(visit(f"#/explore/demo/otto/{pair[0]}"))
    expect(counts).to_contain_text("199 memories")
    slider.fill("0")
    expect(counts).to_have_text("1 memory · 0 links · 0 facts")
    slider.fill(str(told.step_after(times[0][0]) - 1))
    assert thickness(page, pair) == 0
    seen = []
    for time_ms, _ in times:
        step = told.step_after(time_ms)
        slider.fill(str(step))
        assert shown(page, text) == pytest.approx(told.faded(pair, told.time_of(step)), abs=0.0006)
        seen.append((shown(page, text), thickness(page, pair)))
    assert [thick for _, thick in sorted(seen)] == sorted(thick for _, thick in seen)
    assert seen[-1][1] > seen[0][1] > 0
    slider.fill(str(STEPS))
    expect(counts).to_contain_text("9 facts")
    neighbours = httpx.get(
        f"{address}{OTTO}/memories/{pair[0]}/neighbours", params={"as_of": format_ms(told.end_ms)}, timeout=60
    ).json()["neighbours"]
    weight = next(one["weight"] for one in neighbours if one["memory_id"] == pair[1])
    assert shown(page, text) == pytest.approx(weight, abs=0.0006)


def test_facts_come_when_they_were_distilled_and_time_plays(visit: Visit, address: str) -> None:
    """Before the first there is none; playing goes forward and can be paused; what is searched is as of the moment."""
    page, slider, counts = opened(visit("#/explore/demo/otto"))
    expect(page.locator(".known .fact")).to_have_count(9)
    slider.fill("300")
    expect(page.locator(".known .fact")).to_have_count(0)
    page.get_by_label("Search", exact=True).fill("hubs")
    page.keyboard.press("Enter")
    moment = page.locator("output.moment")
    expect(page.locator(".results-head")).to_contain_text(f"as of {moment.inner_text()}")
    before = moment.inner_text()
    page.get_by_label("Play").click()
    expect(moment).not_to_have_text(before)
    page.get_by_label("Pause").click()
    after = moment.inner_text()
    assert int(slider.input_value()) > 300
    page.get_by_label("Previous change").click()
    expect(moment).not_to_have_text(after)
    assert "199" not in counts.inner_text()


def test_what_is_said_now_is_there_a_moment_later(visit: Visit, address: str) -> None:
    """The page follows the space, and stays at the end of its time where it stood there."""
    messages = f"{address}/v1/spaces/acme/live/messages?wait=searchable"
    said = {"conversation": "monday", "speaker": "Mira", "text": "The piano arrived."}
    httpx.post(messages, json=said, timeout=60).raise_for_status()
    page, _, counts = opened(visit("#/explore/acme/live"))
    expect(counts).to_contain_text("1 memory")
    expect(page.locator(".live")).to_have_text("Live")
    httpx.post(messages, json={**said, "text": "It is out of tune."}, timeout=60).raise_for_status()
    expect(counts).to_contain_text("2 memories")
    expect(page.locator(".graph canvas").first).to_be_visible()


def test_what_is_too_much_to_draw_is_said(visit: Visit, address: str) -> None:
    """The oldest memories that nothing links stay out of the picture and in the table."""
    told = httpx.get(f"{address}{OTTO}/history", timeout=60).json()
    first = next(one for one in told["changes"] if one["kind"] == "memory")
    many = [{**first, "memory_id": str(uuid.UUID(int=number)), "previous": None} for number in range(6000)]
    page = visit()
    page.route(
        re.compile(r".*/history.*"), lambda route: route.fulfill(json={**told, "changes": [*many, *told["changes"]]})
    )
    page.goto(f"{address}/#/explore/demo/otto")
    expect(page.locator(".legend")).to_contain_text("199 older memories not drawn; the table has all")
    page.get_by_role("button", name="Table").click()
    expect(page.locator(".table-head [role=status]")).to_contain_text(f"of {6000 + 199 + 9}")
