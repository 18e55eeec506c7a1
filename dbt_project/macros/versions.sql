{# All versions of the records of a feed that were received by the as-of day, each with the days on which it was the
   latest known one: known_from <= day < known_to (null: still).

   known_from: rows of the feed's first delivery are history and known since they were reported, or else since they
   happened; later rows since they were received.
   Order of versions of one record (business key, nulls are equal): by the day of knowledge, then the reported day, the
   day received, file, sheet, row. A version received late does not replace one reported after it, unless it does not
   say when it was reported: then what is received later counts.
   A withdrawal (record_status 'withdrawn') stands whatever is received after it, so it may come before its original;
   only a version reported on a later day than the withdrawal revives the record.
   void_from: from that day on the record weighs nothing. Withdrawn: from the beginning (0001-01-01). Repaired: since the
   repair was known, by the record's own status or by a decision of the feed credit_repairs (void_record_no names the
   column with the record's number there). Of a feed that delivers snapshots: since the office confirmed that a record
   which is missing from them has ended (stg_confirmed_absences).
   Versions that were never the latest known at the end of a day are left out.

   Rows without a unified code, where the feed may have such (party_columns): those that the ladder of identity.sql
   identified by the as-of day take part with the code it found (identity_rung says how; `uscc` where the source sent
   it), the others are left out: what is in review weighs nothing. A row is known since it was received, even if it was
   identified later: a snapshot of a past day (training) asks what had happened and had reached us, not who had been
   looked up by then; a replay of that day asks the ladder as of that day. Rows with a code pay nothing for this: they
   are read apart and joined with nothing, and files without a row that lacks one are skipped by their statistics. #}
{% macro versions(
    feed,
    business_key,
    columns,
    event_date=none,
    void_record_no=none,
    reports=true,
    identities=true
) %}
    {%- set by_ladder = identities and feed in party_columns() -%}
    {%- set is_snapshot = feed in snapshot_feeds() -%}
    {%- set first_day = "cast('0001-01-01' as date)" -%}
    {%- set last_day = "cast('9999-12-31' as date)" -%}
    {%- set reported = "reported_date" if reports else "cast(null as date)" -%}
    {%- set event = event_date or "cast(null as date)" -%}
    {%- set by_key -%}
        partition by {{ business_key | join(", ") }}
        order by
            known_from asc nulls first,
            version_date asc nulls first,
            ingest_date asc nulls first,
            source_file asc nulls first,
            source_sheet asc nulls first,
            source_row asc nulls first
    {%- endset -%}
    {%- set before -%} {{ by_key }} rows between unbounded preceding and 1 preceding {%- endset -%}
    {%- set void_from -%}
        case
            when i.is_withdrawn
            then {{ first_day }}
            when i.record_status = 'repaired'
            then {{ "least(i.known_from, v.void_from)" if void_record_no else "i.known_from" }}
            {% if void_record_no %} else v.void_from {% endif %}
        end
    {%- endset -%}
    with
        first_delivery as (
            select min(case when source_row is not null then ingest_date end) as first_ingest_date
            from {{ source("raw", feed) }}
            where ingest_date <= '{{ as_of_text() }}'
        ),
        {% if by_ladder %}
            identified as ({{ identified_rows(feed) }}),
            sent as (
                select
                    {% for column in columns + (["reported_date", "record_status"] if reports else []) %}
                        r.{{ column }},
                    {% endfor %}
                    r.source_file,
                    r.source_sheet,
                    r.source_row,
                    r.row_hash,
                    r.ingest_date,
                    'uscc' as identity_rung
                from {{ source("raw", feed) }} as r
                where r.uscc is not null and r.ingest_date <= '{{ as_of_text() }}'
                union all
                select
                    {% for column in columns + (["reported_date", "record_status"] if reports else []) %}
                        {{ "i" if column == "uscc" else "r" }}.{{ column }},
                    {% endfor %}
                    r.source_file,
                    r.source_sheet,
                    r.source_row,
                    r.row_hash,
                    r.ingest_date,
                    i.rung
                from {{ source("raw", feed) }} as r
                join
                    identified as i
                    on i.source_file = r.source_file
                    and coalesce(i.source_sheet, '') = coalesce(r.source_sheet, '')
                    and i.source_row = r.source_row
                    and i.row_hash = r.row_hash
                where r.uscc is null and r.ingest_date <= '{{ as_of_text() }}'
            ),
        {% endif %}
        received as (
            select
                {% for column in columns %} r.{{ column }}, {% endfor %}
                {% if by_ladder %} r.identity_rung, {% endif %}
                {% if reports %} r.reported_date, r.record_status, {% endif %}
                {% if reports %} coalesce(r.record_status, 'valid') = 'withdrawn' as is_withdrawn,
                {% else %} false as is_withdrawn,
                {% endif %}
                r.source_file,
                r.source_sheet,
                r.source_row,
                r.row_hash,
                cast(r.ingest_date as date) as ingest_date,
                case
                    when r.ingest_date = f.first_ingest_date
                    then
                        least(
                            coalesce(greatest({{ reported }}, {{ event }}), cast(r.ingest_date as date)),
                            cast(r.ingest_date as date)
                        )
                    else cast(r.ingest_date as date)
                end as known_from
            {% if by_ladder %} from sent as r cross join first_delivery as f
            {% else %}
                from {{ source("raw", feed) }} as r
                cross join first_delivery as f
                where r.ingest_date <= '{{ as_of_text() }}'
            {% endif %}
        ),
        dated as (select *, coalesce({{ reported }}, known_from) as version_date from received),
        compared as (
            select
                *,
                max(case when not is_withdrawn then version_date end) over ({{ before }}) as version_before,
                max(case when not is_withdrawn then {{ reported }} end) over ({{ before }}) as report_before,
                max(case when is_withdrawn then coalesce({{ reported }}, {{ last_day }}) end) over (
                    {{ before }}
                ) as withdrawal_before
            from dated
        ),
        accepted as (
            select *
            from compared
            where
                case
                    when is_withdrawn
                    then coalesce({{ reported }}, {{ last_day }}) >= coalesce(report_before, {{ first_day }})
                    else
                        version_date >= coalesce(version_before, {{ first_day }})
                        and (withdrawal_before is null or {{ reported }} > withdrawal_before)
                end
        ),
        intervals as (select *, lead(known_from) over ({{ by_key }}) as known_to from accepted)
    select
        {% for column in columns %} i.{{ column }}, {% endfor %}
        {% if reports %} i.reported_date, i.record_status, i.is_withdrawn, {% endif %}
        i.known_from,
        i.known_to,
        {% if not reports %} {{ "n.void_from" if is_snapshot else "cast(null as date)" }} as void_from,
        {% elif is_snapshot %} least({{ void_from }}, n.void_from) as void_from,
        {% else %} {{ void_from }} as void_from,
        {% endif %}
        i.source_file,
        i.source_sheet,
        i.source_row,
        i.row_hash,
        i.ingest_date
        {% if by_ladder %}, i.identity_rung {% endif %}
    from intervals as i
    {% if void_record_no %}
        left join
            {{ ref("stg_record_voids") }} as v
            on v.target_feed = '{{ feed }}'
            and v.target_record_no = i.{{ void_record_no }}
            and v.uscc = i.uscc
    {% endif %}
    {% if is_snapshot %}
        left join
            {{ ref("stg_confirmed_absences") }} as n on n.feed = '{{ feed }}'
            {% for part in business_key %}
                and n.key_{{ loop.index0 }} = cast(i.{{ part }} as varchar(4000))
            {% endfor %}
    {% endif %}
    where i.known_to is null or i.known_to > i.known_from
{% endmacro %}
