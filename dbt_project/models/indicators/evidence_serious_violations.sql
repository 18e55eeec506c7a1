{# The list of serious violations: fully while listed, and for a period from the listing after a removal without repair. #}
{{ config(materialized="view") }}
with {{ listings("serious_violations", "serious_violation", "listed_date") }}
select {{ evidence_names() }}, weight as serious_listing_weight, {{ listing_facts() }}
from listings
