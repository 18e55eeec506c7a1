{# Evaluations by others, per enterprise: the public credit evaluation, and the worst of the valid industry ratings. The
   rules stand in evidence_public_credit_evaluations and evidence_industry_ratings. #}
with
    given as (
        select
            as_of_date,
            uscc,
            public_evaluation_level,
            public_evaluation_drop,
            cast(null as bigint) as industry_rating_level,
            cast(null as bigint) as tax_rating_level,
            cast(null as bigint) as environment_rating_level,
            cast(null as bigint) as labour_rating_level,
            evidence_count
        from {{ ref("evidence_public_credit_evaluations") }}
        union all
        select
            as_of_date,
            uscc,
            cast(null as bigint) as public_evaluation_level,
            cast(null as bigint) as public_evaluation_drop,
            industry_rating_level,
            tax_rating_level,
            environment_rating_level,
            labour_rating_level,
            evidence_count
        from {{ ref("evidence_industry_ratings") }}
    )
select
    as_of_date,
    uscc,
    {% for name in [
        "public_evaluation_level",
        "public_evaluation_drop",
        "industry_rating_level",
        "tax_rating_level",
        "environment_rating_level",
        "labour_rating_level",
    ] %}
        max({{ name }}) as {{ name }},
    {% endfor %}
    {{ total("evidence_count") }}
from given
group by as_of_date, uscc
