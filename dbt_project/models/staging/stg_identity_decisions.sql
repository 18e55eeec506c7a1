{{
    versions(
        "identity_decisions",
        business_key=["decision_id"],
        columns=["decision_id", "party_key", "decision", "uscc", "decided_by", "decided_date", "reason"],
        event_date="decided_date",
    )
}}
