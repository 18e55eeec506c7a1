{# Accepted rows without a unified code, of all feeds, and what else names their enterprise. party_key is the digest of
   that: rows of any feed that send the same about a party are one party, decided once.
   uscc_sent holds an old registration number (15 digits), an organisation code (9), a code with hidden characters (*)
   or a filler, which names nobody. #}
with
    received as (
        {% for feed, columns in party_columns().items() %}
            select
                '{{ feed }}' as feed,
                source_file,
                source_sheet,
                source_row,
                row_hash,
                cast(ingest_date as date) as ingest_date,
                uscc_sent,
                {% for name in ["name", "reg_no", "org_code", "tax_no", "region", "hint"] %}
                    {{ columns[name] if name in columns else "cast(null as varchar)" }} as {{ name }}_sent
                    {%- if not loop.last %},{% endif %}
                {% endfor %}
            from {{ source("raw", feed) }}
            where uscc is null and source_row is not null and ingest_date <= '{{ as_of_text() }}'
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    -- Folded once per distinct name: within the union every branch would prepare its own table of characters.
    names as (
        select name_sent, {{ name_key("name_sent") }} as name_key
        from (select distinct name_sent from received where name_sent is not null) as d
    ),
    plain as (
        select
            r.*,
            n.name_key,
            case
                when position('*' in uscc_sent) > 0 or length(uscc_sent) in (9, 15) then uscc_sent
            end as sent_code,
            nullif(upper(replace(reg_no_sent, '-', '')), '') as reg_no,
            nullif(upper(replace(org_code_sent, '-', '')), '') as org_code,
            nullif(upper(replace(tax_no_sent, '-', '')), '') as tax_no,
            nullif(region_sent, '') as region
        from received as r
        left join names as n on n.name_sent = r.name_sent
    )
select
    feed,
    source_file,
    source_sheet,
    source_row,
    row_hash,
    ingest_date,
    upper(
        md5(
            coalesce(name_key, '')
            || '|'
            || coalesce(sent_code, '')
            || '|'
            || coalesce(reg_no, '')
            || '|'
            || coalesce(org_code, '')
            || '|'
            || coalesce(tax_no, '')
            || '|'
            || coalesce(region, '')
        )
    ) as party_key,
    name_sent as party_name,
    uscc_sent,
    nullif(name_key, '') as name_key,
    case when position('*' in sent_code) > 0 then sent_code end as masked_code,
    case when length(sent_code) = 15 and position('*' in sent_code) = 0 then sent_code end as sent_reg_no,
    case when length(sent_code) = 9 and position('*' in sent_code) = 0 then sent_code end as sent_org_code,
    reg_no,
    org_code,
    tax_no,
    region,
    hint_sent as hint_region
from plain
