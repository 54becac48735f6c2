"""Runs an example project as its README says, in a copy that may be written to."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
EXAMPLES = REPO / "examples"
BUILT = ("dbt_packages", "target", "logs", "warehouse", "__pycache__", "package-lock.yml")


def module(name: str, file: Path) -> ModuleType:
    """A Python file outside any package, as a module."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def example_of(name: str) -> Any:
    """The `Example` that run.py of an example names."""
    return module(f"example_{name}", EXAMPLES / name / "run.py").EXAMPLE


def data_folder(name: str) -> Path:
    """The folder named by the example's variable, else the one beside the repository.

    Skips the test where a file is missing.
    """
    example = example_of(name)
    named = os.environ.get(example.variable)
    data = Path(named) if named else REPO.parent / "shared" / "data" / name
    missing = [file.name for file in example.files.values() if not (data / file.name).is_file()]
    if missing:
        pytest.skip(f"{example.variable}: no {', '.join(missing)} in {data}")
    return data


def run_example(name: str, folder: Path, accounts: int) -> tuple[Path, str]:
    """Run an example for a part of its accounts.

    Args:
        name: its folder below examples/.
        folder: empty; the copy and its databases go there.
        accounts: how many.

    Returns:
        The folder of its databases, and what it printed.
    """
    data = data_folder(name)
    project = folder / name
    shutil.copy(EXAMPLES / "example_kit.py", folder)
    shutil.copytree(EXAMPLES / name, project, ignore=shutil.ignore_patterns(*BUILT))
    (project / "packages.yml").write_text(f"packages:\n  - local: {REPO}\n", encoding="utf-8")
    home = folder / "home"
    command = [sys.executable, str(project / "run.py"), "--data", str(data), "--home", str(home)]
    answer = subprocess.run(
        [*command, "--accounts", str(accounts)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-4000:]
    return home, answer.stdout
