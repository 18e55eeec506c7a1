with
    records as (
        {{
            versions(
                "registrations",
                business_key=["uscc"],
                columns=[
                    "uscc",
                    "reg_no",
                    "pripid",
                    "enterprise_name",
                    "enterprise_type",
                    "status",
                    "legal_representative",
                    "registered_capital_fen",
                    "currency",
                    "established_date",
                    "approved_date",
                    "term_from",
                    "term_to",
                    "term_to_is_open_ended",
                    "cancelled_date",
                    "revoked_date",
                    "address",
                    "region",
                    "township",
                    "province_name",
                    "city_name",
                    "industry_section",
                    "industry_code",
                    "business_scope",
                    "registration_authority",
                ],
                event_date="established_date",
            )
        }}
    ),
    divisions as (select division, section from {{ in_force("industry_divisions") }} as d)
select r.*, coalesce(r.industry_section, d.section, 'unknown') as resolved_section
from records as r
left join divisions as d on d.division = substr(r.industry_code, 1, 2)
