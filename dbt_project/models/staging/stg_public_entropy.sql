{{
    versions(
        "public_entropy",
        business_key=["source", "issue"],
        columns=["source", "issue", "announced_date", "numbers", "announcement"],
        event_date="announced_date",
    )
}}
