{# Honours in force: until they expire, or for the policy's period when no expiry is given. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    honours as (
        select
            {{ evidence_columns("h", "h.document_no", "h.awarded_date", "s.as_of_date") }},
            h.honour_level,
            e.weight,
            {{ last_valid_day("h", "h.awarded_date", "e.effect_months") }} as last_day
        from {{ ref("stg_honours") }} as h
        join snapshots as s on {{ counts_on("h", "s.as_of_date") }} and h.awarded_date <= s.as_of_date
        join
            {{ ref("effect_periods") }} as e
            on e.record_kind = 'honour'
            and e.record_class = coalesce(h.honour_level, 'county')
            and e.effective_from <= s.as_of_date
            and e.effective_to >= s.as_of_date
    )
select
    {{ evidence_names() }},
    cast(weight as bigint) as honour_points,
    {{ one_if("honour_level in ('national', 'provincial')") }} as high_honour_count,
    cast(1 as bigint) as evidence_count
from honours
where last_day >= as_of_date
