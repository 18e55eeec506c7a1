{# What was found in the twelve months after each past day: 1 a serious breach, 0 an inspection without one. Whoever
   nobody looked at has no row: the absence of an inspection is not innocence. Empty in the daily build, where no day
   lies twelve months back. Repaired breaches still happened; withdrawn records did not.

   observed_by: what made the label known, the best known chance first. random: a draw of recorded chance; inspection:
   a visit of unknown chance (a case, a campaign, a draw whose chance nobody recorded); penalty, serious_violation: no
   visit, only the outcome, so that the label can be nothing but 1.
   weight: the sum of 1 / chance over the random draws within the horizon, at most label_weight_limit. A horizon laid
   across two yearly rounds looks at every enterprise once on average, so the sum (not 1 / the chance of one round) gives
   each enterprise the weight 1 in expectation.
   observed_unit: the office that looked; training fits it as a nuisance, no score ever contains it. #}
with
    snapshots as ({{ snapshots() }}),
    horizons as (
        select as_of_date, {{ add_months("as_of_date", parameter("horizon_months")) }} as last_day
        from snapshots
        where {{ add_months("as_of_date", parameter("horizon_months")) }} <= {{ as_of() }}
    ),
    units as (select unit_id, min(unit_name) as unit_name from {{ in_force("units") }} as u group by unit_id),
    named_units as (select unit_name, min(unit_id) as unit_id from units group by unit_name),
    events as (
        select
            'penalty' as event_kind,
            penalty_class as code,
            uscc,
            decision_date as event_date,
            cast(null as varchar(20)) as unit_id,
            coalesce(authority_name, source_unit_name) as unit_name,
            cast(null as varchar(200)) as draw_no,
            cast(null as double) as inclusion_probability
        from {{ ref("stg_penalties") }}
        where known_to is null and not is_withdrawn and not is_no_penalty
        union all
        select
            'serious_violation' as event_kind,
            'listed' as code,
            uscc,
            listed_date as event_date,
            cast(null as varchar(20)) as unit_id,
            listing_authority as unit_name,
            cast(null as varchar(200)) as draw_no,
            cast(null as double) as inclusion_probability
        from {{ ref("stg_serious_violations") }}
        where known_to is null and not is_withdrawn
        union all
        select
            'inspection' as event_kind,
            c.result_code as code,
            r.uscc,
            r.check_date as event_date,
            r.unit_id,
            r.authority_name as unit_name,
            coalesce(r.task_no, '') as draw_no,
            case
                when r.origin = 'random' and r.inclusion_probability > 0 then r.inclusion_probability
            end as inclusion_probability
        from {{ ref("stg_inspection_results") }} as r
        join
            {{ in_force("inspection_result_codes") }} as c
            on position('|' || c.result_code || '|' in '|' || coalesce(r.result_codes, '') || '|') > 0
        where r.known_to is null and not r.is_withdrawn
    ),
    labelled as (
        select
            e.event_kind,
            e.uscc,
            e.event_date,
            e.draw_no,
            e.inclusion_probability,
            l.label,
            case
                when e.inclusion_probability is not null
                then '1random'
                when e.event_kind = 'inspection'
                then '2inspection'
                else '3' || e.event_kind
            end as seen,
            coalesce(u.unit_id, n.unit_id, 'unknown') as unit_id
        from events as e
        join {{ in_force("label_rules") }} as l on l.event_kind = e.event_kind and l.code = e.code
        left join units as u on u.unit_id = e.unit_id
        left join named_units as n on n.unit_name = e.unit_name
    ),
    -- One visit may carry several codes and several items: it is one draw.
    visits as (
        select
            h.as_of_date,
            l.uscc,
            l.seen,
            l.draw_no,
            max(l.label) as label,
            min(l.event_date) as event_date,
            min(l.unit_id) as unit_id,
            max(l.inclusion_probability) as inclusion_probability
        from horizons as h
        join labelled as l on l.event_date > h.as_of_date and l.event_date <= h.last_day
        group by h.as_of_date, l.uscc, l.seen, l.draw_no
    ),
    observed as (
        select
            as_of_date,
            uscc,
            max(label) as label,
            min(seen || '|' || cast(event_date as varchar(10)) || '|' || unit_id) as first_look,
            sum(1e0 / inclusion_probability) as weight
        from visits
        group by as_of_date, uscc
    )
select
    o.as_of_date,
    o.uscc,
    cast(o.label as bigint) as label,
    substr(o.first_look, 2, position('|' in o.first_look) - 2) as observed_by,
    substr(o.first_look, position('|' in o.first_look) + 12) as observed_unit,
    case
        when o.weight is null
        then 1e0
        else least(o.weight, cast({{ parameter("label_weight_limit") }} as double))
    end as weight
from observed as o
join {{ ref("ind_registrations") }} as e on e.as_of_date = o.as_of_date and e.uscc = o.uscc
