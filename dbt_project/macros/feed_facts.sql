{# What the models must know of the catalogue of feeds. Written by `python -m credit_pipeline.feeds.feed_facts`; edit the
   catalogue, not this file. key: business key; name: column with the enterprise's name ('' if none) and the headers under
   which sources send it; units: columns that name the sender; event: day the fact happened; cadence_days: agreed
   interval of deliveries; pattern: snapshot or increment; kind: kind of information; has_uscc: whether rows name an
   enterprise. #}
{% macro feed_facts() %}
    {{
        return(
            {
                "registrations": {"key": ["uscc"], "name": "enterprise_name", "name_headers": ["entname", "名称", "市场主体名称", "企业名称", "enterprise_name"], "units": ["registration_authority"], "event": "established_date", "cadence_days": 7, "pattern": "snapshot", "kind": "registration", "has_uscc": True},
                "abnormal_listings": {"key": ["listing_id"], "name": "enterprise_name", "name_headers": ["entname", "企业名称", "enterprise_name"], "units": ["listing_authority"], "event": "listed_date", "cadence_days": 7, "pattern": "increment", "kind": "abnormal_change", "has_uscc": True},
                "absence_confirmations": {"key": ["confirmation_id"], "name": "", "name_headers": [], "units": [], "event": "decided_date", "cadence_days": 366, "pattern": "increment", "kind": "decision", "has_uscc": False},
                "complaints": {"key": ["ticket_no"], "name": "enterprise_name", "name_headers": ["被诉主体名称", "被投诉企业名称", "enterprise_name"], "units": [], "event": "received_date", "cadence_days": 7, "pattern": "increment", "kind": "complaint", "has_uscc": True},
                "credit_repairs": {"key": ["repair_no"], "name": "enterprise_name", "name_headers": ["企业名称", "enterprise_name"], "units": ["authority_name"], "event": "decided_date", "cadence_days": 7, "pattern": "increment", "kind": "repair", "has_uscc": True},
                "honours": {"key": ["document_no", "uscc"], "name": "enterprise_name", "name_headers": ["ENT_NAME", "企业名称", "enterprise_name"], "units": ["authority_name"], "event": "awarded_date", "cadence_days": 31, "pattern": "increment", "kind": "honour", "has_uscc": True},
                "identity_decisions": {"key": ["decision_id"], "name": "", "name_headers": [], "units": [], "event": "decided_date", "cadence_days": 366, "pattern": "increment", "kind": "decision", "has_uscc": True},
                "industry_ratings": {"key": ["scheme", "uscc", "rating_year"], "name": "enterprise_name", "name_headers": ["企业名称", "enterprise_name"], "units": ["rated_by"], "event": "rated_date", "cadence_days": 366, "pattern": "increment", "kind": "evaluation", "has_uscc": True},
                "inspection_items": {"key": ["item_code"], "name": "", "name_headers": [], "units": [], "event": "", "cadence_days": 366, "pattern": "snapshot", "kind": "directory", "has_uscc": False},
                "inspection_results": {"key": ["task_no", "uscc", "item_code"], "name": "", "name_headers": [], "units": ["unit_id", "authority_name"], "event": "check_date", "cadence_days": 7, "pattern": "increment", "kind": "inspection", "has_uscc": True},
                "inspectors": {"key": ["inspector_id"], "name": "", "name_headers": [], "units": ["unit_id", "unit_name"], "event": "", "cadence_days": 92, "pattern": "snapshot", "kind": "directory", "has_uscc": False},
                "judgment_defaulters": {"key": ["case_no", "uscc"], "name": "enterprise_name", "name_headers": ["被执行人姓名/名称", "被执行人名称", "enterprise_name"], "units": ["court_name"], "event": "published_date", "cadence_days": 31, "pattern": "increment", "kind": "abnormal_change", "has_uscc": True},
                "licences": {"key": ["authority_code", "document_no", "licence_no", "uscc"], "name": "party_name", "name_headers": ["XK_XDR_MC", "行政相对人名称", "party_name"], "units": ["source_unit_name", "authority_name"], "event": "decision_date", "cadence_days": 7, "pattern": "increment", "kind": "licence", "has_uscc": True},
                "operations": {"key": ["uscc", "report_year"], "name": "enterprise_name", "name_headers": ["entname", "企业名称", "enterprise_name"], "units": [], "event": "report_date", "cadence_days": 366, "pattern": "increment", "kind": "operation", "has_uscc": True},
                "penalties": {"key": ["authority_code", "document_no", "uscc"], "name": "party_name", "name_headers": ["CF_XDR_MC", "entname", "行政相对人名称", "party_name"], "units": ["source_unit_name", "authority_name"], "event": "decision_date", "cadence_days": 7, "pattern": "increment", "kind": "penalty", "has_uscc": True},
                "public_credit_evaluations": {"key": ["uscc", "period"], "name": "enterprise_name", "name_headers": ["企业名称", "enterprise_name"], "units": ["evaluator"], "event": "evaluated_date", "cadence_days": 92, "pattern": "increment", "kind": "evaluation", "has_uscc": True},
                "public_entropy": {"key": ["source", "issue"], "name": "", "name_headers": [], "units": [], "event": "announced_date", "cadence_days": 366, "pattern": "increment", "kind": "decision", "has_uscc": False},
                "public_opinion": {"key": ["item_id", "uscc"], "name": "enterprise_name", "name_headers": ["企业名称", "enterprise_name"], "units": [], "event": "published_date", "cadence_days": 7, "pattern": "increment", "kind": "public_opinion", "has_uscc": True},
                "registration_changes": {"key": ["uscc", "changed_field", "change_date", "sequence"], "name": "", "name_headers": [], "units": [], "event": "change_date", "cadence_days": 7, "pattern": "increment", "kind": "abnormal_change", "has_uscc": True},
                "related_parties": {"key": ["from_id", "uscc", "relation"], "name": "", "name_headers": [], "units": [], "event": "valid_from", "cadence_days": 31, "pattern": "snapshot", "kind": "related_party", "has_uscc": True},
                "serious_violations": {"key": ["listing_id"], "name": "enterprise_name", "name_headers": ["entname", "企业名称", "enterprise_name"], "units": ["listing_authority"], "event": "listed_date", "cadence_days": 7, "pattern": "increment", "kind": "abnormal_change", "has_uscc": True},
            }
        )
    }}
{% endmacro %}
