"""How long the CRM sync takes by itself: 100,000 accounts, without the network.

    python benchmarks/sync.py --accounts 100000

A published copy with so many accounts is made, and a HubSpot destination whose requests (batches
of 100, as the interface takes them) are answered inside this process, at once. So what is timed is
everything but the network and the CRM: reading, hashing, comparing, batches as JSON, and the
ledger, which is written and synced to the disk for each batch. With nothing to send, the command
line is run as a process, with an address at which nothing answers: a request would fail.

The exit code is 1 where 100,000 changed accounts take more than 10 s, or nothing more than 2 s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import requests
import yaml
from rich.console import Console

from customer_health.progress import Reporter
from customer_health.settings import Settings
from customer_health.sync.config import load
from customer_health.sync.run import Options, Result, sync
from customer_health.sync.source import RELATIONS, Records

GOAL_CHANGED_SECONDS = 10.0
GOAL_NOTHING_SECONDS = 2.0
RUNS = 5
SCHEMA = "customer_health"
TYPES = {"text": "varchar"}
FIELDS = {
    "health_score": "health_score",
    "health_band": "band_label",
    "health_trend": "trend",
    "health_top_positive": "top_positive_driver",
    "health_top_negative": "top_negative_driver",
    "health_next_action": "next_action",
    "health_next_action_due": "next_action_due_date",
    "health_renewal_risk": "renewal_risk",
    "health_expansion": "expansion_score",
    "health_link": "https://dash.example.com/?account={account_id}",
    "health_publication": "publication_id",
    "health_as_of": "as_of_date",
}
# The address of the "discard" service: nothing answers there.
NOWHERE = "http://127.0.0.1:9"


class AnsweredHere(requests.adapters.BaseAdapter):
    """Answers as HubSpot does when all is well, without a socket."""

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
        """The answer to a request."""
        response = requests.Response()
        response.status_code = 200
        response.headers["Content-Type"] = "application/json"
        response.request = request
        response.url = request.url or ""
        if response.url.endswith("/details"):
            content: dict[str, Any] = {"portalId": 1}
        else:
            inputs = json.loads(request.body or b"{}")["inputs"]
            content = {"status": "COMPLETE", "results": [{"id": each["id"]} for each in inputs]}
        response._content = json.dumps(content).encode()
        return response

    def close(self) -> None:
        """Nothing is open."""


def main() -> int:
    """Make the copy, sync, print the table; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sync-") as name:
        return measure(Path(name), options.accounts)


def measure(folder: Path, accounts: int) -> int:
    """Time the cases; the exit code is 1 where a goal is missed."""
    settings = make_project(folder)
    requests.Session.get_adapter = lambda self, url: AnsweredHere()  # type: ignore[method-assign]
    rows: list[tuple[str, float, int, float | None]] = []
    print(
        f"{date.today()}, {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}; {accounts:,} accounts, {len(FIELDS)} fields, batches of 100"
    )
    for day, title, goal in (
        (1, "first sync: all accounts are new", None),
        (2, "all accounts have changed", GOAL_CHANGED_SECONDS),
    ):
        publish(settings, accounts, day, score=50 + day)
        seconds, result = timed_sync(settings)
        assert result.confirmed == accounts, result
        rows.append((title, seconds, result.requests, goal))
    same = "nothing has changed, same publication (process)"
    rows.append((same, process_seconds(settings), 0, GOAL_NOTHING_SECONDS))
    # a new publication of the same scores, as on most days for most accounts
    publish(settings, accounts, 3, score=52)
    rows.append(
        (
            "nothing has changed, new publication (process)",
            process_seconds(settings),
            0,
            GOAL_NOTHING_SECONDS,
        )
    )
    print(f"{'case':<52}{'seconds':>9}{'requests':>10}{'goal':>8}")
    missed = 0
    for title, seconds, count, goal in rows:
        is_late = goal is not None and seconds > goal
        missed += is_late
        shown = "" if goal is None else f"{goal:.0f} s"
        mark = "  over the goal" if is_late else ""
        print(f"{title:<52}{seconds:>9.2f}{count:>10,}{shown:>8}{mark}")
    ledger = settings.home / "sync" / "hubspot.sqlite"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"ledger {ledger.stat().st_size / 1e6:.1f} MB, peak memory of the syncs {peak:,.0f} MB")
    return 1 if missed else 0


def make_project(folder: Path) -> Settings:
    """A project with a sync.yml."""
    (folder / "dbt_project.yml").write_text("name: small\n", encoding="utf-8")
    destination = {
        "type": "hubspot",
        "portal": 1,
        "token_env": "BENCHMARK_TOKEN",
        "key": "customer_health_account_id",
        "base_url": NOWHERE,
        "fields": FIELDS,
    }
    content = yaml.safe_dump({"destinations": {"hubspot": destination}}, sort_keys=False)
    (folder / "sync.yml").write_text(content, encoding="utf-8")
    os.environ["BENCHMARK_TOKEN"] = "none"
    settings = Settings.resolve(folder, folder / "home", environ={})
    settings.prepare()
    return settings


def publish(settings: Settings, accounts: int, day: int, *, score: int) -> None:
    """A published copy of so many accounts, as far as a sync reads it."""
    part = settings.home / "next.duckdb"
    relation = RELATIONS[Records.ACCOUNTS]
    values = {
        "sync_key": "'A' || lpad(number::varchar, 8, '0')",
        "account_id": "'A' || lpad(number::varchar, 8, '0')",
        "as_of_date": f"date '2026-06-{day:02d}'",
        "health_score": f"({score} + number % 40)::bigint",
        "band": "['critical', 'at_risk', 'healthy', 'thriving'][1 + number % 4]",
        "band_label": "['Critical', 'At risk', 'Healthy', 'Thriving'][1 + number % 4]",
        "health_score_change_28_days": "(number % 13 - 6)::bigint",
        "trend": "'falling'",
        "top_positive_driver": "'+18.0 points: logins ' || number % 97 || ' in 30 days'",
        "top_negative_driver": "'-6.5 points: tickets ' || number % 7 || ' open'",
        "next_action": "'Call the champion about the renewal'",
        "next_action_due_date": "date '2026-07-01' + (number % 30)::integer",
        "renewal_date": "date '2026-09-01' + (number % 300)::integer",
        "renewal_risk": "'low'",
        "expansion_score": "number % 100",
    }
    columns = ", ".join(
        f"cast({values.get(name, 'null')} as {TYPES.get(kind, kind)}) as {name}"
        for name, kind in relation.columns.items()
    )
    table = relation.name.removesuffix("_current")
    with duckdb.connect(str(part)) as made:
        made.execute(f"create schema {SCHEMA}")
        made.execute(
            f"create table {SCHEMA}.fct_health__publications as select "
            f"'2026-06-{day:02d}T202606{day:02d}060000-a1b2c3' as publication_id, "
            f"timestamp '2026-06-{day:02d} 06:00:00' as published_at, "
            f"date '2026-06-{day:02d}' as as_of_date"
        )
        made.execute(
            f"create table {SCHEMA}.{table} as select {columns} from range({accounts}) as t(number)"
        )
        made.execute(
            f"create view {SCHEMA}.{relation.name} as select 'p' as publication_id, mart.* "
            f"from {SCHEMA}.{table} as mart"
        )
    os.replace(part, settings.published)


def timed_sync(settings: Settings) -> tuple[float, Result]:
    """Seconds of one sync within this process, and what it did."""
    destination = load(settings.project_dir / "sync.yml")["hubspot"]
    reporter = Reporter(Console(stderr=True), quiet=True)
    started = time.perf_counter()
    result = sync(settings, destination, Options(accept_changes=True), reporter)
    return time.perf_counter() - started, result


def process_seconds(settings: Settings) -> float:
    """Median seconds of `customer-health sync hubspot` as a process, with nothing to send."""
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    command = [sys.executable, "-m", "customer_health", *where, "sync", "hubspot", "--json"]
    seconds = []
    for _ in range(RUNS):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - started)
        told = json.loads(done.stdout)
        assert (told["plan"]["to_send"], told["requests"]) == (0, 0), told
    return sorted(seconds)[len(seconds) // 2]


if __name__ == "__main__":
    sys.exit(main())
