"""Freezes what a release promises, for the test of upgrades.

    python tests/upgrade/freeze.py 0.1.0 COMMIT

writes tests/upgrade/0.1.0: `interface.json` (columns and types of the public marts, columns of the
seeds, defaults of the vars, the commit) and the policy seeds of the release. Run it when a version
is released, and remove the folder of the version before.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import yaml

PROJECT_DIR = Path(__file__).resolve().parents[2]
FOLDER = PROJECT_DIR / "tests" / "upgrade"


def unpack(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder.

    Raises:
        subprocess.CalledProcessError: where the clone does not have the commit.
    """
    archive = subprocess.run(
        ["git", "archive", commit], cwd=PROJECT_DIR, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def interface(project: Path) -> dict[str, Any]:
    """What a project promises: marts, seeds and vars."""
    marts: dict[str, dict[str, str]] = {}
    for file in sorted((project / "models" / "marts").rglob("*.yml")):
        document = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        for model in document.get("models") or []:
            columns = {
                column["name"]: str(column["data_type"])
                for column in model.get("columns") or []
                if "data_type" in column
            }
            if columns:
                marts[model["name"]] = columns
    seeds = {
        file.stem: file.read_text(encoding="utf-8").splitlines()[0].split(",")
        for file in sorted((project / "seeds").glob("*.csv"))
    }
    declared = yaml.safe_load((project / "dbt_project.yml").read_text(encoding="utf-8"))
    return {"marts": marts, "seeds": seeds, "vars": declared["vars"]}


def main(arguments: list[str]) -> int:
    """Freeze a version."""
    version, commit = arguments
    folder = FOLDER / version
    release = folder / "release"
    shutil.rmtree(folder, ignore_errors=True)
    release.mkdir(parents=True)
    unpack(commit, release)
    written = {"version": version, "commit": commit, **interface(release)}
    text = json.dumps(written, indent=1, ensure_ascii=False)
    (folder / "interface.json").write_text(text + "\n", encoding="utf-8")
    shutil.copytree(release / "seeds", folder / "seeds", ignore=shutil.ignore_patterns("*.yml"))
    shutil.rmtree(release)
    print(f"{folder.relative_to(PROJECT_DIR)}: {len(written['marts'])} marts")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
