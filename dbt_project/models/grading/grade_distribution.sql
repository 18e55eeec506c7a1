{# How many enterprises have which grade, in the city (region 411300 of level city: all) and in each county. Counts only;
   all five grades stand for every region, also with 0. #}
with
    graded as (
        select e.region, g.platform_grade, count(*) as enterprise_count
        from {{ ref("enterprise_grades") }} as g
        join {{ ref("enterprises") }} as e on e.uscc = g.uscc
        group by e.region, g.platform_grade
    ),
    areas as (
        select 'city' as area_level, region, region_name
        from {{ in_force("regions") }} as r
        where region_level = 'city'
        union all
        select 'county' as area_level, region, region_name
        from {{ in_force("regions") }} as r
    ),
    cells as (
        select a.area_level, a.region, a.region_name, b.grade as platform_grade, b.label as grade_label
        from areas as a
        cross join {{ in_force("grade_bounds") }} as b
    ),
    counted as (
        select
            c.area_level,
            c.region,
            c.region_name,
            c.platform_grade,
            c.grade_label,
            coalesce(sum(g.enterprise_count), 0) as enterprise_count
        from cells as c
        left join
            graded as g
            on g.platform_grade = c.platform_grade
            and (c.area_level = 'city' or g.region = c.region)
        group by c.area_level, c.region, c.region_name, c.platform_grade, c.grade_label
    ),
    totals as (
        select *, sum(enterprise_count) over (partition by area_level, region) as area_count from counted
    )
select
    {{ as_of() }} as as_of_date,
    area_level,
    region,
    region_name,
    platform_grade,
    grade_label,
    cast(enterprise_count as bigint) as enterprise_count,
    cast(
        {{ int_div("cast(enterprise_count as bigint) * 10000", "nullif(cast(area_count as bigint), 0)") }}
        as bigint
    ) as share_bp
from totals
