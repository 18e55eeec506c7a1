{# The points table of the model that grades, read when the model is built: feature -> bins, and the intercept.
   The SQL made from it adds whole micro points, so every engine gives the same score (scorecard of credit_pipeline.grading).
   A bin is lower < x <= upper, an open end is null; null and NaN score what kind 'missing' says. #}
{% macro scorecard() %}
    {% if not execute %} {{ return({"intercept": 0, "features": [], "digest": ""}) }} {% endif %}
    {% set table = source("grading", "scorecard_points") %}
    {% set columns = run_query("select * from " ~ table ~ " limit 0").column_names %}
    {% set reference = "cast(reference_micro as varchar(40))" if "reference_micro" in columns else "''" %}
    {% set digest = "model_digest" if "model_digest" in columns else "''" %}
    {# Numbers come as text, so that a DOUBLE keeps every digit on its way through Jinja. #}
    {% set query %}
        select
            coalesce(feature, '') as feature,
            kind,
            'n' || coalesce(cast(upper as varchar(40)), '') as upper_text,
            coalesce(category, '') as category,
            'n' || cast(micro_points as varchar(40)) as micro_text,
            'n' || coalesce({{ reference }}, '') as reference_text,
            coalesce({{ digest }}, '') as digest
        from {{ table }}
        order by
            feature asc nulls first,
            case kind when 'intercept' then 0 when 'num' then 1 when 'cat' then 2 else 3 end asc,
            upper asc nulls last,
            category asc nulls first
    {% endset %}
    {% set card = {"intercept": 0, "features": [], "digest": ""} %}
    {% set by_name = {} %}
    {% for row in run_query(query) %}
        {% do card.update({"digest": row["digest"]}) %}
        {% set micro = row["micro_text"][1:] | int %}
        {% if row["kind"] == "intercept" %} {% do card.update({"intercept": micro}) %}
        {% else %}
            {% if row["feature"] not in by_name %}
                {% if row["feature"] not in indicator_names() %}
                    {{
                        exceptions.raise_compiler_error(
                            "the points table scores '"
                            ~ row["feature"]
                            ~ "', which is no indicator; see macros/indicators.sql"
                        )
                    }}
                {% endif %}
                {% set feature = {
                    "name": row["feature"],
                    "bins": [],
                    "categories": [],
                    "missing": 0,
                    "reference": none,
                } %}
                {% do by_name.update({row["feature"]: feature}) %}
                {% do card["features"].append(feature) %}
            {% endif %}
            {% set feature = by_name[row["feature"]] %}
            {% if row["reference_text"] != "n" %}
                {% do feature.update({"reference": row["reference_text"][1:] | int}) %}
            {% endif %}
            {% if row["kind"] == "num" %}
                {% set upper = row["upper_text"][1:] | lower %}
                {% if upper and "e" not in upper and "inf" not in upper %}
                    {% set upper = upper ~ "e0" %}
                {% endif %}
                {% do feature["bins"].append(
                    {"upper": upper if "inf" not in upper else "", "micro": micro}
                ) %}
            {% elif row["kind"] == "cat" %}
                {% do feature["categories"].append({"category": row["category"], "micro": micro}) %}
            {% else %} {% do feature.update({"missing": micro}) %}
            {% endif %}
        {% endif %}
    {% endfor %}
    {{ return(card) }}
{% endmacro %}

{# One feature's micro points as an expression. Beyond 30 bins a CASE that halves them is faster than a flat one. #}
{% macro feature_points(feature, column) -%}
    {%- if feature["categories"] -%}
        {# A whole number held as a DOUBLE becomes '3.0' as text: category '3' too, unless '3.0' is one itself. #}
        {%- set listed = feature["categories"] | map(attribute="category") | list -%}
        case
            cast({{ column }} as varchar(200))
            {% for bin in feature["categories"] -%}
                when {{ sql_text(bin["category"]) }}
                then {{ bin["micro"] }}
                {% if modules.re.fullmatch("-?[0-9]{1,15}", bin["category"]) -%}
                    {%- for other in [bin["category"] ~ ".0"] + (
                            ["-0.0"] if bin["category"] == "0" else []
                        ) -%}
                        {%- if other not in listed %}
                            when {{ sql_text(other) }} then {{ bin["micro"] }}
                        {% endif -%}
                    {%- endfor -%}
                {%- endif %}
            {% endfor -%}
            else {{ feature["missing"] }}
        end
    {%- else -%}
        case
            when {{ column }} is null or isnan({{ column }})
            then {{ feature["missing"] }}
            else {{ steps(column, feature["bins"]) }}
        end
    {%- endif -%}
{%- endmacro %}

{# bins: [{"upper": literal or "", "micro": result}], ascending; the last is open. #}
{% macro steps(column, bins) -%}
    {%- if bins | length == 1 -%} {{ bins[0]["micro"] }}
    {%- elif bins | length <= 30 -%}
        case
            {%- for bin in bins[:-1] %} when {{ column }} <= {{ bin["upper"] }} then {{ bin["micro"] }}
            {% endfor %}
            else {{ bins[-1]["micro"] }}
        end
    {%- else -%}
        {%- set half = bins | length // 2 -%}
        case
            when {{ column }} <= {{ bins[half - 1]["upper"] }}
            then {{ steps(column, bins[:half]) }}
            else {{ steps(column, bins[half:]) }}
        end
    {%- endif -%}
{%- endmacro %}

{# The calibrated probability of a score as an expression: a step function of whole micro points. #}
{% macro calibrated_probability(column) -%}
    {%- if not execute -%} cast(null as double)
    {%- else -%}
        {%- set query -%}
            select
                'n' || coalesce(cast(score_micro_upper as varchar(40)), '') as upper_text,
                'n' || cast(probability as varchar(40)) as probability_text
            from {{ calibration_steps() }}
            order by score_micro_upper asc nulls last
        {%- endset -%}
        {%- set bins = [] -%}
        {%- for row in run_query(query) -%}
            {%- set chance = row["probability_text"][1:] | lower -%}
            {%- do bins.append(
                {
                    "upper": row["upper_text"][1:],
                    "micro": chance if "e" in chance else chance ~ "e0",
                }
            ) -%}
        {%- endfor -%}
        {{ steps(column, bins) }}
    {%- endif -%}
{%- endmacro %}

{# The digest of the whole policy pack: SHA-256 values of all seeds. Two results with one version had one policy. #}
{% macro policy_version() -%}
    {%- if execute -%}
        {%- set sums = [] -%}
        {%- for node in graph.nodes.values() | selectattr("resource_type", "equalto", "seed") | sort(
            attribute="name"
        ) -%}
            {%- do sums.append(node.name ~ "=" ~ node.checksum.checksum) -%}
        {%- endfor -%}
        {{ return(local_md5(sums | join("|"))) }}
    {%- endif -%}
    {{ return("") }}
{%- endmacro %}

{# Place of a grade from best (A = 1) to worst (E = 5), and back. #}
{% macro grade_rank(grade) -%} nullif(position(nullif({{ grade }}, '') in 'ABCDE'), 0) {%- endmacro %}
{% macro grade_of(rank) -%} substr('ABCDE', cast({{ rank }} as integer), 1) {%- endmacro %}
