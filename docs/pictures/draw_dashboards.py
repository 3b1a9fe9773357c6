"""Draws the README's pictures of the dashboards: python docs/pictures/draw_dashboards.py [MINUTES].

The demo's conversations are played for some minutes, in a library and in a fleet on a real Kafka, as the tests of the
dashboards do it; a real Prometheus watches. The pictures are of what it has then; no Grafana is needed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from deploy.observed import observed  # noqa: E402 - it lies with the tests
from fixtures.kafka import start_broker  # noqa: E402 - likewise
from fixtures.webhook import Address  # noqa: E402 - likewise
from streams.cli.fleet import fleet_on  # noqa: E402 - likewise

PICTURES = Path(__file__).with_name("dashboards")
SHOWN = ("overview", "memory")
ROUND_S = 6.0


def main() -> None:
    """Play, watch and draw."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    broker = start_broker()
    if isinstance(broker, str):
        sys.exit(broker)
    webhook = Address()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            pytest.MonkeyPatch.context() as monkeypatch,
            webhook.serving(),
            fleet_on(broker, Path(folder), monkeypatch) as fleet,
            observed(
                Path(folder), fleet, webhook, monkeypatch, rounds=round(minutes * 60 / ROUND_S), pause_s=ROUND_S
            ) as seen,
        ):
            back = (time.time() - seen.began_s) / 60
            draw = [sys.executable, "-m", "deploy.grafana.picture", seen.prometheus.url, str(PICTURES)]
            of = ["--minutes", f"{back:.2f}", "--rate", "20", "--only", *SHOWN]
            subprocess.run([*draw, *of], cwd=ROOT, check=True)  # noqa: S603 - our own program
    finally:
        broker.close(keep_logs=None)


if __name__ == "__main__":
    main()
