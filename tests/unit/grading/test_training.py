"""From labelled rows to a decision: who trains, who judges, what is kept, and how to go back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from credit_pipeline.audit.log import AuditLog
from credit_pipeline.cli import app
from credit_pipeline.errors import BadInput, CreditPipelineError, IntegrityError
from credit_pipeline.grading import NotEnoughLabels
from credit_pipeline.grading.registry import (
    check_model,
    find_model,
    models_on_file,
    promote_by_hand,
    store_model,
)
from credit_pipeline.grading.snapshots import ABOUT, population_path, snapshot_dates
from credit_pipeline.grading.training import (
    at_base_rate,
    ensure_champion,
    expert_card,
    fit,
    recipe_of,
    rows_to_learn,
    train,
)
from credit_pipeline.settings import POLICY_DIR, Settings
from credit_pipeline.transform.champions import Promotion, champion, model_dir, promote, promotions

DAY = date(2026, 10, 31)
LATER = date(2026, 11, 30)
PENALTY, OLD = "penalty_weight", "operating_months"
ENTERPRISES = 1_000
OFFICES = ("411303MS", "411300EE", "411302MS")


def set_policy(folder: Path, **values: int) -> None:
    """Other parameters, and a catalogue of three indicators: two that tell something and one that must be reported."""
    shutil.copytree(POLICY_DIR, folder, dirs_exist_ok=True)
    table = pl.read_csv(folder / "model_policy.csv", infer_schema=False)
    for name, value in values.items():
        table = table.with_columns(
            value=pl.when(pl.col("parameter") == name).then(pl.lit(str(value))).otherwise("value")
        )
    table.write_csv(folder / "model_policy.csv")
    gates = folder / "model_gates.csv"  # a small city tells fewer grades apart
    gates.write_text(gates.read_text().replace(",lower,0,1,true", ",lower,0,4,true"))
    catalogue = pl.read_csv(folder / "indicators.csv", infer_schema=False)
    catalogue.filter(pl.col("indicator").is_in([PENALTY, OLD, "debt_above_norm_bp"])).write_csv(
        folder / "indicators.csv"
    )


def labelled(enterprises: int, seed: int, slope: float = 3.0, day: date = DAY) -> pl.DataFrame:
    """Snapshots of a city in which one office finds more than the others."""
    random = np.random.default_rng(seed)
    parts = []
    for snapshot in snapshot_dates(day, 12, 14):
        penalty, age = random.random(enterprises) ** 3, random.random(enterprises)
        office = random.integers(0, 3, enterprises)
        chosen = random.random(enterprises) < 0.15
        odds = -2.8 + slope * penalty - 1.0 * age + 1.2 * (office == 1) + 1.5 * chosen
        chance = 0.1 + 0.4 * penalty
        parts.append(
            pl.DataFrame(
                {
                    "as_of_date": [snapshot] * enterprises,
                    "uscc": [f"91411300MA{n:08d}" for n in range(enterprises)],
                    "label": (random.random(enterprises) < 1 / (1 + np.exp(-odds))).astype(np.int64),
                    "weight": np.where(chosen, 1.0, 1 / chance),
                    "observed_by": np.where(chosen, "inspection", "random"),
                    "observed_unit": np.array(OFFICES)[office],
                    "industry_section": np.where(age > 0.5, "C", "F"),
                    "size_class": ["small"] * enterprises,
                    "region": np.where(random.random(enterprises) < 0.5, "411302", "411303"),
                    PENALTY: penalty,
                    OLD: age,
                    "debt_above_norm_bp": random.random(enterprises),
                }
            ).filter(pl.Series(random.random(enterprises) < np.where(chosen, 1.0, chance * 2)))
        )
    return pl.concat(parts).sort("as_of_date", "uscc")


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return labelled(ENTERPRISES, 1)


@pytest.fixture
def office(tmp_path: Path) -> Settings:
    set_policy(tmp_path / "policy", seeds=1, minimum_breaches=100)
    return Settings(lake_dir=tmp_path / "lake", policy_dir=tmp_path / "policy", keys_dir=tmp_path / "keys")


@pytest.fixture(scope="module")
def trained(rows: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, Any]]:
    """A lake in which one model was trained and promoted."""
    root = tmp_path_factory.mktemp("trained")
    set_policy(root / "policy", seeds=1, minimum_breaches=100)
    settings = Settings(lake_dir=root / "lake", policy_dir=root / "policy", keys_dir=root / "keys")
    people = rows.select("as_of_date", *ABOUT[6:], PENALTY, OLD, "debt_above_norm_bp")
    days = [date(2025, 10, 31), DAY]
    path = population_path(settings, DAY)
    path.parent.mkdir(parents=True)
    pl.concat([people.with_columns(as_of_date=pl.lit(day)) for day in days]).write_parquet(path)
    yield settings, train(settings, DAY, rows)


def test_first_model_is_judged_and_kept_with_its_card(trained: tuple[Settings, Any]) -> None:
    """Prevents a model without card, lineage or figures, and enterprises on a card that many people read."""
    settings, outcome = trained
    assert outcome.is_new and outcome.promotion.kind == "trained", outcome.reason
    assert champion(settings, DAY) == outcome.promotion and outcome.auc > 0.65
    folder = model_dir(settings, outcome.challenger)
    html, text = ((folder / name).read_text() for name in ("model_card.html", "model_card.md"))
    for said in (
        outcome.challenger, "Banned uses", "Appeal route", "rows digest", "policy digest", "ledger digest", "Jeffreys",
        "Fitted as nuisance and dropped at the mean", "411302", PENALTY, "scikit-learn", "Left out on purpose",
    ):  # fmt: skip
        assert said in html and said in text, said
    assert html.count("<svg") >= 5 and "http-equiv" not in html and "src=" not in html, "stands alone"
    assert "91411300MA" not in html + text + (folder / "validation.json").read_text()
    assert json.loads((folder / "validation.json").read_text())["digest"] == outcome.challenger
    (found,) = [model for model in models_on_file(settings) if model.kind == "trained"]
    assert found.is_champion and found.card is not None and found.auc is not None


def test_same_rows_same_bytes(trained: tuple[Settings, Any], rows: pl.DataFrame) -> None:
    """Prevents a model that nobody can make again."""
    settings, outcome = trained
    again = train(settings, DAY, rows)
    assert again.challenger == outcome.challenger and not again.is_new
    assert len(promotions(settings)) == 1


def test_offices_explain_labels_and_never_score(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents a grade that depends on which office came to look."""
    card = fit(office, DAY, rows)
    assert not set(card.features) & set(ABOUT)
    assert set(card.metadata["nuisance"]) == {"observed_by", "observed_unit"}
    one = rows.head(500)
    elsewhere = one.with_columns(
        observed_unit=pl.lit("411300EE"), observed_by=pl.lit("random"), region=pl.lit("411303")
    )
    assert (card.micro_score(one) == card.micro_score(elsewhere)).all()
    catalogue = office.policy_dir / "indicators.csv"
    table = pl.read_csv(catalogue, infer_schema=False)
    unit = table.head(1).with_columns(indicator=pl.lit("observed_unit"), in_model=pl.lit("true"))
    pl.concat([table, unit]).write_csv(catalogue)
    with pytest.raises(CreditPipelineError, match="observed_unit must never score"):
        fit(office, DAY, rows)


def test_only_draws_set_the_base_rate(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents complaints, which choose the worst, from raising everybody's probability."""
    drawn = rows.filter(pl.col("observed_by") == "random")
    truth = np.average(drawn["label"], weights=drawn["weight"])
    card = fit(office, DAY, rows)
    assert np.average(card.probability(drawn), weights=drawn["weight"]) == pytest.approx(truth, abs=1e-6)
    assert np.average(rows["label"], weights=rows["weight"]) > truth * 1.03
    moved = at_base_rate(card, drawn)
    assert moved.points.equals(card.points) and moved.monotone_violations() == []


def test_rows_known_only_by_their_outcome_do_not_train(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents penalties without a visit, all labelled 1, from being learned as a sample."""
    recipe = recipe_of(office, DAY)
    punished = rows.head(50).with_columns(label=pl.lit(1, pl.Int64), observed_by=pl.lit("penalty"))
    assert rows_to_learn(pl.concat([rows, punished]), recipe).height == rows.height
    left_out = recipe.__class__(**{**vars(recipe), "unknown_chance_rows": 0})
    assert rows_to_learn(rows, left_out)["observed_by"].unique().to_list() == ["random"]
    assert rows_to_learn(rows.with_columns(observed_by=pl.lit("inspection")), left_out).height == rows.height


def test_thinning_keeps_every_month_and_enterprise(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents a limit on rows that forgets the oldest months or half of the enterprises."""
    recipe = recipe_of(office, DAY)
    thin = rows_to_learn(rows, recipe.__class__(**{**vars(recipe), "row_limit": rows.height // 3 + 1}))
    assert abs(thin.height / rows.height - 1 / 3) < 0.02
    assert thin["as_of_date"].n_unique() == rows["as_of_date"].n_unique()
    assert thin["uscc"].n_unique() > 0.8 * rows["uscc"].n_unique()


def test_without_labels_the_expert_card_grades_and_says_so(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents a city without inspections from having no grades, or grades from noise."""
    nobody = rows.with_columns(label=pl.lit(0, pl.Int64))
    with pytest.raises(NotEnoughLabels):
        fit(office, DAY, nobody)
    outcome = train(office, DAY, nobody)
    assert outcome.is_new and outcome.promotion.kind == "expert" and outcome.challenger is None
    assert "policy asks for 100" in outcome.reason and outcome.promotion.decided_by == "no_usable_model"
    assert ensure_champion(office, DAY, "run") == outcome.promotion
    assert train(office, DAY, nobody).reason.endswith("the champion stays")


def test_a_failed_gate_keeps_the_challenger_on_file(office: Settings, rows: pl.DataFrame) -> None:
    """Prevents a model that policy refuses from grading, and its card from being lost."""
    gates = office.policy_dir / "model_gates.csv"
    gates.write_text(gates.read_text().replace(",higher,0.60,0.55,true", ",higher,0.99,0.98,true", 1))
    outcome = train(office, DAY, rows)
    assert outcome.promotion.kind == "expert" and outcome.reason.startswith("rejected: auc_floor")
    found = find_model(office, outcome.challenger or "")
    assert found.card is not None and found.decision.startswith("rejected") and not found.grades_from
    with pytest.raises(BadInput, match="auc_floor"):
        promote_by_hand(office, found.digest, LATER, "wanted", decided_by="gates")
    with pytest.raises(BadInput, match="--approver"):
        promote_by_hand(office, found.digest, LATER, "wanted", decided_by="override")
    made, _ = promote_by_hand(
        office, found.digest, LATER, "wanted", decided_by="override", approver="director", document="2026-17"
    )
    assert promotions(office)[-1] == made and (made.approver, made.document) == ("director", "2026-17")


def test_champion_is_judged_on_rows_it_has_not_seen(trained: tuple[Settings, Any], tmp_path: Path) -> None:
    """Prevents a champion from winning on rows that it has learned by heart."""
    old, _ = trained
    settings = old.model_copy(update={"lake_dir": tmp_path / "lake"})
    shutil.copytree(old.lake_dir, settings.lake_dir)
    later = labelled(ENTERPRISES, 2, day=LATER)
    outcome = train(settings, LATER, later)
    assert outcome.validation is not None
    rival = outcome.validation["champion"]
    assert rival["how"] == "same recipe on the same rows" and rival["difference"]["value"] == 0
    assert outcome.is_new and champion(settings, DAY) != champion(settings, LATER)
    past = train(settings, DAY, labelled(ENTERPRISES, 3))
    assert not past.is_new and "past days keep theirs" in past.reason
    set_policy(tmp_path / "policy", seeds=2, minimum_breaches=100)
    other = settings.model_copy(update={"policy_dir": tmp_path / "policy"})
    again = train(other, LATER, later)
    assert again.validation is not None
    assert again.validation["champion"]["how"] == "its recipe fitted to the same rows"


def command(settings: Settings, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    for name in ("lake_dir", "policy_dir", "keys_dir"):
        monkeypatch.setenv(f"CREDIT_{name.upper()}", str(getattr(settings, name)))
    return CliRunner().invoke(app, ["model", *arguments])


def test_rollback_is_one_command_and_past_days_stay(
    trained: tuple[Settings, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents a bad model from staying for want of a way back, and a way back that rewrites history."""
    old, outcome = trained
    settings = old.model_copy(update={"lake_dir": tmp_path / "lake"})
    shutil.copytree(old.lake_dir, settings.lake_dir)
    first, expert = outcome.challenger, expert_card(settings, LATER)
    store_model(settings, expert)
    second = expert.digest
    promote(settings, Promotion(LATER.isoformat(), second, "expert", "test"))
    arguments = ("rollback", "--to", first[:12], "--reason", "drift in December", "--as-of")
    refused = command(settings, monkeypatch, *arguments, "2026-11-15")
    assert isinstance(refused.exception, BadInput) and "past" in str(refused.exception)
    before = promotions(settings)
    done = command(settings, monkeypatch, *arguments, "2026-12-01")
    assert done.exit_code == 0, done.exception
    assert promotions(settings)[:-1] == before and promotions(settings)[-1].decided_by == "rollback"
    grading = [champion(settings, day) for day in (DAY, LATER, date(2026, 12, 1))]
    assert [item.digest if item else None for item in grading] == [first, second, first]
    (event,) = AuditLog(settings.audit_log_path).records(event="model_rolled_back")
    assert event.details["model"] == first and event.details["previous"] == second
    assert "drift in December" in event.details["reason"]
    unknown = command(
        settings, monkeypatch, "rollback", "--to", "f" * 16, "--reason", "x", "--as-of", "2026-12-05"
    )
    assert isinstance(unknown.exception, BadInput)
    shown = command(settings, monkeypatch, "show", first[:16])
    assert "model_card.html" in shown.stdout and "auc_floor" in shown.stdout
    assert command(settings, monkeypatch, "list", "--json").exit_code == 0
    assert first[:16] in command(settings, monkeypatch, "compare", first[:16], second[:16]).stdout


def test_damaged_models_are_refused(trained: tuple[Settings, Any], tmp_path: Path) -> None:
    """Prevents SQL from scoring with a table that is not the model's."""
    old, outcome = trained
    settings = old.model_copy(update={"lake_dir": tmp_path / "lake"})
    shutil.copytree(old.lake_dir, settings.lake_dir)
    check_model(settings, outcome.challenger)
    path = model_dir(settings, outcome.challenger) / "points.parquet"
    table = pl.read_parquet(path)
    table.with_columns(pl.col("micro_points") + 1).write_parquet(path)
    with pytest.raises(IntegrityError, match="points"):
        check_model(settings, outcome.challenger)
    path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="cannot be read"):
        check_model(settings, outcome.challenger)
