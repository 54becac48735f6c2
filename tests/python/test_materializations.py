"""Tables and views on DuckDB replace the old one, or leave it as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import yaml
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
        "macro-paths": [
            str(PROJECT_DIR / "macros" / folder)
            for folder in ("materializations", "guards", "portability")
        ],
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


def test_hooks_that_are_not_run_are_nothing_on_duckdb(build: Build, tmp_path: Path) -> None:
    """All hooks of the project are among them: whoever adds one looks here."""
    macro = PROJECT_DIR / "macros" / "materializations" / "hooks_with_work.sql"
    hooks = re.findall(r"'(\{\{ [^']+ \}\})'", macro.read_text())
    models = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["models"]
    configured = models["customer_health"]
    assert sorted(hooks) == sorted([*configured["+pre-hook"], configured["+post-hook"]])
    build(f"select length('{''.join(hooks)}') as thing").require_success(tmp_path)
    assert there_is(tmp_path) == [("things", "VIEW", [0])]


def test_templates_of_an_earlier_run_are_not_compiled_again(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compiled: list[str]
) -> None:
    monkeypatch.setenv(dbt.PARSED_VARIABLE, str(tmp_path / "shared"))
    build(things("table", "(1)")).require_success(tmp_path)
    assert compiled
    compiled.clear()
    build(things("table", "(1)")).require_success(tmp_path)
    assert not compiled
    build(things("table", "(2)")).require_success(tmp_path)
    assert compiled


# -- incremental -----------------------------------------------------------------------------------
def appended(select: str, **config: str) -> str:
    """An incremental model that appends what `select` gives and takes out 2 ahead of it."""
    hook = '"{% if is_incremental() %} delete from {{ this }} where thing = 2 {% endif %}"'
    settings = {
        "materialized": "'incremental'",
        "incremental_strategy": "'append'",
        "pre_hook": hook,
        **config,
    }
    configured = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{{{{ config({configured}) }}}}\n{select}"


TWO = "select thing from (values (1), (2)) as things (thing)"


def test_new_rows_are_appended_without_a_table_between(
    build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_LOG_LEVEL_FILE", "debug")
    build(appended(TWO)).require_success(tmp_path)
    build(appended("select 3 as thing")).require_success(tmp_path)
    assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 3])]
    logged = "".join(log.read_text() for log in tmp_path.glob("run*/dbt.log")).lower()
    assert "insert into" in logged and "create temporary" not in logged


@pytest.mark.parametrize(
    ("select", "config"),
    [
        ("select cast('none' as integer) as thing", {}),  # fails when its rows are made
        ("select no_such_column as thing", {}),
        ("select 3 as thing", {"post_hook": "'select no_such_column'"}),
        ("select 3 as another", {}),
    ],
)
def test_an_append_that_fails_leaves_all_rows(
    build: Build, tmp_path: Path, select: str, config: dict[str, str]
) -> None:
    """What the hook took out is back as well."""
    build(appended(TWO)).require_success(tmp_path)
    (node,) = build(appended(select, **config)).nodes
    assert node.status == "error"
    assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 2])]


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("select 3 as thing, 'x' as word", "word (VARCHAR, stored: none)"),
        ("select cast(3 as bigint) as thing", "thing (BIGINT, stored: INTEGER)"),
        ("select 3 as another", "thing (none, stored: INTEGER)"),
    ],
)
def test_other_columns_are_refused_where_asked(
    build: Build, tmp_path: Path, select: str, said: str
) -> None:
    """A new column is left out where nothing is asked, as with dbt's own."""
    build(appended(TWO)).require_success(tmp_path)
    (node,) = build(appended(select, on_schema_change="'fail'")).nodes
    assert node.status == "error"
    assert said in node.message and "--full-rebuild" in node.message
    assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 2])]
    if "word" in said:
        build(appended(select)).require_success(tmp_path)
        assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 3])]


def test_columns_are_matched_by_name(build: Build, tmp_path: Path) -> None:
    build(appended("select 1 as thing, 10 as ten")).require_success(tmp_path)
    build(appended("select 20 as ten, 3 as thing")).require_success(tmp_path)
    with duckdb.connect(str(tmp_path / "home" / "build.duckdb")) as connection:
        rows = connection.sql("select thing, ten from things order by 1").fetchall()
    assert rows == [(1, 10), (3, 20)]


def test_other_strategies_are_dbts_own(build: Build, tmp_path: Path) -> None:
    model = {"incremental_strategy": "'delete+insert'", "unique_key": "'thing'", "pre_hook": "''"}
    build(appended(TWO, **model)).require_success(tmp_path)
    both = "select thing from (values (2), (3)) as things (thing)"
    build(appended(both, **model)).require_success(tmp_path)
    assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 2, 3])]


def test_what_breaks_the_contract_is_not_appended(build: Build, tmp_path: Path) -> None:
    """The contract is asked of the new rows, whatever the table holds."""
    file = tmp_path / "models" / "things.yml"
    file.write_text(
        json.dumps(
            {
                "models": [
                    {
                        "name": "things",
                        "config": {"contract": {"enforced": True}},
                        "columns": [{"name": "thing", "data_type": "integer"}],
                    }
                ]
            }
        )
    )
    kept = {"on_schema_change": "'fail'"}
    build(appended(TWO, **kept)).require_success(tmp_path)
    build(appended("select 3 as thing", **kept)).require_success(tmp_path)
    file.write_text(file.read_text().replace("integer", "bigint"))
    (node,) = build(appended("select 4 as thing", **kept)).nodes
    assert node.status == "error" and "contract" in node.message.lower()
    assert there_is(tmp_path) == [("things", "BASE TABLE", [1, 3])]
