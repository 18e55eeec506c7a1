{# Inspections whose result is known, one row per enterprise, authority and day: a visit for three items of two plans is
   one row, as the enterprise saw it. Of several results problems count alone, else the clean one, else what is left.

   public_from: results go out in batches (Mondays, or firsts of a month) once delay_days have passed, so that neither
   the day nor the company in a batch tells which plan an inspection belonged to; never later than the last of the
   working days that law allows, unless the result itself came later: then with the next batch. A corrected result
   keeps the day of its first version. Enterprises that stand in no extract (state secrets) are not here either. #}
with
    rules as (
        select
            max(case when parameter = 'delay_days' then value end) as delay_days,
            max(case when parameter = 'batch_by_month' then value end) as batch_by_month
        from {{ in_force("public_policy") }} as p
    ),
    clock as (
        select max(cast(value as bigint)) as working_days
        from {{ in_force("inspection_policy") }} as p
        where parameter = 'publication_working_days'
    ),
    codes as (select result_code, label, outcome from {{ in_force("inspection_result_codes") }} as c),
    excluded as (select uscc from {{ in_force("excluded_enterprises") }} as x),
    units as (select unit_id, unit_name from {{ in_force("units") }} as u),
    versions as (
        select
            r.uscc,
            coalesce(u.unit_name, r.authority_name) as authority,
            r.check_date,
            r.result_codes,
            r.known_from,
            r.known_to,
            r.void_from,
            min(r.known_from) over (partition by r.task_no, r.uscc, r.item_code) as first_known
        from {{ ref("stg_inspection_results") }} as r
        left join units as u on u.unit_id = r.unit_id
        left join excluded as x on x.uscc = r.uscc
        where x.uscc is null and r.known_from <= {{ as_of() }} and r.check_date <= {{ as_of() }}
    ),
    counted as (
        select v.uscc, v.authority, v.check_date, v.first_known, c.result_code, c.label, c.outcome
        from versions as v
        join codes as c on position('|' || c.result_code || '|' in '|' || v.result_codes || '|') > 0
        where {{ counts_on("v", as_of()) }} and v.authority is not null
    ),
    inspections as (
        select
            uscc,
            authority,
            check_date,
            min(first_known) as first_known,
            case
                when max(case when outcome = 'problem' then 1 else 0 end) = 1
                then 'problem'
                when max(case when outcome = 'clean' then 1 else 0 end) = 1
                then 'clean'
                when max(case when outcome = 'neutral' then 1 else 0 end) = 1
                then 'neutral'
                else 'not_inspectable'
            end as outcome
        from counted
        group by uscc, authority, check_date
    ),
    found as (
        select uscc, authority, check_date, outcome, result_code, label
        from counted
        group by uscc, authority, check_date, outcome, result_code, label
    ),
    worded as (
        select
            i.uscc,
            i.authority,
            i.check_date,
            i.outcome,
            i.first_known,
            {{ sorted_list("f.result_code") }} as result_codes,
            {{ sorted_list("f.label") }} as results
        from inspections as i
        join
            found as f
            on f.uscc = i.uscc
            and f.authority = i.authority
            and f.check_date = i.check_date
            and f.outcome = i.outcome
        group by i.uscc, i.authority, i.check_date, i.outcome, i.first_known
    ),
    timed as (
        select
            w.*,
            greatest({{ add_days("w.check_date", "r.delay_days") }}, w.first_known) as ready_on,
            d.day as due_on,
            r.batch_by_month
        from worded as w
        cross join rules as r
        cross join clock as c
        left join {{ ref("working_days") }} as b on b.day = w.check_date
        left join
            {{ ref("working_days") }} as d
            on d.working_day_number = b.working_day_number + c.working_days
            and d.is_working_day
    ),
    batched as (
        select
            t.*,
            case
                when t.batch_by_month = 0
                then {{ add_days("t.ready_on", "(8 - " ~ iso_weekday("t.ready_on") ~ ") % 7") }}
                when day(t.ready_on) = 1
                then t.ready_on
                else {{ add_months(add_days("t.ready_on", "1 - day(t.ready_on)"), 1) }}
            end as batch_on
        from timed as t
    )
select
    b.uscc,
    e.enterprise_name,
    e.region_name,
    b.authority,
    b.check_date,
    b.result_codes,
    b.results,
    b.outcome,
    e.subject_kind = 'individual_business' as is_natural_person,
    case when b.first_known <= b.due_on then least(b.batch_on, b.due_on) else b.batch_on end as public_from
from batched as b
join {{ ref("enterprises") }} as e on e.uscc = b.uscc
