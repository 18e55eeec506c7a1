{# What the models of inspections share. Lists in a cell are joined by '|'. #}
{# One whole-number parameter of inspection_policy.csv in force on the as-of day. #}
{% macro inspection_parameter(name) -%}
    (
        select max(value)
        from {{ ref("inspection_policy") }}
        where parameter = '{{ name }}' and effective_from <= {{ as_of() }} and effective_to >= {{ as_of() }}
    )
{%- endmacro %}

{# Whether a list has the value; neither is null. #}
{% macro list_has(list, value) -%}
    (position('|' || {{ value }} || '|' in '|' || {{ list }} || '|') > 0)
{%- endmacro %}

{# Whether an enterprise (alias e) lies in a scope: an empty list, prefix or tag leaves everybody in. Industries are a
   section and the code in it (C1311), matched by prefixes of one to five characters. #}
{% macro in_scope(
    scope,
    region_prefix="region_prefix",
    industry_prefixes="industry_prefixes",
    safety_tag="safety_tag"
) -%}
    (
        coalesce({{ scope }}.{{ region_prefix }}, '') = ''
        or {{ starts_with("coalesce(e.township, e.region, '')", scope ~ "." ~ region_prefix) }}
        or {{ starts_with("coalesce(e.region, '')", scope ~ "." ~ region_prefix) }}
    )
    and (
        coalesce({{ scope }}.{{ industry_prefixes }}, '') = ''
        {%- for length in range(1, 6) %}
            or {{
                list_has(
                    scope ~ "." ~ industry_prefixes,
                    "substr(coalesce(e.industry_section, '') || coalesce(e.industry_code, ''), 1, "
                    ~ length
                    ~ ")",
                )
            }}
        {%- endfor %}
    )
    and {{ has_safety_tag(scope, safety_tag) }}
{%- endmacro %}

{% macro has_safety_tag(scope, safety_tag="safety_tag") -%}
    (
        coalesce({{ scope }}.{{ safety_tag }}, '') = ''
        or ({{ scope }}.{{ safety_tag }} = 'any' and e.is_safety_related)
        or {{ list_has("coalesce(e.safety_tags, '')", scope ~ "." ~ safety_tag) }}
    )
{%- endmacro %}

{# Whether an item (alias i of plan_items) concerns an enterprise (alias e): its industry sections, as the feed or the
   policy lists them, and its safety tag. #}
{% macro item_concerns() -%}
    (i.industry_sections = '' or position(coalesce(e.industry_section, '-') in i.industry_sections) > 0)
    and {{ has_safety_tag("i") }}
{%- endmacro %}

{# The rounds frozen by the as-of day: their quotas are a small file, and every round has some. #}
{% macro frozen_rounds() -%}
    (
        select distinct plan_id, cast(round as integer) as round, frozen_date
        from {{ frozen_quotas() }} as q
        where frozen_date <= {{ as_of() }}
    )
{%- endmacro %}

{# The frozen rounds that may still draw anybody: neither drawn before the as-of day nor aborted. A draw counts from the
   day after, so that a second run of a day finds what the first one found. #}
{% macro undrawn_rounds() -%}
    (
        select f.plan_id, f.round, f.frozen_date
        from {{ frozen_rounds() }} as f
        left join
            (
                select distinct plan_id, cast(round as integer) as round, drawn_date
                from {{ drawn_files() }} as d
            ) as d
            on d.plan_id = f.plan_id
            and d.round = f.round
            and coalesce(d.drawn_date, f.frozen_date) < {{ as_of() }}
        left join {{ aborted_rounds() }} as a on a.plan_id = f.plan_id and a.round = f.round
        where d.plan_id is null and a.plan_id is null
    )
{%- endmacro %}

{# Whole numbers from 1. #}
{% macro whole_numbers(last) -%}
    {%- for number in range(1, last + 1) %}
        select {{ number }} as n
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
{%- endmacro %}

{# Rounding of a quotient of whole numbers by the rule in column `rounding`. #}
{% macro rounded_quotient(dividend, divisor) -%}
    case
        rounding
        when 'ceil'
        then {{ int_div(dividend ~ " + " ~ divisor ~ " - 1", divisor) }}
        when 'half_up'
        then {{ int_div("2 * " ~ dividend ~ " + " ~ divisor, "2 * " ~ divisor) }}
        when 'floor'
        then {{ int_div(dividend, divisor) }}
    end
{%- endmacro %}

{# Every enterprise drawn or put in the place of one that could not be inspected, by item; is_replaced: somebody else
   took its place. Of a cell with top-ups the ranks after the quota were added, one for each drawn enterprise that was
   replaced: the j-th of the replaced by rank was drawn (or added) if its rank is at most quota + j - 1. #}
{% macro drawn_enterprises() -%}
    (
        with
            ranks as (
                select
                    plan_id,
                    cast(round as integer) as round,
                    unit_id,
                    item_code,
                    uscc,
                    platform_grade,
                    rank,
                    quota,
                    is_drawn,
                    drawn_date
                from {{ drawn_files() }} as d
            ),
            replaced as (select distinct plan_id, round, unit_id, uscc from {{ top_ups() }} as t),
            closed as (
                select
                    r.*,
                    row_number() over (
                        partition by r.plan_id, r.round, r.unit_id, r.item_code, r.platform_grade
                        order by r.rank asc nulls last
                    ) as number
                from ranks as r
                join
                    replaced as t
                    on t.plan_id = r.plan_id
                    and t.round = r.round
                    and t.unit_id = r.unit_id
                    and t.uscc = r.uscc
            ),
            cells as (
                select plan_id, round, unit_id, item_code, platform_grade, count(*) as added
                from closed
                where rank <= quota + number - 1
                group by plan_id, round, unit_id, item_code, platform_grade
            )
        select
            r.plan_id,
            r.round,
            r.unit_id,
            r.item_code,
            r.uscc,
            r.platform_grade,
            r.drawn_date,
            t.uscc is not null as is_replaced
        from ranks as r
        left join
            cells as c
            on c.plan_id = r.plan_id
            and c.round = r.round
            and c.unit_id = r.unit_id
            and c.item_code = r.item_code
            and c.platform_grade = r.platform_grade
        left join
            replaced as t
            on t.plan_id = r.plan_id
            and t.round = r.round
            and t.unit_id = r.unit_id
            and t.uscc = r.uscc
        where r.is_drawn or r.rank <= r.quota + coalesce(c.added, 0)
    )
{%- endmacro %}
