{# The register as of the day: one row per code, whoever it is and whatever its status; is_gradable says who is graded. #}
with
    register as (
        select r.*, substr(r.uscc, 1, 2) as code_prefix, substr(r.uscc, 3, 6) as code_region
        from {{ ref("stg_registrations") }} as r
        where r.known_to is null
    ),
    kinds as (select code_prefix, subject_kind, is_gradable from {{ in_force("subject_kinds") }} as k),
    regions as (
        select region, region_name, region_level, address_keyword from {{ in_force("regions") }} as g
    ),
    counties as (select * from regions where region_level <> 'city'),
    city as (select min(region) as region from regions where region_level = 'city'),
    sizes as ({{ size_bounds() }}),
    reports as (
        select o.uscc, max_by(o.employee_count, o.report_year) as employee_count
        from {{ ref("stg_operations") }} as o
        where {{ counts_on("o", as_of()) }} and o.employee_count is not null
        group by o.uscc
    ),
    tags as (
        select uscc, {{ sorted_list("tag") }} as safety_tags
        from {{ ref("enterprise_safety_tags") }}
        group by uscc
    ),
    -- A county of the register's own columns, else of its words, else where the code was issued, else the
    -- city.
    coded as (
        select
            r.uscc,
            coalesce(g.region, t.region) as region,
            case when g.region is not null then 'region_code' else 'township' end as basis
        from register as r
        left join counties as g on g.region = substr(r.region, 1, 6)
        left join counties as t on t.region = substr(r.township, 1, 6)
        where g.region is not null or t.region is not null
    ),
    worded as (
        select
            r.uscc,
            min(
                case
                    when {{ contains_text("r.address", "c.address_keyword") }}
                    then '1'
                    when {{ contains_text("r.enterprise_name", "c.address_keyword") }}
                    then '2'
                    else '3'
                end
                || c.region
            ) as found
        from register as r
        left join coded as k on k.uscc = r.uscc
        join
            counties as c
            on {{ contains_text("r.address", "c.address_keyword") }}
            or {{ contains_text("r.enterprise_name", "c.address_keyword") }}
            or {{ contains_text("r.registration_authority", "c.address_keyword") }}
        where k.uscc is null
        group by r.uscc
    ),
    resolved as (
        select
            r.*,
            coalesce(k.subject_kind, o.subject_kind) as resolved_kind,
            coalesce(k.is_gradable, o.is_gradable) as is_gradable_kind,
            coalesce(d.region, substr(w.found, 2), u.region, city.region) as resolved_region,
            case
                when d.region is not null
                then d.basis
                when w.found is not null
                then
                    case
                        substr(w.found, 1, 1)
                        when '1'
                        then 'address'
                        when '2'
                        then 'enterprise_name'
                        else 'registration_authority'
                    end
                when u.region is not null
                then 'issued_in'
                else 'city'
            end as region_basis,
            {{ register_status("r", as_of()) }} as resolved_status,
            {{ capital_in_fen("r", "c") }} as capital_cny_fen,
            o2.employee_count
        from register as r
        left join kinds as k on k.code_prefix = r.code_prefix
        cross join (select subject_kind, is_gradable from kinds where code_prefix = '*') as o
        cross join city
        left join coded as d on d.uscc = r.uscc
        left join worded as w on w.uscc = r.uscc
        left join counties as u on u.region = r.code_region
        left join {{ in_force("currencies") }} as c on c.currency = r.currency
        left join reports as o2 on o2.uscc = r.uscc
    )
select
    {{ as_of() }} as as_of_date,
    e.uscc,
    e.enterprise_name,
    e.enterprise_type,
    e.resolved_kind as subject_kind,
    e.resolved_status as status,
    e.resolved_status = 'active' as is_active,
    e.is_gradable_kind,
    e.is_gradable_kind and e.resolved_status = 'active' as is_gradable,
    e.established_date,
    e.term_to,
    case
        when e.resolved_status = 'absent'
        then least(e.cancelled_date, e.revoked_date, e.void_from)
        when e.resolved_status <> 'active'
        then least(e.cancelled_date, e.revoked_date)
    end as ended_date,
    e.address,
    e.resolved_region as region,
    g.region_name,
    e.region_basis,
    case when substr(e.township, 1, 6) = e.resolved_region then e.township end as township,
    e.resolved_section as industry_section,
    e.industry_code,
    {{ size_class("e.employee_count", "e.capital_cny_fen", "s") }} as size_class,
    cast(e.capital_cny_fen as bigint) as registered_capital_fen,
    cast(e.employee_count as bigint) as employee_count,
    e.registration_authority,
    t.uscc is not null as is_safety_related,
    coalesce(t.safety_tags, '') as safety_tags,
    e.source_file,
    e.source_sheet,
    e.source_row,
    e.ingest_date
from resolved as e
cross join sizes as s
left join regions as g on g.region = e.resolved_region
left join tags as t on t.uscc = e.uscc
