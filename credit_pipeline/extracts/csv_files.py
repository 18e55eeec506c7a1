"""A finished extract as CSV files, one per view and table, in a ZIP archive that asks for a password; UTF-8 with BOM, or GB18030.

GB18030 covers all of Unicode, so no character is lost in either. Codes are text: readers that guess numbers are told to
read them as text by the guide. Nothing in a cell begins a formula (`extracts.cell_text`).
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import duckdb

from credit_pipeline.extracts.cell_text import as_text, quoted
from credit_pipeline.extracts.contents import Listing, listings, read_notice
from credit_pipeline.extracts.locked_zip import locked_zip

ENCODINGS = ("utf-8-sig", "gb18030")
_FETCH = 20_000


def write_csv(path: Path, connection: duckdb.DuckDBPyConnection, encoding: str, password: str) -> None:
    """Write the archive, each file in it encrypted with the password; mode 0600."""
    content = locked_zip(csv_contents(connection, encoding), password)
    path.touch(mode=0o600)
    path.write_bytes(content)


def csv_contents(connection: duckdb.DuckDBPyConnection, encoding: str = "utf-8-sig") -> dict[str, bytes]:
    """Name -> bytes of every file; the same extract gives the same.

    Raises:
        ValueError: an encoding that spreadsheets in Chinese offices do not open.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"{encoding} is not one of {', '.join(ENCODINGS)}")
    notice = read_notice(connection)
    files = {"00-使用须知.txt": _notice_text(notice.text, notice.unit_name, notice.watermark)}
    for number, listing in enumerate(listings(connection), start=1):
        files[f"{number:02d}-{listing.title}.csv"] = _csv_text(connection, listing)
    return {name: text.encode(encoding) for name, text in files.items()}


def _notice_text(text: str, unit_name: str, watermark: str) -> str:
    return f"{text}\r\n接收单位：{unit_name}\r\n专用标识：{watermark}\r\n代码列（统一社会信用代码等）请按文本导入。\r\n"


def _csv_text(connection: duckdb.DuckDBPyConnection, listing: Listing) -> str:
    columns = ", ".join(as_text(quoted(column.name), column.data_type) for column in listing.columns)
    rows = connection.execute(f"select {columns} from {quoted(listing.name)}")
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([column.header for column in listing.columns])
    while batch := rows.fetchmany(_FETCH):
        writer.writerows(batch)
    return buffer.getvalue()
