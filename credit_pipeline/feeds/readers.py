"""Opens a delivered file whatever it is called: finds its format by content and yields its tables.

Formats: CSV, XLSX/XLS/XLSB/ODS, JSON, JSON lines, Parquet, and ZIP archives of these. How each is read
stands in `readers_*`; what becomes of the rows in `ingest`.
"""

from __future__ import annotations

import errno
import lzma
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar, cast

from credit_pipeline.feeds.catalogue import Feed
from credit_pipeline.feeds.decoding import UTF16_BOMS
from credit_pipeline.feeds.personal import mask_text
from credit_pipeline.feeds.readers_csv import read_csv
from credit_pipeline.feeds.readers_excel import read_workbook
from credit_pipeline.feeds.readers_json import read_json, read_parquet
from credit_pipeline.feeds.reading import FileProblem, LostFile, RefusedFile, Table, one_line, storable

_Item = TypeVar("_Item")
MAX_MEMBERS = 1000
MAX_UNCOMPRESSED = 4 << 30
MAX_RATIO = 200
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHER_FORMATS = {
    b"%PDF": "a PDF document",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"<": "a web page or XML (also when it is named .xls)",
}
_BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, NotImplementedError),
    *(RuntimeError, ValueError, LookupError, AttributeError, OverflowError),
)
"""What zipfile raises on a directory that lies; found by breaking archives."""
_MACHINE_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
GAVE_UP = "the reader gave up"
"""Begins the message of a file that broke a reader in a way nobody thought of."""


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
    if text.startswith(tuple(_OTHER_FORMATS)) or b"\x00" in text[:1024]:
        return "unknown"
    return "json" if text[:1] in (b"{", b"[") else "csv"


def _package_format(stream: BinaryIO) -> str:
    """A ZIP file may be a workbook, another Office document or an archive."""
    try:
        with zipfile.ZipFile(stream) as package:
            names = set(package.namelist())
            kind = package.read("mimetype")[:100] if "mimetype" in names else b""
    except _BAD_ARCHIVE as error:
        raise RefusedFile(
            "unreadable_file", f"the archive or workbook is damaged (cut off?): {one_line(error)}"
        ) from error
    finally:
        stream.seek(0)
    if "xl/workbook.xml" in names or "xl/workbook.bin" in names or kind.endswith(b"spreadsheet"):
        return "excel"
    return "unknown" if "[Content_Types].xml" in names or kind else "zip"


def open_tables(path: Path, feed: Feed, file: str, landing: Path | None = None) -> Iterator[Table]:
    """The tables of a delivered file, in a fixed order.

    A table's parts must be taken before the next table is asked for. What cannot be read comes as a table
    with a `problem` and without parts; taking parts may still raise `RefusedFile` when damage shows later.

    Raises:
        LostFile: the file cannot be read just now (also while its parts are taken).

    Args:
        file: path as it goes into `source_file`.
        landing: links that lead out of this folder are refused, or a sender could have any file of the
            machine read.
    """
    if landing is not None and not path.resolve().is_relative_to(landing.resolve()):
        outside = RefusedFile("link_outside", "a link that leads out of the landing folder; nothing was read")
        yield refused_table(file, outside)
        return
    try:
        opened = path.open("rb")
    except OSError as error:
        raise LostFile(_machine_says(error)) from error
    with opened as stream:
        try:
            for table in _guarded(_all_tables(stream, feed, file)):
                table.parts = _guarded(table.parts)
                yield table
        except RefusedFile as refusal:
            yield refused_table(file, refusal)


def _all_tables(stream: BinaryIO, feed: Feed, file: str) -> Iterator[Table]:
    kind = file_format(stream)
    yield from _archive(stream, feed, file) if kind == "zip" else _tables(stream, kind, feed, file)


def _machine_says(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "it vanished while it was read; remedy: wait until its sender is done"
    said = error.strerror or type(error).__name__
    return f"it cannot be read ({said}); remedy: see its permissions, the disk and the memory of the machine"


def _guarded(items: Iterator[_Item]) -> Iterator[_Item]:
    """The same items; what a library throws at a damaged file refuses the file and lets the others go on.

    Errors of the machine (a disk that fails, no memory) are not the file's: it is left for the next run.
    """
    try:
        yield from items
    except (RefusedFile, LostFile, MemoryError):
        raise
    except OSError as error:
        raise LostFile(_machine_says(error)) from error
    except Exception as error:
        raise RefusedFile("unreadable_file", f"{GAVE_UP}: {type(error).__name__}") from error
    except BaseException as error:
        if type(error).__name__ == "PanicException":  # Rust code (calamine, polars) gave up on a damaged file
            raise RefusedFile("unreadable_file", f"{GAVE_UP}: the content is damaged") from error
        raise


def refused_table(file: str, refusal: RefusedFile, sheet: str | None = None) -> Table:
    """A table that holds only the reason why there is none."""
    sheet = refusal.sheet or sheet
    return Table(file, sheet, problem=FileProblem(file, sheet, refusal.rule, refusal.message))


def _tables(stream: BinaryIO, kind: str, feed: Feed, file: str) -> Iterator[Table]:
    if kind == "empty":
        raise RefusedFile("empty_file", "the file holds nothing")
    if kind == "unknown":
        head = stream.read(64).lstrip()
        found = next((name for start, name in _OTHER_FORMATS.items() if head.startswith(start)), None)
        raise RefusedFile(
            "unknown_format",
            f"the content is {found}" if found else "the content is of none of the known formats",
        )
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
        raise RefusedFile(
            "unreadable_file", f"the archive is damaged (cut off?): {one_line(error)}"
        ) from error
    with archive:
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
        _check_size(members, small=0)
        named = sorted(((member_name(member), member) for member in members), key=lambda item: item[0])
        for name, _ in named:
            path = PurePosixPath(name.replace("\\", "/"))
            parts = path.parts or ("",)
            if path.is_absolute() or ".." in parts or ":" in parts[0] or "\x00" in name:
                raise RefusedFile("unsafe_archive", "a member's name leads outside the archive")
        wanted = [(name, member) for name, member in named if not _is_hidden(name)]
        if not wanted:
            raise RefusedFile("empty_file", "the archive holds no files")
        seen: Counter[str] = Counter()
        for name, member in wanted:
            # Two members of one name are legal in a ZIP, and masking may make names equal: their rows must
            # stay apart.
            masked = storable(mask_text(name))
            seen[masked] += 1
            shown = f"{file}!{masked}" if seen[masked] == 1 else f"{file}!{masked}#{seen[masked]}"
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
                if isinstance(error, OSError) and error.errno in _MACHINE_ERRORS:
                    raise
                raise RefusedFile(
                    "unreadable_file", f"the archive member cannot be unpacked: {one_line(error)}"
                ) from error
            unpacked.seek(0)
            yield from _guarded(_tables(unpacked, file_format(unpacked), feed, file))
        except RefusedFile as refusal:
            yield refused_table(file, refusal)
