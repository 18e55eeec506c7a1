{# The day the results speak for, as text; never the clock of the machine. #}
{% macro as_of_text() -%}
    {%- set day = var("as_of_date", none) -%}
    {%- if day is none and execute and flags.WHICH not in ("parse", "list", "clean", "debug") -%}
        {{ exceptions.raise_compiler_error("say for which day: --vars '{as_of_date: 2026-10-31}'") }}
    {%- endif -%}
    {{ return((day or "1970-01-01") | string) }}
{%- endmacro %}

{% macro as_of() -%} cast('{{ as_of_text() }}' as date) {%- endmacro %}

{# One row per day for which indicators are computed: the as-of day, and the days of as_of_dates (training). #}
{% macro snapshots() -%} {{- day_rows(past_days() + [as_of_text()]) -}} {%- endmacro %}

{# The days of as_of_dates (training) without the as-of day, as texts in order. #}
{% macro past_days() -%}
    {{
        return(
            var("as_of_dates", []) | map("string") | reject("equalto", as_of_text()) | unique | sort | list
        )
    }}
{%- endmacro %}

{# One row per day, column as_of_date. #}
{% macro day_rows(days) -%}
    {%- for day in days | sort %}
        select cast('{{ day }}' as date) as as_of_date
        {% if not loop.last %}
            union all
        {% endif %}
    {%- endfor %}
{%- endmacro %}

{# The rows of a policy table in force on the as-of day (both ends included). #}
{% macro in_force(table) -%}
    (select * from {{ ref(table) }} where effective_from <= {{ as_of() }} and effective_to >= {{ as_of() }})
{%- endmacro %}

{# Condition: this version of a record was the latest known on the day, and counts (not withdrawn, not repaired). #}
{% macro counts_on(record, day) -%}
    {{ record }}.known_from <= {{ day }}
    and ({{ record }}.known_to is null or {{ record }}.known_to > {{ day }})
    and ({{ record }}.void_from is null or {{ record }}.void_from > {{ day }})
{%- endmacro %}

{# The last day of something that was given: as stated, never when open-ended, else the policy's period after it. #}
{% macro last_valid_day(record, given, months) -%}
    case
        when {{ record }}.valid_to is not null
        then {{ record }}.valid_to
        when coalesce({{ record }}.valid_to_is_open_ended, false)
        then cast('9999-12-31' as date)
        else {{ add_months(given, months) }}
    end
{%- endmacro %}

{# The effect periods in force on each snapshot: one row per snapshot, columns <name>_months and <name>_weight.
   periods: name -> [record_kind, record_class] of effect_periods.csv. #}
{% macro effect_periods_at(periods) -%}
    select
        s.as_of_date
        {% for name, key in periods.items() %}
            ,
            max(
                case
                    when e.record_kind = '{{ key[0] }}' and e.record_class = '{{ key[1] }}'
                    then e.effect_months
                end
            ) as {{ name }}_months,
            max(
                case when e.record_kind = '{{ key[0] }}' and e.record_class = '{{ key[1] }}' then e.weight end
            ) as {{ name }}_weight
        {% endfor %}
    from snapshots as s
    left join
        {{ ref("effect_periods") }} as e
        on e.effective_from <= s.as_of_date
        and e.effective_to >= s.as_of_date
    group by s.as_of_date
{%- endmacro %}

{# One whole-number parameter of model_policy.csv in force on the as-of day. #}
{% macro parameter(name) -%}
    (
        select max(value)
        from {{ ref("model_policy") }}
        where parameter = '{{ name }}' and effective_from <= {{ as_of() }} and effective_to >= {{ as_of() }}
    )
{%- endmacro %}

{# The year of the annual report that was due last: it is due by 30 June of the year after. #}
{% macro last_due_year(day) -%}
    (year({{ day }}) - case when month({{ day }}) >= 7 then 1 else 2 end)
{%- endmacro %}
