"""`customer-health train`: what it writes, that SQL scores the same, and what it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import fitting_world as made
import numpy as np
import pyarrow as pa
import pytest
import validation_harness
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from customer_health import policy
from customer_health.cli import app
from customer_health.errors import HealthError, UsageError
from customer_health.fitting import observations as reading
from customer_health.fitting.train import train
from customer_health.settings import Settings
from customer_health.validation import figures

SPLIT = date(2025, 11, 2)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return made.make_project(tmp_path_factory.mktemp("company") / "project")


@pytest.fixture
def settings(company: Settings, tmp_path: Path) -> Settings:
    """A copy that may be written."""
    shutil.copytree(company.project_dir, tmp_path / "project")
    return Settings.resolve(tmp_path / "project", tmp_path / "project" / "home", environ={})


def read(settings: Settings, version: str, **window: int) -> reading.Observations:
    with figures.open_marts(settings) as connection:
        return reading.read_observations(
            connection,
            policy.find_seed_files(settings.project_dir),
            version,
            scorecard=made.CARD,
            lead_days=window.get("lead_days", 0),
            horizon_days=window.get("horizon_days", 90),
            source="test",
        )


def test_a_challenger_is_written_and_the_champion_is_not(settings: Settings) -> None:
    before = {name: made.seed_rows(settings, name, "v1") for name in policy.SEEDS
              if policy.SEEDS[name].is_versioned}  # fmt: skip
    report = train(settings)
    assert report.challenger.version == "v2"
    assert {name: made.seed_rows(settings, name, "v1") for name in before} == before
    (version,) = made.seed_rows(settings, "scoring_versions", "v2")
    assert version["status"] == "challenger"
    assert version["fitted_to"] == report.split.split.isoformat()
    rows = made.seed_rows(settings, "churn_model", "v2")
    assert {row["churn_model_version"] for row in rows} == {version["churn_model_version"]}
    assert {row["feature"] for row in rows} == {"intercept", *made.FREE}
    assert {row["trained_to"] for row in rows} == {report.split.split.isoformat()}
    assert {row["churner_count"] for row in rows} == {str(report.split.train.churner_count)}
    files = policy.find_seed_files(settings.project_dir)
    known = policy.find_known_metrics(made.ROOT)
    assert policy.check_policy(files, known_metrics=known, today=made.AS_OF) == []
    evidence = (settings.project_dir / "policy_evidence" / "v2.md").read_text("utf-8")
    assert "customer-health train --version v2 --scorecard standard --lead 0" in evidence
    assert str(settings.project_dir) not in evidence


def test_figures_are_those_of_the_rounded_rows_on_later_months(settings: Settings) -> None:
    report = train(settings, window_to=SPLIT)
    everything = read(settings, "v1")
    later = everything.dates >= np.datetime64(SPLIT)
    model = reading.read_model(policy.find_seed_files(settings.project_dir), "v2")
    assert model is not None
    probabilities = model.probabilities(everything.metrics, everything.scores)
    expected = roc_auc_score(everything.outcomes[later], probabilities[later])
    assert report.tested.auc == pytest.approx(expected, abs=1e-12)
    assert report.seed_auc == round(expected, 4)
    assert report.tested.auc is not None and report.tested.auc > 0.7
    assert report.today.auc is not None and abs(report.today.auc - 0.5) < 0.12
    assert report.difference is not None and report.difference.verdict == "better"


def test_nothing_that_is_fitted_lies_after_the_first_score_that_is_tested(
    settings: Settings,
) -> None:
    everything = read(settings, "v1", lead_days=30, horizon_days=60)
    split = reading.split_by_time(everything, None, SPLIT)
    assert split.train.last_date is not None and split.test.first_date == SPLIT
    assert split.train.last_date + timedelta(days=90) <= SPLIT
    months = np.unique(everything.dates)
    allowed = months[months + np.timedelta64(90, "D") <= np.datetime64(SPLIT)]
    assert split.train.last_date == allowed[-1].item()


def test_labels_are_those_of_the_model(settings: Settings) -> None:
    """In notice, gone before the window, chosen by nobody, or not over: left out."""
    day = made.first_sundays()[0]
    base = {
        "as_of_date": day, "scoring_version": "v1", "scorecard_key": made.CARD,
        "is_in_force": True, "tenure_days": 400, "arr_amount": 1.0, "health_score": 50,
        "churn_probability": 0.03, "follow_up_days": 400, "days_to_churn": None,
        "is_involuntary": False, "is_in_notice": False,
    }  # fmt: skip
    cases: dict[str, tuple[dict[str, Any], float | None]] = {
        "stays": ({}, 0.0),
        "first_day": ({"days_to_churn": 30}, 1.0),
        "last_day": ({"days_to_churn": 89}, 1.0),
        "day_after": ({"days_to_churn": 90}, 0.0),
        "before": ({"days_to_churn": 29}, None),
        "notice": ({"is_in_notice": True}, None),
        "bankrupt": ({"is_involuntary": True, "days_to_churn": 40}, None),
        "bankrupt_later": ({"is_involuntary": True, "days_to_churn": 120}, 0.0),
        "not_over": ({"follow_up_days": 89}, None),
        "just_over": ({"follow_up_days": 90}, 0.0),
        "challenger": ({"is_in_force": False}, None),
    }
    rows = [{**base, "account_id": name, **changes} for name, (changes, _) in cases.items()]
    metric_rows = [
        {
            "account_id": name, "as_of_date": day, "scoring_version": "v1",
            "scorecard_key": made.CARD, "metric_key": "logins", "value_state": state,
            "metric_value": value,
        }
        for name, state, value in (("stays", "observed", 4.0), ("first_day", "unknown", 4.0))
    ]  # fmt: skip
    made.publish(
        settings,
        {"val_health__observations": rows, "fct_health__metric_scores": metric_rows},
    )
    found = read(settings, "v1", lead_days=30, horizon_days=60)
    expected = {name: label for name, (_, label) in cases.items() if label is not None}
    assert dict(zip(found.accounts, found.outcomes, strict=True)) == expected
    scores = dict(zip(found.accounts, found.column("logins"), strict=True))
    assert scores["stays"] == 4.0
    assert np.isnan(scores["first_day"])


@pytest.fixture(scope="module")
def churn_sql() -> Iterator[dict[str, Any]]:
    """The compiled model int_health__churn_probabilities and the relations that it reads."""
    validation_harness.compile_with_dbt("--select", "int_health__churn_probabilities")
    folder = Path(validation_harness.scratch_folder().name)
    nodes = json.loads((folder / "target" / "manifest.json").read_text("utf-8"))["nodes"]
    yield {node["name"]: node for node in nodes.values()}


def test_sql_and_scikit_learn_agree_on_the_written_rows(
    settings: Settings, churn_sql: dict[str, Any]
) -> None:
    """The seed rows as text, the real model SQL, and a LogisticRegression with these numbers."""
    train(settings)
    rows = made.seed_rows(settings, "churn_model", "v2")
    everything = read(settings, "v1")
    features = [row for row in rows if row["feature"] != "intercept"]
    regression = LogisticRegression()
    regression.classes_ = np.array([0, 1])
    regression.coef_ = np.array([[float(row["coefficient"]) for row in features]])
    regression.intercept_ = np.array(
        [float(row["coefficient"]) for row in rows if row["feature"] == "intercept"]
    )
    inputs = np.column_stack(
        [
            (everything.column(row["feature"]) - float(row["mean"]))
            / float(row["standard_deviation"])
            for row in features
        ]
    )
    expected = regression.predict_proba(np.nan_to_num(inputs))[:, 1]
    assert np.isnan(inputs).any()

    keys = [
        {"account_id": account, "as_of_date": day.item(), "scoring_version": "v2",
         "scorecard_key": made.CARD, "tenure_days": 400, "segment": "smb", "plan": "growth"}
        for account, day in zip(everything.accounts, everything.dates, strict=True)
    ]  # fmt: skip
    dates = sorted({key["as_of_date"] for key in keys})
    (version,) = made.seed_rows(settings, "scoring_versions", "v2")
    tables: dict[str, list[dict[str, Any]]] = {
        "int_health__scorecard_assignments": keys,
        "int_health__spine": keys,
        "int_health__scorecard_metrics": [
            {"scoring_version": "v2", "scorecard_key": made.CARD, "category_key": "churn_risk",
             "metric_key": "churn_probability", "category_weight": 0.2, "metric_weight": 1.0}
        ],
        "int_health__scored_versions": [
            {"as_of_date": day, "scoring_version": "v2",
             "churn_model_version": version["churn_model_version"]}
            for day in dates
        ],
        "int_health__usable_metric_scores": [
            {**key, "metric_key": metric, "metric_score": float(score)}
            for number, metric in enumerate(everything.metrics)
            if metric != "churn_probability"
            for key, score in zip(keys, everything.scores[:, number], strict=True)
            if not np.isnan(score)
        ],
    }  # fmt: skip
    node = churn_sql["int_health__churn_probabilities"]
    with duckdb.connect() as connection:
        parents = [name.split(".")[-1] for name in node["depends_on"]["nodes"]]
        relations = {name: churn_sql[name]["relation_name"] for name in parents}
        for relation in relations.values():
            catalog, schema, _ = relation.replace('"', "").split(".")
            connection.execute(f"attach if not exists ':memory:' as {catalog}")
            connection.execute(f"create schema if not exists {catalog}.{schema}")
        for name, relation in relations.items():
            if name in tables:
                connection.register("given", pa.Table.from_pylist(tables[name]))
                connection.execute(f"create table {relation} as select * from given")
                connection.unregister("given")
                continue
            kinds = churn_sql[name]["config"]["column_types"]
            casts = ", ".join(f'cast("{key}" as {kind}) as "{key}"' for key, kind in kinds.items())
            path = settings.project_dir / "seeds" / f"{name}.csv"
            connection.execute(
                f"create table {relation} as select {casts} "
                f"from read_csv('{path}', header = true, all_varchar = true)"
            )
        found = {
            (account, day): (value, method)
            for account, day, value, method in connection.execute(
                "select account_id, as_of_date, metric_value, churn_probability_method "
                f"from ({node['compiled_code']})"
            ).fetchall()
        }
    assert len(found) == len(keys)
    assert {method for _, method in found.values()} == {"model"}
    values = np.array([found[key["account_id"], key["as_of_date"]][0] for key in keys])
    assert np.abs(values - expected).max() < 1e-9
    model = reading.read_model(policy.find_seed_files(settings.project_dir), "v2")
    assert model is not None
    ours = model.probabilities(everything.metrics, everything.scores)
    assert np.abs(ours - expected).max() < 1e-12


def test_anchors_follow_the_new_spread_unless_they_are_kept(settings: Settings) -> None:
    def anchors(version: str) -> list[tuple[float, float]]:
        return [
            (float(row["value"]), float(row["score"]))
            for row in made.seed_rows(settings, "metric_anchors", version)
            if row["metric_key"] == "churn_probability"
        ]

    report = train(settings, version="kept", keep_anchors=True)
    assert anchors("kept") == anchors("v1")
    assert not report.anchors.is_written
    report = train(settings, version="fresh")
    new = anchors("fresh")
    assert [score for _, score in new] == [10, 7, 5, 2, 0]
    train_rows = report.split.train
    middle = np.median(report.model.probabilities(train_rows.metrics, train_rows.scores))
    assert dict((score, value) for value, score in new)[7] == pytest.approx(middle, rel=6e-3)


def test_too_few_churners_are_refused_in_words(settings: Settings) -> None:
    made.set_limit(settings, "fewest_churners", "1000")
    before = made.files_of(settings.project_dir)
    with pytest.raises(HealthError, match=r"not enough outcomes \(\d+\): 1000 churned accounts"):
        train(settings)
    assert made.files_of(settings.project_dir) == before


def test_too_few_later_churners_give_no_figure_but_a_model(settings: Settings) -> None:
    report = train(settings)
    fewest = report.split.test.churner_count + 1
    assert report.split.train.churner_count >= fewest
    made.set_limit(settings, "fewest_churners", str(fewest))
    report = train(settings, version="v3")
    assert report.tested.auc is None and report.difference is None
    assert report.seed_auc == round(report.validated_auc, 4)


def test_neither_champion_nor_published_versions_are_written(settings: Settings) -> None:
    with pytest.raises(UsageError, match="v1 is champion, and train writes challengers only"):
        train(settings, version="v1")
    train(settings, version="v2")
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute(
            "update customer_health.fct_health__publications set scoring_version = 'v2'"
        )
    with pytest.raises(HealthError, match="version v2 was published and is not changed any more"):
        train(settings, version="v2")
    assert train(settings).challenger.version == "v3"
    with pytest.raises(UsageError, match="is no name of a scoring version"):
        train(settings, version="../v9")


def test_a_metric_that_means_something_else_is_left_out(settings: Settings) -> None:
    train(settings, version="v2")
    path = settings.project_dir / "seeds" / "metrics.csv"
    text = path.read_text("utf-8").splitlines(keepends=True)
    changed = [
        line.replace(",unknown,", ",zero,", 1) if line.startswith("v2,csat,") else line
        for line in text
    ]
    assert changed != text
    path.write_text("".join(changed), encoding="utf-8")
    report = train(settings, version="v2")
    assert "csat" not in {each.metric for each in report.model.features}
    assert any("csat is defined otherwise" in note for note in report.notes)


def test_seeds_of_an_installed_package_are_copied_not_edited(
    settings: Settings, tmp_path: Path
) -> None:
    package = settings.project_dir / "dbt_packages" / "customer_health"
    package.mkdir(parents=True)
    (package / "dbt_project.yml").write_text("name: customer_health\n", encoding="utf-8")
    shutil.move(settings.project_dir / "seeds", package / "seeds")
    before = made.files_of(package)
    train(settings)
    assert made.files_of(package) == before
    assert made.seed_rows(settings, "churn_model", "v2")


def test_the_command_line(settings: Settings) -> None:
    options = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    result = CliRunner().invoke(app, [*options, "train", "--to", SPLIT.isoformat(), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["scoring_version"] == "v2"
    assert set(found["coefficients"]) == {"intercept", *made.FREE}
    result = CliRunner().invoke(app, [*options, "train", "--to", SPLIT.isoformat()])
    assert result.exit_code == 0, result.output
    assert "Odds ratio" in result.stdout and "Wrote challenger v2:" in result.stdout
    result = CliRunner().invoke(app, [*options, "train", "--to", "2020-01-01"])
    assert result.exit_code == 2
    assert "choose an earlier --from" in result.stderr
