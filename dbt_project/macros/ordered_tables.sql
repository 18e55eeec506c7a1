{# Tables of DuckDB are written in the order of their columns. Joins and aggregates on two threads give the same rows in
   another order each time; with this a table has the same bytes after every run, whoever exports it and how.
   Measured at 20,000 enterprises: no difference in the time of a build beyond its noise. #}
{% macro duckdb__create_table_as(
    temporary, relation, compiled_code, language="sql", partitioned_by=none, sorted_by=none
) -%}
    {%- if language == "sql" and not temporary -%}
        {%- set compiled_code = "select * from (\n" ~ compiled_code ~ "\n) as unordered order by all" -%}
    {%- endif -%}
    {{
        return(
            dbt.duckdb__create_table_as(
                temporary, relation, compiled_code, language, partitioned_by, sorted_by
            )
        )
    }}
{%- endmacro %}
