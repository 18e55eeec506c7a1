"""Dirt in what names the enterprise: rows whose unified code is missing, masked or an older code.

Here: kinds whose row names its enterprise by something else, and what a careful reader makes of it: the rung
of the ladder (registration number, organisation code, tax number, name and region) or the reason why a person
must decide. Every target is chosen so that there is one right answer: the register holds the enterprise, and
a name that shall decide is nobody else's. Not here: codes with a wrong character (dirt_codes).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from credit_pipeline.sample.city import City
from credit_pipeline.sample.dirt import Case, Kind, Mutation
from credit_pipeline.sample.render import word_of
from credit_pipeline.sample.streams import Bools, Ints
from credit_pipeline.sample.tables import regions, vocabulary

Changes = dict[str, str | None]
NULL_WORDS = ["\\N", "暂无", "无", "-", "/", "NULL", "0"]
PLACEHOLDERS = ["00000000000000000X", "000000000000000000"]
_OLDER = ("reg_no", "org_code", "tax_no")
_FORMS = re.compile(r"(?:有限责任公司|股份有限公司|有限公司|专业合作社|合作社|分公司|公司)$")


def own_code(case: Case) -> str | None:
    """The row's USCC, if it is that of the enterprise the row is about and the register holds it."""
    value = case.row.get("uscc")
    known = isinstance(value, str) and case.city.in_register[case.firm] and value == case.city.uscc[case.firm]
    return value if known else None


def _own_name(case: Case) -> str | None:
    """The enterprise's name, if the row sends it."""
    column = case.name_column
    name = case.row[column] if column else None
    return name if isinstance(name, str) and name == case.city.name[case.firm] else None


def _known_reg_no(case: Case) -> str | None:
    """The enterprise's registration number, if the register holds it and nobody shares it."""
    city, firm = case.city, case.firm
    return city.reg_no[firm] if city.reg_no_in_register[firm] and city.twin[firm] < 0 else None


def _without_older_codes(case: Case) -> Changes:
    return case.present(dict.fromkeys(_OLDER))


def _nothing_in_place(case: Case, uscc: str) -> str | None:
    """What stands where the code should: nothing, a filler or a masked code."""
    forms = [None, None, case.pick(PLACEHOLDERS), _hidden(uscc)]
    return forms[int(case.rng.integers(len(forms)))]


def _hidden(uscc: str) -> str:
    return uscc[:6] + "******" + uscc[12:]


def _hyphenated(case: Case, org_code: str) -> str:
    return case.pick([org_code, f"{org_code[:8]}-{org_code[8]}"])


def _identified(case: Case, column: str, changes: Changes, rung: str, note: str) -> Mutation:
    uscc = case.city.uscc[case.firm]
    return Mutation(column, changes, uscc, note, outcome="identified", rule=rung)


def _to_review(column: str, changes: Changes, reason: str, note: str) -> Mutation:
    return Mutation(column, changes, note=note, outcome="review", rule=reason)


def _refused(case: Case, rule: str, text: str) -> Mutation:
    """In the register itself nothing else can stand for the code."""
    return Mutation("uscc", {"uscc": text}, note=text, outcome="quarantined", rule=rule)


def _spoilt_code(rule: str, form: Callable[[Case, str], str | None]) -> Callable[[Case], Mutation | None]:
    """The code replaced by something that says little or nothing; the name is left."""

    def spoil(case: Case) -> Mutation | None:
        uscc = own_code(case)
        if uscc is None:
            return None
        value = form(case, uscc)
        if case.feed.name == "registrations":
            return _refused(case, rule, value) if value else None
        if case.name_column is None and value and "*" in value:
            # It fits too many to say which, but a person may know more.
            return _to_review("uscc", {"uscc": value}, "no_match", value)
        if _own_name(case) is None or not case.city.unique_name[case.firm]:
            return None
        changes = {"uscc": value, **_without_older_codes(case)}
        return _identified(case, "uscc", changes, "name_region", value or "空")

    return spoil


def _missing(case: Case, uscc: str) -> str | None:
    return case.pick(NULL_WORDS) if case.rng.random() < 0.5 else None


def _old_reg_no(case: Case) -> Mutation | None:
    number = case.city.reg_no[case.firm]
    if own_code(case) is None or number is None:
        return None
    if case.feed.name == "registrations":
        return _refused(case, "uscc_old_reg_no", number)
    if _known_reg_no(case) is None:
        return None
    return _identified(case, "uscc", {"uscc": number}, "reg_no", number)


def _shared_reg_no(case: Case) -> Mutation | None:
    """A registration number that two enterprises of the register have."""
    city, twin = case.city, case.city.twin[case.firm]
    number = city.reg_no[case.firm]
    shared = number is not None and number == city.reg_no[int(twin)] and city.in_register[twin]
    if own_code(case) is None or not shared or case.feed.name == "registrations":
        return None
    if not city.reg_no_in_register[case.firm] or not city.reg_no_in_register[twin]:
        return None
    return _to_review("uscc", {**_without_older_codes(case), "uscc": number}, "ambiguous_code", str(number))


def _org_code(case: Case) -> Mutation | None:
    uscc = own_code(case)
    if uscc is None:
        return None
    value = _hyphenated(case, uscc[8:17])
    if case.feed.name == "registrations":
        return _refused(case, "uscc_org_code", value)
    # With the registration number beside it, that would be the first rung.
    changes = {"uscc": value, **case.present({"reg_no": None})}
    return _identified(case, "uscc", changes, "org_code", value)


def _reg_no_column(case: Case) -> Mutation | None:
    uscc, number = own_code(case), _known_reg_no(case)
    if uscc is None or number is None or not case.has("reg_no") or case.row["reg_no"] != number:
        return None
    return _identified(case, "uscc", {"uscc": _nothing_in_place(case, uscc)}, "reg_no", number)


def _org_code_column(case: Case) -> Mutation | None:
    uscc = own_code(case)
    if uscc is None or not case.has("org_code"):
        return None
    value = _hyphenated(case, uscc[8:17])
    changes = {"uscc": _nothing_in_place(case, uscc), "org_code": value}
    return _identified(case, "uscc", changes | case.present({"reg_no": None}), "org_code", value)


def _tax_no_column(case: Case) -> Mutation | None:
    uscc = own_code(case)
    if uscc is None or not case.has("tax_no"):
        return None
    value = case.pick([uscc, uscc[2:8] + uscc[8:17]])
    changes = {"uscc": _nothing_in_place(case, uscc), **_without_older_codes(case), "tax_no": value}
    return _identified(case, "uscc", changes, "tax_no", value)


def _former_name(case: Case) -> Mutation | None:
    uscc, column, former = own_code(case), case.name_column, case.city.old_name[case.firm]
    if uscc is None or column is None or former is None or not case.row[column]:
        return None
    changes = {"uscc": _nothing_in_place(case, uscc), column: former, **_without_older_codes(case)}
    return _identified(case, "uscc", changes, "name_region", f"{former} 现名 {case.city.name[case.firm]}")


def _by_name(case: Case) -> Mutation | None:
    """The record of a branch, or of a head office, under its own name."""
    uscc, name = own_code(case), _own_name(case)
    if uscc is None or name is None:
        return None
    changes = {"uscc": _nothing_in_place(case, uscc), **_without_older_codes(case)}
    return _identified(case, "uscc", changes, "name_region", name)


def _under_other_name(case: Case, name: str, reason: str) -> Mutation | None:
    """Nothing but a name that is no enterprise's of the register."""
    column = case.name_column
    if column is None or own_code(case) is None or not case.row[column] or name in case.city.names:
        return None
    # A masked code would name the enterprise after all to a reader's eye.
    changes: Changes = {"uscc": None, column: name, **_without_older_codes(case)}
    return _to_review("uscc", changes, reason, name)


def _head_office_elsewhere(case: Case) -> Mutation | None:
    """A branch's head office that the register does not hold: its record must not become the branch's."""
    name = case.city.name[case.firm].removesuffix("分公司")
    place = next((place for place in regions().short if name.endswith(place)), None)
    return None if place is None else _under_other_name(case, name.removesuffix(place), "no_match")


def _short_name(case: Case) -> Mutation | None:
    name = _own_name(case)
    short = _FORMS.sub("", name) if name else None
    if not short or short == name or len(short) < 4:
        return None
    return _under_other_name(case, short.removeprefix("河南").removeprefix("南阳市"), "no_match")


def _ambiguous_name(case: Case) -> Mutation | None:
    """Two firms of one county bear the name."""
    name = _own_name(case)
    if own_code(case) is None or name is None or not case.city.in_register[case.city.twin[case.firm]]:
        return None
    return _to_review("uscc", {"uscc": None, **_without_older_codes(case)}, "ambiguous_name", name)


def _another(case: Case) -> int | None:
    """A firm of the register, of one name, that has nothing to do with the row's."""
    city = case.city
    for firm in case.rng.integers(0, len(city), 20).tolist():
        related = city.group[firm] >= 0 or city.parents[firm] or city.is_branch[firm] or firm == case.firm
        if city.in_register[firm] and city.unique_name[firm] and not related:
            return int(firm)
    return None


def _other_firms_name(case: Case) -> Mutation | None:
    """The code of one firm beside the name of another."""
    column, other, uscc = case.name_column, _another(case), own_code(case)
    if column is None or other is None or uscc is None or not case.row[column]:
        return None
    name, number = case.city.name[other], _known_reg_no(case)
    code = number if number and case.rng.random() < 0.5 else _hyphenated(case, uscc[8:17])
    changes = {**_without_older_codes(case), "uscc": code, column: name}
    return _to_review("uscc", changes, "name_differs", f"{code} {name}")


def _codes_disagree(case: Case) -> Mutation | None:
    """The registration number of one firm beside the organisation code of another."""
    other, uscc = _another(case), own_code(case)
    if other is None or uscc is None or not case.has("reg_no", "org_code"):
        return None
    if _known_reg_no(case) is None or case.row["reg_no"] != _known_reg_no(case):
        return None
    foreign = case.city.uscc[other][8:17]
    in_cell = case.rng.random() < 0.5
    changes: Changes = {"uscc": foreign if in_cell else None, "org_code": None if in_cell else foreign}
    changes |= case.present({"tax_no": None})
    return _to_review("uscc", changes, "codes_disagree", f"{case.row['reg_no']} {foreign}")


def _hidden_code_of_another(case: Case) -> Mutation | None:
    """A masked code whose visible characters are not those of the enterprise that bears the name."""
    other, name = _another(case), _own_name(case)
    if other is None or name is None or own_code(case) is None or not case.city.unique_name[case.firm]:
        return None
    foreign = case.city.uscc[other]
    changes = {"uscc": _hidden(foreign), **_without_older_codes(case)}
    return _to_review("uscc", changes, "codes_disagree", f"{changes['uscc']} {name}")


def _region_differs(case: Case) -> Mutation | None:
    """The organisation code of the enterprise in a tax number of another province."""
    uscc = own_code(case)
    if uscc is None or not case.has("tax_no"):
        return None
    value = case.pick(["110105", "310115", "440305"]) + uscc[8:17]
    changes = {"uscc": None, **_without_older_codes(case), "tax_no": value}
    return _to_review("uscc", changes, "region_differs", value)


def _traditional_name(case: Case) -> Mutation | None:
    """The name in traditional characters, as stamps and signs have it."""
    column, name = case.name_column, _own_name(case)
    if column is None or name is None or case.feed.name == "registrations":
        return None
    table = dict(vocabulary()["traditional"])
    changed = "".join(table.get(character, character) for character in name)
    if changed == name:
        return None
    if case.rng.random() < 0.5:
        return Mutation(column, {column: changed}, expected=changed, note=name)
    if own_code(case) is None or not case.city.unique_name[case.firm] or changed in case.city.names:
        return None
    changes = {"uscc": None, column: changed, **_without_older_codes(case)}
    return _identified(case, "uscc", changes, "name_region", changed)


def _natural_person(case: Case) -> Mutation | None:
    column, person = case.name_column, case.row.get("legal_representative")
    if column is None or not person or not case.has("party_kind"):
        return None
    word = word_of(case.feed.column("party_kind"), "natural_person", case.office.coded)
    changes: Changes = {"party_kind": word, column: person, "uscc": None, **_without_older_codes(case)}
    return Mutation("uscc", changes, note="自然人")


def _no_identity(case: Case) -> Mutation | None:
    """Neither a code nor a name."""
    column = case.name_column
    if not case.row.get("uscc") or case.feed.name == "registrations":
        return None
    filler = case.pick([*NULL_WORDS, *PLACEHOLDERS]) if case.rng.random() < 0.5 else None
    changes: Changes = {"uscc": filler, **_without_older_codes(case)}
    if column is not None:
        # Where the name is compulsory the row lacks two values; either is reason enough.
        changes[column] = None
    return Mutation("uscc", changes, note=filler or "空")


def _chosen(flags: Callable[[City], Bools]) -> Callable[[City, Ints], Bools]:
    """Enterprises of the register with that flag."""

    def suits(city: City, firms: Ints) -> Bools:
        return (flags(city) & city.in_register)[np.maximum(firms, 0)]

    return suits


_RENAMED = _chosen(lambda city: city.unique_old_name & city.rename_in_register)
_BRANCHES = _chosen(lambda city: city.is_branch & city.unique_name)
_FOREIGN_BRANCHES = _chosen(lambda city: city.is_branch & (city.parent < 0))
_HEAD_OFFICES = _chosen(lambda city: city.parents & city.unique_name)
# One of each pair: the rows of both would be the same but for what is taken from them.
_TWINS = _chosen(lambda city: city.twin > np.arange(len(city)))
_PUBLICITY = ("penalties", "licences")
_NAMED = (
    "penalties", "licences", "honours", "complaints", "public_opinion", "operations", "abnormal_listings",
    "serious_violations", "judgment_defaulters", "public_credit_evaluations", "industry_ratings",
    "credit_repairs",
)  # fmt: skip
"""Feeds that send the name of the enterprise beside its code."""

IDENTITY_KINDS = [
    Kind(
        "uscc_missing",
        "identified",
        "name_region",
        _spoilt_code("required_missing", _missing),
        _NAMED,
    ),
    Kind(
        "uscc_masked",
        "identified",
        "name_region",
        _spoilt_code("uscc_masked", lambda case, uscc: _hidden(uscc)),
    ),
    Kind(
        "uscc_placeholder",
        "identified",
        "name_region",
        _spoilt_code("uscc_placeholder", lambda case, uscc: case.pick(PLACEHOLDERS)),
    ),
    Kind("uscc_old_reg_no", "identified", "reg_no", _old_reg_no),
    Kind("uscc_org_code", "identified", "org_code", _org_code),
    Kind("reg_no_column", "identified", "reg_no", _reg_no_column, _PUBLICITY),
    Kind("org_code_column", "identified", "org_code", _org_code_column, _PUBLICITY),
    Kind("tax_no_column", "identified", "tax_no", _tax_no_column, _PUBLICITY),
    Kind("former_name_only", "identified", "name_region", _former_name, _NAMED, firms=_RENAMED),
    Kind("branch_by_name", "identified", "name_region", _by_name, _NAMED, firms=_BRANCHES),
    Kind("head_office_by_name", "identified", "name_region", _by_name, _NAMED, firms=_HEAD_OFFICES),
    Kind(
        "head_office_elsewhere", "review", "no_match", _head_office_elsewhere, _NAMED, firms=_FOREIGN_BRANCHES
    ),
    Kind("short_name", "review", "no_match", _short_name, _NAMED),
    Kind("ambiguous_name", "review", "ambiguous_name", _ambiguous_name, _NAMED, firms=_TWINS),
    Kind("name_differs", "review", "name_differs", _other_firms_name, _NAMED),
    Kind("codes_disagree", "review", "codes_disagree", _codes_disagree, _PUBLICITY),
    Kind("masked_code_of_another", "review", "codes_disagree", _hidden_code_of_another, _NAMED),
    Kind("region_differs", "review", "region_differs", _region_differs, _PUBLICITY),
    Kind("shared_reg_no", "review", "ambiguous_code", _shared_reg_no, firms=_TWINS),
    Kind("traditional_name", "accepted", "", _traditional_name, _NAMED),
    Kind("natural_person", "quarantined", "natural_person", _natural_person, _PUBLICITY),
    Kind("no_identity", "quarantined", "required_missing", _no_identity),
]
