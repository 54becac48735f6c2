"""The example whose data are random and contradict themselves, on a part of the accounts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from example_project import run_example

ACCOUNTS = 200


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Databases of the example, and what it printed."""
    return run_example("ravenstack", tmp_path_factory.mktemp("example"), ACCOUNTS)


@pytest.fixture
def published(run: tuple[Path, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The readers' copy, with the build and the files beside it."""
    home = run[0]
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute(f"attach '{home / 'build.duckdb'}' as build (read_only)")
        connection.execute(f"attach '{home / 'landing.duckdb'}' as landing (read_only)")
        connection.execute(
            """
            create temporary table first_churns as
            select account_id, min(churn_date) as churn_date
            from landing.raw.churn_events
            group by account_id
            """
        )
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query).fetchall()


def test_no_signal_is_called_no_signal(
    run: tuple[Path, str], published: duckdb.DuckDBPyConnection
) -> None:
    [(verdict, churners, low)] = rows(
        published,
        """
        select
            verdict_key,
            churner_count,
            auc_low
        from customer_health.val_health__verdict
        where scorecard_key = 'standard'
        """,
    )
    assert verdict == "no_usable_signal"
    assert churners >= 30
    assert low <= 0.5
    assert "**No usable signal: AUC 0." in run[1]


def test_the_churn_is_the_first_event(published: duckdb.DuckDBPyConnection) -> None:
    different, churned = rows(
        published,
        """
        select
            count(*) filter (
                where accounts.churn_date is distinct from first_churns.churn_date
            ),
            count(accounts.churn_date)
        from customer_health.dim_health__accounts as accounts
        left join first_churns on accounts.account_id = first_churns.account_id
        -- a trial that was not bought is no churn, and the last two weeks are not settled
        where
            accounts.account_id in (
                select account_id from landing.raw.subscriptions where not is_trial
            )
            and coalesce(first_churns.churn_date < date '2024-12-18', true)
        """,
    )[0]
    assert churned > 80
    assert different <= 0.05 * churned


def test_nothing_from_before_the_sign_up_counts(published: duckdb.DuckDBPyConnection) -> None:
    assert rows(
        published,
        """
        select
            (
                select sum(event_count)
                from build.customer_health_intermediate.int_health__usage_account_days
            ) = (
                select sum(usage.usage_count)
                from landing.raw.feature_usage as usage
                inner join landing.raw.subscriptions as subscriptions
                    on usage.subscription_id = subscriptions.subscription_id
                inner join landing.raw.accounts as accounts
                    on subscriptions.account_id = accounts.account_id
                where usage.usage_date >= accounts.signup_date
            ),
            (select count(*) from customer_health.fct_health__rejected_rows)
        """,
    ) == [(True, 0)]


def test_nobody_is_scored_after_the_churn_and_its_grace(
    published: duckdb.DuckDBPyConnection,
) -> None:
    [(after, before)] = rows(
        published,
        """
        select
            count(*) filter (where scores.as_of_date > accounts.churn_date + 14),
            count(*) filter (where scores.as_of_date <= accounts.churn_date)
        from customer_health.fct_health__account_scores as scores
        inner join customer_health.dim_health__accounts as accounts
            on scores.account_id = accounts.account_id
        """,
    )
    assert after == 0
    assert before > 1_000
