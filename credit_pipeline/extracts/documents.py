"""Further files of a release beside the DuckDB file: the workbook and the CSV archive, both encrypted with the release's
password, so that neither ever lies in clear on a disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

from credit_pipeline.extracts.csv_files import write_csv
from credit_pipeline.extracts.options import UnitOptions
from credit_pipeline.extracts.workbook import write_workbook
from credit_pipeline.keys.age import excel_password

Document = Callable[[Path, duckdb.DuckDBPyConnection, str], None]
"""Writes one file: where, from which finished extract (read only), with which release key."""


def unit_documents(options: UnitOptions) -> dict[str, Document]:
    """Ending of the file's name -> how it is made, for what the unit chose."""
    documents: dict[str, Document] = {}
    if options.xlsx:
        documents["xlsx"] = lambda path, connection, key: write_workbook(
            path, connection, excel_password(key)
        )
    if options.csv_encoding is not None:
        encoding = options.csv_encoding
        documents["csv.zip"] = lambda path, connection, key: write_csv(
            path, connection, encoding, excel_password(key)
        )
    return documents
