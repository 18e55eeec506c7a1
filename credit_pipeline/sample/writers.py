"""Writing the files, byte for byte the same for the same rows.

Here: CSV in several encodings, Excel with its layouts, JSON lines, Parquet, ZIP archives with fixed time
stamps. A file appears under its name only when it is complete. Not here: what is in the rows.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import xlsxwriter

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.sample.office import Layout, Office

BROKEN_BYTES = "\ue000"
"""In a cell: bytes that are not valid in the file's encoding are written here."""
NUMBER_CELL = "\ue001"
"""Before the digits of a cell: Excel holds them as a number."""
HIDDEN_SHEET = "代码表"
_FIXED_TIME = datetime(2026, 10, 31, 2, 0, 0)
_SCIENTIFIC = re.compile(r"\d\.\d+E\+\d+")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def write(
    path: Path,
    office: Office,
    feed: Feed,
    rows: pl.DataFrame,
    broken_lines: Mapping[int, str],
    damage: Callable[[bytes], bytes] | None = None,
) -> None:
    """Write one file (not a member of an archive); `broken_lines`: data row position → `extra` or `short`,
    `damage`: done to the whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    renamed = rows.rename(office.headers)
    if office.format == "csv":
        part.write_bytes(csv_bytes(office, renamed, broken_lines))
    elif office.format == "jsonl":
        renamed.write_ndjson(part, check_extension=False)
    elif office.format == "parquet":
        pq.write_table(
            renamed.to_arrow(compat_level=pl.CompatLevel.oldest()),
            part,
            compression="zstd",
            row_group_size=100_000,
        )
    else:
        _write_xlsx(part, office, feed, rows)
    if damage is not None:
        part.write_bytes(damage(part.read_bytes()))
    part.replace(path)


def csv_bytes(office: Office, rows: pl.DataFrame, broken_lines: Mapping[int, str]) -> bytes:
    """A CSV file as bytes in the office's encoding."""
    buffer = io.BytesIO()
    rows.write_csv(buffer, line_terminator=office.newline)
    data = buffer.getvalue()
    if office.encoding == "gb18030":
        # Cut as text: the marker's two bytes could also be the end of one character and the start of
        # the next.
        pieces = data.decode("utf-8").split(BROKEN_BYTES)
        data = b"\xff".join(piece.encode("gb18030") for piece in pieces)
    else:
        # GBK bytes in a file that says it is UTF-8; without the BOM a byte that no encoding here allows.
        is_marked = office.encoding == "utf-8-sig"
        data = data.replace(BROKEN_BYTES.encode(), "公司".encode("gb18030") if is_marked else b"\xff")
        data = b"\xef\xbb\xbf" + data if is_marked else data
    if broken_lines:
        newline = office.newline.encode()
        lines = data.split(newline)
        for position, damage in broken_lines.items():
            line = lines[position + 1]
            lines[position + 1] = line + b",0" if damage == "extra" else line.rsplit(b",", 2)[0]
        data = newline.join(lines)
    return data


def write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    """An archive whose members carry a fixed time stamp."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, _FIXED_TIME.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, members[name], compresslevel=1)
    part.replace(path)


def _write_xlsx(path: Path, office: Office, feed: Feed, rows: pl.DataFrame) -> None:
    layout = office.layout or Layout("Sheet1")
    workbook = xlsxwriter.Workbook(str(path), {"constant_memory": True, "default_date_format": "yyyy-mm-dd"})
    workbook.set_properties({"created": _FIXED_TIME, "author": "", "title": layout.title})
    if layout.notes_sheet:
        notes = workbook.add_worksheet("表格说明")
        for number, line in enumerate(layout.notes_sheet):
            notes.write_string(number, 0, line)
    sheet = workbook.add_worksheet(layout.sheet)
    _write_head(workbook, sheet, office, layout)
    number = office.first_row - 1
    kinds = [feed.column(name).type for name in office.columns]
    for position, values in enumerate(rows.iter_rows()):
        number = office.row_number(position) - 1
        for place, (value, kind) in enumerate(zip(values, kinds, strict=True)):
            if value is not None:
                _write_cell(sheet, number, place, value, kind, layout.date_cells)
    if layout.footer:
        sheet.write_string(number + 2, 0, layout.footer)
    if layout.hidden_sheet:
        hidden = workbook.add_worksheet(HIDDEN_SHEET)
        for row_number, row in enumerate(layout.hidden_sheet):
            for place, value in enumerate(row):
                hidden.write_string(row_number, place, value)
        hidden.hide()
    sheet.activate()
    workbook.close()


def _write_head(
    workbook: xlsxwriter.Workbook, sheet: xlsxwriter.worksheet.Worksheet, office: Office, layout: Layout
) -> None:
    bold = workbook.add_format({"bold": True})
    last = len(office.columns) - 1
    row = 0
    if layout.title:
        if last:
            sheet.merge_range(row, 0, row, last, layout.title, bold)
        else:
            sheet.write_string(row, 0, layout.title, bold)
        row += 1
    for line in (layout.unit_line, layout.explanation):
        if line:
            sheet.write_string(row, 0, line)
            row += 1
    headers = [office.headers[name] for name in office.columns]
    if layout.groups:
        place = 0
        for title, span in layout.groups:
            end = min(place + span, last + 1) - 1
            if end > place:
                sheet.merge_range(row, place, row, end, title, bold)
            elif end == place:
                sheet.write_string(row, place, title, bold)
            place = end + 1
        row += 1
    for place, header in enumerate(headers):
        sheet.write_string(row, place, header, bold)


def _write_cell(
    sheet: xlsxwriter.worksheet.Worksheet, row: int, place: int, value: str, kind: str, date_cells: bool
) -> None:
    """Amounts and digits that Excel has spoilt become numbers, dates become dates where the office has
    them so."""
    if kind in ("money", "integer", "decimal") and _is_number(value):
        sheet.write_number(row, place, float(value))
    elif value.startswith(NUMBER_CELL):
        sheet.write_number(row, place, int(value[1:]))
    elif _SCIENTIFIC.fullmatch(value) and float(value) >= 1e15:
        # A number in the cell has lost its digits only from 16 digits on; shorter ones come as the
        # text shown.
        sheet.write_number(row, place, float(value))
    elif kind == "date" and date_cells and (day := _as_date(value)) is not None:
        sheet.write_datetime(row, place, day)
    elif kind == "date" and date_cells and len(value) == 5 and value.isdigit():
        sheet.write_number(row, place, int(value))
    else:
        sheet.write_string(row, place, value)


def _as_date(value: str) -> date | None:
    """The date of a text that Excel would take as one; dates before March 1900 stay text in practice."""
    if not _ISO.fullmatch(value) or value < "1900-03-01":
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _is_number(value: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value) is not None
