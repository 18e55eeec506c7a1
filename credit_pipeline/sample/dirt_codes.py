"""Dirt in identifiers and names: what goes wrong with USCCs, agency codes and the names of enterprises.

Here: kinds that spoil a code or a name. Not here: dates and numbers (dirt_values), whole rows (dirt_rows).
"""

from __future__ import annotations

import numpy as np

from credit_pipeline.sample.city import City
from credit_pipeline.sample.codes import ALPHABET, make_person_ids, passes_uscc_check
from credit_pipeline.sample.dirt import Case, Kind, Mutation
from credit_pipeline.sample.streams import Bools, Ints

_FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
_LOOK_ALIKE = {
    "0": "O", "1": "IL", "L": "1I", "2": "Z", "5": "S", "8": "B", "B": "8",
}  # fmt: skip
"""What a character of a code is mistaken for; I, O, S and Z stand in no code, L and B also in true ones."""


def _uscc(case: Case) -> str | None:
    value = case.row.get("uscc")
    return value if isinstance(value, str) and len(value) == 18 else None


def _spoilt_uscc(case: Case, value: str | None, note: str = "") -> Mutation | None:
    return None if value is None else Mutation("uscc", {"uscc": value}, note=note or value)


def _repairable_uscc(case: Case, value: str) -> Mutation | None:
    uscc = _uscc(case)
    return (
        None
        if uscc is None or value == uscc
        else Mutation("uscc", {"uscc": value}, expected=uscc, note=value)
    )


def _length(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    if uscc is None:
        return None
    return _spoilt_uscc(case, case.pick([uscc[:-1], uscc[:6] + uscc[5:], uscc[:8] + uscc[9:]]))


def _characters(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    if uscc is None:
        return None
    place = int(case.rng.integers(9, 17))
    return _spoilt_uscc(case, uscc[:place] + case.pick(["V", "?", "#", "中"]) + uscc[place + 1 :])


def _check_digit(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    if uscc is None:
        return None
    # Another last character fails for certain; none that could be a misread one.
    other = [c for c in ALPHABET if c != uscc[-1] and c not in _LOOK_ALIKE]
    return _spoilt_uscc(case, uscc[:-1] + case.pick(other))


def _personal_id(case: Case) -> Mutation | None:
    if _uscc(case) is None:
        return None
    born = np.arange(8) + int(case.rng.integers(-5_000, 12_000))
    # One in 31 such numbers passes the check of a USCC too: it would be no certain case.
    numbers = [number for number in make_person_ids(born) if not passes_uscc_check(number)]
    return _spoilt_uscc(case, numbers[0], "公民身份号码")


def _digits_lost(case: Case) -> Mutation | None:
    """Excel shows long numbers in scientific notation; a file saved so has lost the digits."""
    uscc = _uscc(case)
    if uscc is None:
        return None
    number = uscc if uscc.isdigit() else case.city.reg_no[case.firm]
    if number is None:
        return None
    mantissa, exponent = f"{float(number):.5E}".split("E")
    return _spoilt_uscc(case, f"{mantissa}E+{int(exponent)}")


def _full_width(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    return None if uscc is None else _repairable_uscc(case, uscc.translate(_FULL_WIDTH))


def _spaces(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    if uscc is None:
        return None
    forms = [
        f"{uscc[:8]}-{uscc[8:17]}-{uscc[17]}",
        f"{uscc[:2]} {uscc[2:8]} {uscc[8:17]} {uscc[17]}",
        f"'{uscc}",
        f'="{uscc}"',
        f"{uscc}\u3000",
        f"{uscc[:8]}\u00a0{uscc[8:]}",
        f"{uscc[:8]}\u200b{uscc[8:]}",
        f" {uscc}",
    ]
    return _repairable_uscc(case, case.pick(forms))


def _lower_case(case: Case) -> Mutation | None:
    uscc = _uscc(case)
    return None if uscc is None else _repairable_uscc(case, uscc.lower())


def _mistaken(case: Case, uscc: str) -> str | None:
    """The code with one character that looks like the right one; never another valid code."""
    places = [place for place in range(2, 18) if uscc[place] in _LOOK_ALIKE]
    for _ in range(4):
        place = places[int(case.rng.integers(len(places)))] if places else 0
        wrong = uscc[:place] + case.pick(list(_LOOK_ALIKE.get(uscc[place], ""))) + uscc[place + 1 :]
        # Three zeros at the end are also what a spreadsheet leaves of a number.
        if wrong != uscc and not passes_uscc_check(wrong) and not wrong.endswith("000"):
            return wrong
    return None


def _confusable(case: Case) -> Mutation | None:
    """O for 0, B for 8 and back; acceptable only because both check characters and the name agree with the
    register."""
    uscc, name = _uscc(case), case.name_column
    if uscc is None or name is None or uscc != case.city.uscc[case.firm] or case.feed.name == "registrations":
        return None
    known = case.city.in_register[case.firm] and case.row[name] == case.city.name[case.firm]
    wrong = _mistaken(case, uscc) if known else None
    return None if wrong is None else _repairable_uscc(case, wrong)


def _confusable_unconfirmed(case: Case) -> Mutation | None:
    """The same mistake, but the name is not the one that the register has for the code."""
    uscc, name = _uscc(case), case.name_column
    wrong = None if uscc is None or name is None else _mistaken(case, uscc)
    if wrong is None or name is None:
        return None
    stranger = f"郑州{case.pick(['宏', '盛', '泰'])}{case.pick(['远', '达', '通'])}外埠商贸有限公司"
    rule = (
        "uscc_characters"
        if any(c not in ALPHABET for c in wrong) or not wrong[2:8].isdigit()
        else "uscc_check_digit"
    )
    return Mutation("uscc", {"uscc": wrong, name: stranger}, note=wrong, rule=rule)


def _placeholder_authority(case: Case) -> Mutation | None:
    names = [n for n in ("authority_code", "source_unit_code") if case.has(n)]
    if not names:
        return None
    column = case.pick(names)
    return Mutation(column, {column: "00000000000000000X"}, expected="", note=str(case.row[column]))


def _name_brackets(case: Case) -> Mutation | None:
    column = case.name_column
    if column is None or not isinstance(case.row[column], str) or case.feed.name == "registrations":
        return None
    name: str = case.row[column]
    if "（" in name and case.rng.random() < 0.8:
        changed = name.replace("（", "(").replace("）", ")")
    else:
        middle = max(len(name) // 2, 1)
        changed = name[:middle] + case.pick([" ", "\u3000", "\u00a0"]) + name[middle:]
    return Mutation(column, {column: changed}, expected=name, note=changed)


def _old_name(case: Case) -> Mutation | None:
    column, former = case.name_column, case.city.old_name[case.firm]
    if column is None or former is None or case.feed.name == "registrations":
        return None
    return Mutation(column, {column: former}, expected=former, note=f"现名 {case.city.name[case.firm]}")


def _renamed(city: City, firms: Ints) -> Bools:
    return city.old_name.is_not_null().to_numpy()[np.maximum(firms, 0)]


def _rare_character(case: Case) -> Mutation | None:
    """Characters outside GBK, which need four bytes in GB18030."""
    column = "legal_representative"
    if not case.has(column) or not case.row[column]:
        return None
    name = case.row[column][:1] + case.pick(["㛃", "𬱖", "䶮"])
    return Mutation(column, {column: name}, expected=name, note="GB18030 四字节字符")


CODE_KINDS = [
    Kind("uscc_length", "quarantined", "uscc_length", _length),
    Kind("uscc_characters", "quarantined", "uscc_characters", _characters),
    Kind("uscc_check_digit", "quarantined", "uscc_check_digit", _check_digit),
    Kind("personal_id_in_uscc", "quarantined", "personal_id_in_uscc", _personal_id),
    Kind("digits_lost", "quarantined", "digits_lost", _digits_lost, formats=("csv", "xlsx")),
    Kind("full_width", "repaired", "full_width", _full_width),
    Kind("spaces_or_hyphens", "repaired", "spaces_or_hyphens", _spaces),
    Kind("lower_case", "repaired", "lower_case", _lower_case),
    Kind("confusable_character", "repaired", "confusable_character", _confusable),
    Kind("confusable_unconfirmed", "quarantined", "uscc_check_digit", _confusable_unconfirmed),
    Kind("placeholder_code", "repaired", "placeholder_code", _placeholder_authority),
    Kind("name_brackets", "repaired", "name_brackets", _name_brackets),
    Kind("old_name", "accepted", "", _old_name, firms=_renamed),
    Kind("rare_character", "accepted", "", _rare_character),
]
