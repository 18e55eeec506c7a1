{# What the register says of an enterprise on a day; the same words for the directory and for past snapshots. #}
{# active, or how it ended. An end that lies after the day has not happened yet. #}
{% macro register_status(record, day) -%}
    case
        when {{ record }}.is_withdrawn
        then 'withdrawn'
        when {{ record }}.void_from <= {{ day }}
        then 'absent'
        when
            coalesce({{ record }}.status, 'active') <> 'active'
            and coalesce(least({{ record }}.cancelled_date, {{ record }}.revoked_date) <= {{ day }}, true)
        then {{ record }}.status
        when {{ record }}.cancelled_date <= {{ day }}
        then 'cancelled'
        when {{ record }}.revoked_date <= {{ day }}
        then 'revoked'
        else 'active'
    end
{%- endmacro %}

{# Registered capital in fen of yuan; foreign currencies converted for comparison. #}
{% macro capital_in_fen(record, currencies) -%}
    case
        when coalesce({{ record }}.currency, 'CNY') = 'CNY'
        then {{ record }}.registered_capital_fen
        else {{ int_div(record ~ ".registered_capital_fen", "100") }} * {{ currencies }}.yuan_per_100_units
    end
{%- endmacro %}

{# One row with the lower bounds of the size classes. #}
{% macro size_bounds() -%}
    select
        max(case when size_class = 'large' then min_employees end) as large_employees,
        max(case when size_class = 'medium' then min_employees end) as medium_employees,
        max(case when size_class = 'small' then min_employees end) as small_employees,
        max(case when size_class = 'large' then min_registered_capital_fen end) as large_capital_fen,
        max(case when size_class = 'medium' then min_registered_capital_fen end) as medium_capital_fen,
        max(case when size_class = 'small' then min_registered_capital_fen end) as small_capital_fen
    from {{ in_force("size_classes") }} as s
{%- endmacro %}

{# By staff, else by capital. #}
{% macro size_class(employees, capital, bounds) -%}
    case
        when {{ employees }} is null and {{ capital }} is null
        then 'unknown'
        when
            coalesce(
                {{ employees }} >= {{ bounds }}.large_employees,
                {{ capital }} >= {{ bounds }}.large_capital_fen
            )
        then 'large'
        when
            coalesce(
                {{ employees }} >= {{ bounds }}.medium_employees,
                {{ capital }} >= {{ bounds }}.medium_capital_fen
            )
        then 'medium'
        when
            coalesce(
                {{ employees }} >= {{ bounds }}.small_employees,
                {{ capital }} >= {{ bounds }}.small_capital_fen
            )
        then 'small'
        else 'micro'
    end
{%- endmacro %}
