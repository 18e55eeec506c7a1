"""Licences and honours.

Here: what enterprises are allowed and what they were praised for. Not here: the trades' licence kinds
(vocabulary.yaml).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from credit_pipeline.sample.city import City
from credit_pipeline.sample.events import (
    LINES,
    document_numbers,
    frame,
    identifiers,
    older_codes,
    party,
    person_kinds,
    region_codes,
    text,
    unit_in_charge,
    with_reported,
    years_part,
)
from credit_pipeline.sample.names import where
from credit_pipeline.sample.streams import NO_DAY, Ints, Window, dates, sigmoid, years_of
from credit_pipeline.sample.tables import choose_index, industries, units, vocabulary, words

_YEAR = 365


def licences(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Trade licences (the latest of each, back to five years; risky firms let them expire) and general
    ones."""
    kinds = vocabulary()["licence_kinds"]
    names = list(kinds)
    firm, kind, day = (
        np.concatenate(part)
        for part in zip(_trade(city, rng, window), _general(city, rng, window), strict=True)
    )
    order = np.lexsort((kind, firm, day))
    firm, kind, day = firm[order], kind[order], day[order]
    rows = len(firm)
    line = np.array([LINES.index(kinds[name]["line"]) for name in names])[kind]
    years = np.array([kinds[name]["years"] for name in names])[kind]
    unit = unit_in_charge(line, city.region[firm])
    valid_from = day + rng.integers(0, 10, rows)
    valid_to = np.where(years > 0, valid_from + years * _YEAR - 1, NO_DAY)

    def said(key: str) -> pl.Series:
        return words([kinds[name][key] for name in names], kind)

    named = party(city, firm, name="party_name")
    licence_no = frame(
        rows,
        {
            "p": said("prefix"),
            "r": region_codes(city, firm),
            "n": text(np.arange(1, rows + 1) + window.day * 10**8, 10),
        },
    )
    data = frame(
        rows,
        {
            "party_name": named["party_name"],
            "party_kind": person_kinds(city, firm),
            "uscc": named["uscc"],
            **older_codes(city, firm),
            "legal_representative": city.legal_rep.gather(firm),
            "document_name": said("document"),
            "document_no": document_numbers(unit, day, "许可", window),
            "licence_kind": said("kind"),
            "licence_name": said("certificate"),
            "licence_no": licence_no.select(pl.concat_str("p", "r", "n")).to_series(),
            "content": said("content"),
            "decision_date": dates(day),
            "valid_from": dates(valid_from),
            "valid_to": dates(valid_to),
            "authority_name": words(units().name, unit),
            "authority_code": words(units().uscc, unit),
            "licence_status": where((valid_to >= window.as_of) | (valid_to == NO_DAY), "valid", "invalid"),
            "source_unit_name": words(units().name, unit),
            "source_unit_code": words(units().uscc, unit),
            "remark": None,
        },
    )
    return with_reported(data, window, rng, firm, day, region_codes(city, firm))


def _trade(city: City, rng: np.random.Generator, window: Window) -> tuple[Ints, Ints, Ints]:
    """Licences that the trade needs: firm, kind, decision day. A renewal is late or missing for risky
    firms."""
    kinds = vocabulary()["licence_kinds"]
    names = list(kinds)
    held = industries().licences
    start = np.cumsum([0] + [len(one) for one in held])
    flat = np.array([names.index(name) for one in held for name in one], dtype=np.int64)
    count = np.diff(start)[city.industry]
    firm = np.repeat(np.arange(len(city)), count)
    kind = flat[np.repeat(start[city.industry] - np.cumsum(count) + count, count) + np.arange(len(firm))]
    share = np.array([kinds[name]["share"] for name in names])[kind]
    length = np.array([kinds[name]["years"] for name in names])[kind] * _YEAR
    if not window.is_history:
        kept = rng.random(len(firm)) < share * window.years / 4
        firm, kind = firm[kept], kind[kept]
        return firm, kind, rng.integers(window.start, window.end + 1, len(firm))
    last = np.minimum(city.ended[firm] - 1, window.end)
    first = city.established[firm] + 20
    # The latest decision lies within one period of validity before the end, longer ago if it was not renewed.
    lapsed = rng.random(len(firm)) < 0.9 * sigmoid(-2.2 + 1.2 * city.risk[firm])
    back = (
        rng.random(len(firm)) * np.where(lapsed, 1.6, 1.0) * np.where(lapsed, length, length - 20)
    ).astype(np.int64)
    back = np.where(lapsed, np.maximum(back, length - 200), back)
    day = np.maximum(last - back, first)
    oldest = window.end - 7 * _YEAR
    kept = (rng.random(len(firm)) < share) & (day <= last) & (day > oldest)
    return firm[kept], kind[kept], day[kept]


def _general(city: City, rng: np.random.Generator, window: Window) -> tuple[Ints, Ints, Ints]:
    names = list(vocabulary()["licence_kinds"])
    firm, day = city.draw(rng, 0.24, 0.05, window)
    options = np.array([names.index(name) for name in ("account", "outdoor_advert", "invoice")])
    return firm, options[choose_index(3, rng, len(firm), [0.5, 0.2, 0.3])], day


def honours(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Honours, the more likely the lower the risk."""
    table = vocabulary()["honours"]
    firm, day = city.draw(rng, 0.025, -0.9, window)
    rows = len(firm)
    pick = choose_index(len(table), rng, rows, [row[3] for row in table])
    line = np.full(rows, LINES.index("market_supervision"))
    unit = unit_in_charge(line, city.region[firm])
    years = np.array([row[2] for row in table])[pick]
    levels = vocabulary()["honour_levels"]
    level = words([row[1] for row in table], pick)
    number = frame(
        rows,
        {
            "level": level.replace_strict(list(levels), list(levels.values()), return_dtype=pl.String),
            "year": text(years_of(day)),
            "id": identifiers("", window, day).str.slice(8),
        },
    ).select(
        pl.concat_str(
            "level",
            pl.lit("评〔"),
            "year",
            pl.lit("〕"),
            pl.col("id").cast(pl.Int64).cast(pl.String),
            pl.lit("号"),
        )
    )
    data = frame(
        rows,
        {
            **party(city, firm),
            "honour_name": words([row[0] for row in table], pick),
            "honour_level": level,
            "evaluation_year": pl.Series(years_of(day) - 1),
            "document_no": number.to_series(),
            "authority_name": where(
                (level == "county").to_numpy(), words(units().name, unit), "南阳市市场监督管理局"
            ),
            "awarded_date": dates(day),
            "valid_to": dates(day + years * _YEAR),
        },
    )
    return with_reported(data, window, rng, firm, day, years_part(day))
