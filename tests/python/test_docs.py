"""What the documents say agrees with the code, and nothing depends on one machine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

PROJECT_DIR = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=PROJECT_DIR, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: the list of tracked files is not known")
    return [PROJECT_DIR / name for name in listed.stdout.splitlines()]


def test_configuring_lists_every_var_with_its_default() -> None:
    declared = yaml.safe_load((PROJECT_DIR / "dbt_project.yml").read_text())["vars"]
    text = (PROJECT_DIR / "docs" / "configuring.md").read_text()
    table = text.split("vars:begin")[1].split("vars:end")[0]
    documented = dict(re.findall(r"^\| `(customer_health__\w+)` \| `([^`]*)` \|", table, re.M))
    in_yaml = {"None": "null", "True": "true", "False": "false"}
    expected = {name: in_yaml.get(str(value), str(value)) for name, value in declared.items()}
    assert documented == expected


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
