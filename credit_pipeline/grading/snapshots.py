"""The training set: labelled monthly snapshots of the indicators, and the populations that a model is compared on.

The snapshots come from the same dbt models as the daily indicators, computed for past month-ends with only what
was known then, so training and grading cannot drift apart. Here: which month-ends, the builds in batches, what is
kept of them. Not here: the label itself (dbt, `training_labels`), the fit (training.py).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from credit_pipeline.settings import Settings
from credit_pipeline.transform.dbt import dbt_args, dbt_vars, run_dbt
from credit_pipeline.transform.policy import policy_parameter, policy_table
from credit_pipeline.warehouse import connect

if TYPE_CHECKING:
    import duckdb

log = logging.getLogger(__name__)

WHOLE_BUILD = "+standardized_indicators +training_labels"
INDICATORS_ONLY = "+standardized_indicators,path:models/indicators +training_labels,path:models/indicators"
"""Later batches: only what depends on the snapshots' days; staging and the register stand already."""
BUILDABLE = ["--indirect-selection", "buildable"]
"""A part of the project is built: only tests whose parents are all there can run."""
ENTERPRISE_MONTHS_AT_ONCE = 2_500_000
"""Rows of one batch: about 3 GB of memory and spill with 70 indicators; a city of 200,000 takes 12 months at once."""
HISTORY_FEEDS = {"penalties": "decision_date", "inspection_results": "check_date"}
"""Feeds without whose history a snapshot says nothing, and when their events happened."""
POPULATION_ROWS = 200_000
"""A population larger than this is compared by a fixed sample of it."""
TRIAL_SNAPSHOTS = 3
"""Month-ends that a trial out of time learns from, at least where the history allows."""
SEGMENTS = ("industry_section", "size_class", "region")
ABOUT = ("as_of_date", "uscc", "label", "weight", "observed_by", "observed_unit", *SEGMENTS)
"""Columns of a training set that are no indicators: none may ever score."""


def month_back(day: date, months: int) -> date:
    """The last day of the month that lies `months` before the month of `day`."""
    index = day.year * 12 + day.month - 1 - months + 1
    return date.fromordinal(date(index // 12, index % 12 + 1, 1).toordinal() - 1)


def snapshot_dates(as_of_date: date, horizon_months: int, count: int) -> list[date]:
    """Month-ends whose whole horizon lies before the as-of day, the oldest first."""
    return [month_back(as_of_date, horizon_months + 1 + back) for back in reversed(range(count))]


def months_after(day: date, months: int) -> date:
    """The last day of the month that lies `months` after the month of `day`."""
    return month_back(day, -months)


def features_of(settings: Settings, as_of_date: date) -> pl.DataFrame:
    """The indicators that the model may use: indicator, direction, must_report (from the catalogue of indicators)."""
    rows = (
        policy_table(settings, "indicators", as_of_date)
        .filter(pl.col("in_model").str.to_lowercase() == "true")
        .sort("indicator")
    )
    return rows.select(
        "indicator",
        pl.col("direction").cast(pl.Int64),
        must_report=pl.col("must_report").str.to_lowercase() == "true",
    )


def training_dir(settings: Settings, as_of_date: date) -> Path:
    """Where the training data of a day lie."""
    return settings.lake_dir / "training" / f"as_of={as_of_date.isoformat()}"


def training_set_path(settings: Settings, as_of_date: date) -> Path:
    """The labelled snapshots of a day."""
    return training_dir(settings, as_of_date) / "training_set.parquet"


def population_path(settings: Settings, as_of_date: date) -> Path:
    """All enterprises (or a sample) on the as-of day and on the same month-end a year before, with their indicators."""
    return training_dir(settings, as_of_date) / "population.parquet"


def history_since(settings: Settings, as_of_date: date) -> date | None:
    """The day since which every feed of `HISTORY_FEEDS` tells what happened; None when one has told nothing.

    A single stray date must not stretch a history, so the first percent of a feed's rows is left aside.
    """
    since = []
    for feed, column in HISTORY_FEEDS.items():
        pattern = settings.raw_dir / feed / "*" / "*.parquet"
        if not any(settings.raw_dir.glob(f"{feed}/*/*.parquet")):
            return None
        with connect(settings) as connection:
            row = connection.execute(
                f"select quantile_disc({column}, 0.01) from read_parquet($files, union_by_name = true, "
                f"hive_partitioning = true) where cast(ingest_date as date) <= $day and {column} is not null",
                {"files": str(pattern), "day": as_of_date},
            ).fetchone()
        if row is None or row[0] is None:
            return None
        since.append(row[0])
    return max(since)


def usable_snapshots(settings: Settings, as_of_date: date) -> list[date]:
    """Month-ends to learn from: horizon over, and the feeds' history reaching back far enough before them.

    Windows that reach back before the history are thinner than those of the day that is graded, and a model learned
    from them promises too much. So month-ends whose longest window is not full are left out, oldest first, as long as
    a horizon and `TRIAL_SNAPSHOTS` of them remain, without which nothing could be judged out of time.
    With no history at all the newest month-end stands alone: its labels are empty, and the expert scorecard grades.
    """
    horizon = policy_parameter(settings, "horizon_months", as_of_date)
    dates = snapshot_dates(as_of_date, horizon, policy_parameter(settings, "snapshot_count", as_of_date))
    since = history_since(settings, as_of_date)
    needed = policy_parameter(settings, "snapshot_history_months", as_of_date)
    windows = policy_table(settings, "indicators", as_of_date)["window_months"]
    longest = windows.cast(pl.Int64, strict=False).max()

    def with_history(months: int) -> list[date]:
        return [
            day for day in dates if since is not None and since <= month_back(day + timedelta(1), months + 1)
        ]

    usable = with_history(needed)
    full = with_history(max(needed, longest if isinstance(longest, int) else 0))
    usable = usable[-max(len(full), horizon + TRIAL_SNAPSHOTS) :]
    return usable or dates[-1:]


def comparison_date(as_of_date: date) -> date:
    """The month-end a year before the as-of day: the population that today's is compared with, season for season."""
    if (as_of_date + timedelta(1)).day == 1:
        return month_back(as_of_date + timedelta(1), 13)
    return month_back(as_of_date, 13)


def batches(days: Sequence[date], enterprises: int) -> list[list[date]]:
    """The snapshots in builds of at most `ENTERPRISE_MONTHS_AT_ONCE` rows (each build also holds the as-of day)."""
    at_once = max(1, ENTERPRISE_MONTHS_AT_ONCE // max(1, enterprises) - 1)
    count = -(-len(days) // at_once)
    size = -(-len(days) // count)
    return [list(days[start : start + size]) for start in range(0, len(days), size)]


def build_training_set(settings: Settings, as_of_date: date, run_id: str, model_dir: Path) -> pl.DataFrame:
    """Compute the labelled snapshots: the columns of `ABOUT`, and one per indicator of the model.

    Only labelled rows are kept, and beside them (`population_path`) the populations of two days.

    Args:
        model_dir: a points table for dbt to parse with; it scores nothing here.

    Raises:
        CreditPipelineError: a dbt model failed.
    """
    snapshots = usable_snapshots(settings, as_of_date)
    compared = comparison_date(as_of_date)
    log.info("training: indicators of %d snapshots, %s to %s", len(snapshots), snapshots[0], snapshots[-1])
    folder = training_dir(settings, as_of_date)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    warehouse = folder / "snapshots.duckdb"
    warehouse.unlink(missing_ok=True)
    names = features_of(settings, as_of_date)["indicator"].to_list()
    parts: list[pl.DataFrame] = []
    population = pl.DataFrame()
    planned = batches(sorted({*snapshots, compared}), _register_rows(settings))
    for number, days in enumerate(planned):
        run_dbt(
            settings,
            warehouse,
            f"{run_id}-training-{number}",
            [
                *dbt_args(
                    "build",
                    dbt_vars(settings, as_of_date, model_dir, days),
                    INDICATORS_ONLY if number else WHOLE_BUILD,
                ),
                *BUILDABLE,
            ],
        )
        with connect(settings, warehouse, read_only=True) as connection:
            parts.append(_labelled_rows(connection, names, [day for day in days if day in snapshots]))
            wanted = [day for day in (compared, as_of_date) if day in days or day == as_of_date]
            if compared in days:
                population = _population_rows(connection, names, wanted)
    frame = pl.concat(parts).sort("as_of_date", "uscc")
    for path, rows in (
        (training_set_path(settings, as_of_date), frame),
        (population_path(settings, as_of_date), population),
    ):
        draft = path.with_name(f"tmp-{path.name}")
        rows.write_parquet(draft, compression="zstd", statistics=False)
        draft.replace(path)
    warehouse.unlink()
    log.info("training: %d labelled rows, %d breaches", frame.height, int(frame["label"].sum()))
    return frame


def _register_rows(settings: Settings) -> int:
    with connect(settings) as connection:
        row = connection.execute(
            "select count(distinct uscc) from read_parquet($files, union_by_name = true)",
            {"files": str(settings.raw_dir / "registrations" / "*" / "*.parquet")},
        ).fetchone()
    return int(row[0]) if row else 0


_FROM_INDICATORS = (
    "from indicators.standardized_indicators i join enterprises.enterprises e on e.uscc = i.uscc "
)


def _columns(names: Sequence[str]) -> str:
    about = "coalesce(i.industry_section, 'unknown') as industry_section, coalesce(i.size_class, 'unknown') as size_class, "
    about += "coalesce(e.region, 'unknown') as region"
    return ", ".join([about, *(f"i.{name}" for name in names)])


def _labelled_rows(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], days: Sequence[date]
) -> pl.DataFrame:
    return connection.execute(
        "select l.as_of_date, l.uscc, cast(l.label as bigint) as label, cast(l.weight as double) as weight, "
        f"l.observed_by, l.observed_unit, {_columns(names)} {_FROM_INDICATORS}"
        "join indicators.training_labels l on l.as_of_date = i.as_of_date and l.uscc = i.uscc "
        "where list_contains($days, l.as_of_date) order by l.as_of_date, l.uscc",
        {"days": list(days)},
    ).pl()


def _population_rows(
    connection: duckdb.DuckDBPyConnection, names: Sequence[str], days: Sequence[date]
) -> pl.DataFrame:
    """The populations of some days; of a large one those with the smallest MD5, the same enterprises on each day."""
    return connection.execute(
        f"select i.as_of_date, {_columns(names)} {_FROM_INDICATORS}"
        "where list_contains($days, i.as_of_date) "
        "qualify row_number() over (partition by i.as_of_date order by md5(i.uscc), i.uscc) <= $rows "
        "order by i.as_of_date, md5(i.uscc), i.uscc",
        {"days": list(days), "rows": POPULATION_ROWS},
    ).pl()
