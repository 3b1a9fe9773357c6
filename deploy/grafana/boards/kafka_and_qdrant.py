"""The log and the store, as helamem's processes see them."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, per_second, quantile, quantiles

_GROUPS = Row(
    "Consumer groups",
    (
        Panel(
            title="Lag",
            description="Records that each group has yet to take, by topic. Growing for long: add workers up to the "
            "number of partitions.",
            unit="short",
            queries=(
                Query(
                    "sum by (group, topic) (max by (group, topic, partition) (helamem_lag_records{$w}))",
                    "{{group}}: {{topic}}",
                ),
            ),
        ),
        Panel(
            title="Partitions held",
            description="Partitions that each worker drives. Zero on some: there are more workers than partitions.",
            unit="short",
            kind="stacked",
            queries=(Query("sum by (group, instance) (helamem_partitions_held{$w})", "{{group}} {{instance}}"),),
        ),
        Panel(
            title="Rebalances",
            description="Times that a group gave a worker its share anew, in the last ten minutes. More than "
            "deployments explain: workers are killed or too slow.",
            unit="short",
            queries=(Query("sum by (group) (increase(helamem_rebalances_total{$w}[10m]))", "{{group}}"),),
        ),
    ),
)
_LOG = Row(
    "The log",
    (
        Panel(
            title="Time of an append",
            description="Until it was durable and acknowledged. Rising: the disk of the home, or Kafka's replicas.",
            unit="s",
            width=6,
            queries=quantiles("helamem_log_append_seconds", 0.5, 0.99),
        ),
        Panel(
            title="Appended",
            description="Records that helamem's processes appended, by topic.",
            unit="recps",
            width=6,
            queries=(Query(per_second("helamem_log_appended_records_total", by="topic"), "{{topic}}"),),
        ),
        Panel(
            title="Not durable yet",
            description="Records given to the log and not acknowledged: what a crash may lose, and of which nobody was "
            "told that it is safe.",
            unit="short",
            width=6,
            queries=(Query("sum by (job, instance) (helamem_log_unacknowledged_records{$w})", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Errors of the log",
            description="retry-later: the broker is away or the disk is full. error: the configuration is at fault.",
            unit="ops",
            width=6,
            queries=(Query(per_second("helamem_log_errors_total", by="reason"), "{{reason}}"),),
        ),
    ),
)
_STORE = Row(
    "The store",
    (
        Panel(
            title="Calls",
            description="Calls of the store: Qdrant, the store process or Edge in the process.",
            unit="ops",
            width=6,
            queries=(Query(per_second("helamem_store_call_seconds_count", by="call"), "{{call}}"),),
        ),
        Panel(
            title="Slowest calls",
            description="The slowest hundredth of each call. flush: the disk. search-memories: unoptimised or short of "
            "memory.",
            unit="s",
            width=6,
            queries=(Query(quantile(0.99, "helamem_store_call_seconds", by="call"), "{{call}}"),),
        ),
        Panel(
            title="Errors of the store",
            description="retry-later: it is away or its disk is full, see the runbook HelamemStoreRefusing. error: "
            "report it.",
            unit="ops",
            width=6,
            queries=(Query(per_second("helamem_store_errors_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            title="Connections",
            description="Open connections to the store process. It takes 128.",
            unit="short",
            width=6,
            queries=(Query("sum by (job, instance) (helamem_store_connections{$w})", "{{job}} {{instance}}"),),
        ),
    ),
)
_FAUST = Row(
    "A platform's agents in Faust",
    (
        Panel(
            title="Events",
            description="Events that agents have done with, by topic. None beside a growing topic: Faust's consumer "
            "sleeps.",
            unit="eps",
            queries=(Query(per_second("faust_event_seconds_count", by="topic"), "{{topic}}"),),
        ),
        Panel(
            title="Time of an event",
            description="That agents took for one event. Rising: what the agent calls is slow.",
            unit="s",
            queries=(Query(quantile(0.99, "faust_event_seconds", by="topic"), "p99 {{topic}}"),),
        ),
        Panel(
            title="Rebalances and lost sends",
            description="Rebalances of the agents' own group in the last ten minutes, and records that Kafka did not "
            "take from an agent.",
            unit="short",
            queries=(
                Query("sum(increase(faust_rebalance_seconds_count{$w}[10m]))", "rebalances"),
                Query("sum(increase(faust_send_errors_total{$w}[10m]))", "sends lost"),
            ),
        ),
    ),
)

BOARD = Board(
    name="kafka-and-qdrant",
    title="helamem: Kafka and Qdrant",
    description="The log and the store as helamem's processes see them; their own exporters say the rest.",
    rows=(_GROUPS, _LOG, _STORE, _FAUST),
)
