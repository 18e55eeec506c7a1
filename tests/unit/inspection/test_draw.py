"""The draw in SQL against the same draw in plain Python, and its uniformity."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_pipeline.errors import BadInput
from credit_pipeline.inspection.draws import protocol
from credit_pipeline.inspection.draws.draw import draw_round, frame_root

SEED = hashlib.sha256(b"a fixed seed").hexdigest()
ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"temp_directory": "", "threads": "2"}) as connection:
        yield connection


def _uscc(number: int) -> str:
    return "91411300" + hashlib.sha256(str(number).encode()).hexdigest()[:10].upper()


def _load(connection: duckdb.DuckDBPyConnection, frame: list[Any], quotas: list[Any]) -> None:
    """Rows of (unit, uscc, grade, reason) or with an item first; quotas of (unit, grade, quota) likewise."""
    connection.execute(
        """create or replace table frame (
            item_code varchar, unit_id varchar, uscc varchar, platform_grade varchar, excluded_reason varchar,
            region varchar default '', is_safety_related boolean default false
        );
        create or replace table quotas (
            item_code varchar, unit_id varchar, platform_grade varchar, quota integer
        )"""
    )
    columns = "item_code, unit_id, uscc, platform_grade, excluded_reason"
    frame = [row if len(row) == 5 else ("GENERAL", *row) for row in frame]
    quotas = [row if len(row) == 4 else ("GENERAL", *row) for row in quotas]
    if frame:
        connection.executemany(f"insert into frame ({columns}) values (?, ?, ?, ?, ?)", frame)
    if quotas:
        connection.executemany("insert into quotas values (?, ?, ?, ?)", quotas)


def _draw(connection: duckdb.DuckDBPyConnection, seed: str = SEED) -> list[tuple[Any, ...]]:
    table = draw_round(connection, frame_table="frame", quotas_table="quotas", seed=seed)
    return [tuple(row.values()) for row in table.to_pylist()]


rows = st.lists(
    st.tuples(
        st.sampled_from(["GENERAL", "SAFETY", "S-1"]),
        st.sampled_from(["1", "A01", "B02"]),
        st.text(ALPHABET, min_size=18, max_size=18),
        st.sampled_from("ABCDE"),
        st.sampled_from(["", "", "", "drawn:P0-1", "停业"]),
    ),
    unique_by=lambda row: row[:3],
    max_size=40,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=rows,
    ratio_bp=st.integers(0, 10_000),
    seed=st.binary(min_size=32, max_size=32),
    shuffle=st.randoms(),
)
def test_sql_draws_what_plain_python_draws(
    connection: duckdb.DuckDBPyConnection, frame: list[Any], ratio_bp: int, seed: bytes, shuffle: Any
) -> None:
    """Same tickets, ranks, quotas and root with hashlib and sorted(), whatever the order of the rows."""
    strata = defaultdict(list)
    for item, unit, uscc, grade, reason in frame:
        if not reason:
            text = f"DRAW1|{seed.hex()}|{unit}|{uscc}"
            strata[unit, item, grade].append((hashlib.sha256(text.encode()).hexdigest(), uscc))
    quotas = [
        (item, unit, grade, protocol.quota(len(members), ratio_bp, "ceil"))
        for (unit, item, grade), members in strata.items()
    ]
    expected = [
        (unit, item, uscc, grade, ticket, rank, len(members), quota, rank <= quota)
        for (item, unit, grade, quota) in sorted(quotas, key=lambda row: (row[1], row[0], row[2]))
        for members in [strata[unit, item, grade]]
        for rank, (ticket, uscc) in enumerate(sorted(members), start=1)
    ]
    shuffle.shuffle(frame)
    _load(connection, frame, quotas)
    assert _draw(connection, seed.hex()) == expected
    leaves = (
        protocol.leaf_salt(b"s" * 32, unit, item, uscc)
        + protocol.frame_leaf(unit, item, uscc, grade, "", False, reason)
        for item, unit, uscc, grade, reason in sorted(frame, key=lambda row: (row[1], row[0], row[2]))
    )
    found = frame_root(connection, frame_table="frame", frame_salt=b"s" * 32)
    assert (found.root, found.size) == (protocol.merkle_root(leaves), len(frame))
    assert found.unit_sizes == dict(Counter(row[1] for row in frame))


def test_a_larger_quota_continues_the_same_order(connection: duckdb.DuckDBPyConnection) -> None:
    """A top-up takes the next rank; it is never a new roll of the dice."""
    frame = [("A01", _uscc(number), "B", "") for number in range(50)]
    _load(connection, frame, [("A01", "B", 10)])
    ten = [row[:6] for row in _draw(connection) if row[8]]
    connection.execute("update quotas set quota = 20")
    twenty = [row[:6] for row in _draw(connection) if row[8]]
    assert len(ten) == 10 and len(twenty) == 20 and twenty[:10] == ten


def test_an_enterprise_has_the_same_luck_for_all_items_of_a_unit(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    """Visits merge: with equal strata the drawn ones of two items are the same, not two lists of strangers."""
    frame = [(item, "A01", _uscc(number), "B", "") for item in ("GENERAL", "SAFETY") for number in range(40)]
    _load(connection, frame, [("GENERAL", "A01", "B", 5), ("SAFETY", "A01", "B", 3)])
    drawn: dict[str, list[str]] = {"GENERAL": [], "SAFETY": []}
    for row in _draw(connection):
        if row[8]:
            drawn[row[1]].append(row[2])
    assert drawn["SAFETY"] == drawn["GENERAL"][:3]


def test_the_grade_does_not_change_the_ticket(connection: duckdb.DuckDBPyConnection) -> None:
    """Otherwise moving an enterprise to another grade would be a second chance for it."""
    frame = [("A01", _uscc(number), "B", "") for number in range(20)]
    _load(connection, frame, [("A01", "B", 1)])
    before = {row[2]: row[4] for row in _draw(connection)}
    connection.execute("update frame set platform_grade = 'C'; update quotas set platform_grade = 'C'")
    assert {row[2]: row[4] for row in _draw(connection)} == before


def test_units_draw_independently_and_excluded_ones_change_nothing(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    frame = [(unit, _uscc(number), "B", "") for unit in ("A01", "B02") for number in range(20)]
    _load(connection, frame, [("A01", "B", 5), ("B02", "B", 5)])
    drawn = {(row[0], row[2]) for row in _draw(connection) if row[8]}
    assert {uscc for unit, uscc in drawn if unit == "A01"} != {uscc for unit, uscc in drawn if unit == "B02"}
    connection.executemany(
        "insert into frame values ('GENERAL', 'A01', ?, 'B', 'closed', '', false)",
        [(_uscc(n),) for n in range(100, 110)],
    )
    assert {(row[0], row[2]) for row in _draw(connection) if row[8]} == drawn


@pytest.mark.parametrize(
    ("frame", "quotas", "message"),
    [
        ([("A01", _uscc(1), "B", None)], [], "NULL"),
        ([(None, _uscc(1), "B", "")], [], "NULL"),
        ([("a01", _uscc(1), "B", "")], [], "unit_id"),
        ([("A01", "123", "B", "")], [], "uscc"),
        ([("A01", _uscc(1), "F", "")], [], "grade"),
        ([("A01", _uscc(1), "B", "a|b")], [], "excluded_reason"),
        ([("A01", _uscc(1), "B", ""), ("A01", _uscc(1), "C", "x")], [], "more than once"),
        ([("A01", _uscc(1), "B", "")], [], "has no quota"),
        ([("A01", _uscc(1), "B", "")], [("A01", "B", 2)], "greater"),
        ([("A01", _uscc(1), "B", "")], [("A01", "B", -1)], "negative"),
        ([("A01", _uscc(1), "B", "")], [("A01", "B", 1), ("A01", "B", 0)], "more than one"),
        ([("A01", _uscc(1), "B", "x")], [("A01", "B", 1)], "greater"),
    ],
)
def test_malformed_tables_are_refused(
    connection: duckdb.DuckDBPyConnection, frame: list[Any], quotas: list[Any], message: str
) -> None:
    """A NULL would make a NULL ticket, which SQL sorts to one end: an enterprise never, or always, drawn."""
    _load(connection, frame, quotas)
    with pytest.raises(BadInput, match=message):
        _draw(connection)


def test_errors_hold_no_grade(connection: duckdb.DuckDBPyConnection) -> None:
    _load(connection, [("X1", _uscc(1), "D", "")], [])
    with pytest.raises(BadInput) as caught:
        _draw(connection)
    assert "D" not in str(caught.value)


def test_a_collation_would_change_the_order_and_is_refused(connection: duckdb.DuckDBPyConnection) -> None:
    _load(connection, [], [])
    connection.execute("set default_collation = 'nocase'")
    try:
        with pytest.raises(BadInput, match="bytewise"):
            _draw(connection)
    finally:
        connection.execute("reset default_collation")


def test_names_of_tables_are_names(connection: duckdb.DuckDBPyConnection) -> None:
    _load(connection, [], [])
    assert _draw(connection) == []
    for name in ("frame; drop table frame", "read_csv('x')", ""):
        with pytest.raises(BadInput, match="name of a table"):
            draw_round(connection, frame_table=name, quotas_table="quotas", seed=SEED)


def test_an_arrow_table_can_be_the_frame(connection: duckdb.DuckDBPyConnection) -> None:
    _load(connection, [("A01", _uscc(n), "B", "") for n in range(9)], [("A01", "B", 3)])
    expected = _draw(connection)
    connection.register("arrow_frame", connection.execute("select * from frame").to_arrow_table())
    found = draw_round(connection, frame_table="arrow_frame", quotas_table="quotas", seed=SEED)
    assert [tuple(row.values()) for row in found.to_pylist()] == expected
    assert found.schema.field("rank").type == found.schema.field("quota").type == pa.int64()


def _chi2_tail(statistic: float, degrees: int) -> float:
    """Upper tail by Wilson and Hilferty (1931): good to a few percent at 199 degrees, enough for a bound
    of 1e-6.
    """
    spread = 2 / (9 * degrees)
    return 0.5 * math.erfc(((statistic / degrees) ** (1 / 3) - (1 - spread)) / math.sqrt(2 * spread))


def test_every_enterprise_is_drawn_equally_often(connection: duckdb.DuckDBPyConnection) -> None:
    """2,000 draws of 20 of 200: each unit is an independent draw of the same enterprises, by one seed.

    Without replacement the plain Pearson sum is not chi-squared; sum((O-E)^2) / (D f (1-f) N/(N-1)) is, with
    N-1 degrees. The seed is fixed, so the test cannot fail by chance.
    """
    draws, size, quota = 2_000, 200, 20
    connection.register("usccs", pa.table({"uscc": [_uscc(number) for number in range(size)]}))
    connection.execute(
        f"""create or replace table frame as
        select
            'U' || unit as unit_id, 'GENERAL' as item_code, uscc, 'B' as platform_grade, '' as region,
            false as is_safety_related, '' as excluded_reason
        from range({draws}) as r(unit), usccs;
        create or replace table quotas as
        select 'U' || unit as unit_id, 'GENERAL' as item_code, 'B' as platform_grade, {quota} as quota
        from range({draws}) as r(unit)"""
    )
    drawn = draw_round(connection, frame_table="frame", quotas_table="quotas", seed=SEED)
    kept = drawn.filter(drawn["is_drawn"])
    counts, firsts = (
        Counter(kept["uscc"].to_pylist()),
        Counter(drawn.filter(_first(drawn))["uscc"].to_pylist()),
    )
    assert sum(counts.values()) == draws * quota and sum(firsts.values()) == draws
    for observed, share in ((counts, quota / size), (firsts, 1 / size)):
        expected = draws * share
        squares = sum((observed.get(_uscc(number), 0) - expected) ** 2 for number in range(size))
        statistic = squares / (draws * share * (1 - share) * size / (size - 1))
        tail = _chi2_tail(statistic, size - 1)
        assert 1e-6 < tail < 1 - 1e-6, statistic


def _first(drawn: pa.Table) -> pa.Array:
    return pa.array([rank == 1 for rank in drawn["rank"].to_pylist()])
