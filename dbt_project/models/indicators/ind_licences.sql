{# Licences in force, and those that expired or lapsed within the period without a later one of the same name. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{ effect_periods_at({"expired": ["licence", "expired"], "evidence": ["evidence", "any"]}) }}
    ),
    licences as (
        select
            p.as_of_date,
            l.uscc,
            coalesce(l.licence_name, l.licence_no, l.document_no) as licence,
            max(
                case
                    when l.licence_status = 'invalid'
                    then least(coalesce(l.valid_to, l.known_from), l.known_from)
                    else coalesce(l.valid_to, cast('9999-12-31' as date))
                end
            ) as last_day,
            max(l.decision_date) as last_decision_date,
            {{ add_months("p.as_of_date", "-max(p.expired_months)") }} as expired_after,
            {{ add_months("p.as_of_date", "-max(p.evidence_months)") }} as evidence_after
        from {{ ref("stg_licences") }} as l
        join periods as p on {{ counts_on("l", "p.as_of_date") }} and l.decision_date <= p.as_of_date
        group by p.as_of_date, l.uscc, coalesce(l.licence_name, l.licence_no, l.document_no)
    )
select
    as_of_date,
    uscc,
    count(case when last_day >= as_of_date then 1 end) as valid_licence_count,
    count(case when last_day < as_of_date and last_day >= expired_after then 1 end) as expired_licence_count,
    count(
        case when last_day >= as_of_date or last_decision_date > evidence_after then 1 end
    ) as evidence_count
from licences
group by as_of_date, uscc
