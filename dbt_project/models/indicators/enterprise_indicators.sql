{# One row per day and gradable enterprise with every indicator in its own unit. No record means 0 once the feed has
   delivered anything by that day; before that, and where a ratio has no base, the value is missing (null). #}
{%- set tables = {
    "licences": "licences",
    "penalties": "penalties",
    "honours": "honours",
    "inspection_results": "inspection_results",
    "complaints": "complaints",
    "public_opinion": "public_opinion",
    "related_parties": "related_parties",
    "operations": "operations",
    "registration_changes": "registration_changes",
    "abnormal_listings": "abnormal_listings",
    "serious_violations": "serious_violations",
    "judgment_defaulters": "judgment_defaulters",
    "evaluations": none,
} -%}
{%- set zeros = zero_indicators() -%}
{%- set negative = [
    "penalties",
    "inspection_results",
    "complaints",
    "public_opinion",
    "abnormal_listings",
    "serious_violations",
    "judgment_defaulters",
] -%}
with
    since as (
        select
            {% for feed in tables.values() if feed %}
                (select min(known_from) from {{ ref("stg_" ~ feed) }}) as {{ feed }}
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
            {% for name in indicator_names() if name not in ["missing_report_count", "complaint_rate_bp"] %}
                {% if name in zeros %}
                    coalesce(
                        {{ name }}, case when s.{{ zeros[name] }} <= e.as_of_date then 0 end
                    ) as {{ name }},
                {% else %} {{ name }},
                {% endif %}
            {% endfor %}
            -- Nobody complained: 0 for whoever says how many people work there.
            coalesce(
                complaint_rate_bp,
                case when s.complaints <= e.as_of_date and operations.employee_count > 0 then 0 end
            ) as complaint_rate_bp,
            -- Due reports that others filed and this enterprise did not; a year in which nobody filed is a
            -- feed's gap.
            case
                when y.has_last_year = 1
                then
                    case
                        when e.established_date <= make_date({{ last_due_year("e.as_of_date") }}, 12, 31)
                        then 1 - coalesce(operations.has_last_report, 0)
                        else 0
                    end + case
                        when
                            y.has_earlier_year = 1
                            and e.established_date
                            <= make_date({{ last_due_year("e.as_of_date") }} - 1, 12, 31)
                        then 1 - coalesce(operations.has_earlier_report, 0)
                        else 0
                    end
            end as missing_report_count,
            {% for table in negative %}
                coalesce({{ table }}.negative_count, 0) {% if not loop.last %} +{% endif %}
            {% endfor %} as negative_record_count,
            {% for table in negative %}
                coalesce({{ table }}.negative_count_12m, 0) {% if not loop.last %} +{% endif %}
            {% endfor %} as negative_record_count_12m,
            1
            {% for table in tables
                if table
                not in [
                    "registration_changes",
                    "abnormal_listings",
                    "serious_violations",
                    "judgment_defaulters",
                ] %} + case when {{ table }}.evidence_count > 0 then 1 else 0 end {% endfor %} + case
                when
                    registration_changes.evidence_count > 0
                    or abnormal_listings.evidence_count > 0
                    or serious_violations.evidence_count > 0
                    or judgment_defaulters.evidence_count > 0
                then 1
                else 0
            end as data_completeness
        from {{ ref("ind_registrations") }} as e
        cross join since as s
        left join reported_years as y on y.as_of_date = e.as_of_date
        {% for table in tables %}
            left join
                {{ ref("ind_" ~ table) }} as {{ table }}
                on {{ table }}.as_of_date = e.as_of_date
                and {{ table }}.uscc = e.uscc
        {% endfor %}
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
