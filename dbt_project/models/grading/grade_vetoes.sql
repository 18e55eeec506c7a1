{# Facts that decide or bound a grade whatever the score says, in force on the as-of day, each with its latest evidence.
   A veto ends on the day its listing ends or is repaired. #}
with
    penalty_periods as (
        select record_class, effect_months
        from {{ in_force("effect_periods") }} as e
        where record_kind = 'penalty'
    ),
    inspection_periods as (
        select max(effect_months) as effect_months
        from {{ in_force("effect_periods") }} as e
        where record_kind = 'inspection' and record_class = 'any'
    ),
    judgment_periods as (
        select record_class, effect_months
        from {{ in_force("effect_periods") }} as e
        where record_kind = 'judgment_default'
    ),
    clean_inspections as (
        select r.uscc, max(r.check_date) as last_clean_date
        from {{ ref("stg_inspection_results") }} as r
        where {{ counts_on("r", as_of()) }} and {{ has_code("r.result_codes", "no_problem") }}
        group by r.uscc
    ),
    facts as (
        select
            'serious_violation_listed' as veto,
            v.uscc,
            v.listing_id as record_no,
            v.listed_date as event_date,
            v.source_file,
            v.source_sheet,
            v.source_row,
            v.ingest_date,
            cast(null as date) as effect_end,
            coalesce(v.record_status, 'valid') = 'objection' as is_objected
        from {{ ref("stg_serious_violations") }} as v
        where
            {{ counts_on("v", as_of()) }}
            and v.listed_date <= {{ as_of() }}
            and (v.removed_date is null or v.removed_date > {{ as_of() }})
        union all
        select
            'licence_revoked' as veto,
            p.uscc,
            p.document_no as record_no,
            p.decision_date as event_date,
            p.source_file,
            p.source_sheet,
            p.source_row,
            p.ingest_date,
            {{ add_months("p.decision_date", "e.effect_months") }} as effect_end,
            coalesce(p.record_status, 'valid') = 'objection' as is_objected
        from {{ ref("stg_penalties") }} as p
        join penalty_periods as e on e.record_class = p.penalty_class
        where
            {{ counts_on("p", as_of()) }}
            and {{ has_code("p.penalty_kinds", "revocation") }}
            and not p.is_no_penalty
            and p.decision_date <= {{ as_of() }}
            and {{ add_months("p.decision_date", "e.effect_months") }} > {{ as_of() }}
        union all
        select
            'abnormal_listed' as veto,
            a.uscc,
            a.listing_id as record_no,
            a.listed_date as event_date,
            a.source_file,
            a.source_sheet,
            a.source_row,
            a.ingest_date,
            cast(null as date) as effect_end,
            coalesce(a.record_status, 'valid') = 'objection' as is_objected
        from {{ ref("stg_abnormal_listings") }} as a
        where
            {{ counts_on("a", as_of()) }}
            and a.listed_date <= {{ as_of() }}
            and (a.removed_date is null or a.removed_date > {{ as_of() }})
        union all
        select
            'not_cooperating' as veto,
            r.uscc,
            r.task_no as record_no,
            r.check_date as event_date,
            r.source_file,
            r.source_sheet,
            r.source_row,
            r.ingest_date,
            {{ add_months("r.check_date", "e.effect_months") }} as effect_end,
            coalesce(r.record_status, 'valid') = 'objection' as is_objected
        from {{ ref("stg_inspection_results") }} as r
        cross join inspection_periods as e
        left join clean_inspections as c on c.uscc = r.uscc
        where
            {{ counts_on("r", as_of()) }}
            and {{ has_code("r.result_codes", "not_cooperating") }}
            and r.check_date <= {{ as_of() }}
            and {{ add_months("r.check_date", "e.effect_months") }} > {{ as_of() }}
            and (c.last_clean_date is null or c.last_clean_date <= r.check_date)
            and (r.rectified_date is null or r.rectified_date > {{ as_of() }})
        union all
        select
            'judgment_defaulter' as veto,
            j.uscc,
            j.case_no as record_no,
            j.published_date as event_date,
            j.source_file,
            j.source_sheet,
            j.source_row,
            j.ingest_date,
            {{ add_months("j.published_date", "e.effect_months") }} as effect_end,
            coalesce(j.record_status, 'valid') = 'objection' as is_objected
        from {{ ref("stg_judgment_defaulters") }} as j
        join
            judgment_periods as e
            on e.record_class = case when j.performance = 'partly' then 'partly' else 'unperformed' end
        where
            {{ counts_on("j", as_of()) }}
            and j.published_date <= {{ as_of() }}
            and coalesce(j.performance, 'unperformed') <> 'performed'
            and (j.withdrawn_date is null or j.withdrawn_date > {{ as_of() }})
            and {{ add_months("j.published_date", "e.effect_months") }} > {{ as_of() }}
    ),
    ranked as (
        select
            f.*,
            count(*) over (partition by f.uscc, f.veto) as evidence_count,
            max(f.effect_end) over (partition by f.uscc, f.veto) as last_effect_end,
            min(case when f.is_objected then 1 else 0 end) over (partition by f.uscc, f.veto)
            = 1 as is_disputed,
            row_number() over (
                partition by f.uscc, f.veto
                order by
                    f.event_date desc nulls last,
                    f.record_no asc nulls last,
                    f.source_file asc nulls last,
                    f.source_sheet asc nulls last,
                    f.source_row asc nulls last
            ) as recency
        from facts as f
    )
select
    {{ as_of() }} as as_of_date,
    r.uscc,
    r.veto,
    v.label,
    v.effect,
    v.grade as veto_grade,
    v.source_feed,
    r.record_no,
    r.event_date,
    r.evidence_count,
    r.last_effect_end as effect_end,
    r.is_disputed,
    r.source_file,
    r.source_sheet,
    r.source_row,
    r.ingest_date
from ranked as r
join {{ in_force("vetoes") }} as v on v.veto = r.veto
join {{ ref("enterprises") }} as e on e.uscc = r.uscc and e.is_gradable
where r.recency = 1
