"""A traced draw as people read it: the draw, the grade, then each factor with the records and files behind it."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table

from credit_pipeline.audit.explain import NOTICE
from credit_pipeline.audit.trace import Trace


def render_trace(trace: Trace, console: Console) -> None:
    """Print a trace. CONFIDENTIAL output."""

    def tell(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    tell(NOTICE, "bold")
    first = trace.lines[0]
    for (unit, item), found in groupby(trace.lines, lambda line: (line["unit_id"], line["item_code"])):
        line = next(iter(found))
        tell(
            f"{line['drawn_as']}: plan {line['plan_id']}, round {line['round']}, unit {unit}, item {item}: rank {line['rank']} "
            f"of {line['stratum_size']} in the stratum of grade {line['frozen_grade']}, quota {line['quota']} "
            f"({line['ratio_bp']} bp, {line['basis']}); log lines {line['frozen_seq']} (frozen) and {line['drawn_seq']} (drawn)"
        )
        tell(f"  grade of the unit on the day: {line['unit_grade']}")
    tell(
        f"grade on {first['frozen_date']}: {first['day_grade']} by {first['path']}, score {first['score_micro']} micro points, "
        f"vetoes {first['veto_codes'] or 'none'}; policy {first['policy_version']}, model {(first['model_digest'] or '')[:16]}; "
        f"log line {first['built_seq']} (warehouse built)"
    )
    if trace.reproduced is not None:
        told = "they are the stored ones" if trace.reproduced else "they DIFFER from those stored that day"
        tell(f"the day's grades were computed anew: {told}", "green" if trace.reproduced else "red")
    table = Table(title="What the grade rests on", title_justify="left")
    for name in ("factor", "value", "points", "record", "contributes", "file and row", "SHA-256", "log line"):
        table.add_column(
            name, overflow="fold", justify="right" if name in ("points", "contributes") else "left"
        )
    of_first = [
        line
        for line in trace.lines
        if (line["unit_id"], line["item_code"]) == (first["unit_id"], first["item_code"])
    ]
    for line in of_first:
        if line["factor"] is None:
            continue
        sheet = f" [{line['source_sheet']}]" if line["source_sheet"] else ""
        place = (
            f"{line['source_file']}{sheet} row {line['source_row']}" if line["source_file"] else "no record"
        )
        table.add_row(
            f"{line['factor_kind']} {line['factor']}",
            line["factor_value"] or "",
            "" if line["points_micro"] is None else str(line["points_micro"]),
            line["record_no"] or "",
            "" if line["contribution"] is None else str(line["contribution"]),
            place,
            (line["file_sha256"] or "")[:16],
            "" if line["ingest_seq"] is None else str(line["ingest_seq"]),
        )
    console.print(table, markup=False)
