"""A real Prometheus that scrapes a real run: what it gets is the catalogue's, and no word of any message."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fixtures.prometheus import Prometheus, required
from helamem.streams.metrics.catalogue import CATALOGUE
from streams.cli.shell import ended, message, run, start, write_lines

WORDS = ("Tromsø", "harbour", "zeppelin", "marmalade", "kingfisher", "lighthouse", "porcelain")


@pytest.mark.slow
def test_a_run_is_scraped_and_no_word_leaks(tmp_path: Path) -> None:
    """Prometheus finds what was encoded; neither metrics nor what the run says hold a word, a speaker or a space."""
    required("prometheus")
    chat = write_lines(
        tmp_path / "chat.jsonl",
        *(message(number, f"We saw the {word} again.", speaker="Ottoline") for number, word in enumerate(WORDS)),
        b'{"space": "acme/mira", "text": "wisteria without a conversation"}',
    )
    home = tmp_path / "home"
    run("ingest", chat, "--home", home, "--no-process")
    process = start("run", "--home", home, "--metrics", 0)
    prometheus = None
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        (address,) = re.findall(r"http://([\d.:]+)/metrics", said)
        prometheus = Prometheus(tmp_path, {"helamem-run": [address]})
        encoded = f'helamem_events_processed_total{{group="encoding",outcome="encoded"}} == {len(WORDS)}'
        (found,) = prometheus.eventually(encoded)
        assert found["metric"]["job"] == "helamem-run"
        ends = {"histogram": ("_bucket", "_sum", "_count")}
        assert prometheus.names() <= {f"{one.name}{end}" for one in CATALOGUE for end in ends.get(one.kind, ("",))}
        text = str(prometheus.query('{job="helamem-run"}'))
    finally:
        process.terminate()
        ran = ended(process)
        if prometheus is not None:
            prometheus.close()
    assert ran.code == 0
    for secret in (*WORDS, "wisteria", "Ottoline", "acme", "mira"):
        assert secret.lower() not in (text + said + ran.err).lower(), secret
