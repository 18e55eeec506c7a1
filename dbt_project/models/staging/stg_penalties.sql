with
    records as (
        {{
            versions(
                "penalties",
                business_key=["authority_code", "document_no", "uscc"],
                columns=[
                    "party_name",
                    "party_kind",
                    "uscc",
                    "reg_no",
                    "org_code",
                    "tax_no",
                    "institution_no",
                    "social_org_no",
                    "legal_representative",
                    "document_no",
                    "violation_type",
                    "violation_facts",
                    "legal_basis",
                    "penalty_kinds",
                    "penalty_content",
                    "fine_fen",
                    "confiscated_fen",
                    "suspended_licence",
                    "decision_date",
                    "valid_to",
                    "valid_to_is_open_ended",
                    "publication_end_date",
                    "publication_end_date_is_open_ended",
                    "authority_name",
                    "authority_code",
                    "source_unit_name",
                    "source_unit_code",
                    "severity",
                    "is_summary_procedure",
                    "remark",
                ],
                event_date="decision_date",
                void_record_no="document_no",
            )
        }}
    ),
    ranks as (
        select
            max(case when penalty_kind = 'warning' then class_rank end) as warning_rank,
            max(case when penalty_kind = 'criticism' then class_rank end) as criticism_rank,
            max(case when penalty_kind = 'fine' then class_rank end) as fine_rank,
            max(case when penalty_kind = 'confiscation' then class_rank end) as confiscation_rank,
            max(case when penalty_kind = 'suspension' then class_rank end) as suspension_rank,
            max(case when penalty_kind = 'revocation' then class_rank end) as revocation_rank,
            max(case when penalty_kind = 'detention' then class_rank end) as detention_rank,
            max(case when penalty_kind = 'other' then class_rank end) as other_rank
        from {{ in_force("penalty_kinds") }} as k
    ),
    ranked as (
        select
            p.*,
            coalesce(
                greatest(
                    case when {{ has_code("p.penalty_kinds", "warning") }} then r.warning_rank end,
                    case when {{ has_code("p.penalty_kinds", "criticism") }} then r.criticism_rank end,
                    case when {{ has_code("p.penalty_kinds", "fine") }} then r.fine_rank end,
                    case when {{ has_code("p.penalty_kinds", "confiscation") }} then r.confiscation_rank end,
                    case when {{ has_code("p.penalty_kinds", "suspension") }} then r.suspension_rank end,
                    case when {{ has_code("p.penalty_kinds", "revocation") }} then r.revocation_rank end,
                    case when {{ has_code("p.penalty_kinds", "detention") }} then r.detention_rank end,
                    case when {{ has_code("p.penalty_kinds", "other") }} then r.other_rank end
                ),
                2
            ) as kind_rank
        from records as p
        cross join ranks as r
    )
select
    *,
    case
        when severity is not null
        then severity
        when coalesce(is_summary_procedure, false)
        then 'minor'
        when kind_rank = 3 or coalesce(fine_fen, 0) >= {{ parameter("serious_fine_fen") }}
        then 'serious'
        when kind_rank = 1
        then 'minor'
        else 'ordinary'
    end as penalty_class,
    position('不予行政处罚' in coalesce(penalty_content, '')) > 0
    or position('不予处罚' in coalesce(penalty_content, '')) > 0 as is_no_penalty
from ranked
