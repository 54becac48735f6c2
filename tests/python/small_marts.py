"""Small hand-made marts for the tests of the command line, with the columns of the real ones.

The account `A1` is the worked example of the scoring design: 64.1667 points, Healthy. The others
each show one thing: a held band, a knock-out, an override, too little data, a trial, a churned
account, two accounts of one name, and a name made to break terminals.
"""

from __future__ import annotations

import json
import os
import tempfile
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
from typer.testing import CliRunner, Result

from customer_health import cli, publication
from customer_health.publication import Publication
from customer_health.settings import Settings

AS_OF = date(2026, 6, 30)
MARTS = "customer_health"
SNAPSHOT = "customer_health_snapshots.snap_health__account_bands"

# For processes of their own: they find these modules wherever pytest was started.
_PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(_PATHS)}

TABLES: dict[str, dict[str, str]] = {
    "bi_health__account_360": {
        "account_id": "varchar", "account_name": "varchar", "parent_account_id": "varchar",
        "segment": "varchar", "plan": "varchar", "region": "varchar", "csm_id": "varchar",
        "lifecycle_stage": "varchar", "is_frozen": "boolean", "as_of_date": "date",
        "health_score": "bigint", "band": "varchar", "band_label": "varchar",
        "traffic_light": "varchar", "mrr_amount": "double", "arr_amount": "double",
        "currency_code": "varchar", "renewal_date": "date", "days_to_renewal": "bigint",
        "onboarding_score": "double", "expansion_score": "double", "conversion_score": "double",
        "nps_promoter_minus_detractor": "double",
    },
    "fct_health__account_scores": {
        "account_id": "varchar", "as_of_date": "date", "scoring_version": "varchar",
        "scorecard_key": "varchar", "lifecycle_stage": "varchar", "tenure_days": "bigint",
        "mrr_amount": "double", "arr_amount": "double", "renewal_date": "date",
        "health_score": "bigint", "health_score_exact": "double", "score_low": "double",
        "score_high": "double", "coverage": "double", "connected_weight": "double",
        "known_metric_count": "bigint", "applicable_metric_count": "bigint",
        "raw_band": "varchar", "band": "varchar", "band_rank": "bigint", "band_reason": "varchar",
        "band_note": "varchar", "band_since_date": "date", "days_in_band": "bigint",
        "churn_probability": "double", "churn_probability_method": "varchar",
    },
    "fct_health__metric_scores": {
        "account_id": "varchar", "as_of_date": "date", "scoring_version": "varchar",
        "scorecard_key": "varchar", "category_key": "varchar", "metric_key": "varchar",
        "metric_label": "varchar", "unit": "varchar", "value_state": "varchar",
        "metric_value": "double", "metric_score": "double", "category_weight": "double",
        "metric_weight": "double", "effective_weight": "double", "metric_points": "double",
        "category_score": "double", "observed_at": "timestamp", "value_age_days": "bigint",
        "sample_size": "bigint", "is_data_incident": "boolean", "reported_value": "double",
    },
    "fct_health__score_changes": {
        "account_id": "varchar", "as_of_date": "date", "lag_key": "varchar",
        "compared_date": "date", "metric_key": "varchar", "policy_points": "double",
        "behaviour_points": "double", "absence_points": "double", "change_points": "double",
        "earlier_value": "double", "later_value": "double", "driver_text": "varchar",
    },
    "act_health__actions": {
        "action_id": "varchar", "account_id": "varchar", "playbook_key": "varchar",
        "fired_on": "date", "due_date": "date", "state": "varchar", "is_open": "boolean",
        "is_still_true": "boolean", "owner_role": "varchar", "owner_id": "varchar",
        "channel": "varchar", "priority": "bigint", "priority_score": "double",
        "action_text": "varchar", "why_text": "varchar",
    },
    "act_health__csm_capacity": {
        "csm_id": "varchar", "week_start_date": "date", "action_count": "bigint",
        "is_over_capacity": "boolean",
    },
    "act_health__band_paths": {
        "account_id": "varchar", "path_rank": "bigint", "is_on_path": "boolean",
        "next_band": "varchar", "next_band_label": "varchar", "band_exception": "varchar",
        "missing_points": "double", "is_reachable": "boolean", "metric_key": "varchar",
        "metric_label": "varchar", "metric_score": "double", "lost_points": "double",
        "needed_metric_score": "double", "playbook_key": "varchar",
    },
    "fct_health__publications": {
        "publication_id": "varchar not null", "published_at": "timestamp not null",
        "as_of_date": "date", "scoring_version": "varchar", "policy_hash": "varchar",
        "git_sha": "varchar", "account_count": "bigint", "scored_account_count": "bigint",
        "checks_run": "bigint", "checks_passed": "bigint", "newest_input_at": "timestamp",
        "is_backfill": "boolean",
    },
    "fct_health__publication_checks": {
        "publication_id": "varchar not null", "gate": "varchar not null",
        "rule": "varchar not null", "table_name": "varchar not null", "column_name": "varchar",
        "severity": "varchar not null", "is_passed": "boolean not null", "observed": "varchar",
        "expected": "varchar", "bad_row_count": "bigint",
    },
}  # fmt: skip

# category, weight, metric, label, unit, state, value, score, weight in category
EXAMPLE_METRICS = (
    ("product_usage", 0.25, "logins", "Logins in 30 days", "count", "observed", 41, 8.0, 1 / 3),
    ("product_usage", 0.25, "feature_adoption", "Features used", "ratio", "observed", 0.6, 6.0,
     1 / 3),
    ("product_usage", 0.25, "usage_frequency", "Active days", "days", "observed", 12, 7.0, 1 / 3),
    ("satisfaction", 0.20, "csat", "CSAT", "score 0-10", "observed", 9.1, 9.0, 0.5),
    ("satisfaction", 0.20, "nps", "NPS answers", "score 0-10", "unknown", None, None, 0.5),
    ("churn_risk", 0.20, "churn_probability", "Churn probability", "probability", "observed",
     0.042, 4.0, 1.0),
    ("support", 0.15, "tickets", "Tickets", "count", "zero", 0, 10.0, 0.5),
    ("support", 0.15, "ticket_complexity", "Ticket complexity", "score 1-5", "observed", 3.2, 5.0,
     0.5),
    ("onboarding", 0.10, "onboarding_completion", "Onboarding", "ratio", "not_applicable", None,
     None, 1.0),
    ("engagement", 0.05, "campaign_engagement", "Campaigns", "count", "observed", 2, 2.0, 1.0),
    ("revenue", 0.05, "mrr", "MRR", "reporting currency per month", "observed", 1200, 3.0, 0.5),
    ("revenue", 0.05, "lifetime_value", "Paid so far", "reporting currency", "observed", 30000,
     5.0, 0.5),
)  # fmt: skip
EXAMPLE_SCORE = 10 * (0.25 * 7 + 0.2 * 9 + 0.2 * 4 + 0.15 * 7.5 + 0.05 * 2 + 0.05 * 4) / 0.9

BREAKING_NAME = "Łódź [red]Foods[/red] 🦊\nline \u202etwo\x1b[31m"


def account(account_id: str, **changes: Any) -> dict[str, Any]:
    """A row of the 360 with sensible defaults."""
    return {
        "account_id": account_id,
        "account_name": f"Account {account_id}",
        "parent_account_id": None,
        "segment": "smb",
        "plan": "growth",
        "region": "emea",
        "csm_id": "csm-1",
        "lifecycle_stage": "active",
        "is_frozen": False,
        "as_of_date": AS_OF,
        "health_score": 64,
        "band": "healthy",
        "band_label": "Healthy",
        "traffic_light": "green",
        "mrr_amount": 1200.0,
        "arr_amount": 14400.0,
        "currency_code": "USD",
        "renewal_date": AS_OF + timedelta(days=125),
        "days_to_renewal": 125,
        "onboarding_score": None,
        "expansion_score": 40.2,
        "conversion_score": None,
        "nps_promoter_minus_detractor": None,
        **changes,
    }


def score(account_id: str, **changes: Any) -> dict[str, Any]:
    """A row of the account scores with the numbers of the worked example."""
    return {
        "account_id": account_id,
        "as_of_date": AS_OF,
        "scoring_version": "v1",
        "scorecard_key": "standard",
        "lifecycle_stage": "active",
        "tenure_days": 400,
        "mrr_amount": 1200.0,
        "arr_amount": 14400.0,
        "renewal_date": AS_OF + timedelta(days=125),
        "health_score": 64,
        "health_score_exact": round(EXAMPLE_SCORE, 10),
        "score_low": 54.1667,
        "score_high": 65.2778,
        "coverage": 0.8 / 0.9,
        "connected_weight": 1.0,
        "known_metric_count": 10,
        "applicable_metric_count": 11,
        "raw_band": "healthy",
        "band": "healthy",
        "band_rank": 3,
        "band_reason": "score",
        "band_note": None,
        "band_since_date": date(2026, 6, 1),
        "days_in_band": 30,
        "churn_probability": 0.042,
        "churn_probability_method": "base_rate",
        **changes,
    }


def metrics(account_id: str, as_of: date = AS_OF) -> list[dict[str, Any]]:
    """Metric rows of the worked example; their points add up to the score."""
    known: dict[str, list[tuple[float, float]]] = {}
    weights: dict[str, float] = {}
    for category, weight, _, _, _, _, _, metric_score, metric_weight in EXAMPLE_METRICS:
        if metric_score is not None:
            known.setdefault(category, []).append((metric_weight, metric_score))
            weights[category] = weight
    whole = sum(weights.values())
    rows = []
    for category, weight, key, label, unit, state, value, metric_score, share in EXAMPLE_METRICS:
        pairs = known.get(category, [])
        in_category = sum(pair[0] for pair in pairs)
        points = None
        if metric_score is not None:
            points = 10 * weight * share / in_category * metric_score / whole
        rows.append(
            {
                "account_id": account_id,
                "as_of_date": as_of,
                "scoring_version": "v1",
                "scorecard_key": "standard",
                "category_key": category,
                "metric_key": key,
                "metric_label": label,
                "unit": unit,
                "value_state": state,
                "metric_value": value,
                "metric_score": metric_score,
                "category_weight": weight,
                "metric_weight": share,
                "effective_weight": weight * share,
                "metric_points": points,
                "category_score": (
                    sum(pair[0] * pair[1] for pair in pairs) / in_category if pairs else None
                ),
                # What is computed for the date itself was not observed before it.
                "observed_at": None
                if state != "observed"
                else datetime(2026, 6, 30)
                if key == "churn_probability"
                else datetime(2026, 6, 29, 12),
                "value_age_days": 1 if state == "observed" else None,
                "sample_size": 600 if key == "churn_probability" else 5,
                "is_data_incident": False,
                "reported_value": None,
            }
        )
    return rows


def change(account_id: str, metric_key: str, **changes: Any) -> dict[str, Any]:
    """A row of the ledger over 28 days."""
    row = {
        "account_id": account_id,
        "as_of_date": AS_OF,
        "lag_key": "28",
        "compared_date": AS_OF - timedelta(days=28),
        "metric_key": metric_key,
        "policy_points": 0.0,
        "behaviour_points": 0.0,
        "absence_points": 0.0,
        "earlier_value": 41.0,
        "later_value": 12.0,
        "driver_text": None,
        **changes,
    }
    parts = ("policy_points", "behaviour_points", "absence_points")
    return {"change_points": sum(row[part] for part in parts), **row}


def action(account_id: str, playbook_key: str, **changes: Any) -> dict[str, Any]:
    """An open action that fired a week ago."""
    return {
        "action_id": f"{account_id}-{playbook_key}",
        "account_id": account_id,
        "playbook_key": playbook_key,
        "fired_on": AS_OF - timedelta(days=7),
        "due_date": AS_OF,
        "state": "open",
        "is_open": True,
        "is_still_true": True,
        "owner_role": "csm",
        "owner_id": "csm-1",
        "channel": "csm_task",
        "priority": 2,
        "priority_score": 1000.0,
        "action_text": f"Do {playbook_key}",
        "why_text": f"because of {playbook_key}",
        **changes,
    }


def path_step(account_id: str, metric_key: str, path_rank: int, **changes: Any) -> dict[str, Any]:
    """A metric on the path from At risk to Healthy."""
    return {
        "account_id": account_id,
        "path_rank": path_rank,
        "is_on_path": True,
        "next_band": "thriving",
        "next_band_label": "Thriving",
        "band_exception": None,
        "missing_points": 19.8333,
        "is_reachable": True,
        "metric_key": metric_key,
        "metric_label": f"Label of {metric_key}",
        "metric_score": 4.0,
        "lost_points": 12.0,
        "needed_metric_score": 10.0,
        "playbook_key": None,
        **changes,
    }


def example_rows() -> dict[str, list[dict[str, Any]]]:
    """Rows of every table for the accounts that the module's text names."""
    earlier = AS_OF - timedelta(days=28)
    accounts = [
        account("A1", account_name="Harbour Foods"),
        account("A2", account_name="Hill Systems"),
        account("A3", account_name=BREAKING_NAME, band="critical", band_label="Critical",
                traffic_light="red"),
        account("A4", account_name="Twin", band="at_risk", band_label="At risk"),
        account("A5", account_name="TWIN", band="insufficient_data", band_label=None,
                health_score=None, traffic_light=None),
        account("A6", account_name="Old Friend", is_frozen=True, lifecycle_stage="churned",
                as_of_date=earlier, renewal_date=None),
        account("A7", account_name="Just Looking", lifecycle_stage="trial", as_of_date=None,
                health_score=None, band=None, band_label=None, traffic_light=None,
                arr_amount=None, mrr_amount=None, renewal_date=None, conversion_score=71.0),
    ]  # fmt: skip
    scores = [
        score("A1"),
        score("A1", as_of_date=earlier, health_score=70, health_score_exact=70.1667),
        score("A2", health_score=82, raw_band="thriving", band_reason="held"),
        score("A3", band="critical", band_rank=1, band_reason="knockout",
              band_note="cancellation notice received"),
        score("A4", band="at_risk", band_rank=2, band_reason="override",
              band_note="champion left, says csm-1 until 2026-07-31"),
        score("A5", health_score=None, health_score_exact=None, raw_band=None,
              band="insufficient_data", band_rank=None, band_reason="insufficient_data",
              coverage=0.34, churn_probability=None, churn_probability_method=None),
        score("A6", as_of_date=earlier, lifecycle_stage="renewal_window", renewal_date=earlier),
    ]  # fmt: skip
    changes = [
        change(
            "A1",
            "logins",
            behaviour_points=-6.5,
            driver_text="-6.5 points: logins 41 → 12 in 30 days",
        ),
        change("A1", "nps", absence_points=-0.5),
        change("A1", "tickets", policy_points=1.0, driver_text="[bold]tickets[/bold]"),
    ]
    unscored = [dict(row, metric_points=None) for row in metrics("A5")]
    return {
        "bi_health__account_360": accounts,
        "fct_health__account_scores": scores,
        "fct_health__metric_scores": [*metrics("A1"), *metrics("A6", earlier), *unscored],
        "fct_health__score_changes": changes,
        "act_health__actions": [
            action("A1", "gone_reason", is_still_true=False, priority_score=9000.0),
            action("A1", "second", state="acknowledged", action_text="Call [bold]Harbour[/bold]"),
            action("A1", "first", priority_score=5000.0),
            action("A2", "late", due_date=AS_OF - timedelta(days=1)),
            action("A1", "closed", state="done", is_open=False),
            *(action("A1", f"small_{number}", priority_score=1.0) for number in range(4)),
            action("A3", "hostile", action_text=f"Call {BREAKING_NAME}", owner_id=None),
            action("A7", "trial_ready", priority_score=None, owner_id=None, owner_role="sales"),
        ],
        "act_health__csm_capacity": [
            # Monday 2026-06-29 has begun, the week before it is over
            {
                "csm_id": csm,
                "week_start_date": date(2026, 6, day),
                "action_count": count,
                "is_over_capacity": count > 15,
            }
            for csm, day, count in (
                ("csm-1", 29, 99),
                ("csm-1", 22, 16),
                ("csm-2", 22, 15),
                ("(none)", 22, 40),
                ("csm-2", 15, 30),
            )
        ],
        "act_health__band_paths": [
            path_step("A1", "nps", 1),
            path_step("A1", "logins", 2, needed_metric_score=8.25, playbook_key="adoption_low"),
            path_step("A1", "tickets", 3, is_on_path=False, needed_metric_score=None),
            path_step("A3", "csat", 1, band_exception="cancellation notice", is_reachable=False),
        ],
        "fct_health__publications": [],
    }


def write_candidate(path: Path) -> None:
    """A candidate with the example rows; they are written once and copied from then on."""
    path.write_bytes(_example_database())


@cache
def _example_database() -> bytes:
    """The example candidate as bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.duckdb"
        write_marts(path, example_rows())
        return path.read_bytes()


def write_marts(path: Path, rows: dict[str, list[dict[str, Any]]]) -> None:
    """Write marts as dbt does: into a database attached as `marts`, which its views then name."""
    connection = duckdb.connect(":memory:")
    try:
        connection.execute(f"attach '{path}' as marts")
        connection.execute(f"create schema if not exists marts.{MARTS}")
        for table, columns in TABLES.items():
            declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"create table marts.{MARTS}.{table} ({declared})")
            marks = ", ".join("?" for _ in columns)
            for row in rows.get(table, []):
                values = [row[name] for name in columns]
                connection.execute(f"insert into marts.{MARTS}.{table} values ({marks})", values)
        connection.execute(
            f"""
            create view marts.{MARTS}.fct_health__account_scores_current as (
                with newest as (
                    select max(as_of_date) as as_of_date
                    from "marts"."{MARTS}"."fct_health__account_scores"
                )
                select "marts"."{MARTS}"."fct_health__account_scores".account_id
                from "marts"."{MARTS}"."fct_health__account_scores"
                inner join newest
                    on marts.{MARTS}.fct_health__account_scores.as_of_date = newest.as_of_date
            )
            """
        )
        connection.execute("create schema if not exists marts.customer_health_snapshots")
        connection.execute(
            f"create table marts.{SNAPSHOT} (account_id varchar not null, band varchar, "
            "publication_id varchar, dbt_valid_from timestamp, dbt_valid_to timestamp)"
        )
        connection.execute("checkpoint marts")
    finally:
        connection.close()


def add_snapshot_row(settings: Settings, publication_id: str, account_id: str = "A1") -> None:
    """What `dbt snapshot` does to the candidate: close the current row, open a new one."""
    connection = duckdb.connect(str(settings.candidate))
    try:
        connection.execute(
            f"update {SNAPSHOT} set dbt_valid_to = now() where dbt_valid_to is null "
            "and account_id = ?",
            [account_id],
        )
        connection.execute(
            f"insert into {SNAPSHOT} values (?, 'healthy', ?, now(), null)",
            [account_id, publication_id],
        )
    finally:
        connection.close()


def a_publication(
    number: int = 1, as_of: date = AS_OF, policy_hashes: dict[str, str] | None = None
) -> Publication:
    """A publication of the example rows; higher numbers are later."""
    moment = datetime(2026, 6, 30, 8) + timedelta(minutes=number)
    return Publication(
        publication_id=publication.new_publication_id(as_of, moment),
        published_at=moment,
        as_of_date=as_of,
        scoring_version="v1",
        policy_hash="h1",
        git_sha=None,
        account_count=5,
        scored_account_count=4,
        checks_run=12,
        checks_passed=12,
        newest_input_at=datetime(2026, 6, 29, 12),
        is_backfill=False,
        policy_hashes=policy_hashes or {"v1": "h1"},
        row_counts={"crm_accounts": 7},
    )


def call(settings: Settings, *arguments: str) -> Result:
    """Call the command line for a project."""
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    return CliRunner().invoke(cli.app, [*where, *arguments])


def make_project(folder: Path) -> Settings:
    """An empty dbt project and its home folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text(
        "name: small\nvars:\n  customer_health__history_from: '2025-01-05'\n", encoding="utf-8"
    )
    settings = Settings.resolve(folder, folder / "home", environ={})
    settings.prepare()
    return settings


def publish_example(settings: Settings, number: int = 1) -> Publication:
    """Write the example candidate, if there is none, and publish it."""
    if not settings.candidate.exists():
        write_candidate(settings.candidate)
    published = a_publication(number)
    add_snapshot_row(settings, published.publication_id)
    assert publication.publish(settings, published) == []
    return published


def snapshot_rows(path: Path) -> list[tuple[Any, ...]]:
    """All rows of the snapshot in a database."""
    connection = duckdb.connect(str(path), read_only=True)
    try:
        return connection.execute(f"select * from {SNAPSHOT} order by all").fetchall()
    finally:
        connection.close()


def read_json(path: Path) -> Any:
    """Content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
