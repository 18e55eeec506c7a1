{# What each related enterprise and each cluster contributes; shares are means of 0 and 10000. #}
{% macro related_contributions() -%}
    {%- set risky = "k.uscc is not null" -%}
    select
        r.as_of_date,
        r.uscc,
        r.related_uscc,
        cast(null as varchar(200)) as from_id,
        r.hop,
        r.link,
        case when r.is_shareholder = 1 then 'shareholder ' else '' end
        || case when r.is_invested = 1 then 'investment ' else '' end
        || case when r.is_branch = 1 then 'branch ' else '' end
        || case when r.by_guarantee = 1 then 'guarantor ' else '' end
        || case when r.by_person = 1 then 'person ' else '' end
        || case when r.by_address = 1 then 'address ' else '' end as link_kinds,
        case when k.is_penalized = 1 then 'penalized ' else '' end
        || case when k.is_listed = 1 then 'listed ' else '' end
        || case when k.is_defaulter = 1 then 'defaulter ' else '' end
        || case when k.is_revoked = 1 then 'revoked ' else '' end as risks,
        {{ one_if("r.is_shareholder = 1") }} as corporate_shareholder_count,
        {{ one_if("r.is_invested = 1") }} as invested_enterprise_count,
        {{ one_if("r.is_branch = 1") }} as branch_count,
        cast({{ share_if(risky) }} as bigint) as risky_related_bp,
        cast(
            case when r.is_shareholder = 1 or r.is_invested = 1 then {{ share_if(risky) }} end as bigint
        ) as risky_shareholder_bp,
        cast(case when r.by_person = 1 then {{ share_if(risky) }} end as bigint) as risky_person_bp,
        cast(case when r.by_guarantee = 1 then {{ share_if(risky) }} end as bigint) as risky_guarantor_bp,
        cast(case when r.by_address = 1 then {{ share_if(risky) }} end as bigint) as risky_address_bp,
        cast({{ share_if("k.is_penalized = 1") }} as bigint) as related_penalized_bp,
        cast({{ share_if("k.is_listed = 1") }} as bigint) as related_listed_bp,
        cast({{ share_if("k.is_defaulter = 1") }} as bigint) as related_defaulter_bp,
        cast({{ share_if("k.is_revoked = 1") }} as bigint) as related_revoked_bp,
        cast(null as bigint) as same_address_count,
        cast(null as bigint) as representative_enterprise_count,
        cast(1 as bigint) as evidence_count
    from {{ ref("related_enterprises") }} as r
    left join {{ ref("risky_enterprises") }} as k on k.as_of_date = r.as_of_date and k.uscc = r.related_uscc
    union all
    select
        c.as_of_date,
        c.uscc,
        cast(null as varchar(200)) as related_uscc,
        c.from_id,
        cast(0 as bigint) as hop,
        c.link,
        c.cluster_kind as link_kinds,
        '' as risks,
        {% for name in feed_indicators()["related_parties"][:12] %}
            cast(null as bigint) as {{ name }},
        {% endfor %}
        cast(
            case when c.cluster_kind = 'same_address' then c.enterprise_count - 1 end as bigint
        ) as same_address_count,
        cast(
            case when c.cluster_kind = 'representative' then c.enterprise_count - 1 end as bigint
        ) as representative_enterprise_count,
        cast(null as bigint) as evidence_count
    from {{ ref("related_clusters") }} as c
    where c.cluster_kind in ('same_address', 'representative')
{%- endmacro %}
