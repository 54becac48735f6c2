"""The project of integration_tests/ in a copy per scenario, with raw tables and dbt builds."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import yaml
from forked import run_module

from customer_health import demo
from customer_health.dbt import release_connections
from customer_health.settings import RAW_TABLES

REPO = Path(__file__).resolve().parents[2]
STRANGER = REPO / "integration_tests"
AS_OF, NEXT_DAY = "2026-06-29", "2026-06-30"
LEFT_BEHIND = ("dbt_packages", "target", "logs", "warehouse", "package-lock.yml")
# What dbt would write into the databases for itself, and DuckDB has anyway.
OWN_SCHEMAS = {"information_schema", "pg_catalog", "main"}
Rows = dict[str, list[str]]


@dataclass(frozen=True)
class Scenario:
    """One deployment of scenarios.yml."""

    name: str
    intent: str
    raw: tuple[str, ...]
    variables: dict[str, Any]
    project: dict[str, Any]
    expect: dict[str, Any] = field(default_factory=dict)

    @property
    def raw_schema(self) -> str:
        """Schema of the raw tables."""
        return str(self.variables.get("customer_health__raw_schema", "raw"))


def scenarios() -> dict[str, Scenario]:
    """All scenarios by name.

    Raises:
        ValueError: for a key or a raw table that does not exist.
    """
    written = yaml.safe_load((STRANGER / "scenarios.yml").read_text(encoding="utf-8"))
    return {name: _scenario(name, content) for name, content in written.items()}


def _scenario(name: str, content: Mapping[str, Any]) -> Scenario:
    unknown = content.keys() - {"intent", "raw", "switched_off", "vars", "project", "expect"}
    if unknown:
        raise ValueError(f"scenario {name}: unknown key {', '.join(sorted(unknown))}")
    raw = tuple(RAW_TABLES) if content["raw"] == "all" else tuple(content["raw"])
    if set(raw) - RAW_TABLES.keys():
        raise ValueError(f"scenario {name}: no raw table of the contract among {raw}")
    off: Sequence[str] = content.get("switched_off", [])
    if off == "others":
        off = [table for table in RAW_TABLES if table not in raw]
    switches = {f"customer_health__using_{table}": False for table in off}
    return Scenario(
        name,
        content["intent"],
        raw,
        switches | content.get("vars", {}),
        content.get("project", {}),
        content.get("expect", {}),
    )


def make_raw_tables(folder: Path) -> Path:
    """Parquet files of a company of 40 accounts; the folder of them."""
    demo.generate(folder, accounts=40, days=200, events=3_000)
    return folder


def install(folder: Path) -> Path:
    """A copy of the stranger's project into which `dbt deps` has installed the package."""
    project = folder / "acme"
    shutil.copytree(STRANGER, project, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    install_package(project, REPO)
    return project


def install_package(project: Path, package: Path) -> None:
    """Let `dbt deps` put a package (in place of another) into a project."""
    shutil.rmtree(project / "dbt_packages", ignore_errors=True)
    (project / "package-lock.yml").unlink(missing_ok=True)
    (project / "packages.yml").write_text(f"packages:\n  - local: {package}\n", encoding="utf-8")
    dbt = Path(sys.executable).with_name("dbt")
    subprocess.run([str(dbt), "--quiet", "deps"], cwd=project, check=True)


def merged(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`: mappings are merged, anything else is replaced."""
    found = dict(below)
    for key, value in above.items():
        old = found.get(key)
        found[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return found


class Deployment:
    """A scenario's own copy of the installed project, a home with raw tables, and dbt in it."""

    def __init__(self, scenario: Scenario, installed: Path, folder: Path) -> None:
        self.scenario = scenario
        self.project = folder / "project"
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        shutil.copytree(installed, self.project, symlinks=True)
        self.schema = "acme"
        self.write_project(scenario.project | {"vars": scenario.variables})

    def write_project(self, overlay: Mapping[str, Any]) -> None:
        """Lay something over dbt_project.yml."""
        path = self.project / "dbt_project.yml"
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
        path.write_text(yaml.safe_dump(merged(written, overlay)), encoding="utf-8")

    def land(self, parquet: Path, condition: str = "true", schema: str | None = None) -> None:
        """Raw tables of the scenario, only of accounts for which the condition holds."""
        schema = schema or self.scenario.raw_schema
        with self.landing() as connection:
            connection.execute(f"create schema {schema}")
            for table in self.scenario.raw:
                read = f"from read_parquet('{parquet / table}/*.parquet')"
                names = connection.execute(f"describe select * {read}").fetchall()
                where = condition if "account_id" in {name for name, *_ in names} else "true"
                connection.execute(
                    f"create table {schema}.{table} as select * {read} where {where}"
                )

    @contextmanager
    def landing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The raw tables, to be written."""
        with duckdb.connect(str(self.home / "landing.duckdb")) as connection:
            yield connection

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """What the profile reads."""
        wanted = {"CUSTOMER_HEALTH_HOME": str(self.home), "ACME_SCHEMA": self.schema}
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield {**os.environ, **wanted}
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def dbt(self, *arguments: str, as_of: str = AS_OF, **variables: Any) -> Any:
        """The answer of one dbt command."""
        from dbt.cli.main import dbtRunner

        given = {"customer_health__as_of_date": as_of} | variables
        folder = Path.cwd()
        with self.environment():
            answer = dbtRunner().invoke(
                [
                    "--quiet",
                    "--log-level",
                    "none",
                    *arguments,
                    *("--project-dir", str(self.project), "--profiles-dir", str(self.project)),
                    *("--target-path", str(self.home / "target"), "--log-path", str(self.home)),
                    *("--vars", json.dumps(given)),
                ]
            )
            release_connections()
        os.chdir(folder)
        return answer

    def build(self, as_of: str = AS_OF, *arguments: str, **variables: Any) -> dict[str, str]:
        """`dbt build`, all green; unique id -> status of what ran."""
        answer = self.dbt("build", *arguments, as_of=as_of, **variables)
        ran = getattr(answer.result, "results", None) or []
        bad = [
            f"{each.node.name}: {each.message}"
            for each in ran
            if str(each.status) not in {"success", "pass", "no-op"}
        ]
        assert answer.success, (str(answer.exception), bad[:5])
        assert not bad
        return {each.node.unique_id: str(each.status) for each in ran}

    def manifest(self) -> dict[str, Any]:
        """What dbt wrote about the project."""
        return dict(json.loads((self.home / "target" / "manifest.json").read_text()))

    def health(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `customer-health` in the project."""
        with self.environment() as environment:
            more = {"PYTHONPATH": str(REPO)}
            return run_module(
                "customer_health", arguments, cwd=self.project, env={**environment, **more}
            )

    @contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """All files of the deployment, for reading; the marts under the name `marts`."""
        with duckdb.connect(":memory:") as connection:
            for path in sorted(self.home.glob("*.duckdb")):
                name = "marts" if path.stem == "candidate" else path.stem
                connection.execute(f"attach '{path}' as {name} (read_only)")
            yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows; `{marts}` is the schema of the marts, with its database."""
        node = self.node("fct_health__account_scores")
        marts = f'{node["database"]}."{node["schema"]}"'
        with self.warehouse() as connection:
            return connection.execute(sql.replace("{marts}", marts)).fetchall()

    def node(self, name: str, package: str = "customer_health") -> dict[str, Any]:
        """A node of the manifest."""
        [found] = [
            node
            for node in self.manifest()["nodes"].values()
            if node["name"] == name and node["package_name"] == package
        ]
        return dict(found)

    def rows(self, *left_out: str) -> Rows:
        """Rows of all public marts as text, in a fixed order, by name of the mart."""
        nodes = [
            node
            for node in self.manifest()["nodes"].values()
            if node["package_name"] == "customer_health"
            and node["resource_type"] == "model"
            and node["config"]["access"] == "public"
            and node["name"] not in left_out
        ]
        with self.warehouse() as connection:
            return {
                node["name"]: sorted(
                    map(
                        repr,
                        connection.execute(
                            f'from {node["database"]}."{node["schema"]}"."{node["alias"]}"'
                        ).fetchall(),
                    )
                )
                for node in nodes
                if node["config"]["materialized"] != "view"
            }

    def places(self) -> set[tuple[str, str]]:
        """Databases and schemas that hold tables or views."""
        with self.warehouse() as connection:
            found = connection.execute(
                "select distinct database_name, schema_name from duckdb_tables() union "
                "select distinct database_name, schema_name from duckdb_views() where not internal"
            ).fetchall()
        return {(database, schema) for database, schema in found if database != "landing"}
