{# What each round in force inspects: groups of items of the policy, and items of the list of inspection items, as they
   were valid on the day of the freeze (until then: on the as-of day). A code that is in neither has no row; a test says
   so. A general item may have a cap on its ratio, a key item has none. #}
with
    rounds as (
        select r.*, coalesce(f.frozen_date, {{ as_of() }}) as valid_day
        from {{ ref("inspection_rounds") }} as r
        left join {{ frozen_rounds() }} as f on f.plan_id = r.plan_id and f.round = r.round
    ),
    grouped as (
        select
            r.plan_id,
            r.round,
            g.item_code,
            g.item_name,
            g.item_kind,
            g.is_safety_related,
            coalesce(g.safety_tag, '') as safety_tag,
            coalesce(g.industry_sections, '') as industry_sections,
            coalesce(g.required_skill, '') as required_skill,
            coalesce(g.max_ratio_bp, 10000) as max_ratio_bp
        from rounds as r
        join
            {{ ref("inspection_item_groups") }} as g
            on g.effective_from <= r.valid_day
            and g.effective_to >= r.valid_day
            and {{ list_has("r.item_codes", "g.item_code") }}
    ),
    listed as (
        select
            r.plan_id,
            r.round,
            i.item_code,
            i.item_name,
            i.item_kind,
            i.is_safety_related,
            '' as safety_tag,
            coalesce(i.industry_sections, '') as industry_sections,
            '' as required_skill,
            case
                when i.item_kind = 'key'
                then 10000
                else coalesce({{ inspection_parameter("general_item_max_ratio_bp") }}, 10000)
            end as max_ratio_bp
        from rounds as r
        join
            {{ ref("stg_inspection_items") }} as i
            on i.known_from <= r.valid_day
            and (i.known_to is null or i.known_to > r.valid_day)
            and (i.void_from is null or i.void_from > r.valid_day)
            and coalesce(i.valid_from, r.valid_day) <= r.valid_day
            and coalesce(i.valid_to, r.valid_day) >= r.valid_day
            and {{ list_has("r.item_codes", "i.item_code") }}
        left join grouped as g on g.plan_id = r.plan_id and g.round = r.round and g.item_code = i.item_code
        where g.item_code is null
    ),
    items as (
        select *
        from grouped
        union all
        select *
        from listed
    )
select
    plan_id,
    round,
    item_code,
    item_name,
    item_kind,
    is_safety_related,
    safety_tag,
    industry_sections,
    required_skill,
    cast(max_ratio_bp as integer) as max_ratio_bp
from items
