{# Whoever stands in the register is in the scope of at least one unit. #}
select e.uscc
from {{ ref("enterprises") }} as e
left join {{ ref("enterprise_units") }} as u on u.uscc = e.uscc
where u.uscc is null
