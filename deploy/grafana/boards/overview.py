"""Is it healthy, how late is it, how much does it do."""

from __future__ import annotations

from deploy.grafana.boards.recall import time_of_a_recall
from deploy.grafana.vocabulary import Board, Panel, Query, Row, number, per_second, quantiles

_OF_APPEND = ',since="append"'
_IN_TIME = (
    'sum(increase(helamem_freshness_seconds_bucket{$w,since="append",le="60.0"}[$__range]))'
    ' / sum(increase(helamem_freshness_seconds_count{$w,since="append"}[$__range]))'
)

_HEALTH = Row(
    "Is it healthy?",
    (
        number(
            "Processes ready",
            "Processes that do their work, of all that Prometheus sees. Fewer for long: the standard error "
            "of the one that is not ready says what it waits for.",
            Query("sum(helamem_ready{$w})", "ready"),
            Query("count(helamem_ready{$w})", "seen"),
            width=5,
        ),
        number(
            "Alerts that fire",
            "Alerts of deploy/prometheus/rules.yaml; each has its runbook in docs/operate.md.",
            Query('count(ALERTS{alertname=~"Helamem.*",alertstate="firing"}) or vector(0)'),
            bad=1,
        ),
        number(
            "Behind",
            "How long the oldest record that a group has yet to process has stood in the log.",
            Query("max(helamem_lag_seconds{$w})"),
            unit="s",
            width=5,
            warn=10,
            bad=60,
        ),
        number(
            "Searchable within a minute",
            "Share of the messages of the chosen time that were searchable within 60 s of their append. "
            "The objective is 99 %.",
            Query(_IN_TIME),
            unit="percentunit",
            width=5,
        ),
        number(
            "Dead letters",
            "Records that stand in the dead-letter topic, redriven ones included. A rising number: "
            "`helamem dead-letters list` says why.",
            Query("max(helamem_dead_letters{$w})"),
            width=5,
            warn=1,
        ),
    ),
)
_LATE = Row(
    "How late is it?",
    (
        Panel(
            title="Behind, by processor",
            description="How long the oldest record that a processor has yet to take has stood in the log; the worst "
            "of its partitions.",
            unit="s",
            queries=(Query("max by (group) (helamem_lag_seconds{$w})", "{{group}}"),),
        ),
        Panel(
            title="From append to searchable",
            description="Age of messages when they became searchable, since the log took them. The objective is one "
            "minute.",
            unit="s",
            queries=quantiles("helamem_freshness_seconds", 0.5, 0.99, more=_OF_APPEND),
        ),
        time_of_a_recall(0.5, 0.99),
    ),
)
_MUCH = Row(
    "How much does it do?",
    (
        Panel(
            title="Records, by processor",
            description="Records that each processor has read, processed or put aside, and committed.",
            unit="recps",
            queries=(Query(per_second("helamem_records_consumed_total", by="group"), "{{group}}"),),
        ),
        Panel(
            title="Memories, recalls, facts",
            description="What comes of the records: memories stored, recalls folded into links, facts distilled.",
            unit="eps",
            queries=(
                Query(per_second("helamem_events_processed_total", more=',outcome="encoded"'), "memories"),
                Query(per_second("helamem_recalls_total"), "recalls"),
                Query(per_second("helamem_facts_emitted_total"), "facts"),
            ),
        ),
        Panel(
            title="Failed batches and retries",
            description="Batches that failed at first, and times that something was away. A few during a restart are "
            "normal.",
            unit="ops",
            queries=(
                Query(per_second("helamem_batches_failed_total", by="reason"), "failed, {{reason}}"),
                Query(per_second("helamem_retries_total"), "retries"),
            ),
        ),
    ),
)
_COST = Row(
    "What does it take?",
    (
        Panel(
            title="Cores used",
            description="Processor time of each process; 1 is one core.",
            unit="short",
            width=6,
            queries=(
                Query("sum by (job, instance) (rate(process_cpu_seconds_total{$w}[$__rate_interval]))", "{{job}}"),
            ),
        ),
        Panel(
            title="Memory",
            description="Resident memory of each process.",
            unit="bytes",
            width=6,
            queries=(Query("sum by (job, instance) (process_resident_memory_bytes{$w})", "{{job}}"),),
        ),
        Panel(
            title="Disk of the homes",
            description="What homes take, by part. Only the log cannot be rebuilt.",
            unit="bytes",
            kind="stacked",
            width=6,
            queries=(Query("sum by (part) (helamem_home_bytes{$w})", "{{part}}"),),
        ),
        Panel(
            title="Free on those disks",
            description="Below 5 GiB an alert comes; when nothing is left, appends are refused.",
            unit="bytes",
            width=6,
            queries=(Query("min by (job, instance) (helamem_home_free_bytes{$w})", "{{job}}"),),
        ),
    ),
)

BOARD = Board(
    name="overview",
    title="helamem: overview",
    description="Is it healthy, how late is it, how much does it do.",
    rows=(_HEALTH, _LATE, _MUCH, _COST),
)
