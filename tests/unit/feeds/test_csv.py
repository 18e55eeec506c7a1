"""CSV: the quick path and the thorough path give the same rows, and nothing is replaced on decoding."""

from __future__ import annotations

import csv
import io

import pytest
from feeds_support import PERSON, csv_text, penalty, quick, taken
from hypothesis import given
from hypothesis import strategies as st

from credit_pipeline.feeds.catalogue import get_feed
from credit_pipeline.feeds.csv_records import quotes_are_regular
from credit_pipeline.feeds.decoding import guess_codec
from credit_pipeline.feeds.readers_csv import read_csv
from credit_pipeline.feeds.reading import RefusedFile, Table

HONOURS = get_feed("honours")
PENALTIES = get_feed("penalties")
HEADER = "UNISCID,HONOR_NAME,IDENTIFICATION_NO,IDENTIFICATION_DATE,别的"


def read(data: bytes, *, fast: bool = True, chunk: int = 1 << 20, feed: str = "honours") -> Table:
    table = Table("honours/a.csv")
    read_csv(io.BytesIO(data), get_feed(feed), table, chunk_bytes=chunk, fast=fast)
    return table


def both(data: bytes, chunk: int) -> tuple[object, object]:
    """What either path reads, with counts of rows that hold no data."""
    results = []
    for fast in (True, False):
        try:
            table = read(data, fast=fast, chunk=chunk)
            results.append((taken(table), table.layout_rows, table.headers))
        except RefusedFile as error:
            results.append((error.rule, error.message))
    return results[0], results[1]


clean = st.text(st.sampled_from("ab1号，。; \u3000é"), min_size=1, max_size=6)
odd = st.text(st.sampled_from("ab1号，。\"',;\n\r \t\x1a\u3000é"), max_size=6)
rows_of_cells = st.one_of(
    st.lists(st.lists(clean, min_size=5, max_size=5), max_size=12),
    st.lists(st.lists(clean | odd.filter(lambda c: "\r" not in c), min_size=5, max_size=5), max_size=12),
    st.lists(st.lists(odd, min_size=4, max_size=6), max_size=12),
)


@quick
@given(
    rows_of_cells,
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from([40, 97, 300, 1 << 20]),
    st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16"]),
    st.booleans(),
)
def test_quick_and_thorough_path_agree(
    rows: list[list[str]], newline: str, chunk: int, codec: str, quoting: bool
) -> None:
    """Prevents speed deciding what is accepted, wherever the pieces are cut."""
    buffer = io.StringIO()
    if quoting:
        csv.writer(buffer, lineterminator=newline).writerows(rows)
    else:
        buffer.write("".join(",".join(row) + newline for row in rows))
    data = (HEADER + newline + buffer.getvalue()).encode(codec, "ignore")
    quick_path, thorough_path = both(data, chunk)
    assert quick_path == thorough_path


@quick
@given(st.binary(max_size=120), st.integers(0, 200), st.sampled_from([50, 200, 1 << 20]))
def test_both_paths_agree_on_damaged_bytes(noise: bytes, place: int, chunk: int) -> None:
    """Prevents a damaged byte being read one way or the other by chance."""
    text = HEADER + "\n" + "".join(f'91{n},"荣誉,{n}",豫〔2020〕{n}号,2020-01-01,x\n' for n in range(5))
    data = text.encode()
    place = min(place + len(HEADER.encode()), len(data))
    quick_path, thorough_path = both(data[:place] + noise + data[place:], chunk)
    assert quick_path == thorough_path


@quick
@given(st.lists(st.lists(st.text(max_size=8), min_size=5, max_size=5), min_size=1, max_size=8))
def test_well_formed_rows_come_back_unchanged(rows: list[list[str]]) -> None:
    """Prevents any cell being altered by reading (csv writes them, the thorough path reads them)."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    data = (HEADER + "\n" + buffer.getvalue()).encode("utf-8", "surrogatepass")
    found, bad = taken(read(data, fast=False))
    if any("\r" in cell or "\ud800" <= cell <= "\udfff" for row in rows for cell in row) or bad:
        return
    wanted = [row for row in rows if any(cell.strip() for cell in row)]
    assert [row["honour_name"] or "" for row in found] == [row[1] for row in wanted]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
def test_encodings(codec: str) -> None:
    """Prevents mojibake; rare characters of names need four bytes in GB18030 and surrogates in UTF-16."""
    text = csv_text([penalty(1, CF_XDR_MC="桐柏㛃𬱖有限公司"), penalty(2)])
    bom = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}.get(codec, b"")
    table = read(bom + text.encode(codec), feed="penalties")
    rows, bad = taken(table)
    assert [row["party_name"] for row in rows] == ["桐柏㛃𬱖有限公司", "桐柏县第2商贸有限公司"]
    assert not bad and table.encoding is not None
    assert table.encoding.startswith(codec[:5]) or codec == "utf-16"


def test_an_undecodable_row_is_reported_and_the_others_kept() -> None:
    """Prevents replacement characters, and one bad byte refusing a file."""
    for codec, bad_bytes in (("utf-8", b"\xff"), ("gb18030", b"\xff"), ("utf-8", "公司".encode("gb18030"))):
        lines = csv_text([penalty(n) for n in range(1, 5)]).encode(codec).split(b"\n")
        lines[2] = lines[2][:3] + bad_bytes + lines[2][3:]
        rows, bad = taken(read(b"\n".join(lines), feed="penalties"))
        assert [row["source_row"] for row in rows] == [2, 4, 5]
        [row] = bad
        assert (row["row_number"], row["rule"]) == (3, "undecodable") and "\\x" in row["row_text"]
        offset = int(row["value"].split()[-1])
        whole = b"\n".join(lines)
        with pytest.raises(UnicodeDecodeError) as error:
            whole.decode(codec)
        assert offset == error.value.start and row["value"].startswith(codec)


def test_a_utf16_file_with_a_bad_unit() -> None:
    """Prevents a lone surrogate stopping the whole file."""
    data = "\ufeff".encode("utf-16-le") + csv_text([penalty(1), penalty(2), penalty(3)]).encode("utf-16-le")
    place = data.index("第2".encode("utf-16-le"))
    rows, bad = taken(read(data[:place] + b"\x00\xd8" + data[place:], feed="penalties"))
    assert [row["source_row"] for row in rows] == [2, 4] and [row["row_number"] for row in bad] == [3]


def test_row_numbers_are_those_of_a_spreadsheet() -> None:
    """Prevents numbers that point beside the row: blank lines count, a cell with a line break is one row."""
    text = HEADER + '\n91,"a\nb",1,2020-01-01,x\n\n\n92,c,2,2020-01-02,x\n,,,,\n93,d,3,2020-01-03,x\n\n'
    for fast in (True, False):
        table = read(text.encode(), fast=fast)
        rows, _ = taken(table)
        assert [row["source_row"] for row in rows] == [2, 5, 7]
        assert rows[0]["honour_name"] == "a\nb" and table.layout_rows == 4


def test_wrong_widths_are_column_count() -> None:
    """Prevents values sliding under the wrong header; empty cells too many are no harm."""
    text = HEADER + "\n91,a,1,2020-01-01,x\n91,a,1\n91,a,b,1,2020-01-01,x\n91,a,1,2020-01-01,x,,\n"
    rows, bad = taken(read(text.encode()))
    assert [row["source_row"] for row in rows] == [2, 5]
    assert [(row["row_number"], row["rule"]) for row in bad] == [(3, "column_count"), (4, "column_count")]


def test_an_unclosed_quote_costs_one_line() -> None:
    """Prevents a stray quote swallowing the rest of the file."""
    text = HEADER + '\n91,"a,1,2020-01-01,x\n' + "".join(f'9{n},b{n},"{n}",2020-01-01,x\n' for n in range(50))
    rows, bad = taken(read(text.encode(), chunk=200))
    assert len(rows) == 50 and [row["row_number"] for row in bad] == [2]
    text = HEADER + '\n91,5" Rohr,1,2020-01-01,x\n92,b,2,2020-01-01,x\n'
    rows, bad = taken(read(text.encode()))
    assert [row["honour_name"] for row in rows] == ['5" Rohr', "b"] and not bad


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_and_titles(separator: str) -> None:
    """Prevents a file with another separator, or with a title above, being refused."""
    text = f"荣誉信息{separator * 3}\n\n" + HEADER.replace(",", separator) + "\n"
    text += separator.join(["91", "优秀，企业", "1", "2020-01-01", "x"]) + "\n"
    rows, _ = taken(read(text.encode("gb18030")))
    assert [(row["source_row"], row["honour_name"]) for row in rows] == [(4, "优秀，企业")]


def test_two_headers_for_one_column() -> None:
    """Prevents the second header vanishing: the first filled cell wins, a different second goes into extra."""
    table = read(
        b"UNISCID,HONOR_NAME,IDENTIFICATION_NO,IDENTIFICATION_DATE,honour_name\n91,a,1,2020-01-01,b\n92,,2,2020-01-01,c\n"
    )
    rows, _ = taken(table)
    assert [row["honour_name"] for row in rows] == ["a", "c"]
    assert [row["extra"] for row in rows] == ['{"honour_name":"b"}', None]
    assert table.conflicts == {"honour_name": 1}


def test_malformed_rows_beside_personal_columns_show_little() -> None:
    """Prevents a name in a row of wrong width, where nobody knows which cell it is."""
    text = "登记编号,类型,被投诉企业统一社会信用代码,登记时间,投诉人\n"
    text += "T1,投诉,91411330MA40TE5TX8,2026-01-01,张三\nT2,投诉,李四,91411330MA40TE5TX8,2026-01-01,王五\n"
    rows, bad = taken(read(text.encode(), feed="complaints"))
    assert "投诉人" not in str(rows) and "张三" not in str(rows)
    assert bad[0]["row_text"] == "***,***,***,91411330MA40TE5TX8,2026-01-01,***"
    text = csv_text([penalty(1)]) + f"a,{PERSON}\n"
    assert PERSON not in str(taken(read(text.encode(), feed="penalties")))


def test_regular_quotes() -> None:
    """Prevents Arrow reading what only looks regular."""
    for text in ('"a","b""c"\n', 'a,""\n', '"a\nb",c', '"",""', '"a"'):
        assert quotes_are_regular(text.encode(), ","), text
    for text in ('a"b"\n', '"a"b,c\n', '"a', ' "a"\n', '"a" ,b\n'):
        assert not quotes_are_regular(text.encode(), ","), text


def test_codec_guess() -> None:
    """Prevents a damaged UTF-8 file being read as GB18030, in which every third line of it is valid too."""
    text = "南阳市市场监督管理局行政处罚决定书"
    assert guess_codec(text.encode()) == "utf-8" and guess_codec(text.encode("gb18030")) == "gb18030"
    assert guess_codec(text.encode() + b"\xff") == "utf-8" and guess_codec(b"abc") is None
    assert guess_codec(b"a" * 10 + (text * 30_000).encode()) == "utf-8"


@pytest.mark.parametrize(
    ("data", "rule"),
    [(b"", "empty_file"), (b"\xef\xbb\xbf \n", "empty_file"), (b"\xff\xff,\xff\n", "unreadable_file")],
)
def test_files_without_rows(data: bytes, rule: str) -> None:
    """Prevents a crash on nothing."""
    with pytest.raises(RefusedFile) as refusal:
        read(data)
    assert refusal.value.rule == rule
