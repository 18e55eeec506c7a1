"""One score from four places: the model's steps on raw values, the table, its SQL, and dbt's SQL."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import jinja2
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import CATEGORICAL, Market, hostile_rows
from credit_pipeline.grading import Scorecard, fit_scorecard
from credit_pipeline.grading.boosting import Boosted
from credit_pipeline.grading.points_table import as_points_table
from credit_pipeline.grading.registry import points_for_sql

MACROS = Path(__file__).parents[3] / "dbt_project" / "macros" / "scorecard.sql"
NUMBERS = st.one_of(
    st.none(),
    st.floats(width=64),
    st.sampled_from([np.inf, -np.inf, np.nan, 0.0, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2]),
)
WORDS = st.one_of(
    st.none(), st.sampled_from(["0", "1", "1.0", "-0.0", "'", "\\", "", "餐饮", "NaN", "null", " 1"])
)


def by_hand(model: Boosted, frame: pl.DataFrame) -> np.ndarray:
    """The model on raw values, step by step, without the bins that the table uses."""
    total = np.full(len(frame), model.intercepts.sum())
    for step in model.steps:
        column = model.coding.columns[step.column]
        slots = model.coding.slots[step.column]
        if step.by_slot is not None:
            known = {name: step.by_slot[slots[k]] for k, name in enumerate(column.bins.categories or ())}
            names = frame[column.name].cast(pl.String).to_list()
            total += np.array([known.get(name, step.by_slot[slots[-1]]) for name in names])
            continue
        values = frame[column.name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        edges = column.bins.edges
        bound = np.inf if edges is None or step.cut >= len(edges) else edges[step.cut]
        found = np.where(values <= bound, step.left, step.right)
        stands_for = slots[-1]
        if stands_for == model.coding.unseen - 1:
            missing = step.missing
        else:
            missing = step.left if stands_for <= step.cut else step.right
        total += np.where(np.isnan(values), missing, found)
    return total / len(model.intercepts)


def test_the_table_is_the_model_on_raw_values(
    free_card: Scorecard, free_model: Boosted, market: Market
) -> None:
    """A cut that belongs to the other side, or a gap that goes the wrong way, shows only on the thresholds."""
    rows = pl.concat([market.frame.head(200), hostile_rows(free_card, market.frame)])
    assert np.abs(free_card.score(rows) - by_hand(free_model, rows)).max() <= 1e-9
    assert {"trade", "band", "debt", "penalties"} <= {
        free_model.coding.columns[s.column].name for s in free_model.steps
    }


def micro_by_sql(card: Scorecard, frame: pl.DataFrame) -> list[int]:
    with duckdb.connect() as connection:
        connection.register("firms", frame.to_arrow())
        found = connection.execute(f"SELECT {card.to_sql('duckdb')} AS micro FROM firms").fetchall()
        whole = connection.execute(card.to_sql("duckdb", "firms")).pl()
    assert whole.columns[: frame.width] == frame.columns
    assert whole["probability"].to_list() == card.probability(frame).tolist()
    assert whole["micro_score"].to_list() == [value for (value,) in found]
    return [value for (value,) in found]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    edges=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=0, max_size=45, unique=True),
    categories=st.lists(WORDS.filter(lambda w: w is not None), max_size=6, unique=True),
    rows=st.lists(st.tuples(NUMBERS, WORDS), min_size=1, max_size=30),
    data=st.data(),
)
def test_sql_is_the_table_on_any_table_and_any_row(
    edges: list[float], categories: list[str], rows: list[tuple[Any, Any]], data: st.DataObject
) -> None:
    """Any cut points, any awkward text, every threshold and one bit beside it: the same integer."""
    bounds: list[float | None] = [None, *sorted(x + 0.0 for x in edges), None]
    points = st.floats(-100, 100)
    table = [
        {"feature": "x", "kind": "num", "lower": a, "upper": b, "points": data.draw(points)}
        for a, b in pairwise(bounds)
    ]
    table += [{"feature": "c", "kind": "cat", "category": c, "points": data.draw(points)} for c in categories]
    table += [{"feature": f, "kind": "missing", "points": data.draw(points)} for f in ("x", "c")]
    steps = pl.DataFrame({"micro_lower": [None, 0], "micro_upper": [0, None], "probability": [0.1, 0.7]})
    card = Scorecard(as_points_table(table), steps, {"x": 0.0, "c": 0.0})
    with np.errstate(over="ignore"):
        near = [y for x in edges for y in (x, np.nextafter(x, np.inf), np.nextafter(x, -np.inf))]
    tried = [*rows, *((y, None) for y in near)]
    frame = pl.DataFrame(
        {
            "x": pl.Series([x for x, _ in tried], dtype=pl.Float64),
            "c": pl.Series([c for _, c in tried], dtype=pl.String),
        }
    )
    expected = card.micro_score(frame).tolist()
    assert micro_by_sql(card, frame) == expected
    assert card.micro_score(frame.to_arrow()).tolist() == expected
    assert np.abs(card.score(frame) - np.array(expected) / 1e6).max() <= 2e-6


def test_a_category_held_as_double_is_the_same_category(market: Market) -> None:
    """pandas turns whole numbers with gaps into floats, and SQL writes those as '3.0': not an unknown category."""
    card = fit_scorecard(market.frame, market.label, {"penalties": 1}, categorical=["band"], seeds=1, folds=2)
    values = [1, 2, 3, 4, 99, 0, None]
    whole = pl.DataFrame({"penalties": [1] * 7, "band": pl.Series(values, dtype=pl.Int64)})
    floats = whole.with_columns(pl.col("band").cast(pl.Float64))
    assert len(set(card.micro_score(whole).tolist())) > 2
    assert micro_by_sql(card, floats) == micro_by_sql(card, whole) == card.micro_score(floats).tolist()
    odd = pl.DataFrame({"penalties": [1] * 3, "band": [1.5, np.inf, np.nan]})
    assert (
        len(set(card.micro_score(odd).tolist())) == 1
        and micro_by_sql(card, odd) == card.micro_score(odd).tolist()
    )


def dbt_macros() -> Any:
    """The macros that write the points of one feature, as dbt would compile them."""
    # The templates are our own SQL, as dbt compiles them: escaped as HTML, `<` would read `&lt;`.
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701
    environment.globals["sql_text"] = lambda text: "'" + str(text).replace("'", "''") + "'"
    environment.globals["modules"] = SimpleNamespace(re=__import__("re"))
    return environment.from_string(MACROS.read_text(encoding="utf-8")).module


def dbt_features(card: Scorecard) -> dict[str, dict[str, Any]]:
    """What the macro `scorecard` reads from the points table on file, text for text."""
    with duckdb.connect() as connection:
        connection.register("points", points_for_sql(card))
        rows = connection.execute(
            "select feature, kind, coalesce(cast(upper as varchar(40)), '') as upper, category, micro_points from points "
            "order by feature, case kind when 'num' then 1 else 2 end, upper is null, points.upper, category"
        ).fetchall()
    features: dict[str, dict[str, Any]] = {}
    for name, kind, upper, category, micro in rows:
        feature = features.setdefault(name, {"name": name, "bins": [], "categories": [], "missing": 0})
        literal = upper.lower()
        if kind == "num":
            literal = literal if not literal or "e" in literal else literal + "e0"
            feature["bins"].append({"upper": literal, "micro": micro})
        elif kind == "cat":
            feature["categories"].append({"category": category, "micro": micro})
        else:
            feature["missing"] = micro
    return features


def test_dbt_writes_the_same_score(free_card: Scorecard, market: Market) -> None:
    """The warehouse grades with dbt's text of the table, not with Python's: they must be one score."""
    rows = hostile_rows(free_card, market.frame).with_columns(
        pl.col("band").cast(pl.Float64), pl.col("penalties").cast(pl.Float64)
    )
    features, macros = dbt_features(free_card), dbt_macros()
    intercept = features.pop("")["missing"]
    parts = [macros.feature_points(features[name], f'"{name}"') for name in free_card.features]
    assert set(CATEGORICAL) <= {name for name, f in features.items() if f["categories"]}
    with duckdb.connect() as connection:
        connection.register("firms", rows.to_arrow())
        found = connection.execute(f"select {intercept} + {' + '.join(parts)} from firms").fetchall()
    assert [value for (value,) in found] == free_card.micro_score(rows).tolist()


@pytest.mark.parametrize("kind", ["nullable", "category", "category with gaps", "object", "bool", "arrow"])
def test_pandas_of_every_kind(market: Market, kind: str) -> None:
    """A stranger's pandas frame scores like the same data in polars, whatever its dtypes and index."""
    pd = pytest.importorskip("pandas")
    some = market.frame.head(1_500).select("penalties", "debt", "trade", "band")
    label = market.label[:1_500]
    columns = {name: some[name].to_list() for name in some.columns}
    frame = pd.DataFrame(columns, index=np.arange(1_500)[::-1] * 3)
    if kind == "nullable":
        frame = frame.convert_dtypes()
    elif kind.startswith("category"):
        frame["band"] = frame["band"].astype("category")
        frame["trade"] = frame["trade"].fillna("none" if kind == "category" else np.nan).astype("category")
        some = some.with_columns(pl.col("trade").fill_null("none")) if kind == "category" else some
    elif kind == "object":
        frame = frame.astype(object)
    elif kind == "bool":
        frame["penalties"] = frame["penalties"] > 0
        some = some.with_columns(pl.col("penalties") > 0)
    else:
        frame = pd.DataFrame(
            {
                n: pd.Series(some[n].to_list(), dtype=t)
                for n, t in zip(
                    some.columns,
                    ["int64[pyarrow]", "double[pyarrow]", "string[pyarrow]", "int8[pyarrow]"],
                    strict=True,
                )
            }
        )
    frame["other"] = [{"a": 1}] * 1_499 + ["b"]
    roles: dict[str, Any] = {"categorical": ["trade", "band"], "seeds": 1, "folds": 2}
    card = fit_scorecard(some, label, {"penalties": 1, "debt": 1}, **roles)
    weights = pd.Series(np.ones(1_500), index=np.arange(1_500) + 9)
    theirs = fit_scorecard(
        frame, pd.Series(label).astype("Int64"), {"penalties": 1, "debt": 1}, weights=weights, **roles
    )
    assert theirs.points.equals(card.points)
    assert theirs.micro_score(frame).tolist() == card.micro_score(some).tolist()


def test_labels_of_every_kind(market: Market) -> None:
    """Lists, booleans, chunks of pyarrow, a column of the frame: the same labels, the same card."""
    pa = pytest.importorskip("pyarrow")
    roles: dict[str, Any] = {"directions": {"debt": 1}, "seeds": 1, "folds": 2}
    frame, y = market.frame.head(1_000), market.label[:1_000]
    digest = fit_scorecard(frame, y, **roles).digest
    named = frame.with_columns(y=pl.Series(y))
    assert fit_scorecard(named, "y", **roles).digest == digest
    assert fit_scorecard(named.lazy(), "y", **roles).digest == digest
    for label in (
        y.tolist(),
        y.astype(bool),
        y.reshape(-1, 1),
        pl.Series(y).cast(pl.Boolean),
        pa.chunked_array([y[:300], y[300:]]),
        pa.array(y.astype(bool)),
    ):
        assert fit_scorecard(frame, label, **roles).digest == digest


def test_columns_without_knowledge(market: Market) -> None:
    """A column of nothing, of one value, or of infinities must neither stop a fit nor score."""
    rows = len(market.label)
    frame = market.frame.with_columns(
        nothing=pl.Series([None] * rows, dtype=pl.String),
        infinite=pl.Series(np.where(np.arange(rows) % 2, np.inf, -np.inf)),
        whole=pl.lit(True),
    )
    directions = {"debt": 1, "nothing": 1, "infinite": -1, "whole": 1}
    card = fit_scorecard(frame, market.label, directions, nuisance=["band", "noise"], seeds=1, folds=2)
    for feature in ("nothing", "infinite", "whole"):
        assert card.points.filter(pl.col("feature") == feature)["points"].to_list() == [0.0, 0.0]
    assert sorted(card.metadata["nuisance"]) == ["band", "noise"]
    assert micro_by_sql(card, frame.select(card.features)) == card.micro_score(frame).tolist()
