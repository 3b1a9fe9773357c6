"""What a `Watch` sees of a home whose files come and go."""

from __future__ import annotations

from pathlib import Path

from helamem.streams.metrics import Metrics
from helamem.streams.metrics import catalogue as c
from helamem.streams.metrics.watch import Watch


async def test_a_file_that_went_hides_no_other(tmp_path: Path) -> None:
    """The store writes while its size is taken: what stands is counted, what went takes nothing."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "segment").write_bytes(bytes(1000))
    (tmp_path / "store" / "went").symlink_to(tmp_path / "nowhere")
    (tmp_path / "log.sqlite").write_bytes(bytes(24))
    metrics = Metrics()
    await Watch(metrics, home=tmp_path).look()
    assert metrics.value(c.HOME_BYTES, part="store") == 1000
    assert metrics.value(c.HOME_BYTES, part="log") == 24
