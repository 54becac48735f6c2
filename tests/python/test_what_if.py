"""`customer-health what-if`: today's weights give today's scores, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import fitting_world as made
import numpy as np
import pytest
from typer.testing import CliRunner

from customer_health import statistics
from customer_health.cli import app
from customer_health.errors import HealthError, UsageError
from customer_health.fitting import what_if as trying
from customer_health.fitting.weights import Weights, account_scores, as_read
from customer_health.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return made.make_project(tmp_path_factory.mktemp("company") / "project")


def weights_file(folder: Path, text: str) -> Path:
    path = folder / "idea.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_todays_weights_give_the_published_scores(settings: Settings) -> None:
    found = trying.what_if(settings, version="v1")
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        (count,) = connection.execute(
            "select count(*) from customer_health.fct_health__account_scores"
        ).fetchone() or (0,)
    assert found.checked_count == count > 1000
    assert found.largest_gap < 1e-9
    assert found.moved == ()
    assert all(each.difference == 0 for each in found.compared.values())
    assert found.mean_today == found.mean_tried


def test_tried_scores_are_those_of_the_arithmetic(settings: Settings) -> None:
    """The SQL against the scores computed on arrays, also where metrics are unknown."""
    found = trying.what_if(settings, sets=["support=0.6", "logins=0.9"])
    assert found.tried.categories == pytest.approx(
        {"product_usage": 0.4 * 0.4 / 0.7, "satisfaction": 0.1 * 0.4 / 0.7, "support": 0.6,
         "churn_risk": 0.2 * 0.4 / 0.7}
    )  # fmt: skip
    assert found.tried.metrics["feature_adoption"] == pytest.approx(0.1)
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        rows = connection.execute(
            """
            select account_id, as_of_date, metric_key, metric_score, value_state
            from customer_health.fct_health__metric_scores
            """
        ).fetchall()
        labels = connection.execute(
            """
            select account_id, as_of_date, days_to_churn
            from customer_health.val_health__observations
            where
                health_score is not null
                and follow_up_days >= 60
                and coalesce(days_to_churn >= 0, true)
            """
        ).fetchall()
    metrics = tuple(made.METRICS)
    keys = sorted({row[:2] for row in rows})
    place = {key: number for number, key in enumerate(keys)}
    scores = np.full((len(keys), len(metrics)), np.nan)
    for account, day, metric, score, state in rows:
        if state == "observed":
            scores[place[account, day], metrics.index(metric)] = score

    def whole(weights: Weights) -> np.ndarray:
        coverage = (~np.isnan(scores)) @ np.array([weights.effective(each) for each in metrics])
        found = as_read(account_scores(weights, metrics, scores))
        return np.where(np.round(coverage, 10) < 0.5, np.nan, found)

    tried, today = whole(found.tried), whole(made.TODAY)
    risk = np.array([tried[place[row[:2]]] for row in labels])
    before = np.array([today[place[row[:2]]] for row in labels])
    outcomes = np.array([row[2] is not None and row[2] < 60 for row in labels], dtype=float)
    kept = ~np.isnan(risk)
    assert found.row_count == kept.sum()
    accounts = np.array([row[0] for row in labels])[kept]
    expected = statistics.delong_paired(-before[kept], -risk[kept], outcomes[kept], accounts)
    assert found.compared["auc"].difference == pytest.approx(expected.difference, abs=1e-9)
    assert found.compared["auc"].low == pytest.approx(expected.low, abs=1e-9)
    newest = max(day for _, day in keys)
    assert found.newest == newest
    rows_then = [number for number, (_, day) in enumerate(keys) if day == newest]
    moved = {each.account_id: each for each in found.moved}

    def band(score: float) -> str:
        for key, bound in (("thriving", 81), ("healthy", 61), ("at_risk", 41)):
            if score >= bound:
                return key
        return "insufficient_data" if np.isnan(score) else "critical"

    for number in rows_then:
        account = keys[number][0]
        one, other = band(today[number]), band(tried[number])
        assert (account in moved) == (one != other)
        if account in moved:
            assert (moved[account].band_today, moved[account].band_tried) == (one, other)
    assert len(moved) > 3
    amounts = [each.arr_amount for each in found.moved]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(move.account_count for move in found.moves) == len(rows_then)


def test_a_file_may_be_rows_of_the_seeds(settings: Settings, tmp_path: Path) -> None:
    path = weights_file(
        tmp_path,
        "scoring_version,scorecard_key,category_key,weight\n"
        "v9,standard,support,0.5\nv9,onboarding,support,0.9\n\n",
    )
    given = trying.read_weight_file(path, made.CARD)
    assert [(each.kind, each.key, each.weight) for each in given] == [("category", "support", 0.5)]
    tried = trying.apply(made.TODAY, given)
    assert sum(tried.categories.values()) == pytest.approx(1)
    assert tried.categories["churn_risk"] == pytest.approx(0.2 * 0.5 / 0.7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "row 1: the header is"),
        ("category_key,weigth\nsupport,0.5\n", "row 1: there is a column 'weigth'"),
        ("category_key,weight\nsupport,half\n", "row 2, weight: 'half' is no weight"),
        ("category_key,weight\nsupport,1.5\n", "row 2, weight: '1.5' is no weight"),
        ("category_key,weight\nsupport,nan\n", "row 2, weight: 'nan' is no weight"),
        ("category_key,weight\nsuport,0.5\n", "row 2: the scorecard has no category suport; "
         "nearest: support"),
        ("category_key,weight\nsupport,0.5\nsupport,0.4\n", "support is given twice"),
        ("category_key,weight\nsupport,0.5,1\n", "row 2: 3 cells, the header has 2"),
        ("category_key,metric_key,weight\nsupport,tickets,1\n", "either category_key or"),
        ("category_key,weight\nsupport,0.7\nchurn_risk,0.4\n", "sum to 1.1, not 1; take 0.1 away"),
        ("category_key,weight\nsupport,0.3\nchurn_risk,0.2\nsatisfaction,0.1\nproduct_usage,0.3\n",
         "sum to 0.9, not 1; add 0.1"),
        ("scoring_version,category_key,weight\nv1,support,0.3\nv2,churn_risk,0.2\n",
         "rows of several versions (v1, v2); keep one"),
        ("scorecard_key,category_key,weight\nother,support,0.3\n", "no row for scorecard standard"),
        ("metric_key,weight\nnps,0.3\n", "the scorecard has no metric nps"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused(
    settings: Settings, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(HealthError) as refused:
        trying.what_if(settings, weights_file=weights_file(tmp_path, text))
    assert says in refused.value.message


def test_a_metric_without_published_rows_is_refused() -> None:
    base = Weights(
        {"product_usage": 1.0}, {"logins": 0.5, "stickiness": 0.5},
        {"logins": "product_usage", "stickiness": "product_usage"},
    )  # fmt: skip
    with pytest.raises(HealthError, match="stickiness has no weight in the version in force"):
        trying.apply(made.TODAY, [], base)


def test_a_copy_that_does_not_match_is_refused(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=40)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute(
            """
            update customer_health.fct_health__account_scores
            set health_score_exact = health_score_exact + 0.001
            where account_id = 'A0001'
            """
        )
    with pytest.raises(HealthError, match="today's weights do not give the published scores"):
        trying.what_if(settings, sets=["support=0.5"])


def test_knock_outs_and_overrides_stay(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=60)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute(
            "update customer_health.fct_health__account_scores "
            "set band = 'critical', band_reason = 'knockout'"
        )
    found = trying.what_if(settings, sets=["support=0.9"])
    assert found.moved == ()
    assert found.fixed_count == sum(move.account_count for move in found.moves)
    assert found.compared == {}  # and too few churners for figures


def test_months_of_an_earlier_version_are_named(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=40)
    with duckdb.connect(str(settings.published)) as connection:
        for table in ("fct_health__account_scores", "fct_health__metric_scores"):
            connection.execute(
                f"update customer_health.{table} set scoring_version = 'v0' "
                "where as_of_date < '2026-06-01'"
            )
    found = trying.what_if(settings, sets=["support=0.5"])
    assert any("months to 2026-05-03 were scored by v0" in note for note in found.notes)


def test_the_command_line_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    options = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    before = made.files_of(settings.project_dir)
    path = weights_file(tmp_path, "category_key,weight\nsupport,0.6\n")
    result = CliRunner().invoke(app, [*options, "what-if", "--weights", str(path)])
    assert result.exit_code == 0, result.output
    for words in ("Nothing was written", "AUC", "To a worse band", "hysteresis is left out"):
        assert words in result.stdout
    result = CliRunner().invoke(app, [*options, "what-if", "--set", "support=0.6", "--json"])
    found = json.loads(result.stdout)
    assert found["compared"]["auc"]["verdict"] in ("better", "worse", "not_distinguishable")
    assert found["moved_accounts"]
    result = CliRunner().invoke(app, [*options, "what-if"])
    assert result.exit_code == 2 and "say which weights to try" in result.stderr
    result = CliRunner().invoke(app, [*options, "what-if", "--set", "support"])
    assert result.exit_code == 2 and "not of the form category=weight" in result.stderr
    assert made.files_of(settings.project_dir) == before
    with pytest.raises(UsageError, match="--scorecard"):
        trying.what_if(settings, sets=["support=0.5"], scorecard="nothing")
