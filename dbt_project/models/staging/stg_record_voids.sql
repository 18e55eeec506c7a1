{# Decisions of credit repair by the record they repair: from void_from on the record weighs nothing. A decision that
   was itself withdrawn repairs nothing; one known late works from the day it was known. #}
with
    in_doubt as (
        select repair_no from {{ ref("stg_credit_repairs") }} where is_withdrawn and known_to is null
    )
select
    r.target_feed,
    r.target_record_no,
    r.uscc,
    min(greatest(r.effective_date, r.known_from)) as void_from,
    min(r.effective_date) as effective_date,
    min(r.repair_no) as repair_no
from {{ ref("stg_credit_repairs") }} as r
left join in_doubt as d on d.repair_no = r.repair_no
where not r.is_withdrawn and d.repair_no is null
group by r.target_feed, r.target_record_no, r.uscc
