{{
    versions(
        "registration_changes",
        business_key=["uscc", "changed_field", "change_date", "sequence"],
        columns=["uscc", "changed_field", "old_value", "new_value", "change_date", "sequence"],
        event_date="change_date",
    )
}}
