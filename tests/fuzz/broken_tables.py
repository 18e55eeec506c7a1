"""Breaks a table before it becomes a file: columns, headers, rows and cells."""

from __future__ import annotations

import random
from collections.abc import Callable

from base_files import Sheet, base_sheet, make_person

from credit_pipeline.feeds.catalogue import Feed, get_feed

TableMutation = Callable[[random.Random, Feed, Sheet], tuple[Sheet, int | None]]


def _columns(sheet: Sheet, places: list[int]) -> Sheet:
    return Sheet(
        [sheet.headers[place] for place in places], [[row[place] for place in places] for row in sheet.rows]
    )


def drop_columns(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    kept = sorted(rng.sample(range(len(sheet.headers)), rng.randint(1, len(sheet.headers) - 1)))
    return _columns(sheet, kept), None if len(kept) == 1 else len(sheet.rows)


def shuffle_columns(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return _columns(sheet, rng.sample(range(len(sheet.headers)), len(sheet.headers))), len(sheet.rows)


def duplicate_columns(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    places = [*range(len(sheet.headers)), *rng.choices(range(len(sheet.headers)), k=rng.randint(1, 4))]
    return _columns(sheet, places), len(sheet.rows)


def _renamed(rng: random.Random, sheet: Sheet, count: int) -> Sheet:
    chosen = set(rng.sample(range(len(sheet.headers)), min(count, len(sheet.headers))))

    def other(header: str) -> str:
        return rng.choice(
            [header[::-1] + "x", f"本单位{header}之列", header[: len(header) // 2], f"列{header}(旧)"]
        )

    headers = [other(header) if place in chosen else header for place, header in enumerate(sheet.headers)]
    return Sheet(headers, sheet.rows)


def rename_one(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return _renamed(rng, sheet, 1), len(sheet.rows)


def rename_half(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return _renamed(rng, sheet, len(sheet.headers) // 2), len(sheet.rows)


def rename_all(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return Sheet([f"第{place}项" for place in range(len(sheet.headers))], sheet.rows), len(sheet.rows)


def no_header(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return Sheet([str(cell) for cell in sheet.rows[0]], sheet.rows[1:]), None


def header_twice(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    place = rng.randint(0, len(sheet.rows))
    return sheet.with_rows([*sheet.rows[:place], list(sheet.headers), *sheet.rows[place:]]), None


def header_in_the_middle(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    place = rng.randint(1, len(sheet.rows) - 1)
    rows = [*sheet.rows[1:place], list(sheet.headers), *sheet.rows[place:]]
    return Sheet([str(cell) for cell in sheet.rows[0]], rows), None


def shuffle_rows(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return sheet.with_rows(rng.sample(sheet.rows, len(sheet.rows))), len(sheet.rows)


def repeat_rows(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    rows = [*sheet.rows, *rng.choices(sheet.rows, k=rng.randint(1, 12))]
    return sheet.with_rows(rows), len(rows)


def header_only(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return sheet.with_rows([]), None


def one_column(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    return _columns(sheet, [rng.randrange(len(sheet.headers))]), None


def ten_thousand_columns(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    more = 10_000 - len(sheet.headers)
    headers = [*sheet.headers, *(f"附加{place}" for place in range(more))]
    return Sheet(headers, [[*row, *(["1"] * more)] for row in sheet.rows[:2]]), 2


def huge_field(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    rows = [list(row) for row in sheet.rows]
    unit = rng.choice(["长", "a", "1", "1,", '"', "罚款1元", "（", "第0", " ", "4113", "没收、", "<b>", "\\"])
    place = rng.randrange(len(sheet.headers))
    rows[rng.randrange(len(rows))][place] = unit * (rng.choice([40_000, 1_000_000]) // len(unit))
    return sheet.with_rows(rows), None


ODD_CELLS: list[str] = [
    "=cmd|' /C calc'!A0", '=DDE("cmd";"/C calc";"x")', "=HYPERLINK(\"http://example.invalid\",\"x\")", "@SUM(1+1)", "+1+1",
    "-1-1", "#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "4.1E+14", "4.11302E+14", "1e400", "-1e400", "1e-400",
    "43843", "43843.5", "0", "-0", "TRUE", "FALSE", "nan", "NaN", "inf", "-Infinity", "9" * 400, "0x10", "１２．５", "壹佰万元整",
    "\x00", "a\x00b", "\x01\x02\x1b[31m", "\x1a", "\x1f", "\x7f", "\x85", "\u2028", "\ufeff", "\u200b", "\u202e文反", "\u2066x\u2069",
    "\U000e0001", "\U0010ffff", "\ufffe", "𬱖㛃", "👨\u200d👩\u200d👧", "é" * 3, "e\u0301", "ﷺ", "İ", "ß", "ǅ", "٣", "①", "Ⅷ",
    '"', '""', '"x', 'x"y', "'", "''", "a,b", "a\tb", "a;b|c", "a\nb", "a\r\nb", "a\rb", "\\", "\\N", "\\u0000", "{", '{"a":1}', "[1,2]",
    "../../etc/passwd", "%s%n", "${jndi:x}", "'; drop table raw; --", "<script>", "&lt;&#0;", "0000-00-00", "2026-02-30", "9999-12-31",
    "99999-01-01", "-2026-01-01", "2026-13-45", "20261331", "1899-12-31", "长期", "二〇二六年三月一日", "00000000000000000X", "9" * 18, "11" * 9,
    "测试企业", "123456", " ", "　", "", "-", "无", "暂无", "NULL",
]  # fmt: skip


def odd_cells(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    rows = [list(row) for row in sheet.rows]
    for _ in range(rng.randint(1, len(rows) * 4)):
        rows[rng.randrange(len(rows))][rng.randrange(len(sheet.headers))] = rng.choice(ODD_CELLS)
    return sheet.with_rows(rows), None


def odd_columns(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    """Every odd cell under one header, so that each meets every type sooner or later."""
    place = rng.randrange(len(sheet.headers))
    rows = [
        [
            cell if other == place else value
            for other, value in enumerate(sheet.rows[number % len(sheet.rows)])
        ]
        for number, cell in enumerate(ODD_CELLS)
    ]
    return sheet.with_rows(rows), None


def odd_headers(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    headers = list(sheet.headers)
    for _ in range(rng.randint(1, 4)):
        headers[rng.randrange(len(headers))] = rng.choice(
            [*ODD_CELLS, make_person(7), "列" * 5000, "列\n名", " "]
        )
    return Sheet(headers, sheet.rows), None


def random_cells(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    def text() -> str:
        return "".join(
            chr(
                rng.choice([rng.randrange(1, 128), rng.randrange(0x4E00, 0x9FFF), rng.randrange(160, 0xD7FF)])
            )
            for _ in range(rng.randint(0, 40))
        )

    rows = [[text() if rng.random() < 0.3 else cell for cell in row] for row in sheet.rows]
    return sheet.with_rows(rows), None


def shift_cells(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    """Values slip under their neighbours' headers."""
    return sheet.with_rows([[row[-1], *row[:-1]] for row in sheet.rows]), len(sheet.rows)


def another_feed(rng: random.Random, feed: Feed, sheet: Sheet) -> tuple[Sheet, int | None]:
    other = "licences" if feed.name == "penalties" else "penalties"
    return base_sheet(get_feed(other), rng.randint(1, 500_000)), len(sheet.rows)


TABLE_MUTATIONS: list[TableMutation] = [
    drop_columns, shuffle_columns, duplicate_columns, rename_one, rename_half, rename_all, no_header, header_twice,
    header_in_the_middle, shuffle_rows, repeat_rows, header_only, one_column, ten_thousand_columns, huge_field, odd_cells,
    odd_columns, odd_headers, random_cells, shift_cells, another_feed,
]  # fmt: skip
