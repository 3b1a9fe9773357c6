"""Each processor: what it does, how long its stages take, what fails, how far it is."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, mean, per_second, quantile

_WHAT = {
    "encoding": "makes messages searchable, and takes facts and what is forgotten",
    "co-activation": "folds recalls into links and finds hubs",
    "consolidation": "has hubs distilled into facts",
}


def _row(group: str) -> Row:
    of = f',group="{group}"'
    return Row(
        f"{group.capitalize()}: {_WHAT[group]}",
        (
            Panel(
                title="Records",
                description="Records read, processed or put aside, and committed, by topic. Zero beside a lag: see the "
                "runbook of a stalled partition.",
                unit="recps",
                width=6,
                queries=(Query(per_second("helamem_records_consumed_total", by="topic", more=of), "{{topic}}"),),
            ),
            Panel(
                title="What became of events",
                description="Many conflicts: a producer gives different messages the same id. Many duplicates: it "
                "retries a lot.",
                unit="eps",
                width=6,
                queries=(Query(per_second("helamem_events_processed_total", by="outcome", more=of), "{{outcome}}"),),
            ),
            Panel(
                title="Lag",
                description="Records of each partition that are yet to be taken.",
                unit="short",
                width=6,
                queries=(
                    Query(f"max by (topic, partition) (helamem_lag_records{{$w{of}}})", "{{topic}}/{{partition}}"),
                ),
            ),
            Panel(
                title="Failed, tried again, put aside",
                description="Batches that failed at first, times that something was away, records that became dead "
                "letters, and those of them that were taken later.",
                unit="ops",
                width=6,
                queries=(
                    Query(per_second("helamem_batches_failed_total", by="reason", more=of), "failed, {{reason}}"),
                    Query(per_second("helamem_retries_total", more=of), "retries"),
                    Query(per_second("helamem_records_dead_lettered_total", more=of), "dead letters"),
                    Query(per_second("helamem_records_redriven_total", more=of), "redriven"),
                ),
            ),
            Panel(
                title="Time of a batch, by stage",
                description="Mean time of a batch in each stage. The one that grew is where to look: embed is the "
                "processor's cores (and a part of process), store the store, commit the log.",
                unit="s",
                width=12,
                queries=(Query(mean("helamem_stage_seconds", by="stage", more=of), "{{stage}}"),),
            ),
            Panel(
                title="Slowest batches, by stage",
                description="The slowest hundredth of batches.",
                unit="s",
                width=6,
                queries=(Query(quantile(0.99, "helamem_stage_seconds", by="stage", more=of), "{{stage}}"),),
            ),
            Panel(
                title="Records in a batch",
                description="Small batches beside a lag: something before the pump is slow. Full ones: the pump is the "
                "limit.",
                unit="short",
                width=6,
                queries=(
                    Query(mean("helamem_batch_records", more=of), "mean"),
                    Query(quantile(0.99, "helamem_batch_records", more=of), "p99"),
                ),
            ),
        ),
    )


BOARD = Board(
    name="pipeline",
    title="helamem: pipeline",
    description="Each processor: what it does, how long its stages take, what fails, how far it is.",
    rows=tuple(_row(group) for group in _WHAT),
)
