{# Changes of the register's entries (异常变动). A capital was decreased when two amounts of one unit and currency say so. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{ effect_periods_at({"change": ["registration_change", "any"], "evidence": ["evidence", "any"]}) }}
    ),
    changes as (
        select
            {{
                evidence_columns(
                    "c",
                    "c.changed_field || coalesce(' ' || cast(c.sequence as varchar(20)), '')",
                    "c.change_date",
                )
            }},
            c.changed_field,
            c.change_date > {{ add_months("p.as_of_date", "-p.change_months") }} as in_effect,
            c.changed_field = 'capital'
            and {{ remove_pattern("c.old_value", "[0-9.,]") }}
            = {{ remove_pattern("c.new_value", "[0-9.,]") }}
            and try_cast({{ remove_pattern("c.new_value", "[^0-9.]") }} as double)
            < try_cast({{ remove_pattern("c.old_value", "[^0-9.]") }} as double) as is_decrease
        from {{ ref("stg_registration_changes") }} as c
        join
            periods as p
            on {{ counts_on("c", "p.as_of_date") }}
            and c.change_date <= p.as_of_date
            and c.change_date > {{ add_months("p.as_of_date", "-p.evidence_months") }}
    )
select
    {{ evidence_names() }},
    {{
        one_if(
            "in_effect and changed_field in ('name', 'address', 'legal_representative', 'capital', 'shareholder')"
        )
    }}
    as change_count,
    {{ one_if("in_effect and changed_field = 'legal_representative'") }} as representative_change_count,
    {{ one_if("in_effect and changed_field = 'address'") }} as address_change_count,
    {{ one_if("in_effect and changed_field = 'name'") }} as name_change_count,
    {{ one_if("in_effect and changed_field = 'shareholder'") }} as shareholder_change_count,
    {{ one_if("in_effect and changed_field = 'scope'") }} as scope_change_count,
    {{ one_if("in_effect and is_decrease") }} as capital_decrease_count,
    cast(1 as bigint) as evidence_count
from changes
