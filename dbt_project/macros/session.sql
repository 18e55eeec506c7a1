{# Load the crypto module without which DuckDB refuses to write encrypted spill.
   CREDIT_HTTPFS_EXTENSION names the file; without it, the wheel of a `.venv` here or beside the project is looked for.
   If there is neither, a build that must spill fails: it never spills in clear. A session without encryption is refused. #}
{% macro load_spill_encryption() %}
    {% if execute and target.type == "duckdb" %}
        {% if not run_query("select current_setting('temp_file_encryption')").columns[0].values()[0] %}
            {{
                exceptions.raise_compiler_error(
                    "temp_file_encryption is off: grades could be spilled in plain text; set it in profiles.yml"
                )
            }}
        {% endif %}
        {% set path = env_var("CREDIT_HTTPFS_EXTENSION", "") %}
        {% if not path %}
            {% set wheel = "/lib/python3*/site-packages/duckdb_extension_httpfs/extensions/' || version() || '/httpfs.duckdb_extension" %}
            {% set query %}
                select file from glob('.venv{{ wheel }}') union all select file from glob('../.venv{{ wheel }}')
            {% endset %}
            {% set found = run_query(query) %}
            {% if found | length > 0 %} {% set path = found.columns[0].values()[0] %} {% endif %}
        {% endif %}
        {% if path %} {% do run_query("load '" ~ path ~ "'") %}
        {% else %} {{ log("no httpfs extension found: a build that must spill will fail", info=true) }}
        {% endif %}
    {% endif %}
{% endmacro %}
