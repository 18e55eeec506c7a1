{# Results of inspections within the period by their standard codes; "cannot be inspected" is neither good nor bad. #}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"inspection": ["inspection", "any"]}) }}),
    results as (
        select p.as_of_date, r.uscc, r.check_date, c.outcome, c.problem_weight
        from {{ ref("stg_inspection_results") }} as r
        join
            periods as p
            on {{ counts_on("r", "p.as_of_date") }}
            and r.check_date <= p.as_of_date
            and r.check_date > {{ add_months("p.as_of_date", "-p.inspection_months") }}
        join
            {{ ref("inspection_result_codes") }} as c
            on position('|' || c.result_code || '|' in '|' || coalesce(r.result_codes, '') || '|') > 0
            and c.effective_from <= p.as_of_date
            and c.effective_to >= p.as_of_date
    )
select
    as_of_date,
    uscc,
    cast(
        sum(case when outcome = 'problem' then problem_weight when outcome = 'clean' then 0 end) as bigint
    ) as inspection_problem_weight,
    count(case when outcome = 'clean' then 1 end) as inspection_clean_count,
    count(case when outcome = 'problem' then 1 end) as negative_count,
    count(
        case when outcome = 'problem' and check_date > {{ add_months("as_of_date", "-12") }} then 1 end
    ) as negative_count_12m,
    count(*) as evidence_count
from results
group by as_of_date, uscc
