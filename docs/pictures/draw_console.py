"""Draws the README's pictures of the console: python docs/pictures/draw_console.py, with chromium installed.

They are what Chromium shows of the demo's own home, which is played and served for it.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from playwright.sync_api import Page, sync_playwright

from helamem.streams.demo.play import play

_SIZE = {"width": 1440, "height": 900}
_QUALITY = 82
_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
_PATIENCE_MS = 60_000
_QUESTION = "What made the overhauled hubs grind?"


def main() -> None:
    """Play the demo, look at it, and write the pictures beside this file."""
    program = shutil.which("chromium")
    if program is None:
        sys.exit("this needs chromium: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        asyncio.run(play(home, Path(folder) / "rebuilt"))
        with _serving(home) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
            for scheme, draw in (("light", _graph), ("dark", _lineage)):
                page = browser.new_context(viewport=_SIZE, color_scheme=scheme, reduced_motion="reduce").new_page()
                page.set_default_timeout(_PATIENCE_MS)
                draw(page, address)
            browser.close()


def _graph(page: Page, address: str) -> None:
    """Draw a search, the way that association took, and what the memory found is linked to."""
    page.goto(f"{address}/#/explore/demo/otto")
    page.locator(".graph[data-laid-out]").wait_for()
    page.get_by_label("Search", exact=True).fill(_QUESTION)
    page.keyboard.press("Enter")
    page.locator(".hit-text").first.click()
    page.locator(".detail .weight").first.wait_for()
    _take(page, "console-graph")


def _lineage(page: Page, address: str) -> None:
    """Draw where a fact came from."""
    page.goto(f"{address}/#/explore/demo/otto")
    page.locator(".fact-text", has_text="truing stand").click()
    page.get_by_role("link", name="Where it came from").click()
    page.locator(".card-reinforced").first.click()
    _take(page, "console-lineage")


def _take(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)  # what moves has come to rest
    shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", {"format": "webp", "quality": _QUALITY})
    Path(__file__).with_name(f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def _serving(home: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "helamem.streams.cli", "up", "--home", home, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own command
        assert process.stderr is not None
        try:
            yield orjson.loads(process.stderr.readline())["event"].split(" at ")[1].split(";")[0]
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
