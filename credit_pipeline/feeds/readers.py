"""Opens a delivered file whatever it is called: finds its format by content and yields its tables.

Formats: CSV, XLSX/XLS/XLSB/ODS, JSON, JSON lines, Parquet, and ZIP archives of these. How each is read
stands in `readers_*`; what becomes of the rows in `ingest`.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.decoding import UTF16_BOMS
from credit_pipeline.feeds.readers_csv import read_csv
from credit_pipeline.feeds.readers_excel import read_workbook
from credit_pipeline.feeds.readers_json import read_json, read_parquet
from credit_pipeline.feeds.reading import FileProblem, RefusedFile, Table

MAX_MEMBERS = 1000
MAX_UNCOMPRESSED = 4 << 30
MAX_RATIO = 200
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_FORMATS = (
    b"%PDF",
    b"Rar!",
    b"7z\xbc\xaf",
    b"\x1f\x8b",
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"BZh",
    b"<",
)
_BAD_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


def file_format(stream: BinaryIO) -> str:
    """`csv`, `json`, `parquet`, `excel`, `zip`, `empty` or `unknown` by the first bytes; the stream is
    rewound."""
    head = stream.read(4096)
    stream.seek(0)
    text = head[3:] if head[:3] == b"\xef\xbb\xbf" else head
    if head[:2] in UTF16_BOMS:
        text = head[2:].decode(UTF16_BOMS[head[:2]], "ignore").encode("utf-8")
    text = text.lstrip()
    if not text:
        return "empty" if len(head) < 4096 else "csv"
    if head[:4] == b"PAR1":
        return "parquet"
    if head[:8] == _OLE:
        return "excel"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return _package_format(stream)
    if text.startswith(_OTHER_FORMATS) or b"\x00" in text[:1024]:
        return "unknown"
    return "json" if text[:1] in (b"{", b"[") else "csv"


def _package_format(stream: BinaryIO) -> str:
    """A ZIP file may be a workbook, another Office document or an archive."""
    try:
        with zipfile.ZipFile(stream) as package:
            names = set(package.namelist())
            kind = package.read("mimetype")[:100] if "mimetype" in names else b""
    except _BAD_ARCHIVE as error:
        raise RefusedFile("unreadable_file", f"the archive or workbook is damaged: {error}") from error
    finally:
        stream.seek(0)
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names or kind.endswith(b"spreadsheet"):
        return "excel"
    return "unknown" if "[Content_Types].xml" in names or kind else "zip"


def open_tables(path: Path, feed: Feed, file: str) -> Iterator[Table]:
    """The tables of a delivered file, in a fixed order.

    A table's parts must be taken before the next table is asked for. What cannot be read comes as a table
    with a `problem` and without parts; taking parts may still raise `RefusedFile` when damage shows later.

    Args:
        file: path as it goes into `source_file`.
    """
    with path.open("rb") as stream:
        try:
            kind = file_format(stream)
            yield from _archive(stream, feed, file) if kind == "zip" else _tables(stream, kind, feed, file)
        except RefusedFile as refusal:
            yield refused_table(file, refusal)


def refused_table(file: str, refusal: RefusedFile, sheet: str | None = None) -> Table:
    """A table that holds only the reason why there is none."""
    sheet = refusal.sheet or sheet
    return Table(file, sheet, problem=FileProblem(file, sheet, refusal.rule, refusal.message))


def _tables(stream: BinaryIO, kind: str, feed: Feed, file: str) -> Iterator[Table]:
    if kind == "empty":
        raise RefusedFile("empty_file", "the file holds nothing")
    if kind == "unknown":
        raise RefusedFile("unknown_format", "the content is of none of the known formats")
    if kind == "zip":
        raise RefusedFile("unsafe_archive", "an archive inside an archive is not opened")
    if kind == "excel":
        _check_package(stream)
        yield from read_workbook(stream, feed, file)
        return
    table = Table(file, format=kind)
    if kind == "csv":
        read_csv(stream, feed, table)
        if table.headers is not None and table.headers.rule is not None:
            table.problem = FileProblem(file, None, table.headers.rule, table.headers.message)
    elif kind == "json":
        read_json(stream, feed, table)
    else:
        read_parquet(stream, feed, table)
    yield table


def _check_package(stream: BinaryIO) -> None:
    """Workbooks are archives too; the limits on size hold, the ratio only for large members (XML packs
    well)."""
    if not zipfile.is_zipfile(stream):
        stream.seek(0)
        return
    with zipfile.ZipFile(stream) as package:
        _check_size(package.infolist(), small=10 << 20)
    stream.seek(0)


def _check_size(members: list[zipfile.ZipInfo], small: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise RefusedFile("unsafe_archive", f"{len(members)} members, at most {MAX_MEMBERS} are allowed")
    total = sum(member.file_size for member in members)
    if total > MAX_UNCOMPRESSED:
        raise RefusedFile(
            "unsafe_archive", f"{total} bytes uncompressed, at most {MAX_UNCOMPRESSED} are allowed"
        )
    for member in members:
        if member.file_size > small and member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise RefusedFile("unsafe_archive", f"a member is packed more than {MAX_RATIO} to one")


def member_name(member: zipfile.ZipInfo) -> str:
    """Name of a member; Chinese tools write GBK without saying so, which zipfile takes for code page 437."""
    if member.flag_bits & 0x800:
        return member.filename
    try:
        return member.filename.encode("cp437").decode("gb18030")
    except UnicodeError:
        return member.filename


def _archive(stream: BinaryIO, feed: Feed, file: str) -> Iterator[Table]:
    """Tables of all members in the order of their names; one bad member does not stop the others.

    Raises:
        RefusedFile: the archive as a whole is damaged, too large or leads outside.
    """
    try:
        archive = zipfile.ZipFile(stream)
    except _BAD_ARCHIVE as error:
        raise RefusedFile("unreadable_file", f"the archive is damaged: {error}") from error
    with archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        _check_size(members, small=0)
        named = sorted(((member_name(member), member) for member in members), key=lambda item: item[0])
        for name, _ in named:
            path = PurePosixPath(name.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts or ":" in path.parts[0] or "\x00" in name:
                raise RefusedFile("unsafe_archive", "a member's name leads outside the archive")
        wanted = [(name, member) for name, member in named if not _is_hidden(name)]
        if not wanted:
            raise RefusedFile("empty_file", "the archive holds no files")
        seen: Counter[str] = Counter()
        for name, member in wanted:
            seen[name] += 1
            # Two members of one name are legal in a ZIP; their rows must stay apart.
            shown = f"{file}!{name}" if seen[name] == 1 else f"{file}!{name}#{seen[name]}"
            yield from _member(archive, member, feed, shown)


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.startswith((".", "__MACOSX", "~$")) for part in parts)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, feed: Feed, file: str) -> Iterator[Table]:
    """One member, unpacked to an anonymous temporary file first, which proves its checksum."""
    with tempfile.SpooledTemporaryFile(max_size=64 << 20) as spool:
        unpacked = cast(BinaryIO, spool)
        try:
            try:
                with archive.open(member) as packed:
                    shutil.copyfileobj(packed, unpacked, 1 << 20)
            except _BAD_ARCHIVE as error:
                raise RefusedFile(
                    "unreadable_file", f"the archive member cannot be unpacked: {error}"
                ) from error
            unpacked.seek(0)
            yield from _tables(unpacked, file_format(unpacked), feed, file)
        except RefusedFile as refusal:
            yield refused_table(file, refusal)
