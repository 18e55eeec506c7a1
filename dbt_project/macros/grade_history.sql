{# What earlier runs said, from the lake: no sources, as assets they would make a circle (like the frozen frames). Only
   days before the as-of day, so that a day run again reads what it read the first time; a day counts once its file
   `day.parquet`, written last, is there. An empty file of each kind makes the pattern readable. #}
{% macro stored_grade_days() -%}
    (
        select *
        from {{ parquet_files(var("lake") ~ "/grades/*/day.parquet") }}
        where as_of_date < {{ as_of() }}
    )
{%- endmacro %}

{% macro stored_grade_changes() -%}
    (
        select c.*
        from {{ parquet_files(var("lake") ~ "/grades/*/changes.parquet") }} as c
        where
            c.as_of_date < {{ as_of() }}
            and c.as_of_date
            in (select as_of_date from {{ parquet_files(var("lake") ~ "/grades/*/day.parquet") }} as d)
    )
{%- endmacro %}

{# Feeds whose records weigh in a grade and can be repaired, withdrawn or corrected: the column with the record's number
   and the day it happened. #}
{% macro voidable_feeds() %}
    {{
        return(
            {
                "abnormal_listings": ["listing_id", "listed_date"],
                "complaints": ["ticket_no", "received_date"],
                "honours": ["document_no", "awarded_date"],
                "inspection_results": ["task_no", "check_date"],
                "judgment_defaulters": ["case_no", "published_date"],
                "licences": ["document_no", "decision_date"],
                "penalties": ["document_no", "decision_date"],
                "public_opinion": ["item_id", "published_date"],
                "serious_violations": ["listing_id", "listed_date"],
            }
        )
    }}
{% endmacro %}

{# Of these, the feeds whose records speak against an enterprise. #}
{% macro adverse_feeds() %}
    {{
        return(
            [
                "abnormal_listings",
                "complaints",
                "inspection_results",
                "judgment_defaulters",
                "penalties",
                "public_opinion",
                "serious_violations",
            ]
        )
    }}
{% endmacro %}
