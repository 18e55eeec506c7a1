{{ config(materialized="view") }}
{# How a grade came about, step by step: unit_id null for the platform's steps 1 to 5, then per unit its steps 6 and 7.
   Every step that was asked is shown, also when it changed nothing (grade_before = grade_after, rule says why). A
   filter on uscc reaches the tables. #}
with
    platform as (
        select
            g.*,
            case
                when g.veto_codes = ''
                then 'none'
                when g.decided_path in ('veto', 'floor')
                then g.decided_path
                else 'already_as_bad'
            end as veto_rule
        from {{ ref("enterprise_grades") }} as g
    )
select
    as_of_date,
    uscc,
    cast(null as varchar(40)) as unit_id,
    cast(1 as integer) as step_no,
    'score' as step,
    cast(null as varchar(1)) as grade_before,
    score_grade as grade_after,
    'probability_bounds' as rule,
    'score_micro='
    || cast(score_micro as varchar(40))
    || '; probability='
    || cast(probability as varchar(40)) as detail
from platform
union all
select
    as_of_date,
    uscc,
    cast(null as varchar(40)),
    2,
    'negative_record_rule',
    score_grade,
    model_grade,
    case when model_grade <> score_grade then 'e_needs_negative_record' else 'none' end,
    'negative_records=' || cast(negative_record_count as varchar(40))
from platform
union all
select
    as_of_date,
    uscc,
    cast(null as varchar(40)),
    3,
    'data_poor',
    model_grade,
    base_grade,
    case when base_path = 'model' then 'none' else base_path end,
    'kinds_of_information=' || cast(data_completeness as varchar(40))
from platform
union all
select
    as_of_date, uscc, cast(null as varchar(40)), 4, 'veto', base_grade, decided_grade, veto_rule, veto_codes
from platform
union all
select
    as_of_date,
    uscc,
    cast(null as varchar(40)),
    5,
    'objection',
    decided_grade,
    platform_grade,
    case when path = 'objection' then 'downgrade_frozen' else 'none' end,
    ''
from platform
union all
select
    as_of_date,
    uscc,
    unit_id,
    6,
    'industry_rating',
    platform_grade,
    rated_grade,
    rating_rule,
    case
        when industry_rating is null
        then ''
        else
            industry_scheme
            || '='
            || industry_rating
            || '; mapped='
            || coalesce(industry_mapped_grade, 'neutral')
    end
from {{ ref("unit_grades") }}
union all
select
    as_of_date,
    uscc,
    unit_id,
    7,
    'unit_system',
    rated_grade,
    unit_grade,
    system_rule,
    case
        when system_id is null
        then ''
        else
            'system='
            || system_id
            || '; score_bp='
            || coalesce(cast(system_score_bp as varchar(40)), 'none')
            || '; system_grade='
            || coalesce(system_grade, 'none')
            || '; combination='
            || system_combination
    end
from {{ ref("unit_grades") }}
