{# The indicators in the order of their columns. Everything said about one (label, direction, cap, missing rule, use in
   the model) stands in seeds/policy/indicators.csv; a test keeps the two equal. #}
{% macro indicator_names() %}
    {{
        return(
            [
                "operating_months",
                "registered_capital_fen",
                "valid_licence_count",
                "expired_licence_count",
                "penalty_weight",
                "penalty_fine_fen",
                "honour_points",
                "inspection_problem_weight",
                "inspection_clean_count",
                "verified_report_count",
                "failed_dispute_count",
                "negative_opinion_bp",
                "risky_related_bp",
                "debt_ratio_bp",
                "profit_margin_bp",
                "revenue_change_bp",
                "tax_arrears_fen",
                "missing_report_count",
                "change_count",
                "abnormal_listing_weight",
                "serious_listing_weight",
                "judgment_default_weight",
                "public_evaluation_level",
                "industry_rating_level",
            ]
        )
    }}
{% endmacro %}

{# Those whose size means something only beside one's peers; the others count the same in every industry. #}
{% macro peer_indicators() %}
    {{ return(["registered_capital_fen", "debt_ratio_bp", "profit_margin_bp", "revenue_change_bp"]) }}
{% endmacro %}
