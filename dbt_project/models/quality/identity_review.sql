{# Parties that wait for a person, each with at most five candidates, the likeliest first; a party nobody resembles has
   one row without a candidate. Nothing here weighs anything.
   Candidates: whoever a code or the name points to; bearers of similar names; holders of similar codes.
   Similar names share a pair of neighbouring characters that is rare in the register (rarest first, at most 200 names a
   party); the 15 that share most are compared character by character, without places and legal form.
   Similar codes: a code with hidden characters that fits, by its visible end or middle; a number with at most two wrong
   characters, by the half that is right. All scores are whole numbers; equal ones stand in the order of the codes. #}
with
    waiting as (
        select i.party_key, i.party_name, i.review_reason, i.decision_id
        from {{ ref("party_identities") }} as i
        where i.review_reason is not null
    ),
    counted as (
        select u.party_key, u.feed, count(*) as feed_rows, min(u.ingest_date) as first_date
        from {{ ref("unidentified_rows") }} as u
        join waiting as w on w.party_key = u.party_key
        group by u.party_key, u.feed
    ),
    totals as (
        select
            party_key,
            cast(sum(feed_rows) as bigint) as row_count,
            min(first_date) as waiting_since,
            {{ sorted_list("feed || ' ' || cast(feed_rows as varchar)") }} as rows_by_feed
        from counted
        group by party_key
    ),
    parties as (
        select
            u.party_key,
            u.name_key,
            u.masked_code,
            u.sent_reg_no,
            u.sent_org_code,
            u.reg_no,
            u.org_code,
            u.tax_no,
            max(u.uscc_sent) as uscc_sent,
            max(coalesce(u.region, u.hint_region)) as region,
            {{ name_core("u.name_key") }} as core
        from {{ ref("unidentified_rows") }} as u
        join waiting as w on w.party_key = u.party_key
        group by
            u.party_key,
            u.name_key,
            u.masked_code,
            u.sent_reg_no,
            u.sent_org_code,
            u.reg_no,
            u.org_code,
            u.tax_no
    ),
    places as (
        {% for place in range(1, 41) %}
            select {{ place }} as place
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    -- Names: pairs of neighbouring characters.
    party_pairs as (
        select distinct p.party_key, substr(p.core, n.place, 2) as pair
        from parties as p
        join places as n on n.place < length(p.core)
    ),
    wanted as (select distinct pair from party_pairs),
    cores as (
        select distinct {{ name_core("name_key") }} as core
        from {{ ref("enterprise_names") }}
        where exists (select 1 from waiting)
    ),
    core_pairs as (
        select c.core, w.pair
        from cores as c
        join places as n on n.place < length(c.core)
        join wanted as w on w.pair = substr(c.core, n.place, 2)
    ),
    frequencies as (select pair, count(*) as names from core_pairs group by pair),
    ranked_pairs as (
        select
            p.party_key,
            p.pair,
            f.names,
            sum(f.names) over (
                partition by p.party_key
                order by f.names asc nulls last, p.pair asc nulls last
                rows between unbounded preceding and current row
            ) as names_so_far
        from party_pairs as p
        join frequencies as f on f.pair = p.pair
    ),
    chosen_pairs as (
        select party_key, pair
        from ranked_pairs
        where names_so_far <= 200 or (names_so_far = names and names <= 2000)
    ),
    sharing as (
        select p.party_key, c.core, count(*) as shared
        from chosen_pairs as p
        join core_pairs as c on c.pair = p.pair
        group by p.party_key, c.core
    ),
    nearest as (
        select
            party_key,
            core,
            row_number() over (
                partition by party_key order by shared desc nulls last, core asc nulls last
            ) as place
        from sharing
    ),
    alike as (
        select n.party_key, n.core, {{ likeness_bp("p.core", "n.core") }} as likeness
        from nearest as n
        join parties as p on p.party_key = n.party_key
        where n.place <= 15
    ),
    similar_cores as (
        select
            party_key,
            core,
            row_number() over (
                partition by party_key order by likeness desc nulls last, core asc nulls last
            ) as place
        from alike
        where likeness >= 4000
    ),
    wanted_cores as (select distinct core from similar_cores where place <= 8),
    core_bearers as (
        select distinct w.core, e.uscc
        from {{ ref("enterprise_names") }} as e
        join wanted_cores as w on w.core = {{ name_core("e.name_key") }}
    ),
    by_similar_name as (
        select party_key, uscc
        from
            (
                select
                    s.party_key,
                    b.uscc,
                    row_number() over (
                        partition by s.party_key order by s.place asc nulls last, b.uscc asc nulls last
                    ) as place
                from similar_cores as s
                join core_bearers as b on b.core = s.core
                where s.place <= 8
            ) as r
        where place <= 20
    ),
    -- Codes: with hidden characters, or mistyped.
    codes as (
        select distinct r.uscc, r.reg_no
        from {{ ref("stg_registrations") }} as r
        where exists (select 1 from waiting)
    ),
    hidden as (select party_key, masked_code from parties where masked_code is not null),
    by_hidden_code as (
        select h.party_key, c.uscc
        from hidden as h
        join codes as c on substr(c.uscc, 14, 5) = substr(h.masked_code, length(h.masked_code) - 4, 5)
        where {{ fits_masked("c.uscc", "h.masked_code") }}
        union
        select h.party_key, c.uscc
        from hidden as h
        join codes as c on substr(c.uscc, 9, 5) = substr(h.masked_code, 9, 5)
        where length(h.masked_code) = 18 and {{ fits_masked("c.uscc", "h.masked_code") }}
    ),
    numbers as (
        select party_key, coalesce(sent_reg_no, reg_no) as number
        from parties
        where length(coalesce(sent_reg_no, reg_no)) = 15
    ),
    organisations as (
        select party_key, coalesce(sent_org_code, org_code, substr(tax_no, 7, 9)) as number
        from parties
        where
            length(coalesce(sent_org_code, org_code)) = 9
            or (coalesce(sent_org_code, org_code) is null and length(tax_no) = 15)
    ),
    by_near_code as (
        select n.party_key, c.uscc
        from numbers as n
        join codes as c on substr(c.reg_no, 7, 4) = substr(n.number, 7, 4)
        where levenshtein(c.reg_no, n.number) between 1 and 2
        union
        select n.party_key, c.uscc
        from numbers as n
        join codes as c on substr(c.reg_no, 11, 5) = substr(n.number, 11, 5)
        where levenshtein(c.reg_no, n.number) between 1 and 2
        union
        select o.party_key, c.uscc
        from organisations as o
        join codes as c on substr(c.uscc, 9, 4) = substr(o.number, 1, 4)
        where levenshtein(substr(c.uscc, 9, 9), o.number) between 1 and 2
        union
        select o.party_key, c.uscc
        from organisations as o
        join codes as c on substr(c.uscc, 13, 5) = substr(o.number, 5, 5)
        where levenshtein(substr(c.uscc, 9, 9), o.number) between 1 and 2
    ),
    pointed as (
        select
            m.party_key,
            m.uscc,
            max(case when m.rung = 'reg_no' then 1 else 0 end) as by_reg_no,
            max(case when m.rung = 'org_code' then 1 else 0 end) as by_org_code,
            max(case when m.rung = 'tax_no' then 1 else 0 end) as by_tax_no
        from {{ ref("party_matches") }} as m
        join waiting as w on w.party_key = m.party_key
        group by m.party_key, m.uscc
    ),
    same_name as (
        select
            p.party_key,
            n.uscc,
            row_number() over (partition by p.party_key order by n.uscc asc nulls last) as place
        from parties as p
        join {{ ref("enterprise_names") }} as n on n.name_key = p.name_key
    ),
    pool as (
        select party_key, uscc
        from pointed
        union
        select party_key, uscc
        from same_name
        where place <= 20
        union
        select party_key, uscc
        from by_similar_name
        union
        select party_key, uscc
        from by_hidden_code
        union
        select party_key, uscc
        from by_near_code
    ),
    in_question as (select distinct uscc from pool),
    known_names as (
        select e.uscc, e.name_key, e.enterprise_name, e.is_current, {{ name_core("e.name_key") }} as core
        from {{ ref("enterprise_names") }} as e
        join in_question as q on q.uscc = e.uscc
    ),
    now_known as (
        select r.uscc, r.enterprise_name, r.status, r.region, r.township, r.is_withdrawn
        from {{ ref("stg_registrations") }} as r
        join in_question as q on q.uscc = r.uscc
        where r.known_to is null
    ),
    likest as (
        select
            c.party_key,
            c.uscc,
            max(
                case
                    when n.name_key = p.name_key
                    then 10000
                    else {{ name_likeness_bp("n.name_key", "n.core", "p.name_key", "p.core") }}
                end
            ) as likeness,
            max(case when n.name_key = p.name_key and n.is_current then 1 else 0 end) as bears_it,
            max(case when n.name_key = p.name_key then 1 else 0 end) as bore_it
        from pool as c
        join parties as p on p.party_key = c.party_key
        join known_names as n on n.uscc = c.uscc
        where p.name_key is not null
        group by c.party_key, c.uscc
    ),
    judged as (
        select
            c.party_key,
            c.uscc,
            k.enterprise_name,
            coalesce(l.likeness, 0) as likeness,
            coalesce(l.bears_it, 0) = 1 as bears_it,
            coalesce(l.bore_it, 0) = 1 as bore_it,
            coalesce(m.by_reg_no, 0) = 1 as by_reg_no,
            coalesce(m.by_org_code, 0) = 1 as by_org_code,
            coalesce(m.by_tax_no, 0) = 1 as by_tax_no,
            h.party_key is not null as fits_hidden,
            n.party_key is not null as is_near_code,
            coalesce(
                not {{ regions_differ("p.region", "coalesce(k.region, k.township, substr(c.uscc, 3, 6))") }},
                false
            ) as is_same_region,
            coalesce(k.status, 'active') as status
        from pool as c
        join parties as p on p.party_key = c.party_key
        join now_known as k on k.uscc = c.uscc
        left join likest as l on l.party_key = c.party_key and l.uscc = c.uscc
        left join pointed as m on m.party_key = c.party_key and m.uscc = c.uscc
        left join by_hidden_code as h on h.party_key = c.party_key and h.uscc = c.uscc
        left join by_near_code as n on n.party_key = c.party_key and n.uscc = c.uscc
        where not k.is_withdrawn
    ),
    scored as (
        select
            *,
            {{ int_div("likeness * 6", "10") }} + case
                when by_reg_no or by_org_code or by_tax_no
                then 3500
                when fits_hidden
                then 3000
                when is_near_code
                then 2000
                else 0
            end
            + case when is_same_region then 300 else 0 end as score
        from judged
    ),
    ranked as (
        select
            *,
            row_number() over (
                partition by party_key
                order by
                    case when by_reg_no or by_org_code or by_tax_no or bore_it then 0 else 1 end,
                    score desc nulls last,
                    uscc asc nulls last
            ) as candidate_rank
        from scored
    )
select
    w.party_key,
    w.review_reason,
    w.party_name,
    p.uscc_sent,
    coalesce(p.sent_reg_no, p.reg_no) as reg_no,
    coalesce(p.sent_org_code, p.org_code) as org_code,
    p.tax_no,
    t.row_count,
    t.rows_by_feed,
    t.waiting_since,
    w.decision_id,
    cast(r.candidate_rank as integer) as candidate_rank,
    r.uscc as candidate_uscc,
    r.enterprise_name as candidate_name,
    cast(r.likeness as integer) as similarity,
    nullif(
        substr(
            case when r.by_reg_no then '；注册号一致' else '' end
            || case when r.by_org_code then '；组织机构代码一致' else '' end
            || case when r.by_tax_no then '；税务登记号一致' else '' end
            || case when r.fits_hidden then '；与隐去部分字符的代码相符' else '' end
            || case when r.is_near_code then '；号码仅差一两个字符' else '' end
            || case
                when r.bears_it
                then '；名称相同'
                when r.bore_it
                then '；曾用名相同'
                when r.likeness >= 4000
                then '；名称相似度' || cast({{ int_div("r.likeness", "100") }} as varchar) || '%'
                else ''
            end
            || case when r.is_same_region then '；区域相符' else '' end
            || case
                when r.status in ('cancelled', 'revoked_cancelled')
                then '；已注销'
                when r.status = 'revoked'
                then '；已吊销'
                else ''
            end,
            2
        ),
        ''
    ) as why
from waiting as w
join parties as p on p.party_key = w.party_key
join totals as t on t.party_key = w.party_key
left join ranked as r on r.party_key = w.party_key and r.candidate_rank <= 5
