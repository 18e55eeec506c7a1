"""The register and what enterprises report: registrations, changes, annual reports, related parties.

Here: four feeds. Not here: who exists (city).
"""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from credit_pipeline.sample.city import STATUSES, City
from credit_pipeline.sample.codes import make_person_ids
from credit_pipeline.sample.events import frame, party, region_codes, some, text, with_reported, years_part
from credit_pipeline.sample.names import addresses, joined, person_names, where
from credit_pipeline.sample.streams import NO_DAY, Floats, Ints, Window, dates, day_number, sigmoid
from credit_pipeline.sample.tables import choose_index, industries, regions, units, words

_CHANGES = ["address", "legal_representative", "capital", "scope", "shareholder", "type", "term", "other"]
_CHANGE_SHARES = [0.2, 0.17, 0.15, 0.25, 0.12, 0.03, 0.04, 0.04]
_REPORT_YEARS = (2023, 2024, 2025)


def registrations(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """The register: one row per enterprise, reported when it was founded, with its present state."""
    rows = len(city)
    firm = np.arange(rows)
    status = words(STATUSES, city.status)
    revoked = (city.status == 1) | (city.status == 2)
    cancelled = (city.status == 3) | (city.status == 2)
    # A revoked firm that is cancelled later was revoked some months before.
    revoked_day = np.where(city.status == 2, np.maximum(city.ended - 120, city.established), city.ended)
    approved = np.maximum(city.established, np.where(city.renamed == NO_DAY, city.established, city.renamed))
    has_term = rng.random(rows) < 0.6
    township = words(
        [*regions().townships, ""], np.where(city.township >= 0, city.township, len(regions().townships))
    )
    trade = industries()
    unit = [units().name[i] for i in units().in_charge("market_supervision")]
    data = frame(
        rows,
        {
            "uscc": city.uscc,
            "reg_no": city.reg_no,
            "pripid": city.pripid,
            "enterprise_name": city.name,
            "enterprise_type": city.type_code,
            "status": status,
            "legal_representative": city.legal_rep,
            "legal_representative_id": make_person_ids(rng.integers(-3_000, 11_000, rows)),
            "contact_phone": city.phone,
            "registered_capital_fen": pl.Series(city.capital_fen),
            "currency": "CNY",
            "established_date": dates(city.established),
            "approved_date": dates(approved),
            "term_from": dates(city.established),
            "term_to": dates(np.where(has_term, city.established + rng.integers(2, 6, rows) * 3_652, NO_DAY)),
            "cancelled_date": dates(np.where(cancelled, city.ended, NO_DAY)),
            "revoked_date": dates(np.where(revoked, revoked_day, NO_DAY)),
            "address": city.address,
            "region": region_codes(city, firm),
            "township": township.set(township == "", None),
            "province_name": "河南",
            "city_name": "南阳",
            "industry_section": words(trade.section, city.industry),
            "industry_code": words(trade.code, city.industry),
            "business_scope": joined(
                "一般项目：",
                words(trade.scope, city.industry),
                "（除依法须经批准的项目外，凭营业执照依法自主开展经营活动）",
            ),
            "registration_authority": words(unit, city.region),
        },
    )
    return with_reported(data, window, rng, firm, city.established, region_codes(city, firm))


def registration_changes(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """The change log; every renaming is in it, and risky firms change more."""
    firm, day = city.draw(rng, 0.13, 0.35, window)
    renamed = (
        np.flatnonzero((city.renamed >= window.start) & (city.renamed <= window.end))
        if window.is_history
        else np.arange(0)
    )
    is_name = np.repeat([False, True], [len(firm), len(renamed)])
    firm, day = np.concatenate([firm, renamed]), np.concatenate([day, city.renamed[renamed]])
    order = np.lexsort((firm, day))
    firm, day, is_name = firm[order], day[order], is_name[order]
    rows = len(firm)
    field = some(rng, rows, _CHANGES, _CHANGE_SHARES)
    capital = city.capital_fen[firm] // 1_000_000
    before = {
        "address": addresses(rng, city.region[firm], city.township[firm]),
        "legal_representative": person_names(rng, rows),
        "capital": joined(text(_former_capital(city, rng, firm, day, capital)), "万元人民币"),
        "shareholder": person_names(rng, rows),
    }
    after = {
        "address": city.address.gather(firm),
        "legal_representative": city.legal_rep.gather(firm),
        "capital": joined(text(capital), "万元人民币"),
        "shareholder": city.legal_rep.gather(firm),
    }
    scope = words(industries().scope, city.industry[firm])
    old, new = joined(scope, "（旧）"), scope
    for name in before:
        chosen = (field == name).to_numpy()
        old, new = where(chosen, before[name], old), where(chosen, after[name], new)
    data = frame(
        rows,
        {
            "uscc": city.uscc.gather(firm),
            "changed_field": where(is_name, "name", field),
            "old_value": where(is_name, city.old_name.gather(firm), old),
            "new_value": where(is_name, city.name.gather(firm), new),
            "change_date": dates(day),
            "sequence": pl.Series(np.zeros(rows, dtype=np.int64)),
        },
    ).with_columns(sequence=pl.int_range(1, pl.len() + 1).over("uscc", "changed_field", "change_date"))
    data = data.with_columns(sequence=pl.col("sequence") + (0 if window.is_history else window.day * 10))
    return with_reported(data, window, rng, firm, day, years_part(day))


def _former_capital(city: City, rng: np.random.Generator, firm: Ints, day: Ints, capital: Ints) -> Ints:
    """What the capital was before: mostly less; risky firms more often took some of it out."""
    factor = rng.integers(2, 6, len(firm))
    decreased = rng.random(len(firm)) < sigmoid(-1.6 + 0.7 * city.risk_at(day, firm))
    return np.where(decreased, capital * factor, np.maximum(capital // factor, 1))


def operations(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Annual reports of 2023 to 2025, filed from January to June of the next year or late; risky firms
    leave gaps."""
    parts = []
    for position, year in enumerate(_REPORT_YEARS):
        due = day_number(date(year + 1, 6, 30))
        alive = (
            city.alive(slice(None), due)
            & (city.established < day_number(date(year, 12, 31)))
            & ~city.is_branch
        )
        filed = alive & city.filed[:, position]
        late = alive & ~city.filed[:, position] & (rng.random(len(city)) < 0.35)
        day = due - np.minimum(rng.geometric(0.02, len(city)), 180)
        day = np.where(late, due + rng.integers(1, 300, len(city)), day)
        if not window.is_history:
            late = alive & ~city.filed[:, position] & (rng.random(len(city)) < 0.04)
            filed, day = (
                np.zeros(len(city), dtype=bool),
                rng.integers(window.start, window.end + 1, len(city)),
            )
        firm = np.flatnonzero((filed | late) & (day <= window.end))
        parts.append((firm, day[firm], np.full(len(firm), year)))
    firm, day, year_of = (np.concatenate([part[i] for part in parts]) for i in range(3))
    order = np.lexsort((firm, day, year_of))
    firm, day, year_of = firm[order], day[order], year_of[order]
    rows = len(firm)
    money = _accounts(city, rng, firm, day_number(date(2023, 12, 31)) + (year_of - 2023) * 365)
    staff = np.maximum((city.staff[firm] * np.exp(rng.normal(0, 0.15, rows))).astype(np.int64), 1)
    insured = (staff * np.clip(rng.normal(0.7, 0.2, rows), 0, 1)).astype(np.int64)
    data = frame(
        rows,
        {
            **party(city, firm),
            "report_year": pl.Series(year_of),
            "report_date": dates(day),
            **{name: pl.Series(value) for name, value in money.items()},
            "employee_count": pl.Series(staff),
            "insured_count": pl.Series(insured),
            "is_assets_published": pl.Series(rng.random(rows) < 0.3),
            "is_revenue_published": pl.Series(rng.random(rows) < 0.25),
        },
    )
    return with_reported(data, window, rng, firm, day, text(year_of))


def _accounts(city: City, rng: np.random.Generator, firm: Ints, at: Ints) -> dict[str, Ints]:
    """Balance sheet and income in fen, whole hundreds of yuan; debt and losses grow with risk."""
    rows = len(firm)
    risk = city.risk_at(at, firm)

    def rounded(yuan: Floats) -> Ints:
        return np.round(yuan / 100).astype(np.int64) * 10_000

    assets = city.capital_fen[firm] / 100 * np.exp(rng.normal(0.2, 0.7, rows))
    ratio = np.clip(sigmoid(-0.2 + 0.5 * risk + rng.normal(0, 0.7, rows)) * 1.25, 0.02, 1.8)
    revenue = assets * np.exp(rng.normal(-0.3, 0.9, rows))
    margin = 0.06 - 0.05 * risk + rng.normal(0, 0.1, rows)
    profit = revenue * np.clip(margin, -0.8, 0.5)
    owing = rng.random(rows) < 0.8 * sigmoid(-4.2 + 1.1 * risk)
    return {
        "total_assets_fen": rounded(assets),
        "total_liabilities_fen": rounded(assets * ratio),
        "revenue_fen": rounded(revenue),
        "profit_fen": rounded(profit),
        "net_profit_fen": rounded(np.where(profit > 0, profit * 0.8, profit)),
        "tax_paid_fen": rounded(revenue * np.clip(rng.normal(0.03, 0.015, rows), 0.001, 0.2)),
        "tax_arrears_fen": rounded(np.where(owing, revenue * rng.uniform(0.005, 0.08, rows), 0)),
    }


def related_parties(city: City, rng: np.random.Generator, window: Window) -> pl.DataFrame:
    """Edges: legal representatives, shareholders, parents within a group, shared addresses, guarantors, branches.

    A subsidiary whose shareholder is not told is told as the investment of its parent, or not at all.
    """
    rows = len(city)
    all_firms = np.arange(rows)
    holders = all_firms[rng.random(rows) < 0.45]
    member = np.flatnonzero((city.group >= 0) & (city.group_head != all_firms))
    luck = rng.random(len(member))
    child, held = member[luck < 0.6], member[(luck >= 0.6) & (luck < 0.8)]
    branch = np.flatnonzero(city.parent >= 0)
    neighbour = member[city.shares_address[member]]
    # Guarantees go between firms of like risk: neighbours in an order that follows risk with noise.
    order = np.argsort(city.risk + rng.normal(0, 0.7, rows), kind="stable")
    place = np.flatnonzero(rng.random(max(rows - 1, 0)) < 0.03)
    backed, backer = order[place], order[place + 1] if len(place) else place
    edges = [
        ("legal_representative", all_firms, all_firms),
        ("shareholder", holders, holders),
        ("shareholder", child, city.group_head[child]),
        ("same_address", neighbour, city.group_head[neighbour]),
        ("guarantor", backed, backer),
        ("investment", city.group_head[held], held),
        ("branch", city.parent[branch], branch),
    ]
    firm, other = (np.concatenate([edge[i] for edge in edges]) for i in (1, 2))
    kinds = [relation for relation, _, _ in edges]
    kind = np.repeat(np.arange(len(edges)), [len(firms) for _, firms, _ in edges])
    is_person = kind < 2
    share = np.where(
        kind == 1, choose_index(5, rng, len(firm)) * 20.0 + 20.0, rng.integers(10, 100, len(firm)) * 1.0
    )
    has_share = np.isin(kind, [1, 2, 5])
    since = np.maximum(city.established[firm], city.established[other])
    since = np.minimum(np.where(kind == 4, since + rng.integers(30, 2_000, len(firm)), since), window.end)
    table = frame(
        len(firm),
        {
            "from_id": where(is_person, city.legal_rep_id.gather(other), city.uscc.gather(other)),
            "from_name": where(is_person, city.legal_rep.gather(other), city.name.gather(other)),
            "uscc": city.uscc.gather(firm),
            "relation": words(kinds, kind),
            "share_ratio": pl.Series(np.where(has_share, share, np.nan)).fill_nan(None),
            "valid_from": dates(since),
            "valid_to": dates(np.full(len(firm), NO_DAY)),
        },
    )
    part = text(np.arange(len(firm)) // 250_000, 2)
    return with_reported(table, window, rng, firm, since, part)
