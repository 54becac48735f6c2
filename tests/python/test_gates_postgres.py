"""The gates on PostgreSQL: the same suites on the same data find the same as on DuckDB.

The server is real, started and stopped by the tests. Without its programs (package postgresql) they
are skipped.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import postgres_server
import pytest
import sqlalchemy
from test_gates import ACCOUNTS, AS_OF, MARTS, RAW

from customer_health.errors import HealthError
from customer_health.gate_engines import Postgres, newest_scored_date
from customer_health.gates import GateReport, run_gate
from customer_health.settings import RAW_TABLES, Settings
from customer_health.targets import postgres_target

pytestmark = pytest.mark.skipif(
    postgres_server.programs() is None,
    reason="no initdb on the PATH or in /usr/lib/postgresql: apt-get install postgresql",
)

# Faults of raw tables, in SQL that both engines read; with text where CSV would bring text.
RAW_FAULTS = [
    "delete from raw.crm_touchpoints",
    "alter table raw.crm_opportunities rename column amount to amuont",
    "delete from raw.product_events where occurred_at > timestamp '2026-06-24'",
    "delete from raw.success_goals where goal_id > 'g3'",
    "update raw.crm_csm_sentiments set sentiment = 9 where sentiment = 1",
    "alter table raw.crm_action_updates alter column recorded_at type varchar",
    "update raw.crm_action_updates set recorded_at = 'soon' where update_id like '%6'",
    "update raw.survey_responses set score = -1 where score = 3",
    "update raw.billing_invoices set amount = 'nan' where invoice_id like '%7'",
    "update raw.product_users set account_id = '  ' where user_id like '%3'",
    "update raw.crm_accounts set created_at = null where account_id like '%4'",
    "alter table raw.billing_subscriptions alter column mrr_amount type varchar",
    "update raw.billing_subscriptions set mrr_amount = '$5' where subscription_id like '%5'",
    "update raw.billing_subscriptions set mrr_amount = '1,234.50' where subscription_id = 'b6'",
    "update raw.billing_subscriptions set mrr_amount = '1e400' where subscription_id = 'b7'",
    "update raw.billing_subscriptions set mrr_amount = 'NaN' where subscription_id = 'b8'",
    "update raw.billing_subscriptions set mrr_amount = 'now' where subscription_id = 'b9'",
    "alter table raw.billing_subscriptions alter column started_at type varchar",
    "update raw.billing_subscriptions set started_at = '2026-01-01T10:00:00+0530'",
    "update raw.billing_subscriptions set started_at = '2026-01-01 10:00' where plan < 'h' and "
    "subscription_id < 'b3'",
    "update raw.billing_subscriptions set started_at = 'yesterday' where subscription_id = 'b9'",
    "update raw.billing_subscriptions set started_at = '2026-02-30' where subscription_id = 'b8'",
    "update raw.billing_subscriptions set started_at = 'infinity' where subscription_id = 'b7'",
    "update raw.support_tickets set csat_score = 9 where ticket_id = 't4'",
    "update raw.crm_contacts set role = null where contact_id < 'c5'",
    "update raw.crm_contacts set role = 'sponsor' where contact_id > 'c9'",
    "update raw.crm_opportunities set stage = 'won' where opportunity_id > 'o5'",
    "alter table raw.product_features add column owner varchar",
    "drop table raw.marketing_engagements",
]
SCORES = "customer_health.fct_health__account_scores"
POINTS = "customer_health.fct_health__metric_scores"
MART_FAULTS = [
    f"update {SCORES} set health_score = 140 where account_id = 'a1'",
    f"update {SCORES} set health_score_exact = 'nan' where account_id = 'a2'",
    f"update {SCORES} set score_high = 'infinity' where account_id = 'a3'",
    f"update {SCORES} set band = 'great' where account_id = 'a4'",
    f"update {SCORES} set band = 'insufficient_data' where account_id = 'a6'",
    f"delete from {SCORES} where account_id = 'a7' and as_of_date = date '2026-06-30'",
    f"update {POINTS} set metric_points = metric_points + 1e-4 where account_id = 'a9' and "
    "metric_key = 'csat'",
    f"update {POINTS} set metric_points = 'nan' where account_id = 'a10' and metric_key = 'csat'",
    f"update {SCORES} set health_score = 95, band = 'thriving' where as_of_date = "
    "date '2026-06-30' and health_score between 20 and 60",
    "update customer_health.fct_health__source_rows set orphan_count = 30",
]


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """A running server."""
    with postgres_server.server() as folder:
        yield folder


def _database(path: Path, schema: str, queries: list[str]) -> Path:
    """A DuckDB file with a schema of tables."""
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create schema {schema}")
        for query in queries:
            connection.execute(query)
    return path


def _raw(folder: Path) -> Path:
    queries = [f"create table raw.{name} as {sql.format(n=ACCOUNTS)}" for name, sql in RAW.items()]
    return _database(folder / "landing.duckdb", "raw", queries)


def _marts(folder: Path) -> Path:
    queries = [sql.format(n=ACCOUNTS) for sql in MARTS]
    return _database(folder / "candidate.duckdb", "customer_health", queries)


def _both(
    gate: Any, file: Path, socket: str, database: str, home: Path, **more: Any
) -> tuple[GateReport, GateReport]:
    """The reports of one gate on both engines."""
    engine = Postgres.from_url(postgres_server.url(socket, database))
    return (
        run_gate(gate, database=file, home=home / "duckdb", as_of_date=AS_OF, **more),
        run_gate(gate, database=engine, home=home / "postgres", as_of_date=AS_OF, **more),
    )


def _found(report: GateReport) -> list[tuple[Any, ...]]:
    """What must be the same on both engines."""
    return sorted(
        (check.rule, check.table, check.column or "", check.passed, check.could_check, check.rows)
        for check in report.checks
    )


def _alter(file: Path, socket: str, database: str, statements: list[str]) -> None:
    with duckdb.connect(str(file)) as connection:
        for statement in statements:
            connection.execute(statement)
    postgres_server.execute(socket, database, *statements)


def _fingerprint(socket: str, database: str) -> list[tuple[Any, ...]]:
    """Every relation and function of the database that is not PostgreSQL's own."""
    return postgres_server.execute(
        socket,
        database,
        "select namespace.nspname, class.relname, class.relkind from pg_class as class "
        "inner join pg_namespace as namespace on namespace.oid = class.relnamespace "
        "where namespace.nspname not in ('pg_catalog', 'information_schema', 'pg_toast') "
        "union all select namespace.nspname, proname, 'f' from pg_proc "
        "inner join pg_namespace as namespace on namespace.oid = pronamespace "
        "where namespace.nspname not in ('pg_catalog', 'information_schema') order by 1, 2",
    )


def test_landing_gate_finds_the_same_on_both_engines(socket: str, tmp_path: Path) -> None:
    """Healthy tables, then faults of every rule; nothing is left behind in the database."""
    file = _raw(tmp_path)
    postgres_server.copy_database(file, socket, "landing")
    before = _fingerprint(socket, "landing")
    assert before
    on_duckdb, on_postgres = _both("landing", file, socket, "landing", tmp_path, using=RAW_TABLES)
    assert on_postgres.status == "passed", on_postgres.summary()
    assert on_postgres.database == "landing on this machine"
    assert _found(on_postgres) == _found(on_duckdb)
    assert on_postgres.row_counts == on_duckdb.row_counts
    assert set(on_postgres.profile["tables"]) == set(RAW_TABLES)

    _alter(file, socket, "landing", RAW_FAULTS)
    last = json.loads(json.dumps(on_duckdb.profile))
    bad_on_duckdb, bad_on_postgres = _both(
        "landing",
        file,
        socket,
        "landing",
        tmp_path,
        using=RAW_TABLES,
        previous_counts=on_duckdb.row_counts,
        previous_profile=last,
    )
    assert bad_on_postgres.status == "failed"
    assert _found(bad_on_postgres) == _found(bad_on_duckdb)
    broken = {check.rule for check in bad_on_postgres.checks if not check.passed}
    assert broken == {
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
        "null_share_drift",
        "mean_drift",
        "category_drift",
    }
    assert [check.observed for check in bad_on_postgres.checks] == [
        check.observed for check in bad_on_duckdb.checks
    ]
    assert _fingerprint(socket, "landing") == [
        row for row in before if row[1] not in {"marketing_engagements"}
    ]


def test_candidate_gate_finds_the_same_on_both_engines(socket: str, tmp_path: Path) -> None:
    """Healthy marts, then faults; also where a mart is missing."""
    file = _marts(tmp_path)
    postgres_server.copy_database(file, socket, "marts")
    on_duckdb, on_postgres = _both("candidate", file, socket, "marts", tmp_path)
    assert on_postgres.status == "passed", on_postgres.summary()
    assert _found(on_postgres) == _found(on_duckdb)

    _alter(file, socket, "marts", MART_FAULTS)
    on_duckdb, on_postgres = _both("candidate", file, socket, "marts", tmp_path)
    assert on_postgres.status == "failed"
    assert _found(on_postgres) == _found(on_duckdb)
    assert {check.rule for check in on_postgres.failed} == {
        "in_range",
        "score_and_band_agree",
        "known_band",
        "one_row_per_account",
        "band_changes",
        "points_add_up",
        "score_drift",
        "band_drift",
        "orphan_share",
    }
    _alter(file, socket, "marts", [f"drop table {POINTS}"])
    on_duckdb, on_postgres = _both("candidate", file, socket, "marts", tmp_path)
    assert _found(on_postgres) == _found(on_duckdb)
    assert [check.table for check in on_postgres.failed] == ["fct_health__metric_scores"]
    engine = Postgres.from_url(postgres_server.url(socket, "marts"))
    assert newest_scored_date(engine, "customer_health") == AS_OF


def test_what_cannot_be_checked_is_told_without_the_password(socket: str, tmp_path: Path) -> None:
    """A wrong password, no server, an unreadable URL: could not check, in one line."""
    wrong = postgres_server.url(socket, password="other%2Fs3cr3t")
    nowhere = postgres_server.url(str(tmp_path))
    for connection in (wrong, nowhere, wrong.replace("?", "?nonsense=1&")):
        engine = Postgres.from_url(connection)
        report = run_gate("landing", database=engine, home=tmp_path, as_of_date=AS_OF)
        assert (report.status, report.checks) == ("could_not_check", [])
        assert report.reason is not None and "\n" not in report.reason
        told = f"{report.to_json()}{engine!r}"
        assert "s3cr3t" not in told
        with pytest.raises(HealthError) as refused:
            newest_scored_date(engine, "customer_health")
        assert "s3cr3t" not in refused.value.message
    for unreadable in ("s3cr3t", "mysql://health:s3cr3t@db/x", "postgresql://health:s3cr3t@[/x"):
        with pytest.raises(HealthError) as refused:
            Postgres.from_url(unreadable)
        assert "s3cr3t" not in refused.value.message


def test_the_session_of_a_gate_cannot_write(socket: str, tmp_path: Path) -> None:
    """Once its relations are made, whatever a rule says."""
    postgres_server.execute(socket, "postgres", "create database guarded")
    engine = Postgres.from_url(postgres_server.url(socket, "guarded"))
    with engine.connecting():
        session = sqlalchemy.create_engine(engine.url)
        with session.begin() as connection:
            engine.begin(connection, tmp_path)
            engine.run(connection, engine.create_table("gate__kept", "select 'UTC' as zone"))
            engine.finish(connection)
        with session.begin() as connection:
            kept = "select zone, current_setting('TimeZone') from gate__kept"
            assert engine.run(connection, kept).fetchall() == [("UTC", "UTC")]
        for statement in ("create table public.left_behind (i int)", "create schema other"):
            with session.connect() as connection, pytest.raises(sqlalchemy.exc.InternalError):
                engine.run(connection, statement)
        session.dispose()
    with pytest.raises(RuntimeError, match="outside of connecting_with"):
        sqlalchemy.create_engine(engine.url).connect()


def test_check_command_takes_the_database_of_the_dbt_target(socket: str, tmp_path: Path) -> None:
    """The type of the target decides; the password comes from the environment and goes nowhere."""
    file = _raw(tmp_path)
    postgres_server.copy_database(file, socket, "checked")
    project = tmp_path / "project"
    project.mkdir()
    (project / "dbt_project.yml").write_text(
        "name: checked\nprofile: health\nvars:\n  customer_health__raw_schema: raw\n",
        encoding="utf-8",
    )
    (project / "profiles.yml").write_text(
        f"""
health:
  target: "{{{{ env_var('HEALTH_TARGET', 'warehouse') }}}}"
  outputs:
    warehouse:
      type: postgres
      host: "{socket}"
      port: 5432
      user: health
      password: "{{{{ env_var('HEALTH_PASSWORD') }}}}"
      dbname: checked
      schema: marts
    local:
      type: duckdb
      path: build.duckdb
""",
        encoding="utf-8",
    )
    home = tmp_path / "home"
    environment = {"PATH": "/usr/bin:/bin", "HEALTH_PASSWORD": postgres_server.PASSWORD}
    found = postgres_target(Settings.resolve(project, home), environment)
    assert found is not None and found[1] == "marts"
    local = Settings.resolve(project, home, "local")
    assert postgres_target(local, environment) is None
    with pytest.raises(HealthError, match="HEALTH_PASSWORD is not set"):
        postgres_target(Settings.resolve(project, home), {})

    def check(*more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable,
                "-m",
                "customer_health",
                f"--project-dir={project}",
                f"--home={home}",
                "--debug",
                "check",
                "landing",
                "--as-of=2026-06-30",
                *more,
            ],
            env={**environment, **variables},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )

    done = check("--all")
    assert done.returncode == 0, done.stderr
    assert "landing gate: passed" in done.stdout
    assert "index.html" in done.stdout
    by_url = check(
        HEALTH_PASSWORD="wrong",
        CUSTOMER_HEALTH_POSTGRES_URL=postgres_server.url(socket, "checked"),
    )
    assert by_url.returncode == 0, by_url.stderr
    refused = check(HEALTH_PASSWORD="wr0ng/s3cr3t")
    assert refused.returncode == 1
    assert "could not check checked on" in refused.stdout
    told = [done.stdout, done.stderr, by_url.stdout, by_url.stderr, refused.stdout, refused.stderr]
    written = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert written
    for text in (*map(str.encode, told), *written):
        for secret in (postgres_server.PASSWORD, "s3cr3t"):
            assert secret.encode() not in text
