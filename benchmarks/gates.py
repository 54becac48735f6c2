"""What the two quality gates cost in a run.

    python benchmarks/gates.py --events 10000000

Generates demo data, runs the whole way once and then each gate by itself, with Great Expectations
already imported. Prints machine, rows, date, seconds, and the share of the run. Exits 1 where the
gates take more than 15% of the run and more than 10 seconds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from customer_health import pipeline, publication
from customer_health.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
MOST_SHARE = 0.15
MOST_SECONDS = 10.0


def main() -> int:
    """Measure and print; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=1_000_000, help="product events")
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--home", type=Path, help="a folder with demo data; default: new ones")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many counts")
    options = parser.parse_args()
    if options.home is not None:
        return measure(options.home.resolve(), options)
    with tempfile.TemporaryDirectory(prefix="gates-") as folder:
        return measure(Path(folder), options)


def measure(home: Path, options: argparse.Namespace) -> int:
    """Run the demo in `home`, then each gate."""
    settings = Settings.resolve(PROJECT, home)
    run = whole_run(home, options)
    run_seconds = run["seconds"] - run["steps"].get("demo data", 0.0)
    started = time.perf_counter()
    # The command line pays for it once a run.
    great_expectations = importlib.import_module("great_expectations")
    import_seconds = time.perf_counter() - started
    last = publication.last_publication(settings)
    assert last is not None
    rows = sum(count for table, count in last.row_counts.items() if table != "scored_accounts")
    print(f"machine: {machine()}")
    print(
        f"date: {datetime.now(UTC):%Y-%m-%d}, Great Expectations {great_expectations.__version__}"
    )
    print(f"rows: {rows:,} in the raw tables, {last.row_counts['product_events']:,} of them events")
    print(f"run: {run_seconds:.1f} s, without the generation of demo data")
    print(f"import of Great Expectations, apart: {import_seconds:.1f} s")
    total = 0.0
    for name in ("landing", "candidate"):
        seconds, checks = best_of(settings, name, last, options.repeat)
        total += seconds
        print(
            f"{name} gate: {seconds:.1f} s, {checks} checks, {seconds / run_seconds:.1%} of the run"
        )
    share = total / run_seconds
    is_met = share <= MOST_SHARE or total <= MOST_SECONDS
    print(
        f"both gates: {total:.1f} s, {share:.1%} of the run "
        f"(goal: {MOST_SHARE:.0%} or {MOST_SECONDS:.0f} s): {'met' if is_met else 'missed'}"
    )
    return 0 if is_met else 1


def whole_run(home: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Result of a run of the demo, in a process of its own as a person starts it."""
    command = [
        sys.executable,
        "-m",
        "customer_health",
        f"--project-dir={PROJECT}",
        f"--home={home}",
    ]
    command += ["demo", f"--events={options.events}", f"--accounts={options.accounts}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    newest = max(home.glob("runs/*/result.json"))
    return dict(json.loads(newest.read_text(encoding="utf-8")))


def best_of(
    settings: Settings, name: Any, last: publication.Publication, repeat: int
) -> tuple[float, int]:
    """Seconds of the quickest of some runs of a gate that compares with the last publication."""
    seconds = []
    for _ in range(repeat):
        report = pipeline.judge(settings, name, last.as_of_date, last)
        assert report.status == "passed", report.summary()
        seconds.append(report.seconds)
    return min(seconds), len(report.checks)


def machine() -> str:
    """Processor, cores and memory."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


if __name__ == "__main__":
    sys.exit(main())
