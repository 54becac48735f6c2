"""A project with a published copy to sync: what the tests of the sync have in common."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import yaml
from crm_double import (
    CLIENT_ID,
    CLIENT_SECRET,
    HOOK,
    KEY,
    PASSWORD,
    PORTAL,
    SALESFORCE_KEY,
    SECRET,
    SECURITY_TOKEN,
    TOKEN,
    USERNAME,
    Crm,
)
from small_marts import MARTS, TABLES, make_project

from customer_health.progress import Reporter
from customer_health.settings import Settings
from customer_health.sync.config import load
from customer_health.sync.run import Options, Result, sync
from customer_health.sync.source import RELATIONS

DAY_ONE = date(2026, 6, 1)
ENVIRONMENT = {
    "HUBSPOT_TOKEN": TOKEN,
    "SF_CLIENT_ID": CLIENT_ID,
    "SF_CLIENT_SECRET": CLIENT_SECRET,
    "SF_USERNAME": USERNAME,
    "SF_PASSWORD": PASSWORD,
    "SF_SECURITY_TOKEN": SECURITY_TOKEN,
    "HOOK_SECRET": SECRET,
}
# Quick enough for tests, slow enough to be real waits.
LIMITS = {"backoff_seconds": 0.01, "timeout_seconds": 2, "tries": 3}
FIELDS = {
    "score": "health_score",
    "band": "band",
    "next_step": "next_action",
    "renewal": "renewal_date",
    "link": "https://dash.example.com/?account={account_id}",
    "publication": "publication_id",
    "scored_on": "as_of_date",
}


def account(key: str, **changes: Any) -> dict[str, Any]:
    """A row of sync_health__crm_accounts with sensible defaults."""
    return {
        "sync_key": key,
        "account_id": key,
        "as_of_date": None,  # that of the publication
        "scoring_version": "v1",
        "lifecycle_stage": "active",
        "health_score": 64,
        "band": "healthy",
        "band_label": "Healthy",
        "band_reason": "score",
        "band_note": None,
        "health_score_change_28_days": -6,
        "trend": "falling",
        "top_positive_driver": "+18.0 points: logins 41 in 30 days",
        "top_negative_driver": "-6.5 points: tickets 3 open",
        "next_action": "Call the champion",
        "next_action_due_date": date(2026, 7, 7),
        "renewal_date": date(2026, 11, 2),
        "renewal_risk": "low",
        "expansion_score": 40,
        "payload_changed_on": date(2026, 5, 1),
        "payload_hash": "h",
        **changes,
    }


def action(key: str, account_id: str, **changes: Any) -> dict[str, Any]:
    """A row of sync_health__actions."""
    return {
        "action_id": key,
        "account_id": account_id,
        "account_name": f"Account {account_id}",
        "playbook_key": "band_entered",
        "fired_on": date(2026, 6, 20),
        "due_date": date(2026, 7, 1),
        "state": "open",
        "owner_role": "csm",
        "csm_id": "csm-1",
        "channel": "csm_task",
        "priority": 1,
        "arr_amount": 14400.0,
        "action_text": "Call the champion",
        "why_text": "logins fell",
        **changes,
    }


class World:
    """A project and its published copy."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = make_project(folder / "project")
        self.number = 0

    def publish(
        self,
        accounts: Iterable[Mapping[str, Any]],
        actions: Iterable[Mapping[str, Any]] = (),
        *,
        number: int | None = None,
        without: Iterable[str] = (),
    ) -> str:
        """Let readers have these rows; the id of the publication.

        Args:
            accounts: rows of sync_health__crm_accounts.
            actions: rows of sync_health__actions.
            number: days after the first; None takes the next one.
            without: columns that the views do not have.
        """
        self.number = self.number + 1 if number is None else number
        day = DAY_ONE + timedelta(days=self.number)
        name = f"{day}T{day:%Y%m%d}060000-{self.number:06x}"
        moment = datetime.combine(day, datetime.min.time()) + timedelta(hours=6)
        part = self.settings.home / "next.duckdb"
        part.unlink(missing_ok=True)
        with duckdb.connect(str(part)) as made:
            made.execute(f"create schema {MARTS}")
            columns = TABLES["fct_health__publications"]
            declared = ", ".join(f"{column} {kind}" for column, kind in columns.items())
            made.execute(f"create table {MARTS}.fct_health__publications ({declared})")
            made.execute(
                f"insert into {MARTS}.fct_health__publications (publication_id, published_at, "
                "as_of_date) values (?, ?, ?)",
                [name, moment, day],
            )
            rows = [dict(row, as_of_date=row["as_of_date"] or day) for row in accounts]
            for relation, found in zip(RELATIONS.values(), (rows, actions), strict=True):
                _make_view(made, relation.name, relation.columns, found, name, set(without))
        os.replace(part, self.settings.published)
        return name

    def configure(self, name: str, **settings: Any) -> None:
        """Write sync.yml with one destination."""
        self.write({"destinations": {name: settings}})

    def write(self, content: Mapping[str, Any]) -> None:
        """Write sync.yml."""
        self.file.write_text(yaml.safe_dump(dict(content), sort_keys=False), encoding="utf-8")

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.settings.project_dir / "sync.yml"

    @property
    def ledgers(self) -> Path:
        """The folder of its ledgers."""
        return self.settings.home / "sync"

    def sync(self, name: str, told: Reporter | None = None, **options: bool) -> Result:
        """One sync within this process."""
        destination = load(self.file)[name]
        return sync(self.settings, destination, Options(**options), told or quiet())


def quiet() -> Reporter:
    """Tells nothing."""
    from rich.console import Console

    return Reporter(Console(stderr=True), quiet=True)


def _make_view(
    made: duckdb.DuckDBPyConnection,
    view: str,
    columns: Mapping[str, str],
    rows: Iterable[Mapping[str, Any]],
    publication_id: str,
    without: set[str],
) -> None:
    """The table and the read view on it, as the project has them."""
    kept = {name: kind for name, kind in columns.items() if name not in without}
    types = {"text": "varchar"}
    table = view.removesuffix("_current")
    declared = ", ".join(f"{name} {types.get(kind, kind)}" for name, kind in kept.items())
    made.execute(f"create table {MARTS}.{table} ({declared})")
    marks = ", ".join("?" for _ in kept)
    values = [[row[name] for name in kept] for row in rows]
    if values:
        made.executemany(f"insert into {MARTS}.{table} values ({marks})", values)
    made.execute(
        f"create view {MARTS}.{view} as "
        f"select '{publication_id}' as publication_id, mart.* from {MARTS}.{table} as mart"
    )


# -- destinations --------------------------------------------------------------------------------
def hubspot(crm: Crm, **changes: Any) -> dict[str, Any]:
    """Settings of a HubSpot destination."""
    return {
        "type": "hubspot",
        "portal": PORTAL,
        "token_env": "HUBSPOT_TOKEN",
        "key": KEY,
        "base_url": crm.base_url,
        "fields": FIELDS,
        "limits": LIMITS,
        **changes,
    }


def salesforce(crm: Crm, **changes: Any) -> dict[str, Any]:
    """Settings of a Salesforce destination."""
    return {
        "type": "salesforce",
        "instance_url": crm.base_url,
        "client_id_env": "SF_CLIENT_ID",
        "client_secret_env": "SF_CLIENT_SECRET",
        "key": SALESFORCE_KEY,
        "ca_file": str(crm.ca_file),
        "fields": {f"{name.title()}__c": source for name, source in FIELDS.items()},
        "limits": LIMITS,
        **changes,
    }


def webhook(crm: Crm, **changes: Any) -> dict[str, Any]:
    """Settings of a webhook."""
    return {
        "type": "webhook",
        "url": crm.base_url + HOOK,
        "secret_env": "HOOK_SECRET",
        "fields": FIELDS,
        "limits": LIMITS,
        **changes,
    }


def expected_fields(row: Mapping[str, Any], publication: str) -> dict[str, Any]:
    """What a CRM should have of an account, as text or null."""
    day = row["as_of_date"] or date.fromisoformat(publication[:10])
    return {
        "score": row["health_score"],
        "band": row["band"],
        "next_step": row["next_action"],
        "renewal": row["renewal_date"].isoformat() if row["renewal_date"] else None,
        "link": f"https://dash.example.com/?account={row['account_id']}",
        "publication": publication,
        "scored_on": day.isoformat(),
    }
