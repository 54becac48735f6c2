"""Runs the validation SQL of the dbt project on made-up rows, without building the project.

The models are compiled once per test process. `ValidationDatabase.run` takes rows by the name of a
model or seed, builds the models between them and the targets in an in-memory DuckDB and leaves the
results to be read with `rows`:

    database = ValidationDatabase()
    database.run({"val_health__observations": rows, ...}, "val_health__discrimination")
    database.rows("val_health__discrimination")

Seeds that are not given are read from their files. Columns that a given row lacks are null. Types
come from the contract of a mart, from the seed's configuration, or from COLUMN_TYPES.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

PROJECT_DIR = Path(__file__).resolve().parents[2]
RUN_DATE = date(2026, 6, 30)
FOLDERS = ("models/intermediate/validation", "models/marts/validation", "models/marts/bi")

# Columns of models without a contract, where their name says the type.
COLUMN_TYPES: Mapping[str, str] = {
    "account_id": "text",
    "as_of_date": "date",
    "day_number": "bigint",
    "is_sunday": "boolean",
    "scoring_version": "text",
    "scorecard_key": "text",
    "purpose": "text",
    "lead_days": "integer",
    "horizon_days": "integer",
    "is_headline": "boolean",
    "is_in_force": "boolean",
    "is_out_of_time": "boolean",
    "segment": "text",
    "plan": "text",
    "lifecycle_stage": "text",
    "tenure_days": "bigint",
    "arr_amount": "double",
    "health_score": "bigint",
    "health_score_exact": "double",
    "score_without_churn_risk": "double",
    "raw_band": "text",
    "band": "text",
    "band_rank": "bigint",
    "churn_probability": "double",
    "coverage": "double",
    "is_churned": "integer",
    "is_contracted": "integer",
    "is_renewed": "integer",
    "is_expanded": "integer",
    "predictor_kind": "text",
    "predictor_key": "text",
    "predictor_value": "double",
    "outcome": "text",
    "outcome_date": "date",
    "notice_date": "date",
    "is_involuntary": "boolean",
    "category_key": "text",
    "metric_key": "text",
    "metric_score": "double",
    "metric_value": "double",
    "category_score": "double",
    "value_state": "text",
    "starts_on": "date",
    "ends_on": "date",
    "cancel_requested_on": "date",
    "champion_version": "text",
    "challenger_version": "text",
    "champion_score": "double",
    "challenger_score": "double",
    "band_since_date": "date",
    "churn_probability_method": "text",
    "category_weight": "double",
    "metric_weight": "double",
    "usage_date": "date",
    "event_name": "text",
    "event_count": "bigint",
    "duration_seconds": "double",
    "feature_key": "text",
    "has_outcome": "boolean",
    "is_key_success_event": "boolean",
    "is_integration": "boolean",
    "source_key": "text",
    "absence": "text",
    "stale_after_days": "integer",
    "due_after_tenure_days": "integer",
    "interpolation": "text",
    "loaded_at": "timestamp",
}

Row = dict[str, Any]


@functools.cache
def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A home without any data, gone when the test process ends."""
    folder = tempfile.TemporaryDirectory(prefix="validation-")
    duckdb.connect(str(Path(folder.name) / "landing.duckdb")).close()
    return folder


def compile_with_dbt(*arguments: str) -> str:
    """Run `dbt compile` in the scratch folder and return what it prints.

    Raises RuntimeError with dbt's output when it fails.
    """
    home = Path(scratch_folder().name)
    command = [
        sys.executable, "-c", "from dbt.cli.main import cli; cli()", "compile", "--quiet",
        "--project-dir", str(PROJECT_DIR), "--profiles-dir", str(PROJECT_DIR),
        "--target-path", str(home / "target"), "--log-path", str(home / "logs"),
        "--vars", json.dumps({"customer_health__as_of_date": RUN_DATE.isoformat()}),
        *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "CUSTOMER_HEALTH_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"dbt compile failed:\n{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def compiled_nodes() -> Mapping[str, Mapping[str, Any]]:
    """Models and seeds of the manifest by their names, the models of FOLDERS compiled."""
    compile_with_dbt("--select", *(f"path:{folder}" for folder in FOLDERS))
    path = Path(scratch_folder().name) / "target" / "manifest.json"
    nodes = json.loads(path.read_text("utf-8"))["nodes"]
    return {
        node["name"]: node for node in nodes.values() if node["resource_type"] in ("model", "seed")
    }


def compiled_sql(jinja: str) -> str:
    """SQL of a piece of Jinja, such as the call of a macro."""
    printed = compile_with_dbt("--inline", jinja, "--output", "json")
    return str(json.loads(printed)["compiled"])


class ValidationDatabase:
    """An in-memory DuckDB with the catalogs of a real run, filled and built by `run`."""

    def __init__(self, threads: int = 1) -> None:
        self.connection = duckdb.connect(config={"threads": threads})
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("set preserve_insertion_order = false")
        relations = {node["relation_name"] for node in compiled_nodes().values()} - {None}
        schemas = {tuple(relation.replace('"', "").split(".")[:2]) for relation in relations}
        for catalog in sorted({catalog for catalog, _ in schemas}):
            self.connection.execute(f"attach ':memory:' as {catalog}")
        for catalog, schema in sorted(schemas):
            self.connection.execute(f"create schema if not exists {catalog}.{schema}")

    def close(self) -> None:
        """Release the database."""
        self.connection.close()

    def run(self, given: Mapping[str, Sequence[Row]], *targets: str) -> None:
        """Load the given rows, then build the targets and every model that stands between.

        given: rows by the name of a model or seed.
        Raises RuntimeError when a target reads a model that is neither given nor in FOLDERS.
        """
        done: set[str] = set()
        for name, rows in given.items():
            self.load(name, rows)
            done.add(name)

        def visit(name: str) -> None:
            if name in done:
                return
            done.add(name)
            node = compiled_nodes()[name]
            if node["resource_type"] == "seed":
                self._load_seed_file(node)
                return
            if not node.get("compiled_code"):
                raise RuntimeError(f"{name} is read: give rows for it")
            for parent in node["depends_on"]["nodes"]:
                visit(parent.split(".")[-1])
            self.connection.execute(
                f"create or replace table {node['relation_name']} as {node['compiled_code']}"
            )

        for target in targets:
            visit(target)

    def load(self, name: str, rows: Sequence[Row]) -> None:
        """Replace the table of a model or seed by rows.

        Raises ValueError for a column whose type nobody knows.
        """
        types = column_types(name, rows)
        arrow = pa.table({column: [row.get(column) for row in rows] for column in types})
        casts = ", ".join(f'cast("{name}" as {kind}) as "{name}"' for name, kind in types.items())
        self.connection.register("loaded_rows", arrow)
        relation = compiled_nodes()[name]["relation_name"]
        self.connection.execute(
            f"create or replace table {relation} as select {casts} from loaded_rows"
        )
        self.connection.unregister("loaded_rows")

    def rows(self, name: str) -> list[Row]:
        """All rows of a model, in no order."""
        relation = compiled_nodes()[name]["relation_name"]
        result = self.connection.execute(f"select * from {relation}")
        names = [column[0] for column in result.description]
        return [dict(zip(names, values, strict=True)) for values in result.fetchall()]

    def _load_seed_file(self, node: Mapping[str, Any]) -> None:
        """Fill the table of a seed from its file, empty cells as null."""
        path = PROJECT_DIR / node["original_file_path"]
        kinds = node["config"]["column_types"]
        casts = ", ".join(f'cast("{column}" as {kind}) as "{column}"' for column, kind in
                          kinds.items())  # fmt: skip
        self.connection.execute(
            f"create or replace table {node['relation_name']} as select {casts} "
            f"from read_csv('{path}', header = true, all_varchar = true)"
        )


def column_types(name: str, rows: Iterable[Row]) -> dict[str, str]:
    """Column types of a table by column: declared ones, then those of COLUMN_TYPES.

    Raises ValueError for a column whose type nobody knows.
    """
    node = compiled_nodes()[name]
    declared = {
        column["name"]: column["data_type"]
        for column in node["columns"].values()
        if column.get("data_type")
    }
    types = {**declared, **(node["config"].get("column_types") or {})}
    columns = list(types) or list(node["columns"])
    for column in (*columns, *(key for row in rows for key in row)):
        if column not in types:
            if column not in COLUMN_TYPES:
                raise ValueError(f"{name}: say the type of {column} in COLUMN_TYPES")
            types[column] = COLUMN_TYPES[column]
    return types
