"""Lints the SQL of the project with sqlfluff: `python tests/lint_sql.py [paths]`.

The dbt templater compiles every model, and staging looks at the columns of the raw tables, so that
the linter needs a small warehouse: it is made in a temporary folder. Connectors are disabled until
a vendor is chosen; they are linted in a copy of the project in which all of them are there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
from all_connectors import CONNECTORS, PROJECT_DIR, copy_project

from customer_health import demo

SHAPES = PROJECT_DIR / "tests" / "python" / "vendor_shapes"


def land_shapes(home: Path) -> None:
    """Put tables in every vendor's shape into the landing database."""
    shapes = sorted(SHAPES.glob("*.ddl"), key=lambda file: file.stem != "base")
    with duckdb.connect(str(home / "landing.duckdb")) as connection:
        for file in shapes:
            connection.execute(file.read_text(encoding="utf-8"))


def main(paths: list[str]) -> int:
    """Lint the paths, or all models and tests; the exit code is sqlfluff's."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        demo.generate(home / "raw", accounts=40, days=200, events=2_000)
        demo.create_landing(home)
        environment = os.environ | {
            "CUSTOMER_HEALTH_HOME": str(home),
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home / "logs"),
        }
        command = [sys.executable, "-m", "sqlfluff", "lint", "--nocolor", "--disable-progress-bar"]
        of_connectors = [path for path in paths if CONNECTORS in Path(path).parents]
        others = [path for path in paths if path not in of_connectors]
        codes = []
        if others or not paths:
            codes.append(
                subprocess.run(
                    [*command, *(others or ["models", "tests/generic", "tests/singular"])],
                    cwd=PROJECT_DIR,
                    env=environment,
                    check=False,
                ).returncode
            )
        if of_connectors or not paths:
            project = home / "project"
            copy_project(project)
            land_shapes(home)
            codes.append(
                subprocess.run(
                    [*command, *(of_connectors or [str(CONNECTORS)])],
                    cwd=project,
                    # what dbt keeps of the first project would leave all connectors disabled
                    env=environment | {"DBT_TARGET_PATH": str(home / "connectors")},
                    check=False,
                ).returncode
            )
        return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
