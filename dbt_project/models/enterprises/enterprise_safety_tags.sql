{# Why an enterprise concerns safety (涉及安全): one row per enterprise and tag, with the first rule that says so.
   The notice exempts only A enterprises that do not concern safety; what concerns safety is policy, not law.
   What a business scope excludes does not count: of 956 scopes of the real register that name 危险化学品, 884 say "不含"
   or "除外". #}
with
    rules as (select tag, match_on, pattern from {{ in_force("safety_rules") }} as r),
    register as (
        select
            uscc,
            resolved_section || coalesce(industry_code, '') as industry,
            {{
                remove_pattern(
                    remove_pattern(
                        "business_scope",
                        "(不含|不得|禁止|严禁|不包括|不涉及|除(危险|易|国家|烟花|民用|农药|成品油|药品|食品))[^；;，,。)）]*",
                    ),
                    "[（(][^（）()]*(除外|以外)[^（）()]*[)）]|[^；;，,。、（）()]*(除外|以外)",
                )
            }} as business_scope
        from {{ ref("stg_registrations") }}
        where known_to is null
    ),
    licences as (
        select
            uscc,
            coalesce(licence_name, '')
            || ' '
            || coalesce(document_name, '')
            || ' '
            || coalesce(content, '') as words
        from {{ ref("stg_licences") }} as l
        where
            {{ counts_on("l", as_of()) }}
            and coalesce(l.licence_status, 'valid') = 'valid'
            and (l.valid_to is null or l.valid_to >= {{ as_of() }})
    ),
    matches as (
        select e.uscc, r.tag, r.match_on, r.pattern
        from register as e
        join rules as r on r.match_on = 'industry_prefix' and {{ starts_with("e.industry", "r.pattern") }}
        union all
        select e.uscc, r.tag, r.match_on, r.pattern
        from register as e
        join
            rules as r
            on r.match_on = 'scope_keyword'
            and {{ contains_text("e.business_scope", "r.pattern") }}
        union all
        select l.uscc, r.tag, r.match_on, r.pattern
        from licences as l
        join register as e on e.uscc = l.uscc
        join rules as r on r.match_on = 'licence_keyword' and {{ contains_text("l.words", "r.pattern") }}
    )
select uscc, tag, min(match_on || ': ' || pattern) as matched_rule, count(*) as match_count
from matches
group by uscc, tag
