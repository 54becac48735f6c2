"""docs/reliability.md says what the tests prove, and the tests prove every fault."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]


def test_the_document_is_what_the_marks_of_the_tests_say() -> None:
    done = subprocess.run(
        [sys.executable, "docs/update_reliability.py", "--check"],
        cwd=PROJECT_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
