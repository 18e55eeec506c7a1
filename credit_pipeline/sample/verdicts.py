"""What became of every row and file of the answer key, as verdicts in a DuckDB table.

Here: the rules of judging; each looks a row up in the lake's own tables. Not here: reading them (lake_tables),
what ought to become of a row (dirt*), the table that people see (comparison).
"""

from __future__ import annotations

from credit_pipeline.feeds.catalogue import feed_names, get_feed
from credit_pipeline.sample.column_sums import measure_sql
from credit_pipeline.sample.lake_tables import LakeTables

PLACE = "k.feed = {0}.feed and k.file = {0}.file and k.sheet = {0}.sheet and k.row_number = {0}.row_number"


def judge_rows(lake: LakeTables) -> None:
    """Table `verdicts` (id, verdict, found) of the key's rows, identities and effects aside."""
    lake.run(
        f"""create table places as
            select k.id, k.outcome,
                (select count(*) from accepted a where {PLACE.format("a")}) as accepted,
                (select count(*) from dropped d where {PLACE.format("d")}) as dropped,
                (select list(distinct rule order by rule) from refused q where {PLACE.format("q")}) as rules,
                (select count(*) from repairs r where {PLACE.format("r")}
                    and r.rule = k.rule and r."column" = k."column") as repairs
            from key k where k.row_number is not null"""
    )
    lake.run("create table stored (id bigint, found varchar, is_open_ended boolean, has_uscc boolean)")
    for feed in feed_names():
        columns = [
            name
            for (name,) in lake.run(
                f"""select distinct "column" from key
                    where feed = '{feed}' and row_number is not null and "column" <> '' order by 1"""
            )
        ]
        stored = {column.name: column for column in get_feed(feed).stored_columns}
        known = [name for name in columns if name in stored]
        if not known:
            continue
        values = " ".join(f"when '{name}' then cast(r.\"{name}\" as varchar)" for name in known)
        flags = " ".join(
            f"when '{name}' then r.\"{name}_is_open_ended\"" for name in known if stored[name].open_ended
        )
        lake.run(
            f"""insert into stored
                select k.id, case k."column" {values} end,
                    {f'case k."column" {flags} end' if flags else "cast(null as boolean)"},
                    {"r.uscc is not null" if get_feed(feed).has_uscc else "cast(null as boolean)"}
                from key k join {lake.raw(feed)} r on k.file = r.source_file
                    and k.sheet = coalesce(r.source_sheet, '') and k.row_number = r.source_row
                where k.feed = '{feed}'"""
        )
    lake.run(
        """create table verdicts as
            select k.id,
                case
                    when p.accepted = 0 and p.dropped = 0 and p.rules is null then 'lost'
                    when k.outcome = 'quarantined' then
                        case when p.rules is null then 'accepted' when p.rules <> [k.rule] then 'other_rule'
                            else 'as_expected' end
                    when p.rules is not null then 'refused'
                    when k.outcome = 'duplicate' then
                        case when p.dropped = 0 then 'accepted' else 'as_expected' end
                    when p.accepted = 0 then 'lost'
                    when k.outcome in ('identified', 'review') then
                        case when s.has_uscc then 'wrong_identity' else 'not_compared' end
                    when k.outcome = 'repaired' and p.repairs = 0 then
                        case when coalesce(s.found, '') = k.expected then 'unrepaired' else 'wrong_value' end
                    when k."column" <> '' and coalesce(s.found, '') <> k.expected then 'wrong_value'
                    when k.kind = 'date_open_ended' and s.is_open_ended is not true then 'wrong_value'
                    else 'as_expected'
                end as verdict,
                case when p.rules is not null then array_to_string(p.rules, '+')
                    when p.dropped > 0 then 'dropped as duplicate' else coalesce(s.found, '') end as found
            from key k join places p on p.id = k.id left join stored s on s.id = k.id
            where k.row_number is not null"""
    )


def judge_identities(lake: LakeTables, tables: set[str]) -> None:
    """Rows without a code: the enterprise and the rung, or the reason of the review."""
    if not {"staging.unidentified_rows", "staging.party_identities"} <= tables:
        if tables:
            lake.remarks.append("the warehouse has no party_identities: identities are not compared")
        return
    lake.run(
        """create table identities as
            select v.id, i.uscc, coalesce(i.rung, i.review_reason) as reason,
                case
                    when i.party_key is null then 'not in unidentified_rows'
                    when k.outcome = 'identified' and i.uscc = k.expected and i.rung = k.rule then ''
                    when k.outcome = 'review' and i.uscc is null and i.review_reason = k.rule then ''
                    else coalesce(i.uscc, 'nobody') || ' ' || coalesce(i.rung, i.review_reason, '')
                end as wrong
            from verdicts v
            join key k on k.id = v.id
            left join warehouse.staging.unidentified_rows u on u.feed = k.feed and u.source_file = k.file
                and coalesce(u.source_sheet, '') = k.sheet and u.source_row = k.row_number
            left join warehouse.staging.party_identities i on i.party_key = u.party_key
            where v.verdict = 'not_compared' and k.outcome in ('identified', 'review')"""
    )
    lake.run(
        """update verdicts set found = i.wrong,
                verdict = case when i.wrong = '' then 'as_expected' else 'wrong_identity' end
            from identities i where i.id = verdicts.id"""
    )


_EFFECTS = {
    # Kinds of accepted rows → what must be true of their version in the warehouse.
    ("withdrawal", "withdrawal_before_original", "withdrawal_other_file", "withdrawal_before_arrival"): (
        "count(*) filter (where s.known_to is null and s.is_withdrawn) = 1"
    ),
    ("original_after_withdrawal",): "count(*) filter (where s.known_to is null and not s.is_withdrawn) = 0",
    ("record_after_repair",): "count(*) filter (where s.known_to is null and s.void_from is not null) = 1",
    ("version", "correction_unseen", "several_parties", "dead_enterprise", "old_name", "branch"): (
        "count(*) = 1"
    ),
}


def judge_effects(lake: LakeTables, tables: set[str]) -> None:
    """What accepted rows do: withdrawals and repairs stand whenever they come, deletions end nothing, corrected
    rows release."""
    for kinds, holds in _EFFECTS.items():
        among = ", ".join(f"'{kind}'" for kind in kinds)
        for (feed,) in lake.run(f"select distinct feed from key where kind in ({among}) order by 1"):
            if f"staging.stg_{feed}" not in tables:
                continue
            _fail(
                lake,
                f"""select k.id from key k join verdicts v on v.id = k.id
                    left join warehouse.staging.stg_{feed} s on s.source_file = k.file
                        and coalesce(s.source_sheet, '') = k.sheet and s.source_row = k.row_number
                    where k.feed = '{feed}' and v.verdict = 'as_expected'
                        and k.kind in ({among})
                    group by k.id having not ({holds})""",
                "another version stands in the warehouse",
            )
    if "quality.quarantined_rows" in tables:
        _fail(
            lake,
            """select k.id from key k join verdicts v on v.id = k.id
                where k.kind = 'corrected_again' and v.verdict = 'as_expected' and not exists (
                    from warehouse.quality.quarantined_rows q
                    where q.feed = k.feed and q.status = 'released' and q.released_by_file = k.file
                        and q.released_by_row = k.row_number)""",
            "released no refused row",
        )
    gone = "k.kind = 'silent_deletion'"
    for table, known, wrong in (
        (
            "staging.stg_registrations",
            "s.uscc = k.expected and s.known_to is null and s.status = 'active' and s.void_from is null",
            "no longer active in the warehouse",
        ),
        ("quality.silent_deletions", "s.uscc = k.expected and s.status = 'open'", "not noticed"),
    ):
        if table in tables:
            lake.run(
                f"""insert into verdicts
                    select k.id, case when count(s.uscc) = 0 then 'wrong_value' else 'as_expected' end,
                        case when count(s.uscc) = 0 then '{wrong}' else '' end
                    from key k left join warehouse.{table} s on {known}
                    where {gone} and k.id not in (select id from verdicts where verdict <> 'as_expected')
                    group by k.id"""
            )


def _fail(lake: LakeTables, ids: str, why: str) -> None:
    lake.run(f"create or replace table failed as {ids}")
    lake.run(
        f"update verdicts set verdict = 'wrong_value', found = '{why}' where id in (select id from failed)"
    )


def judge_files(lake: LakeTables) -> None:
    """Whole files: peculiarities that a reader copes with, refusals by their rule, known contents."""
    lake.run(
        """create table file_verdicts as
            with entries as (
                select k.*, split_part(k.file, '!', 1) as landing_file from key k
                where k.outcome in ('file', 'refused', 'skipped')
            ),
            compared as (
                select k.id, k.kind, k.outcome, k.rule, k.file, count(l.file) as known,
                    coalesce(sum(l.accepted), 0) as accepted,
                    coalesce(sum(l.dropped), 0) as dropped,
                    coalesce(string_agg(l.encoding, '+'), '') as encoding,
                    coalesce(list_sort(list_distinct(flatten(list(list_transform(l.problems, p -> p.rule))))), [])
                        as rules
                from entries k left join ledger l on l.feed = k.feed and l.file = k.landing_file
                group by all
            )
            select id,
                case
                    when outcome = 'skipped' then case when known = 0 then 'as_expected' else 'accepted' end
                    when known = 0 then 'lost'
                    when outcome = 'refused' then
                        case when accepted > 0 or rules = [] then 'accepted' when rules <> [rule] then 'other_rule'
                            else 'as_expected' end
                    when rules <> [] then 'refused'
                    when kind = 'encoding_gb18030' and encoding <> 'gb18030' then 'wrong_value'
                    when kind = 'encoding_utf8_bom' and not contains(encoding, 'utf-8') then 'wrong_value'
                    when kind = 'personal_data' and dropped = 0 then 'wrong_value'
                    else 'as_expected'
                end as verdict,
                case when kind like 'encoding%' then encoding else array_to_string(rules, '+') end as found
            from compared"""
    )
    lake.run("insert into verdicts select * from file_verdicts")


def judge_clean_values(lake: LakeTables) -> None:
    """Tables `compared_sums` and `altered`: columns of files whose clean rows do not hold what was sent; files of which clean rows were
    dropped as duplicates of others are left out."""
    lake.run(
        """create table found_sums (feed varchar, file varchar, sheet varchar, rows bigint, "column" varchar,
            filled bigint, measure bigint)"""
    )
    for (feed,) in lake.run("select distinct feed from expected_sums order by 1"):
        names = {name for (name,) in lake.run(f"select \"column\" from expected_sums where feed = '{feed}'")}
        columns = [column for column in get_feed(feed).stored_columns if column.name in names]
        sums = ", ".join(
            f'count("{one.name}") as filled_{place}, {measure_sql(one)} as measure_{place}'
            for place, one in enumerate(columns)
        )
        lake.run(
            f"""create or replace temp table sums as
                select source_file as file, coalesce(source_sheet, '') as sheet, count(*) as rows, {sums}
                from {lake.raw(feed)} r
                where not exists (from key k where k.feed = '{feed}' and k.file = r.source_file
                    and k.sheet = coalesce(r.source_sheet, '') and k.row_number = r.source_row)
                group by all"""
        )
        for place, one in enumerate(columns):
            lake.run(
                f"""insert into found_sums
                    select '{feed}', file, sheet, rows, '{one.name}', filled_{place}, measure_{place} from sums"""
            )
    lake.run(
        """create table compared_sums as
            select e.feed, e.file, e.sheet, e."column",
                e.filled || ' values, measure ' || e.measure as expected,
                f.filled || ' values, measure ' || f.measure as found
            from expected_sums e join found_sums f on f.feed = e.feed and f.file = e.file
                and f.sheet = e.sheet and f."column" = e."column" and f.rows = e.rows"""
    )
    lake.run("create table altered as from compared_sums where found <> expected")
