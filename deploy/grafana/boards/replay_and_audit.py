"""Replays, audits and archives: how far they are, what they found."""

from __future__ import annotations

from deploy.grafana.vocabulary import Board, Panel, Query, Row, per_second

_REPLAY = Row(
    "Replays (they touch no number of a live process)",
    (
        Panel(
            title="Diverged",
            description="Whether a replay of the chosen time did not give again what the log gave before. See the "
            "runbook HelamemReplayDiverged.",
            unit="short",
            kind="stat",
            width=4,
            height=4,
            bad=1,
            queries=(Query("max(max_over_time(helamem_replay_diverged{$w}[$__range]))"),),
        ),
        Panel(
            title="Hubs derived again",
            description="Of the last replay of the chosen time, beside those in the log. Missing or different is a "
            "fault, not yet recorded is none.",
            unit="short",
            kind="stat",
            width=12,
            height=4,
            queries=(Query("max by (result) (last_over_time(helamem_replay_hubs{$w}[$__range]))", "{{result}}"),),
        ),
        Panel(
            title="Records to apply",
            description="Of the last replay of the chosen time.",
            unit="short",
            kind="stat",
            width=8,
            height=4,
            queries=(Query("max(last_over_time(helamem_replay_records{$w}[$__range]))"),),
        ),
        Panel(
            title="Progress",
            description="How much of each replay is done.",
            unit="percentunit",
            most=1,
            width=12,
            queries=(Query("max by (job, instance) (helamem_replay_progress_ratio{$w})", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Rate",
            description="Records that replays apply. Standing still before the end: see the replay's own output.",
            unit="recps",
            width=12,
            queries=(
                Query(per_second("helamem_replay_records_applied_total", by="job, instance"), "{{job}} {{instance}}"),
            ),
        ),
    ),
)
_AUDIT = Row(
    "Audits",
    (
        Panel(
            title="Findings",
            description="Records or checkpoints at fault, in any audit of the chosen time. See the runbook "
            "HelamemAuditFailed.",
            unit="short",
            kind="stat",
            width=4,
            height=4,
            bad=1,
            queries=(Query("max(max_over_time(helamem_audit_findings{$w}[$__range]))"),),
        ),
        Panel(
            title="Records verified",
            description="By the last audit of the chosen time. Fewer than before: something was removed, or it was "
            "given another log.",
            unit="short",
            kind="stat",
            width=5,
            height=4,
            queries=(Query("max(last_over_time(helamem_audit_records{$w}[$__range]))"),),
        ),
        Panel(
            title="Checkpoints",
            description="Signed checkpoints that the last audit held the records against.",
            unit="short",
            kind="stat",
            width=5,
            height=4,
            queries=(Query("max(last_over_time(helamem_audit_checkpoints{$w}[$__range]))"),),
        ),
        Panel(
            title="Not signed yet",
            description="Records after the last checkpoint of their partition, for which nobody has vouched. Growing "
            "from audit to audit: no archiver signs.",
            unit="short",
            kind="stat",
            width=5,
            height=4,
            queries=(Query("max(last_over_time(helamem_audit_uncovered_records{$w}[$__range]))"),),
        ),
        Panel(
            title="Progress",
            description="How much of the last audit is done.",
            unit="percentunit",
            kind="stat",
            width=5,
            height=4,
            queries=(Query("max(last_over_time(helamem_audit_progress_ratio{$w}[$__range]))"),),
        ),
    ),
)
_ARCHIVE = Row(
    "Archive",
    (
        Panel(
            title="Archived",
            description="Records that archivers put into the archive.",
            unit="recps",
            queries=(Query(per_second("helamem_archived_records_total", by="job, instance"), "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Written to the archive",
            description="Compressed bytes that archivers have written since they started.",
            unit="bytes",
            queries=(Query("sum by (job, instance) (helamem_archived_bytes_total{$w})", "{{job}} {{instance}}"),),
        ),
        Panel(
            title="Checkpoints signed",
            description="Since the archiver started. Zero beside archived records: it was given no key.",
            unit="short",
            kind="stat",
            width=4,
            queries=(Query("sum(helamem_checkpoints_signed_total{$w})"),),
        ),
        Panel(
            title="Last round",
            description="How long ago an archiver ended its last round. Long ago: the log or the archive is away.",
            unit="s",
            kind="stat",
            width=4,
            queries=(Query("time() - max(helamem_archive_round_timestamp_seconds{$w})"),),
        ),
    ),
)

BOARD = Board(
    name="replay-and-audit",
    title="helamem: replay and audit",
    description="Replays, audits and archives: how far they are, what they found.",
    rows=(_REPLAY, _AUDIT, _ARCHIVE),
)
