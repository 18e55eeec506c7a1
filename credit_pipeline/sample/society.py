"""What people say: complaints and reports to the hotlines, public opinion.

Here: two feeds of weak signals. Complaints carry the complainant's name and phone, as offices send them:
the catalogue says `drop`, they must never be stored.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.events import frame, identifiers, party, some, with_reported, years_part
from credit_pipeline.sample.names import person_names, phones, where
from credit_pipeline.sample.streams import NO_DAY, Window, dates, sigmoid
from credit_pipeline.sample.tables import choose, choose_index, units, vocabulary, words


def complaints(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Consumer disputes (four of five) and reports of violations; reports on risky firms are verified
    more often."""
    crowd = 0.5 + 1.6 * city.in_sections("HPOK") + 0.5 * city.in_sections("FR")
    firm, day = city.draw(rng, 0.24, 0.6, window, crowd)
    rows = len(firm)
    risk = city.risk_at(day, firm)
    is_report = rng.random(rows) < 0.2
    accepted = rng.random(rows) < 0.85
    closed = day + rng.geometric(0.08, rows)
    open_still = closed > window.end
    verified = is_report & accepted & (rng.random(rows) < sigmoid(-1.2 + 1.1 * risk))
    dispute = some(rng, rows, ["mediated", "failed"], [0.65, 0.35])
    decided = where(is_report, where(verified, "filed", "not_filed"), dispute)
    outcome = where(~accepted, "rejected", where(open_still, "pending", decided))
    has_amount = ~is_report & (rng.random(rows) < 0.7)
    amount = pl.Series((np.exp(rng.normal(6.0, 1.4, rows)) * 100).astype(np.int64))
    data = frame(
        rows,
        {
            "ticket_no": identifiers("NY", window, day),
            "kind": words(["complaint", "report"], is_report.astype(np.int64)),
            **party(city, firm),
            "received_date": dates(day),
            "category": choose(vocabulary()["complaint_categories"], rng, rows),
            "is_accepted": pl.Series(accepted),
            "outcome": outcome,
            "closed_date": dates(np.where(open_still | ~accepted, NO_DAY, closed)),
            "amount_fen": amount.set(pl.Series(~has_amount), None),
            "is_verified": pl.Series(verified).set(pl.Series(~is_report | open_still), None),
            "content": choose(vocabulary()["complaint_texts"], rng, rows),
            "complainant_name": person_names(rng, rows),
            "complainant_phone": phones(rng, rows),
        },
    )
    return with_reported(data, window, rng, firm, day, years_part(day))


def public_opinion(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Items of opinion monitoring; the share of negative ones grows with risk."""
    size = np.clip(np.log1p(city.staff) / 2.0, 0.3, 3.0)
    firm, day = city.draw(rng, 0.07, 0.25, window, size)
    rows = len(firm)
    risk = city.risk_at(day, firm)
    negative = rng.random(rows) < sigmoid(-1.0 + 0.9 * risk)
    polarity = where(negative, "negative", some(rng, rows, ["neutral", "positive"], [0.65, 0.35]))
    topics = vocabulary()["opinion_topics"]
    topic = where(
        (polarity == "neutral").to_numpy(),
        choose(topics["neutral"], rng, rows),
        choose(topics["positive"], rng, rows),
    )
    checked = negative & (rng.random(rows) < 0.3)
    offices = [name for name, level in zip(units().name, units().level, strict=True) if level == "city"]
    data = frame(
        rows,
        {
            "item_id": identifiers("YQ", window, day),
            **party(city, firm),
            "source_name": choose(vocabulary()["media"], rng, rows),
            "published_date": dates(day),
            "polarity": polarity,
            "topic": where(negative, choose(topics["negative"], rng, rows), topic),
            "confidence": pl.Series(np.round(rng.uniform(0.55, 0.99, rows), 2)),
            "verified_by": where(checked, words(offices, choose_index(len(offices), rng, rows)), None),
        },
    )
    return with_reported(data, window, rng, firm, day, years_part(day))
