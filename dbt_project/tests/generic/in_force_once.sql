{# On every day at most one row of a policy table says what holds for a key. #}
{% test in_force_once(model, key) %}
    with
        periods as (
            select
                effective_from,
                effective_to,
                lead(effective_from) over (
                    partition by {{ key | join(", ") }}
                    order by effective_from asc nulls first, effective_to asc nulls first
                ) as next_from
            from {{ model }}
        )
    select *
    from periods
    where
        effective_from is null
        or effective_to is null
        or effective_to < effective_from
        or next_from <= effective_to
{% endtest %}
