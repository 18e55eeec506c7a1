"""Comparing the lake with the answer key: what became of every row, kind by kind.

Here: the confusion table of the dirt, clean rows that were refused or changed, rows that nobody accounts for,
files that went wrong as a whole. Everything is looked up in the lake's own tables, so a reader cannot pass by
agreeing with itself. Not here: what ought to become of a row (dirt*), printing (commands).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from credit_pipeline.errors import BadInput
from credit_pipeline.sample.lake_tables import LakeTables
from credit_pipeline.sample.landing import ANSWER_KEY, COLUMN_SUMS, FILE_ROWS, TRUTH
from credit_pipeline.sample.verdicts import (
    PLACE,
    judge_clean_values,
    judge_effects,
    judge_files,
    judge_identities,
    judge_rows,
)
from credit_pipeline.settings import Settings
from credit_pipeline.warehouse import connect

VERDICTS = (
    "as_expected",
    "other_rule",
    "accepted",
    "refused",
    "unrepaired",
    "wrong_value",
    "wrong_identity",
    "lost",
    "not_compared",
)
"""What became of a row or file of the key:

as_expected; refused by another rule, or by more; accepted although it should be refused or dropped; refused
although it should be accepted; accepted without the repair on record; accepted with another value; another
enterprise, rung or reason than the right one; nowhere in the lake; nothing to compare with, because the
warehouse lacks the table or was not built.
"""
_SHOWN = 1_000


@dataclass(frozen=True)
class Deviation:
    """A row, or a file when `row_number` is null, that did not end as it should."""

    kind: str
    verdict: str
    feed: str
    file: str
    sheet: str
    row_number: int | None
    expected: str
    found: str


@dataclass
class Comparison:
    """The answer key against one lake."""

    kinds: dict[str, dict[str, int]]
    """Kind of dirt → verdict → rows, and `rows` for all of them."""
    deviations: list[Deviation]
    """The first thousand."""
    clean_rows: int
    clean_refused: int
    clean_repairs: dict[str, int]
    """Rule → clean rows whose harmless differences the reader evened out; the key announces them by file."""
    clean_changed: int
    """Clean rows with a repair that nothing announced."""
    columns_compared: int
    """Columns of files whose clean rows were summed up; files with clean rows that repeat others are left out."""
    columns_altered: int
    """Those whose clean rows do not hold what was sent."""
    unaccounted: int
    """Rows of the files that are nowhere in the lake, in two places of it, or in it without being in a file."""
    remarks: list[str] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything that could be compared is as it should be."""
        wrong = sum(counts.get(verdict, 0) for counts in self.kinds.values() for verdict in VERDICTS[1:-1])
        clean = self.clean_refused + self.clean_changed + self.columns_altered
        return not (wrong or clean or self.unaccounted)

    def to_json(self) -> dict[str, Any]:
        return {"is_right": self.is_right, **asdict(self)}


def compare(settings: Settings) -> Comparison:
    """The answer key of `settings.landing_dir` against `settings.lake_dir`, as far as the lake has read.

    Raises:
        BadInput: the landing folder has no answer key, or the lake has read nothing.
    """
    truth = settings.landing_dir / TRUTH
    for name in (ANSWER_KEY, FILE_ROWS, COLUMN_SUMS):
        if not (truth / name).exists():
            raise BadInput(f"{truth / name} is missing: only a sample city has an answer key")
    with connect(settings) as connection:
        lake = LakeTables(connection, settings)
        lake.read_truth(truth)
        lake.read_lake()
        tables = lake.attach_warehouse()
        judge_rows(lake)
        judge_identities(lake, tables)
        judge_effects(lake, tables)
        judge_files(lake)
        judge_clean_values(lake)
        return _result(lake)


def _result(lake: LakeTables) -> Comparison:
    kinds: dict[str, dict[str, int]] = {}
    for kind, verdict, rows in lake.run(
        """select k.kind, v.verdict, count(distinct k.id) from key k
            join (select id, coalesce(max(verdict) filter (verdict <> 'as_expected'), 'as_expected') as verdict
                  from verdicts group by id) v on v.id = k.id
            group by all order by all"""
    ):
        counts = kinds.setdefault(kind, {"rows": 0})
        counts[verdict] = rows
        counts["rows"] += rows
    in_key = f"from key k where k.row_number is not null and {PLACE}"
    whole = "select file from key where outcome = 'refused'"
    lake.run(
        f"""create table clean_refused as
            select distinct q.feed, q.file, q.sheet, q.row_number, q.rule from refused q
            where not exists ({in_key.format("q")}) and q.file not in ({whole})"""
    )
    lake.run(
        f"""create table clean_repairs as
            select r.feed, r.file, r.sheet, r.row_number, r.rule, r."column", exists (
                from key k where k.outcome = 'file' and k.file = r.file and k.rule = r.rule
                    and k."column" = r."column") as is_announced
            from repairs r where not exists ({in_key.format("r")})"""
    )
    lake.run(
        f"""create table astray as
            with found as (
                select feed, file, sheet, row_number from accepted
                union all select feed, file, sheet, row_number from dropped
                union all select distinct feed, file, sheet, row_number from refused
                    where row_number > 0 or file not in ({whole})
            ),
            counted as (select feed, file, sheet, row_number, count(*) as places from found group by all)
            select coalesce(e.feed, c.feed) as feed, coalesce(e.file, c.file) as file,
                coalesce(e.sheet, c.sheet) as sheet, coalesce(e.row_number, c.row_number) as row_number,
                case when e.file is null then 'in no file' when c.file is null then 'nowhere'
                    else 'in ' || c.places || ' places' end as found
            from expected_rows e full join counted c on e.feed = c.feed and e.file = c.file
                and e.sheet = c.sheet and e.row_number = c.row_number
            where e.file is null or c.file is null or c.places > 1"""
    )
    deviations = [
        Deviation(*row)
        for row in lake.run(
            f"""select k.kind, v.verdict, k.feed, k.file, k.sheet, k.row_number,
                    k.outcome || ' ' || k.rule || ' ' || k.expected, v.found
                from verdicts v join key k on k.id = v.id
                where v.verdict not in ('as_expected', 'not_compared')
                union all select 'clean row', 'refused', feed, file, sheet, row_number, '', rule from clean_refused
                union all select 'clean row', 'wrong_value', feed, file, sheet, row_number, "column", rule
                    from clean_repairs where not is_announced
                union all select 'clean values', 'wrong_value', feed, file, sheet, null, "column" || ': ' || expected,
                    found from altered
                union all select 'row', 'lost', feed, file, sheet, row_number, '', found from astray
                order by all limit {_SHOWN}"""
        )
    ]
    repairs = lake.run(
        """select rule, count(distinct (file, sheet, row_number)) from clean_repairs where is_announced
            group by rule order by rule"""
    )
    [(expected, in_key_rows, refused, changed, compared, altered, astray)] = lake.run(
        """select (select count(*) from expected_rows),
                (select count(distinct (file, sheet, row_number)) from key where row_number is not null),
                (select count(distinct (file, sheet, row_number)) from clean_refused),
                (select count(distinct (file, sheet, row_number)) from clean_repairs where not is_announced),
                (select count(*) from compared_sums),
                (select count(*) from altered),
                (select count(*) from astray)"""
    )
    return Comparison(
        kinds=kinds,
        deviations=deviations,
        clean_rows=expected - in_key_rows,
        clean_refused=refused,
        clean_repairs=dict(repairs),
        clean_changed=changed,
        columns_compared=compared,
        columns_altered=altered,
        unaccounted=astray,
        remarks=lake.remarks,
    )
