{# Reports of violations (举报) and consumer disputes (投诉). A dispute is no violation, and an outcome counts only from the
   day the ticket was closed; what was turned away by then does not count at all. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {
                    "report": ["complaint", "report"],
                    "dispute": ["complaint", "dispute"],
                    "ticket": ["complaint", "ticket"],
                    "recent": ["complaint", "recent"],
                    "evidence": ["evidence", "any"],
                }
            )
        }}
    ),
    received as (
        select
            {{ evidence_columns("c", "c.ticket_no", "c.received_date") }},
            c.amount_fen,
            c.kind,
            c.outcome,
            coalesce(c.is_verified, false) or coalesce(c.outcome = 'filed', false) as is_verified,
            coalesce(c.is_accepted, true) as is_accepted,
            coalesce(c.closed_date, c.received_date) <= p.as_of_date as is_closed,
            c.received_date > {{ add_months("p.as_of_date", "-p.report_months") }} as in_report_period,
            c.received_date > {{ add_months("p.as_of_date", "-p.dispute_months") }} as in_dispute_period,
            c.received_date > {{ add_months("p.as_of_date", "-p.ticket_months") }} as in_ticket_period,
            c.received_date > {{ add_months("p.as_of_date", "-p.recent_months") }} as in_recent_period,
            c.received_date > {{ add_months("p.as_of_date", "-12") }} as is_recent,
            p.recent_weight,
            o.employee_count
        from {{ ref("stg_complaints") }} as c
        join
            periods as p
            on {{ counts_on("c", "p.as_of_date") }}
            and c.received_date <= p.as_of_date
            and c.received_date > {{ add_months("p.as_of_date", "-p.evidence_months") }}
        left join {{ ref("ind_operations") }} as o on o.as_of_date = p.as_of_date and o.uscc = c.uscc
    ),
    tickets as (
        select
            *,
            is_closed and kind = 'report' and is_verified as is_verified_report,
            is_closed and kind = 'complaint' and coalesce(outcome = 'failed', false) as is_failed_dispute,
            in_ticket_period
            and not (is_closed and (not is_accepted or coalesce(outcome = 'rejected', false))) as is_counted
        from received
    )
select
    {{ evidence_names() }},
    {{ one_if("is_verified_report and in_report_period") }} as verified_report_count,
    {{ one_if("is_failed_dispute and in_dispute_period") }} as failed_dispute_count,
    {{ one_if("is_counted") }} as complaint_count_12m,
    cast(
        case when is_counted then case when in_recent_period then recent_weight else -1 end end as bigint
    ) as complaint_growth,
    cast(
        case
            when is_counted and employee_count > 0 then {{ int_div("10000", "employee_count") }}
        end as bigint
    ) as complaint_rate_bp,
    cast(case when is_counted and kind = 'complaint' then amount_fen end as bigint) as disputed_amount_fen,
    {{ one_if("is_verified_report and in_report_period") }} as negative_count,
    {{ one_if("is_verified_report and is_recent") }} as negative_count_12m,
    cast(1 as bigint) as evidence_count
from tickets
