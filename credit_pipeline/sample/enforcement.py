"""Penalties and results of inspections.

Here: the two feeds that tell most of the hidden risk, and the true probability of a serious breach.
Not here: listings (listings), how the rows are written down (offices, render).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.codes import make_person_ids
from credit_pipeline.sample.events import (
    LINES,
    document_numbers,
    frame,
    identifiers,
    lines_of,
    older_codes,
    party,
    person_kinds,
    pick_by_line,
    region_codes,
    text,
    text_dates,
    unit_in_charge,
    with_reported,
    years_part,
)
from credit_pipeline.sample.names import joined, where
from credit_pipeline.sample.streams import NO_DAY, Bools, Floats, Ints, Window, dates, sigmoid, years_of
from credit_pipeline.sample.tables import choose_index, index_at, industries, units, vocabulary, words

PENALTY_RATE, PENALTY_BETA = 0.041, 0.95
SERIOUS_SHARE = 0.13
LISTING_RATE, LISTING_BETA = 0.0035, 1.3
"""Serious violations (listings) are drawn with these; here because they belong to the true risk."""
_PROBLEM = (-5.05, 1.95)
"""Logit of a serious problem at an inspection: intercept and slope on the latent risk."""
_MINOR = (-3.7, 0.8)
_SERIOUS_CODES = [
    "false_publication",
    "not_cooperating",
    "food_drug",
    "quality",
    "other_department",
    "pending",
]
_MINOR_CODES = ["not_published", "corrected", "unreachable"]
# Past graded draws: cuts of the noisy view of risk at its 30, 65, 85 and 95 % quantiles, yearly ratio
# of each grade.
_GRADE_CUTS = np.array([-0.62, 0.55, 1.4, 2.15])
_GRADE_RATIOS = (0.12, 0.21, 0.32, 0.52, 0.80)


def breach_probability(city: City, day: int) -> Floats:
    """True probability that an inspection in the next 12 months, or an authority, finds a serious breach."""
    later = city.risk_at(day + 182)
    failed = sigmoid(_PROBLEM[0] + _PROBLEM[1] * later)
    penalties = PENALTY_RATE * np.exp(PENALTY_BETA * later - PENALTY_BETA**2 / 2) * _serious_share(later)
    listings = LISTING_RATE * np.exp(LISTING_BETA * later - LISTING_BETA**2 / 2)
    return 1 - (1 - failed) * np.exp(-penalties - listings)


def _serious_share(risk: Floats) -> Floats:
    return np.clip(SERIOUS_SHARE + 0.07 * risk, 0.02, 0.6)


def penalties(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Administrative penalties, about 4 % of enterprises a year; content repeats the amount in words."""
    firm, day = city.draw(rng, PENALTY_RATE, PENALTY_BETA, window)
    rows = len(firm)
    line = lines_of(city, rng, firm, 0.6)
    unit = unit_in_charge(line, city.region[firm])
    violation = _violations(rng, line)
    risk = city.risk_at(day, firm)
    serious = rng.random(rows) < _serious_share(risk)
    minor = ~serious & (rng.random(rows) < 0.4)
    severity = np.select([minor, serious], [0, 2], 1)
    kinds, fine, confiscated = _sanctions(rng, severity)
    revoked = kinds.str.contains("revocation|suspension")
    months = np.array([3, 12, 36])[severity]
    end = dates(day).dt.offset_by(text(months) + "mo")
    uscc_of_unit, name_of_unit = words(units().uscc, unit), words(units().name, unit)
    table = vocabulary()["violations"]
    named = party(city, firm, name="party_name")
    data = frame(
        rows,
        {
            "party_name": named["party_name"],
            "party_kind": person_kinds(city, firm),
            "uscc": named["uscc"],
            **older_codes(city, firm),
            "legal_representative": city.legal_rep.gather(firm),
            "legal_representative_id": make_person_ids(rng.integers(-3_000, 11_000, rows)),
            "document_no": document_numbers(unit, day, "处罚", window),
            "violation_type": words([row[1] for row in table], violation),
            "violation_facts": joined(
                "经查，当事人存在", words([row[1] for row in table], violation), "的行为，事实清楚"
            ),
            "legal_basis": words([row[2] for row in table], violation),
            "penalty_kinds": kinds,
            "penalty_content": _content(rng, kinds, fine, confiscated),
            "fine_fen": _amount(fine),
            "confiscated_fen": _amount(confiscated),
            "suspended_licence": where(revoked.to_numpy(), "营业执照及相关许可证件", None),
            "decision_date": dates(day),
            "valid_to": end,
            "publication_end_date": end,
            "authority_name": name_of_unit,
            "authority_code": uscc_of_unit,
            "source_unit_name": name_of_unit,
            "source_unit_code": uscc_of_unit,
            "severity": words(["minor", "ordinary", "serious"], severity),
            "is_summary_procedure": pl.Series(minor & (rng.random(rows) < 0.5)),
            "remark": None,
        },
    )
    return with_reported(data, window, rng, firm, day, region_codes(city, firm))


def _violations(rng: np.random.Generator, line: Ints) -> Ints:
    """Position of a violation that the line punishes; lines without one of their own share the first
    line's."""
    return pick_by_line([row[0] for row in vocabulary()["violations"]], line, rng)


def _sanctions(rng: np.random.Generator, severity: Ints) -> tuple[pl.Series, Ints, Ints]:
    """Kinds of penalty, fine and confiscated sum in yuan (0: none) by severity."""
    rows = len(severity)
    table = [
        (["warning", "criticism", "warning|fine"], [0.6, 0.1, 0.3], 6.7, 0.6),
        (["fine", "warning|fine", "fine|confiscation"], [0.6, 0.2, 0.2], 9.2, 0.9),
        (
            ["fine|confiscation", "fine|suspension", "fine", "fine|revocation"],
            [0.4, 0.25, 0.25, 0.1],
            11.8,
            1.0,
        ),
    ]
    kinds = pl.Series([""] * rows, dtype=pl.String)
    fine = np.zeros(rows)
    for level, (options, shares, mean, spread) in enumerate(table):
        drawn = words(options, choose_index(len(options), rng, rows, shares))
        kinds = where(severity == level, drawn, kinds)
        fine = np.where(severity == level, np.exp(rng.normal(mean, spread, rows)), fine)
    step = np.where(fine >= 10_000, 1_000, 100)
    fine = np.maximum(np.round(fine / step), 1) * step
    has_fine = kinds.str.contains("fine").to_numpy()
    confiscated = np.round(np.exp(rng.normal(8.0, 1.0, rows))) * kinds.str.contains("confiscation").to_numpy()
    return kinds, (fine * has_fine).astype(np.int64), confiscated.astype(np.int64)


def _amount(yuan: Ints) -> pl.Series:
    series = pl.Series(yuan * 100)
    return series.set(series == 0, None)


def _content(rng: np.random.Generator, kinds: pl.Series, fine: Ints, confiscated: Ints) -> pl.Series:
    """Text of the decision; a round fine from 10,000 on is written in 万元 half of the time."""
    ten_thousands = pl.Series(fine // 1_000 / 10).cast(pl.String).str.strip_suffix(".0")
    short = (fine >= 10_000) & (rng.random(len(fine)) < 0.5)
    amount = where(short, joined(ten_thousands, "万元"), joined(text(fine), "元"))
    data = pl.DataFrame({"kinds": kinds, "fine": amount, "confiscated": text(confiscated)})
    parts = {
        "warning": pl.lit("警告"),
        "criticism": pl.lit("通报批评"),
        "fine": pl.concat_str(pl.lit("罚款"), "fine"),
        "confiscation": pl.concat_str(pl.lit("没收违法所得"), "confiscated", pl.lit("元")),
        "suspension": pl.lit("暂扣许可证件三个月"),
        "revocation": pl.lit("吊销许可证件"),
    }
    has = [pl.when(pl.col("kinds").str.contains(kind)).then(said) for kind, said in parts.items()]
    return data.select(pl.concat_str(has, separator="；", ignore_nulls=True)).to_series()


def inspection_results(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Inspections of every origin: random draws of past rounds with their probability, cases and
    campaigns."""
    origins = [_random_rounds(city, rng, window), _cases(city, rng, window), _campaigns(city, rng, window)]
    origin = np.repeat(np.arange(3), [len(part[0]) for part in origins])
    firm, day, probability = (np.concatenate([part[i] for part in origins]) for i in range(3))
    order = np.lexsort((firm, day))
    origin, firm, day, probability = origin[order], firm[order], day[order], probability[order]
    line = lines_of(city, rng, firm, 0.7)
    unit = unit_in_charge(line, city.region[firm])
    codes = _findings(city, rng, firm, day)
    item = _items(rng, line)
    data = _results(city, rng, window, firm, day, unit, item, origin, codes, probability)
    second = np.flatnonzero((rng.random(len(firm)) < 0.12) & (line == LINES.index("market_supervision")))
    # A second item of the same visit is without findings: the row above carries them.
    other = (item[second] + 1) % 11
    clean = np.zeros(len(second), dtype=np.int64)
    more = data[second].with_columns(
        item_code=words([row[0] for row in vocabulary()["inspection_items"]], other),
        result_codes=pl.lit("no_problem"),
        detail=pl.lit(_details()[0]),
        rectify_due_date=dates(clean + NO_DAY),
        rectified_date=dates(clean + NO_DAY),
    )
    return pl.concat([data, more]).sort("check_date", "uscc", "item_code")


def _random_rounds(city: City, rng: np.random.Generator, window: Window) -> tuple[Ints, Ints, Floats]:
    """One graded round a year (a part of the year gives its part of the ratio); the grade is a noisy view
    of risk."""
    edges = [window.start]
    for year in range(int(years_of(np.array([window.start]))[0]) + 1, 2100):
        first = (np.datetime64(f"{year}-01-01") - np.datetime64("1970-01-01")).astype(int)
        if first > window.end:
            break
        edges.append(int(first))
    edges.append(window.end + 1)
    parts = []
    for start, stop in pairwise(edges):
        view = city.risk_at(start) + rng.normal(0, 0.9, len(city))
        ratio = np.array(_GRADE_RATIOS)[np.searchsorted(_GRADE_CUTS, view)]
        share = np.minimum((stop - start) / 365.25 * window.intensity, 1.0)
        chance = np.round(ratio * share, 6)
        drawn = np.flatnonzero((rng.random(len(city)) < chance) & city.alive(slice(None), start))
        day = rng.integers(start, stop, len(drawn))
        kept = city.alive(drawn, day)
        parts.append((drawn[kept], day[kept], chance[drawn[kept]]))
    return (
        np.concatenate([part[0] for part in parts]),
        np.concatenate([part[1] for part in parts]),
        np.concatenate([part[2] for part in parts]),
    )


def _cases(city: City, rng: np.random.Generator, window: Window) -> tuple[Ints, Ints, Floats]:
    firm, day = city.draw(rng, 0.025, 0.9, window)
    return firm, day, np.full(len(firm), np.nan)


def _campaigns(city: City, rng: np.random.Generator, window: Window) -> tuple[Ints, Ints, Floats]:
    firm, day = city.draw(rng, 0.06, 0.4, window, industries().is_safety[city.industry].astype(float))
    return firm, day, np.full(len(firm), np.nan)


def _findings(city: City, rng: np.random.Generator, firm: Ints, day: Ints) -> pl.Series:
    return findings(city.risk_at(day, firm), rng.random((6, len(firm))))


def findings(risk: Floats, luck: Floats) -> pl.Series:
    """Result codes of inspections: a serious problem with a probability that rises steeply with risk, else a minor
    one, else none. `luck`: six numbers from 0 to 1 for each; nothing else decides."""
    serious = luck[0] < sigmoid(_PROBLEM[0] + _PROBLEM[1] * risk)
    minor = luck[1] < sigmoid(_MINOR[0] + _MINOR[1] * risk)
    grave = words(_SERIOUS_CODES, index_at(luck[2], [0.15, 0.12, 0.22, 0.18, 0.15, 0.18]))
    grave = where(luck[3] < 0.25, joined(grave, "|corrected"), grave)
    slight = words(_MINOR_CODES, index_at(luck[4], [0.5, 0.3, 0.2]))
    none = where(luck[5] < 0.02, "no_activity", where(luck[5] < 0.03, "closed", "no_problem"))
    return where(serious, grave, where(minor, slight, none))


def details_of(codes: pl.Series) -> pl.Series:
    """What the report of an inspection says, by its first result code."""
    known = vocabulary()["inspection_details"]
    first = codes.str.split("|").list.first()
    return first.replace_strict(list(known), list(known.values()), default=None, return_dtype=pl.String)


def _details() -> list[str]:
    return list(vocabulary()["inspection_details"].values())


def _items(rng: np.random.Generator, line: Ints) -> Ints:
    return pick_by_line([row[2] for row in vocabulary()["inspection_items"]], line, rng)


def _results(
    city: City,
    rng: np.random.Generator,
    window: Window,
    firm: Ints,
    day: Ints,
    unit: Ints,
    item: Ints,
    origin: Ints,
    codes: pl.Series,
    probability: Floats,
) -> pl.DataFrame:
    rows = len(firm)
    table = vocabulary()["inspection_items"]
    problem = ~codes.is_in(["no_problem", "no_activity", "closed"]).to_numpy()
    fixed = day + rng.integers(5, 60, rows)
    published = day + rng.integers(1, 28, rows)
    is_random = origin == 0
    month = text_dates(day, "%Y%m")
    staff = rng.integers(1, 13, (2, rows))
    second = (staff[0] + staff[1] % 11) % 12 + 1
    unit_id = words(units().unit_id, unit)
    data = frame(
        rows,
        {
            "task_no": where(
                is_random,
                joined("SC", unit_id, month, "" if window.is_history else f"{window.day:03d}"),
                identifiers("GA", window, day),
            ),
            "plan_no": where(is_random, joined("JH", unit_id, text(years_of(day))), None),
            "item_code": words([row[0] for row in table], item),
            "uscc": city.uscc.gather(firm),
            "pripid": city.pripid.gather(firm),
            "check_date": dates(day),
            "authority_name": words(units().name, unit),
            "unit_id": unit_id,
            "origin": words(["random", "case", "campaign"], origin),
            "direction": where(is_random, words(["undirected", "directed"], rng.integers(0, 2, rows)), None),
            "result_codes": codes,
            "detail": details_of(codes),
            "inspectors": joined(unit_id, "-", text(staff[0], 2), ";", unit_id, "-", text(second, 2)),
            "rectify_due_date": dates(np.where(problem, day + 30, NO_DAY)),
            "rectified_date": dates(
                np.where(problem & (rng.random(rows) < 0.7) & (fixed <= window.end), fixed, NO_DAY)
            ),
            "published_date": dates(np.where(published <= window.end, published, NO_DAY)),
            "inclusion_probability": pl.Series(probability).fill_nan(None),
        },
    )
    return with_reported(data, window, rng, firm, day, years_part(day))


def is_serious(data: pl.DataFrame) -> Bools:
    """Which inspection results found a serious problem."""
    return data["result_codes"].str.contains("|".join(_SERIOUS_CODES)).to_numpy()
