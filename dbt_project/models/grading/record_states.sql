{{ config(materialized="view") }}
{# Every record that can weigh in a grade, as its version known on the as-of day says: what became of it and until when
   it weighs. state: in_effect, objection (weighs, but makes no grade worse), expired, repaired, withdrawn, ended (the
   office confirmed that a listing ended). state_date: the day the record stopped weighing, or the day the version
   became known. effect_end: first day on which it weighs nothing any more; null as long as it lasts.
   What it contributes while in effect stands in the evidence views. A filter on uscc reaches the tables. #}
{%- set ends = {
    "abnormal_listings": "case when r.removed_date <= "
    ~ as_of()
    ~ " then "
    ~ add_months("r.removed_date", "p.abnormal_removed_months")
    ~ " end",
    "complaints": add_months(
        "r.received_date",
        "case when r.kind = 'report' then p.report_months else p.dispute_months end",
    ),
    "honours": "case when r.valid_to is not null then r.valid_to + 1 when not coalesce(r.valid_to_is_open_ended, false) then "
    ~ add_months("r.awarded_date", "p.honour_months")
    ~ " end",
    "inspection_results": add_months("r.check_date", "p.inspection_months"),
    "judgment_defaulters": "least(r.withdrawn_date, "
    ~ add_months(
        "r.published_date",
        "case when r.performance = 'partly' then p.partly_months else p.unperformed_months end",
    )
    ~ ")",
    "licences": "case when r.valid_to >= "
    ~ as_of()
    ~ " then r.valid_to + 1 else "
    ~ add_months("r.valid_to", "p.licence_months")
    ~ " end",
    "penalties": add_months(
        "r.decision_date",
        "case r.penalty_class when 'serious' then p.serious_months when 'ordinary' then p.ordinary_months else p.minor_months end",
    ),
    "public_opinion": add_months("r.published_date", "p.opinion_months"),
    "serious_violations": "case when r.removed_date <= "
    ~ as_of()
    ~ " then "
    ~ add_months("r.listed_date", "p.serious_removed_months")
    ~ " end",
} -%}
with
    snapshots as (select {{ as_of() }} as as_of_date),
    periods as (
        {{
            effect_periods_at(
                {
                    "abnormal_removed": ["abnormal_listing", "removed"],
                    "serious_removed": ["serious_violation", "removed"],
                    "report": ["complaint", "report"],
                    "dispute": ["complaint", "dispute"],
                    "honour": ["honour", "city"],
                    "inspection": ["inspection", "any"],
                    "partly": ["judgment_default", "partly"],
                    "unperformed": ["judgment_default", "unperformed"],
                    "licence": ["licence", "expired"],
                    "serious": ["penalty", "serious"],
                    "ordinary": ["penalty", "ordinary"],
                    "minor": ["penalty", "minor"],
                    "opinion": ["public_opinion", "negative"],
                }
            )
        }}
    ),
    records as (
        {% for feed, facts in voidable_feeds().items() %}
            select
                '{{ feed }}' as feed,
                r.uscc,
                cast(r.{{ facts[0] }} as varchar(4000)) as record_no,
                r.{{ facts[1] }} as event_date,
                cast({{ ends[feed] }} as date) as effect_end,
                r.known_from,
                r.void_from,
                r.record_status,
                r.is_withdrawn,
                r.source_file,
                r.source_sheet,
                r.source_row,
                r.ingest_date
            from {{ ref("stg_" ~ feed) }} as r
            cross join periods as p
            where
                r.known_from <= {{ as_of() }}
                and (r.known_to is null or r.known_to > {{ as_of() }})
                and r.uscc is not null
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    judged as (
        select
            *,
            case
                when is_withdrawn
                then 'withdrawn'
                when void_from <= {{ as_of() }} and record_status = 'repaired'
                then 'repaired'
                when void_from <= {{ as_of() }}
                then 'voided'
                when effect_end <= {{ as_of() }}
                then 'expired'
                when record_status = 'objection'
                then 'objection'
                else 'in_effect'
            end as judged_state
        from records
    )
select
    {{ as_of() }} as as_of_date,
    j.uscc,
    j.feed,
    j.record_no,
    j.event_date,
    case
        when j.judged_state <> 'voided' then j.judged_state when b.uscc is null then 'ended' else 'repaired'
    end as state,
    case
        j.judged_state
        when 'expired'
        then j.effect_end
        when 'repaired'
        then j.void_from
        when 'voided'
        then j.void_from
        else j.known_from
    end as state_date,
    j.effect_end,
    j.source_file,
    j.source_sheet,
    j.source_row,
    j.ingest_date
from judged as j
left join
    {{ ref("stg_record_voids") }} as b
    on b.target_feed = j.feed
    and b.target_record_no = j.record_no
    and b.uscc = j.uscc
    and b.void_from <= {{ as_of() }}
