"""The model card: what a model is for, what it was made of, how good it is, and why it may grade or may not.

Here: the content of the card, once, and its two forms (HTML with the pictures inside, Markdown). Not here: figures
(validation.py), verdicts (gates.py), drawing (svg.py). Counts and rates only: no enterprise appears.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from credit_pipeline.audit.log import write_durably
from credit_pipeline.grading import card_pictures
from credit_pipeline.grading.gates import Verdict
from credit_pipeline.grading.registry import CARD_NAME, FIGURES_NAME
from credit_pipeline.grading.scorecard import Scorecard
from credit_pipeline.grading.svg import as_markdown
from credit_pipeline.settings import Settings
from credit_pipeline.transform.champions import Promotion, model_dir
from credit_pipeline.transform.policy import policy_table

MARKDOWN_NAME = "model_card.md"
_STYLE = """body{font:14px/1.5 system-ui,"Noto Sans CJK SC",sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;
color:#222}h1{font-size:1.5em}h2{font-size:1.15em;border-bottom:1px solid #ccc;margin-top:2em}
table{border-collapse:collapse;margin:.7em 0}td,th{border:1px solid #ddd;padding:.2em .6em;text-align:left;
vertical-align:top}th{background:#f4f5f7}td.n{text-align:right;font-variant-numeric:tabular-nums}
code{background:#f4f5f7;overflow-wrap:anywhere}.pass{color:#2e7d4f}.warn{color:#b7791f}.fail{color:#b3261e;
font-weight:bold}figure{display:inline-block;margin:.3em}"""


@dataclass(frozen=True)
class Table:
    """Rows under a head; numbers are written by the caller."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """An SVG with its name."""

    name: str
    svg: str


Block = str | Table | Picture
Section = tuple[str, list[Block]]


def write_card(
    settings: Settings,
    card: Scorecard,
    validation: Mapping[str, Any],
    verdicts: Sequence[Verdict],
    decision: str,
    champion: Promotion | None,
) -> Path:
    """Write card and figures into the model's folder; returns the path of the HTML."""
    day = date.fromisoformat(validation["as_of_date"])
    sections = card_sections(
        card, validation, verdicts, decision, champion,
        policy_table(settings, "model_statements", day).to_dicts(),
        policy_table(settings, "indicators", day),
        policy_table(settings, "label_rules", day),
    )  # fmt: skip
    title = f"Model {card.digest[:16]}"
    folder = model_dir(settings, card.digest)
    figures = {
        "digest": card.digest,
        "decision": decision,
        "verdicts": [verdict.to_json() for verdict in verdicts],
        "validation": validation,
    }
    text = json.dumps(figures, ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False) + "\n"
    write_durably(folder / FIGURES_NAME, text.encode())
    write_durably(folder / MARKDOWN_NAME, to_markdown(title, sections).encode())
    write_durably(folder / CARD_NAME, to_html(title, sections).encode())
    return folder / CARD_NAME


def card_sections(
    card: Scorecard,
    validation: Mapping[str, Any],
    verdicts: Sequence[Verdict],
    decision: str,
    champion: Promotion | None,
    statements: Sequence[Mapping[str, str]],
    indicators: pl.DataFrame,
    label_rules: pl.DataFrame,
) -> list[Section]:
    """Everything the card says, in order."""
    test = validation.get("test")
    sections: list[Section] = [
        ("Decision", [decision, _identity(card, validation, champion)]),
        ("Statements", [_statements(statements)]),
        ("Gates", [_gates(verdicts)]),
        ("Label and design", _design(card, validation, label_rules)),
    ]
    if test:
        sections += [
            ("Figures out of time", _figures(validation, test)),
            ("Grades", [_grades(test), _pairs(test), Picture("grades", card_pictures.grades(test))]),
            ("Calibration", _calibration(card, test)),
            ("By sector, size and county", _segments(test)),
        ]
    else:
        sections.append(("Figures out of time", [str(validation.get("not_judged", "none"))]))
    if "population" in validation:
        sections.append(("Today's population", _population(validation["population"])))
    sections += [
        ("Indicators", _indicators(card, indicators, validation)),
        ("Points table", [_points(card)]),
        ("Pictures of the points", _pictures(card)),
        ("Stability of the seeds", _seeds(card)),
        ("Lineage", [_lineage(card)]),
    ]
    return sections


def _identity(card: Scorecard, validation: Mapping[str, Any], champion: Promotion | None) -> Table:
    rows = [
        ["SHA-256 of the scorecard", f"`{card.digest}`"],
        ["judged as of", validation["as_of_date"]],
        ["model in use then", f"{champion.kind} `{champion.digest[:16]}` since {champion.valid_from}" if champion else "none"],
        ["kind", "additive points table from monotone boosting, mean of several seeds, calibrated by steps"],
    ]  # fmt: skip
    return Table(["", ""], rows)


def _statements(rows: Sequence[Mapping[str, str]]) -> Table:
    ordered = sorted(rows, key=lambda row: int(row["place"]))
    return Table(["", ""], [[f"{row['title']} {row['title_zh']}", row["text"]] for row in ordered])


def _gates(verdicts: Sequence[Verdict]) -> Table:
    return Table(
        ["gate", "verdict", "figure", "green", "amber", "words"],
        [
            [
                f"{v.gate} {v.label}",
                v.verdict,
                "" if v.figure is None else f"{v.figure:.4g}",
                f"{'≥' if v.better == 'higher' else '≤'} {v.green:g}",
                f"{v.amber:g}" + ("" if v.blocks else " (report)"),
                v.words,
            ]
            for v in verdicts
        ],
    )


def _design(card: Scorecard, validation: Mapping[str, Any], label_rules: pl.DataFrame) -> list[Block]:
    notes, training = card.metadata.get("notes", {}), card.metadata.get("training", {})
    learned = notes.get("learned", {})
    nuisance = ", ".join(card.metadata.get("nuisance", {})) or "none"
    trial = validation.get("learned", validation.get("trial", {}))
    test_rows = validation.get("test_rows", {})
    return [
        f"Label: 1 if one of the findings below with label 1 happened within {notes.get('horizon_months')} months after "
        "the snapshot, 0 if the enterprise was inspected without one. An enterprise that nobody looked at has no label.",
        Table(
            ["event", "code", "label", "meaning"],
            [[r["event_kind"], r["code"], r["label"], r["description"]] for r in label_rules.to_dicts()],
        ),
        f"Cohort of the model: {learned.get('snapshots')} monthly snapshots from {learned.get('first')} to "
        f"{learned.get('last')}, {learned.get('rows', 0):,} rows of {learned.get('enterprises', 0):,} enterprises, "
        f"{learned.get('breaches', 0):,} with a breach; weighted rate {training.get('weighted_rate', 0):.2%}.",
        f"Cohort of the trial that is judged: {trial.get('first')} to {trial.get('last')} ({trial.get('rows', 0):,} rows), "
        f"whose horizons ended before the test of {test_rows.get('last')} ({test_rows.get('rows', 0):,} rows) began. The "
        "model that grades was then fitted in the same way to all snapshots.",
        "Design: past draws were random with a recorded chance of inclusion; each drawn row weighs the sum of 1 / chance "
        "over the draws of its horizon, cut at the policy's limit. Visits of unknown chance weigh 1 and never set the base "
        f"rate. Rows by what made the label known: {json.dumps(notes.get('observed_by', {}), sort_keys=True)}. Fitted "
        f"as nuisance and dropped at the mean: {nuisance}.",
    ]  # fmt: skip


def _interval(found: Mapping[str, float] | None, form: str = ".4f") -> str:
    return f"{found['value']:{form}} ({found['low']:{form}} to {found['high']:{form}})" if found else ""


def _figures(validation: Mapping[str, Any], test: Mapping[str, Any]) -> list[Block]:
    rows = [
        ["rows, breaches", f"{test['rows']:,}, {test['breaches']:,}"],
        ["AUC (95 % interval)", _interval(test["auc"])],
        ["Gini", f"{test['gini']:.4f}"],
        ["Kolmogorov-Smirnov", f"{test['ks']:.4f}"],
        ["Brier (saved against a constant)", f"{test['brier']:.5f} ({test['brier_skill']:.1%})"],
        ["ECE over ten parts (beyond chance)", f"{test['calibration_error']:.4f} ({test['calibration_error_beyond_chance']:.4f})"],
        ["promised, found", f"{test['portfolio']['probability']:.3%}, {_interval({'value': test['portfolio']['rate'], 'low': test['portfolio']['low'], 'high': test['portfolio']['high']}, '.3%')}"],
        ["free boosting on the same rows, AUC", _interval(validation.get("free_boosting_auc"))],
    ]  # fmt: skip
    rival = validation.get("champion")
    if rival and "difference" in rival:
        rows.append([f"model in use, AUC ({rival['how']})", _interval(rival["auc"])])
        rows.append(["difference", _interval(rival["difference"], "+.4f")])
    return [Table(["figure", "value"], rows)]


def _grades(test: Mapping[str, Any]) -> Table:
    rows = []
    for g in test["grades"]:
        if not g["rows"]:
            rows.append([g["grade"], f"≤ {g['upper']:.0%}", "0", "", "", "", "", "", ""])
            continue
        rows.append(
            [
                g["grade"], f"≤ {g['upper']:.0%}", f"{g['rows']:,}", f"{g['share']:.1%}", f"{g['breaches']:,}",
                f"{g['effective']:,.0f}", f"{g['probability']:.2%}",
                _interval({"value": g["rate"], "low": g["low"], "high": g["high"]}, ".2%"),
                f"{g['jeffreys']:.3f} / {g['jeffreys_holm']:.3f}",
            ]
        )  # fmt: skip
    head = [
        "grade",
        "bound",
        "rows",
        "share of all",
        "breaches",
        "effective rows",
        "promised",
        "observed (95 %)",
        "Jeffreys p / Holm",
    ]
    return Table(head, rows)


def _pairs(test: Mapping[str, Any]) -> Table:
    return Table(
        ["neighbours", "rate falls", "z test p"],
        [
            [f"{p['better']} < {p['worse']}", "yes" if p["falls"] else "no", f"{p['p']:.2g}"]
            for p in test["adjacent"]
        ],
    )


def _calibration(card: Scorecard, test: Mapping[str, Any]) -> list[Block]:
    method = card.metadata.get("calibration", {})
    said = f"Calibration by {method.get('method')}, {method.get('steps')} steps"
    if "moved_by_log_odds" in method:
        said += f"; moved by {method['moved_by_log_odds']:+.4f} log-odds to the rate of drawn rows, {method['base_rate']:.3%}"
    steps = card.calibration.rows()
    return [
        said + ".",
        Picture("reliability", card_pictures.reliability(test)),
        Table(
            ["score in micro points above", "up to", "probability"],
            [
                ["" if low is None else f"{low}", "" if high is None else f"{high}", f"{p:.6f}"]
                for low, high, p in steps
            ],
        ),
    ]


def _segments(test: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = ["Segments with few breaches show neither rate nor AUC."]
    for name, found in test["segments"].items():
        blocks.append(
            Table(
                [name, "rows", "breaches", "observed", "AUC (95 %)"],
                [
                    [
                        str(one["value"]),
                        f"{one['rows']:,}",
                        "" if one["breaches"] is None else f"{one['breaches']:,}",
                        "" if one["rate"] is None else f"{one['rate']:.2%}",
                        _interval(one["auc"], ".3f"),
                    ]
                    for one in found
                ],
            )
        )
    return blocks


def _population(found: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = [
        f"{found['rows']:,} enterprises on {found['day']} against {found['compared_with']}: PSI of grades "
        f"{found['psi_grades']:.3f}, of score tenths {found['psi_scores']:.3f}; Herfindahl {found['herfindahl']:.3f}.",
        Table(
            ["", *found["shares"]],
            [
                ["a year before", *(f"{share:.1%}" for share in found["shares_before"].values())],
                ["today", *(f"{share:.1%}" for share in found["shares"].values())],
            ],
        ),
    ]
    if "migration" in found:
        names = list(found["shares"])
        moved = found["migration"]
        blocks += [
            f"Against the model in use: {moved['worse']:.1%} worse, {moved['better']:.1%} better, "
            f"{moved['moved_two']:.1%} by two grades or more. Rows: its grade; columns: the new one.",
            Table(
                ["from \\ to", *names],
                [[name, *(f"{n:,}" for n in row)] for name, row in zip(names, moved["matrix"], strict=True)],
            ),
        ]
    return blocks


def _indicators(card: Scorecard, indicators: pl.DataFrame, validation: Mapping[str, Any]) -> list[Block]:
    csi = validation.get("population", {}).get("csi", {})
    known = {row["indicator"]: row for row in indicators.to_dicts()}
    directions = card.metadata.get("directions", {})
    rows = []
    for name in card.features:
        told = known.get(name, {})
        points = card.points.filter(pl.col("feature") == name)["points"].to_numpy()
        rows.append(
            [
                name, told.get("label", ""), told.get("definition", ""), told.get("unit", ""),
                {1: "+ more is riskier", -1: "− more is safer"}.get(directions.get(name, 0), "none"),
                told.get("source_feeds") or told.get("source_feed", ""), told.get("missing_rule", ""),
                "yes" if name in card.metadata.get("must_report", []) else "",
                f"{points.max() - points.min():.3f}", f"{csi[name]:.3f}" if name in csi else "",
            ]
        )  # fmt: skip
    head = [
        "indicator",
        "label",
        "definition",
        "unit",
        "direction",
        "feeds",
        "missing",
        "must report",
        "range of points",
        "CSI",
    ]
    left_out = sorted(set(known) - set(card.features))
    edits = card.metadata.get("edits", [])
    blocks: list[Block] = [
        "Directions are decided by people in the catalogue of indicators; the fit cannot go against them.",
        Table(head, rows),
        f"In the catalogue but not in the model: {', '.join(left_out) or 'none'}.",
    ]
    if edits:
        blocks.append(
            "Edited after the fit so that not reporting never pays: "
            + json.dumps(edits, ensure_ascii=False, sort_keys=True)
            + "."
        )
    return blocks


def _points(card: Scorecard) -> Table:
    rows = []
    for row in card.points.to_dicts():
        if row["kind"] == "num":
            upper = "∞" if row["upper"] is None else f"{row['upper']:.6g}"
            lower = "−∞" if row["lower"] is None else f"{row['lower']:.6g}"
            where = f"{lower} < x ≤ {upper}"
        else:
            where = row["category"] if row["kind"] == "cat" else row["kind"]
        rows.append(
            [
                row["feature"] or "", where or "", f"{row['points']:+.6f}", f"{row['micro_points']}",
                "" if row["n_train"] is None else f"{row['n_train']:,}",
                "" if row["standard_error"] is None else f"{row['standard_error']:.4f}",
            ]
        )  # fmt: skip
    return Table(["indicator", "bin", "points (log-odds)", "micro points", "rows", "error over seeds"], rows)


def _pictures(card: Scorecard) -> list[Block]:
    directions = card.metadata.get("directions", {})
    drawn = [
        Picture(name, card_pictures.indicator_points(card, name, directions.get(name, 0)))
        for name in card.features
    ]
    return [
        "Points over the standardized value (0 to 1); red: missing; grey bars: standard error over the seeds.",
        *(picture for picture in drawn if picture.svg),
    ]


def _seeds(card: Scorecard) -> list[Block]:
    rows = card.points.filter(pl.col("standard_error").is_not_null())
    errors = rows["standard_error"].to_numpy()
    spread = card.points.filter(pl.col("kind") != "intercept")["points"].to_numpy()
    if not len(errors):
        return ["No seeds: this card was not fitted."]
    worst: dict[str, float] = {}
    for feature, error in rows.select("feature", "standard_error").rows():
        worst[feature or "intercept"] = max(error, worst.get(feature or "intercept", 0.0))
    least_sure = sorted(worst.items(), key=lambda item: (-item[1], item[0]))[:5]
    return [
        f"Seeds {card.metadata.get('seeds')}, rounds {card.metadata.get('rounds')}. Standard error of a bin over the "
        f"seeds: mean {errors.mean():.4f}, largest {errors.max():.4f}; the points run from {spread.min():+.3f} to "
        f"{spread.max():+.3f}. Least sure: {', '.join(f'{name} {error:.4f}' for name, error in least_sure)}."
    ]  # fmt: skip


def _lineage(card: Scorecard) -> Table:
    notes = card.metadata.get("notes", {})
    names = ("as_of_date", "rows_digest", "policy_digest", "catalogue_digest", "label_rules_digest", "ledger_digest", "ledger_files", "code_digest")  # fmt: skip
    rows = [[name.replace("_", " "), f"`{notes[name]}`"] for name in names if name in notes]
    rows.append(["snapshots", ", ".join(notes.get("snapshots", []))])
    versions = dict(notes.get("versions", {})) | dict(card.metadata.get("versions", {}))
    rows.append(["versions", ", ".join(f"{name} {value}" for name, value in sorted(versions.items()))])
    rows.append(["parameters", json.dumps(card.metadata.get("parameters", {}), sort_keys=True)])
    rows.append(
        ["difference of table and model, at most", f"{card.metadata.get('worst_difference_to_model', 0):.1e}"]
    )
    return Table(["", ""], rows)


def to_markdown(title: str, sections: Sequence[Section]) -> str:
    """The card as Markdown; pictures stand inside as data."""
    lines = [f"# {title}", ""]
    for name, blocks in sections:
        lines += [f"## {name}", ""]
        for block in blocks:
            if isinstance(block, Table):
                lines.append("| " + " | ".join(_cell(text) for text in block.head) + " |")
                lines.append("|" + "---|" * len(block.head))
                lines += ["| " + " | ".join(_cell(text) for text in row) + " |" for row in block.rows]
            elif isinstance(block, Picture):
                lines.append(as_markdown(block.name, block.svg))
            else:
                lines.append(block)
            lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def to_html(title: str, sections: Sequence[Section]) -> str:
    """The card as one HTML file that needs no other."""
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>",
    ]
    for name, blocks in sections:
        parts.append(f"<h2>{escape(name)}</h2>")
        for block in blocks:
            if isinstance(block, Table):
                parts.append(_html_table(block))
            elif isinstance(block, Picture):
                parts.append(f"<figure>{block.svg}</figure>")
            else:
                parts.append(f"<p>{escape(block)}</p>")
    return "".join([*parts, "</body></html>\n"])


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in table.head) if any(table.head) else ""
    rows = "".join("<tr>" + "".join(_html_cell(text) for text in row) + "</tr>" for row in table.rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{rows}</table>"


def _html_cell(text: str) -> str:
    if text.startswith("`") and text.endswith("`"):
        return f"<td><code>{escape(text[1:-1])}</code></td>"
    if text in ("pass", "warn", "fail"):
        return f'<td class="{text}">{text}</td>'
    return f"<td>{escape(text)}</td>"
