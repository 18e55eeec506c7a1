{# Files of the lake that later stages of earlier runs made. They are no sources: as assets they would make a circle
   (the frame of a frozen round is read from what the draw, which follows the frame, has written). #}
{% macro frozen_frames() -%} {{ parquet_files(var("lake") ~ "/draws/*/*/frame.parquet") }} {%- endmacro %}

{% macro frozen_quotas() -%} {{ parquet_files(var("lake") ~ "/draws/*/*/quotas.parquet") }} {%- endmacro %}

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
