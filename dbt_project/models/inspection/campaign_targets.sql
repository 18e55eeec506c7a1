{# The list of each campaign (专项整治) in force: all objects of its units in its scope, those left out with their reason.
   B is never a target, nor is A unless enterprise and campaign concern safety (grade_rules); C only where the campaign
   names the grade, D first (priority 2), E always (priority 1). #}
with
    campaigns as (
        select
            campaign_id,
            title,
            coalesce(unit_id, '*') as unit_id,
            coalesce(item_code, '') as item_code,
            coalesce(region_prefix, '') as region_prefix,
            coalesce(industry_prefixes, '') as industry_prefixes,
            coalesce(safety_tag, '') as safety_tag,
            coalesce(grades, '') as grades,
            starts_on,
            ends_on
        from {{ in_force("campaigns") }} as c
        where starts_on <= {{ as_of() }} and ends_on >= {{ as_of() }}
    ),
    items as (
        select item_code, is_safety_related
        from {{ in_force("inspection_item_groups") }} as g
        union all
        select i.item_code, i.is_safety_related
        from {{ ref("stg_inspection_items") }} as i
        left join {{ in_force("inspection_item_groups") }} as g on g.item_code = i.item_code
        where {{ counts_on("i", as_of()) }} and g.item_code is null
    ),
    -- A campaign without an item concerns safety if its scope is a safety tag.
    scopes as (
        select c.*, coalesce(i.is_safety_related, c.safety_tag <> '') as concerns_safety
        from campaigns as c
        left join items as i on i.item_code = c.item_code
    ),
    neutral as (
        select min(grade) as grade
        from {{ in_force("data_poor_rules") }} as d
        where path = 'insufficient_data'
    ),
    objects as (
        select
            s.campaign_id,
            s.title,
            s.item_code,
            s.grades,
            s.starts_on,
            s.ends_on,
            m.unit_id,
            e.uscc,
            e.is_active,
            e.is_gradable_kind,
            g.platform_grade as given_grade,
            coalesce(g.platform_grade, n.grade) as platform_grade,
            e.is_safety_related and s.concerns_safety as is_safety_related
        from scopes as s
        cross join neutral as n
        join {{ ref("enterprise_units") }} as m on s.unit_id in ('*', m.unit_id)
        join {{ ref("enterprises") }} as e on e.uscc = m.uscc and {{ in_scope("s") }}
        left join {{ ref("enterprise_grades") }} as g on g.uscc = e.uscc
    )
select
    {{ as_of() }} as as_of_date,
    o.campaign_id,
    o.title,
    o.unit_id,
    o.item_code,
    o.uscc,
    o.platform_grade,
    o.is_safety_related,
    o.starts_on,
    o.ends_on,
    r.campaign as rule,
    cast(case r.campaign when 'always' then 1 when 'priority' then 2 else 3 end as integer) as priority,
    case
        when not o.is_active
        then 'not_active'
        when not o.is_gradable_kind or o.given_grade is null
        then 'kind_not_graded'
        when r.campaign is null or r.campaign = 'never'
        then 'never_a_target'
        when r.campaign = 'by_rule' and not {{ list_has("o.grades", "o.platform_grade") }}
        then 'grade_not_named'
        else ''
    end as excluded_reason
from objects as o
left join
    {{ in_force("grade_rules") }} as r
    on r.grade = o.platform_grade
    and r.is_safety_related = o.is_safety_related
