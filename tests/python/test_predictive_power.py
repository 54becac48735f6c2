"""The guard of CI: what the default demo data predict, against the committed baseline.

One build of the default-size demo by a copy of the project, in which a challenger has its category
weights turned upside down: the champion must hold against benchmarks/predictive_power.json, the
damaged policy must not. After a change that moves the figures on purpose:

    customer-health demo && \\
    customer-health validate --no-rebuild --write-baseline benchmarks/predictive_power.json

PREDICTIVE_POWER_HOME names a home that such a copy has built, for work on this file.
"""

from __future__ import annotations

import csv
import os
import shutil
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from customer_health import cli, dbt, demo, policy
from customer_health.progress import Reporter
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
BASELINE = PROJECT_DIR / "benchmarks" / "predictive_power.json"
PARTS = ("dbt_project.yml", "profiles.yml", "macros", "models", "seeds", "snapshots")
AS_OF = date(2026, 6, 30)
DAMAGED = "upside_down"


def damage(project: Path) -> None:
    """A copy of the champion whose least weighted category weighs most, and the other way round."""
    with (project / "seeds" / "scoring_versions.csv").open(encoding="utf-8", newline="") as file:
        versions = list(csv.DictReader(file))
    champion = [row["scoring_version"] for row in versions if row["status"] == "champion"][-1]
    policy.new_version(
        policy.find_seed_files(project), champion, DAMAGED,
        valid_from=date(2026, 7, 1), author="test", reason="damaged on purpose",
    )  # fmt: skip
    path = project / "seeds" / "category_weights.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for card in {row["scorecard_key"] for row in rows}:
        own = [
            row for row in rows
            if (row["scoring_version"], row["scorecard_key"]) == (DAMAGED, card)
        ]  # fmt: skip
        own.sort(key=lambda row: float(row["weight"]))
        weights = [row["weight"] for row in reversed(own)]
        for row, weight in zip(own, weights, strict=True):
            row["weight"] = weight
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The default demo company, scored by both policies."""
    project = tmp_path_factory.mktemp("guard") / "project"
    project.mkdir()
    for part in PARTS:
        source = PROJECT_DIR / part
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, project / part)
    damage(project)
    built = os.environ.get("PREDICTIVE_POWER_HOME")
    settings = Settings.resolve(project, Path(built) if built else project / "home")
    if built:
        return settings
    settings.prepare()
    demo.generate(
        settings.raw_dir, accounts=500, days=540, events=1_000_000, seed=20260630, end_date=AS_OF,
        progress=lambda *_: None,
    )  # fmt: skip
    demo.create_landing(settings.home)
    outcome = dbt.run_dbt(
        settings,
        "build",
        variables={"as_of_date": AS_OF.isoformat()},
        run_dir=settings.runs_dir / "build",
        reporter=Reporter(Console(stderr=True), quiet=True),
        arguments=[
            *("--select", "+val_health__verdict", "+val_health__band_outcomes"),
            *("--exclude-resource-type", "test", "unit_test", "snapshot"),
        ],
    )
    outcome.require_success(settings.runs_dir / "build" / "dbt.log")
    return settings


@pytest.fixture(autouse=True)
def _without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customer_health.validation.pictures.all_pictures", lambda *_: {})
    monkeypatch.setenv("COLUMNS", "120")


def validate(settings: Settings, *arguments: str) -> Result:
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    return CliRunner().invoke(
        cli.app, [*where, "validate", "--candidate", "--no-rebuild", *arguments]
    )


def test_the_shipped_policy_predicts_as_much_as_the_baseline_says(company: Settings) -> None:
    result = validate(company, "--against", str(BASELINE))
    assert result.exit_code == 0, result.stderr


def test_a_policy_turned_upside_down_fails_the_guard_and_says_by_how_much(
    company: Settings,
) -> None:
    result = validate(company, "--version", DAMAGED, "--against", str(BASELINE))
    assert result.exit_code == 1
    assert "AUC in the headline window fell from 0." in result.stderr
    assert "(tolerance 0.010)" in result.stderr
