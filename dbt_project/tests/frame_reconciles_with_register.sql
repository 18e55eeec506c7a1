{# Nobody vanishes: objects of the register = outside the scope + excluded by reason + eligible, for every round, unit and
   item; nothing is lost between two frames; and every object of a unit stands in its frame or outside the scope. #}
select
    plan_id,
    round,
    unit_id,
    item_code,
    unaccounted,
    previous_objects + new_objects - moved_objects - lost_objects as expected
from {{ ref("frame_reconciliation") }}
where
    unaccounted <> 0
    or lost_objects > 0
    or previous_objects + new_objects - moved_objects - lost_objects <> objects
