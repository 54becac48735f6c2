"""A copy of the project in which every connector is enabled, to look at the SQL of all of them.

In a deployment one vendor per domain is chosen, so that no run of dbt sees all.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[1]
CONNECTORS = Path("models") / "staging" / "connectors"
_ENABLED = re.compile(r"enabled:( >-\n.*?\}\}| \"[^\n]*)\n", re.S)
_EVERYTHING = "{% macro is_connected(vendor, table=none) %}{{ return(true) }}{% endmacro %}"


def copy_project(folder: Path) -> None:
    """Copy the project to an empty folder, with every connector enabled."""
    for name in ("models", "macros", "seeds", "snapshots"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    for name in ("generic", "singular"):
        shutil.copytree(PROJECT_DIR / "tests" / name, folder / "tests" / name)
    for name in ("dbt_project.yml", "profiles.yml", ".sqlfluff"):
        shutil.copy(PROJECT_DIR / name, folder)
    macro = folder / "macros" / "sources" / "is_connected.sql"
    macro.write_text(_EVERYTHING, encoding="utf-8")
    for file in (folder / CONNECTORS).rglob("_*.yml"):
        text = _ENABLED.sub("enabled: true\n", file.read_text(encoding="utf-8"))
        file.write_text(text, encoding="utf-8")
