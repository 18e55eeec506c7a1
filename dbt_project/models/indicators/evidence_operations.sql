{# Annual reports. The latest one speaks for what the enterprise is, if it is one of the two latest due; changes compare it
   with the report of the year before. A report is due by 30 June for the year before. Whether missing ones were due at all
   depends on the day of establishment (enterprise_indicators). #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"evidence": ["evidence", "any"]}) }}),
    reports as (
        select
            {{ evidence_columns("o", "o.report_year", "o.report_date") }},
            o.report_year,
            o.revenue_fen,
            o.employee_count,
            o.tax_arrears_fen,
            o.net_profit_fen,
            o.report_date > {{ add_months("p.as_of_date", "-p.evidence_months") }} as is_evidence,
            o.report_date > make_date(cast(o.report_year as integer) + 1, 6, 30) as is_late,
            coalesce(not o.is_assets_published and not o.is_revenue_published, false) as is_hidden,
            {{ last_due_year("p.as_of_date") }} as last_due_year,
            {{ ratio_bp("o.total_liabilities_fen", "o.total_assets_fen", 0, 50000) }} as debt_ratio_bp,
            {{ ratio_bp("o.net_profit_fen", "o.revenue_fen", -10000, 10000) }} as profit_margin_bp,
            {{ ratio_bp("o.insured_count", "o.employee_count", 0, 10000) }} as insured_share_bp,
            {{ ratio_bp("o.tax_paid_fen", "o.revenue_fen", 0, 10000) }} as tax_to_revenue_bp,
            row_number() over (
                partition by p.as_of_date, o.uscc
                order by o.report_year desc nulls last, o.known_from desc nulls last
            ) as recency,
            lead(o.report_year) over (
                partition by p.as_of_date, o.uscc
                order by o.report_year desc nulls last, o.known_from desc nulls last
            ) as year_before,
            lead(o.revenue_fen) over (
                partition by p.as_of_date, o.uscc
                order by o.report_year desc nulls last, o.known_from desc nulls last
            ) as revenue_before_fen,
            lead(o.employee_count) over (
                partition by p.as_of_date, o.uscc
                order by o.report_year desc nulls last, o.known_from desc nulls last
            ) as employees_before
        from {{ ref("stg_operations") }} as o
        join
            periods as p
            on {{ counts_on("o", "p.as_of_date") }}
            and o.report_date <= p.as_of_date
            and o.report_year >= year(p.as_of_date) - 4
    ),
    placed as (
        select
            *,
            recency = 1 and report_year >= last_due_year - 1 as is_latest,
            report_year in (last_due_year, last_due_year - 1) as is_due,
            case
                when recency = 1 and report_year >= last_due_year - 1 and year_before = report_year - 1
                then {{ ratio_bp("(revenue_fen - revenue_before_fen)", "revenue_before_fen", -10000, 40000) }}
            end as growth_bp,
            case
                when recency = 1 and report_year >= last_due_year - 1 and year_before = report_year - 1
                then {{ ratio_bp("(employees_before - employee_count)", "employees_before", 0, 10000) }}
            end as staff_drop_bp
        from reports
    ),
    compared as (
        select p.*, coalesce(n.debt_ratio_bp, a.debt_ratio_bp) as norm_bp
        from placed as p
        left join {{ ref("ind_registrations") }} as e on e.as_of_date = p.as_of_date and e.uscc = p.uscc
        left join
            {{ ref("sector_norms") }} as n
            on n.as_of_date = p.as_of_date
            and n.industry_section = e.industry_section
        left join {{ ref("sector_norms") }} as a on a.as_of_date = p.as_of_date and a.industry_section = '*'
    )
select
    {{ evidence_names() }},
    case when is_latest then debt_ratio_bp end as debt_ratio_bp,
    case
        when is_latest and debt_ratio_bp - norm_bp is not null then greatest(0, debt_ratio_bp - norm_bp)
    end as debt_above_norm_bp,
    case
        when is_latest and debt_ratio_bp - norm_bp is not null then greatest(0, norm_bp - debt_ratio_bp)
    end as debt_below_norm_bp,
    case when is_latest then profit_margin_bp end as profit_margin_bp,
    cast(
        case
            when recency <= 3 and report_year >= last_due_year - 2 and net_profit_fen is not null
            then case when net_profit_fen < 0 then 1 else 0 end
        end as bigint
    ) as loss_year_count,
    case when growth_bp is not null then least(growth_bp, 10000) end as revenue_change_bp,
    case when growth_bp is not null then greatest(0, 0 - growth_bp) end as revenue_drop_bp,
    case when growth_bp is not null then greatest(0, growth_bp - 5000) end as revenue_rise_bp,
    staff_drop_bp,
    case when is_latest then insured_share_bp end as insured_share_bp,
    case when is_latest then tax_to_revenue_bp end as tax_to_revenue_bp,
    cast(case when is_latest then tax_arrears_fen end as bigint) as tax_arrears_fen,
    cast(case when is_due then 0 end as bigint) as missing_report_count,
    {{ one_if("is_due and is_late") }} as late_report_count,
    {{ one_if("is_due and is_hidden") }} as hidden_report_count,
    cast(case when is_latest then employee_count end as bigint) as employee_count,
    {{ one_if("report_year = last_due_year") }} as has_last_report,
    {{ one_if("report_year = last_due_year - 1") }} as has_earlier_report,
    {{ one_if("is_evidence") }} as evidence_count
from compared
