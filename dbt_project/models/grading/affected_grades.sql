{# Records that became void or were corrected after they had counted in grades handed out or in a frozen draw: one row per
   record. Past days stay as they were; this says which of them rest on something that no longer stands.

   what_happened: withdrawn (void from the start: also results quashed on review), repaired (void from the day the
   repair took effect), ended (an office confirmed that it had ended), corrected (another version took its place).
   A record counted on a stored day if it was known then and not void. A version that only follows the course of things
   (a listing that ends, a case that is closed) is no correction: only record_status 'corrected' says so. #}
with
    versions as (
        {% for feed, facts in voidable_feeds().items() %}
            select
                '{{ feed }}' as feed,
                r.uscc,
                cast(r.{{ facts[0] }} as varchar(4000)) as record_no,
                cast(r.{{ facts[1] }} as date) as event_date,
                r.known_from,
                r.known_to,
                r.void_from,
                r.record_status,
                r.is_withdrawn
            from {{ ref("stg_" ~ feed) }} as r
            where r.uscc is not null and r.known_from <= {{ as_of() }}
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}
    ),
    ends as (
        select
            v.feed,
            v.uscc,
            v.record_no,
            case
                when v.is_withdrawn
                then 'withdrawn'
                when v.record_status = 'corrected'
                then 'corrected'
                when v.record_status = 'repaired' or b.uscc is not null
                then 'repaired'
                else 'ended'
            end as what_happened,
            case
                when v.is_withdrawn or v.record_status = 'corrected' then v.known_from else v.void_from
            end as known_on,
            case
                when v.is_withdrawn or v.record_status = 'corrected'
                then cast('0001-01-01' as date)
                when v.record_status = 'repaired'
                then v.known_from
                else coalesce(b.effective_date, v.void_from)
            end as void_since
        from versions as v
        left join
            {{ ref("stg_record_voids") }} as b
            on b.target_feed = v.feed
            and b.target_record_no = v.record_no
            and b.uscc = v.uscc
            and b.void_from <= {{ as_of() }}
        where
            (v.known_to is null or v.known_to > {{ as_of() }})
            and (v.is_withdrawn or v.record_status = 'corrected' or v.void_from <= {{ as_of() }})
    ),
    ended as (
        select
            e.feed,
            e.uscc,
            e.record_no,
            max(e.what_happened) as what_happened,
            min(e.known_on) as known_on,
            min(e.void_since) as void_since
        from ends as e
        group by e.feed, e.uscc, e.record_no
    ),
    firsts as (
        select v.feed, v.uscc, v.record_no, min(v.event_date) as event_date, min(v.known_from) as first_known
        from versions as v
        join ended as e on e.feed = v.feed and e.uscc = v.uscc and e.record_no = v.record_no
        where not v.is_withdrawn
        group by v.feed, v.uscc, v.record_no
    ),
    spans as (
        select e.*, f.event_date, f.first_known
        from ended as e
        join firsts as f on f.feed = e.feed and f.uscc = e.uscc and f.record_no = e.record_no
        where f.first_known < e.known_on
    ),
    stored_days as (select distinct as_of_date from {{ stored_grade_days() }} as d),
    graded as (
        select
            s.feed,
            s.uscc,
            s.record_no,
            min(d.as_of_date) as first_graded_day,
            max(d.as_of_date) as last_graded_day,
            count(*) as graded_days
        from spans as s
        join
            stored_days as d
            on d.as_of_date >= s.first_known
            and d.as_of_date >= s.event_date
            and d.as_of_date < s.known_on
        group by s.feed, s.uscc, s.record_no
    ),
    frames as (
        select distinct plan_id, cast(round as integer) as round, frozen_date, uscc
        from {{ frozen_frames() }} as f
        where frozen_date < {{ as_of() }} and coalesce(excluded_reason, '') = ''
    ),
    drawn as (
        select
            s.feed,
            s.uscc,
            s.record_no,
            {{ sorted_list("f.plan_id || ' ' || cast(f.round as varchar(20))") }} as frozen_rounds
        from spans as s
        join
            frames as f
            on f.uscc = s.uscc
            and f.frozen_date >= s.first_known
            and f.frozen_date >= s.event_date
            and f.frozen_date < s.known_on
        group by s.feed, s.uscc, s.record_no
    ),
    changes as (
        select
            g.feed,
            g.uscc,
            g.record_no,
            c.new_grade,
            row_number() over (
                partition by g.feed, g.uscc, g.record_no order by c.as_of_date desc nulls last
            ) as recency
        from graded as g
        join {{ stored_grade_changes() }} as c on c.uscc = g.uscc and c.as_of_date <= g.last_graded_day
    )
select
    {{ as_of() }} as as_of_date,
    s.uscc,
    s.feed,
    s.record_no,
    s.event_date,
    s.what_happened,
    s.known_on,
    case when s.void_since = cast('0001-01-01' as date) then s.event_date else s.void_since end as void_since,
    g.first_graded_day,
    g.last_graded_day,
    coalesce(g.graded_days, 0) as graded_days,
    c.new_grade as grade_then,
    d.frozen_rounds
from spans as s
left join graded as g on g.feed = s.feed and g.uscc = s.uscc and g.record_no = s.record_no
left join drawn as d on d.feed = s.feed and d.uscc = s.uscc and d.record_no = s.record_no
left join changes as c on c.feed = s.feed and c.uscc = s.uscc and c.record_no = s.record_no and c.recency = 1
where g.uscc is not null or d.uscc is not null
