"""`customer-health tune`: planted weights are found, today's are kept without evidence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import fitting_world as made
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from typer.testing import CliRunner

from customer_health import policy
from customer_health.cli import app
from customer_health.errors import HealthError
from customer_health.fitting import tune as tuning
from customer_health.fitting.train import train
from customer_health.fitting.weights import Weights, account_scores, as_read, to_decimals
from customer_health.settings import Settings

REPEATS = 40


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Projects by name, made once: `support` counts far more than today's weights say."""
    folder = tmp_path_factory.mktemp("companies")
    worlds = {
        "support": {"truth": made.TOO_MUCH_SUPPORT, "base": 0.6},
        "today": {"truth": made.AS_TODAY, "base": 1.5, "seed": 2},
    }

    def find(name: str) -> Path:
        if not (folder / name).exists():
            made.make_project(folder / name, **worlds[name])  # type: ignore[arg-type]
        return folder / name

    return find


@pytest.fixture
def company(companies: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Settings]:
    """A copy of a project that may be written."""

    def copy(name: str) -> Settings:
        shutil.copytree(companies(name), tmp_path / name)
        return Settings.resolve(tmp_path / name, tmp_path / name / "home", environ={})

    return copy


def weights(settings: Settings, seed: str, version: str) -> dict[str, Decimal]:
    key = "category_key" if seed == "category_weights" else "metric_key"
    return {
        row[key]: Decimal(row["weight"])
        for row in made.seed_rows(settings, seed, version)
        if row["scorecard_key"] == made.CARD
    }


def test_planted_weights_are_suggested_and_written(
    company: Callable[[str], Settings],
) -> None:
    settings = company("support")
    report = tuning.tune(settings, repeats=REPEATS)
    assert report.verdict == "change", report.reason
    by_key = {(each.kind, each.key): each for each in report.suggestions}
    assert by_key["category", "support"].verdict == "change"
    assert by_key["category", "support"].fitted > 0.5
    assert by_key["category", "churn_risk"].verdict == "held"
    assert report.outcomes[0].auc.difference > 0.02
    categories = weights(settings, "category_weights", "v2")
    metrics = weights(settings, "metric_weights", "v2")
    assert sum(categories.values()) == 1
    assert metrics["logins"] + metrics["feature_adoption"] == 1
    assert categories["churn_risk"] == Decimal("0.2")
    assert categories["support"] > Decimal("0.5")
    assert weights(settings, "category_weights", "v1") == {
        key: Decimal(weight) for key, weight in made.CATEGORIES.items()
    }
    (version,) = made.seed_rows(settings, "scoring_versions", "v2")
    assert (version["status"], version["fitted_to"]) == (
        "challenger",
        report.split.split.isoformat(),
    )
    files = policy.find_seed_files(settings.project_dir)
    known = policy.find_known_metrics(made.ROOT)
    assert policy.check_policy(files, known_metrics=known, today=made.AS_OF) == []
    evidence = (settings.project_dir / "policy_evidence" / "v2.md").read_text("utf-8")
    assert "**Verdict: change.**" in evidence and "| support | 0.300 |" in evidence


def test_both_commands_write_one_challenger_and_one_evidence_file(
    company: Callable[[str], Settings],
) -> None:
    settings = company("support")
    tuning.tune(settings, repeats=REPEATS)
    train(settings)
    again = tuning.tune(settings, repeats=REPEATS)
    assert again.challenger.version == "v2"
    # what was tuned before is not taken for today's weights
    assert {each.key: each.today for each in again.suggestions if each.kind == "category"} == {
        key: float(weight) for key, weight in made.CATEGORIES.items()
    }
    evidence = (settings.project_dir / "policy_evidence" / "v2.md").read_text("utf-8")
    assert evidence.count("## Weights of standard") == evidence.count("## Churn model") == 1
    assert made.seed_rows(settings, "churn_model", "v2")
    assert again.today_auc != tuning.tune(settings, version="v3", repeats=REPEATS).today_auc


def test_today_is_kept_without_evidence_and_nothing_is_written(
    company: Callable[[str], Settings],
) -> None:
    settings = company("today")
    before = made.files_of(settings.project_dir)
    report = tuning.tune(settings, repeats=REPEATS)
    assert report.verdict == "keep", report.reason
    assert report.files == ()
    assert made.files_of(settings.project_dir) == before
    report = tuning.tune(settings, repeats=REPEATS, write_anyway=True)
    assert (report.verdict, report.written) == ("keep", "fitted")
    assert sum(weights(settings, "category_weights", "v2").values()) == 1


def test_too_few_churners_per_category(company: Callable[[str], Settings]) -> None:
    settings = company("support")
    made.set_limit(settings, "fewest_churners_per_category", "500")
    before = made.files_of(settings.project_dir)
    report = tuning.tune(settings, repeats=REPEATS)
    assert report.verdict == "keep"
    assert "no suggested weights" in report.reason and "1500 are needed" in report.reason
    with pytest.raises(HealthError, match="there is nothing to write"):
        tuning.tune(settings, repeats=REPEATS, write_anyway=True)
    assert made.files_of(settings.project_dir) == before


def test_too_few_later_churners_keep(company: Callable[[str], Settings]) -> None:
    settings = company("support")
    made.set_limit(settings, "fewest_churners", "500")
    report = tuning.tune(settings, repeats=REPEATS)
    assert report.verdict == "keep"
    assert "not enough outcomes out of time" in report.reason


def random_problem(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    inputs = generator.uniform(0, 10, (800, 4))
    truth = np.array([0.3, 0.2, 0.1, 0.4])
    outcomes = (generator.random(800) < 1 / (1 + np.exp(inputs @ truth - 3))).astype(float)
    return inputs, outcomes, np.array([0.25, 0.25, 0.25, 0.25])


def test_the_fit_without_a_pull_is_a_plain_logistic_regression() -> None:
    inputs, outcomes, today = random_problem(1)
    shift, found = tuning.minimise(inputs, outcomes, today, 0.0)
    plain = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(inputs, outcomes)
    assert found == pytest.approx(-plain.coef_[0], abs=1e-3)
    assert shift == pytest.approx(plain.intercept_[0], abs=1e-2)


def test_the_fit_under_a_pull_is_the_minimum_of_its_formula() -> None:
    """The published formula with k as a free number, at the minimum and beside it."""
    inputs, outcomes, today = random_problem(2)
    pull = 50.0
    shift, found = tuning.minimise(inputs, outcomes, today, pull)

    def loss(a: float, b: np.ndarray, k: float) -> float:
        log_odds = a - inputs @ b
        log_loss = np.sum(np.logaddexp(0, log_odds) - outcomes * log_odds)
        return float(log_loss + pull * np.sum((b - k * today) ** 2))

    best_k = float(found @ today / (today @ today))
    least = loss(shift, found, best_k)
    generator = np.random.default_rng(3)
    for size in (1e-3, 1e-2, 0.1):
        for _ in range(50):
            beside = np.maximum(found + generator.normal(0, size, 4), 0)
            moved = loss(
                shift + generator.normal(0, size), beside, best_k + generator.normal(0, size)
            )
            assert moved > least - 1e-6


def test_weights_are_never_negative_and_an_infinite_pull_is_today() -> None:
    inputs, outcomes, today = random_problem(4)
    inputs[:, 0] = 10 - inputs[:, 0]  # healthier scores go with more churn
    assert tuning.minimise(inputs, outcomes, today, 0.0)[1][0] == 0
    _, found = tuning.minimise(inputs, outcomes, np.array([0.1, 0.2, 0.3, 0.4]), np.inf)
    assert found / found.sum() == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_todays_weights_on_the_inputs_are_todays_score() -> None:
    """Missing scores stand where today's weights put them, so that the fit starts from today."""
    generator = np.random.default_rng(5)
    scores = generator.uniform(0, 10, (200, 5))
    scores[generator.random(scores.shape) < 0.4] = np.nan
    scores[0] = np.nan
    rows = type("Rows", (), {})()
    rows.metrics, rows.scores, rows.outcomes = tuple(made.METRICS), scores, np.zeros(200)
    rows.column = lambda metric: scores[:, list(made.METRICS).index(metric)]
    problem = tuning.make_problem(rows, made.TODAY, {"churn_risk"})
    free = Weights(
        {key: weight for key, weight in made.TODAY.categories.items() if key != "churn_risk"},
        made.TODAY.metrics,
        made.CATEGORY_OF,
    )
    expected = account_scores(free, tuple(made.METRICS), scores)
    found = 10 * problem.inputs @ problem.today
    known = ~np.isnan(expected)
    assert known.sum() > 150 and not known[0]
    assert found[known] == pytest.approx(expected[known], abs=1e-9)


def test_scores_are_those_of_the_worked_example() -> None:
    """docs/scoring-model.md: 64.1667, read as 64."""
    scores = {
        "product_usage": [8.0, 6.0, 7.0], "satisfaction": [9.0, np.nan], "churn_risk": [4.0],
        "support": [10.0, 5.0], "onboarding": [np.nan], "engagement": [2.0], "revenue": [3.0, 5.0],
    }  # fmt: skip
    outside = dict(zip(scores, (0.25, 0.2, 0.2, 0.15, 0.1, 0.05, 0.05), strict=True))
    category_of = {f"{key}{n}": key for key, inside in scores.items() for n in range(len(inside))}
    metrics = {key: 1 / len(scores[category]) for key, category in category_of.items()}
    row = np.array([[one for inside in scores.values() for one in inside]])
    found = account_scores(Weights(outside, metrics, category_of), list(metrics), row)
    assert found[0] == pytest.approx(64.1666666667, abs=1e-9)
    assert as_read(np.array([64.5, 64.4999999999, 0.0])).tolist() == [65.0, 64.0, 0.0]


def test_decimals_sum_to_exactly_one() -> None:
    generator = np.random.default_rng(6)
    for _ in range(200):
        parts = generator.dirichlet(np.full(7, 0.4))
        found = to_decimals({str(number): part for number, part in enumerate(parts)})
        assert sum(found.values()) == 1
        assert all(abs(float(found[str(n)]) - part) < 1e-4 for n, part in enumerate(parts))
    with pytest.raises(ValueError, match="sum to 1"):
        to_decimals({"a": 0.5, "b": 0.4})


def test_kept_weights_share_what_changed_ones_leave() -> None:
    def one(key: str, today: float, fitted: float, ends: tuple[float, float] | None) -> object:
        low, high = ends or (None, None)
        return tuning.Suggestion("category", key, key, today, fitted, low, high, today)

    group = [
        one("a", 0.4, 0.1, (0.0, 0.2)),
        one("b", 0.2, 0.5, (0.1, 0.6)),
        one("c", 0.2, 0.2, (0.1, 0.3)),
        one("d", 0.2, 0.2, None),
    ]
    found = {each.key: each.suggested for each in tuning._settled(group)}  # type: ignore[arg-type]
    assert found == pytest.approx({"a": 0.1, "b": 0.35, "c": 0.35, "d": 0.2})


def test_the_command_line(company: Callable[[str], Settings]) -> None:
    settings = company("support")
    options = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    call = [*options, "tune", "--repeats", "20"]
    result = CliRunner().invoke(app, [*call, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"] == "change" and found["scoring_version"] == "v2"
    result = CliRunner().invoke(app, call)
    assert "Verdict: change" in result.stdout and "Wrote challenger v2:" in result.stdout
    again = CliRunner().invoke(app, [*call, "--json"])
    assert json.loads(again.stdout)["weights"] == found["weights"]  # the same seed
