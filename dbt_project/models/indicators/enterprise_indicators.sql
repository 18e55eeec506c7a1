{# One row per day and gradable enterprise with every indicator in its own unit. No record means 0 once the feed has
   delivered anything by that day; before that, and where a ratio has no base, the value is missing (null). #}
{%- set since = {
    "licences": "licences",
    "penalties": "penalties",
    "honours": "honours",
    "inspections": "inspection_results",
    "complaints": "complaints",
    "opinion": "public_opinion",
    "changes": "registration_changes",
    "abnormal": "abnormal_listings",
    "serious": "serious_violations",
    "defaults": "judgment_defaulters",
} -%}
with
    since as (
        select
            {% for name, feed in since.items() %}
                (select min(known_from) from {{ ref("stg_" ~ feed) }}) as {{ name }}
                {% if not loop.last %},{% endif %}
            {% endfor %}
    ),
    reported_years as (
        select as_of_date, max(has_last_report) as has_last_year, max(has_earlier_report) as has_earlier_year
        from {{ ref("ind_operations") }}
        group by as_of_date
    ),
    joined as (
        select
            e.as_of_date,
            e.uscc,
            e.industry_section,
            e.size_class,
            e.operating_months,
            e.registered_capital_fen,
            coalesce(
                li.valid_licence_count, case when s.licences <= e.as_of_date then 0 end
            ) as valid_licence_count,
            coalesce(
                li.expired_licence_count, case when s.licences <= e.as_of_date then 0 end
            ) as expired_licence_count,
            coalesce(pe.penalty_weight, case when s.penalties <= e.as_of_date then 0 end) as penalty_weight,
            coalesce(
                pe.penalty_fine_fen, case when s.penalties <= e.as_of_date then 0 end
            ) as penalty_fine_fen,
            coalesce(ho.honour_points, case when s.honours <= e.as_of_date then 0 end) as honour_points,
            ir.inspection_problem_weight,
            coalesce(
                ir.inspection_clean_count, case when s.inspections <= e.as_of_date then 0 end
            ) as inspection_clean_count,
            coalesce(
                co.verified_report_count, case when s.complaints <= e.as_of_date then 0 end
            ) as verified_report_count,
            coalesce(
                co.failed_dispute_count, case when s.complaints <= e.as_of_date then 0 end
            ) as failed_dispute_count,
            coalesce(
                po.negative_opinion_bp, case when s.opinion <= e.as_of_date then 0 end
            ) as negative_opinion_bp,
            rp.risky_related_bp,
            op.debt_ratio_bp,
            op.profit_margin_bp,
            op.revenue_change_bp,
            op.tax_arrears_fen,
            -- Due reports that others filed and this enterprise did not; a year in which nobody filed is a
            -- feed's gap.
            case
                when y.has_last_year = 1
                then
                    case
                        when
                            e.established_date <= make_date(
                                year(e.as_of_date) - case when month(e.as_of_date) >= 7 then 1 else 2 end,
                                12,
                                31
                            )
                        then 1 - coalesce(op.has_last_report, 0)
                        else 0
                    end + case
                        when
                            y.has_earlier_year = 1
                            and e.established_date <= make_date(
                                year(e.as_of_date) - case when month(e.as_of_date) >= 7 then 2 else 3 end,
                                12,
                                31
                            )
                        then 1 - coalesce(op.has_earlier_report, 0)
                        else 0
                    end
            end as missing_report_count,
            coalesce(ch.change_count, case when s.changes <= e.as_of_date then 0 end) as change_count,
            coalesce(
                ab.abnormal_listing_weight, case when s.abnormal <= e.as_of_date then 0 end
            ) as abnormal_listing_weight,
            coalesce(
                sv.serious_listing_weight, case when s.serious <= e.as_of_date then 0 end
            ) as serious_listing_weight,
            coalesce(
                jd.judgment_default_weight, case when s.defaults <= e.as_of_date then 0 end
            ) as judgment_default_weight,
            ev.public_evaluation_level,
            ev.industry_rating_level,
            coalesce(pe.negative_count, 0)
            + coalesce(ir.negative_count, 0)
            + coalesce(co.negative_count, 0)
            + coalesce(po.negative_count, 0)
            + coalesce(ab.negative_count, 0)
            + coalesce(sv.negative_count, 0)
            + coalesce(jd.negative_count, 0) as negative_record_count,
            coalesce(pe.negative_count_12m, 0)
            + coalesce(ir.negative_count_12m, 0)
            + coalesce(co.negative_count_12m, 0)
            + coalesce(po.negative_count_12m, 0)
            + coalesce(ab.negative_count_12m, 0)
            + coalesce(sv.negative_count_12m, 0)
            + coalesce(jd.negative_count_12m, 0) as negative_record_count_12m,
            1
            + case when li.evidence_count > 0 then 1 else 0 end
            + case when pe.evidence_count > 0 then 1 else 0 end
            + case when ho.evidence_count > 0 then 1 else 0 end
            + case when ir.evidence_count > 0 then 1 else 0 end
            + case when co.evidence_count > 0 then 1 else 0 end
            + case when po.evidence_count > 0 then 1 else 0 end
            + case when rp.evidence_count > 0 then 1 else 0 end
            + case when op.evidence_count > 0 then 1 else 0 end
            + case
                when
                    ch.evidence_count > 0
                    or ab.evidence_count > 0
                    or sv.evidence_count > 0
                    or jd.evidence_count > 0
                then 1
                else 0
            end
            + case when ev.evidence_count > 0 then 1 else 0 end as data_completeness
        from {{ ref("ind_registrations") }} as e
        cross join since as s
        left join reported_years as y on y.as_of_date = e.as_of_date
        left join {{ ref("ind_licences") }} as li on li.as_of_date = e.as_of_date and li.uscc = e.uscc
        left join {{ ref("ind_penalties") }} as pe on pe.as_of_date = e.as_of_date and pe.uscc = e.uscc
        left join {{ ref("ind_honours") }} as ho on ho.as_of_date = e.as_of_date and ho.uscc = e.uscc
        left join
            {{ ref("ind_inspection_results") }} as ir on ir.as_of_date = e.as_of_date and ir.uscc = e.uscc
        left join {{ ref("ind_complaints") }} as co on co.as_of_date = e.as_of_date and co.uscc = e.uscc
        left join {{ ref("ind_public_opinion") }} as po on po.as_of_date = e.as_of_date and po.uscc = e.uscc
        left join {{ ref("ind_related_parties") }} as rp on rp.as_of_date = e.as_of_date and rp.uscc = e.uscc
        left join {{ ref("ind_operations") }} as op on op.as_of_date = e.as_of_date and op.uscc = e.uscc
        left join
            {{ ref("ind_registration_changes") }} as ch on ch.as_of_date = e.as_of_date and ch.uscc = e.uscc
        left join
            {{ ref("ind_abnormal_listings") }} as ab on ab.as_of_date = e.as_of_date and ab.uscc = e.uscc
        left join
            {{ ref("ind_serious_violations") }} as sv on sv.as_of_date = e.as_of_date and sv.uscc = e.uscc
        left join
            {{ ref("ind_judgment_defaulters") }} as jd on jd.as_of_date = e.as_of_date and jd.uscc = e.uscc
        left join {{ ref("ind_evaluations") }} as ev on ev.as_of_date = e.as_of_date and ev.uscc = e.uscc
    )
select
    as_of_date,
    uscc,
    industry_section,
    size_class,
    {% for name in indicator_names() %} cast({{ name }} as bigint) as {{ name }}, {% endfor %}
    cast(negative_record_count as bigint) as negative_record_count,
    cast(negative_record_count_12m as bigint) as negative_record_count_12m,
    cast(data_completeness as bigint) as data_completeness
from joined
