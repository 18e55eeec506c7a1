{# Evidence views: one row per record that counts or was observed on a snapshot, with its place in the sources and what it
   contributes to each indicator of its feed (null: it does not enter that indicator). Each rule stands there, once; the
   ind_ tables only add up, in one pass over each feed. A view has no window without uscc among its partitions, so that
   the question for one enterprise reads that enterprise's rows. #}
{# The first columns of an evidence view. #}
{% macro evidence_columns(record, record_no, event_date, day="p.as_of_date") -%}
    {{ day }} as as_of_date,
    {{ record }}.uscc,
    cast({{ record_no }} as varchar(4000)) as record_no,
    {{ event_date }} as event_date,
    {{ record }}.source_file,
    {{ record }}.source_sheet,
    {{ record }}.source_row,
    {{ record }}.ingest_date
{%- endmacro %}

{# The same columns passed on. #}
{% macro evidence_names() -%}
    as_of_date, uscc, record_no, event_date, source_file, source_sheet, source_row, ingest_date
{%- endmacro %}

{# A total order of the records of one enterprise. #}
{% macro evidence_order() -%}
    event_date asc nulls first,
    record_no asc nulls first,
    source_file asc nulls first,
    source_sheet asc nulls first,
    source_row asc nulls first
{%- endmacro %}

{# 1 where the condition holds, else null: a record that counts. #}
{% macro one_if(condition) -%} cast(case when {{ condition }} then 1 end as bigint) {%- endmacro %}

{# 10000 where the condition holds, else 0: the mean over the records is a share in basis points. #}
{% macro share_if(condition) -%} case when {{ condition }} then 10000 else 0 end {%- endmacro %}

{# The sum of the contributions, 0 without any. #}
{% macro total(name) -%} cast(coalesce(sum({{ name }}), 0) as bigint) as {{ name }} {%- endmacro %}

{# The mean of contributions of 0 or 10000: a share in basis points, missing without any. #}
{% macro share(name) -%}
    cast({{ int_div("sum(" ~ name ~ ")", "nullif(count(" ~ name ~ "), 0)") }} as bigint) as {{ name }}
{%- endmacro %}

{# Whole months of 30 days between two days, not below 0. #}
{% macro months_between_days(start, end) -%}
    cast({{ int_div("greatest(0, " ~ day_diff(start, end) ~ ")", "30") }} as bigint)
{%- endmacro %}

{# Records of a list (经营异常名录, 严重违法失信名单) as a CTE `listings`: is_listed while the listing lasts; is_removed for the
   policy's period after a removal without repair, counted from `removed_from`; weight of both; `kept_months` of the class
   `counted`, if the kind has one. #}
{% macro listings(feed, record_kind, removed_from) %}
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {
                    "listed": [record_kind, "listed"],
                    "removed": [record_kind, "removed"],
                    "counted": [record_kind, "counted"],
                }
            )
        }}
    ),
    states as (
        select
            {{ evidence_columns("l", "l.listing_id", "l.listed_date") }},
            l.reason,
            l.removed_date is null or l.removed_date > p.as_of_date as is_listed,
            coalesce(
                l.removed_date <= p.as_of_date
                and l.{{ removed_from }} > {{ add_months("p.as_of_date", "-p.removed_months") }},
                false
            ) as is_removed,
            coalesce(
                l.listed_date > {{ add_months("p.as_of_date", "-p.counted_months") }}, false
            ) as is_counted,
            l.listed_date > {{ add_months("p.as_of_date", "-12") }} as is_recent,
            p.listed_weight,
            p.removed_weight
        from {{ ref("stg_" ~ feed) }} as l
        join periods as p on {{ counts_on("l", "p.as_of_date") }} and l.listed_date <= p.as_of_date
    ),
    listings as (
        select
            *,
            is_listed or is_removed as in_effect,
            cast(
                case when is_listed then listed_weight when is_removed then removed_weight end as bigint
            ) as weight
        from states
        where is_listed or is_removed or is_counted
    )
{% endmacro %}

{# What every list says of a record besides its own indicators: whether it stands now, negative, evidence. #}
{% macro listing_facts() -%}
    {{ one_if("is_listed") }} as current_listing_count,
    {{ one_if("in_effect") }} as negative_count,
    {{ one_if("is_listed or (is_removed and is_recent)") }} as negative_count_12m,
    {{ one_if("in_effect") }} as evidence_count
{%- endmacro %}
