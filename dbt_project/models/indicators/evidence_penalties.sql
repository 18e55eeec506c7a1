{# Penalties within their effect period (minor 3, ordinary 12, serious 36 months from the decision) or observed for data
   completeness. Repaired, withdrawn and no-penalty decisions are not here: they weigh nothing anywhere. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"evidence": ["evidence", "any"]}) }}),
    safety_violations as (
        select v.violation_type
        from (select distinct violation_type from {{ ref("stg_penalties") }}) as v
        join
            {{ in_force("safety_violation_words") }} as w on {{ contains_text("v.violation_type", "w.word") }}
        group by v.violation_type
    ),
    decisions as (
        select
            {{ evidence_columns("d", "d.document_no", "d.decision_date") }},
            d.penalty_class,
            d.violation_type,
            coalesce(d.authority_code, d.authority_name) as authority,
            v.violation_type is not null as is_safety,
            coalesce(d.fine_fen, 0) + coalesce(d.confiscated_fen, 0) as amount_fen,
            e.weight,
            {{ add_months("d.decision_date", "e.effect_months") }} > p.as_of_date as in_effect,
            d.decision_date > {{ add_months("p.as_of_date", "-12") }} as is_recent,
            d.decision_date > {{ add_months("p.as_of_date", "-p.evidence_months") }} as is_evidence
        from {{ ref("stg_penalties") }} as d
        join periods as p on {{ counts_on("d", "p.as_of_date") }} and d.decision_date <= p.as_of_date
        join
            {{ ref("effect_periods") }} as e
            on e.record_kind = 'penalty'
            and e.record_class = d.penalty_class
            and e.effective_from <= p.as_of_date
            and e.effective_to >= p.as_of_date
        left join safety_violations as v on v.violation_type = d.violation_type
        where not d.is_no_penalty
    ),
    placed as (
        select
            *,
            row_number() over (
                partition by as_of_date, uscc, in_effect, violation_type order by {{ evidence_order() }}
            ) as place_in_kind,
            row_number() over (
                partition by as_of_date, uscc, in_effect, authority order by {{ evidence_order() }}
            ) as place_at_authority
        from decisions
        where in_effect or is_evidence
    )
select
    {{ evidence_names() }},
    cast(case when in_effect then weight end as bigint) as penalty_weight,
    cast(case when in_effect then amount_fen end as bigint) as penalty_fine_fen,
    {{ one_if("in_effect and is_recent") }} as penalty_count_12m,
    {{ one_if("in_effect") }} as penalty_count_36m,
    {{ one_if("in_effect and penalty_class= 'serious'") }} as serious_penalty_count,
    {{ one_if("in_effect and place_in_kind > 1") }} as repeated_violation_count,
    {{ one_if("in_effect and place_at_authority = 1") }} as penalizing_authority_count,
    {{ one_if("in_effect and is_safety") }} as safety_penalty_count,
    case
        when in_effect then {{ months_between_days("event_date", "as_of_date") }}
    end as months_since_penalty,
    {{ one_if("in_effect") }} as negative_count,
    {{ one_if("is_recent") }} as negative_count_12m,
    {{ one_if("is_evidence") }} as evidence_count
from placed
