"""The events of the audit log: what each means, how the office calls it, which details it may hold.

Here: the catalogue, and comparing a record with it. Not here: who writes them; each stage appends its own. A test reads
every `append("…")` of the code against this page, another every record of a real run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUN_FACTS = frozenset({"as_of_date", "policy_version", "model", "code"})
"""What every stage's event says of its run (`orchestration.Pipeline.run_facts`)."""


@dataclass(frozen=True)
class Event:
    """One kind of event."""

    label: str
    """In Chinese."""
    description: str
    keys: frozenset[str]
    """Keys its details may hold."""


def _event(label: str, description: str, *keys: str, of_a_run: bool = False) -> Event:
    return Event(label, description, frozenset(keys) | (RUN_FACTS if of_a_run else frozenset()))


_ROUND = (
    "plan_id", "round", "state", "step", "last_event", "frozen_date", "freeze_root", "frame_root", "frame_size",
    "eligible_count", "unit_sizes", "files", "commitments", "entropy", "seed_commitment", "draw_sql_sha256", "drawn_count",
    "top_ups", "waves", "wave_roots", "replacements", "unassigned_units", "aborted_from",
)  # fmt: skip
_ALERT = ("as_of_date", "findings", "is_delivered")

EVENTS: dict[str, Event] = {
    "TORN_LINE_CUT": _event(
        "截去残行", "A line torn by a crash was cut off before this event.", "bytes", "sha256"
    ),
    "run_started": _event(
        "任务开始", "A run began: which job, who or what started it, with which code and libraries.",
        "job", "as_of_date", "launched_by", "os_user", "lake", "code", "libraries",
    ),
    "run_failed": _event("任务失败", "A run failed.", "job", "as_of_date", "failed_steps"),
    "day_finished": _event("当日完成", "A daily run reached its end; a checkpoint follows.", of_a_run=True),
    # feeds
    "source_fetched": _event(
        "数据源已取数", "Rows were fetched from a database or an API.",
        "feed", "source", "source_kind", "as_of_date", "rows", "rows_sent_again", "pages", "sha256",
    ),
    "source_failed": _event(
        "数据源取数失败", "A database or an API could not be read.", "feed", "source", "source_kind", "as_of_date", "reason"
    ),
    "source_recovered": _event(
        "数据源恢复", "A delivery was complete before a run was killed.", "feed", "source", "sha256"
    ),
    "source_reset": _event(
        "数据源重置", "Somebody set back where a source is read from.", "feed", "source", "cursor_before", "cursor_after"
    ),
    "feed_ingested": _event(
        "数据接收", "A feed's new files were read: each file with its SHA-256, rows read, accepted, refused, repeated.",
        "feed", "as_of_date", "files", "read", "accepted", "quarantined", "duplicates",
    ),
    "feeds_read": _event(
        "接收阶段完成", "All feeds of a run were read: files and rows of the lake, and the digest of its ledger.",
        "feeds", "files", "rows", "ledger_sha256", of_a_run=True,
    ),
    "lake_compacted": _event("数据湖整理", "The days of past months became one file each.", "months"),
    "absences_confirmed": _event(
        "消失记录已确认", "The office confirmed that missing records ended.",
        "feed", "records", "first_confirmation", "decided_by", "as_of_date",
    ),
    "absences_undone": _event(
        "消失记录确认撤回", "Such decisions were withdrawn.", "records", "first_confirmation", "decided_by", "as_of_date"
    ),
    "quarantine_exported": _event(
        "隔离行已退回", "Refused rows were exported for their unit.", "unit_id", "feeds", "rows", "tables", "as_of_date"
    ),
    "identity_decided": _event(
        "主体核对决定", "The office decided who a row without a code means.",
        "decision_id", "party", "decision", "decided_by", "as_of_date",
    ),
    "identity_decision_undone": _event(
        "主体核对决定撤回", "Such a decision was withdrawn.", "decision_id", "party", "decided_by", "as_of_date"
    ),
    "feeds_need_attention": _event("数据需关注", "Feeds that somebody must look after.", *_ALERT),
    # transform
    "warehouse_built": _event(
        "数据仓库已构建", "dbt built all tables: rows of each, digests of those that decide, special needs in force.",
        "is_replay", "inputs", "models", "rows", "outputs", "exceptions", of_a_run=True,
    ),
    # grading
    "training_set_built": _event("训练样本已生成", "Labelled snapshots for training.", "inputs", "rows", "sha256", of_a_run=True),
    "model_trained": _event(
        "模型已训练", "A challenger was fitted and judged by the gates of policy.",
        "inputs", "challenger", "kind", "promoted", "gates", "reason", of_a_run=True,
    ),
    "model_chosen": _event("模型已选定", "The model that grades on the day.", "kind", "valid_from", of_a_run=True),
    "model_promoted": _event(
        "模型人工启用", "Somebody promoted a model by hand.",
        "as_of_date", "model", "previous", "kind", "decided_by", "approver", "document", "reason",
    ),
    "model_rolled_back": _event(
        "模型回退", "Somebody went back to an earlier model.",
        "as_of_date", "model", "previous", "kind", "decided_by", "approver", "document", "reason",
    ),
    "grades_stored": _event(
        "等级已存档", "The day's grades were stored: how many, how many changed, the digest of the full state.",
        "graded", "changed", "rows", "state_sha256", of_a_run=True,
    ),
    "grades_compared": _event(
        "等级复算比对", "A past day was computed again and compared with what was stored.", "graded", "agrees", of_a_run=True
    ),
    # inspection
    "rounds_drawn": _event(
        "抽取阶段完成", "Every round in force went as far as it could; the digest of all draws.",
        "is_replay", "rounds", "outputs", of_a_run=True,
    ),
    "inspectors_assigned": _event(
        "人员匹配阶段完成", "Inspectors were given to all drawn enterprises that lacked them; the digest of all teams.",
        "is_replay", "rounds", "outputs", of_a_run=True,
    ),
    "round_frame_frozen": _event("轮次名单冻结", "The frame of a round was frozen.", *_ROUND),
    "round_committed": _event("轮次承诺完成", "All parties committed to their secrets.", *_ROUND),
    "round_entropy": _event("轮次公共随机数", "The public random number of a round stands.", *_ROUND),
    "round_drawn": _event("轮次已抽取", "A round was drawn.", *_ROUND),
    "round_topped_up": _event("轮次递补", "The next in order took the place of one that closed.", *_ROUND),
    "round_assigned": _event("轮次人员匹配", "A wave of inspectors was assigned.", *_ROUND),
    "round_inspector_replaced": _event("检查人员更换", "An inspector was replaced.", *_ROUND),
    "round_closed": _event("轮次关闭", "A round was closed.", *_ROUND),
    "round_aborted": _event("轮次中止", "A round was aborted; its number is not used again.", *_ROUND),
    "draw_bundle_written": _event(
        "抽取证明包已生成", "The proof of a round was written for its readers.", "plan_id", "round", "form", "bundle_sha256"
    ),
    "inspections_need_attention": _event("检查需关注", "Units with overdue visits, results, rectifications.", *_ALERT),
    # extracts
    "extract_published": _event(
        "数据包发布", "A unit's extract became current.",
        "unit_id", "release_seq", "manifest_sha256", "key_ids",
    ),
    "extract_opened": _event(
        "数据包被打开", "The office opened a unit's extract; with the secret shown, if it says so.",
        "unit_id", "release_seq", "is_secret_shown",
    ),
    "public_results_published": _event(
        "检查结果已公示", "The public list of inspection results and its statistics became current.",
        "as_of_date", "revision", "results", "removed", "manifest_sha256",
    ),
    "retention_purged": _event(
        "到期清除", "What policy keeps no longer was removed or blanked.",
        "as_of_date", "kinds", "record_kind", "before", "files", "rows", "size", "digest",
    ),
    "backup_made": _event(
        "备份完成", "The lake was backed up.",
        "manifest_sha256", "files", "size", "new_objects", "keys_archive_sha256",
    ),
    "backup_restored": _event("备份恢复", "A lake was restored.", "manifest_sha256", "files"),
    "key_added": _event("公钥已登记", "A unit's public key was added.", "unit_id", "key_id"),
    "key_rotated": _event(
        "密钥已更换", "The keys of a unit, of the escrow or of the office were replaced.",
        "unit_id", "key_ids_before", "key_mode", "key_id",
    ),
    "key_revoked": _event("公钥已吊销", "A unit's public key was revoked.", "unit_id", "key_id"),
    "extracts_finished": _event(
        "数据包阶段完成", "All units' extracts are current.", "units", "new_releases", "rows", of_a_run=True
    ),
    "extracts_need_attention": _event(
        "数据包需关注", "Units that did not confirm a release, or whose receipts contradict the log.", *_ALERT
    ),
}  # fmt: skip


def unknown_parts(event: str, details: Mapping[str, Any]) -> list[str]:
    """What of a record the catalogue does not know: its event, or keys of its details."""
    known = EVENTS.get(event)
    if known is None:
        return [f"event {event}"]
    return [f"detail {key} of {event}" for key in sorted(set(details) - known.keys)]


def events_markdown() -> str:
    """The catalogue as the table of docs/audit.md."""
    lines = ["| event | 中文 | meaning | details |", "|---|---|---|---|"]
    for name, event in EVENTS.items():
        own = event.keys - RUN_FACTS if event.keys >= RUN_FACTS else event.keys
        run = (
            "run facts, "
            if event.keys >= RUN_FACTS and own
            else "run facts"
            if event.keys >= RUN_FACTS
            else ""
        )
        details = run + ", ".join(f"`{key}`" for key in sorted(own))
        details = "the whole `round.json`" if "frame_root" in event.keys else details
        lines.append(f"| `{name}` | {event.label} | {event.description} | {details} |")
    return "\n".join(lines) + "\n"
