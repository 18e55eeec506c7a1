"""Acceptance of the model on a synthetic city: out of time, against the ceiling that the hidden truth sets.

Makes the city (or takes one with `--landing`), reads it in, builds the training set and trains as the pipeline does, then
asks the generator what it hides: the true chance of a breach of every enterprise on the day of the test snapshot. Its
AUC on the same test rows is the ceiling: no model can do better but by luck.

Writes figures and pictures to benchmarks/results. Run:
nice python -m benchmarks.acceptance_model --enterprises 200000 --folder /tmp/acceptance
(about 10 minutes on 2 cores). The folder keeps the lake; a second run reads nothing in again.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import shutil
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


@dataclass
class Clock:
    """Wall and CPU seconds of each step (the CPU of dbt's processes included)."""

    steps: dict[str, dict[str, float]] = field(default_factory=dict)
    _wall: float = field(default_factory=time.perf_counter)
    _cpu: float = 0.0

    def lap(self, name: str) -> None:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        wall, cpu = time.perf_counter(), sum(one.ru_utime + one.ru_stime for one in used)
        self.steps[name] = {"wall_s": round(wall - self._wall, 1), "cpu_s": round(cpu - self._cpu, 1)}
        self._wall, self._cpu = wall, cpu
        logging.info("%s: %s", name, self.steps[name])


def _read_in(settings: Any, day: date) -> None:
    from credit_pipeline.feeds.catalogue import load_catalogue
    from credit_pipeline.feeds.ingest import ingest_feed

    feeds = load_catalogue()
    for name in ["registrations", *(name for name in feeds if name != "registrations")]:
        ingest_feed(feeds[name], settings, day, logging.debug)


def _policy(folder: Path, seeds: int | None, row_limit: int | None) -> Path:
    """The policy pack with other parameters of the fit; the pack's own where nothing else is asked for."""
    import polars as pl

    from credit_pipeline.settings import POLICY_DIR

    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(POLICY_DIR, folder)
    table = pl.read_csv(folder / "model_policy.csv", infer_schema=False)
    for name, value in (("seeds", seeds), ("training_row_limit", row_limit)):
        if value is not None:
            chosen = pl.col("parameter") == name
            table = table.with_columns(value=pl.when(chosen).then(pl.lit(str(value))).otherwise("value"))
    table.write_csv(folder / "model_policy.csv")
    return folder


def _ceiling(frame: Any, enterprises: int, seed: int, horizon: int) -> dict[str, Any]:
    """AUC of the hidden truth on the test rows, and how much is found of what is true."""
    import numpy as np
    import polars as pl

    from credit_pipeline.grading import measures
    from credit_pipeline.grading.validation import estimate, out_of_time
    from credit_pipeline.sample.city import build_city
    from credit_pipeline.sample.enforcement import breach_probability
    from credit_pipeline.sample.streams import day_number

    _, test = out_of_time(frame, horizon)
    snapshot = test["as_of_date"][0]
    city = build_city(enterprises, seed)
    truth = pl.DataFrame({"uscc": city.uscc, "truth": breach_probability(city, day_number(snapshot))})
    known = test.join(truth, on="uscc", how="inner", maintain_order="left")
    label = known["label"].to_numpy().astype(np.float64)
    chance, weights = known["truth"].to_numpy(), known["weight"].to_numpy()
    return {
        "snapshot": snapshot.isoformat(),
        "rows": known.height,
        "auc": estimate(measures.auc(chance, label, weights)),
        "mean_true_chance": float(np.average(chance, weights=weights)),
        "observed_rate": float(np.average(label, weights=weights)),
    }


def _page(found: dict[str, Any]) -> str:
    """The figures for people."""
    test, ceiling = found["test"], found["ceiling"]
    lines = [
        f"# Acceptance of the model: {found['enterprises']:,} enterprises, seed {found['seed']}",
        "",
        f"Learned from {found['trial']['snapshots']} monthly snapshots ({found['trial']['first']} to {found['trial']['last']}, "
        f"{found['trial']['rows']:,} rows), tested on {ceiling['snapshot']}: {test['rows']:,} randomly drawn enterprises, "
        f"{test['breaches']:,} with a breach within twelve months. No day lies in both.",
        "",
        "| figure | value |",
        "|---|---|",
        f"| AUC out of time | {test['auc']['value']:.4f} ({test['auc']['low']:.4f} to {test['auc']['high']:.4f}) |",
        f"| AUC of the hidden truth on the same rows (ceiling) | {ceiling['auc']['value']:.4f} ({ceiling['auc']['low']:.4f} to {ceiling['auc']['high']:.4f}) |",
        f"| reached of the ceiling, above chance | {(test['auc']['value'] - 0.5) / (ceiling['auc']['value'] - 0.5):.1%} |",
        f"| AUC of free boosting | {found['free_boosting_auc']['value']:.4f} |",
        f"| Brier, ECE | {test['brier']:.5f}, {test['calibration_error']:.4f} |",
        f"| promised, found | {test['portfolio']['probability']:.2%}, {test['portfolio']['rate']:.2%} |",
        "",
        "| grade | share | rows | breaches | promised | observed (95 %) | Jeffreys p, Holm |",
        "|---|--:|--:|--:|--:|---|--:|",
    ]  # fmt: skip
    lines += [
        f"| {g['grade']} | {g['share']:.1%} | {g['rows']:,} | {g['breaches']:,} | {g['probability']:.2%} | "
        f"{g['rate']:.2%} ({g['low']:.2%} to {g['high']:.2%}) | {g['jeffreys_holm']:.3f} |"
        for g in test["grades"]
        if g["rows"]
    ]
    lines += ["", f"Parameters: {json.dumps(found['fit'])}."]
    lines += ["", f"Decision: {found['decision']}.", "", "| gate | verdict | words |", "|---|---|---|"]
    lines += [f"| {v['gate']} | {v['verdict']} | {v['words']} |" for v in found["verdicts"]]
    name = found["name"]
    lines += ["", f"![reliability]({name}_reliability.svg) ![grades]({name}_grades.svg)", ""]
    lines += ["| step | wall s | CPU s |", "|---|--:|--:|"]
    lines += [f"| {step} | {used['wall_s']} | {used['cpu_s']} |" for step, used in found["seconds"].items()]
    lines += ["", f"Peak memory of the process {found['peak_gb']:.1f} GB."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--enterprises", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--folder", type=Path, required=True, help="Where city and lake lie.")
    parser.add_argument("--landing", type=Path, help="A city of that size and seed that is there already.")
    parser.add_argument("--seeds", type=int, help="Instead of policy's: fewer are quicker.")
    parser.add_argument("--row-limit", type=int, help="Instead of policy's training_row_limit.")
    parser.add_argument("--again", action="store_true", help="Take the training set of the last run.")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    import polars as pl

    from credit_pipeline.grading import card_pictures
    from credit_pipeline.grading.registry import CARD_NAME
    from credit_pipeline.grading.snapshots import training_set_path
    from credit_pipeline.grading.training import train, training_set
    from credit_pipeline.sample.generator import generate
    from credit_pipeline.settings import Settings
    from credit_pipeline.transform.champions import model_dir
    from credit_pipeline.transform.policy import policy_parameter

    clock = Clock()
    landing = arguments.landing or arguments.folder / "landing"
    lake = arguments.folder / "lake"
    settings = Settings(
        landing_dir=landing,
        lake_dir=lake,
        keys_dir=arguments.folder / "keys",
        policy_dir=_policy(arguments.folder / "policy", arguments.seeds, arguments.row_limit),
    )
    if not (landing / "as_of").exists():
        generate(landing, arguments.enterprises, arguments.seed)
        clock.lap("city")
    day = date.fromisoformat((landing / "as_of").read_text().strip())
    if not (lake / "ledger").exists():
        _read_in(settings, day)
        clock.lap("intake")
    shutil.rmtree(settings.models_dir, ignore_errors=True)
    if arguments.again:
        frame = pl.read_parquet(training_set_path(settings, day))
    else:
        frame = training_set(settings, day, "acceptance")
    clock.lap("training set")
    outcome = train(settings, day, frame)
    clock.lap("fit, trial and gates")
    if not outcome.validation or not outcome.validation["test"]:
        raise SystemExit(f"nothing to judge: {outcome.reason}; remedy: a larger city")
    ceiling = _ceiling(
        frame, arguments.enterprises, arguments.seed, policy_parameter(settings, "horizon_months", day)
    )
    name = f"acceptance_model_{arguments.enterprises}"
    found = {
        "name": name,
        "enterprises": arguments.enterprises,
        "seed": arguments.seed,
        "labelled_rows": frame.height,
        "fit": {
            name: policy_parameter(settings, name, day)
            for name in ("seeds", "training_row_limit", "snapshot_history_months", "unknown_chance_rows")
        },
        "decision": outcome.reason,
        "promoted": outcome.is_new and outcome.promotion.kind == "trained",
        "ceiling": ceiling,
        "verdicts": [verdict.to_json() for verdict in outcome.verdicts],
        "seconds": clock.steps,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        **outcome.validation,
    }
    RESULTS.mkdir(exist_ok=True)
    test = outcome.validation["test"]
    (RESULTS / f"{name}.json").write_text(
        json.dumps(found, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    )
    (RESULTS / f"{name}.md").write_text(_page(found), encoding="utf-8")
    (RESULTS / f"{name}_reliability.svg").write_text(card_pictures.reliability(test), encoding="utf-8")
    (RESULTS / f"{name}_grades.svg").write_text(card_pictures.grades(test), encoding="utf-8")
    logging.info("card: %s", model_dir(settings, outcome.challenger or "") / CARD_NAME)
    print(_page(found))


if __name__ == "__main__":
    main()
