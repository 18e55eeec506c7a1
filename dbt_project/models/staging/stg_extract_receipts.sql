{{
    versions(
        "extract_receipts",
        business_key=["unit_id", "release_seq"],
        columns=["unit_id", "release_seq", "manifest_sha256", "log_size", "log_head", "received_date"],
        event_date="received_date",
    )
}}
