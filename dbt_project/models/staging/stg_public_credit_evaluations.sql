{{
    versions(
        "public_credit_evaluations",
        business_key=["uscc", "period"],
        columns=[
            "uscc",
            "enterprise_name",
            "evaluation_level",
            "evaluation_score",
            "period",
            "evaluated_date",
            "valid_to",
            "valid_to_is_open_ended",
            "evaluator",
        ],
        event_date="evaluated_date",
    )
}}
