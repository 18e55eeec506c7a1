{{
    versions(
        "related_parties",
        business_key=["from_id", "uscc", "relation"],
        columns=[
            "from_id",
            "from_name",
            "uscc",
            "relation",
            "share_ratio",
            "valid_from",
            "valid_to",
            "valid_to_is_open_ended",
        ],
        event_date="valid_from",
    )
}}
