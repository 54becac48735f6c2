"""The example in one command: load the files, score them, publish, and look at the result.

    python examples/crm_simulation/run.py --data FOLDER

FOLDER (or the environment variable CRM_SIMULATION_DATA) holds account.csv, subscription.csv,
event_daily.csv.gz and outcome.csv. Databases go to `warehouse` in this folder, or to --home.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import evaluate
import landing

AS_OF = date(2023, 7, 2)  # the day after the last one of which the outcome is known, a Sunday


def commands(project: Path, as_of: date) -> dict[str, list[str]]:
    """Name the steps after loading, as the commands that one would type."""
    dbt = [str(Path(sys.executable).with_name("dbt"))]
    health = [sys.executable, "-m", "customer_health", "--project-dir", str(project)]
    return {
        "install the package": [*dbt, "deps", "--quiet"],
        "run": [*health, "run", "--as-of", as_of.isoformat()],
    }


def run(
    project: Path,
    data: Path,
    home: Path,
    *,
    as_of: date = AS_OF,
    accounts: int | None = None,
) -> dict[str, float]:
    """Run every step and stop at the first that fails.

    Args:
        project: folder of the dbt project, this one or a copy.
        data: folder with the files of the simulation.
        home: folder of the databases.
        as_of: date to score.
        accounts: only the first so many accounts, for quick tests; None for all.

    Returns:
        Seconds per step; also in `home/example.json`.

    Raises:
        FileNotFoundError: when a file of the data is missing.
        subprocess.CalledProcessError: when a step fails; it has said why.
    """
    environment = {**os.environ, "CUSTOMER_HEALTH_HOME": str(home)}
    seconds: dict[str, float] = {}
    started = time.monotonic()
    landing.load(data, home, accounts)
    seconds["load"] = time.monotonic() - started
    for title, command in commands(project, as_of).items():
        print(f"{title} ...", file=sys.stderr, flush=True)
        started = time.monotonic()
        subprocess.run(command, cwd=project, env=environment, check=True)
        seconds[title] = time.monotonic() - started
    # On a busy machine the seconds say little; the processor time of the steps still does.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = {"seconds": seconds, "processor_seconds": used.ru_utime + used.ru_stime}
    (home / "example.json").write_text(json.dumps(facts), encoding="utf-8")
    return seconds


def main() -> int:
    """Run the example and print what came of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=os.environ.get("CRM_SIMULATION_DATA"),
        help="folder with the files of the simulation",
    )
    parser.add_argument(
        "--home",
        type=Path,
        default=os.environ.get("CUSTOMER_HEALTH_HOME") or evaluate.HERE / "warehouse",
        help="folder of the databases",
    )
    parser.add_argument("--accounts", type=int, help="only the first so many accounts")
    parser.add_argument(
        "--write", action="store_true", help="put the results into README.md as well"
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or CRM_SIMULATION_DATA must name the folder with the files")
    home = Path(arguments.home).resolve()
    try:
        run(evaluate.HERE, Path(arguments.data), home, accounts=arguments.accounts)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    results = evaluate.report(home)
    print(results)
    if arguments.write:
        evaluate.write_readme(results, evaluate.HERE / "README.md")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
