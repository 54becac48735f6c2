"""Lints the SQL of the project with sqlfluff: `python tests/lint_sql.py [paths]`.

The dbt templater compiles every model, and staging looks at the columns of the raw tables, so that
the linter needs a small warehouse: it is made in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from customer_health import demo

PROJECT_DIR = Path(__file__).resolve().parents[1]


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
        return subprocess.run(
            [*command, *(paths or ["models", "tests"])],
            cwd=PROJECT_DIR,
            env=environment,
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
