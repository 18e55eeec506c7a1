"""The outcome of `audit verify` as people read it."""

from __future__ import annotations

from rich.console import Console

from credit_pipeline.audit.verification import AuditReport


def render_report(report: AuditReport, console: Console) -> None:
    """Print what was compared, what does not agree and what to do, and how far the proof reaches."""

    def tell(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    tell(f"{report.log}: {report.records:,} records, head {report.head}")
    tell(
        f"compared with {report.checkpoints} checkpoints and {report.witnesses} witnesses, "
        f"{report.outside_witnesses} of them from outside the lake"
    )
    for finding in report.findings:
        line = "" if finding.line is None else f", line {finding.line}"
        style = "yellow" if finding.is_warning else "red"
        tell(
            f"{'warning' if finding.is_warning else 'FOUND'} {finding.kind}: {finding.where}{line}: {finding.what}",
            style,
        )
        tell(f"  what to do: {finding.remedy}")
    if report.is_intact:
        tell("intact", "green")
    tell(
        f"signed checkpoints agree up to line {report.confirmed:,} of {report.records:,}; "
        f"witnesses from outside up to line {report.confirmed_outside:,}"
    )
    if report.confirmed_outside == 0:
        tell(
            "Nobody from outside was heard: whoever owns the signing key and the lake could have rewritten all of it. "
            "Give what the units and the minutes hold: --witness FILE"
        )
