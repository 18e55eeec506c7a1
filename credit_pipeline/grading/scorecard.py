"""The scorecard: a points table, a calibration table and what is known about them, as one artefact.

Here: scoring, probabilities, reasons, SQL and the file of a scorecard. Not here: making one (fitting.py,
expert.py) and turning probabilities into grades (policy).

The file is canonical JSON (sorted keys, no spaces, shortest floats that read back the same): same content,
same bytes, same SHA-256. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from credit_pipeline.errors import BadInput, IntegrityError
from credit_pipeline.grading import sql
from credit_pipeline.grading.bins import Floats, Ints, as_frame
from credit_pipeline.grading.calibration import MICRO, as_calibration, read_calibration
from credit_pipeline.grading.points_table import FeaturePoints, as_points_table, parse, to_micro

FORMAT = "credit_pipeline.scorecard/1"
REASON_ROWS_AT_ONCE = 65_536


def canonical_json(content: Any) -> str:
    """The one text of some content. NaN and infinity have none: ValueError."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, eq=False)
class Scorecard:
    """An additive scorecard. Higher scores mean a higher chance of a breach.

    points: the table of points_table.py. calibration: the table of calibration.py. reference: feature to
    points, what reasons are measured against. metadata: directions, training figures, seeds, versions,
    edits; plain JSON values. Raises BadInput if the tables are unsound.
    """

    points: pl.DataFrame
    calibration: pl.DataFrame
    reference: Mapping[str, float]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", as_points_table(self.points))
        object.__setattr__(self, "calibration", as_calibration(self.calibration))
        object.__setattr__(self, "metadata", json.loads(canonical_json(self.metadata)))
        names = set(self.features)
        if set(self.reference) != names:
            wrong = sorted(names.symmetric_difference(self.reference))
            raise BadInput(f"the reference must name every feature of the table once; see {', '.join(wrong)}")
        ordered = {name: float(self.reference[name]) + 0.0 for name in self.features}
        object.__setattr__(self, "reference", ordered)

    @cached_property
    def _parsed(self) -> tuple[float, int, tuple[FeaturePoints, ...]]:
        return parse(self.points)

    @property
    def features(self) -> tuple[str, ...]:
        """The features, by name."""
        return tuple(f.feature for f in self._parsed[2])

    @property
    def intercept(self) -> float:
        """The log-odds that every row starts from."""
        return self._parsed[0]

    def score(self, frame: Any) -> Floats:
        """Log-odds of each row of a polars, pandas or pyarrow frame that has the features as columns."""
        intercept, _, features = self._parsed
        columns = as_frame(frame, self.features)
        total = np.full(len(columns), intercept)
        for f in features:
            total += f.points[f.bins.positions(columns[f.feature])]
        return total

    def micro_score(self, frame: Any) -> Ints:
        """The exact integer score of each row, in millionths of a point: the same number as the SQL gives."""
        _, intercept, features = self._parsed
        columns = as_frame(frame, self.features)
        total = np.full(len(columns), intercept, dtype=np.int64)
        for f in features:
            total += f.micro_points[f.bins.positions(columns[f.feature])]
        return total

    def probability(self, frame: Any) -> Floats:
        """The calibrated probability of a breach of each row, read off the micro score."""
        return read_calibration(self.calibration, self.micro_score(frame))

    def reasons(self, frame: Any, top: int = 5) -> pl.DataFrame:
        """What raised each row's score most: (row, rank, feature, points, micro_points) over the reference.

        row counts from 0, rank from 1; only features above the reference are listed, so that a row may have
        fewer than `top`, or none. Equal points: by feature name.
        """
        if top < 1:
            raise BadInput(f"top must be at least 1, not {top}")
        features = self._parsed[2]
        columns = as_frame(frame, self.features)
        names = np.array(self.features)
        reference = to_micro(np.array(list(self.reference.values())))
        none = np.empty(0, dtype=np.int64)
        parts: list[tuple[Ints, Ints, Ints, Ints]] = [(none, none, none, none)]
        for start in range(0, len(columns), REASON_ROWS_AT_ONCE):
            some = columns.slice(start, REASON_ROWS_AT_ONCE)
            micro = [f.micro_points[f.bins.positions(some[f.feature])] for f in features]
            over = np.column_stack(micro) - reference
            best = np.argsort(-over, axis=1, kind="stable")[:, :top]
            value = np.take_along_axis(over, best, axis=1)
            row, rank = np.nonzero(value > 0)
            parts.append((row + start, rank + 1, best[row, rank], value[row, rank]))
        row, rank, which, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        return pl.DataFrame(
            {
                "row": row,
                "rank": rank,
                "feature": pl.Series(names[which], dtype=pl.String),
                "points": value / MICRO,
                "micro_points": value,
            }
        )

    def monotone_violations(self) -> list[str]:
        """Features whose bins go against the direction recorded in the metadata; sound cards have none."""
        directions = self.metadata.get("directions", {})
        return [
            f.feature
            for f in self._parsed[2]
            if f.bins.edges is not None and (np.diff(f.points[:-1]) * directions.get(f.feature, 0) < 0).any()
        ]

    def feature_sql(self, feature: str, dialect: str = "duckdb") -> str:
        """One feature's micro points as an SQL expression over the column of the same name."""
        engine = sql.dialect_named(dialect)
        for f in self._parsed[2]:
            if f.feature == feature:
                return sql.feature_case(feature, f.bins, f.micro_points.tolist(), engine)
        raise BadInput(f"the scorecard has no feature {feature!r}; it has {', '.join(self.features)}")

    def to_sql(
        self, dialect: str = "duckdb", table: str | None = None, key: str | Sequence[str] | None = None
    ) -> str:
        """The scorecard as SQL, in whole micro points: what `micro_score` gives, to the last digit.

        Without a table, an expression over the columns of the features, to be put into a query of one's own:
        f"SELECT {card.to_sql('duckdb')} AS micro_score FROM firms"; a millionth of it is the log-odds. With a
        table, the whole query: SELECT key, <feature>_micro_points ..., micro_score, probability FROM table.

        `table` is put into FROM as it stands (quote it, or write read_parquet(...)); `key` is one column or
        several, quoted here; without key, all columns of the table come along. Numbers must be castable to
        DOUBLE, categories are compared as text. dialect: 'duckdb' or 'spark'.
        """
        engine = sql.dialect_named(dialect)
        cases = {f: self.feature_sql(f, dialect) for f in self.features}
        if table is None:
            if key is not None:
                raise BadInput("a key without a table: name the table to select from")
            return sql.score_expression(cases.values(), self._parsed[1])
        return sql.select_scores(
            cases,
            self._parsed[1],
            self.calibration["micro_upper"].to_list()[:-1],
            self.calibration["probability"].to_list(),
            table,
            [key] if isinstance(key, str) else None if key is None else list(key),
            engine,
        )

    def content(self) -> dict[str, Any]:
        """All there is to the scorecard, as plain JSON values."""
        return {
            "format": FORMAT,
            "points": self.points.to_dicts(),
            "calibration": self.calibration.to_dicts(),
            "reference": dict(self.reference),
            "metadata": dict(self.metadata),
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical content, 64 hexadecimal digits."""
        return _sha256(self.content())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write {content, sha256} as canonical JSON, atomically: readers see the old file or the new one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = canonical_json({"content": self.content(), "sha256": self.digest}) + "\n"
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with draft.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
        return target

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scorecard:
        """Read a saved scorecard. IntegrityError if its content is not what the digest was taken of."""
        source = Path(path)
        try:
            stored = json.loads(source.read_text(encoding="utf-8"))
            content, digest = stored["content"], stored["sha256"]
        except FileNotFoundError as error:
            raise BadInput(f"{source}: no such scorecard; fit one, or save an expert card there") from error
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{source}: not a scorecard file; restore it from the archive") from error
        if _sha256(content) != digest:
            raise IntegrityError(
                f"{source}: the content does not match its SHA-256; restore it from the archive"
            )
        if content.get("format") != FORMAT:
            raise BadInput(
                f"{source}: format {content.get('format')!r} is not {FORMAT}: use the matching version"
            )
        card = cls(content["points"], content["calibration"], content["reference"], content["metadata"])
        if card.digest != digest:
            raise IntegrityError(
                f"{source}: the tables are not in their canonical form; refit or restore the file"
            )
        return card


def _sha256(content: Any) -> str:
    return hashlib.sha256(canonical_json(content).encode("utf-8")).hexdigest()
