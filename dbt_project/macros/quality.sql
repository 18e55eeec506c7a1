{# What the models of the quality report share. #}
{# One whole-number parameter of quality_policy.csv in force on the as-of day. #}
{% macro quality_parameter(name) -%}
    (
        select max(value)
        from {{ ref("quality_policy") }}
        where parameter = '{{ name }}' and effective_from <= {{ as_of() }} and effective_to >= {{ as_of() }}
    )
{%- endmacro %}

{# The business key of a row as JSON array text, as quarantine and duplicates of the lake have it in record_key. #}
{% macro record_key(row, columns) -%}
    {{ return(adapter.dispatch("record_key")(row, columns)) }}
{%- endmacro %}
{% macro default__record_key(row, columns) -%}
    cast(
        to_json(
            [
                {%- for column in columns -%}
                    cast({{ row }}.{{ column }} as varchar) {%- if not loop.last %}, {% endif -%}
                {%- endfor -%}
            ]
        ) as varchar
    )
{%- endmacro %}
{% macro spark__record_key(row, columns) -%}
    to_json(
        array(
            {%- for column in columns -%}
                cast({{ row }}.{{ column }} as string) {%- if not loop.last %}, {% endif -%}
            {%- endfor -%}
        )
    )
{%- endmacro %}

{# Name of a record in decisions about it: MD5 of its business key, in capitals. #}
{% macro record_hash(key_text) -%} upper(md5({{ key_text }})) {%- endmacro %}

{# The item of a JSON array at a place from 0, as text. #}
{% macro json_item(text, place) -%} {{ return(adapter.dispatch("json_item")(text, place)) }} {%- endmacro %}
{% macro default__json_item(text, place) -%} json_extract_string({{ text }}, '$[{{ place }}]') {%- endmacro %}
{% macro spark__json_item(text, place) -%} get_json_object({{ text }}, '$[{{ place }}]') {%- endmacro %}

{# The member of a JSON object, as text. #}
{% macro json_member(text, name) -%} {{ return(adapter.dispatch("json_member")(text, name)) }} {%- endmacro %}
{% macro default__json_member(text, name) -%}
    json_extract_string({{ text }}, {{ sql_text('$."' ~ name ~ '"') }})
{%- endmacro %}
{% macro spark__json_member(text, name) -%}
    get_json_object({{ text }}, {{ sql_text("$." ~ name) }})
{%- endmacro %}

{# A name without what sources write differently: spaces and the width of brackets. #}
{% macro comparable_name(name) -%}
    replace(replace(replace(replace({{ name }}, ' ', ''), '　', ''), '（', '('), '）', ')')
{%- endmacro %}

{# The file in landing of a source file: without the member of an archive. #}
{% macro landing_file(file) -%} split_part({{ file }}, '!', 1) {%- endmacro %}

{# Text that names the sender of a row: the first of the feed's unit columns that is not null. #}
{% macro sender_text(row, units) -%}
    {%- if units -%}
        coalesce(
            {%- for column in units -%}
                cast({{ row }}.{{ column }} as varchar(1000)) {%- if not loop.last %}, {% endif -%}
            {%- endfor -%}
        )
    {%- else -%} cast(null as varchar(1000))
    {%- endif -%}
{%- endmacro %}

{# Joins a row's sender to its unit: by the text that names it, else by the file; use sender_unit() for the unit. #}
{% macro join_senders(sender, file) -%}
    left join {{ ref("sending_units") }} as by_name on not by_name.is_file and by_name.sender = {{ sender }}
    left join
        {{ ref("sending_units") }} as by_file on by_file.is_file and by_file.sender = {{ landing_file(file) }}
{%- endmacro %}
{% macro sender_unit() -%} coalesce(by_name.unit_id, by_file.unit_id) {%- endmacro %}

{# Every day from the first to the last, as column `day`. #}
{% macro days_between(first, last) -%}
    {{ return(adapter.dispatch("days_between")(first, last)) }}
{%- endmacro %}
{% macro default__days_between(first, last) -%}
    select
        cast(
            unnest(
                generate_series(cast({{ first }} as timestamp), cast({{ last }} as timestamp), to_days(1))
            ) as date
        ) as day
{%- endmacro %}
{% macro spark__days_between(first, last) -%}
    select explode(sequence(cast({{ first }} as date), cast({{ last }} as date), interval 1 day)) as day
{%- endmacro %}

{# Day of the week from 1 (Monday) to 7. #}
{% macro iso_weekday(day) -%} {{ return(adapter.dispatch("iso_weekday")(day)) }} {%- endmacro %}
{% macro default__iso_weekday(day) -%} isodow({{ day }}) {%- endmacro %}
{% macro spark__iso_weekday(day) -%} extract(dayofweek_iso from {{ day }}) {%- endmacro %}

{# Working days after the first day up to and including the last; null for a day outside the table. No loop over days:
   each day has the number of working days before it. #}
{% macro working_days_between(first, last) -%}
    (
        (select max(w.working_day_number) from {{ ref("working_days") }} as w where w.day = {{ last }})
        - (select max(w.working_day_number) from {{ ref("working_days") }} as w where w.day = {{ first }})
    )
{%- endmacro %}

{# The value below which a share (in percent) of the weighted values lies, from rows with a running total of weights. #}
{% macro weighted_percentile(value, running, total, percent) -%}
    min(case when {{ running }} * 100 >= {{ percent }} * {{ total }} then {{ value }} end)
{%- endmacro %}

{# The first of the members that a JSON object has. #}
{% macro json_first(text, names) -%}
    coalesce(
        {%- for name in names -%}
            {{ json_member(text, name) }} {%- if not loop.last %}, {% endif -%}
        {%- endfor -%},
        null
    )
{%- endmacro %}

{# The feeds that deliver all their records at once from time to time. #}
{% macro snapshot_feeds() -%}
    {%- set found = [] -%}
    {%- for name, feed in feed_facts().items() if feed["pattern"] == "snapshot" -%}
        {%- do found.append(name) -%}
    {%- endfor -%}
    {{ return(found) }}
{%- endmacro %}

{# Every row of a feed by its business key and the day it came, whatever became of it: accepted, repeated unchanged, or
   refused with a readable key. A key with a part that is missing names no record. #}
{% macro sightings(name) -%}
    {%- set key = feed_facts()[name]["key"] -%}
    select
        {{ record_key("r", key) }} as record_key,
        r.ingest_date,
        r.source_file,
        r.source_row,
        true as is_accepted
    from {{ source("raw", name) }} as r
    where r.ingest_date <= {{ as_of() }} {%- for column in key %} and r.{{ column }} is not null {%- endfor %}
    union all
    select d.record_key, d.ingest_date, d.file as source_file, d.row_number as source_row, true as is_accepted
    from {{ source("lake", "duplicates") }} as d
    where
        d.feed = '{{ name }}'
        and d.ingest_date <= {{ as_of() }}
        and d.record_key not like '[null%'
        and d.record_key not like '%,null%'
    union all
    select
        q.record_key, q.ingest_date, q.file as source_file, q.row_number as source_row, false as is_accepted
    from {{ source("lake", "quarantine") }} as q
    where
        q.feed = '{{ name }}'
        and q.ingest_date <= {{ as_of() }}
        and q.record_key is not null
        and q.record_key not like '[null%'
        and q.record_key not like '%,null%'
{%- endmacro %}

{# The day from which a current version says that its record has ended; null while it goes on. A record that has ended
   may be left out of a full delivery. #}
{% macro record_ended_on(name, row) -%}
    {%- if name == "inspectors" -%} {{ row }}.certificate_valid_to
    {%- elif name == "inspection_items" -%} {{ row }}.valid_to
    {%- else -%}
        case
            when {{ row }}.is_withdrawn
            then {{ row }}.known_from
            {% if name == "registrations" %}
                when {{ row }}.status in ('cancelled', 'revoked_cancelled', 'withdrawn', 'moved_out')
                then {{ row }}.known_from
                else {{ row }}.cancelled_date
            {% else %} else {{ row }}.valid_to
            {% endif %}
        end
    {%- endif -%}
{%- endmacro %}

{# The commonest three rules of each group as text, `rule×rows`, from rows ranked by place. #}
{% macro first_three_rules(table, by) -%}
    select
        {{ by | join(", ") }},
        max(case when place = 1 then rule || '×' || cast(rows_refused as varchar(20)) end) || coalesce(
            max(case when place = 2 then ', ' || rule || '×' || cast(rows_refused as varchar(20)) end), ''
        )
        || coalesce(
            max(case when place = 3 then ', ' || rule || '×' || cast(rows_refused as varchar(20)) end), ''
        ) as top_rules
    from {{ table }}
    where place <= 3
    group by {{ by | join(", ") }}
{%- endmacro %}

{# Facts with a lag, median and ninth decile in calendar and working days, and how many came within the deadline of
   双公示, per group of arrival_lags. Whole numbers: the smallest lag that at least the share of facts does not exceed. #}
{% macro lag_figures(by) -%}
    select
        {{ by | join(", ") }},
        sum(facts) as lag_facts,
        {{ weighted_percentile("lag_days", "days_running", "total", 50) }} as lag_median,
        {{ weighted_percentile("lag_days", "days_running", "total", 90) }} as lag_p90,
        {{ weighted_percentile("lag_working_days", "working_running", "total", 50) }} as lag_working_median,
        {{ weighted_percentile("lag_working_days", "working_running", "total", 90) }} as lag_working_p90,
        sum(
            case
                when lag_working_days <= {{ quality_parameter("publicity_working_days") }} then facts else 0
            end
        ) as within_deadline,
        sum(case when is_covered then 0 else facts end) as uncovered_facts
    from
        (
            select
                *,
                sum(facts) over (
                    partition by {{ by | join(", ") }}
                    order by lag_days asc nulls first
                    range between unbounded preceding and current row
                ) as days_running,
                sum(facts) over (
                    partition by {{ by | join(", ") }}
                    order by lag_working_days asc nulls first
                    range between unbounded preceding and current row
                ) as working_running,
                sum(facts) over (partition by {{ by | join(", ") }}) as total
            from {{ ref("arrival_lags") }}
            where lag_days is not null
        ) as l
    group by {{ by | join(", ") }}
{%- endmacro %}
