{# Files of the lake that later stages of earlier runs made. They are no sources: as assets they would make a circle
   (the frame of a frozen round is read from what the draw, which follows the frame, has written). #}
{% macro frozen_frames() -%} {{ parquet_files(var("lake") ~ "/draws/*/*/frame.parquet") }} {%- endmacro %}

{% macro frozen_quotas() -%} {{ parquet_files(var("lake") ~ "/draws/*/*/quotas.parquet") }} {%- endmacro %}

{# Every enterprise that had a rank in a draw, with whether it was drawn. #}
{% macro drawn_files() -%} {{ parquet_files(var("lake") ~ "/draws/*/*/draw.parquet") }} {%- endmacro %}

{# Rounds that were aborted: plan_id, round. #}
{% macro aborted_rounds() -%} {{ return(adapter.dispatch("aborted_rounds")()) }} {%- endmacro %}
{% macro default__aborted_rounds() -%}
    {%- set path = sql_text(var("lake") ~ "/draws/*/*/abort.json") -%}
    (select plan_id, round from read_json({{ path }}, columns = {plan_id:'varchar', round:'integer'}))
{%- endmacro %}
{% macro spark__aborted_rounds() -%}
    (
        select plan_id, cast(round as int) as round
        from json.`{{ var("lake") }}/draws/*/*/abort.json`
        where plan_id is not null
    )
{%- endmacro %}

{# Top-ups: the enterprise of a unit that could not be inspected; the next rank took its place in every item. The
   statement does not name its round, its folder does. #}
{% macro top_ups() -%} {{ return(adapter.dispatch("top_ups")()) }} {%- endmacro %}
{% macro default__top_ups() -%}
    {%- set path = sql_text(var("lake") ~ "/draws/*/*/topup-*.json") -%}
    {%- set folder = "'/draws/([^/]+)/([0-9]+)/topup-'" -%}
    (
        select
            regexp_extract(filename, {{ folder }}, 1) as plan_id,
            cast(regexp_extract(filename, {{ folder }}, 2) as integer) as round,
            unit_id,
            uscc
        from read_json({{ path }}, columns = {unit_id:'varchar', uscc:'varchar'}, filename = true)
    )
{%- endmacro %}
{% macro spark__top_ups() -%}
    {%- set folder = "'/draws/([^/]+)/([0-9]+)/topup-'" -%}
    (
        select
            regexp_extract(input_file_name(), {{ folder }}, 1) as plan_id,
            cast(regexp_extract(input_file_name(), {{ folder }}, 2) as int) as round,
            unit_id,
            uscc
        from json.`{{ var("lake") }}/draws/*/*/topup-*.json`
        where unit_id is not null
    )
{%- endmacro %}

{# Whom the waves of every round sent where. #}
{% macro assigned_files() -%}
    {{ parquet_files(var("lake") ~ "/draws/*/*/assignments-*.parquet") }}
{%- endmacro %}

{# Part of the same asset as the points table. #}
{% macro calibration_steps() -%} {{ parquet_files(var("calibration")) }} {%- endmacro %}

{% macro parquet_files(pattern) -%} {{ return(adapter.dispatch("parquet_files")(pattern)) }} {%- endmacro %}
{% macro default__parquet_files(pattern) -%}
    {%- set path = sql_text(pattern) -%} read_parquet({{ path }}, union_by_name = true)
{%- endmacro %}
{% macro spark__parquet_files(pattern) -%} parquet.`{{ pattern }}` {%- endmacro %}

{# A text as a literal. #}
{% macro sql_text(text) -%}
    {%- set quote = "\x27" -%} {{ return(quote ~ (text | string | replace(quote, quote ~ quote)) ~ quote) }}
{%- endmacro %}
