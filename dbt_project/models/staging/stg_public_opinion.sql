{{
    versions(
        "public_opinion",
        business_key=["item_id", "uscc"],
        columns=[
            "item_id",
            "uscc",
            "enterprise_name",
            "source_name",
            "published_date",
            "polarity",
            "topic",
            "confidence",
            "verified_by",
        ],
        event_date="published_date",
    )
}}
