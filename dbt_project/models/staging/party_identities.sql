{# Who each party without a unified code is, as of the day: the enterprise and the rung of the ladder that says so, or the
   reason why a person must look. A decision of the office beats every rung; the latest one stands.
   A rung counts only if nothing else sent about the party speaks against it; a name counts only if one enterprise alone
   bears or bore it. What is in review weighs nothing anywhere. #}
with
    rows_of as (select * from {{ ref("unidentified_rows") }}),
    parties as (
        select
            party_key,
            name_key,
            masked_code,
            sent_reg_no,
            sent_org_code,
            reg_no,
            org_code,
            tax_no,
            region,
            min(party_name) as party_name
        from rows_of
        group by
            party_key, name_key, masked_code, sent_reg_no, sent_org_code, reg_no, org_code, tax_no, region
    ),
    names as (select name_key, uscc from {{ ref("enterprise_names") }}),
    matches as (select party_key, rung, code, uscc from {{ ref("party_matches") }}),
    shared_codes as (
        select distinct party_key
        from
            (
                select party_key
                from matches
                where rung <> 'name_region'
                group by party_key, rung, code
                having count(distinct uscc) > 1
            ) as s
    ),
    by_code as (
        select
            party_key,
            min(uscc) as uscc,
            count(distinct uscc) as enterprises,
            min(
                case rung when 'reg_no' then '1reg_no' when 'org_code' then '2org_code' else '3tax_no' end
            ) as first_rung
        from matches
        where rung <> 'name_region'
        group by party_key
    ),
    by_name as (
        select party_key, min(uscc) as uscc, count(distinct uscc) as enterprises
        from matches
        where rung = 'name_region'
        group by party_key
    ),
    bearers as (
        select p.party_key from parties as p join names as n on n.name_key = p.name_key group by p.party_key
    ),
    chosen as (
        select
            p.*,
            case
                when c.enterprises = 1
                then c.uscc
                when c.enterprises is null and n.enterprises = 1
                then n.uscc
            end as uscc,
            case when c.enterprises is not null then substr(c.first_rung, 2) else 'name_region' end as rung,
            case
                when s.party_key is not null
                then 'ambiguous_code'
                when c.enterprises > 1
                then 'codes_disagree'
                when c.enterprises = 1
                then null
                when n.enterprises > 1
                then 'ambiguous_name'
                when n.enterprises = 1
                then null
                when b.party_key is not null
                then 'codes_disagree'
                else 'no_match'
            end as open_reason
        from parties as p
        left join by_code as c on c.party_key = p.party_key
        left join shared_codes as s on s.party_key = p.party_key
        left join by_name as n on n.party_key = p.party_key
        left join bearers as b on b.party_key = p.party_key
    ),
    -- What the register says of the enterprises in question.
    register as (
        select c.party_key, r.reg_no, r.region, r.township
        from chosen as c
        join {{ ref("stg_registrations") }} as r on r.uscc = c.uscc
        where c.open_reason is null
    ),
    reg_nos as (
        select
            g.party_key,
            max(case when g.reg_no = c.sent_reg_no or g.reg_no = c.reg_no then 1 else 0 end) as has_sent_one
        from register as g
        join chosen as c on c.party_key = g.party_key
        where g.reg_no is not null
        group by g.party_key
    ),
    places as (
        select party_key, substr(region, 1, 6) as region
        from register
        where region is not null
        union
        select party_key, substr(township, 1, 6)
        from register
        where township is not null
        union
        select party_key, substr(reg_no, 1, 6)
        from register
        where length(reg_no) = 15
        union
        select party_key, substr(uscc, 3, 6)
        from chosen
        where open_reason is null and uscc is not null
    ),
    sent_places as (
        select party_key, region
        from chosen
        where region is not null
        union
        select party_key, substr(coalesce(sent_reg_no, reg_no), 1, 6)
        from chosen
        where length(coalesce(sent_reg_no, reg_no)) = 15 and rung = 'name_region'
        union
        select party_key, substr(tax_no, 1, 6)
        from chosen
        where length(tax_no) = 15
    ),
    strangers as (
        select s.party_key
        from sent_places as s
        left join
            places as p on p.party_key = s.party_key and not {{ regions_differ("p.region", "s.region") }}
        group by s.party_key, s.region
        having count(p.party_key) = 0
    ),
    own_names as (
        select c.party_key
        from chosen as c
        join names as n on n.uscc = c.uscc and n.name_key = c.name_key
        group by c.party_key
    ),
    judged as (
        select
            c.*,
            case
                when c.open_reason is not null
                then c.open_reason
                when
                    substr(c.uscc, 9, 9) <> coalesce(c.sent_org_code, substr(c.uscc, 9, 9))
                    or (length(c.org_code) = 9 and substr(c.uscc, 9, 9) <> c.org_code)
                    or (length(c.org_code) = 18 and c.uscc <> c.org_code)
                    or (length(c.tax_no) = 15 and substr(c.uscc, 9, 9) <> substr(c.tax_no, 7, 9))
                    or (length(c.tax_no) = 18 and c.uscc <> c.tax_no)
                    or (length(c.reg_no) = 18 and c.uscc <> c.reg_no)
                    or (r.has_sent_one = 0 and length(coalesce(c.sent_reg_no, c.reg_no)) = 15)
                    or (c.masked_code is not null and not {{ fits_masked("c.uscc", "c.masked_code") }})
                then 'codes_disagree'
                when c.name_key is not null and o.party_key is null
                then 'name_differs'
                when t.party_key is not null
                then 'region_differs'
            end as found_reason
        from chosen as c
        left join reg_nos as r on r.party_key = c.party_key
        left join own_names as o on o.party_key = c.party_key
        left join (select distinct party_key from strangers) as t on t.party_key = c.party_key
    ),
    standing as (
        select
            party_key,
            decision_id,
            decision,
            uscc,
            row_number() over (
                partition by party_key
                order by
                    decided_date desc nulls last,
                    ingest_date desc nulls last,
                    known_from desc nulls last,
                    decision_id desc nulls last
            ) as place
        from {{ ref("stg_identity_decisions") }}
        where decision is not null and known_to is null and not is_withdrawn and decided_date <= {{ as_of() }}
    ),
    decided as (
        select s.party_key, s.decision_id, s.decision, k.uscc
        from standing as s
        left join (select distinct uscc from names) as k on k.uscc = s.uscc
        where s.place = 1
    )
select
    j.party_key,
    j.party_name,
    case
        when d.decision_id is not null
        then case when d.decision = 'same_as' then d.uscc end
        when j.found_reason is null
        then j.uscc
    end as uscc,
    case
        when d.decision_id is not null
        then case when d.decision = 'same_as' and d.uscc is not null then 'decision' end
        when j.found_reason is null
        then j.rung
    end as rung,
    case
        when d.decision_id is not null
        then case when d.decision = 'same_as' and d.uscc is null then 'decision_unknown_uscc' end
        else j.found_reason
    end as review_reason,
    d.decision_id
from judged as j
left join decided as d on d.party_key = j.party_key
