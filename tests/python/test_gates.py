"""The two quality gates, on small databases with one fault each.

The first gate of a process pays for the import of Great Expectations; each further one takes well
under two seconds, so faults of different tables share a database where they do not hide each
other.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml
from rich.console import Console

from customer_health import gates, gx_duckdb
from customer_health.errors import HealthError, UsageError
from customer_health.gates import EXPECTATIONS, Check, GateReport, load_thresholds, render, run_gate
from customer_health.settings import RAW_TABLES

AS_OF = date(2026, 6, 30)
ACCOUNTS = 200

# Every raw table of the input contract, healthy; {n} is the number of accounts. Rows of events,
# users and tickets carry the small share of bad rows that the limits allow.
RAW = {
    "crm_accounts": """
        select
            'a' || i as account_id, 'Account ' || i as account_name, null as parent_account_id,
            (i % 50 + 1)::bigint as seats_licensed, timestamp '2025-01-01' as created_at,
            timestamp '2026-06-29 12:00:00' as updated_at
        from range({n}) as accounts (i)
    """,
    "crm_contacts": """
        select
            'c' || i as contact_id, 'a' || i as account_id, 'admin' as role,
            timestamp '2025-01-02' as created_at, timestamp '2025-01-02' as updated_at
        from range({n}) as accounts (i)
    """,
    "crm_opportunities": """
        select
            'o' || i as opportunity_id, 'a' || i as account_id, 'renewal' as opportunity_type,
            'open' as stage, i * 100.0 as amount, 'USD' as currency_code,
            timestamp '2026-01-02' as created_at
        from range({n}) as accounts (i)
    """,
    "crm_touchpoints": """
        select
            't' || i as touchpoint_id, 'a' || i as account_id, 'call' as channel,
            'two_way' as direction, timestamp '2026-06-28 09:00:00' as occurred_at
        from range({n}) as accounts (i)
    """,
    "crm_csm_sentiments": """
        select
            's' || i as sentiment_id, 'a' || i as account_id, i % 5 + 1 as sentiment,
            'u1' as author_id, timestamp '2026-06-01' as recorded_at
        from range({n}) as accounts (i)
    """,
    "crm_health_overrides": """
        select
            'v1' as override_id, 'a1' as account_id, 'critical' as band_key, 'known' as reason,
            'u1' as author_id, timestamp '2026-06-01' as created_at,
            timestamp '2026-08-01' as expires_at
    """,
    "product_users": """
        select 'u' || i as user_id, 'a' || (i % {n}) as account_id,
            timestamp '2025-01-02' as created_at
        from range({n} * 3) as users (i)
    """,
    "product_events": """
        select
            'e' || i as event_id,
            case when i % 400 = 7 then null else 'a' || (i % {n}) end as account_id,
            'u' || (i % ({n} * 3)) as user_id, 'login' as event_name,
            timestamp '2026-06-29 23:00:00' - to_minutes(i * 7) as occurred_at,
            case when i % 500 = 3 then 'nan'::double else 30.0 end as duration_seconds
        from range({n} * 10) as events (i)
        union all
        select 'future', 'a1', 'u1', 'login', timestamp '2031-01-01', 1.0
    """,
    "product_usage_daily": """
        select 'a' || i as account_id, date '2026-06-29' as usage_date, 'login' as event_name,
            i as event_count
        from range({n}) as accounts (i)
    """,
    "product_features": "select 'create_report' as event_name, 'reports' as feature_key",
    "support_tickets": """
        select
            't' || i as ticket_id, 'a' || (i % {n}) as account_id,
            timestamp '2026-06-29' - to_hours(i) as opened_at, 'open' as status,
            'normal' as priority, i % 5 + 1 as complexity, 4 as csat_score, 5 as csat_scale_max,
            timestamp '2026-06-29' as updated_at
        from range({n}) as tickets (i)
    """,
    "survey_responses": """
        select
            'r' || i as response_id, 'a' || (i % {n}) as account_id, 'nps' as survey_type,
            (case when i = 5 then 11 else i % 11 end)::double as score, 0 as scale_min,
            10 as scale_max, timestamp '2026-06-20' as responded_at
        from range({n}) as responses (i)
    """,
    "billing_subscriptions": """
        select
            'b' || i as subscription_id, 'a' || i as account_id, 'growth' as plan,
            100.0 as mrr_amount, 'USD' as currency_code, timestamp '2025-01-02' as started_at,
            'active' as status, timestamp '2026-06-01' as updated_at
        from range({n}) as accounts (i)
    """,
    "billing_invoices": """
        select
            'i' || i as invoice_id, 'a' || i as account_id, 'charge' as invoice_type,
            100.0 as amount, 'USD' as currency_code, timestamp '2026-06-01' as issued_at,
            timestamp '2026-07-01' as due_at, 'open' as status
        from range({n}) as accounts (i)
    """,
    "billing_exchange_rates": """
        select 'EUR' as currency_code, date '2026-06-29' as rate_date,
            1.1 as rate_to_reporting_currency
    """,
    "onboarding_milestones": """
        select 'm' || i as milestone_id, 'a' || i as account_id, 'kickoff' as milestone_key
        from range({n}) as accounts (i)
    """,
    "marketing_engagements": """
        select 'g' || i as engagement_id, 'a' || i as account_id, 'email' as channel,
            'open' as engagement_type, timestamp '2026-06-25' as occurred_at
        from range({n}) as accounts (i)
    """,
    "success_goals": """
        select 'g' || i as goal_id, 'a' || i as account_id, 'adopt' as goal_name,
            1.0 as target_value, timestamp '2026-06-01' as updated_at
        from range({n}) as accounts (i)
    """,
}

# The marts that the candidate gate reads: two dates, four bands, two metrics an account. The last
# five accounts have too little data, and the one before them was knocked out.
MARTS = [
    """
    create table customer_health.dim_health__accounts as
    select 'a' || i as account_id, i < {n} as is_scored
    from range({n} + 3) as accounts (i)
    """,
    """
    create table customer_health.fct_health__account_scores as
    select
        'a' || i as account_id, dates.as_of_date, 'v1' as scoring_version,
        'standard' as scorecard_key,
        case when i < {n} - 5 then floor(i % 100 + 0.75)::bigint end as health_score,
        case when i < {n} - 5 then i % 100 + 0.25 end as health_score_exact,
        0.0::double as score_low, 100.0::double as score_high,
        case when i < {n} - 5 then 0.9 else 0.2 end::double as coverage,
        0.05::double as churn_probability,
        case
            when i >= {n} - 5 then 'insufficient_data'
            when i = {n} - 6 then 'critical'
            when i % 100 <= 40 then 'critical'
            when i % 100 <= 60 then 'at_risk'
            when i % 100 <= 80 then 'healthy'
            else 'thriving'
        end as band,
        case
            when i >= {n} - 5 then 'insufficient_data'
            when i = {n} - 6 then 'knockout'
            else 'score'
        end as band_reason
    from range({n}) as accounts (i)
    cross join (values (date '2026-06-29'), (date '2026-06-30')) as dates (as_of_date)
    """,
    """
    create table customer_health.fct_health__metric_scores as
    select
        scores.account_id, scores.as_of_date, scores.scoring_version, scores.scorecard_key,
        metrics.metric_key, scores.health_score_exact * metrics.share as metric_points
    from customer_health.fct_health__account_scores as scores
    cross join (values ('logins', 0.75), ('csat', 0.25), ('nps', null)) as metrics (
        metric_key, share
    )
    """,
]


@pytest.fixture(scope="module")
def healthy_landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A landing database with every raw table of the contract."""
    path = tmp_path_factory.mktemp("landing") / "landing.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema raw")
        for table, query in RAW.items():
            connection.execute(f"create table raw.{table} as {query.format(n=ACCOUNTS)}")
    return path


@pytest.fixture(scope="module")
def healthy_candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate database with the marts that the gate reads."""
    path = tmp_path_factory.mktemp("candidate") / "candidate.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create schema customer_health")
        for statement in MARTS:
            connection.execute(statement.format(n=ACCOUNTS))
    return path


Gate = Callable[..., GateReport]


@pytest.fixture
def landing(healthy_landing: Path, tmp_path: Path) -> Gate:
    """Run the landing gate on a copy of the healthy database, changed by some statements."""

    def run(*statements: str, **arguments: object) -> GateReport:
        database = _changed_copy(healthy_landing, tmp_path, statements)
        return run_gate(
            "landing",
            database=database,
            home=tmp_path / "home",
            as_of_date=AS_OF,
            **arguments,  # type: ignore[arg-type]
        )

    return run


@pytest.fixture
def candidate(healthy_candidate: Path, tmp_path: Path) -> Gate:
    """Run the candidate gate on a copy of the healthy database, changed by some statements."""

    def run(*statements: str, **arguments: object) -> GateReport:
        database = _changed_copy(healthy_candidate, tmp_path, statements)
        return run_gate(
            "candidate",
            database=database,
            home=tmp_path / "home",
            as_of_date=AS_OF,
            **arguments,  # type: ignore[arg-type]
        )

    return run


def _changed_copy(healthy: Path, folder: Path, statements: tuple[str, ...]) -> Path:
    database = folder / healthy.name
    database.write_bytes(healthy.read_bytes())
    with duckdb.connect(str(database)) as connection:
        for statement in statements:
            connection.execute(statement)
    return database


def _bad(report: GateReport) -> dict[tuple[str, str, str | None], Check]:
    """Broken rules by rule, table and column."""
    return {
        (check.rule, check.table, check.column): check
        for check in report.checks
        if not check.passed
    }


def _printed(report: GateReport, *, all_checks: bool = False) -> str:
    text = io.StringIO()
    render(report, Console(file=text, width=200, color_system=None), all_checks=all_checks)
    return text.getvalue()
