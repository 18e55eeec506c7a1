{# Frequent changes of name, address, legal representative, capital or shareholders (异常变动). #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{ effect_periods_at({"change": ["registration_change", "any"], "evidence": ["evidence", "any"]}) }}
    )
select
    p.as_of_date,
    c.uscc,
    count(
        case
            when
                c.changed_field in ('name', 'address', 'legal_representative', 'capital', 'shareholder')
                and c.change_date > {{ add_months("p.as_of_date", "-p.change_months") }}
            then 1
        end
    ) as change_count,
    count(*) as evidence_count
from {{ ref("stg_registration_changes") }} as c
join
    periods as p
    on {{ counts_on("c", "p.as_of_date") }}
    and c.change_date <= p.as_of_date
    and c.change_date > {{ add_months("p.as_of_date", "-p.evidence_months") }}
group by p.as_of_date, c.uscc
