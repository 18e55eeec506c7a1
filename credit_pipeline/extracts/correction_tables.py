"""What a unit must mend itself: rows of its own deliveries that were refused, and parties in them that nobody could identify.

Whose a row is, is decided by the quality report (`quality.quarantined_rows`, `quality.identity_review_senders`): by the
unit that the row names, else by the folder of its file. Rows that name no unit stay with the credit office: one unit must
not see what may be another's. Personal data stand as they lie in the lake: masked.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

from credit_pipeline.extracts.extract_table import ExtractTable, words
from credit_pipeline.feeds.catalogue import load_catalogue
from credit_pipeline.feeds.rules import FILE_RULES, REMEDIES, chinese_remedy, rule_label
from credit_pipeline.transform.identity_review import REASONS

_FEED_WORDS = {name: feed.label for name, feed in load_catalogue().items()}
_FILE_RULES = ", ".join(f"'{rule}'" for rule in FILE_RULES)
_NO_QUARANTINE = """
    select
        null::varchar as feed, null::varchar as quarantine_id, null::varchar as "column", null::varchar as rule,
        null::varchar as value, null::varchar as label, null::varchar as row_text
    where false
"""


def read_quarantine(connection: duckdb.DuckDBPyConnection, quarantine_dir: Path | None) -> None:
    """Make what is known of refused rows: which rules they broke, and the row as sent."""
    found = quarantine_dir is not None and any(quarantine_dir.glob("*/*/*.parquet"))
    source = _NO_QUARANTINE
    if found and quarantine_dir is not None:
        pattern = (quarantine_dir / "*" / "*" / "*.parquet").as_posix().replace("'", "''")
        source = f"""
            select feed, quarantine_id, "column", rule, value, label, row_text
            from read_parquet('{pattern}', hive_partitioning = false, union_by_name = true)
            where quarantine_id is not null
        """
    connection.execute(f"create or replace temporary table extract_broken as {source}")


_REFUSED = ExtractTable(
    "refused_rows",
    "本单位报送、未能入库的数据（待更正）",
    f"""
    with open_rows as (
        select unit_id, feed, quarantine_id, file, sheet, row_number, ingest_date
        from quality.quarantined_rows where status = 'open' and unit_id is not null
    ),
    broken as (
        select distinct
            o.*, b.rule, coalesce(b.rule in ({_FILE_RULES}), false) as is_whole, b.row_text,
            coalesce(nullif(b.label, ''), '整行') || case when coalesce(b.value, '') = '' then '' else '“' || b.value || '”' end
            || '：' || {words("b.rule", {rule: rule_label(rule) for rule in REMEDIES})}
            || '。' || {words("b.rule", {rule: chinese_remedy(rule) for rule in REMEDIES})} as problem
        from open_rows o
        left join extract_broken b using (feed, quarantine_id)
    )
    select
        unit_id, {words("feed", _FEED_WORDS)} as feed, feed as feed_folder,
        case when is_whole then null else quarantine_id end as quarantine_id, file, sheet,
        case when is_whole then null else row_number end as row_number,
        count(distinct quarantine_id) as rows_refused, min(ingest_date) as received_on,
        string_agg(distinct problem, ' ' order by problem) as problems,
        max(case when is_whole then null else row_text end) as row_as_sent
    from broken
    -- The row of an enterprise that stands in no extract stays out of this table too.
    where not exists (select 1 from extract_withheld w where contains(row_text, w.uscc))
    group by all
    """,
    {
        "feed": "数据类别",
        "feed_folder": "数据类别代码（更正后的文件放入该目录）",
        "quarantine_id": "隔离编号（更正后随行报回；空为整个文件退回）",
        "file": "来源文件",
        "sheet": "工作表",
        "row_number": "行号（空为整个文件）",
        "rows_refused": "退回行数",
        "received_on": "接收日期",
        "problems": "问题与处理办法",
        "row_as_sent": "报送原文（个人信息已隐去）",
    },
    "by_unit",
    "r.feed_folder, r.received_on, r.file, r.sheet nulls first, r.row_number nulls first, r.quarantine_id",
)
_SENT = {"uscc_sent": "报送代码", "reg_no": "注册号", "org_code": "组织机构代码", "tax_no": "税务登记号"}
_SENT_WORDS = ", ".join(f"'{label} ' || {column}" for column, label in _SENT.items())
_OTHERS = "非本单位监管的企业"
_REVIEW = ExtractTable(
    "parties_to_review",
    "本单位报送数据中无法确定是哪家企业的主体（待核对）",
    f"""
    with senders as (
        select
            party_key, unit_id, sum(row_count)::bigint as row_count, min(waiting_since) as waiting_since,
            string_agg({words("feed", _FEED_WORDS)} || ' ' || row_count, '；' order by feed) as rows_by_feed
        from quality.identity_review_senders group by party_key, unit_id
    )
    select
        s.unit_id, s.party_key,
        -- A name this short is a person's, not an enterprise's.
        case when length(q.party_name) <= 4 then left(q.party_name, 1) || '**' else q.party_name end as party_name,
        concat_ws('；', {_SENT_WORDS}) as codes_sent, {words("q.review_reason", REASONS)} as reason,
        s.row_count, s.rows_by_feed, s.waiting_since, q.candidate_rank,
        case when o.unit_id is not null then q.candidate_uscc end as candidate_uscc,
        case when q.candidate_uscc is null then '' when o.unit_id is null then '{_OTHERS}' else q.candidate_name end as candidate_name,
        case when o.unit_id is not null then q.similarity / 100.0 end as similarity,
        case when o.unit_id is not null then q.why end as why
    from senders s
    join quality.identity_review q using (party_key)
    left join extract_register r on r.uscc = q.candidate_uscc
    left join extract_scopes o on o.unit_id = s.unit_id and o.scope_no = r.scope_no
    anti join extract_withheld w on w.uscc = q.candidate_uscc
    """,
    {
        "party_key": "待核对主体编号（报送核对结论时填入）",
        "party_name": "报送的名称",
        "codes_sent": "报送的代码",
        "reason": "待核对原因",
        "row_count": "涉及本单位报送的数据条数",
        "rows_by_feed": "分类别条数",
        "waiting_since": "待核对起始日",
        "candidate_rank": "候选序号",
        "candidate_uscc": "候选企业统一社会信用代码（仅列本单位监管的）",
        "candidate_name": "候选企业名称",
        "similarity": "名称相似度（百分比）",
        "why": "候选依据",
    },
    "by_unit",
    "r.row_count desc, r.waiting_since, r.party_key, r.candidate_rank",
)
CORRECTION_TABLES = (_REFUSED, _REVIEW)
