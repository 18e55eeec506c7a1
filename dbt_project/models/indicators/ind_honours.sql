{# Honours in force: until they expire, or for the policy's period when no expiry is given. #}
with
    snapshots as ({{ snapshots() }}),
    honours as (
        select
            s.as_of_date,
            h.uscc,
            e.weight,
            case
                when h.valid_to is not null
                then h.valid_to
                when coalesce(h.valid_to_is_open_ended, false)
                then cast('9999-12-31' as date)
                else {{ add_months("h.awarded_date", "e.effect_months") }}
            end as last_day
        from {{ ref("stg_honours") }} as h
        join snapshots as s on {{ counts_on("h", "s.as_of_date") }} and h.awarded_date <= s.as_of_date
        join
            {{ ref("effect_periods") }} as e
            on e.record_kind = 'honour'
            and e.record_class = coalesce(h.honour_level, 'county')
            and e.effective_from <= s.as_of_date
            and e.effective_to >= s.as_of_date
    )
select as_of_date, uscc, cast(sum(weight) as bigint) as honour_points, count(*) as evidence_count
from honours
where last_day >= as_of_date
group by as_of_date, uscc
