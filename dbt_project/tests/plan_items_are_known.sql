{# Every item that a plan names is a group of items of the policy or stands, valid, on the list of inspection items: an
   unknown one would be inspected nowhere. #}
select r.plan_id, r.round, r.item_codes
from {{ ref("inspection_rounds") }} as r
left join {{ ref("plan_items") }} as i on i.plan_id = r.plan_id and i.round = r.round
group by r.plan_id, r.round, r.item_codes
having count(i.item_code) <> length(r.item_codes) - length(replace(r.item_codes, '|', '')) + 1
