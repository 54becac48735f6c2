"""Compiles the project for an engine without a server, and answers what dbt asks the database.

    python tests/dialects/harness.py snowflake /tmp/out

Runs in an environment with the adapter of the engine (`make test-dialects` makes it), one process
per engine. dbt compiles as it does for a user, but with all connectors enabled; only three
questions are answered here: which columns a raw table has (those of the input contract, or those
that a connector reads of a vendor's table, in a chosen form), which relations exist (none, or all
that earlier runs left), and which date was built last.

Below the output folder, one SQL file per node and form: `first_run_text` (a first run over raw
tables that are all text), `next_run_zoned` and `next_run_naive` (a later run over typed raw tables
whose instants carry a zone, or none). Hooks are rendered as well.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

PROJECT_DIR = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(PROJECT_DIR), str(PROJECT_DIR / "tests")]
LAST_DATE = "2026-06-29"
SPINE_DAYS = 541
VARIABLES = (
    '{customer_health__as_of_date: "2026-06-30", customer_health__using_product_usage_daily: true, '
    "customer_health__naive_timezone: Europe/Vienna}"
)

# What the profiles read, since no server is asked any value does.
ENVIRONMENT = {
    name: "example"
    for name in (
        "SNOWFLAKE_ACCOUNT",
        "SNOWFLAKE_USER",
        "DBT_ENV_SECRET_SNOWFLAKE_PASSWORD",
        "GOOGLE_CLOUD_PROJECT",
        "DATABRICKS_HOST",
        "DBT_ENV_SECRET_DATABRICKS_TOKEN",
        "REDSHIFT_HOST",
        "REDSHIFT_USER",
        "DBT_ENV_SECRET_REDSHIFT_PASSWORD",
        "CUSTOMER_HEALTH_POSTGRES_USER",
        "CUSTOMER_HEALTH_POSTGRES_DATABASE",
    )
} | {"DATABRICKS_HTTP_PATH": "/sql/1.0/warehouses/0000000000000000"}


@dataclass(frozen=True)
class Engine:
    """An engine as the harness knows it.

    Attributes:
        name: target of the profile and name of the adapter.
        dialect: name of the dialect in sqlglot.
        is_cloud: whether tests/dialects/profiles.yml has its profile, and not the project's own.
        types: raw types as the engine names them: text, zoned and naive instants, whole numbers,
            floats, flags, dates.
    """

    name: str
    dialect: str
    is_cloud: bool
    types: dict[str, str]


def _types(text: str, zoned: str, naive: str, integer: str, double: str) -> dict[str, str]:
    return {
        "text": text,
        "zoned": zoned,
        "naive": naive,
        "integer": integer,
        "double": double,
        "boolean": "boolean",
        "date": "date",
    }


ENGINES = {
    engine.name: engine
    for engine in (
        Engine(
            "snowflake",
            "snowflake",
            True,
            _types("VARCHAR", "TIMESTAMP_TZ", "TIMESTAMP_NTZ", "NUMBER", "FLOAT"),
        ),
        Engine(
            "bigquery",
            "bigquery",
            True,
            _types("STRING", "TIMESTAMP", "DATETIME", "INT64", "FLOAT64"),
        ),
        Engine(
            "databricks",
            "databricks",
            True,
            _types("string", "timestamp", "timestamp_ntz", "bigint", "double"),
        ),
        Engine(
            "redshift",
            "redshift",
            True,
            _types(
                "character varying",
                "timestamp with time zone",
                "timestamp without time zone",
                "bigint",
                "double precision",
            ),
        ),
        Engine(
            "postgres",
            "postgres",
            False,
            _types(
                "text",
                "timestamp with time zone",
                "timestamp without time zone",
                "bigint",
                "double precision",
            ),
        ),
        Engine(
            "spark",
            "spark",
            False,
            _types("string", "timestamp", "timestamp_ntz", "bigint", "double"),
        ),
    )
}


@dataclass(frozen=True)
class Form:
    """What the raw tables and the warehouse look like in one compilation.

    Attributes:
        name: folder of the compiled files.
        instants: how raw instants are kept: text, zoned or naive.
        has_history: whether earlier runs left their tables.
    """

    name: str
    instants: str
    has_history: bool


FORMS = (
    Form("first_run_text", "text", False),
    Form("next_run_zoned", "zoned", True),
    Form("next_run_naive", "naive", True),
)


def compile_project(engine: Engine, form: Form, output: Path) -> list[Path]:
    """Compile every model, test and hook of the project.

    Args:
        engine: for which engine.
        form: what the warehouse looks like.
        output: folder; the files of an earlier compilation are removed.

    Returns:
        The compiled files, `<node>.sql` and `<node>.hook_<n>.sql`.

    Raises:
        SystemExit: where dbt cannot compile, with its messages.
    """
    from all_connectors import copy_project
    from dbt.adapters.factory import get_adapter_class_by_name, load_plugin
    from dbt.cli.main import dbtRunner
    from dbt.task.compile import CompileRunner

    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    load_plugin(engine.name)
    adapter_class = get_adapter_class_by_name(engine.name)
    profiles = Path(__file__).parent if engine.is_cloud else PROJECT_DIR
    project = output.parent / "project"  # the same for all forms, so that it is parsed once
    if not project.exists():
        copy_project(project)
    messages: list[str] = []
    with (
        mock.patch.dict(os.environ, ENVIRONMENT),
        mock.patch.object(adapter_class, "get_columns_in_relation", _raw_columns(engine, form)),
        mock.patch.object(adapter_class, "get_relation", _relations(form)),
        mock.patch.object(adapter_class, "execute", _rows),
        mock.patch.object(adapter_class.ConnectionManager, "open", _open),
        mock.patch.object(
            CompileRunner, "compile", _compile_and_write(CompileRunner.compile, output)
        ),
    ):
        runner = dbtRunner(callbacks=[_collect(messages)])
        result = runner.invoke(
            [
                "compile",
                "--quiet",
                "--no-populate-cache",
                *(("--select", "resource_type:model") if form.has_history else ()),
                *("--project-dir", str(project), "--profiles-dir", str(profiles)),
                *("--profile", "customer_health", "--target", engine.name, "--threads", "2"),
                *("--target-path", str(output.parent / "target")),
                *("--log-path", str(output.parent / "logs")),
                *("--vars", VARIABLES),
            ]
        )
    if not result.success:
        reason = [str(result.exception)] if result.exception else messages
        raise SystemExit(f"{engine.name}, {form.name}: " + "\n".join(reason))
    return sorted(output.glob("*.sql"))


def _compile_and_write(compile_node: Callable[..., Any], output: Path) -> Callable[..., Any]:
    """dbt's compilation of one node that also renders its hooks, and writes both."""
    from dbt.clients.jinja import get_rendered
    from dbt.context.providers import generate_runtime_model_context

    def compile_one(runner: Any, manifest: Any) -> Any:
        node = compile_node(runner, manifest)
        name = node.alias if node.resource_type == "test" else node.name
        statements = {name: node.compiled_code or ""}
        context = generate_runtime_model_context(node, runner.config, manifest)
        for kind in ("pre_hook", "post_hook"):
            for number, hook in enumerate(getattr(node.config, kind, [])):
                statements[f"{name}.{kind}_{number}"] = get_rendered(hook.sql, context, node)
        if node.config.get("contract") and node.config.contract.enforced:
            columns = get_rendered("{{ get_table_columns_and_constraints() }}", context, node)
            statements[f"{name}.table"] = f"create table {node.alias} {columns}"
            empty = get_rendered("{{ get_empty_schema_sql(model['columns']) }}", context, node)
            statements[f"{name}.contract"] = empty
        for statement, sql in statements.items():
            if sql.strip():
                (output / f"{statement}.sql").write_text(sql.strip() + "\n", encoding="utf-8")
        return node

    return compile_one


def _open(*arguments: Any) -> Any:
    """Stands for the adapter's log-in; called with the connection, by some after the class."""
    connection = arguments[-1]
    connection.state = "open"
    connection.handle = mock.MagicMock()
    return connection


def _collect(messages: list[str]) -> Callable[[Any], None]:
    """A callback that keeps dbt's errors."""

    def keep(event: Any) -> None:
        if event.info.level == "error":
            messages.append(event.info.msg)

    return keep


def _raw_columns(engine: Engine, form: Form) -> Callable[..., list[Any]]:
    """The adapter's answer to `which columns has this relation`: those of the input contract."""
    contract = input_contract()
    vendors = vendor_tables()

    def columns(adapter: Any, relation: Any, *_: Any, **__: Any) -> list[Any]:
        listed = vendors.get((relation.schema, relation.identifier))
        if listed is None:
            listed = contract[relation.identifier]
        names = {name: _raw_type(engine, form, kind) for name, kind in listed}
        names["loaded_at"] = _raw_type(engine, form, "timestamp")
        return [adapter.Column(name, type_) for name, type_ in names.items()]

    return columns


def _raw_type(engine: Engine, form: Form, kind: str) -> str:
    """The type of a raw column in a form, as the engine names it."""
    if form.instants == "text":
        return engine.types["text"]
    if kind == "timestamp":
        return engine.types[form.instants]
    return engine.types[kind if kind in engine.types else "text"]


def _relations(form: Form) -> Callable[..., Any]:
    """The adapter's answer to `is there such a relation`; vendors' tables always are."""
    vendors = vendor_tables()

    def relation(adapter: Any, database: str | None, schema: str, identifier: str, **_: Any) -> Any:
        if not form.has_history and (schema, identifier) not in vendors:
            return None
        return adapter.Relation.create(
            database=database,
            schema=schema,
            identifier=identifier,
            type="table",
        )

    return relation


def _rows(adapter: Any, sql: str, *_: Any, **__: Any) -> tuple[Any, Any]:
    """The adapter's answer to a query: the last built date, or the days of dbt's date spine."""
    import agate
    from dbt.adapters.contracts.connection import AdapterResponse

    asks_for_date = "max(as_of_date)" in sql
    kind = agate.Text() if asks_for_date else agate.Number()
    value = LAST_DATE if asks_for_date else SPINE_DAYS
    return AdapterResponse("OK"), agate.Table([[value]], ["answer"], [kind])


def input_contract() -> dict[str, list[tuple[str, str]]]:
    """Name and kind of the columns per raw table, read from the macro that is the contract."""
    import jinja2

    text = (PROJECT_DIR / "macros/sources/input_contract.sql").read_text(encoding="utf-8")
    environment = jinja2.Environment(extensions=["jinja2.ext.do"])
    caught: dict[str, Any] = {}
    module = environment.from_string(text).make_module({"return": caught.update})
    module.input_contract()  # type: ignore[attr-defined]
    return {
        table: [(name, kind) for name, kind, _ in described["columns"]]
        for table, described in caught.items()
    }


def vendor_tables() -> dict[tuple[str, str], list[tuple[str, str]]]:
    """Schema and table to name and kind of the columns that connectors read of it."""
    from customer_health.setup.catalogue import connectors

    found: dict[tuple[str, str], dict[str, str]] = {}
    for vendor, connector in connectors().items():
        for table in (each for tables in connector.tables.values() for each in tables):
            columns = found.setdefault((vendor, table.name), {})
            for column in table.columns:
                for name in column.names[:1]:
                    # a key of a document makes the document a text
                    kind = "text" if "." in name else column.kind
                    columns.setdefault(name.split(".")[0].lower(), kind)
    return {place: list(columns.items()) for place, columns in found.items()}


def main(arguments: list[str]) -> int:
    """Compile for one engine in all forms."""
    name, folder = arguments
    for form in FORMS:
        files = compile_project(ENGINES[name], form, Path(folder) / form.name)
        print(f"{name}, {form.name}: {len(files)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
