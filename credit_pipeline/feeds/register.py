"""What stage 1 knows beforehand: the city's regions, and the names and codes of registered enterprises."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from credit_pipeline.errors import CreditPipelineError
from credit_pipeline.feeds.uscc_cells import name_key
from credit_pipeline.settings import Settings


def load_regions(settings: Settings, as_of_date: date) -> dict[str, str]:
    """Region codes in force on the day and their Chinese names → code.

    Raises:
        CreditPipelineError: the policy table is missing.
    """
    path = settings.policy_dir / "regions.csv"
    if not path.exists():
        raise CreditPipelineError(
            f"the policy table {path} is missing; remedy: restore it or set CREDIT_POLICY_DIR"
        )
    table = pl.read_csv(path, infer_schema=False)
    day = as_of_date.isoformat()
    table = table.filter((pl.col("effective_from") <= day) & (pl.col("effective_to") >= day))
    codes = table["region"].to_list()
    return {**dict(zip(table["region_name"].to_list(), codes, strict=True)), **{code: code for code in codes}}


class LakeRegister:
    """Names and codes of all accepted registrations, read when the first doubtful code needs them."""

    def __init__(self, settings: Settings) -> None:
        self._names = _Lookup(settings.raw_dir / "registrations", ["uscc", "enterprise_name"])
        self._reg_nos = _Lookup(settings.raw_dir / "registrations", ["reg_no"])

    def __call__(self, names: pl.Series) -> pl.DataFrame:
        """Frame (uscc, name_key) of the enterprises that bear or bore one of the names, given by
        `name_key`."""
        found = self._names.rows(names)
        return found.select("uscc", pl.col("text").alias("name_key"))

    def reg_nos(self, numbers: pl.Series) -> pl.Series:
        """Which numbers are registration numbers of the register; null is none."""
        found = self._reg_nos.rows(numbers)["text"]
        return numbers.is_in(found.implode()).fill_null(value=False)

    def refresh(self) -> None:
        """Files have come since: the next question reads them too."""
        self._names.is_current = self._reg_nos.is_current = False


class _Lookup:
    """Rows of the register's files by a text, without going through all of them for every question.

    Each file is read once, and its texts are kept in the order of their hashes.
    """

    def __init__(self, folder: Path, columns: list[str]) -> None:
        self._folder, self._columns = folder, columns
        self._parts: dict[Path, tuple[pl.DataFrame, np.ndarray]] = {}
        """File → its rows, sorted by the hash of `text`, and the hashes."""
        self.is_current = False

    def rows(self, texts: pl.Series) -> pl.DataFrame:
        """The rows with one of the texts: the columns but the last, then `text`."""
        if not self.is_current:
            for path in sorted(self._folder.glob("*/*.parquet")):
                if path not in self._parts:
                    self._parts[path] = self._read(path)
            self.is_current = True
        wanted = texts.drop_nulls().unique()
        hashes = wanted.hash(seed=1).to_numpy()
        schema = dict.fromkeys([*self._columns[:-1], "text"], pl.String)
        found = [pl.DataFrame(schema=schema)]
        for frame, known in self._parts.values():
            first, last = np.searchsorted(known, hashes, "left"), np.searchsorted(known, hashes, "right")
            hits = last > first
            if hits.any():
                places = np.concatenate(
                    [np.arange(*span) for span in zip(first[hits], last[hits], strict=True)]
                )
                found.append(frame[places])
        return pl.concat(found).filter(pl.col("text").is_in(wanted.implode()))

    def _read(self, path: Path) -> tuple[pl.DataFrame, np.ndarray]:
        frame = pl.read_parquet(path, columns=self._columns, hive_partitioning=False)
        last = self._columns[-1]
        texts = name_key(frame[last]) if last == "enterprise_name" else frame[last]
        frame = frame.select(*self._columns[:-1], texts.alias("text")).drop_nulls("text")
        hashes = frame["text"].hash(seed=1).to_numpy()
        order = np.argsort(hashes)
        return frame[order], hashes[order]
