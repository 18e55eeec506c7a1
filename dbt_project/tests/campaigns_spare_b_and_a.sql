{# 开展专项整治时不列为检查对象: B never, A only where enterprise and campaign concern safety. #}
select campaign_id, unit_id, uscc
from {{ ref("campaign_targets") }}
where excluded_reason = '' and (platform_grade = 'B' or (platform_grade = 'A' and not is_safety_related))
