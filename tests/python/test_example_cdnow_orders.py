"""The example without subscriptions, on every 47th of its customers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
from example_project import run_example

ACCOUNTS = 500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Databases of the example, and what it printed."""
    return run_example("cdnow_orders", tmp_path_factory.mktemp("example"), ACCOUNTS)


@pytest.fixture
def published(run: tuple[Path, str]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The readers' copy, with the orders beside it."""
    home = run[0]
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute(f"attach '{home / 'landing.duckdb'}' as landing (read_only)")
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query).fetchall()


def test_every_order_is_read(published: duckdb.DuckDBPyConnection) -> None:
    [(orders, customers, first, last, unread)] = rows(
        published,
        """
        select
            count(*),
            count(distinct customer_id),
            min(order_date),
            max(order_date),
            count(*) filter (where order_date is null or number_of_cds is null)
        from landing.raw.orders
        """,
    )
    assert customers == 501
    assert orders > 1_200
    assert (str(first)[:7], str(last)[:7]) == ("1997-01", "1998-06")
    assert unread == 0
    assert rows(
        published,
        "select count(distinct account_id) from customer_health.fct_health__account_scores",
    ) == [(customers,)]


def test_a_churn_is_no_purchase_in_the_next_39_weeks(
    published: duckdb.DuckDBPyConnection,
) -> None:
    labels = rows(
        published,
        """
        with

        labelled as (
            select
                account_id,
                as_of_date,
                coalesce(days_to_churn < 273, false) as is_churned
            from customer_health.val_health__observations
            where follow_up_days >= 273 and coalesce(days_to_churn >= 0, true)
        )

        select
            labelled.as_of_date,
            labelled.is_churned,
            count(*),
            count(*) filter (where exists (
                select 1
                from landing.raw.orders as orders
                where orders.customer_id = labelled.account_id
                    and orders.order_date >= labelled.as_of_date
                    and orders.order_date < labelled.as_of_date + 273
            )),
            count(*) filter (where exists (
                select 1
                from landing.raw.orders as orders
                where orders.customer_id = labelled.account_id
                    and orders.order_date >= labelled.as_of_date
            ))
        from labelled
        group by all
        order by all
        """,
    )
    assert len({day for day, *_ in labels}) == 10  # January to October
    for day, is_churned, count, within, ever in labels:
        assert count > 0
        # Who ordered neither in the window nor later is gone; who came back later is not.
        assert ever == (0 if is_churned else count), day
        if is_churned:
            assert within == 0
    newest = {is_churned: (count, within) for day, is_churned, count, within, _ in labels[-2:]}
    assert newest[False][0] == newest[False][1]


def test_recency_frequency_and_money_rank_the_customers(
    run: tuple[Path, str], published: duckdb.DuckDBPyConnection
) -> None:
    figures = rows(
        published,
        """
        select
            slice_value,
            auc
        from customer_health.val_health__discrimination
        where
            is_headline
            and horizon_days = 273
            and predictor_key = 'health_score'
            and slice_value in ('out_of_time', '1997-10-05')
        order by slice_value
        """,
    )
    assert [name for name, _ in figures] == ["1997-10-05", "out_of_time"]
    assert all(auc > 0.65 for _, auc in figures)
    assert "AUC for churn within 273 days" in run[1]


def test_metrics_of_the_project_itself(published: duckdb.DuckDBPyConnection) -> None:
    assert rows(
        published,
        """
        select
            metric_key,
            category_key
        from customer_health.fct_health__metric_scores
        where scorecard_key = 'orders'
        group by all
        order by all
        """,
    ) == [
        ("cds", "frequency"),
        ("days_since_contact", "recency"),
        ("lifetime_value", "money"),
        ("order_days", "frequency"),
    ]
    [(wrong, seen)] = rows(
        published,
        """
        select
            count(*) filter (where metrics.metric_value is distinct from (
                select metrics.as_of_date - max(orders.order_date)
                from landing.raw.orders as orders
                where orders.customer_id = metrics.account_id
                    and orders.order_date < metrics.as_of_date
            )),
            count(*)
        from customer_health.fct_health__metric_scores as metrics
        where metric_key = 'days_since_contact' and as_of_date = date '1997-10-05'
        """,
    )
    assert (wrong, seen) == (0, 490)  # eleven are gone by then
