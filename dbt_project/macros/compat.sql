{# What DuckDB and Spark say differently (measured on both). Everything else is written in their common SQL:
   nulls first/last always explicit, floor() before a cast to integer, no ln, no ASOF join, no concat_ws. #}
{# Whole days from start to end. #}
{% macro day_diff(start, end) -%} {{ return(adapter.dispatch("day_diff")(start, end)) }} {%- endmacro %}
{% macro default__day_diff(start, end) -%} date_diff('day', {{ start }}, {{ end }}) {%- endmacro %}
{% macro spark__day_diff(start, end) -%} datediff({{ end }}, {{ start }}) {%- endmacro %}

{# Quotient of two whole numbers that are not negative, rounded down; the slash makes a DOUBLE on both engines.
   DuckDB's operator of two slashes is spelt as its function: the formatter takes it for a comment. #}
{% macro int_div(dividend, divisor) -%}
    {{ return(adapter.dispatch("int_div")(dividend, divisor)) }}
{%- endmacro %}
{% macro default__int_div(dividend, divisor) -%} divide({{ dividend }}, {{ divisor }}) {%- endmacro %}
{% macro spark__int_div(dividend, divisor) -%}(({{ dividend }}) div({{ divisor }})) {%- endmacro %}

{# The same day some months later (or earlier); the last day of a shorter month. #}
{% macro add_months(day, months) -%} {{ return(adapter.dispatch("add_months")(day, months)) }} {%- endmacro %}
{% macro default__add_months(day, months) -%}
    cast({{ day }} + to_months(cast({{ months }} as integer)) as date)
{%- endmacro %}
{% macro spark__add_months(day, months) -%} add_months({{ day }}, cast({{ months }} as int)) {%- endmacro %}

{# The day some days later. #}
{% macro add_days(day, days) -%} {{ return(adapter.dispatch("add_days")(day, days)) }} {%- endmacro %}
{% macro default__add_days(day, days) -%}
    cast({{ day }} + to_days(cast({{ days }} as integer)) as date)
{%- endmacro %}
{% macro spark__add_days(day, days) -%} date_add({{ day }}, cast({{ days }} as int)) {%- endmacro %}

{# The values of a group in order, joined by '|'. #}
{% macro sorted_list(value) -%} {{ return(adapter.dispatch("sorted_list")(value)) }} {%- endmacro %}
{% macro default__sorted_list(value) -%} string_agg({{ value }}, '|' order by {{ value }}) {%- endmacro %}
{% macro spark__sorted_list(value) -%}
    listagg({{ value }}, '|') within group (order by {{ value }})
{%- endmacro %}

{% macro starts_with(text, prefix) -%}
    {{ return(adapter.dispatch("starts_with")(text, prefix)) }}
{%- endmacro %}
{% macro default__starts_with(text, prefix) -%} starts_with({{ text }}, {{ prefix }}) {%- endmacro %}
{% macro spark__starts_with(text, prefix) -%} startswith({{ text }}, {{ prefix }}) {%- endmacro %}

{# A share in basis points from two amounts: one division and one multiplication of DOUBLEs, so that both engines
   give the same number; null without both amounts or a positive denominator; within the bounds before the cast. #}
{% macro ratio_bp(numerator, denominator, lowest, highest) -%}
    cast(
        case
            when {{ denominator }} > 0 and {{ numerator }} is not null
            then
                floor(
                    least(
                        {{ highest }}e0,
                        greatest(
                            {{ lowest }}e0,
                            cast({{ numerator }} as double) / cast({{ denominator }} as double) * 1e4
                        )
                    )
                )
        end as bigint
    )
{%- endmacro %}

{# Whether a text contains the other; a null text contains nothing. #}
{% macro contains_text(text, part) -%}(position({{ part }} in coalesce({{ text }}, '')) > 0) {%- endmacro %}

{# Whether a list of codes joined by '|' has the code. #}
{% macro has_code(codes, code) -%}
    (position('|{{ code }}|' in '|' || coalesce({{ codes }}, '') || '|') > 0)
{%- endmacro %}

{# A text without what matches a regular expression, all occurrences. #}
{% macro remove_pattern(text, pattern) -%}
    {{ return(adapter.dispatch("remove_pattern")(text, pattern)) }}
{%- endmacro %}
{% macro default__remove_pattern(text, pattern) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '', 'g')
{%- endmacro %}
{% macro spark__remove_pattern(text, pattern) -%}
    regexp_replace({{ text }}, '{{ pattern }}', '')
{%- endmacro %}

{# The parts of a text that any of the separators cut, each once, sorted, joined; blanks are no part of them. '' for a
   null. Neither separators nor joiner hold a quotation mark. #}
{% macro sorted_parts(text, separators, joiner) -%}
    {{ return(adapter.dispatch("sorted_parts")(text, separators, joiner)) }}
{%- endmacro %}
{% macro parts_text(text, separators) -%}
    translate(coalesce({{ text }}, ''), '{{ separators }} 　', '{{ "|" * (separators | length) }}')
{%- endmacro %}
{% macro default__sorted_parts(text, separators, joiner) -%}
    array_to_string(
        list_sort(
            list_distinct(
                list_filter(string_split({{ parts_text(text, separators) }}, '|'), lambda x:x <> '')
            )
        ),
        '{{ joiner }}'
    )
{%- endmacro %}
{% macro spark__sorted_parts(text, separators, joiner) -%}
    array_join(
        array_sort(array_distinct(filter(split({{ parts_text(text, separators) }}, '[|]'), x -> x <> ''))),
        '{{ joiner }}'
    )
{%- endmacro %}
