{# Every name that an enterprise of the register bears or bore, folded, as far as known by the day: all versions of its
   registration, and what its changes of name say. The changes are read here without the ladder, which needs this table;
   a change of name always has a unified code. #}
with
    renames as (
        {{
            versions(
                "registration_changes",
                business_key=["uscc", "changed_field", "change_date", "sequence"],
                columns=["uscc", "changed_field", "old_value", "new_value", "change_date", "sequence"],
                event_date="change_date",
                identities=false,
            )
        }}
    ),
    withdrawn as (
        select distinct uscc from {{ ref("stg_registrations") }} where known_to is null and is_withdrawn
    ),
    register as (
        select r.uscc, r.enterprise_name, r.known_to is null as is_current
        from {{ ref("stg_registrations") }} as r
        left join withdrawn as w on w.uscc = r.uscc
        where w.uscc is null and not r.is_withdrawn
    ),
    known as (select distinct uscc from register),
    written as (
        select uscc, enterprise_name, is_current
        from register
        union all
        select c.uscc, c.old_value, false
        from renames as c
        join known as k on k.uscc = c.uscc
        where c.changed_field = 'name' and c.known_to is null and not c.is_withdrawn
        union all
        select c.uscc, c.new_value, false
        from renames as c
        join known as k on k.uscc = c.uscc
        where c.changed_field = 'name' and c.known_to is null and not c.is_withdrawn
    ),
    folded as (
        select uscc, enterprise_name, is_current, {{ name_key("enterprise_name") }} as name_key
        from written
        where trim(enterprise_name) <> ''
    )
select
    uscc,
    name_key,
    coalesce(min(case when is_current then enterprise_name end), min(enterprise_name)) as enterprise_name,
    max(case when is_current then 1 else 0 end) = 1 as is_current
from folded
group by uscc, name_key
