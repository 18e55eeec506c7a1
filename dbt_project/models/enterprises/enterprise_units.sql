{# Which units supervise whom: the scopes of the units (region, industry, township) applied to the register. Whoever
   falls in no scope belongs to the market supervision of his county, or else of the city. #}
with
    scopes as (
        select unit_id, region_prefix, industry_section, township
        from {{ in_force("unit_scopes") }} as s
        where unit_id in (select unit_id from {{ in_force("units") }} as u)
    ),
    -- A few thousand distinct places instead of every enterprise against every scope.
    places as (select distinct region, industry_section, township from {{ ref("enterprises") }}),
    scoped as (
        select distinct p.region, p.industry_section, p.township, s.unit_id
        from places as p
        join
            scopes as s
            on {{ starts_with("p.region", "s.region_prefix") }}
            and (s.industry_section is null or s.industry_section = p.industry_section)
            and (s.township is null or s.township = p.township)
    ),
    fallback as (
        select p.region, p.industry_section, p.township, coalesce(c.unit_id, m.unit_id) as unit_id
        from places as p
        left join
            scoped as s
            on s.region = p.region
            and s.industry_section = p.industry_section
            and coalesce(s.township, '') = coalesce(p.township, '')
        left join {{ in_force("units") }} as c on c.line = 'market_supervision' and c.region = p.region
        cross join
            (
                select min(unit_id) as unit_id
                from {{ in_force("units") }} as u
                where line = 'market_supervision' and unit_level = 'city'
            ) as m
        where s.unit_id is null
    ),
    responsible as (
        select region, industry_section, township, unit_id, false as is_fallback
        from scoped
        union all
        select region, industry_section, township, unit_id, true as is_fallback
        from fallback
    )
select r.unit_id, e.uscc, r.is_fallback, e.is_gradable
from {{ ref("enterprises") }} as e
join
    responsible as r
    on r.region = e.region
    and r.industry_section = e.industry_section
    and coalesce(r.township, '') = coalesce(e.township, '')
