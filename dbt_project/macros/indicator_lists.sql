{# What the models ask of the list of indicators (indicators.sql). #}
{# The indicators in the order of their columns. #}
{% macro indicator_names() %} {{ return(indicator_facts() | map("first") | list) }} {% endmacro %}

{# Those whose size means something only beside one's peers; the others count the same in every industry. #}
{% macro peer_indicators() %}
    {{ return(indicator_facts() | selectattr(2, "equalto", "peers") | map("first") | list) }}
{% endmacro %}

{# The feed of each indicator of which no record means 0 once that feed has delivered anything. #}
{% macro zero_indicators() %}
    {% set feeds = {} %}
    {% for name, feed, standardization, missing_rule in indicator_facts() if missing_rule == "zero" %}
        {% do feeds.update({name: feed}) %}
    {% endfor %}
    {{ return(feeds) }}
{% endmacro %}

{# By feed those whose records stand in its evidence view. #}
{% macro feed_indicators() %}
    {% set feeds = {} %}
    {% for name, feed, standardization, missing_rule in indicator_facts() %}
        {% do feeds.setdefault(feed, []).append(name) %}
    {% endfor %}
    {{ return(feeds) }}
{% endmacro %}
