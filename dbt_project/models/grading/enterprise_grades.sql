{# The platform grade A-E of every gradable enterprise, exactly one each, with every step that led to it and the five
   indicators that raised its score most over the norm of its peers (peer_points).

   1. The probability gives the score grade (grade_bounds).
   2. The model alone gives E only with a negative record in effect (e_needs_negative_record): otherwise D.
   3. Too few kinds of information: neutral C, worse only with negative records; B for a new enterprise without any.
      A new enterprise is never better than B. Never A by default (data_poor_rules).
   4. Vetoes: 'force' decides, 'not_better_than' bounds (vetoes).
   5. As long as an objection is pending against a record in effect (disputed_records), the grade is not made worse than
      it was (stored by an earlier run), but for vetoes that rest on an undisputed record
      (objection_freezes_downgrade). #}
{%- set card = scorecard() -%}
{%- set features = card["features"] -%}
{%- set names = features | map(attribute="name") | list -%}
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
            max(case when not is_disputed then {{ grade_rank("veto_grade") }} end) as undisputed_rank,
            {{ sorted_list("veto") }} as veto_codes
        from {{ ref("grade_vetoes") }}
        group by uscc
    ),
    disputed as (select distinct uscc from {{ ref("disputed_records") }}),
    stored as (
        select
            c.uscc,
            c.new_grade,
            row_number() over (partition by c.uscc order by c.as_of_date desc nulls last) as recency
        from {{ stored_grade_changes() }} as c
        join disputed as d on d.uscc = c.uscc
    ),
    earlier as (select uscc, {{ grade_rank("new_grade") }} as earlier_rank from stored where recency = 1),
    -- A surplus over the norm and its indicator in one number; of equal ones the indicator that is first by
    -- name wins.
    surplus as (
        select
            s.uscc,
            n.peer_level,
            {% if features %} {{ largest_of(list_of(surplus_codes(names)), 5) }}
            {% else %} cast(null as bigint)
            {% endif %} as codes
        from {{ ref("enterprise_scores") }} as s
        join {{ ref("enterprise_indicators") }} as i on i.as_of_date = {{ as_of() }} and i.uscc = s.uscc
        join
            {{ ref("peer_points") }} as n
            on n.industry_section = coalesce(i.industry_section, '')
            and n.size_class = coalesce(i.size_class, '')
    ),
    places as (
        select
            uscc,
            peer_level
            {% for place in range(1, 6) %}
                ,
                {% if features %} {{ element_of("codes", place) }}
                {% else %} cast(null as bigint)
                {% endif %} as code_{{ place }}
            {% endfor %}
        from surplus
    ),
    reasons as (
        select
            uscc,
            peer_level
            {% for place in range(1, 6) %}
                ,
                {% if features %}
                    {{ element_of(list_of(quoted_texts(names)), "1000 - mod(code_" ~ place ~ ", 1000)") }}
                {% else %} cast(null as varchar(200))
                {% endif %} as reason_{{ place }},
                {{ int_div("code_" ~ place, 1000) }} as over_{{ place }}
            {% endfor %}
        from places
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
            coalesce(v.forced_rank, greatest(b.base_rank, coalesce(v.floor_rank, 0))) as decided_rank,
            case
                when v.forced_rank is not null
                then 'veto'
                when v.floor_rank > b.base_rank
                then 'floor'
                else b.base_path
            end as decided_path,
            coalesce(v.veto_codes, '') as veto_codes,
            case
                when
                    d.uscc is not null
                    and h.earlier_rank is not null
                    and {{ parameter("objection_freezes_downgrade") }} = 1
                then greatest(h.earlier_rank, coalesce(v.undisputed_rank, 0))
            end as frozen_rank
        from based as b
        left join vetoes as v on v.uscc = b.uscc
        left join disputed as d on d.uscc = b.uscc
        left join earlier as h on h.uscc = b.uscc
    ),
    final as (
        select
            *,
            case when frozen_rank < decided_rank then frozen_rank else decided_rank end as final_rank,
            case when frozen_rank < decided_rank then 'objection' else decided_path end as path
        from decided
    )
select
    {{ as_of() }} as as_of_date,
    d.uscc,
    g.grade as platform_grade,
    g.label as grade_label,
    {{ grade_of("d.score_rank") }} as score_grade,
    {{ grade_of("d.model_rank") }} as model_grade,
    {{ grade_of("d.base_rank") }} as base_grade,
    d.base_path,
    {{ grade_of("d.decided_rank") }} as decided_grade,
    d.decided_path,
    d.path,
    d.probability,
    d.score_micro,
    d.veto_codes,
    r.peer_level,
    {% for place in range(1, 6) %} r.reason_{{ place }}, {% endfor %}
    {% for place in range(1, 6) %} r.over_{{ place }}, {% endfor %}
    d.data_completeness,
    d.negative_record_count,
    d.negative_record_count_12m,
    '{{ policy_version() }}' as policy_version,
    '{{ card["digest"] }}' as model_digest
from final as d
join {{ in_force("grade_bounds") }} as g on g.rank = d.final_rank
left join reasons as r on r.uscc = d.uscc
