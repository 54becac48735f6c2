"""Tables and views on DuckDB replace the old one, or leave it as it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from customer_health import dbt
from customer_health.dbt import Outcome
from customer_health.progress import Reporter
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
Build = Callable[[str], Outcome]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Builds the one model of a small project from the given text."""
    project = {
        "name": "customer_health",
        "version": "1.0.0",
        "profile": "small",
        "macro-paths": [str(PROJECT_DIR / "macros" / "materializations")],
    }
    (tmp_path / "dbt_project.yml").write_text(json.dumps(project))
    output = {"type": "duckdb", "path": "{{ env_var('CUSTOMER_HEALTH_HOME') }}/build.duckdb"}
    profile = {"small": {"target": "dev", "outputs": {"dev": output}}}
    (tmp_path / "profiles.yml").write_text(json.dumps(profile))
    (tmp_path / "models").mkdir()
    settings = Settings.resolve(tmp_path, tmp_path / "home", environ={})
    settings.prepare()

    def one_build(model: str) -> Outcome:
        (tmp_path / "models" / "things.sql").write_text(model)
        return dbt.run_dbt(
            settings,
            "build",
            variables={},
            run_dir=tmp_path / f"run{len(list(tmp_path.glob('run*')))}",
            reporter=Reporter(Console(stderr=True), quiet=True),
        )

    return one_build


def there_is(folder: Path) -> list[tuple[str, str, list[int]]]:
    """Name, type and rows of every relation of the schema."""
    with duckdb.connect(str(folder / "home" / "build.duckdb")) as connection:
        found = connection.execute(
            "select table_name, table_type from information_schema.tables order by all"
        ).fetchall()
        return [
            (name, kind, [each for (each,) in connection.sql(f"from {name} order by 1").fetchall()])
            for name, kind in found
        ]


def things(kind: str, values: str, hook: str = "") -> str:
    """A model of one column."""
    configured = f"{{{{ config(materialized='{kind}'{hook}) }}}}\n"
    return f"{configured}select thing from (values {values}) as things (thing)"


@pytest.mark.parametrize(("kind", "type_name"), [("table", "BASE TABLE"), ("view", "VIEW")])
def test_the_old_one_is_replaced(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, type_name: str
) -> None:
    """Nothing else is left, nothing was renamed, and a second type takes the place of the first."""
    monkeypatch.setenv("DBT_LOG_LEVEL_FILE", "debug")
    other = {"table": "view", "view": "table"}[kind]
    for first, values in ((kind, "(1), (2)"), (kind, "(3)"), (other, "(4)"), (kind, "(5)")):
        build(things(first, values)).require_success(tmp_path)
        ((name, found, rows),) = there_is(tmp_path)
        assert (name, rows) == ("things", [int(each.strip("() ")) for each in values.split(",")])
        assert (found == type_name) == (first == kind)
    logged = "".join(log.read_text() for log in tmp_path.glob("run*/dbt.log")).lower()
    assert f"drop {kind} " in logged and "rename" not in logged


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        ("table", "(cast('none' as integer))"),  # fails when its rows are made
        ("table", "(no_such_column)"),
        ("view", "(no_such_column)"),
    ],
)
def test_a_model_that_fails_leaves_the_old_one(
    build: Build, tmp_path: Path, kind: str, broken: str
) -> None:
    build(things(kind, "(1)")).require_success(tmp_path)
    before = there_is(tmp_path)
    (node,) = build(things(kind, broken)).nodes
    assert node.status == "error"
    assert there_is(tmp_path) == before != []


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_hook_that_fails_leaves_the_old_one(build: Build, tmp_path: Path, kind: str) -> None:
    """Hooks after the statement belong to its transaction."""
    build(things(kind, "(1)")).require_success(tmp_path)
    before = there_is(tmp_path)
    (node,) = build(things(kind, "(2)", hook=", post_hook='select no_such_column'")).nodes
    assert node.status == "error"
    assert there_is(tmp_path) == before != []
