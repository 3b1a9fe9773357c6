"""`python -m deploy.grafana [FOLDER]`: write the dashboards, by default where Grafana's provisioning finds them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.grafana.boards import kafka_and_qdrant, memory, overview, pipeline, recall, replay_and_audit
from deploy.grafana.vocabulary import written

BOARDS = tuple(module.BOARD for module in (overview, pipeline, memory, recall, replay_and_audit, kafka_and_qdrant))


def main() -> None:
    """Write one file for each."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("dashboards")
    for board in BOARDS:
        text = json.dumps(written(board), indent=1, ensure_ascii=False)
        (folder / f"{board.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
