{# Licences in force, and those that ended within the period. Versions and successors of one licence go by its name: only
   the one that lasts longest counts, so a renewed licence has not expired. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {
                    "expired": ["licence", "expired"],
                    "expiring": ["licence", "expiring"],
                    "evidence": ["evidence", "any"],
                }
            )
        }}
    ),
    granted as (
        select
            {{
                evidence_columns(
                    "l", "coalesce(l.document_no, l.licence_no, l.licence_name)", "l.decision_date"
                )
            }},
            coalesce(l.licence_name, l.licence_no, l.document_no) as licence,
            case
                when l.licence_status = 'invalid'
                then least(coalesce(l.valid_to, l.known_from), l.known_from)
                else coalesce(l.valid_to, cast('9999-12-31' as date))
            end as last_day,
            coalesce(
                l.licence_status = 'invalid' and (l.valid_to is null or l.valid_to > l.known_from), false
            ) as is_ended_early,
            {{ add_months("p.as_of_date", "-p.expired_months") }} as expired_after,
            {{ add_months("p.as_of_date", "p.expiring_months") }} as expiring_before,
            {{ add_months("p.as_of_date", "-p.evidence_months") }} as evidence_after
        from {{ ref("stg_licences") }} as l
        join periods as p on {{ counts_on("l", "p.as_of_date") }} and l.decision_date <= p.as_of_date
    ),
    placed as (
        select
            *,
            row_number() over (
                partition by as_of_date, uscc, licence
                order by
                    last_day desc nulls last,
                    event_date desc nulls last,
                    record_no asc nulls first,
                    source_file asc nulls first,
                    source_sheet asc nulls first,
                    source_row asc nulls first
            ) as place,
            max(event_date) over (partition by as_of_date, uscc, licence) as last_decision_date
        from granted
    )
select
    {{ evidence_names() }},
    {{ one_if("last_day >= as_of_date") }} as valid_licence_count,
    {{ one_if("last_day < as_of_date and last_day >= expired_after") }} as expired_licence_count,
    {{ one_if("last_day >= as_of_date and last_day < expiring_before") }} as expiring_licence_count,
    {{ one_if("last_day < as_of_date and last_day >= expired_after and is_ended_early") }}
    as revoked_licence_count,
    {{ one_if("last_day >= as_of_date or last_decision_date > evidence_after") }} as evidence_count
from placed
where place = 1 and (last_day >= expired_after or last_decision_date > evidence_after)
