{# Inspections within the period by their standard codes, one row per inspection and item; "cannot be inspected" is neither
   good nor bad. What a list of codes means is looked up once per different list. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"inspection": ["inspection", "any"]}) }}),
    meanings as (
        select
            s.as_of_date,
            r.result_codes,
            max(case when c.outcome = 'problem' then 1 else 0 end) as has_problem,
            max(case when c.outcome = 'clean' then 1 else 0 end) as is_clean,
            sum(case when c.outcome = 'problem' then c.problem_weight else 0 end) as problem_weight
        from (select distinct result_codes from {{ ref("stg_inspection_results") }}) as r
        cross join snapshots as s
        join
            {{ ref("inspection_result_codes") }} as c
            on position('|' || c.result_code || '|' in '|' || coalesce(r.result_codes, '') || '|') > 0
            and c.effective_from <= s.as_of_date
            and c.effective_to >= s.as_of_date
        group by s.as_of_date, r.result_codes
    ),
    results as (
        select
            {{ evidence_columns("r", "r.task_no", "r.check_date") }},
            r.result_codes,
            m.problem_weight,
            m.has_problem = 1 as has_problem,
            m.is_clean = 1 as is_clean,
            m.has_problem = 1
            and coalesce(r.rectify_due_date < p.as_of_date, false)
            and (r.rectified_date is null or r.rectified_date > p.as_of_date) as is_overdue,
            r.check_date > {{ add_months("p.as_of_date", "-12") }} as is_recent
        from {{ ref("stg_inspection_results") }} as r
        join
            periods as p
            on {{ counts_on("r", "p.as_of_date") }}
            and r.check_date <= p.as_of_date
            and r.check_date > {{ add_months("p.as_of_date", "-p.inspection_months") }}
        join meanings as m on m.as_of_date = p.as_of_date and m.result_codes = r.result_codes
    )
select
    {{ evidence_names() }},
    cast(
        case when has_problem then problem_weight when is_clean then 0 end as bigint
    ) as inspection_problem_weight,
    {{ one_if("is_clean") }} as inspection_clean_count,
    {{ one_if("has_problem or is_clean") }} as inspection_count,
    cast(
        case when has_problem or is_clean then {{ share_if("has_problem") }} end as bigint
    ) as inspection_problem_bp,
    {{ one_if("is_overdue") }} as overdue_rectification_count,
    {{ one_if(has_code("result_codes", "not_cooperating")) }} as not_cooperating_count,
    {{ one_if(has_code("result_codes", "unreachable")) }} as unreachable_count,
    {{
        one_if(
            has_code("result_codes", "not_published")
            ~ " or "
            ~ has_code("result_codes", "false_publication")
        )
    }} as unpublished_count,
    {{
        one_if(
            has_code("result_codes", "food_drug")
            ~ " or "
            ~ has_code("result_codes", "quality")
            ~ " or "
            ~ has_code("result_codes", "police")
        )
    }} as safety_problem_count,
    {{ one_if("has_problem") }} as negative_count,
    {{ one_if("has_problem and is_recent") }} as negative_count_12m,
    cast(1 as bigint) as evidence_count
from results
