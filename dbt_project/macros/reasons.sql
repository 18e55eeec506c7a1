{# What DuckDB and Spark call the same function of lists. A list is made of the columns of one row: with 70 indicators
   that is the cheapest exact way to the largest of them (measured on 1M rows x 70: 3.4 CPU-s, of which 1.8 read and
   compare; five passes of greatest() over all columns 3.9 and 25 times the text; sorting without the filter 8.1). #}
{% macro list_of(values) -%} {{ return(adapter.dispatch("list_of")(values)) }} {%- endmacro %}
{% macro default__list_of(values) -%} [{{ values | join(", ") }}] {%- endmacro %}
{% macro spark__list_of(values) -%} array({{ values | join(", ") }}) {%- endmacro %}

{# The largest values of a list without its nulls, the largest first. #}
{% macro largest_of(list, places) -%}
    {{ return(adapter.dispatch("largest_of")(list, places)) }}
{%- endmacro %}
{% macro default__largest_of(list, places) -%}
    {{- "list_reverse_sort(list_filter(" ~ list ~ ", lambda x: x is not null))[1:" ~ places ~ "]" -}}
{%- endmacro %}
{% macro spark__largest_of(list, places) -%}
    slice(sort_array(array_compact({{ list }}), false), 1, {{ places }})
{%- endmacro %}

{# The element at a place counted from 1; null beyond the end and for a place that is null. #}
{% macro element_of(list, place) -%} {{ return(adapter.dispatch("element_of")(list, place)) }} {%- endmacro %}
{% macro default__element_of(list, place) -%} list_extract({{ list }}, {{ place }}) {%- endmacro %}
{% macro spark__element_of(list, place) -%} get({{ list }}, cast({{ place }} as int) - 1) {%- endmacro %}

{# The place of a text in a list of literals, counted from 1; 0 or null if it is not there. #}
{% macro place_in(names, text) -%} {{ return(adapter.dispatch("place_in")(names, text)) }} {%- endmacro %}
{% macro default__place_in(names, text) -%}
    list_position(['{{ names | join("', '") }}'], {{ text }})
{%- endmacro %}
{% macro spark__place_in(names, text) -%}
    array_position(array('{{ names | join("', '") }}'), {{ text }})
{%- endmacro %}

{# Mean of whole numbers, rounded down: one division of DOUBLEs, exact below 2^53. #}
{% macro whole_mean(total, count) -%}
    cast(floor(cast({{ total }} as double) / cast({{ count }} as double)) as bigint)
{%- endmacro %}

{# Per indicator, what its points (s.p_) exceed the norm (n.n_) by, times 1000, plus 999 for the first, 998 for the
   second ...; null where they do not. Together in one number the largest is found and known by one comparison. #}
{% macro surplus_codes(names) %}
    {% set codes = [] %}
    {% for name in names %}
        {% do codes.append(
            "case when s.p_"
            ~ name
            ~ " > n.n_"
            ~ name
            ~ " then (s.p_"
            ~ name
            ~ " - n.n_"
            ~ name
            ~ ") * 1000 + "
            ~ (999 - loop.index0)
            ~ " end"
        ) %}
    {% endfor %}
    {{ return(codes) }}
{% endmacro %}

{# Names as literals. #}
{% macro quoted_texts(names) %}
    {% set texts = [] %}
    {% for name in names %} {% do texts.append(sql_text(name)) %} {% endfor %}
    {{ return(texts) }}
{% endmacro %}

{# Names with something before each. #}
{% macro prefixed(names, prefix) %}
    {% set columns = [] %}
    {% for name in names %} {% do columns.append(prefix ~ name) %} {% endfor %}
    {{ return(columns) }}
{% endmacro %}
