"""`python -m deploy.grafana [FOLDER]`: write the dashboards, by default where Grafana's provisioning finds them.

By default the Helm chart gets its copies too, also of the alerts: a chart has only what lies in its folder, and links
out of it do not survive every way in which a repository is copied.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from deploy.grafana.boards import gateway, kafka_and_qdrant, memory, overview, pipeline, recall, replay_and_audit
from deploy.grafana.vocabulary import written

BOARDS = tuple(
    module.BOARD for module in (overview, pipeline, memory, recall, gateway, replay_and_audit, kafka_and_qdrant)
)
DEPLOY = Path(__file__).parents[1]
CHART = DEPLOY / "helm" / "helamem" / "files"


def main() -> None:
    """Write one file for each."""
    if len(sys.argv) > 1:
        write(Path(sys.argv[1]))
        return
    write(DEPLOY / "grafana" / "dashboards")
    write(CHART / "dashboards", short=True)
    (CHART / "rules.yaml").write_bytes((DEPLOY / "prometheus" / "rules.yaml").read_bytes())


def write(folder: Path, *, short: bool = False) -> None:
    """Write all dashboards into a folder, for people to read or without what only people need."""
    for board in BOARDS:
        text = json.dumps(
            written(board), indent=None if short else 1, separators=(",", ":") if short else None, ensure_ascii=False
        )
        (folder / f"{board.name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
