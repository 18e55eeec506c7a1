{# The latest two annual reports. A report is due by 30 June for the year before; whether the two latest due ones came
   is said here, whether they were due at all depends on the day of establishment (enterprise_indicators). #}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"evidence": ["evidence", "any"]}) }}),
    reports as (
        select
            p.as_of_date,
            o.uscc,
            o.report_year,
            o.report_date > {{ add_months("p.as_of_date", "-p.evidence_months") }} as is_evidence,
            year(p.as_of_date) - case when month(p.as_of_date) >= 7 then 1 else 2 end as last_due_year,
            {{ ratio_bp("o.total_liabilities_fen", "o.total_assets_fen", 0, 50000) }} as debt_ratio_bp,
            {{ ratio_bp("o.net_profit_fen", "o.revenue_fen", -10000, 10000) }} as profit_margin_bp,
            o.revenue_fen,
            o.tax_arrears_fen,
            row_number() over (
                partition by p.as_of_date, o.uscc
                order by o.report_year desc nulls last, o.known_from desc nulls last
            ) as recency
        from {{ ref("stg_operations") }} as o
        join
            periods as p
            on {{ counts_on("o", "p.as_of_date") }}
            and o.report_date <= p.as_of_date
            and o.report_year >= year(p.as_of_date) - 4
    ),
    latest as (
        select
            as_of_date,
            uscc,
            max(case when recency = 1 then report_year end) as report_year,
            max(case when recency = 2 then report_year end) as earlier_report_year,
            max(case when recency = 1 then debt_ratio_bp end) as debt_ratio_bp,
            max(case when recency = 1 then profit_margin_bp end) as profit_margin_bp,
            max(case when recency = 1 then revenue_fen end) as revenue_fen,
            max(case when recency = 2 then revenue_fen end) as earlier_revenue_fen,
            max(case when recency = 1 then tax_arrears_fen end) as tax_arrears_fen,
            max(last_due_year) as last_due_year,
            max(case when report_year = last_due_year then 1 else 0 end) as has_last_report,
            max(case when report_year = last_due_year - 1 then 1 else 0 end) as has_earlier_report,
            count(case when is_evidence then 1 end) as evidence_count
        from reports
        group by as_of_date, uscc
    )
select
    as_of_date,
    uscc,
    case when report_year >= last_due_year - 1 then debt_ratio_bp end as debt_ratio_bp,
    case when report_year >= last_due_year - 1 then profit_margin_bp end as profit_margin_bp,
    case
        when report_year >= last_due_year - 1 and earlier_report_year = report_year - 1
        then {{ ratio_bp("(revenue_fen - earlier_revenue_fen)", "earlier_revenue_fen", -10000, 10000) }}
    end as revenue_change_bp,
    case when report_year >= last_due_year - 1 then tax_arrears_fen end as tax_arrears_fen,
    has_last_report,
    has_earlier_report,
    evidence_count
from latest
