{# The directory of inspectors as a round sees it: nobody vanishes, who may not go keeps the reason. A region of a whole
   province or city (ending in zeros) is the prefix before the zeros; skills are cut at the separators that offices
   use, each once and sorted. #}
with
    directory as (
        select
            d.inspector_id,
            d.unit_id,
            coalesce(d.is_leader, false) as is_leader,
            coalesce(d.region, '') as region,
            {{ sorted_parts("d.skills", "、，,;；/+|:：", "+") }} as skills,
            d.certificate_valid_to,
            d.leave_from is not null
            and d.leave_from <= {{ as_of() }}
            and (d.leave_to is null or d.leave_to >= {{ as_of() }}) as is_on_leave
        from {{ ref("stg_inspectors") }} as d
        where {{ counts_on("d", as_of()) }}
    )
select
    r.plan_id,
    r.round,
    d.unit_id,
    d.inspector_id,
    d.is_leader,
    case
        when length(d.region) = 6 and d.region like '%0000'
        then substr(d.region, 1, 2)
        when length(d.region) = 6 and d.region like '%00'
        then substr(d.region, 1, 4)
        else d.region
    end as region_prefix,
    d.skills,
    case
        when d.certificate_valid_to is null or d.certificate_valid_to < {{ as_of() }}
        then 'certificate_expired'
        when d.certificate_valid_to < r.window_end
        then 'certificate_ends_in_window'
        when d.is_on_leave
        then 'on_leave'
        else ''
    end as excluded_reason
from {{ ref("inspection_rounds") }} as r
cross join directory as d
