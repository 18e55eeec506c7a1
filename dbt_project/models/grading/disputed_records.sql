{# Adverse records against which an objection is pending (record_status 'objection') on the as-of day. They keep their
   weight, but as long as the objection is open they make no grade worse (domain: keep, but freeze downgrade). Only
   records of the last 36 months: nothing older ever counts. #}
{% for feed in adverse_feeds() %}
    {%- set number, event = voidable_feeds()[feed] %}
    select
        {{ as_of() }} as as_of_date,
        r.uscc,
        '{{ feed }}' as feed,
        cast(r.{{ number }} as varchar(4000)) as record_no,
        r.{{ event }} as event_date,
        r.known_from as pending_since,
        r.source_file,
        r.source_sheet,
        r.source_row
    from {{ ref("stg_" ~ feed) }} as r
    where
        {{ counts_on("r", as_of()) }}
        and r.record_status = 'objection'
        and r.uscc is not null
        and r.{{ event }} <= {{ as_of() }}
        and {{ add_months("r." ~ event, 36) }} > {{ as_of() }}
    {% if not loop.last %}
        union all
    {% endif %}
{% endfor %}
