"""The artefact: scores, probabilities, reasons, SQL and the file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import sqlglot

from conftest import Market, hostile_rows
from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.grading import Scorecard


def run_sql(query: str, frame: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect() as connection:
        connection.register("enterprises", frame.to_arrow())
        return connection.execute(query).pl().sort("uscc", maintain_order=True)


def keyed(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(uscc=pl.int_range(len(frame)))


def test_import_does_not_load_sklearn() -> None:
    """Scoring must not pay five seconds for a library that only fitting needs."""
    code = (
        "import sys, credit_pipeline.grading as g; g.Scorecard; g.expert_scorecard; g.fit_scorecard;"
        "sys.exit('sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_micro_score_is_score(card: Scorecard, market: Market) -> None:
    """Integer and float scores drift apart if one of them forgets a row of the table."""
    rounding = (len(card.features) + 1) * 0.5e-6
    assert np.abs(card.score(market.frame) - card.micro_score(market.frame) / 1e6).max() <= rounding
    assert card.micro_score(market.frame).dtype == np.int64


def test_duckdb_gives_the_same_integers(card: Scorecard, market: Market) -> None:
    """The warehouse must grade exactly as Python does: NULL, NaN, infinities, thresholds, new categories."""
    rows = keyed(hostile_rows(card, market.frame))
    result = run_sql(card.to_sql("duckdb", table="enterprises", key="uscc"), rows)
    assert result["micro_score"].to_numpy().tolist() == card.micro_score(rows).tolist()
    assert result["probability"].to_numpy().tolist() == card.probability(rows).tolist()
    assert result["micro_score"].dtype == pl.Int64


def test_spark_text_means_the_same(card: Scorecard, market: Market) -> None:
    """Quotes, backslashes and types differ in Spark: read as Spark SQL, the text must mean the same."""
    rows = keyed(hostile_rows(card, market.frame))
    text = card.to_sql("spark", table="enterprises", key="uscc")
    assert "`paid_rate`" in text and "AS STRING)" in text
    translated = sqlglot.transpile(text, read="spark", write="duckdb")[0]
    assert run_sql(translated, rows)["micro_score"].to_list() == card.micro_score(rows).tolist()


def test_many_bins_are_halved_and_stay_exact() -> None:
    """Above 30 bins the CASE is nested; a wrong half would shift whole ranges by one bin."""
    edges = [float(k) for k in range(100)]
    bounds = [None, *edges, None]
    rows = [
        {"feature": "x", "kind": "num", "lower": bounds[k], "upper": bounds[k + 1], "points": k / 7}
        for k in range(101)
    ]
    rows.append({"feature": "x", "kind": "missing", "points": -1.0})
    steps = [{"micro_lower": None, "micro_upper": None, "probability": 0.5}]
    wide = Scorecard(pl.DataFrame(rows), pl.DataFrame(steps), {"x": 0.0})
    values = [*edges, *np.nextafter(edges, np.inf), -np.inf, np.inf, np.nan, None]
    frame = keyed(pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)}))
    result = run_sql(wide.to_sql(table="enterprises", key=["uscc"]), frame)
    assert result["x_micro_points"].to_list() == wide.micro_score(frame).tolist()
    assert wide.feature_sql("x").count("WHEN") <= 102


def test_feature_sql_stands_alone(card: Scorecard, market: Market) -> None:
    """dbt uses one expression at a time: it must work without the rest, and sum up to the score."""
    total = " + ".join(card.feature_sql(feature) for feature in card.features)
    intercept = card.points.filter(pl.col("kind") == "intercept")["micro_points"][0]
    query = f"SELECT uscc, {intercept} + {total} AS total FROM enterprises"
    rows = keyed(market.frame)
    assert run_sql(query, rows)["total"].to_list() == card.micro_score(rows).tolist()
    with pytest.raises(BadInput, match="no feature 'inspector'"):
        card.feature_sql("inspector")
    with pytest.raises(BadInput, match="dialect 'oracle'"):
        card.feature_sql("debt", "oracle")


def test_frames_of_all_kinds_score_alike(card: Scorecard, market: Market) -> None:
    """A caller's kind of table must not change a grade."""
    expected = card.micro_score(market.frame).tolist()
    assert card.micro_score(market.frame.to_arrow()).tolist() == expected
    as_floats = market.frame.with_columns(pl.col("band").cast(pl.Float64))  # what pandas makes of gaps
    assert card.micro_score(as_floats).tolist() == expected
    with pytest.raises(BadInput, match="no column trade"):
        card.score(market.frame.drop("trade"))
    with pytest.raises(BadInput, match="no frame"):
        card.score([1, 2, 3])
    with pytest.raises(BadInput, match="penalties is String"):
        card.score(market.frame.with_columns(pl.col("penalties").cast(pl.String)))


def test_empty_frame(card: Scorecard, market: Market) -> None:
    """A day without enterprises is a day without scores, not an error."""
    nobody = market.frame.head(0)
    assert len(card.score(nobody)) == len(card.probability(nobody)) == len(card.reasons(nobody)) == 0


def test_reasons_are_exact_and_ordered(card: Scorecard, market: Market) -> None:
    """A reason shown to an official must be a true part of the score: all of them make up the whole."""
    every = card.reasons(market.frame, top=len(card.features))
    assert every.columns == ["row", "rank", "feature", "points", "micro_points"]
    assert (every["micro_points"] > 0).all()
    for _, some in card.reasons(market.frame, top=3).group_by("row"):
        assert some["rank"].to_list() == list(range(1, len(some) + 1)) and len(some) <= 3
        assert some["micro_points"].is_sorted(descending=True)
    query = card.to_sql(table="enterprises", key="uscc")
    wide = run_sql(query, keyed(market.frame))
    for feature in card.features:
        over = wide[f"{feature}_micro_points"].to_numpy() - round(card.reference[feature] * 1e6)
        found = every.filter(pl.col("feature") == feature)
        assert found["row"].to_list() == np.flatnonzero(over > 0).tolist()
        assert found["micro_points"].to_list() == over[over > 0].tolist()
    with pytest.raises(BadInput, match="top"):
        card.reasons(market.frame, top=0)


def test_reference_is_the_training_mean(card: Scorecard, market: Market) -> None:
    """Reasons measured from anything but the mean enterprise would blame everybody, or nobody."""
    mean = card.intercept + sum(card.reference.values())
    assert card.score(market.frame).mean() == pytest.approx(mean, abs=1e-9)


def test_file_round_trip(card: Scorecard, market: Market, tmp_path: Path) -> None:
    """A card that changes on disk would grade differently from the one that was approved."""
    path = card.save(tmp_path / "models" / "card.json")
    loaded = Scorecard.load(path)
    assert loaded.digest == card.digest
    assert loaded.points.equals(card.points) and loaded.calibration.equals(card.calibration)
    assert loaded.metadata == card.metadata and loaded.reference == card.reference
    assert loaded.probability(market.frame).tolist() == card.probability(market.frame).tolist()
    assert loaded.score(market.frame).tolist() == card.score(market.frame).tolist()
    assert loaded.save(tmp_path / "again.json").read_bytes() == path.read_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["card.json"]


def test_tampering_is_found(card: Scorecard, tmp_path: Path) -> None:
    """One changed number must stop the load, also when the digest was changed along with it."""
    path = card.save(tmp_path / "card.json")
    stored = json.loads(path.read_text(encoding="utf-8"))
    stored["content"]["points"][3]["micro_points"] += 1
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(IntegrityError, match="SHA-256"):
        Scorecard.load(path)
    from credit_pipeline.grading.scorecard import _sha256

    stored["sha256"] = _sha256(stored["content"])
    path.write_text(json.dumps(stored), encoding="utf-8")
    with pytest.raises(IntegrityError, match="canonical"):
        Scorecard.load(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(IntegrityError, match="not a scorecard"):
        Scorecard.load(path)
    with pytest.raises(BadInput, match="no such scorecard"):
        Scorecard.load(tmp_path / "absent.json")
