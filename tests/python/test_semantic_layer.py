"""The metrics of MetricFlow say what docs/bi.md and the dashboards say.

A project that installs the package is parsed once. MetricFlow turns each question into SQL, which
runs on the readers' copy; one question goes through the command line as people type it.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import duckdb
import pytest
import yaml
from dashboard_world import PROJECT, published_home, reading
from forked import run_module
from test_dashboard_bi import ask as ask_bi

from customer_health.dashboard import portfolio
from customer_health.dashboard.portfolio import Filters

PAGE = (PROJECT / "docs" / "semantic-layer.md").read_text(encoding="utf-8")
BANDS = ("critical", "at_risk", "healthy", "thriving", "insufficient_data")

FILES = {
    "dbt_project.yml": """
name: stranger
version: "1.0.0"
profile: stranger
flags:
  send_anonymous_usage_stats: false
vars:
  customer_health__time_spine: false
""",
    "packages.yml": f"packages:\n  - local: {PROJECT}\n",
    "profiles.yml": """
stranger:
  target: readers
  outputs:
    readers:
      type: duckdb
      path: ":memory:"
      schema: customer_health
      attach:
        - path: "{home}/published.duckdb"
          alias: marts
          read_only: true
""",
    "models/our_days.sql": "select cast('2026-01-01' as date) as day_of_ours",
    "models/our_days.yml": """
models:
  - name: our_days
    time_spine:
      standard_granularity_column: day_of_ours
    columns:
      - name: day_of_ours
        granularity: day
""",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture(scope="module")
def stranger(home, tmp_path_factory) -> Path:
    """A project with a time spine of its own that installs the package, parsed."""
    folder = tmp_path_factory.mktemp("stranger")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content.lstrip().replace("{home}", str(home)), encoding="utf-8")
    for command in (["deps"], ["parse", "--show-all-deprecations"]):
        done = run(folder, "dbt.cli.main", *command)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "eprecat" not in done.stdout
    return folder


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_module(module, arguments, cwd=folder, env=os.environ)


class Asker:
    """Answers as MetricFlow would give them, on the readers' copy."""

    def __init__(self, project: Path, home: Path) -> None:
        from metricflow.engine.metricflow_engine import MetricFlowEngine
        from metricflow.protocols.sql_client import SqlEngine
        from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
        from metricflow_semantics.model.dbt_manifest_parser import (
            parse_manifest_from_dbt_generated_manifest,
        )
        from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

        class OnlySql:
            """What MetricFlow has to know of an engine to write SQL for it."""

            sql_engine_type = SqlEngine.DUCKDB
            sql_plan_renderer = DuckDbSqlPlanRenderer()

        text = (project / "target" / "semantic_manifest.json").read_text(encoding="utf-8")
        self.manifest = parse_manifest_from_dbt_generated_manifest(manifest_json_string=text)
        lookup = SemanticManifestLookup(self.manifest)
        self._engine = MetricFlowEngine(
            semantic_manifest_lookup=lookup,
            sql_client=cast(Any, OnlySql()),
        )
        self._connection = duckdb.connect()
        self._connection.execute(f"attach '{home}/published.duckdb' as marts (read_only)")
        self._connection.execute("use marts.customer_health")

    def ask(self, metrics: list[str], by: list[str], order: list[str] | None = None) -> list[dict]:
        from metricflow.engine.metricflow_engine import MetricFlowQueryRequest

        request = MetricFlowQueryRequest.create(
            metric_names=metrics, group_by_names=by, order_by_names=order
        )
        statement = self._engine.explain(request).sql_statement.sql
        cursor = self._connection.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement).fetchall()


@pytest.fixture(scope="module")
def asker(stranger, home) -> Asker:
    return Asker(stranger, home)


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, abs=1e-9, rel=1e-9)


def test_accounts_and_arr_by_band_are_those_of_bi(asker, home) -> None:
    found = asker.ask(["health_accounts", "health_arr"], ["health_score__band"])
    expected = {
        row["band"]: (row["account_count"], near(row["arr_amount"]))
        for row in ask_bi(home, "Accounts and ARR by band, now")
    }
    assert len(expected) > 2
    assert {
        row["health_score__band"]: (row["health_accounts"], row["health_arr"]) for row in found
    } == expected


def test_mean_scores_over_time_are_those_of_bi(asker, home) -> None:
    found = asker.ask(["health_mean_score"], ["metric_time__day"])
    expected = {
        row["as_of_date"]: near(row["mean_health_score"])
        for row in ask_bi(home, "Mean score and its change")
    }
    assert len(expected) > 50
    assert {row["metric_time__day"].date(): row["health_mean_score"] for row in found} == expected


def test_the_share_below_healthy_over_time_is_that_of_bi(asker, home) -> None:
    found = asker.ask(["health_arr_share_below_healthy"], ["metric_time__day"])
    expected = {
        row["as_of_date"]: near(row["arr_share_below_healthy"])
        for row in ask_bi(home, "Share of ARR below Healthy over time")
    }
    assert {
        row["metric_time__day"].date(): row["health_arr_share_below_healthy"] for row in found
    } == expected


def test_retention_by_band_is_that_of_bi(asker, home) -> None:
    # The demo has one version and one scorecard. The verdict is about the dates out of time.
    slices = asker.sql("select distinct slice_value from val_health__verdict")
    assert slices == [("out_of_time",)]
    found = asker.ask(
        ["health_retention", "health_observations"],
        ["health_observation__band", "health_observation__is_out_of_time"],
    )
    expected = {
        row["band"]: (row["observation_count"], near(row["retention"]))
        for row in ask_bi(home, "Retention by band, with its interval")
    }
    assert any(row["retention"] < 1 for row in ask_bi(home, "Retention by band, with its interval"))
    assert {
        row["health_observation__band"]: (row["health_observations"], row["health_retention"])
        for row in found
        if row["health_observation__is_out_of_time"]
    } == expected


def test_months_show_their_last_date_by_segment_csm_and_plan_like_the_dashboards(
    asker, home
) -> None:
    for dimension in ("segment", "csm_id", "plan"):
        found = asker.ask(
            ["health_accounts", "health_arr", *(f"health_accounts_{band}" for band in BANDS)],
            ["metric_time__month", f"health_score__{dimension}"],
        )
        with reading(home) as reader:
            values = {row[f"health_score__{dimension}"] for row in found}
            assert len(values) > 1
            for value in values:
                chosen = Filters({dimension: (value or "(none)",)})
                history = portfolio.read_history(reader, chosen)
                every = portfolio.read_history(reader, Filters())
                months: dict[Any, Any] = {}
                for row in every:
                    months.setdefault(row["as_of_date"].replace(day=1), set()).add(
                        row["as_of_date"]
                    )
                of_value = {
                    row["metric_time__month"].date(): row
                    for row in found
                    if row[f"health_score__{dimension}"] == value
                }
                for month, dates in months.items():
                    rows = portfolio.of_date(history, max(dates))
                    if not rows:
                        assert month not in of_value
                        continue
                    answer = of_value[month]
                    assert answer["health_accounts"] == sum(
                        row["account_count"] for row in rows.values()
                    )
                    assert answer["health_arr"] == near(
                        sum(row["arr_amount"] for row in rows.values())
                    )
                    for band in BANDS:
                        count = rows[band]["account_count"] if band in rows else 0
                        assert answer[f"health_accounts_{band}"] == count


def test_shares_of_bands_add_up_to_one_also_where_a_band_is_empty(asker) -> None:
    for kind in ("account", "arr"):
        metrics = [f"health_{kind}_share_{band}" for band in BANDS]
        found = asker.ask(metrics, ["metric_time__month", "health_account__csm_id"])
        assert any(row[metric] == 0 for row in found for metric in metrics)
        whole = [
            sum(row[metric] for metric in metrics) for row in found if row[metrics[0]] is not None
        ]
        assert len(whole) > 20
        assert whole == [near(1)] * len(whole)


def test_churn_adds_up_whatever_it_is_grouped_by(asker) -> None:
    ((observations, churned, arr, churned_arr),) = asker.sql(
        """
        select sum(observation_count), sum(outcome_count), sum(arr_amount), sum(outcome_arr_amount)
        from val_health__band_outcomes
        where is_headline and outcome = 'churn' and slice_kind = 'all'
        """
    )
    assert churned > 10
    counts = ["health_observations", "health_churned_observations"]
    amounts = ["health_observed_arr", "health_churned_arr"]
    for by in ("segment", "plan", "csm_id", "region"):
        found = asker.ask([*counts, *amounts, "health_churn_rate"], [f"health_account__{by}"])
        assert len(found) > 1
        assert [sum(row[name] for row in found) for name in counts] == [observations, churned]
        assert [sum(row[name] for row in found) for name in amounts] == [
            near(arr), near(churned_arr),
        ]  # fmt: skip
        for row in found:
            assert row["health_churn_rate"] == near(
                row["health_churned_observations"] / row["health_observations"]
            )
    (whole,) = asker.ask(["health_arr_churn_rate"], [])
    assert whole["health_arr_churn_rate"] == near(churned_arr / arr)


def test_churned_accounts_are_those_with_a_churn_date(asker) -> None:
    expected = dict(
        asker.sql(
            """
            select cast(date_trunc('month', churn_date) as date), count(*)
            from dim_health__accounts
            where churn_date is not null
            group by 1
            """
        )
    )
    found = asker.ask(["health_churned_accounts"], ["metric_time__month"])
    assert {
        row["metric_time__month"].date(): row["health_churned_accounts"] for row in found
    } == expected


def test_scored_accounts_have_a_score(asker) -> None:
    expected = dict(
        asker.sql(
            "select as_of_date, count(health_score) from fct_health__account_scores group by 1"
        )
    )
    found = asker.ask(["health_scored_accounts"], ["metric_time__day"])
    assert {
        row["metric_time__day"].date(): row["health_scored_accounts"] for row in found
    } == expected


def test_the_command_line_answers(stranger, asker) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("mf")), "query", "--metrics",
         "health_accounts,health_mean_score", "--group-by", "health_score__band",
         "--csv", "answer.csv"],
        cwd=stranger,
        env={**os.environ, "HTTPS_PROXY": "http://127.0.0.1:9"},  # it asks for newer versions
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    with (stranger / "answer.csv").open(encoding="utf-8") as file:
        written = {
            row["health_score__band"]: (
                int(row["health_accounts"]), float(row["health_mean_score"] or "nan"),
            )
            for row in csv.DictReader(file)
        }  # fmt: skip
    found = asker.ask(["health_accounts", "health_mean_score"], ["health_score__band"])
    assert written
    assert written == {
        row["health_score__band"]: (
            row["health_accounts"],
            pytest.approx(row["health_mean_score"] or float("nan"), abs=1e-3, nan_ok=True),
        )
        for row in found
    }


def test_a_time_spine_of_the_users_own_is_the_only_one(asker) -> None:
    spines = asker.manifest.project_configuration.time_spines
    assert [spine.node_relation.alias for spine in spines] == ["our_days"]


def test_every_command_of_the_page_has_an_answer(asker) -> None:
    commands = re.findall(r"^\|[^|]*\| `mf query ([^`]+)` \|$", PAGE, re.MULTILINE)
    assert len(commands) == 8
    for command in commands:
        options = dict(re.findall(r"--(\S+) (\S+)", command))
        order = options.get("order")
        assert asker.ask(
            options["metrics"].split(","),
            options["group-by"].split(","),
            order.split(",") if order else None,
        )


def test_the_page_lists_every_metric_and_every_dimension(asker) -> None:
    declared = yaml.safe_load(
        (PROJECT / "models/marts/semantic/metrics.yml").read_text(encoding="utf-8")
    )["metrics"]
    table = PAGE.split("## Metrics")[1].split("`<band>` is")[0]
    named = {
        name.replace("<band>", band)
        for name in re.findall(r"`(health_[a-z_<>]+)`", table)
        for band in BANDS
    }
    assert named == {metric["name"] for metric in declared}
    assert f"{len(declared)} metrics" in PAGE
    prefixes = {"health_score": "health_account_scores", "health_account": "health_accounts",
                "health_observation": "health_churn_observations"}  # fmt: skip
    models = {model.name: model for model in asker.manifest.semantic_models}
    assert set(models) == set(prefixes.values())
    for prefix, model in prefixes.items():
        line = re.search(rf"^\| \w+ \| `{prefix}__` \| (.*) \|$", PAGE, re.MULTILINE)
        assert line is not None
        dimensions = {
            dimension.name for dimension in models[model].dimensions
            if dimension.type.value == "categorical"
        }  # fmt: skip
        assert set(re.findall(r"`(\w+)`", line[1])) == dimensions
