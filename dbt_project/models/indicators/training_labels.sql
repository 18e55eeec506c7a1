{# What was found in the twelve months after each past day: 1 a serious breach, 0 an inspection without one. Whoever
   nobody looked at has no row: the absence of an inspection is not innocence. Empty in the daily build, where no day
   lies twelve months back. Repaired breaches still happened; withdrawn records did not. #}
with
    snapshots as ({{ snapshots() }}),
    horizons as (
        select as_of_date, {{ add_months("as_of_date", parameter("horizon_months")) }} as last_day
        from snapshots
        where {{ add_months("as_of_date", parameter("horizon_months")) }} <= {{ as_of() }}
    ),
    events as (
        select
            'penalty' as event_kind,
            penalty_class as code,
            uscc,
            decision_date as event_date,
            false as is_random,
            cast(null as double) as inclusion_probability
        from {{ ref("stg_penalties") }}
        where known_to is null and not is_withdrawn and not is_no_penalty
        union all
        select
            'serious_violation' as event_kind,
            'listed' as code,
            uscc,
            listed_date as event_date,
            false as is_random,
            cast(null as double) as inclusion_probability
        from {{ ref("stg_serious_violations") }}
        where known_to is null and not is_withdrawn
        union all
        select
            'inspection' as event_kind,
            c.result_code as code,
            r.uscc,
            r.check_date as event_date,
            coalesce(r.origin = 'random', false) as is_random,
            r.inclusion_probability
        from {{ ref("stg_inspection_results") }} as r
        join
            {{ in_force("inspection_result_codes") }} as c
            on position('|' || c.result_code || '|' in '|' || coalesce(r.result_codes, '') || '|') > 0
        where r.known_to is null and not r.is_withdrawn
    ),
    labelled as (
        select e.event_kind, e.uscc, e.event_date, e.is_random, e.inclusion_probability, l.label
        from events as e
        join {{ in_force("label_rules") }} as l on l.event_kind = e.event_kind and l.code = e.code
    ),
    observed as (
        select
            h.as_of_date,
            l.uscc,
            max(cast(l.label as bigint)) as label,
            case
                when max(case when l.is_random then 1 else 0 end) = 1
                then 'random'
                when max(case when l.event_kind = 'inspection' then 1 else 0 end) = 1
                then 'inspection'
                else min(l.event_kind)
            end as observed_by,
            max(case when l.is_random then l.inclusion_probability end) as inclusion_probability
        from horizons as h
        join labelled as l on l.event_date > h.as_of_date and l.event_date <= h.last_day
        group by h.as_of_date, l.uscc
    )
select
    o.as_of_date,
    o.uscc,
    o.label,
    o.observed_by,
    case
        when o.observed_by = 'random' and o.inclusion_probability > 0
        then least(1e0 / o.inclusion_probability, cast({{ parameter("label_weight_limit") }} as double))
        else 1e0
    end as weight
from observed as o
join {{ ref("ind_registrations") }} as e on e.as_of_date = o.as_of_date and e.uscc = o.uscc
