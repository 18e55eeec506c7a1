"""What the tables of all extracts share, prepared once a run: who belongs to which unit, who is left out, names, words.

A unit's enterprises come in scopes: enterprises that the same units supervise have one number. Tables about enterprises
are sorted by it, so that a unit's part is a few runs of rows instead of a join over the whole city.
"""

from __future__ import annotations

INDIVIDUAL = "个体工商户（名称从略）"
"""Stands for an individual business: its name is often a person's (domain brief §6.4), its code is enough to find it."""
_IN_FORCE = "effective_from <= date '{day}' and effective_to >= date '{day}'"

SHARED = (
    f"""
    create or replace temporary table extract_withheld as
    select uscc from policy.excluded_enterprises where {_IN_FORCE}
    """,
    f"""
    create or replace temporary table extract_units as
    select unit_id, unit_name, line from policy.units where {_IN_FORCE}
    """,
    """
    create or replace temporary table extract_register as
    with own as (
        select u.uscc, u.unit_id
        from enterprises.enterprise_units u
        semi join (select uscc from enterprises.enterprises where subject_kind <> 'individual_business') e using (uscc)
        anti join extract_withheld w using (uscc)
    ),
    -- The narrowest unit first, so that neighbours in the order are neighbours on the map.
    supervised as (select uscc, string_agg(unit_id, '|' order by unit_id desc) as units from own group by uscc)
    select uscc, units, cast(dense_rank() over (order by units) as integer) as scope_no
    from supervised order by scope_no, uscc
    """,
    """
    create or replace temporary table extract_scopes as
    select unnest(string_split(units, '|')) as unit_id, scope_no from (select distinct units, scope_no from extract_register)
    order by all
    """,
    f"""
    create or replace temporary table extract_indicators as
    select indicator, label, unit, window_months from policy.indicators where {_IN_FORCE}
    """,
    # Whoever occurs in a task, a lead or a deadline of any unit.
    f"""
    create or replace temporary table extract_names as
    select
        e.uscc, case when e.subject_kind = 'individual_business' then '{INDIVIDUAL}' else e.enterprise_name end as enterprise_name,
        case when e.subject_kind <> 'individual_business' then e.address end as address, e.region,
        coalesce(e.industry_section, '') as industry_section, r.scope_no
    from enterprises.enterprises e
    left join extract_register r using (uscc)
    where e.uscc in (
        select uscc from inspection.inspection_draws
        union select uscc from inspection.inspection_progress
        union select uscc from inspection.lead_checks
        union select uscc from inspection.campaign_targets
        union select uscc from inspection.publication_clock
        union select uscc from inspection.inspector_assignments
    ) and e.uscc not in (select uscc from extract_withheld)
    """,
    # One row per visit and unit that takes part in it: visits of rounds in force, and older ones without a result.
    """
    create or replace temporary table extract_visits as
    select unnest(string_split(p.units, '|')) as part_unit, p.*
    from inspection.inspection_progress p
    left join (select plan_id, round, true as is_current from inspection.inspection_rounds) r using (plan_id, round)
    anti join extract_withheld w using (uscc)
    where p.kind = 'random' and (r.is_current or p.state in ('open', 'overdue'))
    """,
    """
    create or replace temporary table extract_items as
    with groups as (
        select item_code, item_name, item_kind, is_safety_related, true as is_group, '' as line, '' as sections, 0 as place
        from policy.inspection_item_groups where effective_from <= date '{day}' and effective_to >= date '{day}'
    ),
    listed as (
        select
            item_code, item_name, item_kind, is_safety_related, false as is_group, coalesce(line, '') as line,
            replace(coalesce(industry_sections, ''), ',', '|') as sections, 1 as place
        from staging.stg_inspection_items
        where known_from <= date '{day}' and (known_to is null or known_to > date '{day}')
            and (void_from is null or void_from > date '{day}')
            and (valid_from is null or valid_from <= date '{day}') and (valid_to is null or valid_to >= date '{day}')
    )
    select * from groups union all select * from listed
    qualify row_number() over (partition by item_code order by place) = 1
    """,
    """
    create or replace temporary table extract_drawn_items as
    select
        d.plan_id, d.round, d.unit_id, d.uscc, d.item_code, coalesce(i.item_name, d.item_code) as item_name,
        coalesce(i.is_group, false) as is_group, i.item_kind, coalesce(i.is_safety_related, false) as is_safety_item,
        d.platform_grade, d.rank, d.quota, d.stratum_size, d.is_top_up, case when d.replaces in (select uscc from extract_withheld) then '' else coalesce(d.replaces, '') end as replaces,
        coalesce(e.industry_section, '') as industry_section
    from inspection.inspection_draws d
    left join extract_items i using (item_code)
    left join extract_names e using (uscc)
    anti join extract_withheld w using (uscc)
    """,
    """
    create or replace temporary table extract_safety as
    select t.uscc, string_agg(distinct coalesce(r.label, t.tag), '；' order by coalesce(r.label, t.tag)) as safety_tags
    from enterprises.enterprise_safety_tags t
    left join (
        select tag, min(label) as label from policy.safety_rules
        where effective_from <= date '{day}' and effective_to >= date '{day}' group by tag
    ) r using (tag)
    group by t.uscc
    """,
    """
    create or replace temporary table extract_visit_counts as
    with checked as (
        select uscc, max(check_date) as last_checked_on from staging.stg_inspection_results
        where known_from <= date '{day}' and (known_to is null or known_to > date '{day}')
            and (void_from is null or void_from > date '{day}') and check_date <= date '{day}'
        group by uscc
    ),
    counted as (
        select
            uscc, count(distinct visit_key) as visits_counted, count(distinct visit_key) filter (source = 'result') as visits_this_year
        from inspection.inspection_visits where visit_year = year(date '{day}') group by uscc
    )
    select
        uscc, c.last_checked_on, coalesce(v.visits_counted, 0) as visits_counted, coalesce(v.visits_this_year, 0) as visits_this_year,
        coalesce(v.visits_counted - v.visits_this_year, 0) as visits_planned
    from checked c full join counted v using (uscc)
    """,
    """
    create or replace temporary table extract_visit_cap as
    select coalesce(max(cast(value as integer)), 0) as visits from policy.inspection_policy
    where parameter = 'enterprise_visits_per_year' and effective_from <= date '{day}' and effective_to >= date '{day}'
    """,
    """
    create or replace temporary table extract_advice as
    select grade, is_safety_related, first_minor_violation, honours_priority, recheck from policy.grade_rules
    where effective_from <= date '{day}' and effective_to >= date '{day}'
    """,
)
