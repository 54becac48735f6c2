"""Whoever comes from the last release keeps columns, policy, vars and warehouse.

`tests/upgrade/<version>` is what that release promised, written by freeze.py.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest
import yaml
from warehouse import Warehouse, different

from customer_health import demo, policy
from customer_health.settings import PREFIX, validate_vars

PROJECT_DIR = Path(__file__).resolve().parents[2]
UPGRADE = PROJECT_DIR / "tests" / "upgrade"
RELEASE = max(UPGRADE.glob("*/interface.json")).parent
PROMISED: dict[str, Any] = json.loads((RELEASE / "interface.json").read_text(encoding="utf-8"))
DAY_BEFORE, AS_OF = date(2026, 6, 29), date(2026, 6, 30)
VARS = {"history_from": "2026-04-05", "daily_from": "2026-06-20", "change_history_days": 60}


def freeze() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("freeze", UPGRADE / "freeze.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules["freeze"] = loaded
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("upgrade_raw")
    demo.generate(folder / "raw", accounts=40, days=200, events=8_000, seed=5)
    return folder / "raw"


def raised_marts() -> set[str]:
    """Marts whose interface version is above 1, as their YAML says."""
    found = set()
    for file in (PROJECT_DIR / "models" / "marts").rglob("*.yml"):
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for model in document.get("models") or []:
            meta = (model.get("config") or {}).get("meta") or {}
            if meta.get("interface_version", 1) > 1:
                found.add(model["name"])
    return found


def broken_promises(promised: dict[str, Any], now: dict[str, Any], changelog: str) -> list[str]:
    """Columns and seeds of a release that are no more what they were, and are not announced."""
    table = changelog.split("## Changes of the schema")[1].split("\n## ", maxsplit=1)[0]
    raised = raised_marts()
    found = []
    for mart, columns in promised["marts"].items():
        announced = mart in raised and re.search(rf"^\|[^|]*\|[^|]*`{mart}`", table, re.MULTILINE)
        here = now["marts"].get(mart, {})
        found += [
            f"{mart}.{name}: was {kind}, is {here.get(name, 'gone')}"
            for name, kind in columns.items()
            if here.get(name) != kind and not announced
        ]
    for seed, columns in promised["seeds"].items():
        found += [
            f"seed {seed}.{name} is gone"
            for name in columns
            if name not in now["seeds"].get(seed, [])
        ]
    found += [f"var {name} is gone" for name in promised["vars"] if name not in now["vars"]]
    return found


def test_columns_seeds_and_vars_of_the_release_are_still_there() -> None:
    changelog = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
    assert broken_promises(PROMISED, freeze().interface(PROJECT_DIR), changelog) == []


def test_a_broken_promise_is_seen() -> None:
    changelog = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
    now = freeze().interface(PROJECT_DIR)
    del now["marts"]["bi_health__account_360"]["arr_amount"]
    now["marts"]["dim_health__accounts"]["account_id"] = "bigint"
    now["seeds"]["bands"].remove("label")
    del now["vars"][f"{PREFIX}lookback_days"]
    kind = PROMISED["marts"]["bi_health__account_360"]["arr_amount"]
    assert sorted(broken_promises(PROMISED, now, changelog)) == [
        f"bi_health__account_360.arr_amount: was {kind}, is gone",
        "dim_health__accounts.account_id: was text, is bigint",
        "seed bands.label is gone",
        f"var {PREFIX}lookback_days is gone",
    ]


def test_new_public_tables_are_in_the_table_of_changes() -> None:
    changelog = (PROJECT_DIR / "CHANGELOG.md").read_text(encoding="utf-8")
    table = changelog.split("## Changes of the schema")[1].split("\n## ")[0]
    now = freeze().interface(PROJECT_DIR)
    views = {file.stem for file in (PROJECT_DIR / "models" / "marts" / "current").glob("*.sql")}
    new = (now["marts"].keys() - PROMISED["marts"].keys() - views) | (
        now["seeds"].keys() - PROMISED["seeds"].keys()
    )
    assert [name for name in sorted(new) if f"`{name}`" not in table] == []


def test_vars_of_the_release_are_accepted() -> None:
    validate_vars(
        {
            name.removeprefix(PREFIX): value
            for name, value in PROMISED["vars"].items()
            if value is not None
        }
    )


def test_policy_of_the_release_is_good_policy() -> None:
    files = policy.find_seed_files(PROJECT_DIR)
    files |= {file.stem: file for file in (RELEASE / "seeds").glob("*.csv")}
    assert policy.check_policy(files, known_metrics=None, today=AS_OF) == []


def test_a_project_of_the_release_builds_with_its_own_policy(
    raw_tables: Path, tmp_path: Path
) -> None:
    """A project that installed the release, with all of its seeds as its own."""
    project = tmp_path / "project"
    shutil.copytree(RELEASE / "seeds", project / "seeds")
    names = [file.stem for file in sorted((RELEASE / "seeds").glob("*.csv"))]
    changed = (project / "seeds" / "bands.csv").read_text(encoding="utf-8")
    (project / "seeds" / "bands.csv").write_text(
        changed.replace("Thriving", "Blooming"), encoding="utf-8"
    )
    document = {
        "name": "upgraded",
        "version": "1.0.0",
        "config-version": 2,
        "profile": "customer_health",
        "flags": {"send_anonymous_usage_stats": False},
        "vars": PROMISED["vars"] | {f"{PREFIX}raw_database": "landing"},
        "models": {"customer_health": {"marts": {"+database": "marts"}}},
        "snapshots": {"customer_health": {"+database": "marts"}},
        "seeds": {
            "upgraded": {"+schema": "policy", "+quote_columns": False},
            "customer_health": {name: {"+enabled": False} for name in names},
        },
    }
    (project / "dbt_project.yml").write_text(
        yaml.safe_dump(document, sort_keys=False), encoding="utf-8"
    )
    (project / "packages.yml").write_text(f"packages:\n  - local: {PROJECT_DIR}\n")
    shutil.copy(PROJECT_DIR / "profiles.yml", project)
    from dbt.cli.main import dbtRunner

    folders = ["--project-dir", str(project), "--profiles-dir", str(project)]
    assert dbtRunner().invoke(["--quiet", "deps", *folders]).success
    warehouse = Warehouse(tmp_path / "home", raw_tables, VARS, project)
    warehouse.build(AS_OF)
    with duckdb.connect(str(warehouse.home / "candidate.duckdb"), read_only=True) as marts:
        labels = marts.execute(
            "select distinct band_label from customer_health.bi_health__account_360"
        ).fetchall()
    assert ("Blooming",) in labels and ("Thriving",) not in labels


def test_a_warehouse_of_the_release_is_taken_on_without_a_full_refresh(
    raw_tables: Path, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    release.mkdir()
    try:
        freeze().unpack(PROMISED["commit"], release)
    except subprocess.CalledProcessError:
        pytest.skip(f"this clone does not have the commit {PROMISED['commit']}")
    old = Warehouse(tmp_path / "home", raw_tables, VARS, release)
    old.build(DAY_BEFORE)
    old.project = PROJECT_DIR
    old.build(AS_OF)
    fresh = Warehouse(tmp_path / "fresh", raw_tables, VARS)
    fresh.build(AS_OF)
    assert different(fresh.rows(), old.rows()) == {}
