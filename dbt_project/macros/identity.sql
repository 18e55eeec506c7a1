{# Who a row without a unified code means (the ladder: docs/identity.md). Here: what of a row names its enterprise, and
   how names and codes are made comparable. The decisions stand in staging/party_identities. #}
{# The feeds whose rows may lack a unified code, and their columns that name the enterprise besides it: the catalogue's
   columns of these names (a unit test compares). hint: a column whose digits say where the sender is, for ranking. #}
{% macro party_columns() -%}
    {{-
        return(
            {
                "abnormal_listings": {"name": "enterprise_name"},
                "complaints": {"name": "enterprise_name"},
                "credit_repairs": {"name": "enterprise_name"},
                "honours": {"name": "enterprise_name"},
                "industry_ratings": {"name": "enterprise_name"},
                "inspection_results": {"hint": "substr(unit_id, 1, 6)"},
                "judgment_defaulters": {"name": "enterprise_name"},
                "leads": {},
                "recusals": {},
                "licences": {
                    "name": "party_name",
                    "reg_no": "reg_no",
                    "org_code": "org_code",
                    "tax_no": "tax_no",
                    "hint": "substr(authority_code, 3, 6)",
                },
                "operations": {"name": "enterprise_name"},
                "penalties": {
                    "name": "party_name",
                    "reg_no": "reg_no",
                    "org_code": "org_code",
                    "tax_no": "tax_no",
                    "hint": "substr(authority_code, 3, 6)",
                },
                "public_credit_evaluations": {"name": "enterprise_name"},
                "public_opinion": {"name": "enterprise_name"},
                "registration_changes": {},
                "related_parties": {},
                "serious_violations": {"name": "enterprise_name"},
            }
        )
    -}}
{%- endmacro %}

{# A name made comparable: brackets, full-width signs, white space, case and traditional characters folded.
   translate() of DuckDB builds its table anew for every row (0.2 ms with all characters): only names that hold such a
   character, few in a register, come to it. #}
{% macro name_key(name) -%}
    {%- set plain -%}
        replace(replace(replace(replace({{ name }}, '（', '('), '）', ')'), ' ', ''), '　', '')
    {%- endset -%}
    {%- set wide -%}
        ！＂＃＄％＆＇＊＋，－．／０１２３４５６７８９：；＜＝＞？＠ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷＸＹＺ＿ａｂｃｄｅｆｇｈｉｊｋｌｍｎｏｐｑｒｓｔｕｖｗｘｙｚ｛｜｝～【】〔〕［］•・‧
    {%- endset -%}
    {%- set narrow -%}
        !"#$%&''*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz{|}~()()()···
    {%- endset -%}
    {%- set odd = wide | trim ~ traditional_characters() -%}
    {%- set usual = narrow | trim ~ simplified_characters() -%}
    lower(
        case
            when {{ has_any_character(plain, odd) }}
            then translate({{ plain }}, '{{ odd }}', '{{ usual }}')
            else {{ plain }}
        end
    )
{%- endmacro %}

{# Whether a text holds one of the characters (none of which means something within brackets of a pattern). #}
{% macro has_any_character(text, characters) -%}
    {{ return(adapter.dispatch("has_any_character")(text, characters)) }}
{%- endmacro %}
{% macro default__has_any_character(text, characters) -%}
    regexp_matches({{ text }}, '[{{ characters }}]')
{%- endmacro %}
{% macro spark__has_any_character(text, characters) -%}({{ text }} rlike '[{{ characters }}]') {%- endmacro %}

{# The part of a folded name that tells enterprises apart: without places in front and the legal form at the end. #}
{% macro name_core(name_key) -%}
    {%- set places = "^([一-龥]{2,3}省)?([一-龥]{1,2}[^超门上都城夜菜花集]市)?([一-龥]{1,3}[县区])?" -%}
    {%- set forms = "(股份有限公司|有限责任公司|有限公司|分公司|公司|农民专业合作社联合社|农民专业合作社|合作社|[(]有限合伙[)]|[(]普通合伙[)]|[(]个体工商户[)])$" -%}
    {{ remove_pattern(remove_pattern(name_key, forms), places) }}
{%- endmacro %}

{# Whether a name is a branch's: it stands for itself, never for its head office. #}
{% macro is_branch(name) -%}
    ({{ name }} like '%分公司' or {{ name }} like '%分店' or {{ name }} like '%分厂' or {{ name }} like '%分部')
{%- endmacro %}

{# Whether a code fits one with hidden characters: character by character, or run by run where stars were left out. #}
{% macro fits_masked(uscc, masked) -%}
    (
        case
            when length({{ masked }}) = 18
            then {{ uscc }} like replace({{ masked }}, '*', '_')
            else {{ uscc }} like {{ stars_as_any(masked) }}
        end
    )
{%- endmacro %}
{% macro stars_as_any(masked) -%} {{ return(adapter.dispatch("stars_as_any")(masked)) }} {%- endmacro %}
{% macro default__stars_as_any(masked) -%} regexp_replace({{ masked }}, '[*]+', '%', 'g') {%- endmacro %}
{% macro spark__stars_as_any(masked) -%} regexp_replace({{ masked }}, '[*]+', '%') {%- endmacro %}

{# Whether two region codes exclude each other: 411300 (the city) excludes no county of it. #}
{% macro regions_differ(one, other) -%}
    (
        substr({{ one }}, 1, 2) <> substr({{ other }}, 1, 2)
        or (
            substr({{ one }}, 3, 2) <> substr({{ other }}, 3, 2)
            and substr({{ one }}, 3, 2) <> '00'
            and substr({{ other }}, 3, 2) <> '00'
        )
        or (
            substr({{ one }}, 5, 2) <> substr({{ other }}, 5, 2)
            and substr({{ one }}, 5, 2) <> '00'
            and substr({{ other }}, 5, 2) <> '00'
        )
    )
{%- endmacro %}

{# Likeness of two texts in basis points: the share of bytes that need no change, as DuckDB counts; whole numbers only. #}
{% macro likeness_bp(one, other) -%}
    {%- set changes = "levenshtein(" ~ text_of_bytes(one) ~ ", " ~ text_of_bytes(other) ~ ")" -%}
    {%- set longest = "greatest(" ~ count_bytes(one) ~ ", " ~ count_bytes(other) ~ ", 1)" -%}
    (10000 - {{ int_div("10000 * " ~ changes, longest) }})
{%- endmacro %}
{% macro text_of_bytes(text) -%} {{ return(adapter.dispatch("text_of_bytes")(text)) }} {%- endmacro %}
{% macro default__text_of_bytes(text) -%} {{ text }} {%- endmacro %}
{% macro spark__text_of_bytes(text) -%} decode(encode({{ text }}, 'UTF-8'), 'ISO-8859-1') {%- endmacro %}
{% macro count_bytes(text) -%} {{ return(adapter.dispatch("count_bytes")(text)) }} {%- endmacro %}
{% macro default__count_bytes(text) -%} strlen({{ text }}) {%- endmacro %}
{% macro spark__count_bytes(text) -%} octet_length({{ text }}) {%- endmacro %}

{# Likeness of two folded names: three parts what tells enterprises apart, one part the whole; a branch and a head office
   are half as like as they look. #}
{% macro name_likeness_bp(one, one_core, other, other_core) -%}
    case
        when {{ is_branch(one) }} <> {{ is_branch(other) }}
        then {{ int_div("3 * " ~ likeness_bp(one_core, other_core) ~ " + " ~ likeness_bp(one, other), "8") }}
        else {{ int_div("3 * " ~ likeness_bp(one_core, other_core) ~ " + " ~ likeness_bp(one, other), "4") }}
    end
{%- endmacro %}

{# What the ladder found for the rows of a feed without a unified code: where each row stands, and its enterprise. #}
{% macro identified_rows(feed) -%}
    select distinct u.source_file, u.source_sheet, u.source_row, u.row_hash, p.uscc, p.rung
    from {{ ref("unidentified_rows") }} as u
    join {{ ref("party_identities") }} as p on p.party_key = u.party_key
    where u.feed = '{{ feed }}' and p.uscc is not null
{%- endmacro %}
