"""Two successive days of raw data, the same for every engine, and the project that reads them.

The second day has rows that are late (they happened before the first day and were not there), new,
changed and deleted. Everything comes from the demo generator and hashes of ids: the same rows
whenever and wherever they are made. Each day is a DuckDB file with the tables in a schema `raw`;
whoever tests an engine loads these.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from customer_health import demo

PROJECT_DIR = Path(__file__).resolve().parents[2]
DAYS = (date(2026, 6, 29), date(2026, 6, 30))
HISTORY_FROM = date(2026, 2, 1)  # Sundays from here on
DAILY_FROM = date(2026, 6, 21)
ACCOUNTS = 50
EVENTS = 40_000
SEED = 7

# When a row of a table happened: the first day has no rows from its own date on.
_HAPPENED = {
    "crm_touchpoints": "occurred_at",
    "crm_csm_sentiments": "recorded_at",
    "crm_action_updates": "recorded_at",
    "crm_opportunities": "created_at",
    "crm_health_overrides": "created_at",
    "crm_contacts": "created_at",
    "product_users": "created_at",
    "product_events": "occurred_at",
    "support_tickets": "opened_at",
    "survey_responses": "responded_at",
    "billing_subscriptions": "started_at",
    "billing_invoices": "issued_at",
    "marketing_engagements": "occurred_at",
}
_KEYS = {
    "product_events": "event_id",
    "support_tickets": "ticket_id",
    "survey_responses": "response_id",
    "crm_touchpoints": "touchpoint_id",
    "marketing_engagements": "engagement_id",
}
# What the first day has differently: on the second these rows are changed.
_BEFORE = {
    "crm_accounts": [
        "plan = 'starter' where hash(account_id) % 9 = 1",
        "csm_id = 'csm-before' where hash(account_id) % 11 = 2",
        "account_name = account_name || ' (old)' where hash(account_id) % 7 = 3",
    ],
    "support_tickets": [
        "status = 'open', solved_at = null, csat_score = null where solved_at >= '2026-06-22'",
    ],
    "billing_subscriptions": ["seats = seats + 1 where hash(subscription_id) % 8 = 0"],
    "billing_invoices": ["status = 'open', paid_at = null where paid_at >= '2026-06-20'"],
    "crm_action_updates": ["state = 'acknowledged' where hash(update_id) % 6 = 0"],
    "success_goals": ["current_value = baseline_value where hash(goal_id) % 5 = 0"],
    "onboarding_milestones": ["completed_at = null where completed_at >= '2026-06-15'"],
    "product_features": ["plan = null where hash(feature_key) % 4 = 0"],
}


@dataclass(frozen=True)
class Case:
    """What all engines are tested with.

    folder: for homes of engines;  project: the dbt project;  days: raw tables of the two days, a
    DuckDB file each;  published: what readers have on DuckDB after each.
    """

    folder: Path
    project: Path
    days: tuple[Path, Path]
    published: tuple[Path, Path]


def make_case(folder: Path) -> Case:
    """Make it, or take what is there if it was made to the end."""
    days = folder / "landing_1.duckdb", folder / "landing_2.duckdb"
    published = folder / "published_1.duckdb", folder / "published_2.duckdb"
    found = Case(folder, folder / "project", days, published)
    if published[1].exists():
        return found
    folder.mkdir(exist_ok=True)
    make_days(folder)
    make_project(found.project)
    home = folder / "duckdb"
    home.mkdir()
    for landing, day, copy in zip(days, DAYS, published, strict=True):
        shutil.copyfile(landing, home / "landing.duckdb")
        done = command(found.project, home, environment(), "run", f"--as-of={day}")
        assert done.returncode == 0, done.stderr
        part = copy.with_suffix(".part")
        shutil.copyfile(home / "published.duckdb", part)
        part.rename(copy)
    return found


def environment(**variables: str) -> dict[str, str]:
    """Of a process of its own: this one's, without what names homes and targets."""
    inherited = {name: value for name, value in os.environ.items() if "CUSTOMER_HEALTH" not in name}
    return {**inherited, "PYTHONPATH": str(PROJECT_DIR), **variables}


def command(
    project: Path, home: Path, variables: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """`customer-health` in a process of its own."""
    given = (f"--project-dir={project}", f"--home={home}", *arguments)
    return subprocess.run(
        [sys.executable, "-m", "customer_health", *given],
        env=variables,
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def make_days(folder: Path) -> tuple[Path, Path]:
    """Write `landing_1.duckdb` and `landing_2.duckdb` with the raw tables of the two days."""
    raw = folder / "generated"
    demo.generate(raw, accounts=ACCOUNTS, days=400, events=EVENTS, seed=SEED, end_date=DAYS[1])
    second = folder / "landing_2.duckdb"
    with duckdb.connect(str(second)) as connection:
        connection.execute("create schema raw")
        for table in demo.TABLES:
            files = f"read_parquet('{raw / table}/*.parquet')"
            connection.execute(f"create table raw.{table} as select * from {files}")
        for table, key in _KEYS.items():  # gone on the second day
            connection.execute(f"create table raw.gone as select * from raw.{table}")
            connection.execute(f"delete from raw.{table} where hash({key}, 'gone') % 97 = 0")
            connection.execute(f"delete from raw.gone where not hash({key}, 'gone') % 97 = 0")
            connection.execute(f"alter table raw.gone rename to gone_{table}")
    first = folder / "landing_1.duckdb"
    shutil.copyfile(second, first)
    with duckdb.connect(str(first)) as connection:
        for table in _KEYS:
            connection.execute(f"insert into raw.{table} select * from raw.gone_{table}")
        for table, changes in _BEFORE.items():
            for change in changes:
                connection.execute(f"update raw.{table} set {change}")
        for table, column in _HAPPENED.items():
            connection.execute(f"delete from raw.{table} where {column} >= '{DAYS[0]}'")
        connection.execute(  # late by up to three days, on the second day only
            "delete from raw.product_events where occurred_at >= '2026-06-26' "
            "and hash(event_id, 'late') % 10 = 0"
        )
        connection.execute("delete from raw.billing_exchange_rates where rate_date >= '2026-06-29'")
    for path in (first, second):
        with duckdb.connect(str(path)) as connection:
            for table in _KEYS:
                connection.execute(f"drop table raw.gone_{table}")
            connection.execute("checkpoint")
    shutil.rmtree(raw)
    return first, second


def make_project(folder: Path) -> Path:
    """A copy of the project with a shorter history, so that two days are built in minutes."""
    folder.mkdir(parents=True)
    for name in ("models", "macros", "seeds", "snapshots", "expectations"):
        shutil.copytree(PROJECT_DIR / name, folder / name)
    for name in ("generic", "singular"):
        shutil.copytree(PROJECT_DIR / "tests" / name, folder / "tests" / name)
    shutil.copyfile(PROJECT_DIR / "profiles.yml", folder / "profiles.yml")
    text = (PROJECT_DIR / "dbt_project.yml").read_text(encoding="utf-8")
    for name, day in (("history_from", HISTORY_FROM), ("daily_from", DAILY_FROM)):
        text, count = re.subn(rf'(customer_health__{name}: )"[0-9-]+"', rf'\1"{day}"', text)
        assert count == 1, name
    (folder / "dbt_project.yml").write_text(text, encoding="utf-8")
    return folder
