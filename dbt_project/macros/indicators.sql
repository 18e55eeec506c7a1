{# Written from seeds/policy/indicators.csv by `python -m credit_pipeline.transform.indicator_catalogue`; edit the
   catalogue, not this file. #}
{# The indicators in the order of their columns. #}
{% macro indicator_names() %}
    {{
        return(
            [
                "operating_months",
                "registered_capital_fen",
                "term_remaining_months",
                "corporate_shareholder_count",
                "invested_enterprise_count",
                "branch_count",
                "valid_licence_count",
                "expired_licence_count",
                "expiring_licence_count",
                "revoked_licence_count",
                "penalty_weight",
                "penalty_fine_fen",
                "penalty_count_12m",
                "penalty_count_36m",
                "serious_penalty_count",
                "repeated_violation_count",
                "penalizing_authority_count",
                "safety_penalty_count",
                "months_since_penalty",
                "honour_points",
                "high_honour_count",
                "inspection_problem_weight",
                "inspection_clean_count",
                "inspection_count",
                "inspection_problem_bp",
                "overdue_rectification_count",
                "not_cooperating_count",
                "unreachable_count",
                "unpublished_count",
                "safety_problem_count",
                "verified_report_count",
                "failed_dispute_count",
                "complaint_count_12m",
                "complaint_growth",
                "complaint_rate_bp",
                "disputed_amount_fen",
                "negative_opinion_bp",
                "negative_opinion_count",
                "negative_opinion_share_bp",
                "verified_opinion_count",
                "risky_related_bp",
                "risky_shareholder_bp",
                "risky_person_bp",
                "risky_guarantor_bp",
                "risky_address_bp",
                "related_penalized_bp",
                "related_listed_bp",
                "related_defaulter_bp",
                "related_revoked_bp",
                "same_address_count",
                "representative_enterprise_count",
                "debt_ratio_bp",
                "debt_above_norm_bp",
                "debt_below_norm_bp",
                "profit_margin_bp",
                "loss_year_count",
                "revenue_change_bp",
                "revenue_drop_bp",
                "revenue_rise_bp",
                "staff_drop_bp",
                "insured_share_bp",
                "tax_to_revenue_bp",
                "tax_arrears_fen",
                "missing_report_count",
                "late_report_count",
                "hidden_report_count",
                "change_count",
                "representative_change_count",
                "address_change_count",
                "name_change_count",
                "shareholder_change_count",
                "scope_change_count",
                "capital_decrease_count",
                "abnormal_listing_weight",
                "abnormal_listed_months",
                "abnormal_listing_count_36m",
                "contact_listing_count",
                "falsehood_listing_count",
                "serious_listing_weight",
                "judgment_default_weight",
                "public_evaluation_level",
                "public_evaluation_drop",
                "industry_rating_level",
                "tax_rating_level",
                "environment_rating_level",
                "labour_rating_level",
            ]
        )
    }}
{% endmacro %}

{# Those whose size means something only beside one's peers; the others count the same in every industry. #}
{% macro peer_indicators() %}
    {{
        return(
            [
                "registered_capital_fen",
                "debt_ratio_bp",
                "profit_margin_bp",
                "revenue_change_bp",
                "tax_to_revenue_bp",
            ]
        )
    }}
{% endmacro %}

{# By feed those of which no record means 0 once the feed has delivered anything. #}
{% macro zero_indicators() %}
    {{
        return(
            {
                "related_parties": [
                    "corporate_shareholder_count",
                    "invested_enterprise_count",
                    "branch_count",
                    "same_address_count",
                    "representative_enterprise_count",
                ],
                "licences": [
                    "valid_licence_count",
                    "expired_licence_count",
                    "expiring_licence_count",
                    "revoked_licence_count",
                ],
                "penalties": [
                    "penalty_weight",
                    "penalty_fine_fen",
                    "penalty_count_12m",
                    "penalty_count_36m",
                    "serious_penalty_count",
                    "repeated_violation_count",
                    "penalizing_authority_count",
                    "safety_penalty_count",
                ],
                "honours": ["honour_points", "high_honour_count"],
                "inspection_results": [
                    "inspection_clean_count",
                    "inspection_count",
                    "overdue_rectification_count",
                    "not_cooperating_count",
                    "unreachable_count",
                    "unpublished_count",
                    "safety_problem_count",
                ],
                "complaints": [
                    "verified_report_count",
                    "failed_dispute_count",
                    "complaint_count_12m",
                    "complaint_growth",
                    "disputed_amount_fen",
                ],
                "public_opinion": [
                    "negative_opinion_bp",
                    "negative_opinion_count",
                    "verified_opinion_count",
                ],
                "operations": ["missing_report_count", "late_report_count", "hidden_report_count"],
                "registration_changes": [
                    "change_count",
                    "representative_change_count",
                    "address_change_count",
                    "name_change_count",
                    "shareholder_change_count",
                    "scope_change_count",
                    "capital_decrease_count",
                ],
                "abnormal_listings": [
                    "abnormal_listing_weight",
                    "abnormal_listed_months",
                    "abnormal_listing_count_36m",
                    "contact_listing_count",
                    "falsehood_listing_count",
                ],
                "serious_violations": ["serious_listing_weight"],
                "judgment_defaulters": ["judgment_default_weight"],
            }
        )
    }}
{% endmacro %}

{# By feed those whose records stand in its evidence view. #}
{% macro feed_indicators() %}
    {{
        return(
            {
                "registrations": ["operating_months", "registered_capital_fen", "term_remaining_months"],
                "related_parties": [
                    "corporate_shareholder_count",
                    "invested_enterprise_count",
                    "branch_count",
                    "risky_related_bp",
                    "risky_shareholder_bp",
                    "risky_person_bp",
                    "risky_guarantor_bp",
                    "risky_address_bp",
                    "related_penalized_bp",
                    "related_listed_bp",
                    "related_defaulter_bp",
                    "related_revoked_bp",
                    "same_address_count",
                    "representative_enterprise_count",
                ],
                "licences": [
                    "valid_licence_count",
                    "expired_licence_count",
                    "expiring_licence_count",
                    "revoked_licence_count",
                ],
                "penalties": [
                    "penalty_weight",
                    "penalty_fine_fen",
                    "penalty_count_12m",
                    "penalty_count_36m",
                    "serious_penalty_count",
                    "repeated_violation_count",
                    "penalizing_authority_count",
                    "safety_penalty_count",
                    "months_since_penalty",
                ],
                "honours": ["honour_points", "high_honour_count"],
                "inspection_results": [
                    "inspection_problem_weight",
                    "inspection_clean_count",
                    "inspection_count",
                    "inspection_problem_bp",
                    "overdue_rectification_count",
                    "not_cooperating_count",
                    "unreachable_count",
                    "unpublished_count",
                    "safety_problem_count",
                ],
                "complaints": [
                    "verified_report_count",
                    "failed_dispute_count",
                    "complaint_count_12m",
                    "complaint_growth",
                    "complaint_rate_bp",
                    "disputed_amount_fen",
                ],
                "public_opinion": [
                    "negative_opinion_bp",
                    "negative_opinion_count",
                    "negative_opinion_share_bp",
                    "verified_opinion_count",
                ],
                "operations": [
                    "debt_ratio_bp",
                    "debt_above_norm_bp",
                    "debt_below_norm_bp",
                    "profit_margin_bp",
                    "loss_year_count",
                    "revenue_change_bp",
                    "revenue_drop_bp",
                    "revenue_rise_bp",
                    "staff_drop_bp",
                    "insured_share_bp",
                    "tax_to_revenue_bp",
                    "tax_arrears_fen",
                    "missing_report_count",
                    "late_report_count",
                    "hidden_report_count",
                ],
                "registration_changes": [
                    "change_count",
                    "representative_change_count",
                    "address_change_count",
                    "name_change_count",
                    "shareholder_change_count",
                    "scope_change_count",
                    "capital_decrease_count",
                ],
                "abnormal_listings": [
                    "abnormal_listing_weight",
                    "abnormal_listed_months",
                    "abnormal_listing_count_36m",
                    "contact_listing_count",
                    "falsehood_listing_count",
                ],
                "serious_violations": ["serious_listing_weight"],
                "judgment_defaulters": ["judgment_default_weight"],
                "public_credit_evaluations": ["public_evaluation_level", "public_evaluation_drop"],
                "industry_ratings": [
                    "industry_rating_level",
                    "tax_rating_level",
                    "environment_rating_level",
                    "labour_rating_level",
                ],
            }
        )
    }}
{% endmacro %}
