"""`/metrics`, `/live` and `/ready`: what they say, and what a port that is taken says."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import urllib.error
import urllib.request

import pytest

from fixtures.prometheus import promtool
from helamem.schemas.errors import BadInput
from helamem.streams.metrics import Metrics, exposed
from helamem.streams.metrics import server as module


def ask(address: str, path: str) -> tuple[int, str, str]:
    """Return status, type and body of an answer."""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


async def test_a_process_says_whether_it_lives_and_is_ready() -> None:
    """Ready only when told so; unknown paths name those that there are."""
    metrics = Metrics()
    async with exposed(metrics, 0) as health:
        assert health.address.startswith("127.0.0.1:")
        assert (await asyncio.to_thread(ask, health.address, "/live"))[::2] == (200, "live\n")
        assert (await asyncio.to_thread(ask, health.address, "/ready"))[::2] == (503, "not ready\n")
        health.set_ready(True)
        assert (await asyncio.to_thread(ask, health.address, "/ready"))[::2] == (200, "ready\n")
        status, kind, text = await asyncio.to_thread(ask, health.address, "/metrics?any=thing")
        assert status == 200
        assert kind.startswith("text/plain; version=")
        assert "helamem_ready 1.0" in text
        assert promtool("check", "metrics", given=text.encode()) == ""
        assert await asyncio.to_thread(ask, health.address, "/table") == (
            404,
            "text/plain; charset=utf-8",
            "there is /metrics, /live, /ready\n",
        )
    assert b"helamem_ready 0.0" in metrics.text()
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(ask, health.address, "/live")


async def test_a_loop_that_stands_still_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer comes from a thread, so it can say so."""
    async with exposed(Metrics(), 0) as health:
        assert health.live
        monkeypatch.setattr(module, "LIVE_S", 0.0)
        assert ask(health.address, "/live")[::2] == (503, "not live\n")  # this call is what keeps the loop


async def test_a_taken_port_is_named() -> None:
    """One sentence says which port, why, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=rf"^port {port} of 127.0.0.1 cannot be had .* in use; name another"):
            async with exposed(Metrics(), port):
                pass


async def test_an_address_that_is_not_ours_is_refused() -> None:
    """Likewise where the address is another machine's or none at all."""
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(BadInput, match=f"of {host} cannot be had for metrics"):
            async with exposed(Metrics(), 0, host):
                pass


async def test_a_reader_that_hangs_up_is_no_event(capfd: pytest.CaptureFixture[str]) -> None:
    """Prometheus does when a scrape takes too long; the process goes on and says nothing."""
    asked, hung_up = threading.Event(), threading.Event()

    class Slow(Metrics):
        def text(self) -> bytes:
            asked.set()
            assert hung_up.wait(10)
            return super().text()

    async with exposed(Slow(), 0) as health:
        host, port = health.address.split(":")
        reader = socket.create_connection((host, int(port)))
        reader.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert await asyncio.to_thread(asked.wait, 10)
        (answering,) = [one for one in threading.enumerate() if "process_request" in one.name]
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # hang up, not say goodbye
        reader.close()
        hung_up.set()
        await asyncio.to_thread(answering.join)
        assert (await asyncio.to_thread(ask, health.address, "/live"))[::2] == (200, "live\n")
    assert capfd.readouterr() == ("", "")


async def test_what_is_newer_than_a_read_under_way_is_waited_for() -> None:
    """A command that ends waits for a read of what it came to, not for the end of an earlier one."""
    metrics = Metrics()
    async with exposed(metrics, 0) as health:
        assert not await health.read_again(0.01)
        waiting = asyncio.create_task(health.read_again(60))
        await asyncio.sleep(0)
        assert (await asyncio.to_thread(ask, health.address, "/ready"))[0] == 503
        assert not waiting.done()
        await asyncio.to_thread(ask, health.address, "/metrics")
        assert await waiting
