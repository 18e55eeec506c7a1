{# The table of holidays covers the as-of day's year; otherwise lags count weekdays, and next year's list is due. #}
{{ config(severity="warn") }}
select day
from {{ ref("working_days") }}
where day = {{ as_of() }} and not is_covered
