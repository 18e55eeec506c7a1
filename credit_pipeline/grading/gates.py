"""Whether a challenger may grade: the figures of its validation against policy's gates (model_gates.csv).

Here: which figure each gate reads, pass, warning or failure, and the words for it. Not here: the figures
(validation.py) and what is done with the verdicts (training.py).

A gate that has nothing to read (no champion to compare with, no segment with enough breaches) is not applicable. A test
out of time that could not be made is a failure: what cannot be judged does not grade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from credit_pipeline.errors import BadInput
from credit_pipeline.settings import Settings
from credit_pipeline.transform.policy import policy_table

PASS, WARN, FAIL, NOT_APPLICABLE = "pass", "warn", "fail", "not applicable"
Reading = tuple[float | None, str]
"""A figure, and words that tell what it is; no figure: not applicable, for the reason in the words."""


@dataclass(frozen=True)
class Verdict:
    """What one gate says."""

    gate: str
    label: str
    measure: str
    verdict: str
    figure: float | None
    green: float
    amber: float
    better: str
    blocks: bool
    words: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _auc_floor(found: Mapping[str, Any]) -> Reading:
    auc = found["test"]["auc"]
    return auc["low"], f"AUC {auc['value']:.4f}, 95 % interval {auc['low']:.4f} to {auc['high']:.4f}"


def _auc_gain(found: Mapping[str, Any]) -> Reading:
    rival = found["champion"]
    if rival is None:
        return None, "no model grades yet"
    if "difference" not in rival:
        return None, rival["how"]
    gain = rival["difference"]
    return gain["value"], (
        f"{gain['value']:+.4f} (95 % interval {gain['low']:+.4f} to {gain['high']:+.4f}) against "
        f"{rival['auc']['value']:.4f} of the model in use ({rival['how']})"
    )


def _jeffreys_grades(found: Mapping[str, Any]) -> Reading:
    grades = [grade for grade in found["test"]["grades"] if grade["rows"]]
    worst = min(grades, key=lambda grade: grade["jeffreys_holm"])
    return worst["jeffreys_holm"], (
        f"least sure is grade {worst['grade']}: promised {worst['probability']:.2%}, found {worst['rate']:.2%} in "
        f"{worst['effective']:,.0f} effective rows, p {worst['jeffreys_holm']:.3f} after Holm"
    )


def _jeffreys_portfolio(found: Mapping[str, Any]) -> Reading:
    all_rows = found["test"]["portfolio"]
    return all_rows["jeffreys"], (
        f"promised {all_rows['probability']:.2%}, found {all_rows['rate']:.2%}, p {all_rows['jeffreys']:.3f}"
    )


def _promise_excess(found: Mapping[str, Any]) -> Reading:
    everyone = found["test"]["portfolio"]
    if not everyone["rate"]:
        return None, "no breach was found"
    excess = everyone["probability"] / everyone["rate"] - 1
    return excess, f"promised {everyone['probability']:.2%}, found {everyone['rate']:.2%}: {excess:+.0%}"


def _grade_order(found: Mapping[str, Any]) -> Reading:
    wrong = [f"{pair['better']} and {pair['worse']}" for pair in found["test"]["adjacent"] if pair["falls"]]
    rates = ", ".join(f"{g['grade']} {g['rate']:.2%}" for g in found["test"]["grades"] if g["rows"])
    return float(len(wrong)), f"observed {rates}" + (f"; falling: {', '.join(wrong)}" if wrong else "")


def _adjacent_grades(found: Mapping[str, Any]) -> Reading:
    pairs = found["test"]["adjacent"]
    unsure = [pair for pair in pairs if not pair["p"] < 0.05]
    said = ", ".join(f"{pair['better']}<{pair['worse']} p {pair['p']:.2g}" for pair in pairs)
    return float(len(unsure)), said or "all test rows are of one grade"


def _brier_skill(found: Mapping[str, Any]) -> Reading:
    test = found["test"]
    return test["brier_skill"], f"Brier {test['brier']:.4f}, {test['brier_skill']:.1%} less than a constant's"


def _calibration_error(found: Mapping[str, Any]) -> Reading:
    test = found["test"]
    beyond = test["calibration_error_beyond_chance"]
    return (
        beyond,
        f"ECE {test['calibration_error']:.4f} over ten parts, {beyond:.4f} beyond what chance explains",
    )


def _population(found: Mapping[str, Any], name: str, words: str) -> Reading:
    people = found.get("population")
    if people is None:
        return None, "no population to compare with a year before"
    return people[name], f"{people[name]:.3f} {words}, {people['day']} against {people['compared_with']}"


def _csi(found: Mapping[str, Any]) -> Reading:
    people = found.get("population")
    if not people or not people["csi"]:
        return None, "no population to compare with a year before"
    name = max(people["csi"], key=lambda indicator: (people["csi"][indicator], indicator))
    high = sum(1 for value in people["csi"].values() if value > 0.10)
    return people["csi"][name], f"largest {people['csi'][name]:.3f} ({name}); {high} indicators over 0.10"


def _migration(found: Mapping[str, Any]) -> Reading:
    rival, moved = found["champion"], found.get("population", {}).get("migration")
    if rival is None:
        return None, "no model grades yet"
    if moved is None:
        return None, "the model in use cannot be scored on today's indicators"
    words = f"{moved['moved_two']:.1%} move two grades or more, {moved['worse']:.1%} worse, {moved['better']:.1%} better"
    if rival["kind"] == "expert":
        return (
            None,
            f"{words}; the expert scorecard's probabilities were never calibrated, so moving is its purpose",
        )
    return moved["moved_two"], words


def _concentration(found: Mapping[str, Any]) -> Reading:
    people = found.get("population")
    if people is None:
        return None, "no population"
    return people["largest_share"], "shares " + ", ".join(f"{g} {s:.1%}" for g, s in people["shares"].items())


def _segments(found: Mapping[str, Any], name: str) -> Reading:
    judged = [one for one in found["test"]["segments"][name] if one["auc"]]
    if not judged:
        return None, "none has enough breaches"
    worst = min(judged, key=lambda one: one["auc"]["high"])
    auc = worst["auc"]
    return auc["high"], (
        f"weakest of {len(judged)} is {worst['value']}: AUC {auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    )


def _price(found: Mapping[str, Any]) -> Reading:
    free = found.get("free_boosting_auc")
    if free is None:
        return None, "not fitted"
    gap = free["value"] - found["test"]["auc"]["value"]
    return gap, f"boosting without form or direction reaches {free['value']:.4f}, {gap:+.4f}"


_READERS: dict[str, Callable[[Mapping[str, Any]], Reading]] = {
    "auc_floor": _auc_floor,
    "auc_gain": _auc_gain,
    "jeffreys_grades": _jeffreys_grades,
    "jeffreys_portfolio": _jeffreys_portfolio,
    "grade_order": _grade_order,
    "adjacent_grades": _adjacent_grades,
    "brier_skill": _brier_skill,
    "calibration_error": _calibration_error,
    "psi_grades": lambda found: _population(found, "psi_grades", "PSI of the grades"),
    "psi_scores": lambda found: _population(found, "psi_scores", "PSI of the score tenths"),
    "csi_indicators": _csi,
    "migration": _migration,
    "concentration": _concentration,
    "auc_industry_section": lambda found: _segments(found, "industry_section"),
    "auc_size_class": lambda found: _segments(found, "size_class"),
    "auc_region": lambda found: _segments(found, "region"),
    "price_of_form": _price,
    "promise_excess": _promise_excess,
}
WITHOUT_TEST = frozenset({"psi_grades", "psi_scores", "csi_indicators", "migration", "concentration"})
"""Gates that read the population alone."""


def judge(settings: Settings, as_of_date: date, validation: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """What every gate in force says of a validation.

    Raises:
        BadInput: policy names a gate that the program does not know, or bounds that contradict its direction.
    """
    return judge_by(policy_table(settings, "model_gates", as_of_date).to_dicts(), validation)


def judge_by(gates: Sequence[Mapping[str, str]], validation: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The same for gates given as rows of text."""
    verdicts = []
    for row in gates:
        name, better = row["gate"], row["better"]
        if name not in _READERS:
            raise BadInput(f"model_gates.csv: unknown gate {name}; there are {', '.join(sorted(_READERS))}")
        green, amber = float(row["green"]), float(row["amber"])
        if better not in ("higher", "lower") or (amber > green if better == "higher" else amber < green):
            raise BadInput(
                f"model_gates.csv: {name}: better is 'higher' (amber at most green) or 'lower' (amber at least green)"
            )
        if validation.get("test") is None and name not in WITHOUT_TEST:
            figure, words, verdict = None, f"not judged: {validation.get('not_judged', 'no test')}", FAIL
        else:
            figure, words = _READERS[name](validation)
            verdict = NOT_APPLICABLE if figure is None else _verdict(figure, green, amber, better)
        blocks = row["blocks"].lower() == "true"
        if verdict == FAIL and not blocks:
            verdict = WARN
        verdicts.append(
            Verdict(name, row["label"], row["measure"], verdict, figure, green, amber, better, blocks, words)
        )
    return tuple(verdicts)


def _verdict(figure: float, green: float, amber: float, better: str) -> str:
    sign = 1 if better == "higher" else -1
    if sign * figure >= sign * green:
        return PASS
    return WARN if sign * figure >= sign * amber else FAIL


def blocking(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The gates that keep a challenger from grading."""
    return [verdict for verdict in verdicts if verdict.verdict == FAIL]
