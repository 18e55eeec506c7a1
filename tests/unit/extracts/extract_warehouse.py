"""A small warehouse with every table that extracts read: the unit U supervises 1 and 2, V supervises 3; V leads a joint visit."""

from __future__ import annotations

from datetime import date

import duckdb

DAY = date(2026, 10, 31)
_EVER = "date '2015-01-01' as effective_from, date '9999-12-31' as effective_to"


def extract_warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"""
        create schema grading; create schema enterprises; create schema policy; create schema inspection; create schema staging;
        create schema quality;
        create table enterprises.enterprise_units as select * from (values ('U', '1'), ('U', '2'), ('V', '3'), ('U', '92')) as u(unit_id, uscc);
        create table enterprises.enterprises as
            select uscc, '企业' || uscc as enterprise_name, 'active' as status, '411302' as region, section as industry_section,
                date '2020-01-01' as established_date, safe as is_safety_related, '某路' || uscc || '号' as address,
                kind as subject_kind
            from (values ('1', 'C', true, 'enterprise'), ('2', 'F', false, 'enterprise'), ('3', 'C', true, 'enterprise'),
                ('92', 'F', false, 'individual_business')) as e(uscc, section, safe, kind);
        create table enterprises.enterprise_safety_tags as
            select '1' as uscc, unnest(['food', 'fire']) as tag;
        create table grading.enterprise_grades as
            select uscc, grade as platform_grade, date '2026-10-31' as as_of_date, 3::bigint as data_completeness, 'p' as policy_version,
                'm' as model_digest from (values ('1', 'A'), ('2', 'B'), ('3', 'E')) as g(uscc, grade);
        create table grading.unit_grades as select 'U' as unit_id, '1' as uscc, 'A' as unit_grade;
        create table grading.grade_reasons (uscc varchar, reason_rank integer, indicator varchar, indicator_value bigint,
            norm_micro bigint, points_over bigint, peer_level varchar);
        create table grading.grade_history (uscc varchar, old_grade varchar, new_grade varchar, as_of_date date, reason varchar);
        create table grading.grade_vetoes (uscc varchar, label varchar, record_no varchar, event_date date, veto_grade varchar, veto varchar);
        create table grading.grade_evidence as
            select x.uscc, 'risky_related_bp' as indicator, x.feed, x.record_no, date '2026-01-01' as event_date,
                null::date as effect_end, 'f.csv' as source_file, null::varchar as source_sheet, 2::bigint as source_row,
                date '2026-10-31' as ingest_date
            from (values ('1', 'related_parties', '2'), ('1', 'related_parties', '3'), ('1', 'related_parties', 'P589'),
                ('1', 'industry_ratings', 'tax 2025'), ('3', 'penalties', '〔2026〕1号')) as x(uscc, feed, record_no);

        create table policy.indicators as
            select 'risky_related_bp' as indicator, '关联企业风险占比' as label, 'basis points' as unit, null::bigint as window_months, {_EVER};
        create table policy.model_policy as select 'grade_validity_months' as parameter, 1 as value, {_EVER};
        create table policy.units as select *, {_EVER} from (values ('U', '甲局', 'market'), ('V', '乙局', 'fire')) as u(unit_id, unit_name, line);
        create table policy.safety_rules as select *, {_EVER} from (values ('food', '食品'), ('fire', '消防重点场所')) as r(tag, label);
        create table policy.inspection_policy as select 'enterprise_visits_per_year' as parameter, 6 as value, {_EVER};
        create table policy.grade_rules as select *, {_EVER} from (values
            ('A', true, 'no_penalty', true, false), ('A', false, 'no_penalty', true, false), ('B', false, 'warning', false, false),
            ('E', true, 'none', false, true)) as g(grade, is_safety_related, first_minor_violation, honours_priority, recheck);
        create table policy.excluded_enterprises (uscc varchar, reason varchar, document_no varchar, approver varchar,
            effective_from date, effective_to date);
        create table policy.extract_options as select *, {_EVER} from (values ('*', 'xlsx', 'yes', ''), ('*', 'csv', 'no', ''),
            ('V', 'csv', 'gb18030', ''), ('*', 'inspector_grade', 'no', '')) as o(unit_id, option, value, description);
        create table quality.quarantined_rows as
            select feed, id as quarantine_id, unit as unit_id, file, null::varchar as sheet, 7::bigint as row_number,
                date '2026-10-30' as ingest_date, status
            from (values ('penalties', 'Q1', 'U', 'penalties/U/a.csv', 'open'), ('penalties', 'Q2', 'U', 'penalties/U/a.csv', 'released'),
                ('penalties', 'Q3', 'V', 'penalties/V/b.csv', 'open'), ('licences', 'Q4', null, 'licences/c.csv', 'open'),
                ('licences', 'Q5', 'U', 'licences/U/d.xls', 'open'), ('licences', 'Q6', 'U', 'licences/U/d.xls', 'open'))
                as q(feed, id, unit, file, status);
        create table quality.identity_review as
            select party as party_key, 'ambiguous_name' as review_reason, name as party_name, null::varchar as uscc_sent,
                'R9' as reg_no, null::varchar as org_code, null::varchar as tax_no, 2::bigint as row_count, 'penalties 2' as rows_by_feed,
                date '2026-10-30' as waiting_since, null::varchar as decision_id, rank::integer as candidate_rank,
                candidate as candidate_uscc, '企业' || candidate as candidate_name, 9000::integer as similarity, '名称相近' as why
            from (values ('P1', '南阳某某有限公司', 1, '1'), ('P1', '南阳某某有限公司', 2, '3'), ('P2', '王小明', null, null),
                ('P3', '他局主体有限公司', 1, '3')) as p(party, name, rank, candidate);
        create table quality.identity_review_senders as
            select party as party_key, unit as unit_id, 'penalties' as feed, 2::bigint as row_count, date '2026-10-30' as waiting_since
            from (values ('P1', 'U'), ('P2', 'U'), ('P3', 'V')) as s(party, unit);
        create table policy.measures as select * replace (rank::bigint as rank), {_EVER} from (values ('A', 1, '无事不扰', '…', 'notice'),
            ('E', 1, '重点监管对象', '…', 'policy default, not law')) as m(grade, rank, title, text_zh, basis);
        create table policy.inspection_item_groups as select *, {_EVER} from (values
            ('GENERAL', '一般事项合并检查', 'general', false), ('SAFETY', '安全重点事项合并检查', 'key', true))
            as g(item_code, item_name, item_kind, is_safety_related);
        create table staging.stg_inspection_items as
            select *, date '2026-01-01' as known_from, null::date as known_to, null::date as void_from, null::date as valid_from,
                null::date as valid_to
            from (values ('M1', '登记事项检查', 'market', 'general', false, null), ('M2', '食品经营检查', 'market', 'key', true, 'C,F'),
                ('M3', '养老机构检查', 'market', 'general', false, 'Q'), ('M4', '合同检查', 'market', 'key', false, null),
                ('F1', '消防设施检查', 'fire', 'key', true, null))
                as i(item_code, item_name, line, item_kind, is_safety_related, industry_sections);
        create table staging.stg_inspectors as
            select unnest(['U-1', 'U-2', 'V-1', 'V-2']) as inspector_id, '张*' as inspector_name, null::date as known_to;
        create table staging.stg_inspection_results as
            select '1' as uscc, date '2026-05-04' as check_date, date '2026-05-05' as known_from, null::date as known_to, null::date as void_from;

        create table inspection.inspection_rounds as select unnest(['P2026GENERAL', 'P2026JOINT']) as plan_id, 1 as round;
        create table inspection.plan_items as select 'P2026GENERAL' as plan_id, 1 as round, 'GENERAL' as item_code, '一般事项合并检查' as item_name;
        create table inspection.inspection_draws as
            select plan_id, 1 as round, date '2026-10-01' as frozen_date, unit_id, item_code, uscc, grade as platform_grade, 1::bigint as rank,
                20::bigint as stratum_size, 1::bigint as quota, 'SECRET-TICKET' as ticket, false as is_top_up, '' as replaces
            from (values ('P2026GENERAL', 'U', 'GENERAL', '1', 'A'), ('P2026GENERAL', 'U', 'SAFETY', '1', 'A'),
                ('P2026GENERAL', 'U', 'M2', '2', 'B'), ('P2026GENERAL', 'V', 'SAFETY', '3', 'E'), ('P2026JOINT', 'V', 'SAFETY', '1', 'A'))
                as d(plan_id, unit_id, item_code, uscc, grade);
        create table inspection.inspection_progress as
            select 'random' as kind, plan_id || '-1-' || unit_id as task_no, plan_id, 1 as round, null::varchar as lead_id, unit_id, uscc,
                false as is_top_up, units, 1 as visits_planned, done as visits_done, reported as reported_units,
                date '2026-10-01' as since_date, date '2026-12-31' as due_date, state, null::date as check_date, outcome, '' as finding,
                61 as days_left
            from (values ('P2026GENERAL', 'U', '1', 'U', 0, '', 'open', ''), ('P2026GENERAL', 'U', '2', 'U', 1, 'U', 'done', 'clean'),
                ('P2026GENERAL', 'V', '3', 'V', 0, '', 'open', ''), ('P2026JOINT', 'V', '1', 'V|U', 1, 'V', 'done', 'problem'))
                as p(plan_id, unit_id, uscc, units, done, reported, state, outcome)
            union all
            select 'case', 'L1', null, null, 'L1', 'U', '2', false, 'U', 1, 0, '', date '2026-10-20', null, 'open', null, '', '', null;
        create table inspection.inspector_assignments as
            select plan_id, 1 as round, unit_id, draw_unit_id, uscc, inspector_id, role, position, 4 as eligible_count, 1 as rank_taken,
                'SECRET-SKIP:recusal' as skipped, 1 as wave
            from (values ('P2026JOINT', 'V', 'V', '1', 'V-1', 'leader', 1), ('P2026JOINT', 'U', 'V', '1', 'U-1', 'member', 2),
                ('P2026GENERAL', 'U', 'U', '1', 'U-1', 'leader', 1), ('P2026GENERAL', 'V', 'V', '3', 'V-2', 'leader', 1))
                as a(plan_id, unit_id, draw_unit_id, uscc, inspector_id, role, position);
        create table inspection.inspection_quotas as
            select 'P2026GENERAL' as plan_id, 1 as round, unnest(['U', 'V']) as unit_id, 'GENERAL' as item_code, 'B' as platform_grade,
                20::bigint as stratum_size, 0::bigint as drawn_before, 500 as ratio_bp, 1 as rounds_due, 1 as rounds_per_year,
                'ceil' as rounding, 1::bigint as target, 1::bigint as quota, 'policy default, not law' as basis, null::varchar as exception_id;
        create table inspection.lead_checks as
            select 'L1' as lead_id, 'complaint' as lead_type, '2' as uscc, 'U' as unit_id, date '2026-10-20' as received_date,
                '标签' as scope, 'M2' as item_code, '12315-1' as source_ref, null::date as closed_date;
        create table inspection.campaign_targets as
            select 'C1' as campaign_id, '燃气安全' as title, unit_id, 'F1' as item_code, uscc, rule, 1 as priority,
                date '2026-09-01' as starts_on, date '2026-12-31' as ends_on, reason as excluded_reason
            from (values ('V', '3', 'always', ''), ('U', '2', 'never', 'never_a_target'), ('U', '1', 'by_rule', '')) as c(unit_id, uscc, rule, reason);
        create table inspection.publication_clock as
            select 'U' as unit_id, 'T9' as task_no, '2' as uscc, 'random' as kind, date '2026-09-01' as check_date,
                date '2026-09-29' as publication_due_date, -18 as publication_days_left, 'overdue' as publication_state,
                false as is_calendar_covered, null::date as rectify_due_date, null::integer as rectification_days_left,
                '' as rectification_state;
        create table inspection.inspection_visits as
            select '1' as uscc, 2026 as visit_year, source, key as visit_key
            from (values ('result', 'a'), ('result', 'a'), ('drawn', 'b'), ('drawn', 'c')) as v(source, key);
    """)
    return connection
