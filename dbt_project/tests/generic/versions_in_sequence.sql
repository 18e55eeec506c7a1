{# The versions of one record follow each other without overlap, and at most one is current. #}
{% test versions_in_sequence(model, business_key) %}
    with
        versions as (
            select
                known_from,
                known_to,
                lead(known_from) over (
                    partition by {{ business_key | join(", ") }}
                    order by known_from asc nulls first, known_to asc nulls last
                ) as next_known_from
            from {{ model }}
        )
    select *
    from versions
    where
        known_from is null
        or known_to <= known_from
        or (next_known_from is not null and (known_to is null or known_to > next_known_from))
{% endtest %}
