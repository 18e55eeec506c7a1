"""JSON and Parquet that are legal, or nearly so, and that no sender should make."""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from base_files import Sheet, make_person

from credit_pipeline.feeds.catalogue import Feed


def _row(sheet: Sheet, number: int = 0) -> dict[str, Any]:
    return dict(zip(sheet.headers, sheet.rows[number], strict=True))


def odd_json(rng: random.Random, feed: Feed, sheet: Sheet) -> Iterator[tuple[str, bytes, int | None]]:
    """(what, file, rows) of JSON that is legal or nearly so."""

    def dumped(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")

    first, key = _row(sheet), rng.choice(sheet.headers)
    rows = [_row(sheet, number) for number in range(len(sheet.rows))]
    deep: Any = "x"
    for _ in range(200):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    yield "deep value", dumped([first | {key: deep}]), 1
    yield "very deep", b"[" * 100_000 + b"]" * 100_000, None
    yield (
        "very deep value",
        dumped([first])[:-2] + b', "\xe6\xb7\xb1": ' + b"[" * 50_000 + b"]" * 50_000 + b"}]",
        None,
    )
    yield "deep line", b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"\n" + dumped(first) + b"\n", None
    for word in (
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "9" * 5_000,
        "-0",
        "1.10",
        "0.1e-30",
        "1E400",
        "12345678901234567890123",
    ):
        yield f"number {word[:12]}", dumped([first | {key: "@"}]).replace(b'"@"', word.encode()), 1
    yield (
        "repeated key",
        dumped(first)[:-1] + b', "' + key.encode() + b'": "x"}\n' + dumped(rows[1]) + b"\n",
        2,
    )
    yield "repeated key in array", b"[" + dumped(first)[:-1] + b', "' + key.encode() + b'": "x"}]', None
    yield "surrogate", dumped([first | {key: "a\ud800b"}]), 1
    yield "surrogate key", dumped([first | {"a\udfff": "b"}]), 1
    yield "surrogate line", dumped(first | {key: "\udfff\ud800"}) + b"\n" + dumped(rows[1]) + b"\n", 2
    yield "raw surrogate", dumped([first]).replace(b'"}', b'\xed\xa0\x80"}'), None
    yield "nested objects", dumped([first | {key: {"甲": [1, {"乙": None}]}}]), 1
    yield "nested key", dumped([first | {"甲": {make_person(3): make_person(4)}}]), 1
    yield "mixed items", dumped([first, 1, None, "x", [], {}, [first], True, rows[1]]), 9
    yield "empty array", b"[]", None
    yield "empty object", b"{}", None
    yield "array of empty", dumped([{}, {}, {}]), 3
    yield "null", b"null", None
    yield "number", b"42", None
    yield "string", dumped("x" * 100), None
    yield "wrapped string", dumped({"data": "x"}), None
    yield "wrapped null", dumped({"data": None, "rows": None}), None
    yield "wrapped empty", dumped({"data": []}), None
    yield "wrapped twice", dumped({"result": {"data": {"records": rows}}}), len(rows)
    yield "wrapped deeply", dumped({"data": {"data": {"data": {"data": {"data": rows}}}}}), None
    yield "two arrays", dumped({"data": rows[:2], "rows": rows[2:]}), None
    yield "columns and rows", dumped({"fields": sheet.headers, "data": sheet.rows}), None
    yield "array of arrays", dumped([sheet.headers, *sheet.rows]), None
    yield "two documents", dumped(rows) + b"\n" + dumped(rows), None
    yield "objects side by side", b"".join(dumped(row) for row in rows), None
    yield "trailing comma", dumped(rows)[:-1] + b",]", None
    yield "single quotes", repr(rows).encode("utf-8", "replace"), None
    yield "comment", b"// x\n" + dumped(rows), None
    yield "cut lines", b"\n".join(dumped(row)[: rng.randint(1, 400)] for row in rows), None
    yield (
        "unknown keys differ",
        b"\n".join(dumped(row | {f"k{n}": n}) for n, row in enumerate(rows)),
        len(rows),
    )
    yield "ten thousand keys", dumped([first | {f"k{n}": "1" for n in range(10_000)}]), 1
    yield "huge string", dumped([first | {key: "长" * 700_000}]), 1
    yield "empty key", dumped([first | {"": "x"}]), 1
    yield "separator records", b"\x1e" + b"\x1e".join(dumped(row) + b"\n" for row in rows), None
    yield "utf-16", json.dumps(rows, ensure_ascii=False).encode("utf-16"), len(rows)
    yield "booleans", dumped([{name: rng.choice([True, False, None]) for name in sheet.headers}]), 1
    yield "lists", dumped([{name: [value, value] for name, value in first.items()}]), 1


def _parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def odd_parquet(rng: random.Random, feed: Feed, sheet: Sheet) -> Iterator[tuple[str, bytes, int | None]]:
    """(what, file, rows) of Parquet with columns of every type."""
    count = len(sheet.rows)
    texts = {
        name: pa.array([str(row[place]) for row in sheet.rows], pa.string())
        for place, name in enumerate(sheet.headers)
    }
    odd: dict[str, pa.Array] = {
        "struct": pa.array([{"a": 1, "b": "x"}] * count),
        "list": pa.array([["a", None, "b"]] * count),
        "list of struct": pa.array([[{"a": Decimal("1.10")}]] * count),
        "map": pa.array([[("k", 1)]] * count, pa.map_(pa.string(), pa.int64())),
        "decimal": pa.array([Decimal("12345678901234567890.123456")] * count, pa.decimal128(38, 6)),
        "decimal256": pa.array([Decimal("1.5")] * count, pa.decimal256(60, 6)),
        "timestamp tz": pa.array(
            [datetime(2026, 3, 1, 16, tzinfo=UTC)] * count, pa.timestamp("us", "Asia/Shanghai")
        ),
        "timestamp unknown tz": pa.array([0] * count, pa.timestamp("us")).cast(
            pa.timestamp("us", "Mars/Olympus")
        ),
        "timestamp ns": pa.array([2**62] * count, pa.timestamp("ns")),
        "timestamp far": pa.array([2**62] * count, pa.timestamp("ms")),
        "timestamp negative": pa.array([-(2**62)] * count, pa.timestamp("us")),
        "date": pa.array([date(2026, 3, 1)] * count),
        "date64": pa.array([date(2026, 3, 1)] * count, pa.date64()),
        "date far": pa.array([2**30] * count, pa.int32()).cast(pa.date32()),
        "time": pa.array([3_600_000_000] * count, pa.time64("us")),
        "time outside": pa.array([2**50] * count, pa.time64("us")),
        "duration": pa.array([10**9] * count, pa.duration("ns")),
        "dictionary": pa.array(["a"] * count).dictionary_encode(),
        "dictionary of int": pa.array([1] * count).dictionary_encode(),
        "binary": pa.array([b"\xff\x00\xfe"] * count),
        "binary text": pa.array(["文字".encode()] * count),
        "fixed binary": pa.array([b"\x00\xff\x01\x02"] * count, pa.binary(4)),
        "large": pa.array(["文"] * count, pa.large_string()),
        "view": pa.array(["文"] * count, pa.string_view()),
        "null": pa.nulls(count),
        "boolean": pa.array([True] * count),
        "float": pa.array(
            [float("nan"), float("inf"), -0.0, 1e300, 1.5, None, 4.1133e17, 2.5e-308][:count]
            + [0.0] * (count - 8)
        ),
        "half": pa.array([1.5] * count, pa.float32()).cast(pa.float16()),
        "uint64": pa.array([2**64 - 1] * count, pa.uint64()),
        "int identity": pa.array([int(make_person(5)[:17])] * count, pa.int64()),
    }
    for what, column in odd.items():
        name = rng.choice(sheet.headers)
        yield (
            what,
            _parquet(pa.table({**texts, name: column})),
            None if what in ("timestamp unknown tz", "time outside") else count,
        )
        yield (
            f"{what} unknown",
            _parquet(pa.table({**texts, "另一列": column})),
            None if what in ("timestamp unknown tz", "time outside") else count,
        )
    yield "no rows", _parquet(pa.table(texts).slice(0, 0)), None
    yield "no columns", _parquet(pa.table({})), None
    yield "many groups", _parquet(pa.table(texts), row_group_size=1), count
    yield (
        "wide",
        _parquet(pa.table({**texts, **{f"附{n}": pa.array(["1"] * count) for n in range(3000)}})),
        count,
    )
    yield (
        "repeated names",
        _parquet(pa.Table.from_arrays([*texts.values(), *texts.values()], names=[*texts, *texts])),
        None,
    )
    yield (
        "empty name",
        _parquet(pa.Table.from_arrays([*texts.values(), texts[sheet.headers[0]]], names=[*texts, ""])),
        count,
    )
    for codec in ("snappy", "gzip", "brotli", "lz4", "none"):
        yield codec, _parquet(pa.table(texts), compression=codec, data_page_version="2.0"), count
    whole = _parquet(pa.table(texts))
    yield (
        "other length",
        whole[:-8] + struct.pack("<I", rng.choice([0, 1, 2**31 - 1, 2**32 - 1])) + b"PAR1",
        None,
    )
    yield "footer only", whole[-600:], None
    yield "encrypted footer", whole[:-4] + b"PARE", None
    invalid = pa.Array.from_buffers(
        pa.string(),
        count,
        [None, pa.py_buffer(struct.pack(f"<{count + 1}i", *range(count + 1))), pa.py_buffer(b"\xff" * count)],
    )
    yield "text that is no UTF-8", _parquet(pa.table({**texts, sheet.headers[0]: invalid})), None
