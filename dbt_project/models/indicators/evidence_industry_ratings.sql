{# Industry ratings that are valid, the latest of each scheme, mapped from its own scale to a level 1 (best) to 5. Neutral
   or unknown ratings say nothing. #}
{{ config(materialized="view") }}
with
    snapshots as ({{ snapshots() }}),
    periods as ({{ effect_periods_at({"industry": ["evaluation", "industry"]}) }}),
    valid as (
        select
            {{
                evidence_columns(
                    "r", "r.scheme || ' ' || cast(r.rating_year as varchar(4))", "r.rated_date"
                )
            }},
            r.scheme,
            {{ grade_rank("m.mapped_grade") }} as level,
            row_number() over (
                partition by p.as_of_date, r.uscc, r.scheme
                order by
                    r.rated_date desc nulls last,
                    r.rating asc nulls last,
                    r.source_file asc nulls last,
                    r.source_row asc nulls last
            ) as recency
        from {{ ref("stg_industry_ratings") }} as r
        join
            periods as p
            on {{ counts_on("r", "p.as_of_date") }}
            and greatest(r.rated_date, r.valid_from) <= p.as_of_date
            and {{ last_valid_day("r", "r.rated_date", "p.industry_months") }} >= p.as_of_date
        left join
            {{ ref("rating_maps") }} as m
            on m.scheme = r.scheme
            and m.rating = r.rating
            and m.effective_from <= p.as_of_date
            and m.effective_to >= p.as_of_date
    )
select
    {{ evidence_names() }},
    cast(level as bigint) as industry_rating_level,
    cast(case when scheme = 'tax' then level end as bigint) as tax_rating_level,
    cast(case when scheme = 'environment' then level end as bigint) as environment_rating_level,
    cast(case when scheme = 'labour' then level end as bigint) as labour_rating_level,
    cast(1 as bigint) as evidence_count
from valid
where recency = 1
