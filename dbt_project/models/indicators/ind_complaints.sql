{# Verified reports of violations (举报) and failed consumer disputes (投诉). A dispute is no violation, and an outcome
   counts only from the day the ticket was closed. #}
with
    snapshots as ({{ snapshots() }}),
    periods as (
        {{
            effect_periods_at(
                {
                    "report": ["complaint", "report"],
                    "dispute": ["complaint", "dispute"],
                    "evidence": ["evidence", "any"],
                }
            )
        }}
    ),
    tickets as (
        select
            p.as_of_date,
            c.uscc,
            c.received_date,
            coalesce(c.closed_date, c.received_date) <= p.as_of_date
            and c.kind = 'report'
            and (
                coalesce(c.is_verified, false) or coalesce(c.outcome = 'filed', false)
            ) as is_verified_report,
            coalesce(c.closed_date, c.received_date) <= p.as_of_date
            and c.kind = 'complaint'
            and coalesce(c.outcome = 'failed', false) as is_failed_dispute,
            {{ add_months("p.as_of_date", "-p.report_months") }} as report_after,
            {{ add_months("p.as_of_date", "-p.dispute_months") }} as dispute_after
        from {{ ref("stg_complaints") }} as c
        join
            periods as p
            on {{ counts_on("c", "p.as_of_date") }}
            and c.received_date <= p.as_of_date
            and c.received_date > {{ add_months("p.as_of_date", "-p.evidence_months") }}
    )
select
    as_of_date,
    uscc,
    count(case when is_verified_report and received_date > report_after then 1 end) as verified_report_count,
    count(case when is_failed_dispute and received_date > dispute_after then 1 end) as failed_dispute_count,
    count(case when is_verified_report and received_date > report_after then 1 end) as negative_count,
    count(
        case when is_verified_report and received_date > {{ add_months("as_of_date", "-12") }} then 1 end
    ) as negative_count_12m,
    count(*) as evidence_count
from tickets
group by as_of_date, uscc
