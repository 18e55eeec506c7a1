"""A scorecard as SQL: CASE expressions over whole micro points, the same text semantics in DuckDB and Spark.

Here: the generation of text. Not here: points, execution, dbt.

Why so: integer sums do not depend on their order, float sums do. Numbers are compared as DOUBLE with literals
in exponent form (a plain 1.5 is a DECIMAL in both engines). No ASOF join: DuckDB 1.5.5 matches NULL to the
highest bin when the join has an equality key. Measured on 1M rows, 23 features: flat CASE 0.9 CPU-s at up to
21 bins a feature; beyond about 30 a CASE that halves the bins is faster, and is what is written then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from credit_pipeline.errors import BadInput
from credit_pipeline.grading.bins import Bins, spellings

FLAT_UP_TO = 30


@dataclass(frozen=True)
class Dialect:
    """What differs between two engines in the SQL written here."""

    name_quote: str
    text_type: str
    backslash_escapes: bool

    def name(self, identifier: str) -> str:
        return self.name_quote + identifier.replace(self.name_quote, self.name_quote * 2) + self.name_quote

    def text(self, value: str) -> str:
        if self.backslash_escapes:
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return "'" + value.replace("'", "''") + "'"


DIALECTS = {
    "duckdb": Dialect('"', "VARCHAR", backslash_escapes=False),
    "spark": Dialect("`", "STRING", backslash_escapes=True),
}


def dialect_named(name: str) -> Dialect:
    """The dialect of that name, or BadInput."""
    if name not in DIALECTS:
        raise BadInput(f"no SQL dialect {name!r}; there are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def double(value: float) -> str:
    """A literal that both engines read as exactly this DOUBLE."""
    text = repr(value)
    return text if "e" in text else text + "e0"


def feature_case(feature: str, bins: Bins, micro_points: Sequence[int], dialect: Dialect) -> str:
    """One feature's micro points as an expression; `micro_points` has one more entry, missing, at the end."""
    *points, missing = (str(p) for p in micro_points)
    column = dialect.name(feature)
    if bins.edges is None:
        if not points:
            return missing
        whens = " ".join(
            f"WHEN {dialect.text(spelling)} THEN {points[position]}"
            for spelling, position in spellings(bins.categories or ()).items()
        )
        return f"CASE CAST({column} AS {dialect.text_type}) {whens} ELSE {missing} END"
    value = f"CAST({column} AS DOUBLE)"
    inner = _steps(value, [double(edge) for edge in bins.edges.tolist()], points)
    head = f"CASE WHEN {column} IS NULL OR isnan({value}) THEN {missing}"
    if inner.startswith("CASE WHEN ") and len(points) <= FLAT_UP_TO:
        return head + inner.removeprefix("CASE")
    return f"{head} ELSE {inner} END"


def calibration_case(
    column: str, uppers: Sequence[int], probability: Sequence[float], dialect: Dialect
) -> str:
    """The probability of a micro score as an expression."""
    return _steps(dialect.name(column), [str(u) for u in uppers], [double(p) for p in probability])


def _steps(value: str, uppers: Sequence[str], results: Sequence[str]) -> str:
    """results[i] for value <= uppers[i], the last result above all of them."""
    if not uppers:
        return results[0]
    if len(results) <= FLAT_UP_TO:
        whens = " ".join(f"WHEN {value} <= {u} THEN {r}" for u, r in zip(uppers, results, strict=False))
        return f"CASE {whens} ELSE {results[-1]} END"
    half = len(uppers) // 2
    low = _steps(value, uppers[:half], results[: half + 1])
    high = _steps(value, uppers[half + 1 :], results[half + 1 :])
    return f"CASE WHEN {value} <= {uppers[half]} THEN {low} ELSE {high} END"


def score_expression(cases: Iterable[str], intercept: int) -> str:
    """The whole micro score as one expression, a BIGINT."""
    return "(" + "\n + ".join([f"CAST({intercept} AS BIGINT)", *cases]) + ")"


def select_scores(
    cases: dict[str, str],
    intercept: int,
    uppers: Sequence[int],
    probability: Sequence[float],
    table: str,
    keys: Sequence[str] | None,
    dialect: Dialect,
) -> str:
    """SELECT keys (None: all columns of the table), <feature>_micro_points of every feature, micro_score, probability FROM table."""
    names = {feature: dialect.name(f"{feature}_micro_points") for feature in cases}
    key_list = "*, " if keys is None else "".join(f"{dialect.name(key)}, " for key in keys)
    points = ",\n    ".join(f"CAST({case} AS BIGINT) AS {names[feature]}" for feature, case in cases.items())
    total = " + ".join([f"CAST({intercept} AS BIGINT)", *names.values()])
    chance = calibration_case("micro_score", uppers, probability, dialect)
    return (
        f"SELECT scores.*,\n  {chance} AS probability\nFROM (\n"
        f"  SELECT points.*,\n    {total} AS micro_score\n  FROM (\n"
        f"    SELECT {key_list}{points}\n    FROM {table}\n  ) AS points\n) AS scores\n"
    )
