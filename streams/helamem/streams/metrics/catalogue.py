"""The metric catalogue: every metric's name, type, unit, labels, meaning, and what an operator does about it.

No metric exists outside it; docs/metrics.md is generated from it. A label's values are bounded by the product and
never by what users store: no label names a space, a conversation or a memory.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal[
    "seconds", "bytes", "records", "events", "batches", "calls", "count", "ratio", "offset", "tokens", "currency"
]

LABELS: dict[str, str] = {
    "group": "processor: encoding, co-activation or consolidation; or merge, for inlets",
    "fault": "of a record in an inlet: no-event, other-type, other-tenant, misplaced, sealed or over-quota; "
    "docs/fleet.md says what passes",
    "topic": "one of the topics, generation included",
    "partition": "number of a partition of the topic",
    "outcome": "what became of an event: encoded, facts, amended, duplicate, conflict, recalled, reinforced, "
    "already-folded, settings-applied, distilled or nothing-new; or of a memory or fact that one names: forgotten, "
    "restored, retracted or erased",
    "reason": "why it failed: retry-later (something was away) or error (the records themselves)",
    "stage": "part of a batch's or a recall's way",
    "call": "method of the store or of the log",
    "path": "why a result was there: base, association or fact",
    "since": "from when it is counted: event (the time of what was said) or append (when the log took it)",
    "part": "part of a home: log, store or embeddings",
    "result": "of comparing a hub: reproduced, missing, different or not-yet-recorded",
    "failure": "of a call of the model that distils: no-answer (in time), rate-limited (429), failing (5xx), refused "
    "(another status) or no-protocol (something else than a chat completion)",
    "side": "of a call of the model that distils: in (instructions and messages) or out (the answer)",
    "rule": "of evidence, which a model's statement breaks: unknown-evidence, speaker, relative-date, date, name, "
    "number or words; docs/distillation.md says what each asks for",
    "method": "of HTTP; other for any that is none",
    "route": "path template of an endpoint, such as /v1/spaces/{tenant}/{name}/recall; none for other paths",
    "problem": "last part of a problem's type, such as quota-exceeded; docs/gateway.md says what problems are",
    "status": "class of an answer's status: 2xx, 4xx or 5xx",
    "version": "of helamem",
}
"""Every label, and what bounds its values."""

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SLOW = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0, 86_400.0)
_COUNTS = (1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0)
_DEGREES = (1.0, 2.0, 4.0, 8.0, 12.0, 16.0, 24.0, 32.0, 48.0, 64.0)
_WEIGHTS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


class Metric(Struct, frozen=True, kw_only=True):
    """One metric."""

    name: str
    """As Prometheus sees it; a histogram's series add `_bucket`, `_sum` and `_count`."""
    kind: Kind
    unit: Unit
    meaning: str
    action: str
    """What an operator does about it."""
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Upper bounds, without infinity."""


CONSUMED = Metric(
    name="helamem_records_consumed_total",
    kind="counter",
    unit="records",
    labels=("group", "topic", "partition"),
    meaning="Records that were read, processed or put aside, and committed.",
    action="None by itself; its rate is the throughput. Zero beside a lag is a stalled partition.",
)
PROCESSED = Metric(
    name="helamem_events_processed_total",
    kind="counter",
    unit="events",
    labels=("group", "outcome"),
    meaning="What became of events.",
    action="Many conflicts: a producer gives different messages the same id. Many duplicates: it retries a lot.",
)
FAILED = Metric(
    name="helamem_batches_failed_total",
    kind="counter",
    unit="batches",
    labels=("group", "reason"),
    meaning="Batches that could not be processed at once; they are tried again, or halved to find the record at fault.",
    action="retry-later: look at the store and the log. error: look at the dead letters that follow.",
)
DEAD_LETTERED = Metric(
    name="helamem_records_dead_lettered_total",
    kind="counter",
    unit="records",
    labels=("group",),
    meaning="Records that were put aside because they could not be processed.",
    action="See why with `helamem dead-letters list`, mend what is at fault, then `helamem dead-letters redrive`.",
)
REDRIVEN = Metric(
    name="helamem_records_redriven_total",
    kind="counter",
    unit="records",
    labels=("group",),
    meaning="Records that were processed and whose bytes had stood among the dead letters before.",
    action="None: it shows that a redrive had effect.",
)
DEAD_LETTERS_HELD = Metric(
    name="helamem_dead_letters",
    kind="gauge",
    unit="records",
    meaning="Records that the dead-letter topic holds, redriven ones included.",
    action="A rising number needs a look at the producers.",
)
RETRIES = Metric(
    name="helamem_retries_total",
    kind="counter",
    unit="count",
    labels=("group",),
    meaning="Times that something was away and a pump tried again.",
    action="A few during a restart are normal. A steady rate: the store, the log or the disk refuses.",
)
LAG_RECORDS = Metric(
    name="helamem_lag_records",
    kind="gauge",
    unit="records",
    labels=("group", "topic", "partition"),
    meaning="Records between a group's committed position and the end of the log. Every process reports all partitions "
    "of its groups: take the maximum over instances.",
    action="Growing for long: add workers up to the number of partitions, or look at what is slow in the stages.",
)
LAG_SECONDS = Metric(
    name="helamem_lag_seconds",
    kind="gauge",
    unit="seconds",
    labels=("group", "topic", "partition"),
    meaning="How long the oldest record that a group has yet to process has stood in the log.",
    action="As for the lag in records; this is how late memories are.",
)
COMMITTED = Metric(
    name="helamem_committed_offset",
    kind="gauge",
    unit="offset",
    labels=("group", "topic", "partition"),
    meaning="Next offset that a group has yet to process.",
    action="Standing still beside a lag: see the runbook of a stalled partition.",
)
BATCH_RECORDS = Metric(
    name="helamem_batch_records",
    kind="histogram",
    unit="records",
    labels=("group",),
    buckets=_COUNTS,
    meaning="Records in one batch.",
    action="Small batches beside a lag: something before the pump is slow. Full ones: the pump is the limit.",
)
STAGE_SECONDS = Metric(
    name="helamem_stage_seconds",
    kind="histogram",
    unit="seconds",
    labels=("group", "stage"),
    buckets=_FAST,
    meaning="Time of one batch in a stage: read, decode, process, embed (a part of process), emit (output events), "
    "store (writes, flush and checkpoint), commit.",
    action="The stage that grew is where to look: embed is the processor's cores, store the store, commit the log.",
)
FRESHNESS = Metric(
    name="helamem_freshness_seconds",
    kind="histogram",
    unit="seconds",
    labels=("since",),
    buckets=_SLOW,
    meaning="How old each message was when it became searchable, since its event time and since its append. "
    "Imported history is old by its event time; objectives are on the time since append.",
    action="Rising since append: see lag. Rising since event only: producers deliver late.",
)
RECALL_STAGES = ("embed", "search", "score", "edges", "read", "record")
"""In the order in which they begin."""
RECALL_SECONDS = Metric(
    name="helamem_recall_seconds",
    kind="histogram",
    unit="seconds",
    labels=("stage",),
    buckets=_FAST,
    meaning=f"Time of a recall: total, and in its stages {', '.join(RECALL_STAGES)}; the last is the event's. "
    "Measured where recalls are answered.",
    action="The stage that grew is where to look; search after much ingest: the store wants optimising.",
)
RECALL_EVENTS_LOST = Metric(
    name="helamem_recall_events_lost_total",
    kind="counter",
    unit="events",
    meaning="Recalls that were answered and whose events did not come into the log, as HELAMEM_RECALL_AUDIT=relaxed "
    "allows: no audit knows of them, and no links learn.",
    action="The log was away for half a minute, or takes too little; see helamem_log_errors_total. Audits that need "
    "every recall need HELAMEM_RECALL_AUDIT=strict.",
)
RECALLS = Metric(
    name="helamem_recalls_total",
    kind="counter",
    unit="events",
    meaning="Recalls that co-activation folded, counted from their events.",
    action="None.",
)
RECALL_RESULTS = Metric(
    name="helamem_recall_results_total",
    kind="counter",
    unit="count",
    labels=("path",),
    meaning="Results of those recalls, by why they were there.",
    action="No association for long on a busy memory: look whether co-activation keeps up.",
)
RECALLS_CHANGED = Metric(
    name="helamem_recalls_changed_by_association_total",
    kind="counter",
    unit="events",
    meaning="Recalls in which association brought at least one result.",
    action="Divided by all recalls it is the share in which the memory's links matter.",
)
EDGES_UPDATED = Metric(
    name="helamem_edges_updated_total",
    kind="counter",
    unit="count",
    meaning="Learned edges that were strengthened, counted in the row of each of their two ends.",
    action="None; zero beside recalls: single-result recalls, or a co-activation that stands still.",
)
EDGES_CREATED = Metric(
    name="helamem_edges_created_total",
    kind="counter",
    unit="count",
    meaning="Learned edges that were made, counted in each row.",
    action="None.",
)
EDGES_PRUNED = Metric(
    name="helamem_edges_pruned_total",
    kind="counter",
    unit="count",
    meaning="Learned edges that gave way to others in a full row.",
    action="Close to the number created: rows are full; the setting `neighbours` bounds them.",
)
EDGE_DEGREE = Metric(
    name="helamem_edge_row_degree",
    kind="histogram",
    unit="count",
    buckets=_DEGREES,
    meaning="Learned neighbours of the rows that were written.",
    action="None.",
)
EDGE_WEIGHT = Metric(
    name="helamem_edge_weight",
    kind="histogram",
    unit="ratio",
    buckets=_WEIGHTS,
    meaning="Weights, 0 to 1, of all edges of the rows that were written, as of their last touch.",
    action="All close to 1: the learning rate is too high for this load.",
)
HUBS_FORMED = Metric(
    name="helamem_hubs_formed_total",
    kind="counter",
    unit="events",
    meaning="Hubs that co-activation formed.",
    action="None.",
)
HUBS_TO_DISTIL = Metric(
    name="helamem_hubs_to_distil",
    kind="gauge",
    unit="events",
    meaning="Hubs that wait to be distilled. Those that were given up are not among them, so it can come to zero. "
    "Every process reports all: take the maximum over instances.",
    action="Not shrinking for an hour: see the runbook of a distillation backlog.",
)
HUBS_ABANDONED = Metric(
    name="helamem_hubs_abandoned",
    kind="gauge",
    unit="events",
    meaning="Hubs that could not be distilled and stand among the dead letters, redriven ones included.",
    action="See why with `helamem dead-letters list`, then redrive them.",
)
FACTS_EMITTED = Metric(
    name="helamem_facts_emitted_total",
    kind="counter",
    unit="events",
    meaning="Facts that consolidation distilled.",
    action="None.",
)
FACTS_RETRACTED = Metric(
    name="helamem_facts_retracted_total",
    kind="counter",
    unit="events",
    meaning="Retractions of facts that encoding applied.",
    action="None.",
)
EMBEDDING_TEXTS = Metric(
    name="helamem_embedding_texts_total",
    kind="counter",
    unit="count",
    meaning="Texts for which encoding asked a vector.",
    action="None.",
)
EMBEDDING_COMPUTED = Metric(
    name="helamem_embedding_computed_total",
    kind="counter",
    unit="count",
    meaning="Texts that the embedder computed; the difference came from the cache.",
    action="None.",
)
MODEL_SECONDS = Metric(
    name="helamem_model_call_seconds",
    kind="histogram",
    unit="seconds",
    buckets=_FAST,
    meaning="Time of one call by which encoding asks a model elsewhere for vectors, failed calls included.",
    action="Rising: the service is slow, or the way there. More calls than expected cost money: see what is computed.",
)
MODEL_ERRORS = Metric(
    name="helamem_model_errors_total",
    kind="counter",
    unit="calls",
    labels=("reason",),
    meaning="Calls of a model elsewhere that failed.",
    action="retry-later: the service is away or limits the rate. error: it refuses a text, or the configuration is at "
    "fault.",
)
DISTILLER_SECONDS = Metric(
    name="helamem_distiller_call_seconds",
    kind="histogram",
    unit="seconds",
    buckets=_SLOW,
    meaning="Time of one call by which consolidation asks a model, failed calls and repairs included.",
    action="Close to the time-out: raise HELAMEM_DISTILLER_TIMEOUT_S, or ask a faster model. Hubs wait meanwhile.",
)
DISTILLER_ERRORS = Metric(
    name="helamem_distiller_errors_total",
    kind="counter",
    unit="calls",
    labels=("failure",),
    meaning="Calls of the model that distils that failed; they are made again.",
    action="rate-limited: lower HELAMEM_DISTILLER_CONCURRENCY. refused: look at key, model and address. Others: look "
    "at the service.",
)
DISTILLER_TOKENS = Metric(
    name="helamem_distiller_tokens_total",
    kind="counter",
    unit="tokens",
    labels=("side",),
    meaning="Tokens of the model that distils, as the service counts them.",
    action="More than expected: hubs form too easily, or the clusters are large; see the settings of hubs.",
)
DISTILLER_COST = Metric(
    name="helamem_distiller_cost_total",
    kind="counter",
    unit="currency",
    meaning="What these tokens cost by the prices in HELAMEM_DISTILLER_PRICE_IN and …_OUT, in their currency.",
    action="As for tokens; HELAMEM_DISTILLER_CAP_COST bounds it for each tenant and day.",
)
DISTILLER_UNREADABLE = Metric(
    name="helamem_distiller_unreadable_total",
    kind="counter",
    unit="count",
    meaning="Answers of the model that distils that are no statements in the form asked for. The first of a hub is "
    "sent back once; after the second the hub goes to the dead letters.",
    action="More than a few: the model is not up to it, or HELAMEM_DISTILLER_MAX_TOKENS cuts its answers off.",
)
DISTILLER_CAPPED = Metric(
    name="helamem_distiller_capped_total",
    kind="counter",
    unit="count",
    meaning="Hubs that were not given to the model because their tenant has spent what it may today.",
    action="Raise the cap, or leave it: HELAMEM_DISTILLER_WHEN_SPENT says what becomes of such hubs.",
)
DISTILLER_CIRCUIT = Metric(
    name="helamem_distiller_circuit_open",
    kind="gauge",
    unit="count",
    meaning="1 while the model that distils is left alone because it only failed, else 0.",
    action="Look at the service; hubs wait, and the backlog drains by itself once it answers.",
)
STATEMENTS_ACCEPTED = Metric(
    name="helamem_distiller_statements_accepted_total",
    kind="counter",
    unit="count",
    meaning="Statements of the model that distils that passed the rule of evidence.",
    action="None.",
)
STATEMENTS_REFUSED = Metric(
    name="helamem_distiller_statements_refused_total",
    kind="counter",
    unit="count",
    labels=("rule",),
    meaning="Statements of the model that distils that are not in the messages which they cite, and were not taken.",
    action="A large share: the model invents, or does not keep to the prompt; try another one.",
)
STORE_SECONDS = Metric(
    name="helamem_store_call_seconds",
    kind="histogram",
    unit="seconds",
    labels=("call",),
    buckets=_FAST,
    meaning="Time of one call of the store: in a worker with the way there, in the store process without.",
    action="flush: the disk. search-memories: unoptimised or short of memory. All: the machine is overloaded.",
)
STORE_ERRORS = Metric(
    name="helamem_store_errors_total",
    kind="counter",
    unit="calls",
    labels=("call", "reason"),
    meaning="Calls of the store that failed.",
    action="retry-later: it is away or its disk is full, see the runbook of a refusing store. error: report it.",
)
STORE_CONNECTIONS = Metric(
    name="helamem_store_connections",
    kind="gauge",
    unit="count",
    meaning="Connections to the store process that are open.",
    action="Close to 128: no more clients are taken.",
)
APPEND_SECONDS = Metric(
    name="helamem_log_append_seconds",
    kind="histogram",
    unit="seconds",
    buckets=_FAST,
    meaning="Time until an append was durable and acknowledged.",
    action="Rising: the disk of the home, or Kafka's replicas.",
)
APPENDED = Metric(
    name="helamem_log_appended_records_total",
    kind="counter",
    unit="records",
    labels=("topic",),
    meaning="Records that this process appended to the log.",
    action="None.",
)
LOG_ERRORS = Metric(
    name="helamem_log_errors_total",
    kind="counter",
    unit="calls",
    labels=("call", "reason"),
    meaning="Calls of the log that failed.",
    action="retry-later: the broker is away or the disk is full. error: the configuration is at fault.",
)
UNACKNOWLEDGED = Metric(
    name="helamem_log_unacknowledged_records",
    kind="gauge",
    unit="records",
    meaning="Records that this process has given to the log and that are not durable yet: a crash may lose them, and "
    "nobody was told that they are safe.",
    action="High for long: the disk or Kafka's replicas take their time; see the time of appends.",
)
HTTP_REQUESTS = Metric(
    name="helamem_http_requests_total",
    kind="counter",
    unit="count",
    labels=("method", "route", "status"),
    meaning="Requests that a gateway answered.",
    action="5xx: look at its log, at the store and at the log. 4xx of one kind for long: a client is at fault.",
)
HTTP_SECONDS = Metric(
    name="helamem_http_request_seconds",
    kind="histogram",
    unit="seconds",
    labels=("method", "route"),
    buckets=_FAST,
    meaning="Time of one request in a gateway, until its answer was given to the connection.",
    action="Rising for recalls: see the time of recalls. For messages: see the time of appends.",
)
HTTP_PROBLEMS = Metric(
    name="helamem_http_problems_total",
    kind="counter",
    unit="count",
    labels=("problem",),
    meaning="Requests that a gateway answered with a problem, by its type.",
    action="too-many-requests, quota-exceeded: raise the bound of the key or the tenant, or ask who asks so much. "
    "unauthorized, forbidden: see helamem access. retry-later: see the store and the log. failed: report it.",
)
HTTP_STREAMS = Metric(
    name="helamem_http_event_streams",
    kind="gauge",
    unit="count",
    meaning="Streams of events that somebody follows at a gateway now.",
    action="Near 256, which is all that may be: a client opens new ones and closes none.",
)
REBALANCES = Metric(
    name="helamem_rebalances_total",
    kind="counter",
    unit="count",
    labels=("group",),
    meaning="Times that a group gave this worker its share anew.",
    action="More than deployments explain: workers are killed or too slow; raise the session timeout or look why.",
)
PARTITIONS_HELD = Metric(
    name="helamem_partitions_held",
    kind="gauge",
    unit="count",
    labels=("group",),
    meaning="Partitions that this process drives.",
    action="Zero on some workers: there are more of them than partitions.",
)
HOME_BYTES = Metric(
    name="helamem_home_bytes",
    kind="gauge",
    unit="bytes",
    labels=("part",),
    meaning="What a home takes on the disk.",
    action="Plan the disk by its growth; only the log cannot be rebuilt.",
)
HOME_FREE_BYTES = Metric(
    name="helamem_home_free_bytes",
    kind="gauge",
    unit="bytes",
    meaning="Free space of the disk that holds the home.",
    action="See the runbook of a disk that fills.",
)
REPLAY_RECORDS = Metric(
    name="helamem_replay_records",
    kind="gauge",
    unit="records",
    meaning="Records that a replay has to apply; what an interrupted one had done counts.",
    action="None.",
)
REPLAY_APPLIED = Metric(
    name="helamem_replay_records_applied_total",
    kind="counter",
    unit="records",
    meaning="Records that this run of a replay has applied; its rate is the replay's.",
    action="Standing still: see the replay's own output.",
)
REPLAY_PROGRESS = Metric(
    name="helamem_replay_progress_ratio",
    kind="gauge",
    unit="ratio",
    meaning="How much of a replay is done, 0 to 1.",
    action="None.",
)
REPLAY_HUBS = Metric(
    name="helamem_replay_hubs",
    kind="gauge",
    unit="events",
    labels=("result",),
    meaning="Hubs that a replay derived again, beside the recorded ones; known at its end.",
    action="missing or different: see the runbook of a replay that diverged.",
)
REPLAY_DIVERGED = Metric(
    name="helamem_replay_diverged",
    kind="gauge",
    unit="count",
    meaning="1 where the log did not give again what it gave before; known at the replay's end, and 0 until then.",
    action="See the runbook of a replay that diverged.",
)
AUDIT_PROGRESS = Metric(
    name="helamem_audit_progress_ratio",
    kind="gauge",
    unit="ratio",
    meaning="How much of an audit is done, 0 to 1.",
    action="None.",
)
AUDIT_RECORDS = Metric(
    name="helamem_audit_records",
    kind="gauge",
    unit="records",
    meaning="Records that an audit looked at; known at its end.",
    action="Fewer than last time: something was removed, or the audit was given another log.",
)
AUDIT_CHECKPOINTS = Metric(
    name="helamem_audit_checkpoints",
    kind="gauge",
    unit="count",
    meaning="Signed checkpoints that an audit held the records against.",
    action="None; without any nothing can be proven, and that is a finding.",
)
AUDIT_UNCOVERED = Metric(
    name="helamem_audit_uncovered_records",
    kind="gauge",
    unit="records",
    meaning="Records after the last checkpoint of their partition, for which nobody has vouched yet.",
    action="Growing from audit to audit: no archiver signs; see `helamem archive --follow`.",
)
AUDIT_FINDINGS = Metric(
    name="helamem_audit_findings",
    kind="gauge",
    unit="count",
    meaning="Records or checkpoints at fault that an audit found; known at its end, and 0 until then.",
    action="See the runbook of an audit that failed.",
)
ARCHIVED = Metric(
    name="helamem_archived_records_total",
    kind="counter",
    unit="records",
    meaning="Records that this archiver has put into the archive.",
    action="None.",
)
ARCHIVED_BYTES = Metric(
    name="helamem_archived_bytes_total",
    kind="counter",
    unit="bytes",
    meaning="Size of the segments that this archiver has written, compressed.",
    action="Plan the archive's space by its growth.",
)
SIGNED = Metric(
    name="helamem_checkpoints_signed_total",
    kind="counter",
    unit="count",
    meaning="Checkpoints that this archiver has signed.",
    action="Zero beside archived records: it was given no key.",
)
ARCHIVE_ROUND = Metric(
    name="helamem_archive_round_timestamp_seconds",
    kind="gauge",
    unit="seconds",
    meaning="When the archiver ended its last round, since 1970.",
    action="Long ago: the log or the archive is away; its standard error says which.",
)
MERGED = Metric(
    name="helamem_inlet_merged_total",
    kind="counter",
    unit="records",
    meaning="Records of tenants' inlets that were merged, those included that were taken again after a kill.",
    action="None by itself; zero beside records that wait: see what the process says.",
)
MERGE_REFUSED = Metric(
    name="helamem_inlet_refused_total",
    kind="counter",
    unit="records",
    labels=("fault",),
    meaning="Records of inlets that were put aside.",
    action="`helamem dead-letters list --kafka` names place and reason; tell the tenant. other-tenant: a producer is "
    "configured for another tenant, or tries what it may not.",
)
MERGE_BEHIND = Metric(
    name="helamem_inlet_waiting_records",
    kind="gauge",
    unit="records",
    meaning="Records that wait in the partitions of inlets that this process has: take the sum over instances.",
    action="Growing for long: start more processes that merge, up to the number of partitions of all inlets, or see "
    "whether tenants are held back.",
)
MERGE_HELD = Metric(
    name="helamem_inlet_held_partitions",
    kind="gauge",
    unit="count",
    meaning="Partitions of inlets that wait until midnight (UTC), since their tenants have appended what they may in a "
    "day.",
    action="None, or raise the tenant's bounds with `helamem keys limit`; the process names the inlet.",
)
READY = Metric(
    name="helamem_ready",
    kind="gauge",
    unit="count",
    meaning="1 while the process does its work: it has its partitions, or serves, or follows the log.",
    action="0 for long: its log says what it waits for.",
)
BUILD = Metric(
    name="helamem_build_info",
    kind="gauge",
    unit="count",
    labels=("version",),
    meaning="Always 1; the label is the version.",
    action="Several versions at once beyond a deployment: finish it.",
)

FAUST_EVENT_SECONDS = Metric(
    name="faust_event_seconds",
    kind="histogram",
    unit="seconds",
    labels=("topic",),
    buckets=_FAST,
    meaning="Time that a platform's agents took for one event. The pumps have no part in it: they read by themselves.",
    action="Rising: what the agent calls is slow. None beside a growing topic: Faust's consumer sleeps, and a safe "
    "agent reads by itself.",
)
FAUST_BUFFER_FULL = Metric(
    name="faust_buffer_full_total",
    kind="counter",
    unit="count",
    labels=("topic",),
    meaning="Times that Faust waited since an agent had its buffer full.",
    action="Often: the agent is slower than its topic; start more of them.",
)
FAUST_SENDS = Metric(
    name="faust_send_seconds",
    kind="histogram",
    unit="seconds",
    buckets=_FAST,
    meaning="Time until Kafka acknowledged what an agent sent through Faust.",
    action="Rising: Kafka's replicas.",
)
FAUST_SEND_ERRORS = Metric(
    name="faust_send_errors_total",
    kind="counter",
    unit="count",
    meaning="Records that agents sent through Faust and that Kafka did not take; Faust only logs them.",
    action="They are lost unless the agent awaited the answer: have it do so.",
)
FAUST_REBALANCE_SECONDS = Metric(
    name="faust_rebalance_seconds",
    kind="histogram",
    unit="seconds",
    buckets=_FAST,
    meaning="Time of a rebalance of the agents' group, as Faust sees it.",
    action="Long: an agent takes its time to let go.",
)

_OF_PROCESSES: tuple[tuple[str, Kind, Unit, str, str], ...] = (
    ("process_cpu_seconds_total", "counter", "seconds", "Processor time of the process.", "None."),
    ("process_resident_memory_bytes", "gauge", "bytes", "Memory of the process.", "Rising without end: report it."),
    ("process_virtual_memory_bytes", "gauge", "bytes", "Address space of the process.", "None."),
    ("process_start_time_seconds", "gauge", "seconds", "When the process started.", "Often new: it restarts."),
    ("process_open_fds", "gauge", "count", "Open files of the process.", "Near the most: raise the limit."),
    ("process_max_fds", "gauge", "count", "Most files it may open.", "None."),
)
_PROCESS = tuple(
    Metric(name=name, kind=kind, unit=unit, meaning=meaning, action=action)
    for name, kind, unit, meaning, action in _OF_PROCESSES
)
"""What prometheus-client measures of every process by itself."""

OURS: tuple[Metric, ...] = (
    CONSUMED,
    PROCESSED,
    FAILED,
    RETRIES,
    DEAD_LETTERED,
    REDRIVEN,
    DEAD_LETTERS_HELD,
    LAG_RECORDS,
    LAG_SECONDS,
    COMMITTED,
    BATCH_RECORDS,
    STAGE_SECONDS,
    FRESHNESS,
    RECALL_SECONDS,
    RECALL_EVENTS_LOST,
    RECALLS,
    RECALL_RESULTS,
    RECALLS_CHANGED,
    EDGES_UPDATED,
    EDGES_CREATED,
    EDGES_PRUNED,
    EDGE_DEGREE,
    EDGE_WEIGHT,
    HUBS_FORMED,
    HUBS_TO_DISTIL,
    HUBS_ABANDONED,
    FACTS_EMITTED,
    FACTS_RETRACTED,
    EMBEDDING_TEXTS,
    EMBEDDING_COMPUTED,
    MODEL_SECONDS,
    MODEL_ERRORS,
    DISTILLER_SECONDS,
    DISTILLER_ERRORS,
    DISTILLER_TOKENS,
    DISTILLER_COST,
    DISTILLER_UNREADABLE,
    DISTILLER_CAPPED,
    DISTILLER_CIRCUIT,
    STATEMENTS_ACCEPTED,
    STATEMENTS_REFUSED,
    STORE_SECONDS,
    STORE_ERRORS,
    STORE_CONNECTIONS,
    APPEND_SECONDS,
    APPENDED,
    UNACKNOWLEDGED,
    HTTP_REQUESTS,
    HTTP_SECONDS,
    HTTP_PROBLEMS,
    HTTP_STREAMS,
    LOG_ERRORS,
    REBALANCES,
    PARTITIONS_HELD,
    HOME_BYTES,
    HOME_FREE_BYTES,
    REPLAY_RECORDS,
    REPLAY_APPLIED,
    REPLAY_PROGRESS,
    REPLAY_HUBS,
    REPLAY_DIVERGED,
    AUDIT_PROGRESS,
    AUDIT_RECORDS,
    AUDIT_CHECKPOINTS,
    AUDIT_UNCOVERED,
    AUDIT_FINDINGS,
    ARCHIVED,
    ARCHIVED_BYTES,
    SIGNED,
    ARCHIVE_ROUND,
    MERGED,
    MERGE_REFUSED,
    MERGE_BEHIND,
    MERGE_HELD,
    FAUST_EVENT_SECONDS,
    FAUST_BUFFER_FULL,
    FAUST_SENDS,
    FAUST_SEND_ERRORS,
    FAUST_REBALANCE_SECONDS,
    READY,
    BUILD,
)
CATALOGUE: tuple[Metric, ...] = (*OURS, *_PROCESS)
"""All that a process of helamem may expose."""
