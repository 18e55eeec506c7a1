{# Schema = folder, without the target's schema in front: grading.enterprise_grades is models/grading/enterprise_grades.sql. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
