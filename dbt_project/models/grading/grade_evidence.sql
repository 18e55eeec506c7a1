{# The records behind the reasons of an enterprise (grade_reasons): where each came from, what it contributes and until when
   it weighs. Units receive it with their extract; all other records are the answer of `credit-pipeline explain`. #}
with
    {% for feed in feed_indicators() %}
        {{ feed }}_records as (
            select
                e.as_of_date,
                e.uscc,
                r.indicator,
                '{{ feed }}' as feed,
                e.record_no,
                e.event_date,
                case
                    r.indicator
                    {% for name in feed_indicators()[feed] %} when '{{ name }}' then e.{{ name }} {% endfor %}
                    else cast(null as bigint)
                end as contribution,
                e.source_file,
                e.source_sheet,
                e.source_row,
                e.ingest_date
            from {{ ref("evidence_" ~ feed) }} as e
            join {{ ref("grade_reasons") }} as r on r.uscc = e.uscc
            where
                e.as_of_date = {{ as_of() }}
                and r.indicator in ('{{ feed_indicators()[feed] | join("', '") }}')
        ),
    {% endfor %}
    records as (
        {% for feed in feed_indicators() %}
            select *
            from {{ feed }}_records
            where contribution <> 0
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    )
select
    r.as_of_date,
    r.uscc,
    r.indicator,
    r.feed,
    r.record_no,
    r.event_date,
    r.contribution,
    s.effect_end,
    r.source_file,
    r.source_sheet,
    r.source_row,
    r.ingest_date
from records as r
left join
    {{ ref("record_states") }} as s
    on s.feed = r.feed
    and s.uscc = r.uscc
    and s.source_file = r.source_file
    and coalesce(s.source_sheet, '') = coalesce(r.source_sheet, '')
    and s.source_row = r.source_row
