{# Every enterprise of the register that something sent about a party points to: one row per party, rung and enterprise.
   Codes are looked up in all versions of the register known by the day; names in all names. #}
with
    parties as (
        select distinct party_key, name_key, masked_code, sent_reg_no, sent_org_code, reg_no, org_code, tax_no
        from {{ ref("unidentified_rows") }}
    ),
    sent as (
        select party_key, 'reg_no' as rung, 'reg_no' as code_kind, sent_reg_no as code
        from parties
        union all
        select party_key, 'reg_no', 'reg_no', reg_no
        from parties
        union all
        select party_key, 'reg_no', 'uscc', reg_no
        from parties
        where length(reg_no) = 18
        union all
        select party_key, 'org_code', 'org_code', sent_org_code
        from parties
        union all
        select party_key, 'org_code', 'org_code', org_code
        from parties
        where length(org_code) = 9
        union all
        select party_key, 'org_code', 'uscc', org_code
        from parties
        where length(org_code) = 18
        union all
        select party_key, 'tax_no', 'org_code', substr(tax_no, 7, 9)
        from parties
        where length(tax_no) = 15
        union all
        select party_key, 'tax_no', 'uscc', tax_no
        from parties
        where length(tax_no) = 18
    ),
    known as (select distinct uscc from {{ ref("enterprise_names") }}),
    register as (
        select 'reg_no' as code_kind, r.reg_no as code, r.uscc
        from {{ ref("stg_registrations") }} as r
        join known as k on k.uscc = r.uscc
        where r.reg_no is not null
        union all
        select 'org_code', substr(uscc, 9, 9), uscc
        from known
        union all
        select 'uscc', uscc, uscc
        from known
    )
select distinct s.party_key, s.rung, s.code, r.uscc
from sent as s
join register as r on r.code_kind = s.code_kind and r.code = s.code
where s.code is not null
union all
select p.party_key, 'name_region', cast(null as varchar), n.uscc
from parties as p
join {{ ref("enterprise_names") }} as n on n.name_key = p.name_key
where p.masked_code is null or {{ fits_masked("n.uscc", "p.masked_code") }}
