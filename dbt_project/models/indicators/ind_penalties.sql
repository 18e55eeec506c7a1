{# Penalties within their effect period (minor 3, ordinary 12, serious 36 months from the decision); repaired, withdrawn
   and no-penalty decisions weigh nothing. #}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"evidence": ["evidence", "any"]}) }}),
    penalties as (
        select
            s.as_of_date,
            p.uscc,
            p.penalty_class,
            p.decision_date,
            coalesce(p.fine_fen, 0) + coalesce(p.confiscated_fen, 0) as amount_fen,
            e.weight,
            {{ add_months("p.decision_date", "e.effect_months") }} > s.as_of_date as in_effect,
            p.decision_date > {{ add_months("s.as_of_date", "-s.evidence_months") }} as is_evidence
        from {{ ref("stg_penalties") }} as p
        join periods as s on {{ counts_on("p", "s.as_of_date") }} and p.decision_date <= s.as_of_date
        join
            {{ ref("effect_periods") }} as e
            on e.record_kind = 'penalty'
            and e.record_class = p.penalty_class
            and e.effective_from <= s.as_of_date
            and e.effective_to >= s.as_of_date
        where not p.is_no_penalty
    )
select
    as_of_date,
    uscc,
    cast(sum(case when in_effect then weight else 0 end) as bigint) as penalty_weight,
    cast(sum(case when in_effect then amount_fen else 0 end) as bigint) as penalty_fine_fen,
    count(case when in_effect and penalty_class = 'serious' then 1 end) as serious_penalty_count,
    count(case when in_effect then 1 end) as negative_count,
    count(case when decision_date > {{ add_months("as_of_date", "-12") }} then 1 end) as negative_count_12m,
    count(case when is_evidence then 1 end) as evidence_count
from penalties
where in_effect or is_evidence
group by as_of_date, uscc
