{{
    versions(
        "recusals",
        business_key=["inspector_id", "uscc", "relation"],
        columns=["inspector_id", "uscc", "relation", "declared_date", "valid_to"],
        event_date="declared_date",
    )
}}
