"""The console's files: sent to everybody, never anything else, and nothing of them from elsewhere."""

from __future__ import annotations

import re

import pytest

from helamem.streams.gateway import pages as served
from helamem.streams.gateway.pages import INDEX, pages
from streams.gateway.asking import Gateway

KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".txt": "text/plain"}
POLICY = "content-security-policy"


async def test_the_page_needs_no_key_and_what_it_asks_does(gateway: Gateway) -> None:
    gateway.key("acme")
    page = await gateway.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:href|src)="(/[^"]+)"', page.text)
    assert len(named) > 5
    for path in {*named, *(f"/console/{path}" for path in pages() if path != INDEX)}:
        asset = await gateway.get(path)
        assert asset.status_code == 200, path
        assert asset.headers["content-type"].startswith(KINDS[path[path.rindex(".") :]])
        assert asset.headers[POLICY] == page.headers[POLICY]
    assert (await gateway.get("/v1/spaces")).status_code == 401


async def test_the_page_may_load_nothing_from_elsewhere(gateway: Gateway) -> None:
    """Nothing inline either, and no text becomes markup or script."""
    page = await gateway.get("/")
    policy = page.headers[POLICY]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert "require-trusted-types-for 'script'" in policy
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page.text)
    for path, asset in pages().items():
        if not path.startswith(served.VENDOR):
            found = re.findall(rb"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", asset.body)
            assert set(found) <= {b"http://www.w3.org"}, path  # the name of SVG, and no address
            assert b"innerHTML" not in asset.body, path


async def test_what_a_browser_has_is_not_sent_again(gateway: Gateway) -> None:
    """Each file has a tag, is asked for again each time, and sent when it differs."""
    first = await gateway.get("/console/app.js")
    assert first.headers["cache-control"] == "no-cache"
    again = await gateway.get("/console/app.js", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    changed = await gateway.get("/console/app.js", headers={"If-None-Match": '"other"'})
    assert (changed.status_code, changed.content) == (200, first.content)
    assert (await gateway.get("/v1/spaces")).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["nothing.js", "", "vendor", "vendor/.lock", "../pages.py", "..%2fpages.py", "%2e%2e/app.py", "/etc/passwd"]
)
async def test_nothing_else_is_sent(gateway: Gateway, path: str) -> None:
    answer = await gateway.get(f"/console/{path}")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_what_others_wrote_comes_with_its_terms(gateway: Gateway) -> None:
    terms = (await gateway.get("/console/vendor/LICENSES.txt")).text
    for name in ("sigma 3", "graphology 0", "graphology-layout-forceatlas2 0", "events 3"):
        assert name in terms
    assert terms.count("WITHOUT WARRANTY OF ANY KIND") >= 5


async def test_an_installation_without_the_console_says_so(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence, and the API is as it was."""
    pages.cache_clear()
    monkeypatch.setattr(served, "VENDOR", "no-such-folder")
    try:
        answer = await gateway.get("/")
        assert answer.status_code == 404
        assert "installed without its console" in answer.json()["detail"]
        assert (await gateway.get("/console/app.js")).status_code == 404
        assert (await gateway.get("/v1/spaces")).status_code == 200
    finally:
        pages.cache_clear()
