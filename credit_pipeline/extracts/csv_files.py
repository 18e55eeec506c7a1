"""A finished extract as CSV files, one per view and table, in a ZIP archive; UTF-8 with BOM, or GB18030.

GB18030 covers all of Unicode, so no character is lost in either. Codes are text: readers that guess numbers are told to
read them as text by the guide. Nothing in a cell begins a formula (`extracts.cell_text`).
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import duckdb

from credit_pipeline.extracts.cell_text import as_text, quoted
from credit_pipeline.extracts.contents import Listing, listings, read_notice

ENCODINGS = ("utf-8-sig", "gb18030")
_FETCH = 20_000
_CREATED = (2020, 1, 1, 0, 0, 0)
"""Fixed, so that the same rows give the same bytes."""


def write_csv(path: Path, connection: duckdb.DuckDBPyConnection, encoding: str = "utf-8-sig") -> None:
    """Write the archive (0600). Plain text: the caller encrypts it before it leaves the office (`csv_bytes`)."""
    path.write_bytes(csv_bytes(connection, encoding))
    path.chmod(0o600)


def csv_bytes(connection: duckdb.DuckDBPyConnection, encoding: str = "utf-8-sig") -> bytes:
    """The archive as bytes, never on disk in clear.

    Raises:
        ValueError: an encoding that spreadsheets in Chinese offices do not open.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"{encoding} is not one of {', '.join(ENCODINGS)}")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        notice = read_notice(connection)
        _add(
            archive,
            "00-使用须知.txt",
            _notice_text(notice.text, notice.unit_name, notice.watermark),
            encoding,
        )
        for number, listing in enumerate(listings(connection), start=1):
            _add(archive, f"{number:02d}-{listing.title}.csv", _csv_text(connection, listing), encoding)
    return buffer.getvalue()


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


def _add(archive: zipfile.ZipFile, name: str, text: str, encoding: str) -> None:
    info = zipfile.ZipInfo(name, _CREATED)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    archive.writestr(info, text.encode(encoding))
