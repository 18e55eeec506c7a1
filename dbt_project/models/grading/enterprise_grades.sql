{# The platform grade A-E of every gradable enterprise, exactly one each, with the path that led to it and the five
   indicators that raised its score most.

   1. The probability gives the score grade (grade_bounds). The model alone gives E only with a negative record in
      effect (model_policy e_needs_negative_record): otherwise D.
   2. Too few kinds of information: neutral C, worse only with negative records; B for a new enterprise without any.
      A new enterprise is never better than B. Never A by default (data_poor_rules).
   3. Vetoes: 'force' decides, 'not_better_than' bounds (vetoes). #}
{%- set card = scorecard() -%}
{%- set features = card["features"] -%}
-- depends_on: {{ source("grading", "scorecard_points") }}
with
    bounds as (
        select
            max(case when grade = 'A' then probability_upper end) as a,
            max(case when grade = 'B' then probability_upper end) as b,
            max(case when grade = 'C' then probability_upper end) as c,
            max(case when grade = 'D' then probability_upper end) as d
        from {{ in_force("grade_bounds") }} as g
    ),
    poor as (
        select
            max(case when path = 'insufficient_data' then minimum_kinds end) as minimum_kinds,
            max(case when path = 'insufficient_data' then {{ grade_rank("grade") }} end) as poor_rank,
            max(case when path = 'new_enterprise' then max_age_months end) as new_months,
            max(case when path = 'new_enterprise' then max_negative_records end) as new_negatives,
            max(case when path = 'new_enterprise' then {{ grade_rank("grade") }} end) as new_rank
        from {{ in_force("data_poor_rules") }} as r
    ),
    vetoes as (
        select
            uscc,
            max(case when effect = 'force' then {{ grade_rank("veto_grade") }} end) as forced_rank,
            max(case when effect = 'not_better_than' then {{ grade_rank("veto_grade") }} end) as floor_rank,
            {{ sorted_list("veto") }} as veto_codes
        from {{ ref("grade_vetoes") }}
        group by uscc
    ),
    reference as (
        select
            {% for feature in features %}
                {% if feature["reference"] is not none %} cast({{ feature["reference"] }} as bigint)
                {% else %}
                    cast(floor(cast(sum(p_{{ feature["name"] }}) as double) / nullif(count(*), 0)) as bigint)
                {% endif %} as r_{{ feature["name"] }},
            {% endfor %}
            count(*) as scored_count
        from {{ ref("enterprise_scores") }}
    ),
    -- A surplus over the reference and its indicator in one number, so that the largest can be found by
    -- greatest();
    -- of equal ones the indicator that is first by name wins.
    surplus as (
        select
            s.uscc
            {% for feature in features %}
                ,
                case
                    when s.p_{{ feature["name"] }} > r.r_{{ feature["name"] }}
                    then
                        (s.p_{{ feature["name"] }} - r.r_{{ feature["name"] }}) * 1000
                        + {{ 999 - loop.index0 }}
                end as s_{{ loop.index0 }}
            {% endfor %}
        from {{ ref("enterprise_scores") }} as s
        cross join reference as r
    ),
    {% for place in range(1, 6) %}
        {% set earlier = "surplus" if place == 1 else "place_" ~ (place - 1) %}
        place_{{ place }} as (
            select
                *,
                {% if features %}
                    greatest(
                        cast(null as bigint),
                        {% for feature in features %}
                            {% if place == 1 %} s_{{ loop.index0 }}
                            {% else %}
                                case
                                    when s_{{ loop.index0 }} < best_{{ place - 1 }} then s_{{ loop.index0 }}
                                end
                            {% endif %}
                            {% if not loop.last %},{% endif %}
                        {% endfor %}
                    )
                {% else %} cast(null as bigint)
                {% endif %} as best_{{ place }}
            from {{ earlier }}
        ),
    {% endfor %}
    reasons as (
        select
            uscc
            {% for place in range(1, 6) %}
                ,
                case
                    mod(best_{{ place }}, 1000)
                    {% for feature in features %}
                        when {{ 999 - loop.index0 }} then '{{ feature["name"] }}'
                    {% endfor %}
                    {% if not features %} when 0 then '' {% endif %}
                end as reason_{{ place }}
            {% endfor %}
        from place_5
    ),
    scored as (
        select
            e.uscc,
            s.score_micro,
            s.probability,
            i.data_completeness,
            i.negative_record_count,
            i.negative_record_count_12m,
            i.operating_months,
            case
                when s.probability <= b.a
                then 1
                when s.probability <= b.b
                then 2
                when s.probability <= b.c
                then 3
                when s.probability <= b.d
                then 4
                else 5
            end as score_rank
        from {{ ref("enterprises") }} as e
        join {{ ref("enterprise_scores") }} as s on s.uscc = e.uscc
        join {{ ref("enterprise_indicators") }} as i on i.as_of_date = {{ as_of() }} and i.uscc = e.uscc
        cross join bounds as b
        where e.is_gradable
    ),
    modelled as (
        select
            *,
            case
                when
                    score_rank = 5
                    and negative_record_count = 0
                    and {{ parameter("e_needs_negative_record") }} = 1
                then 4
                else score_rank
            end as model_rank
        from scored
    ),
    based as (
        select
            m.*,
            case
                when m.data_completeness >= p.minimum_kinds
                then
                    case
                        when m.operating_months < p.new_months
                        then greatest(m.model_rank, p.new_rank)
                        else m.model_rank
                    end
                when m.operating_months < p.new_months and m.negative_record_count <= p.new_negatives
                then p.new_rank
                when m.negative_record_count > 0
                then greatest(m.model_rank, p.poor_rank)
                else p.poor_rank
            end as base_rank,
            case
                when m.data_completeness >= p.minimum_kinds
                then
                    case
                        when m.operating_months < p.new_months and m.model_rank < p.new_rank
                        then 'new_enterprise'
                        else 'model'
                    end
                when m.operating_months < p.new_months and m.negative_record_count <= p.new_negatives
                then 'new_enterprise'
                else 'insufficient_data'
            end as base_path
        from modelled as m
        cross join poor as p
    ),
    decided as (
        select
            b.*,
            coalesce(v.forced_rank, greatest(b.base_rank, coalesce(v.floor_rank, 0))) as final_rank,
            case
                when v.forced_rank is not null
                then 'veto'
                when v.floor_rank > b.base_rank
                then 'floor'
                else b.base_path
            end as path,
            coalesce(v.veto_codes, '') as veto_codes
        from based as b
        left join vetoes as v on v.uscc = b.uscc
    )
select
    {{ as_of() }} as as_of_date,
    d.uscc,
    g.grade as platform_grade,
    g.label as grade_label,
    {{ grade_of("d.score_rank") }} as score_grade,
    d.path,
    d.probability,
    d.score_micro,
    d.veto_codes,
    r.reason_1,
    r.reason_2,
    r.reason_3,
    r.reason_4,
    r.reason_5,
    d.data_completeness,
    d.negative_record_count,
    d.negative_record_count_12m,
    '{{ policy_version() }}' as policy_version,
    '{{ card["digest"] }}' as model_digest
from decided as d
join {{ in_force("grade_bounds") }} as g on g.rank = d.final_rank
left join reasons as r on r.uscc = d.uscc
