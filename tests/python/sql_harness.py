"""Runs the scoring SQL of the dbt project on made-up worlds, without building the project.

The project is compiled in the form that builds from nothing and, where a test asks for it, in the
form that adds to a history. `ScoringDatabase` holds an in-memory DuckDB with catalogs and schemas
named as in a real run; it fills the tables that the scoring step reads and runs the compiled models
in the order of the DAG. `random_world` makes such inputs, small and full of edges.
"""

from __future__ import annotations

import functools
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import oracle
import pyarrow as pa
from hypothesis import HealthCheck, Phase, settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
LAST_DATE = date(2026, 6, 30)
EPOCH = date(1970, 1, 1)

# An example is a whole world of accounts: few are enough, and the time of one says nothing. A world
# grows from a seed, so that shrinking the seed would only take time.
scoring_settings = settings(
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)

# where profiles.yml keeps the catalogs, in the folder CUSTOMER_HEALTH_HOME
DATABASE_FILES = {"build": "build.duckdb", "marts": "candidate.duckdb"}

Row = dict[str, Any]

# -- compiling -----------------------------------------------------------------------------------

VARS: dict[str, Any] = {
    "customer_health__as_of_date": LAST_DATE.isoformat(),
    "customer_health__history_from": "2024-01-07",
    "customer_health__daily_from": "2026-05-01",
    "customer_health__component_history_days": 4000,
    "customer_health__change_history_days": 4000,
    # values jump at random here: tests/faults/test_data_incident.py is about data incidents
    "customer_health__incident_least_accounts": 99_999,
}

# What is compared; everything between these and the inputs is run.
TARGETS = (
    "int_health__metric_points",
    "int_health__category_scores",
    "int_health__account_scores",
    "int_health__account_bands",
    "fct_health__account_scores",
    "fct_health__scorecard_scores",
    "fct_health__metric_scores",
    "fct_health__score_changes",
)

# The models of the chain that keep the rows of earlier runs.
HISTORY = (
    "build.customer_health_intermediate.int_health__account_scores",
    "build.customer_health_intermediate.int_health__account_bands",
    "marts.customer_health.fct_health__account_scores",
    "marts.customer_health.fct_health__scorecard_scores",
    "marts.customer_health.fct_health__metric_scores",
    "marts.customer_health.fct_health__score_changes",
)

# Tables that the scoring step reads, beside the seeds (those say their types themselves).
INPUTS: dict[str, dict[str, str]] = {
    "int_health__build_dates": {
        "as_of_date": "date",
        "day_number": "bigint",
        "is_sunday": "boolean",
    },
    "int_health__spine": {
        "account_id": "text",
        "as_of_date": "date",
        "day_number": "bigint",
        "segment": "text",
        "plan": "text",
        "region": "text",
        "csm_id": "text",
        "seats": "bigint",
        "tenure_days": "bigint",
        "lifecycle_stage": "text",
        "mrr_amount": "double",
        "arr_amount": "double",
        "renewal_date": "date",
    },
    "int_health__scored_versions": {
        "as_of_date": "date",
        "scoring_version": "text",
        "churn_model_version": "text",
        "is_in_force": "boolean",
        "is_champion": "boolean",
    },
    "int_health__signals": {
        "account_id": "text",
        "as_of_date": "date",
        "scoring_version": "text",
        "metric_key": "text",
        "metric_value": "double",
        "observed_at": "timestamp",
        "sample_size": "bigint",
        "value_state": "text",
    },
    "int_health__source_coverage": {
        "source_key": "text",
        "as_of_date": "date",
        "is_connected": "boolean",
        "available_from": "date",
        "available_to": "date",
    },
    "int_health__valid_crm_accounts": {
        "account_id": "text",
        "segment": "text",
    },
    "int_health__usage_incidents": {
        "as_of_date": "date",
        "usage_date": "date",
        "scoring_version": "text",
        "metric_key": "text",
        "segment": "text",
        "account_count": "bigint",
        "dropped_account_count": "bigint",
    },
    "int_health__valid_crm_health_overrides": {
        "override_id": "text",
        "account_id": "text",
        "band_key": "text",
        "reason": "text",
        "author_id": "text",
        "created_at": "timestamp",
        "expires_at": "timestamp",
    },
}


@dataclass(frozen=True)
class CompiledModel:
    """One model of the chain: the relation it makes and the select that makes it.

    is_history: a later run keeps the rows of earlier ones.
    """

    name: str
    relation: str
    sql: str
    is_history: bool


@dataclass(frozen=True)
class InputTable:
    """A table that the chain reads: its relation and the types of its columns."""

    relation: str
    columns: Mapping[str, str]


@dataclass(frozen=True)
class CompiledProject:
    """The models in the order of the DAG, and the tables that they read besides."""

    models: tuple[CompiledModel, ...]
    inputs: Mapping[str, InputTable]

    def model(self, name: str) -> CompiledModel:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)

    def mutated(self, name: str, old: str, new: str) -> CompiledProject:
        """The project with a piece of the SQL of one model replaced wherever it stands there.

        Line breaks and spaces count alike. Raises ValueError when the model has no such piece.
        """
        piece = re.compile(r"\s+".join(re.escape(word) for word in old.split()))
        if not piece.search(self.model(name).sql):
            raise ValueError(f"{name} does not contain {old!r}: write another mutation")
        models = tuple(
            replace(model, sql=piece.sub(lambda _: new, model.sql)) if model.name == name else model
            for model in self.models
        )
        return replace(self, models=models)


@functools.cache
def scratch_home() -> tempfile.TemporaryDirectory[str]:
    """A home without any data, gone when the test process ends."""
    folder = tempfile.TemporaryDirectory(prefix="scoring-")
    duckdb.connect(str(Path(folder.name) / "landing.duckdb")).close()
    return folder


@functools.cache
def compiled_project() -> CompiledProject:
    """The scoring chain as it is built from nothing, compiled once per test process."""
    return compile_project(Path(scratch_home().name))


@functools.cache
def compiled_updates() -> Mapping[str, str]:
    """The select of each model in HISTORY that adds to the rows of earlier runs, by its name."""
    compiled_project()  # before there is history; the second time dbt need not parse again
    home = Path(scratch_home().name)
    pretend_history(home)
    return {model.name: model.sql for model in compile_project(home).models if model.is_history}


def pretend_history(home: Path) -> None:
    """Put tables where dbt looks for history; it compiles without a look at their columns."""
    for relation in HISTORY:
        catalog, schema, name = relation.split(".")
        with duckdb.connect(str(home / DATABASE_FILES[catalog])) as connection:
            connection.execute(f"create schema if not exists {schema}")
            connection.execute(f"create table {schema}.{name} (account_id text)")


def compile_project(home: Path) -> CompiledProject:
    """Compile the scoring chain in a home. Raises RuntimeError with dbt's output when it fails."""
    command = [
        sys.executable, "-c", "from dbt.cli.main import cli; cli()", "compile", "--quiet",
        "--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR),
        "--target-path", str(home / "target"), "--log-path", str(home / "logs"),
        "--vars", json.dumps(VARS),
        "--select", "path:models/intermediate/scoring", "path:models/marts/core",
    ]  # fmt: skip
    environment = {**os.environ, "CUSTOMER_HEALTH_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dbt compile failed:\n{done.stdout}\n{done.stderr}")
    return read_manifest(json.loads((home / "target" / "manifest.json").read_text("utf-8")))


def read_manifest(manifest: Mapping[str, Any]) -> CompiledProject:
    """The targets with everything between them and the inputs, parents first.

    Raises RuntimeError when the chain reads a table that INPUTS does not describe.
    """
    nodes = manifest["nodes"]
    by_name = {
        node["name"]: node_id
        for node_id, node in nodes.items()
        if node["resource_type"] in ("model", "seed")
    }
    ordered: list[str] = []
    inputs: dict[str, InputTable] = {}

    def visit(node_id: str) -> None:
        node = nodes[node_id]
        name, relation = node["name"], node["relation_name"]
        if node_id in ordered or name in inputs:
            return
        if node["resource_type"] == "seed":
            inputs[name] = InputTable(relation, node["config"]["column_types"])
        elif name in INPUTS:
            inputs[name] = InputTable(relation, INPUTS[name])
        elif not node.get("compiled_code"):
            raise RuntimeError(f"the scoring step reads {name}: describe it in INPUTS")
        else:
            for parent in node["depends_on"]["nodes"]:
                visit(parent)
            ordered.append(node_id)

    for target in TARGETS:
        visit(by_name[target])
    models = tuple(
        CompiledModel(
            name=node["name"],
            relation=node["relation_name"],
            sql=node["compiled_code"],
            is_history=node["config"]["materialized"] == "incremental",
        )
        for node in (nodes[node_id] for node_id in ordered)
    )
    history = sorted(model.relation.replace('"', "") for model in models if model.is_history)
    if history != sorted(HISTORY):
        raise RuntimeError(f"HISTORY should name {history}")
    return CompiledProject(models, inputs)


# -- running -------------------------------------------------------------------------------------


class ScoringDatabase:
    """A DuckDB with the inputs of one world and, after `run`, its scores.

    In memory, or in the files of a home.
    """

    def __init__(
        self, project: CompiledProject, threads: int = 1, home: Path | None = None
    ) -> None:
        self.project = project
        self.connection = duckdb.connect(
            config={"threads": threads, "preserve_insertion_order": False}
        )
        self.connection.execute("set timezone = 'UTC'")
        relations = [model.relation for model in project.models]
        relations += [table.relation for table in project.inputs.values()]
        parts = [relation.replace('"', "").split(".") for relation in relations]
        for catalog in sorted({part[0] for part in parts}):
            self.connection.execute(f"attach ':memory:' as {catalog}")
        for catalog, schema in sorted({(part[0], part[1]) for part in parts}):
            self.connection.execute(f"create schema {catalog}.{schema}")

    def close(self) -> None:
        """Release the database."""
        self.connection.close()

    def run(
        self,
        world: oracle.World,
        shuffle: random.Random | None = None,
        last_model: str | None = None,
    ) -> None:
        """Load a world and build every model, or those up to `last_model`.

        shuffle: puts the rows of all inputs in disorder.
        """
        self._load_world(world, shuffle)
        for model in self.project.models:
            self._build(model)
            if model.name == last_model:
                break

    def update(self, world: oracle.World) -> None:
        """Build the dates of a world, all at the end of the history that `run` left behind."""
        self._load_world(world)
        first = min(row.as_of_date for row in world.scored_versions)
        for model in self.project.models:
            if not model.is_history:
                self._build(model)
                continue
            select = compiled_updates()[model.name]
            self.connection.execute(f"delete from {model.relation} where as_of_date >= ?", [first])
            self.connection.execute(f"insert into {model.relation} by name {select}")

    def _build(self, model: CompiledModel) -> None:
        """Make the table of a model from nothing."""
        self.connection.execute(f"create or replace table {model.relation} as {model.sql}")

    def _load_world(self, world: oracle.World, shuffle: random.Random | None = None) -> None:
        """Fill every input table. Raises RuntimeError when one is read that has no rows made."""
        tables = input_rows(world)
        missing = set(self.project.inputs) - set(tables)
        if missing:
            raise RuntimeError(f"no rows are made for {sorted(missing)}")
        for name, table in self.project.inputs.items():
            rows = tables[name]
            self._load(table, rows if shuffle is None else shuffle.sample(rows, len(rows)))

    def _load(self, table: InputTable, rows: Sequence[Row]) -> None:
        """Replace a table; columns that no row has are null."""
        arrow = pa.table({column: [row.get(column) for row in rows] for column in table.columns})
        casts = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in
                          table.columns.items())  # fmt: skip
        self.connection.register("loaded_rows", arrow)
        self.connection.execute(
            f"create or replace table {table.relation} as select {casts} from loaded_rows"
        )
        self.connection.unregister("loaded_rows")

    def rows(self, model: str) -> list[Row]:
        """All rows of a model, in no order."""
        result = self.connection.execute(f"select * from {self.project.model(model).relation}")
        names = [column[0] for column in result.description]
        return [dict(zip(names, values, strict=True)) for values in result.fetchall()]


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def input_rows(world: oracle.World) -> dict[str, list[Row]]:
    """The rows of every input table, by the name of the table."""
    mrr = 100.0
    dates = sorted({row.as_of_date for row in world.scored_versions})
    return {
        "scoring_versions": _plain(world.versions),
        "scorecards": _plain(world.scorecards, label="Label"),
        "scorecard_rules": _plain(world.rules),
        "metrics": [
            {**row, "label": row["metric_key"], "unit": "count"} for row in _plain(world.metrics)
        ],
        "metric_anchors": _plain(world.anchors),
        "category_weights": _plain(world.category_weights),
        "metric_weights": _plain(world.metric_weights),
        "bands": _plain(world.bands, label="Label", traffic_light="green", meaning="Meaning"),
        "knockouts": _plain(world.knockouts),
        "churn_base_rates": _plain(world.base_rates),
        "churn_model": _plain(world.coefficients),
        "int_health__build_dates": [
            {"as_of_date": day, "day_number": day_number(day), "is_sunday": day.isoweekday() == 7}
            for day in dates
        ],
        "int_health__spine": [
            {
                **row,
                "day_number": day_number(row["as_of_date"]),
                "region": "emea",
                "csm_id": "csm",
                "seats": 10,
                "mrr_amount": mrr,
                "arr_amount": 12 * mrr,
            }
            for row in _plain(world.spine)
        ],
        "int_health__scored_versions": _plain(world.scored_versions),
        "int_health__signals": _plain(world.signals),
        "int_health__source_coverage": _plain(world.source_coverage),
        "int_health__valid_crm_health_overrides": _plain(world.overrides),
        "int_health__valid_crm_accounts": [
            {"account_id": account_id, "segment": segment}
            for account_id, segment in {
                row["account_id"]: row["segment"] for row in _plain(world.spine)
            }.items()
        ],
        "int_health__usage_incidents": [],
        "event_metrics": [],
    }


def _plain(rows: Iterable[Any], **constants: Any) -> list[Row]:
    """Dataclass rows as dicts, with constant columns beside them."""
    return [{**vars(row), **constants} for row in rows]


# -- made-up worlds ------------------------------------------------------------------------------

CATEGORIES = ("usage", "support", "value")
METRICS = ("logins", "breadth", "depth", "tickets", "waiting", "goals")
SOURCES = ("product_usage", "support_tickets", "success_goals", "crm_accounts")
SEGMENTS = ("smb", "enterprise", None)
PLANS = ("starter", "growth", None)


def spine_dates(week_count: int, day_count: int) -> list[date]:
    """Sundays, then every day up to LAST_DATE: the cadence of a real history."""
    daily = [LAST_DATE - timedelta(days=back) for back in reversed(range(day_count))]
    last_sunday = daily[0] - timedelta(days=daily[0].isoweekday() % 7 or 7)
    weekly = [last_sunday - timedelta(days=7 * back) for back in reversed(range(week_count))]
    return weekly + daily


def shares(rng: random.Random, count: int) -> list[float]:
    """Weights that sum to 1 with six decimals, as a person would write them."""
    if rng.random() < 0.4:
        parts = [1_000_000 // count] * count
    else:
        cuts = sorted(rng.sample(range(1, 100), count - 1))
        parts = [10_000 * (to - since) for since, to in zip([0, *cuts], [*cuts, 100], strict=True)]
    if count > 1 and rng.random() < 0.1:
        parts[-1] = 0
    parts[0] += 1_000_000 - sum(parts)
    return [part / 1_000_000 for part in parts]


def random_anchor_points(rng: random.Random, direction: int) -> list[tuple[float, float]]:
    """One to five points in no order; direction 1 rises, -1 falls, 0 does as it likes."""
    count = rng.randint(1, 5)
    values = rng.sample([step / 2 for step in range(81)], count)
    scores = [rng.choice([0, 10, rng.randint(0, 20) / 2]) for _ in values]
    if direction:
        values.sort()
        scores.sort(reverse=direction < 0)
    points = [(float(value), float(score)) for value, score in zip(values, scores, strict=True)]
    rng.shuffle(points)
    return points


@dataclass(frozen=True)
class Shape:
    """How large a world is, and which of its parts are random."""

    account_count: int = 8
    week_count: int = 5
    day_count: int = 16
    version_count: int = 2
    is_monotone: bool = False
    is_complete: bool = False  # every metric known on every day
    has_churn_model: bool | None = None
    has_metric_knockouts: bool = False  # exceptions also by metrics that come and go


def random_world(rng: random.Random, shape: Shape = Shape()) -> oracle.World:
    """A whole world: policy versions, accounts with their signals, sources and overrides."""
    world = oracle.World()
    days = spine_dates(shape.week_count, shape.day_count)
    directions = {key: rng.choice([1, -1]) if shape.is_monotone else 0 for key in METRICS}
    for number in range(1, shape.version_count + 1):
        add_policy(rng, world, f"v{number}", directions, shape)
    add_scored_versions(rng, world, days)
    add_sources(rng, world, days, shape)
    for number in range(shape.account_count):
        add_account(rng, world, f"account {number}", days, shape)
    return world


def add_policy(
    rng: random.Random,
    world: oracle.World,
    version: str,
    directions: Mapping[str, int],
    shape: Shape,
) -> None:
    """One scoring version: two health scorecards and one beside them."""
    has_model = rng.random() < 0.4 if shape.has_churn_model is None else shape.has_churn_model
    model_version = "m1" if has_model else None
    world.versions.append(
        oracle.ScoringVersion(
            version,
            churn_model_version=model_version,
            status="champion" if version == f"v{shape.version_count}" else "retired",
        )
    )
    for metric_key in (*METRICS, oracle.CHURN, "cancel_notice"):
        direction = directions.get(metric_key, 0)
        add_metric(rng, world, version, metric_key, direction=direction, shape=shape)
    for scorecard_key, purpose in (("full", "health"), ("lean", "health"), ("grow", "expansion")):
        add_scorecard(rng, world, version, scorecard_key, purpose=purpose, shape=shape)
    world.rules += [
        oracle.ScorecardRule(version, 10, "lean", segment="smb", tenure_days_from=60),
        oracle.ScorecardRule(version, 20, "full", lifecycle_stage="onboarding"),
        oracle.ScorecardRule(version, 30, "lean", plan="starter"),
        oracle.ScorecardRule(version, 40, "full"),
        oracle.ScorecardRule(version, 110, "grow", lifecycle_stage="active", plan="growth"),
    ]
    world.bands += [
        oracle.Band(version, oracle.ANY, key, rank, bound)
        for rank, (key, bound) in enumerate(
            (("critical", 0), ("at_risk", 41), ("healthy", 61), ("thriving", 81)), start=1
        )
    ]
    if rng.random() < 0.5:
        world.bands += [
            oracle.Band(version, "lean", key, rank, bound)
            for rank, (key, bound) in enumerate(
                (("critical", 0), ("at_risk", 30), ("healthy", 70)), start=1
            )
        ]
    world.knockouts += [
        oracle.Knockout(version, oracle.ANY, "cancel_notice", ">=", 1, "critical", "cancelled"),
        oracle.Knockout(version, "grow", "cancel_notice", "<", 0.5, "at_risk", "not cancelled"),
        oracle.Knockout(version, "lean", "cancel_notice", "=", 0.5, "healthy", "perhaps"),
    ]
    if shape.has_metric_knockouts:
        world.knockouts += [
            oracle.Knockout(
                version,
                rng.choice(["full", "lean", "grow", oracle.ANY]),
                rng.choice([*METRICS, oracle.CHURN]),
                rng.choice([">=", ">", "<=", "<", "="]),
                rng.choice([0.0, 0.05, 2.0, 38.0]),
                rng.choice(["critical", "at_risk", "healthy"]),
                f"metric {number}",
            )
            for number in range(2)
        ]
    # "growth" is a plan: the segment's own rows come first
    for segment in (oracle.ANY, "smb", "growth"):
        for tenure in (rng.choice([0, 0, 0, 60]), 90):
            world.base_rates.append(
                oracle.ChurnBaseRate(
                    version, segment, tenure, rng.randint(1, 400) / 1000, rng.randint(1, 900)
                )
            )
    features = rng.sample(METRICS, 3)
    world.coefficients.append(
        oracle.ChurnCoefficient(version, "m1", oracle.INTERCEPT, rng.uniform(-3, 1))
    )
    world.coefficients += [
        oracle.ChurnCoefficient(
            version, "m1", key, rng.uniform(-2, 0.5), rng.uniform(2, 8), rng.uniform(0.5, 3)
        )
        for key in features
    ]


def add_metric(
    rng: random.Random,
    world: oracle.World,
    version: str,
    metric_key: str,
    *,
    direction: int,
    shape: Shape,
) -> None:
    """One metric with the anchor sets for any scorecard and, for some, for one of them."""
    position = METRICS.index(metric_key) if metric_key in METRICS else 0
    is_measured = metric_key in METRICS
    prior = rng.choice([None, 0.05]) if metric_key == oracle.CHURN else None
    world.metrics.append(
        oracle.Metric(
            scoring_version=version,
            metric_key=metric_key,
            category_key=CATEGORIES[position // 2] if is_measured else "churn_risk",
            source_key=SOURCES[position // 2] if is_measured else "crm_accounts",
            absence=rng.choice(["zero", "unknown"]) if is_measured else "unknown",
            stale_after_days=rng.choice([None, 3, 14]) if is_measured else None,
            due_after_tenure_days=(
                rng.choice([None, 30, 60]) if is_measured and not shape.is_complete else None
            ),
            interpolation=rng.choice(["linear", "linear", "step"]) if is_measured else "linear",
            prior_value=prior,
            prior_strength=None if prior is None else 50.0,
        )
    )
    if metric_key == oracle.CHURN:
        points = [(0.0, 10.0), (0.5, 0.0), (0.1, 6.0)]
        world.anchors += [
            oracle.Anchor(version, oracle.ANY, metric_key, 0, value, score)
            for value, score in points
        ]
        return
    sets = [(oracle.ANY, 0)]
    sets += [(oracle.ANY, 90)] if rng.random() < 0.5 else []
    sets += [("lean", 0)] if rng.random() < 0.3 else []
    sets += [("lean", 120)] if ("lean", 0) in sets and rng.random() < 0.5 else []
    for scorecard_key, tenure in sets:
        world.anchors += [
            oracle.Anchor(version, scorecard_key, metric_key, tenure, value, score)
            for value, score in random_anchor_points(rng, direction)
        ]


def add_scorecard(
    rng: random.Random,
    world: oracle.World,
    version: str,
    scorecard_key: str,
    *,
    purpose: str,
    shape: Shape,
) -> None:
    """A scorecard with weights for some or all metrics."""
    fall_points = rng.choice([None, 6.0, 15.0])
    world.scorecards.append(
        oracle.Scorecard(
            scoring_version=version,
            scorecard_key=scorecard_key,
            purpose=purpose,
            min_coverage=0.0 if shape.is_complete else rng.choice([0.0, 0.4, 0.5, 0.75]),
            hysteresis_points=rng.choice([0.0, 1.0, 2.5, 3.0, 8.0]),
            confirm_days=rng.choice([1, 2, 3, 7]),
            fall_points=fall_points,
            fall_days=None if fall_points is None else rng.choice([1, 2, 7]),
        )
    )
    chosen = [key for key in METRICS if scorecard_key == "full" or rng.random() < 0.6]
    chosen = chosen or [METRICS[0]]
    if scorecard_key != "grow" or rng.random() < 0.5:
        chosen.append(oracle.CHURN)
    by_category: dict[str, list[str]] = {}
    for metric in world.metrics:
        if metric.scoring_version == version and metric.metric_key in chosen:
            by_category.setdefault(metric.category_key, []).append(metric.metric_key)
    category_shares = shares(rng, len(by_category))
    for (category_key, members), share in zip(by_category.items(), category_shares, strict=True):
        world.category_weights.append(
            oracle.CategoryWeight(version, scorecard_key, category_key, share)
        )
        world.metric_weights += [
            oracle.MetricWeight(version, scorecard_key, metric_key, weight)
            for metric_key, weight in zip(members, shares(rng, len(members)), strict=True)
        ]


def add_scored_versions(rng: random.Random, world: oracle.World, days: Sequence[date]) -> None:
    """The last version takes over in mid-history and is also scored before."""
    champion = world.versions[-1]
    switch = rng.choice(days) if len(world.versions) > 1 else days[0]
    for day in days:
        in_force = champion if day >= switch else world.versions[-2]
        for version in world.versions:
            if version in (champion, in_force):
                world.scored_versions.append(
                    oracle.ScoredVersion(
                        as_of_date=day,
                        scoring_version=version.scoring_version,
                        is_in_force=version is in_force,
                        is_champion=version is champion,
                        churn_model_version=version.churn_model_version,
                    )
                )


def add_sources(
    rng: random.Random, world: oracle.World, days: Sequence[date], shape: Shape
) -> None:
    """What each source covers on each date: some are late, some stop, some are not connected."""
    for source_key in SOURCES:
        kind = "fine" if shape.is_complete or source_key == "crm_accounts" else rng.choice(
            ["fine", "fine", "late", "stopped", "stopped", "empty", "absent"]
        )  # fmt: skip
        turn = rng.choice(days)
        for day in days:
            available_from: date | None = days[0] - timedelta(days=400)
            available_to: date | None = day - timedelta(days=1)
            if kind == "late":
                available_from = turn if turn < day else None
                available_to = available_to if turn < day else None
            elif kind == "stopped":
                available_to = min(day - timedelta(days=1), turn)
            elif kind in ("empty", "absent"):
                available_from = available_to = None
            world.source_coverage.append(
                oracle.SourceCoverage(
                    source_key, day, kind != "absent", available_from, available_to
                )
            )


def add_account(
    rng: random.Random,
    world: oracle.World,
    account_id: str,
    days: Sequence[date],
    shape: Shape,
) -> None:
    """One account: its days on the spine, its signals, perhaps an override."""
    first = rng.choice([0, 0, 0, rng.randrange(len(days))])
    own_days = [
        day for day in days[first:] if shape.is_complete or rng.random() > 0.04
    ]  # fmt: skip
    tenure = rng.choice([1, 20, 55, 80, 110, 500])
    segment, plan = rng.choice(SEGMENTS), rng.choice(PLANS)
    level = {key: rng.random() for key in METRICS}
    drift, noise = rng.choice([-0.06, -0.02, 0, 0, 0.03]), rng.choice([0.02, 0.1, 0.3])
    silence = 0.0 if shape.is_complete else rng.choice([0.0, 0.1, 0.5])
    for day in own_days:
        if rng.random() < 0.02:
            segment, plan = rng.choice(SEGMENTS), rng.choice(PLANS)
        tenure_days = tenure + (day - days[0]).days
        world.spine.append(
            oracle.SpineDay(
                account_id=account_id,
                as_of_date=day,
                segment=segment,
                plan=plan,
                tenure_days=tenure_days,
                lifecycle_stage="onboarding" if tenure_days < 90 else "active",
            )
        )
        for key in METRICS:
            level[key] = min(1.0, max(0.0, level[key] + drift + rng.gauss(0, noise)))
            if rng.random() >= silence:
                value = 40 * level[key]
                add_signal(rng, world, account_id, day, key, value=value, shape=shape)
        if not shape.is_complete and rng.random() < 0.1:
            value = rng.choice([0.0, 0.5, 1.0])
            add_signal(rng, world, account_id, day, "cancel_notice", value=value, shape=shape)
    if not shape.is_complete and rng.random() < 0.4:
        for number in range(rng.randint(1, 2)):
            since = datetime.combine(rng.choice(days), datetime.min.time())
            since += timedelta(hours=rng.choice([-30, -1, 0, 1]))
            world.overrides.append(
                oracle.Override(
                    override_id=f"{account_id}/{number}",
                    account_id=account_id,
                    band_key=rng.choice(["critical", "at_risk", "healthy"]),
                    reason=f"reason {number}",
                    author_id="csm",
                    created_at=since,
                    expires_at=since + timedelta(days=rng.randint(1, 20)),
                )
            )


def add_signal(
    rng: random.Random,
    world: oracle.World,
    account_id: str,
    day: date,
    metric_key: str,
    *,
    value: float,
    shape: Shape,
) -> None:
    """The same signal for every version that is scored on that day."""
    state = "observed"
    if not shape.is_complete:
        states = ["observed", "not_applicable", "not_yet_due", "unknown"]
        state = rng.choices(states, [90, 4, 3, 3])[0]
    # every other value lies on the grid of the anchors
    rounded = round(2 * value) / 2 if rng.random() < 0.5 else round(value, 3)
    age = timedelta(days=0 if shape.is_complete else rng.choice([0, 1, 2, 3, 4, 14, 15]), hours=-1)
    is_observed = state == "observed"
    for scored in world.scored_versions:
        if scored.as_of_date == day:
            world.signals.append(
                oracle.Signal(
                    account_id=account_id,
                    as_of_date=day,
                    scoring_version=scored.scoring_version,
                    metric_key=metric_key,
                    metric_value=rounded if is_observed else None,
                    observed_at=datetime.combine(day, datetime.min.time()) - age,
                    sample_size=rng.randint(1, 9) if is_observed else None,
                    value_state=state,
                )
            )
