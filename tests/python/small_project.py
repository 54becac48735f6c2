"""A dbt project small enough to run in a second, with the tables that publishing needs.

It reads one raw table (`raw.scores`) and builds the marts of small_marts.TABLES on DuckDB in the
same way as the real project: marts in an attached database, views that name it, a snapshot that
only publishing enables. As a script it is the command line with policy and gates that always pass
and a dbt that never ends, to be stopped: `python small_project.py run`.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import duckdb
from small_marts import AS_OF, MARTS, TABLES

from customer_health import pipeline
from customer_health.gates import Check, GateReport
from customer_health.settings import Settings

FILES = {
    "dbt_project.yml": """
name: customer_health
version: "0.1.0"
config-version: 2
profile: customer_health
flags:
  send_anonymous_usage_stats: false
vars:
  customer_health__history_from: "2025-01-05"
  customer_health__daily_from: "2025-01-05"
  customer_health__as_of_date: null
  customer_health__publishing: false
  customer_health__publication_id: null
models:
  customer_health:
    marts:
      +database: marts
snapshots:
  customer_health:
    +database: marts
    +schema: snapshots
""",
    "profiles.yml": """
customer_health:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: "{{ env_var('CUSTOMER_HEALTH_HOME') }}/build.duckdb"
      schema: customer_health
      threads: 2
      attach:
        - path: "{{ env_var('CUSTOMER_HEALTH_HOME') }}/landing.duckdb"
          alias: landing
          read_only: true
        - path: "{{ env_var('CUSTOMER_HEALTH_HOME') }}/candidate.duckdb"
          alias: marts
""",
    "models/marts/fct_health__account_scores_current.sql": """
{{ config(materialized='view') }}
select account_id, health_score from {{ ref('fct_health__account_scores') }}
where as_of_date = (select max(as_of_date) from {{ ref('fct_health__account_scores') }})
""",
    "models/int_published_bands.sql": """
{{ config(materialized='view') }}
select
    account_id,
    band,
    '{{ var("customer_health__publication_id") }}' as publication_id
from {{ ref('bi_health__account_360') }}
""",
    "snapshots/snap_health__account_bands.yml": """
snapshots:
  - name: snap_health__account_bands
    relation: ref('int_published_bands')
    config:
      enabled: "{{ var('customer_health__publishing', false) }}"
      unique_key: account_id
      strategy: check
      check_cols: [band]
""",
    "tests/assert_scores_are_at_most_100.sql": """
select account_id from {{ ref('fct_health__account_scores') }} where health_score > 100
""",
    "tests/assert_scores_are_at_most_99.sql": """
{{ config(severity='warn') }}
select account_id from {{ ref('fct_health__account_scores') }} where health_score > 99
""",
    "tests/unit/unit.yml": "",
    # Slow on purpose when SLOW_ROWS says so, to be interrupted in the middle.
    "models/slow.sql": """
{{ config(materialized='table') }}
select count(*) as row_count
from range({{ env_var('SLOW_ROWS', '1') }}) as numbers(number)
where hash(number) % 7 = 3
""",
}

AS_OF_SQL = "cast('{{ var(\"customer_health__as_of_date\") }}' as date)"
COLUMNS: dict[str, dict[str, str]] = {
    "fct_health__account_scores": {
        "account_id": "scores.account_id",
        "as_of_date": AS_OF_SQL,
        "scoring_version": "'v1'",
        "scorecard_key": "'usage_only'",
        "health_score": "scores.health_score",
        "health_score_exact": "scores.health_score",
        "band": "case when scores.health_score >= 61 then 'healthy' else 'at_risk' end",
        "band_rank": "case when scores.health_score >= 61 then 3 else 2 end",
        "band_reason": "'score'",
    },
    "bi_health__account_360": {
        "account_id": "scores.account_id",
        "account_name": "scores.account_name",
        "as_of_date": AS_OF_SQL,
        "is_frozen": "false",
        "health_score": "scores.health_score",
        "band": "case when scores.health_score >= 61 then 'healthy' else 'at_risk' end",
        "band_label": "case when scores.health_score >= 61 then 'Healthy' else 'At risk' end",
    },
}


def write_project(folder: Path, home: Path) -> Settings:
    """Write the project and three accounts, and say where they are."""
    for name, content in FILES.items():
        if content:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content.lstrip(), encoding="utf-8")
    for table, columns in TABLES.items():
        given = COLUMNS.get(table, {})
        selected = ",\n".join(
            f"cast({given.get(name, 'null')} as {kind.removesuffix(' not null')}) as {name}"
            for name, kind in columns.items()
        )
        source = "from landing.raw.scores as scores" if given else "where 1 = 0"
        config = ""
        if table in ("fct_health__publications", "fct_health__publication_checks"):
            config = "{{ config(materialized='incremental', full_refresh=false) }}\n"
        else:
            config = "{{ config(materialized='table') }}\n"
        path = folder / "models" / "marts" / f"{table}.sql"
        path.write_text(f"{config}select\n{selected}\n{source}\n", encoding="utf-8")
    settings = Settings.resolve(folder, home, environ={})
    settings.prepare()
    write_scores(settings, {"A1": 64, "A2": 30, "A3": 100})
    return settings


def write_scores(settings: Settings, scores: dict[str, int]) -> None:
    """Replace the raw table."""
    settings.landing.unlink(missing_ok=True)
    with duckdb.connect(str(settings.landing)) as connection:
        connection.execute("create schema raw")
        connection.execute(
            "create table raw.scores (account_id varchar, account_name varchar, health_score int)"
        )
        for account_id, score in scores.items():
            connection.execute(
                "insert into raw.scores values (?, ?, ?)", [account_id, f"Acme {account_id}", score]
            )


def scores_in(path: Path) -> dict[str, int]:
    """Account to score in a database with marts."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return dict(
            connection.execute(
                f"select account_id, health_score from {MARTS}.fct_health__account_scores"
            ).fetchall()
        )


def report(name: str, status: str = "passed", **more: Any) -> GateReport:
    """A gate report with one check."""
    check = Check(
        rule="row_count",
        table="crm_accounts",
        column=None,
        observed="0 rows, 5,000 last time",
        expected="at least 3,500 rows",
        rows=None,
        sample_keys=[],
        passed=status == "passed",
        severity="critical",
        could_check=status != "could_not_check",
    )
    return GateReport(
        gate=name,
        status=status,  # type: ignore[arg-type]
        as_of_date=AS_OF,
        database=f"{name}.duckdb",
        checks=[check],
        row_counts={"crm_accounts": 3} if name == "landing" else {"scored_accounts": 3},
        **more,
    )


def never_end(settings: Settings, *_: Any, **__: Any) -> Any:
    """In the place of dbt: the main thread waits in C code, where Python handles no signal."""
    (settings.home / "querying").touch()
    mutex = ctypes.create_string_buffer(128)
    library = ctypes.CDLL(None)
    library.pthread_mutex_lock(mutex)
    library.pthread_mutex_lock(mutex)  # waits for the first to be given back


if __name__ == "__main__":
    from customer_health import cli, dbt, gate_process

    gate_process.allow = lambda: None  # another process would judge by the real gates
    pipeline.check_policy = lambda *_: {"v1": "h1"}
    pipeline.judge = lambda _, name, *__: report(name)
    dbt.run_dbt = never_end
    cli.STOP_GRACE_SECONDS = 0.3
    cli.main()
