"""What stage 1 knows beforehand: the city's regions, and the names and codes of registered enterprises."""

from __future__ import annotations

from datetime import date

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
        self._folder = settings.raw_dir / "registrations"
        self._known: pl.DataFrame | None = None
        self._reg_nos: pl.Series | None = None

    def __call__(self, names: pl.Series) -> pl.DataFrame:
        """Frame (uscc, name_key) of the enterprises that bear or bore one of the names, given by
        `name_key`."""
        if self._known is None:
            known = self._read("uscc", "enterprise_name")
            self._known = known.select("uscc", name_key(known["enterprise_name"]).alias("name_key"))
        return self._known.filter(pl.col("name_key").is_in(names.implode()))

    def reg_nos(self, numbers: pl.Series) -> pl.Series:
        """Which numbers are registration numbers of the register; null is none."""
        if self._reg_nos is None:
            self._reg_nos = self._read("reg_no")["reg_no"].drop_nulls()
        return numbers.is_in(self._reg_nos.implode()).fill_null(value=False)

    def _read(self, *columns: str) -> pl.DataFrame:
        frames = [
            pl.read_parquet(path, columns=list(columns), hive_partitioning=False)
            for path in sorted(self._folder.glob("*/*.parquet"))
        ]
        empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        return pl.concat([empty, *frames]).unique(maintain_order=True)
