{# The list of abnormal operation: fully while listed, lightly for a period after a removal without credit repair. #}
{{ config(materialized="view") }}
with {{ listings("abnormal_listings", "abnormal_listing", "removed_date") }}
select
    {{ evidence_names() }},
    weight as abnormal_listing_weight,
    case
        when is_listed then {{ months_between_days("event_date", "as_of_date") }}
    end as abnormal_listed_months,
    {{ one_if("is_counted") }} as abnormal_listing_count_36m,
    {{ one_if("in_effect and " ~ contains_text("reason", "'无法联系'")) }} as contact_listing_count,
    {{
        one_if(
            "in_effect and ("
            ~ contains_text("reason", "'弄虚作假'")
            ~ " or "
            ~ contains_text("reason", "'隐瞒真实情况'")
            ~ ")"
        )
    }} as falsehood_listing_count,
    {{ listing_facts() }}
from listings
