"""What the documents say agrees with the code, and nothing depends on one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from example_project import module

from customer_health.errors import HealthError
from customer_health.settings import CONNECTORS, validate_vars, var_types

PROJECT_DIR = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    return [PROJECT_DIR / name for name in listed.stdout.splitlines()]


# One value of each type that is taken, and those that are not.
VALUES: dict[str, tuple[object, tuple[object, ...]]] = {
    "date": ("2026-06-30", ("2026-6-30", "2026-02-30", "30.06.2026", 20260630)),
    "integer": (3, (-1, True, "3", 1.5, 100_000)),
    "boolean": (True, ("true", 1, "yes")),
    "identifier": ("raw_1", ('raw"; drop', "1raw", "")),
    "code": ("2026-06-30T1:a_b.c", ("x'; drop table y", 7, "")),
    "currency": ("EUR", ("Euro", "eur", 978)),
    "zone": ("Europe/Berlin", ("Europe/Berlin'", "")),
    "vendor": (None, ("excel", True)),  # the one that is taken is another for each
    "list of stages": (["customer", "Closed Won"], ("customer", ["x'; drop"], {"a": 1})),
    "map of schemas": ({"hubspot": "crm"}, ("crm", {"hubspot": 'c"'}, {"excel": "crm"})),
    "map of columns": (
        {"crm_accounts": {"plan": "property_plan"}},
        ("plan", {"no_table": {"plan": "x"}}, {"crm_accounts": {"plan": "x; drop"}}),
    ),
}


def test_configuring_lists_every_var_with_type_default_and_effect() -> None:
    text = (PROJECT_DIR / "docs" / "configuring.md").read_text()
    declared = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    script = module("update_vars", PROJECT_DIR / "docs" / "update_vars.py")
    table = script.table()
    assert table in text, "python docs/update_vars.py"
    rows = re.findall(
        r"^\| `(customer_health__\w+)` \| ([a-z ]+) \| `([^`]*)` \| (.+) \|$", table, re.M
    )
    assert {name: yaml.safe_load(default) for name, _, default, _ in rows} == {
        # YAML reads a date, the project a text
        name: yaml.safe_load(value) if isinstance(value, str) else value
        for name, value in declared.items()
    }
    explained = dict(re.findall(r"^\| ([a-z ]+) \| (.+) \|$", text.split("## Vars")[1], re.M))
    assert {kind for _, kind, _, _ in rows} == VALUES.keys() == explained.keys() - {"var", "type"}
    assert all(len(effect) > 10 for *_, effect in rows)


@pytest.mark.parametrize("name", sorted(var_types()))
def test_a_var_is_validated_by_its_type(name: str) -> None:
    good, bad = VALUES[var_types()[name]]
    if var_types()[name] == "vendor":
        good = next(iter(CONNECTORS[name.removesuffix("_connector")]))
    validate_vars({name: good})
    declared = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    validate_vars({name: declared[f"customer_health__{name}"]})
    for value in bad:
        with pytest.raises(HealthError, match=f"variable customer_health__{name} is .*; expected "):
            validate_vars({name: value})


def test_every_var_that_the_sql_reads_is_declared() -> None:
    declared = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    pattern = re.compile(r"(?:date_var|integer_var|code_var|is_kept)\(\s*(?:[^,()]+,\s*)?'(\w+)'")
    used = set()
    for path in [*PROJECT_DIR.glob("models/**/*.sql"), *PROJECT_DIR.glob("macros/**/*.sql")]:
        text = path.read_text()
        used |= {f"customer_health__{name}" for name in pattern.findall(text)}
        used |= set(re.findall(r"var\('(customer_health__\w+)'", text))
    used = {name for name in used if not name.endswith("__using_") and name != "customer_health__"}
    assert used
    assert used <= declared.keys()


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for document in [PROJECT_DIR / "README.md", *PROJECT_DIR.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in link and not (document.parent / link).exists():
                broken.append(f"{document.name}: {link}")
    assert broken == []


def test_every_public_column_is_described() -> None:
    update = module("update_current_views", PROJECT_DIR / "docs" / "update_current_views.py")
    declared = update.declared()
    marts = {path.stem for path in (PROJECT_DIR / "models" / "marts").glob("**/*.sql")}
    assert len(marts) > 50
    assert marts <= declared.keys()
    for name in marts:
        assert declared[name]["description"].startswith("One row"), name
        assert declared[name]["columns"], name
        for column in declared[name]["columns"]:
            assert column.get("description", "").strip(), f"{name}.{column['name']}"
            assert column.get("data_type"), f"{name}.{column['name']}"


def test_views_of_the_newest_rows_say_what_their_marts_say() -> None:
    update = module("update_current_views", PROJECT_DIR / "docs" / "update_current_views.py")
    expected = update.expected()
    assert len(expected) == 6
    for path, text in expected.items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run {update.__file__}"


def test_nothing_names_a_machine_or_a_registry() -> None:
    machine = "/" + "root/|/" + "work/main|files\\.python" + "hosted|py" + "pi\\.org|registry\\.npm"
    found = []
    for path in tracked_files():
        try:
            text = path.read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [
            f"{path.name}: {line[:80]}" for line in text.splitlines() if re.search(machine, line)
        ]
    assert found == []
