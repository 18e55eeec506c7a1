{{
    versions(
        "judgment_defaulters",
        business_key=["case_no", "uscc"],
        columns=[
            "case_no",
            "court_name",
            "enterprise_name",
            "uscc",
            "filed_date",
            "published_date",
            "performance",
            "withdrawn_date",
        ],
        event_date="published_date",
        void_record_no="case_no",
    )
}}
