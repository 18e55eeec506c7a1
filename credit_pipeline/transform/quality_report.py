"""The quality report of a day for people: one table of the feeds, and pictures of what they bring.

Everything is read from the schema `quality` of the warehouse, as counts per feed, unit and day; no enterprise and
no value of a row appears. What the figures mean stands in the models (`dbt_project/models/quality`).
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.settings import Settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DAYS_SHOWN = 90
RULES_SHOWN = 12
LONGEST_LAG = 30
"""Working days; longer ones are counted there."""
PUBLICITY_FEEDS = ("licences", "penalties")
_BLUE, _RED, _GREY, _AMBER = "#3b6ea5", "#b5473c", "#9aa5b1", "#d69e2e"
_COLOURS_OF_PNG = 32
"""A palette makes a picture of bars a third as large; the event log keeps one report a day."""


@dataclass(frozen=True)
class QualityReport:
    """The figures of one day."""

    as_of_date: date
    feeds: list[dict[str, Any]]
    """Rows of `quality.feed_overview`, in the order of the catalogue."""
    days: list[tuple[date, int, int, int]]
    """Day, accepted, quarantined, duplicates over all feeds, of the last `DAYS_SHOWN` days."""
    lags: dict[str, list[tuple[int, int]]]
    """Licences and penalties: working days on their way, facts."""
    rules: list[tuple[str, int]]
    """Rules by refused rows, the most first."""

    @property
    def stale(self) -> list[str]:
        return [feed["feed"] for feed in self.feeds if feed["is_stale"]]

    @property
    def vanishing(self) -> list[str]:
        """Feeds whose last full delivery lacked more known records than policy lets pass."""
        return [feed["feed"] for feed in self.feeds if feed["is_vanishing"]]

    def total(self, name: str) -> int:
        return sum(int(feed[name] or 0) for feed in self.feeds)


def read_report(connection: duckdb.DuckDBPyConnection, as_of_date: date) -> QualityReport:
    """The report's figures from a built warehouse."""
    cursor = connection.execute("select * from quality.feed_overview")
    names = [column[0] for column in cursor.description or []]
    overview = {row["feed"]: row for row in (dict(zip(names, row, strict=True)) for row in cursor.fetchall())}
    since = as_of_date - timedelta(days=DAYS_SHOWN - 1)
    days = connection.execute(
        """
        select ingest_date, sum(accepted)::bigint, sum(quarantined)::bigint, sum(duplicates)::bigint
        from quality.feed_quality where ingest_date >= $since group by 1 order by 1
        """,
        {"since": since},
    ).fetchall()
    lags = connection.execute(
        f"""
        select feed, least(lag_working_days, {LONGEST_LAG}), sum(facts)::bigint from quality.arrival_lags
        where lag_working_days is not null and feed in {PUBLICITY_FEEDS} group by 1, 2 order by 1, 2
        """
    ).fetchall()
    rules = connection.execute(
        """
        select rule, count(*) from (
            select unnest(string_split(rules, '|')) as rule from quality.quarantined_rows
        ) group by 1 order by 2 desc, 1
        """
    ).fetchall()
    return QualityReport(
        as_of_date,
        [overview[name] for name in load_catalogue() if name in overview],
        [(row[0], int(row[1]), int(row[2]), int(row[3])) for row in days],
        {name: [(int(lag), int(n)) for feed, lag, n in lags if feed == name] for name in PUBLICITY_FEEDS},
        [(str(rule), int(count)) for rule, count in rules],
    )


def report_markdown(report: QualityReport) -> str:
    """One row per feed: what came, what was refused, what waits, how much of the register it covers, how late."""
    head = (
        "feed", "last arrival", "read", "accepted", "refused", "rate", "top rules", "open", "in review",
        "duplicates", "repaired", "coverage", "lag (median / p90, working days)", "within 7 days", "missing",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|---|--:|--:|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    labels = load_catalogue()
    for feed in report.feeds:
        cells = [
            f"{feed['feed']} {labels[feed['feed']].label}",
            (str(feed["last_arrival"]) if feed["last_arrival"] else "never") + (" **stale**" if feed["is_stale"] else ""),
            *(f"{feed[name]:,}" for name in ("read_rows", "accepted", "quarantined")),
            _percent(feed["reject_rate_bp"]),
            feed["top_rules"],
            *(f"{feed[name]:,}" for name in ("open_rows", "in_review", "duplicates", "repaired_rows")),
            _percent(feed["coverage_bp"]),
            "" if feed["lag_working_median"] is None else f"{feed['lag_working_median']} / {feed['lag_working_p90']}",
            _percent(feed["within_deadline_bp"]),
            f"{feed['missing_records']:,}" + (" **alert**" if feed["is_vanishing"] else ""),
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    if any(feed["uncovered_facts"] for feed in report.feeds):
        lines += ["", "Working days outside the table of holidays count weekdays."]
    return "\n".join(lines)


def _percent(basis_points: int | None) -> str:
    return "" if basis_points is None else f"{basis_points / 100:.2f} %"


def report_plots(report: QualityReport, settings: Settings) -> dict[str, str]:
    """The pictures as Markdown with the PNG inside, by name; the same figures give the same bytes.

    Words are the ids of feeds and rules: the font that comes with the drawing library has no Chinese.
    """
    # Its cache of fonts belongs where the lake's other working files are, not into the user's home.
    os.environ.setdefault("MPLCONFIGDIR", str(settings.temp_dir / "matplotlib"))
    return {name: _markdown(name, _draw(report, paint)) for name, paint in _PLOTS.items()}


def _markdown(name: str, png: bytes) -> str:
    return f"![{name}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def _draw(report: QualityReport, paint: Callable[[QualityReport, Figure], None]) -> bytes:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    with mpl.rc_context(
        {"font.family": "DejaVu Sans", "font.size": 8, "axes.spines.right": False, "axes.spines.top": False}
    ):
        figure = Figure(figsize=(8, 4), dpi=80, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        paint(report, figure)
        canvas.draw()
        image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba())
    buffer = io.BytesIO()
    image.convert("RGB").quantize(_COLOURS_OF_PNG).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _bars(axes: Axes, names: list[str], values: list[float], colours: list[str], title: str) -> None:
    axes.barh(names[::-1], values[::-1], color=colours[::-1])
    axes.set_title(title, loc="left")


def _coverage(report: QualityReport, figure: Figure) -> None:
    feeds = [feed for feed in report.feeds if feed["coverage_bp"] is not None]
    axes = figure.subplots()
    shares = [feed["coverage_bp"] / 100 for feed in feeds]
    _bars(
        axes,
        [feed["feed"] for feed in feeds],
        shares,
        [_BLUE] * len(feeds),
        "active enterprises with a record, %",
    )
    axes.set_xlim(0, 100)


def _rejects(report: QualityReport, figure: Figure) -> None:
    left, right = figure.subplots(1, 2)
    feeds = [feed for feed in report.feeds if feed["read_rows"]]
    rates = [feed["reject_rate_bp"] / 100 for feed in feeds]
    _bars(left, [feed["feed"] for feed in feeds], rates, [_RED] * len(feeds), "refused rows, % of those read")
    rules = report.rules[:RULES_SHOWN]
    counts: list[float] = [count for _, count in rules]
    _bars(right, [rule for rule, _ in rules], counts, [_RED] * len(rules), "rows by rule")


def _lags(report: QualityReport, figure: Figure) -> None:
    for axes, (name, lags) in zip(
        figure.subplots(1, len(report.lags), sharey=True), report.lags.items(), strict=True
    ):
        total = sum(count for _, count in lags) or 1
        colours = [_BLUE if lag <= 7 else _RED for lag, _ in lags]
        axes.bar([lag for lag, _ in lags], [100 * count / total for _, count in lags], color=colours)
        axes.set_title(f"{name}: % by working days, decision to arrival", loc="left")
        axes.set_xlim(-1, LONGEST_LAG + 1)
        axes.axvline(7.5, color=_GREY, linestyle="--")


def _rows(report: QualityReport, figure: Figure) -> None:
    """Lines, not stacked bars: on a scale of powers a stack hides the few refused rows."""
    days = {day: counts for day, *counts in report.days}
    kinds = (("accepted", _BLUE), ("refused", _RED), ("duplicate", _GREY))
    for axes, shown in zip(figure.subplots(2, 1), (30, DAYS_SHOWN), strict=True):
        place = [report.as_of_date - timedelta(days=back) for back in range(shown - 1, -1, -1)]
        for index, (name, colour) in enumerate(kinds):
            counts = [days.get(day, [0, 0, 0])[index] for day in place]
            axes.plot(range(shown), counts, color=colour, label=name, marker=".", linewidth=1)
        step = shown // 6
        axes.set_xticks(range(0, shown, step), [place[index].isoformat() for index in range(0, shown, step)])
        axes.set_title(f"rows received per day, last {shown} days", loc="left")
        axes.set_yscale("symlog")
        axes.set_ylim(bottom=0)
    axes.legend(loc="upper left", ncols=3, frameon=False)


def _arrivals(report: QualityReport, figure: Figure) -> None:
    feeds = [feed for feed in report.feeds if feed["last_arrival"]]
    never = [feed["feed"] for feed in report.feeds if feed["is_stale"] and not feed["last_arrival"]]
    axes = figure.subplots()
    ages = [100 * (report.as_of_date - feed["last_arrival"]).days / feed["cadence_days"] for feed in feeds]
    colours = [_RED if feed["is_stale"] else _BLUE for feed in feeds]
    _bars(
        axes,
        [feed["feed"] for feed in feeds],
        [min(age, 300) for age in ages],
        colours,
        "days since the last file, % of the agreed interval",
    )
    axes.axvline(100, color=_AMBER, linestyle="--")
    if never:
        axes.set_xlabel(f"never arrived: {', '.join(never)}", loc="left")


_PLOTS: dict[str, Callable[[QualityReport, Figure], None]] = {
    "coverage": _coverage,
    "reject_rate": _rejects,
    "lag": _lags,
    "rows_per_day": _rows,
    "last_arrivals": _arrivals,
}
