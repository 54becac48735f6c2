"""The two quality gates, on small databases with one fault each.

The first gate of a process pays for the import of Great Expectations, and each further one takes a
second or two; faults of different tables therefore share a database where they do not hide each
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
from typing import Any

import duckdb
import pyarrow.parquet
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
            'open' as stage, i * 100.0::double as amount, 'USD' as currency_code,
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
    "crm_action_updates": """
        select
            'd' || i as update_id, 'a' || i as account_id, 'score_fell' as playbook_key,
            case when i % 2 = 0 then 'done' else 'acknowledged' end as state,
            timestamp '2026-06-10' as recorded_at
        from range({n}) as accounts (i)
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
            100.0::double as mrr_amount, 'USD' as currency_code,
            timestamp '2025-01-02' as started_at,
            'active' as status, timestamp '2026-06-01' as updated_at
        from range({n}) as accounts (i)
    """,
    "billing_invoices": """
        select
            'i' || i as invoice_id, 'a' || i as account_id, 'charge' as invoice_type,
            100.0::double as amount, 'USD' as currency_code, timestamp '2026-06-01' as issued_at,
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
        case when i < {n} - 5 then (i % 100 + 0.25)::double end as health_score_exact,
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
        metrics.metric_key, (scores.health_score_exact * metrics.share)::double as metric_points
    from customer_health.fct_health__account_scores as scores
    cross join (values ('logins', 0.75), ('csat', 0.25), ('nps', null)) as metrics (
        metric_key, share
    )
    """,
    """
    create table customer_health.fct_health__publications as
    select date '2026-06-29' as as_of_date
    """,
    """
    create table customer_health.fct_health__source_rows as
    select
        'product_events' as source_table, date '2026-06-30' as as_of_date,
        2000::bigint as row_count, 30::bigint as rejected_count, 8::bigint as orphan_count
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


# -- landing gate ------------------------------------------------------------------------------


def test_healthy_raw_tables_pass_and_the_files_are_left_alone(
    healthy_landing: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small share of bad rows is allowed; nothing is written outside of home; no lock stays."""
    monkeypatch.chdir(tmp_path)
    database = _changed_copy(healthy_landing, tmp_path, ())
    before = _fingerprint(EXPECTATIONS), _fingerprint(database)
    report = run_gate(
        "landing",
        database=database,
        home=tmp_path / "home",
        as_of_date=AS_OF,
        using=set(RAW_TABLES),
        previous_counts={"product_events": 2001, "crm_accounts": 250},
    )
    assert report.status == "passed", report.summary()
    assert report.summary() == f"landing gate: passed, {len(report.checks)} checks"
    assert {check.rule for check in report.checks} == {
        "table_present",
        "columns_present",
        "row_count",
        "key_known",
        "instant_known",
        "in_range",
        "usable_number",
        "on_scale",
        "fresh",
        "instants_have_offset",
        "plain_numbers",
        "within_scale",
        "known_columns",
        "weekday_volume",
        "null_share_drift",
        "mean_drift",
        "category_drift",
    }
    assert report.row_counts["product_events"] == 2001
    assert set(report.row_counts) == set(RAW_TABLES)
    by_place = {(check.rule, check.table, check.column): check for check in report.checks}
    # An event of the year 2031 does not make the source fresh.
    assert by_place["fresh", "product_events", "occurred_at"].observed == "0.0417 days"
    known = by_place["key_known", "product_events", "account_id"]
    assert (known.rows, known.sample_keys[0], known.passed) == (5, "e7", True)
    counted = by_place["row_count", "crm_accounts", None]
    assert (counted.observed, counted.expected) == (
        "200 rows, 250 last time",
        "at least 176 rows",
    )

    assert (_fingerprint(EXPECTATIONS), _fingerprint(database)) == before
    assert {path.name for path in tmp_path.iterdir()} == {"landing.duckdb", "home"}
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["gate_results"]
    assert [path.name for path in (tmp_path / "home" / "gate_results").iterdir()] == ["landing"]
    _write_to(database)

    assert "19 tables" not in _printed(report)
    assert "19 tables, all there" in _printed(report, all_checks=True)
    assert json.loads(report.to_json())["checks_passed"] == len(report.checks)


def test_keys_are_asked_for_only_where_rows_are_bad(landing: Gate, tmp_path: Path) -> None:
    """The full answer of a suite takes the place of its first one, which only counted."""
    report = landing("update raw.crm_csm_sentiments set sentiment = 9 where sentiment = 1")
    assert set(_bad(report)) == {("in_range", "crm_csm_sentiments", "sentiment")}
    of_events = [check for check in report.checks if check.table == "product_events"]
    tolerated = {check.rule for check in of_events if check.rows and check.passed}
    assert _rules_with_keys(tmp_path, "product_events") == tolerated >= {"key_known"}
    assert _rules_with_keys(tmp_path, "crm_csm_sentiments") == {"in_range"}
    clean = set(RAW_TABLES) - {check.table for check in report.checks if check.rows}
    assert len(clean) > 10
    for table in clean & {check.table for check in report.checks}:
        assert "unexpected_index_column_names" not in json.dumps(_kept_results(tmp_path, table))


def _kept_results(folder: Path, table: str) -> list[dict[str, Any]]:
    """Results of the one suite of a table, as they are kept."""
    kept = folder / "home" / "gate_results" / "landing" / f"landing_{table}"
    (file,) = kept.rglob("*.json")
    results: list[dict[str, Any]] = json.loads(file.read_text())["results"]
    return results


def _rules_with_keys(folder: Path, table: str) -> set[str]:
    """Rules of a table whose kept result names bad rows."""
    return {
        result["expectation_config"]["meta"]["rule"]
        for result in _kept_results(folder, table)
        if result["result"].get("partial_unexpected_index_list")
    }


def test_nan_is_counted_in_parquet_too(
    healthy_landing: Path, landing: Gate, tmp_path: Path
) -> None:
    """Arrow tells the largest value of a file without NaN, and DuckDB believes it."""
    file = tmp_path / "opportunities.parquet"
    with duckdb.connect(str(healthy_landing), read_only=True) as connection:
        opportunities = connection.sql(
            "select * replace (if(opportunity_id = 'o3', 'nan', amount) as amount)"
            " from raw.crm_opportunities"
        )
        pyarrow.parquet.write_table(opportunities.to_arrow_table(), file)
    report = landing(
        "drop table raw.crm_opportunities",
        f"create view raw.crm_opportunities as from '{file}'",
    )
    (found,) = (
        check
        for check in report.checks
        if (check.rule, check.table) == ("usable_number", "crm_opportunities")
    )
    assert (found.rows, found.sample_keys) == (1, ["o3"])


def test_each_fault_of_a_raw_table_is_named(landing: Gate) -> None:
    """Missing, empty, stale, shrunk, renamed, out of range, not finite, blank keys: data bad."""
    report = landing(
        "drop table raw.support_tickets",
        "alter table raw.marketing_engagements rename to marketing_engagement",
        "delete from raw.crm_touchpoints",
        "alter table raw.crm_opportunities rename column amount to amuont",
        "delete from raw.product_events where occurred_at > timestamp '2026-06-24'",
        "delete from raw.success_goals where goal_id > 'g3'",
        "update raw.crm_csm_sentiments set sentiment = 9 where sentiment = 1",
        "update raw.crm_action_updates set recorded_at = null where update_id like '%6'",
        "update raw.survey_responses set score = -1 where score = 3",
        "update raw.billing_invoices set amount = 'nan' where invoice_id like '%7'",
        "update raw.billing_subscriptions set mrr_amount = 'infinity' where plan = 'growth'",
        "update raw.product_users set account_id = '  ' where user_id like '%3'",
        "update raw.crm_accounts set created_at = null where account_id like '%4'",
        "delete from raw.billing_exchange_rates",
        "insert into raw.billing_exchange_rates values ('EUR', date '2026-01-01', 1.1)",
        previous_counts={"crm_touchpoints": 5000, "success_goals": 200, "support_tickets": 60},
    )
    assert report.status == "failed"
    bad = _bad(report)
    assert set(bad) == {
        ("table_present", "support_tickets", None),
        ("table_present", "marketing_engagements", None),
        ("row_count", "crm_touchpoints", None),
        ("fresh", "crm_touchpoints", "occurred_at"),
        ("columns_present", "crm_opportunities", None),
        ("fresh", "product_events", "occurred_at"),
        ("row_count", "success_goals", None),
        ("in_range", "crm_csm_sentiments", "sentiment"),
        ("instant_known", "crm_action_updates", "recorded_at"),
        ("on_scale", "survey_responses", "score"),
        ("usable_number", "billing_invoices", "amount"),
        ("in_range", "billing_subscriptions", "mrr_amount"),
        ("key_known", "product_users", "account_id"),
        ("instant_known", "crm_accounts", "created_at"),
        ("fresh", "billing_exchange_rates", "rate_date"),
    }
    assert all(check.could_check for check in bad.values())
    gone = bad["table_present", "support_tickets", None]
    assert gone.observed == "missing, 60 rows last time"
    renamed = bad["table_present", "marketing_engagements", None]
    assert renamed.observed == "missing (nearest: marketing_engagement)"
    empty = bad["row_count", "crm_touchpoints", None]
    assert empty.observed == "0 rows, 5,000 last time"
    assert bad["fresh", "crm_touchpoints", "occurred_at"].observed == "nothing to go by"
    column = bad["columns_present", "crm_opportunities", None]
    assert column.observed == "missing: amount (nearest: amuont)"
    stale = bad["fresh", "product_events", "occurred_at"]
    assert (stale.observed, stale.expected) == ("6 days", "at most 3 days")
    shrunk = bad["row_count", "success_goals", None]
    assert shrunk.expected == "at least 141 rows"
    sentiment = bad["in_range", "crm_csm_sentiments", "sentiment"]
    assert (sentiment.rows, sentiment.expected) == (40, "1 to 5 in at least 98.5% of rows")
    assert sentiment.sample_keys == ["s0", "s5", "s10", "s15", "s20"]
    assert bad["usable_number", "billing_invoices", "amount"].rows == 20
    assert bad["key_known", "product_users", "account_id"].rows == 60
    # Silence of touchpoints alone would not stop a run, an old exchange rate does.
    assert [check.table for check in report.warnings] == ["crm_touchpoints"]
    assert "billing_exchange_rates" in {check.table for check in report.failed}
    assert report.summary() == (
        "landing gate: data bad, support_tickets (table_present): missing, 60 rows last time; "
        "expected a table with rows (and 13 more)"
    )
    printed = _printed(report)
    for text in ("bad", "warning", "missing: amount (nearest: amuont)", "s0, s5, s10, s15, s20"):
        assert text in printed
    assert "survey_responses.response_id" not in printed  # a rule that holds is only counted


def test_text_columns_as_from_csv_are_read_like_typed_ones(landing: Gate, tmp_path: Path) -> None:
    """Text that is no number or instant counts against the limit; a view follows its files."""
    folder = tmp_path / "files"
    for name in ("users", "rates"):
        (folder / name).mkdir(parents=True)
    duckdb.execute(f"copy (select 'u1' as user) to '{folder}/users/1.parquet'")
    report = landing(
        """
        create or replace table raw.product_events as
        select
            event_id as "EVENT_ID", account_id, event_name,
            case
                when event_id = 'e0' then '2026-06-30T03:30:00+05:30'
                when event_id like '%9' then 'yesterday'
                else strftime(occurred_at - interval 2 day, '%Y-%m-%dT%H:%M:%SZ')
            end as occurred_at
        from raw.product_events
        """,
        """
        create or replace table raw.billing_subscriptions as
        select * replace (
            case when subscription_id like '%5' then '$5' else cast(mrr_amount as varchar) end
                as mrr_amount
        ) from raw.billing_subscriptions
        """,
        "drop table raw.product_users",
        f"create view raw.product_users as from read_parquet('{folder}/users/*.parquet')",
        "drop table raw.billing_exchange_rates",
        "create view raw.billing_exchange_rates as select 'EUR' as currency_code",
        using={"product_events", "billing_subscriptions", "product_users"},
    )
    bad = _bad(report)
    assert report.status == "failed"
    assert set(bad) == {
        ("instant_known", "product_events", "occurred_at"),
        ("in_range", "billing_subscriptions", "mrr_amount"),
        ("plain_numbers", "billing_subscriptions", "mrr_amount"),
        ("columns_present", "product_users", None),
    }
    assert bad["instant_known", "product_events", "occurred_at"].rows == 200
    assert bad["in_range", "billing_subscriptions", "mrr_amount"].sample_keys[0] == "b5"
    assert bad["columns_present", "product_users", None].observed == (
        "missing: account_id, created_at, user_id (nearest: user)"
    )
    # 03:30 at +05:30 is 22:00 UTC of the day before, two hours before midnight.
    fresh = next(check for check in report.checks if check.rule == "fresh")
    assert fresh.observed == "0.0833 days"
    assert "billing_exchange_rates" not in {check.table for check in report.checks}


# -- candidate gate ----------------------------------------------------------------------------


def test_healthy_marts_pass(candidate: Gate, tmp_path: Path) -> None:
    """Also where an account was knocked out, and where some have too little data."""
    report = candidate(previous_counts={"scored_accounts": 210})
    assert report.status == "passed", report.summary()
    assert report.row_counts == {"scored_accounts": 200}
    assert {check.rule for check in report.checks} == {
        "table_present",
        "row_count",
        "one_row_per_account",
        "in_range",
        "score_and_band_agree",
        "known_band",
        "enough_data",
        "mean_coverage",
        "band_changes",
        "points_add_up",
        "bands_spread",
        "score_drift",
        "band_drift",
        "orphan_share",
        "unmatched_share",
        "rejected_share",
    }
    assert {check.table for check in report.checks} == {
        "declared tables",
        "dim_health__accounts",
        "fct_health__account_scores",
        "fct_health__metric_scores",
        "fct_health__source_rows",
    }
    _write_to(tmp_path / "candidate.duckdb")


def test_each_fault_of_a_row_is_named_with_its_account(candidate: Gate) -> None:
    """Sums, ranges, NaN, bands, and accounts too many or too few."""
    scores = "customer_health.fct_health__account_scores"
    report = candidate(
        f"update {scores} set health_score = 140 where account_id = 'a1'",
        f"update {scores} set health_score_exact = 'nan' where account_id = 'a2'",
        f"update {scores} set coverage = 1.5 where account_id = 'a3'",
        f"update {scores} set score_high = 'infinity' where account_id = 'a3'",
        f"update {scores} set band = 'great' where account_id = 'a4'",
        f"update {scores} set health_score = null where account_id = 'a5'",
        f"update {scores} set band = 'insufficient_data' where account_id = 'a6'",
        f"delete from {scores} where account_id = 'a7' and as_of_date = '2026-06-30'",
        "update customer_health.dim_health__accounts set is_scored = false where account_id = 'a8'",
        "update customer_health.fct_health__metric_scores set metric_points = metric_points + 1e-4"
        " where account_id = 'a9' and metric_key = 'csat'",
        "update customer_health.fct_health__metric_scores set metric_points = 'nan'"
        " where account_id = 'a10' and metric_key = 'csat'",
        "delete from customer_health.fct_health__metric_scores where account_id = 'a11'",
        "update customer_health.fct_health__metric_scores set metric_points = metric_points + 1e-8"
        " where account_id = 'a12' and metric_key = 'csat'",
    )
    assert report.status == "failed"
    table = "fct_health__account_scores"
    keys = {place: sorted(check.sample_keys) for place, check in _bad(report).items()}
    assert keys == {
        ("in_range", table, "health_score"): ["a1"],
        ("in_range", table, "health_score_exact"): ["a2"],
        ("in_range", table, "coverage"): ["a3"],
        ("in_range", table, "score_high"): ["a3"],
        ("known_band", table, "band"): ["a4"],
        ("score_and_band_agree", table, "band"): ["a5", "a6"],
        ("one_row_per_account", table, "account_id"): ["a7", "a8"],
        ("points_add_up", "fct_health__metric_scores", "metric_points"): [
            "a10",
            "a11",
            "a2",
            "a9",
        ],
    }
    sums = _bad(report)["points_add_up", "fct_health__metric_scores", "metric_points"]
    assert (sums.observed, sums.rows) == ("not for 4 rows", 4)
    assert sums.expected == "the points of an account's metrics add up to its exact score"


def test_faults_of_the_whole_base_are_seen(candidate: Gate) -> None:
    """One band for nearly all, bands that jump, too little data, an old or missing mart."""
    scores = "customer_health.fct_health__account_scores"
    jumped = f"""
        update {scores} set band = 'thriving', health_score = 90, coverage = 0.3
        where as_of_date = '2026-06-30' and health_score is not null
    """
    report = candidate(jumped)
    bad = _bad(report)
    table = "fct_health__account_scores"
    assert set(bad) == {
        ("bands_spread", table, "band"),
        ("band_changes", table, "band"),
        ("mean_coverage", table, "coverage"),
        ("score_drift", table, "health_score"),
        ("band_drift", table, "band"),
    }
    spread = bad["bands_spread", table, "band"]
    assert (spread.observed, spread.expected) == ("100%", "at most 95%")
    assert len(bad["band_changes", table, "band"].sample_keys) == 5
    assert bad["mean_coverage", table, "coverage"].expected == "at least 50%"

    new_version = f"update {scores} set scoring_version = 'v2' where as_of_date = '2026-06-30'"
    points = new_version.replace("account_scores", "metric_scores")
    report = candidate(jumped.replace(", coverage = 0.3", ""), new_version, points)
    assert set(_bad(report)) == {("bands_spread", table, "band")}

    few = [
        f"delete from {name} where cast(account_id[2:] as integer) >= 40"
        for name in (scores, "customer_health.dim_health__accounts")
    ]
    report = candidate(jumped.replace(", coverage = 0.3", ""), *few)
    assert report.status == "passed", report.summary()

    report = candidate(
        f"update {scores} set band = 'insufficient_data', health_score = null"
        " where cast(account_id[2:] as integer) >= 90",
        "delete from customer_health.dim_health__accounts where account_id = 'a199'",
        previous_counts={"scored_accounts": 1000},
    )
    assert {rule for rule, _, _ in _bad(report)} == {
        "enough_data",
        "row_count",
        "one_row_per_account",
    }
    assert _bad(report)["row_count", "dim_health__accounts", None].observed == (
        "199 rows, 1,000 last time"
    )

    report = candidate(f"delete from {scores} where as_of_date = '2026-06-30'")
    assert _bad(report)["one_row_per_account", table, "account_id"].rows == 200

    report = candidate("drop table customer_health.fct_health__metric_scores")
    assert [(check.table, check.observed) for check in report.failed] == [
        ("fct_health__metric_scores", "missing")
    ]
    assert len(report.checks) == 1


def test_scores_are_compared_with_the_date_published_before(candidate: Gate) -> None:
    """Not with a date that was never published, and a person can accept what changed."""
    scores = "customer_health.fct_health__account_scores"
    shifted = f"""
        update {scores} set health_score = health_score + 25
        where as_of_date = '2026-06-30' and health_score <= 70
    """
    report = candidate(shifted)
    bad = _bad(report)
    shift = bad["score_drift", "fct_health__account_scores", "health_score"]
    assert shift.observed == "2% of accounts are at 26 or below, 28% on 2026-06-29"
    assert (shift.sample_keys, shift.severity) == (["v1 up to 26"], "critical")
    assert set(bad) == {("score_drift", "fct_health__account_scores", "health_score")}

    banded = f"update {scores} set band = 'healthy' where as_of_date = '2026-06-30' and "
    report = candidate(banded + "band in ('at_risk', 'thriving')", accept_volume=True)
    drift = _bad(report)["band_drift", "fct_health__account_scores", "band"]
    assert drift.severity == "warning"
    assert drift.observed == (
        "healthy 57%, 21% on 2026-06-29; at_risk 0%, 21% on 2026-06-29 (and 1 more); "
        "accepted with --accept-volume"
    )
    assert drift.sample_keys == ["healthy", "at_risk", "thriving"]
    assert report.status == "failed"  # band_changes is no drift and stays

    unpublished = "update customer_health.fct_health__publications set as_of_date = '2026-06-20'"
    assert candidate(shifted, unpublished).status == "passed"
    assert candidate(shifted, "drop table customer_health.fct_health__publications").status == (
        "passed"
    )


def test_sources_with_many_orphans_or_rejected_rows_are_named(candidate: Gate) -> None:
    """Above a share and more than a few; an older candidate says that it does not know."""
    rows = "customer_health.fct_health__source_rows"
    more = f"""
        insert into {rows} values
            ('crm_contacts', date '2026-06-30', 1000, 51, 11),
            ('crm_touchpoints', date '2026-06-30', 100, 10, 10),
            ('billing_invoices', date '2026-06-30', 1000, 50, 10),
            ('support_tickets', date '2026-06-29', 100, 90, 90)
    """
    report = candidate(more)
    bad = _bad(report)
    table = "fct_health__source_rows"
    assert {place: check.sample_keys for place, check in bad.items()} == {
        ("orphan_share", table, "orphan_count"): ["crm_contacts"],
        ("rejected_share", table, "rejected_count"): ["crm_contacts"],
    }
    orphans = bad["orphan_share", table, "orphan_count"]
    assert orphans.observed == "crm_contacts has 11 of 1000 rows of unknown accounts"
    assert orphans.expected == "at most 1% of the rows of a source, or 10 rows"
    assert report.status == "failed" and not orphans.is_acceptable

    for statement, said in (
        (f"drop table {rows}", "built without the mart"),
        (f"delete from {rows}", "the mart has no row of 2026-06-30"),
    ):
        report = candidate(statement)
        assert report.status == "passed"
        assert {check.rule for check in report.warnings} == {
            "orphan_share",
            "unmatched_share",
            "rejected_share",
        }
        assert all(said in check.observed for check in report.warnings)


def test_a_connector_whose_accounts_are_not_those_of_the_crm_is_named(candidate: Gate) -> None:
    """Rows without an account are no bad rows, unless they are most of them."""
    rows, rejected = "customer_health.fct_health__source_rows", "fct_health__rejected_rows"
    more = f"""
        insert into {rows} values
            ('support_tickets', date '2026-06-30', 1000, 501, 0),
            ('product_events', date '2026-06-30', 1000, 500, 0);
        create table customer_health.{rejected} as
        select * from (values
            ('support_tickets', 'unmatched_account', 400, date '2026-06-30'),
            ('support_tickets', 'ambiguous_account', 101, date '2026-06-30'),
            ('product_events', 'unmatched_account', 500, date '2026-06-30'),
            ('product_events', 'unmatched_account', 500, date '2026-06-29')
        ) as found (source_table, rejection_reason, row_count, last_seen_date)
    """
    bad = _bad(candidate(more))
    place = ("unmatched_share", "fct_health__source_rows", "unmatched_count")
    assert {found: check.sample_keys for found, check in bad.items()} == {
        place: ["support_tickets"]
    }
    assert bad[place].observed == (
        "support_tickets has 501 of 1000 rows whose account is not found in the CRM "
        "(dim_health__account_links)"
    )


# -- could not check ---------------------------------------------------------------------------


def test_not_judged_is_told_apart_from_bad(
    healthy_landing: Path, healthy_candidate: Path, tmp_path: Path
) -> None:
    """A file that is missing, damaged or locked, and rules that cannot be evaluated."""
    truncated = tmp_path / "truncated.duckdb"
    truncated.write_bytes(healthy_landing.read_bytes()[:20_000])
    reports = {
        name: run_gate(
            "landing", database=tmp_path / name, home=tmp_path / "home", as_of_date=AS_OF
        )
        for name in ("truncated.duckdb", "nowhere.duckdb")
    }
    for name, report in reports.items():
        assert (report.status, report.checks, report.database) == ("could_not_check", [], name)
        assert report.reason and "\n" not in report.reason
        assert report.summary().startswith(f"landing gate: could not check {name}: ")
    assert reports["nowhere.duckdb"].reason == "there is no nowhere.duckdb"
    assert "could not check" in _printed(reports["truncated.duckdb"])

    candidate_file = _changed_copy(healthy_candidate, tmp_path, ())
    hold = (
        "import duckdb, sys; connection = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", hold, str(candidate_file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        locked = run_gate(
            "candidate", database=candidate_file, home=tmp_path / "home", as_of_date=AS_OF
        )
    finally:
        writer.communicate("")
    assert locked.status == "could_not_check"
    assert locked.reason is not None and "lock" in locked.reason

    broken = _broken_expectations(tmp_path)
    report = run_gate(
        "candidate",
        database=candidate_file,
        home=tmp_path / "home",
        as_of_date=AS_OF,
        expectations=broken,
    )
    assert report.status == "could_not_check"
    (raised,) = report.not_checked
    assert (raised.rule, raised.passed, raised.could_check) == ("mean_coverage", False, False)
    assert "coverrage" in raised.observed
    assert "not checked" in _printed(report)
    assert [path.name for path in (tmp_path / "home" / "gate_results").iterdir()] == ["candidate"]

    _write_to(candidate_file)
    with duckdb.connect(str(candidate_file)) as connection:
        connection.execute(
            "update customer_health.fct_health__account_scores set health_score = 140"
        )
    report = run_gate(
        "candidate",
        database=candidate_file,
        home=tmp_path / "home",
        as_of_date=AS_OF,
        expectations=broken,
    )
    assert report.status == "failed"  # what is known to be bad outweighs what is not known


def _broken_expectations(tmp_path: Path) -> Path:
    """A copy of the context in which one rule names a column that no table has."""
    folder = tmp_path / "expectations"
    for path in EXPECTATIONS.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(EXPECTATIONS)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    suite = folder / "suites" / "candidate_account_scores.json"
    content = json.loads(suite.read_text(encoding="utf-8"))
    for expectation in content["expectations"]:
        if expectation["meta"]["rule"] == "mean_coverage":
            expectation["kwargs"]["column"] = "coverrage"
    suite.write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_private_names_of_great_expectations_are_where_they_were(
    healthy_candidate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails loudly after an upgrade that moves what gx_duckdb relies on."""
    import great_expectations
    from great_expectations.execution_engine import sqlalchemy_execution_engine as module

    assert great_expectations.__version__ == gx_duckdb.TESTED_VERSION, (
        "another version of Great Expectations: try the gates on it, then change TESTED_VERSION "
        "and the pin in pyproject.toml together"
    )
    monkeypatch.setattr(
        module,
        "_PERSISTED_CONNECTION_DIALECTS",
        tuple(name for name in module._PERSISTED_CONNECTION_DIALECTS if name != "duckdb"),
    )
    assert "sqlite" in module._PERSISTED_CONNECTION_DIALECTS
    assert not module._dialect_requires_persisted_connection(gx_duckdb.IN_MEMORY)
    gx_duckdb.enable()
    gx_duckdb.enable()
    assert len([name for name in module._PERSISTED_CONNECTION_DIALECTS if name == "duckdb"]) == 1
    assert module._dialect_requires_persisted_connection(gx_duckdb.IN_MEMORY)

    monkeypatch.delattr(module, "_PERSISTED_CONNECTION_DIALECTS")
    report = run_gate(
        "candidate", database=healthy_candidate, home=tmp_path / "home", as_of_date=AS_OF
    )
    assert report.status == "could_not_check"
    assert report.reason is not None and "install great-expectations==1.24.1" in report.reason


# -- the files of expectations/ ----------------------------------------------------------------


def test_pieces_of_the_context_fit_together() -> None:
    """Checkpoints, validation definitions, suites, assets, columns and thresholds agree."""
    config = yaml.safe_load((EXPECTATIONS / "great_expectations.yml").read_text(encoding="utf-8"))
    assets = config["fluent_datasources"]["gate"]["assets"]
    suites = {path.stem: _json(path) for path in (EXPECTATIONS / "suites").glob("*.json")}
    definitions = {
        path.stem: _json(path) for path in (EXPECTATIONS / "validation_definitions").glob("*.json")
    }
    landing = _json(EXPECTATIONS / "checkpoints" / "landing.json")["validation_definitions"]
    candidate = _json(EXPECTATIONS / "checkpoints" / "candidate.json")["validation_definitions"]

    assert set(suites) == set(definitions) == {item["name"] for item in landing + candidate}
    assert [item["name"] for item in landing] == [
        "landing_tables",
        "landing_values",
        *(f"landing_{table}" for table in RAW_TABLES),
        "landing_days",
        "landing_drift",
    ]
    for item in landing + candidate:
        definition = definitions[item["name"]]
        assert definition["id"] == item["id"]
        assert definition["suite"]["id"] == suites[item["name"]]["id"]
        asset = assets[definition["data"]["asset"]["name"]]
        assert definition["data"]["asset"]["id"] == asset["id"]
        assert asset["table_name"] == f"gate__{definition['data']['asset']['name']}"
    rules = [rule["id"] for suite in suites.values() for rule in suite["expectations"]]
    assert len(rules) == len(set(rules))

    columns = yaml.safe_load((EXPECTATIONS / "raw_columns.yml").read_text(encoding="utf-8"))
    assert list(columns) == list(RAW_TABLES)
    for table, spec in columns.items():
        expectations = suites[f"landing_{table}"]["expectations"]
        required = set(expectations[0]["kwargs"]["column_set"])
        optional = {name for name, kind in spec["columns"].items() if "optional" in kind}
        assert set(spec["columns"]) - optional <= required
        assert not optional & required
        looked_at = {
            rule["kwargs"][name]
            for rule in expectations
            for name in ("column", "column_A", "column_B")
            if name in rule["kwargs"]
        }
        assert looked_at - {"age_days"} <= set(spec["columns"])
        assert ("age_days" in looked_at) == ("newest" in spec)
        assert set(spec["row_key"]) <= required

    limits = load_thresholds()
    for gate in ("landing", "candidate"):
        known = set(gates._parameters(gate, limits, {}, {}))
        used = {
            name
            for suite, content in suites.items()
            if suite.startswith(gate)
            for expression in _parameters_in(content)
            for name in _names_in(expression)
        }
        assert used <= known, used - known


def test_thresholds_of_a_project_replace_ours(tmp_path: Path) -> None:
    """Only what differs is written, and a slip names what was meant."""
    own = tmp_path / "thresholds.yml"

    def written(text: str) -> dict[str, object]:
        own.write_text(text, encoding="utf-8")
        return gates._parameters("landing", load_thresholds(changes=own), {}, {})

    # In a small table one bad row is a large share.
    few = gates._parameters(
        "landing", load_thresholds(), {}, {"crm_accounts": 100, "crm_contacts": 4, "x": 0}
    )
    assert few["crm_accounts__least_known_key_share"] == 0.97
    assert few["crm_contacts__least_known_key_share"] == 0.5
    assert few["product_users__least_known_key_share"] == 0.99

    changed = written(
        "landing:\n  every_table:\n    least_volume_share: 0.5\n"
        "  tables:\n    crm_contacts:\n      least_known_key_share: 0.8\n"
    )
    assert changed["crm_accounts__least_volume_share"] == 0.5
    assert changed["crm_contacts__least_known_key_share"] == 0.8
    assert changed["crm_accounts__least_known_key_share"] == 0.99
    assert changed["product_events__newest_within_days"] == 3
    for text, message in (
        ("landing:\n  every_table:\n    least_volum_share: 0.5\n", "least_volume_share"),
        ("landing:\n  tables:\n    crm_contact: {}\n", "crm_contacts"),
        ("candidate:\n  points_tolerance: small\n", "a number from 0 on"),
        ("candidate:\n  least_mean_coverage: 0.5\n  most_one_band_share: 95\n", "0 to 1"),
        ("candidate:\n  points_tolerance: .nan\n", "a number from 0 on"),
        ("candidate: 7\n", "not of the form"),
        ("- 7\n", "expected names and values"),
        ("landing: [\n", "cannot be read"),
    ):
        with pytest.raises(HealthError, match=message):
            written(text)


def test_names_are_checked_at_the_door(tmp_path: Path) -> None:
    """A misspelt raw table or a schema that is no identifier is a usage error."""
    arguments = {"database": tmp_path / "x.duckdb", "home": tmp_path, "as_of_date": AS_OF}
    with pytest.raises(UsageError, match="nearest: product_events"):
        run_gate("landing", using={"product_event"}, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no raw table is declared"):
        run_gate("landing", using=set(), **arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no plain identifier"):
        run_gate("landing", schema="raw; drop", **arguments)  # type: ignore[arg-type]


def test_great_expectations_is_imported_only_by_a_gate() -> None:
    """Its import takes seconds, which `customer-health status` shall not pay for."""
    code = "import sys, customer_health.gates; print('great_expectations' in sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXPECTATIONS.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.strip() == "False"


# -- helpers -----------------------------------------------------------------------------------


def _write_to(database: Path) -> None:
    """Open the database for writing in another process, which fails while a gate holds it."""
    subprocess.run(
        [
            sys.executable,
            "-c",
            "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('create table t (i int)')",
            str(database),
        ],
        check=True,
    )


def _fingerprint(path: Path) -> dict[str, str]:
    """Names, contents and times of the files below a folder, or of one file."""
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return {
        str(item): f"{item.stat().st_mtime_ns} {hashlib.sha256(item.read_bytes()).hexdigest()}"
        for item in files
    }


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _parameters_in(content: object) -> list[str]:
    """Every expression that a suite leaves to the parameters."""
    if isinstance(content, dict):
        own = [content["$PARAMETER"]] if "$PARAMETER" in content else []
        return own + [found for part in content.values() for found in _parameters_in(part)]
    if isinstance(content, list):
        return [found for part in content for found in _parameters_in(part)]
    return []


def _names_in(expression: str) -> set[str]:
    """Names in an expression, without its functions."""
    tree = ast.walk(ast.parse(expression, mode="eval"))
    return {node.id for node in tree if isinstance(node, ast.Name)} - {"trunc"}
