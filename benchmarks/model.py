"""The scorecard against other methods on public risk data: AUC, KS, Brier, CPU seconds, and the frontier.

Data: a folder of Parquet files, one data set each, target column `y` (1 = bad), any other column an input; text
columns are categories. Say which with --data or CREDIT_BENCH_DATA; the note at the end of `DATA_HINT` says where
four such sets come from. Cross-validation is stratified and seeded. The direction of a number is the sign of its
Spearman correlation with the target on the fit rows alone: a stand-in for the people who decide directions in
earnest, and a poor one for raw ratios, whose risk often lies at both ends. So every method that takes directions
is also shown without them.

All methods run on one thread. CPU seconds are those of fitting; ours include the proof, the five out-of-fold fits
and the calibration, which the others do not make. Run: `make bench-model`,
`make bench-model BENCH_MODEL="--sets german --folds 2 --models ours,logistic"`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "model.md"
FOLDS = 5
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
DATA_HINT = """no data sets: give a folder of Parquet files with --data DIR or CREDIT_BENCH_DATA=DIR.
Each file is one data set: column y is the target (1 = bad), every other column an input, text is a category.
Four public ones, from the UCI Machine Learning Repository (CC BY 4.0): Polish companies bankruptcy (id 365, years 1
and 5), Default of credit card clients (id 350), Statlog German credit (id 144)."""


@dataclass(frozen=True)
class Fold:
    """One split of one data set, as every method gets it."""

    fit: pl.DataFrame
    fit_label: np.ndarray
    test: pl.DataFrame
    test_label: np.ndarray
    categorical: list[str]
    directions: dict[str, int]


@dataclass(frozen=True)
class Result:
    """One method on one fold."""

    data: str
    fold: int
    model: str
    auc: float
    ks: float
    brier: float
    cpu: float


# --- the methods: fit rows in, probabilities of the test rows out ----------------------------------------


def ours(fold: Fold, directions: Mapping[str, int] | None = None) -> np.ndarray:
    from credit_pipeline.grading import fit_scorecard

    card = fit_scorecard(
        fold.fit, fold.fit_label, directions or fold.directions, categorical=fold.categorical
    )
    if card.monotone_violations() or card.metadata["worst_difference_to_model"] > 1e-9:
        raise SystemExit("the card is not monotone, or not its model")
    return card.probability(fold.test) + card.score(fold.test) * 1e-9  # steps tie; the score orders within


def ours_free(fold: Fold) -> np.ndarray:
    return ours(fold, dict.fromkeys(fold.directions, 0))


def ours_split(fold: Fold) -> np.ndarray:
    """Every number as two, above and below the median of the fit rows, each with a direction of its own.

    What people do with a U-shaped measure in the catalogue of indicators, done blindly to every column.
    """
    parts: dict[str, pl.Expr] = {}
    for name in fold.directions:
        middle = fold.fit[name].cast(pl.Float64).fill_nan(None).median() or 0.0
        beyond = pl.col(name).cast(pl.Float64) - middle
        parts |= {f"{name} above": beyond.clip(lower_bound=0), f"{name} below": (-beyond).clip(lower_bound=0)}
    halves = [expression.alias(name) for name, expression in parts.items()]
    fit, test = (frame.select(*fold.categorical, *halves) for frame in (fold.fit, fold.test))
    directions = {name: direction_of(fit[name], fold.fit_label) for name in parts}
    return ours(replace(fold, fit=fit, test=test, directions=directions))


def logistic(fold: Fold) -> np.ndarray:
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, QuantileTransformer

    numeric = [c for c in fold.fit.columns if c not in fold.categorical]
    columns = make_column_transformer(
        (
            make_pipeline(
                QuantileTransformer(output_distribution="normal", random_state=0),
                SimpleImputer(strategy="median", add_indicator=True),
            ),
            numeric,
        ),
        (OneHotEncoder(handle_unknown="ignore", min_frequency=30), fold.categorical),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=2_000))
    return model.fit(_pandas(fold.fit, fold), fold.fit_label).predict_proba(_pandas(fold.test, fold))[:, 1]


def xgboost(fold: Fold, directions: Mapping[str, int] | None = None) -> np.ndarray:
    from xgboost import XGBClassifier

    model = XGBClassifier(
        n_estimators=2_000,
        learning_rate=0.05,
        max_depth=4,
        subsample=0.8,
        colsample_bytree=0.8,
        enable_categorical=True,
        early_stopping_rounds=50,
        n_jobs=1,
        random_state=0,
        monotone_constraints=dict(directions or {}),
    )
    learn, stop = _stopping(fold)
    x = _pandas(fold.fit, fold)
    model.fit(
        x.iloc[learn], fold.fit_label[learn], eval_set=[(x.iloc[stop], fold.fit_label[stop])], verbose=False
    )
    return model.predict_proba(_pandas(fold.test, fold))[:, 1]


def xgboost_monotone(fold: Fold) -> np.ndarray:
    return xgboost(fold, {c: d for c, d in fold.directions.items() if d})


def lightgbm(fold: Fold) -> np.ndarray:
    import lightgbm as lgb

    model = lgb.LGBMClassifier(
        n_estimators=2_000,
        learning_rate=0.05,
        num_leaves=15,
        min_child_samples=30,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        n_jobs=1,
        random_state=0,
        verbose=-1,
    )
    learn, stop = _stopping(fold)
    x = _pandas(fold.fit, fold)
    model.fit(
        x.iloc[learn],
        fold.fit_label[learn],
        eval_set=[(x.iloc[stop], fold.fit_label[stop])],
        callbacks=[lgb.early_stopping(50, verbose=False)],
    )
    return model.predict_proba(_pandas(fold.test, fold))[:, 1]


def ebm(fold: Fold, *, monotone: bool = False, pairs: int = 0) -> np.ndarray:
    from interpret.glassbox import ExplainableBoostingClassifier

    model = ExplainableBoostingClassifier(
        interactions=pairs,
        outer_bags=8,
        n_jobs=1,
        random_state=0,
        feature_types=["nominal" if c in fold.categorical else "continuous" for c in fold.fit.columns],
        monotone_constraints=[fold.directions.get(c, 0) for c in fold.fit.columns] if monotone else None,
    )
    model.fit(_pandas(fold.fit, fold, text=True), fold.fit_label)
    return model.predict_proba(_pandas(fold.test, fold, text=True))[:, 1]


def ebm_monotone(fold: Fold) -> np.ndarray:
    return ebm(fold, monotone=True)


def ebm_pairs(fold: Fold) -> np.ndarray:
    return ebm(fold, pairs=10)


def boosting(fold: Fold, interactions: str | None, *, seeds: int) -> np.ndarray:
    """scikit-learn's histogram boosting under our directions: the baseline this project began with."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    total = np.zeros(len(fold.test_label))
    x, test = _pandas(fold.fit, fold), _pandas(fold.test, fold)
    for seed in range(seeds):
        model = HistGradientBoostingClassifier(
            learning_rate=0.1,
            max_leaf_nodes=4,
            min_samples_leaf=30,
            l2_regularization=1.0,
            max_iter=1_000,
            early_stopping=True,
            validation_fraction=0.15,
            interaction_cst=interactions,
            monotonic_cst={c: d for c, d in fold.directions.items() if d},
            categorical_features=fold.categorical or None,
            random_state=seed,
        )
        total += model.fit(x, fold.fit_label).decision_function(test)
    return 1 / (1 + np.exp(-total / seeds))


def sklearn_additive(fold: Fold) -> np.ndarray:
    return boosting(fold, "no_interactions", seeds=8)


def sklearn_pairs(fold: Fold) -> np.ndarray:
    return boosting(fold, "pairwise", seeds=8)


def optbinning(fold: Fold) -> np.ndarray:
    from optbinning import BinningProcess
    from sklearn.linear_model import LogisticRegression

    x, test = _pandas(fold.fit, fold, text=True), _pandas(fold.test, fold, text=True)
    process = BinningProcess(list(x.columns), categorical_variables=fold.categorical or None, n_jobs=1)
    weights = process.fit(x, fold.fit_label).transform(x, metric="woe", metric_missing="empirical")
    model = LogisticRegression(max_iter=2_000).fit(weights, fold.fit_label)
    return model.predict_proba(process.transform(test, metric="woe", metric_missing="empirical"))[:, 1]


@dataclass(frozen=True)
class Method:
    """What a method is allowed to do: combine columns or not, go against directions or not."""

    run: Callable[[Fold], np.ndarray]
    form: str
    directions: str


METHODS = {
    "ours": Method(ours, "additive", "monotone"),
    "ours split": Method(ours_split, "additive", "monotone, two a column"),
    "EBM monotone": Method(ebm_monotone, "additive", "monotone"),
    "sklearn additive": Method(sklearn_additive, "additive", "monotone"),
    "optbinning": Method(optbinning, "additive", "own"),
    "logistic": Method(logistic, "additive", "linear"),
    "ours free": Method(ours_free, "additive", "free"),
    "EBM": Method(ebm, "additive", "free"),
    "sklearn pairs": Method(sklearn_pairs, "pairs", "monotone"),
    "EBM pairs": Method(ebm_pairs, "pairs", "free"),
    "XGBoost monotone": Method(xgboost_monotone, "trees", "monotone"),
    "XGBoost": Method(xgboost, "trees", "free"),
    "LightGBM": Method(lightgbm, "trees", "free"),
}


def _pandas(frame: pl.DataFrame, fold: Fold, *, text: bool = False) -> Any:
    """pandas, which all the others take; categories with the levels of the fit rows, or as text."""
    import pandas as pd

    columns = {}
    for name in frame.columns:
        if name not in fold.categorical:
            columns[name] = frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        elif text:
            columns[name] = frame[name].cast(pl.String).fill_null("").to_numpy().astype(object)
        else:
            levels = sorted(fold.fit[name].drop_nulls().unique().to_list())
            columns[name] = pd.Categorical(frame[name].to_list(), categories=levels)
    return pd.DataFrame(columns)


def _stopping(fold: Fold) -> tuple[np.ndarray, np.ndarray]:
    """85 % of the fit rows to learn, 15 % to stop."""
    from sklearn.model_selection import train_test_split

    rows = np.arange(len(fold.fit_label))
    learn, stop = train_test_split(rows, test_size=0.15, random_state=0, stratify=fold.fit_label)
    return learn, stop


# --- data, measures, report --------------------------------------------------------------------------------


def data_folder(given: Path | None) -> Path:
    """The folder of the data sets: as given, else the environment's, else beside the project."""
    named = given or (Path(os.environ["CREDIT_BENCH_DATA"]) if os.environ.get("CREDIT_BENCH_DATA") else None)
    folder = named or ROOT.parent / "shared" / "data" / "credit"
    if not sorted(folder.glob("*.parquet")):
        raise SystemExit(f"{folder}: {DATA_HINT}" if named else DATA_HINT)
    return folder


def folds(path: Path, count: int) -> Iterator[Fold]:
    """The first `count` of five stratified folds of a data set."""
    from sklearn.model_selection import StratifiedKFold

    frame = pl.read_parquet(path)
    label = frame["y"].to_numpy().astype(np.int64)
    frame = frame.drop("y")
    categorical = [c for c in frame.columns if not frame[c].dtype.is_numeric()]
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(label, label)
    for fit, test in list(parts)[:count]:
        directions = {
            name: direction_of(frame[name][fit], label[fit])
            for name in frame.columns
            if name not in categorical
        }
        yield Fold(frame[fit], label[fit], frame[test], label[test], categorical, directions)


def direction_of(values: pl.Series, label: np.ndarray) -> int:
    """The sign of Spearman's correlation with the target where the value is known; 0 if there is none."""
    from scipy.stats import spearmanr

    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    known = np.isfinite(numbers)
    rank = float(spearmanr(numbers[known], label[known])[0])
    return int(np.sign(rank)) if np.isfinite(rank) else 0


def measured(data: str, number: int, name: str, fold: Fold) -> Result:
    """One method on one fold."""
    from sklearn.metrics import roc_auc_score, roc_curve

    started = time.process_time()
    probability = METHODS[name].run(fold)
    cpu = time.process_time() - started
    false, true, _ = roc_curve(fold.test_label, probability)
    return Result(
        data,
        number,
        name,
        float(roc_auc_score(fold.test_label, probability)),
        float((true - false).max()),
        float(np.mean((fold.test_label - probability) ** 2)),
        cpu,
    )


def report(results: list[Result]) -> str:
    """The tables, in Markdown."""
    frame = pl.DataFrame([asdict(r) for r in results])
    sets = frame["data"].unique(maintain_order=True).to_list()
    models = [m for m in METHODS if m in frame["model"].to_list()]
    parts = []
    for measure, digits in (("auc", 4), ("ks", 3), ("brier", 4), ("cpu", 1)):
        title = {"auc": "AUC", "ks": "KS", "brier": "Brier", "cpu": "CPU seconds of one fit"}[measure]
        lines = [f"### {title}", "", f"| model | {' | '.join(sets)} | mean |", "|---" * (len(sets) + 2) + "|"]
        for model in models:
            of = {
                s: frame.filter((pl.col("model") == model) & (pl.col("data") == s))[measure].mean()
                for s in sets
            }
            cells = ["-" if v is None else f"{v:.{digits}f}" for v in of.values()]
            known = [float(v) for v in of.values() if v is not None]
            mean = f"{np.mean(known):.{digits}f}" if len(known) == len(sets) else "-"
            lines.append(f"| {model} | {' | '.join(cells)} | {mean} |")
        parts.append("\n".join(lines))
    parts.append(frontier(frame, models))
    return "\n\n".join(parts) + "\n"


def frontier(frame: pl.DataFrame, models: list[str]) -> str:
    """What each freedom buys: AUC against ours on the same folds, and the CPU seconds."""
    base = frame.filter(pl.col("model") == "ours").select("data", "fold", base="auc")
    lines = [
        "### Frontier",
        "",
        "| model | form | directions | AUC over ours, same folds: mean, least, most by data set | CPU s |",
        "|---|---|---|---|---|",
    ]
    for model in models:
        own = frame.filter(pl.col("model") == model)
        by_set = (
            own.join(base, on=["data", "fold"])
            .group_by("data")
            .agg(d=(pl.col("auc") - pl.col("base")).mean())
        )
        d = by_set["d"].to_numpy()
        gain = f"{d.mean():+.4f}, {d.min():+.4f}, {d.max():+.4f}" if len(d) else "-"
        method = METHODS[model]
        lines.append(f"| {model} | {method.form} | {method.directions} | {gain} | {own['cpu'].mean():.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, help="folder of Parquet files with a column y")
    parser.add_argument(
        "--folds", type=int, default=FOLDS, choices=range(1, FOLDS + 1), help="how many of five"
    )
    parser.add_argument("--sets", help="data sets by file name, comma-separated; all by default")
    parser.add_argument("--models", help=f"comma-separated, of: {', '.join(METHODS)}; all by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the Markdown goes")
    chosen = parser.parse_args()
    if not ONE_THREAD.items() <= os.environ.items():  # the libraries have read it by now: start anew
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.model", *sys.argv[1:]], os.environ | ONE_THREAD
        )
    warnings.filterwarnings("ignore")
    folder = data_folder(chosen.data)
    names = chosen.sets.split(",") if chosen.sets else sorted(p.stem for p in folder.glob("*.parquet"))
    models = chosen.models.split(",") if chosen.models else list(METHODS)
    for kind, asked, known in (
        ("model", models, set(METHODS)),
        ("data set", names, {p.stem for p in folder.glob("*.parquet")}),
    ):
        if unknown := sorted(set(asked) - known):
            raise SystemExit(f"no {kind} {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    results = []
    for name in names:
        for number, fold in enumerate(folds(folder / f"{name}.parquet", chosen.folds)):
            for model in models:
                result = measured(name, number, model, fold)
                results.append(result)
                print(json.dumps(asdict(result)), flush=True)
    libraries = ("scikit-learn", "scipy", "numpy", "xgboost", "lightgbm", "interpret-core", "optbinning")
    head = (
        "# The scorecard against other methods\n\n"
        f"{chosen.folds} of {FOLDS} stratified folds; one thread; {platform.python_implementation()} "
        f"{platform.python_version()} on {platform.machine()}; "
        + ", ".join(f"{library} {version(library)}" for library in libraries)
        + ".\nMade by `make bench-model`; what the columns mean: benchmarks/model.py.\n\n"
    )
    text = head + report(results)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(text, encoding="utf-8")
    print(f"\n{text}\nwritten to {chosen.out}")


if __name__ == "__main__":
    main()
