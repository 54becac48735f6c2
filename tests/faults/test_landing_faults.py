"""Sources that are empty, gone, renamed, shrunk, grown or corrected."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest
from fault_kit import (
    AS_OF,
    DAY_BEFORE,
    Done,
    assert_accepted,
    assert_refused,
    change_raw,
    copy_home,
    copy_project,
    drop_raw,
    published,
    raw_rows,
    run,
)

from customer_health.gate_landing import JUDGED_DAYS

# Seven times as many events on the Mondays before, so that the newest day, a Monday, has far fewer.
# The demo has too few events a day for the rule to judge them.
BUSY_MONDAYS = """
    insert into product_events
    select product_events.* replace (event_id || '-' || copies.number as event_id)
    from product_events
    cross join range(6) as copies (number)
    where dayname(occurred_at) = 'Monday' and occurred_at between '2026-05-25' and '2026-06-23'
"""
NEW_COLUMN = "alter table crm_accounts add column favourite_colour varchar default 'blue'"


@pytest.mark.parametrize(
    "table",
    [
        pytest.param("crm_accounts", marks=pytest.mark.fault(41, says="0 rows, 40 last time")),
        pytest.param("product_events", marks=pytest.mark.fault(41)),
        pytest.param("survey_responses", marks=pytest.mark.fault(41)),
    ],
)
def test_an_empty_source_stops_the_run_and_nobody_is_deleted(table: str, home: Path) -> None:
    judged = ""
    if table == "product_events":  # of which the last weeks are judged
        since = date.fromisoformat(AS_OF) - timedelta(days=JUDGED_DAYS)
        judged = f"where occurred_at is null or occurred_at >= date '{since}'"
    ((rows,),) = raw_rows(home, f"select count(*) from raw.{table} {judged}")
    change_raw(home, table, f"delete from {table}")
    done = run(home, "run")
    assert_refused(done, home, says=f"0 rows, {rows:,} last time")
    # a holiday is no excuse for a table that is gone
    done = run(home, "run", "--accept-volume")
    assert_refused(done, home, says=f"0 rows, {rows:,} last time")


@pytest.mark.parametrize(
    ("table", "statement", "column"),
    [
        pytest.param(
            table,
            statement,
            column,
            id=statement.rpartition(" column ")[2].replace(" ", "-"),
            marks=pytest.mark.fault(44, says=says),
        )
        for table, statement, column, says in [
            (
                "support_tickets",
                "alter table support_tickets drop column opened_at",
                "opened_at",
                "missing: opened_at",
            ),
            (
                "crm_accounts",
                "alter table crm_accounts rename column account_name to account_nam",
                "account_name",
                "missing: account_name (nearest: account_nam)",
            ),
        ]
    ],
)
def test_a_column_that_is_gone_is_named_with_the_nearest_one(
    table: str, statement: str, column: str, home: Path
) -> None:
    change_raw(home, table, statement)
    done = run(home, "run")
    assert_refused(done, home, says=column)
    assert table in done.errors[0]


@pytest.mark.fault(43, says="run with --accept-volume")
def test_far_fewer_rows_than_on_the_same_weekdays_stop_the_run(home: Path) -> None:
    change_raw(home, "product_events", BUSY_MONDAYS)
    done = run(home, "run")
    assert_refused(done, home, says="weekday_volume")
    assert DAY_BEFORE in done.errors[0]


# -- accepted: one run with several things that must not stop it --------------------------------
@pytest.fixture(scope="module")
def accepted(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """The same date again with a source less, a column more, fewer events and corrected data."""
    folder = tmp_path_factory.mktemp("accepted")
    home = copy_home(published_home, folder / "home")
    project = copy_project(folder / "project")
    file = project / "dbt_project.yml"
    text = file.read_text()
    assert text.count("using_survey_responses: true") == 1
    file.write_text(text.replace("using_survey_responses: true", "using_survey_responses: false"))
    drop_raw(home, "survey_responses")
    change_raw(home, "product_events", BUSY_MONDAYS)
    change_raw(home, "crm_accounts", NEW_COLUMN)
    # 200 MB are enough for a company of this size
    env = {"CUSTOMER_HEALTH_MEMORY_LIMIT": "200MB"}
    return home, run(home, "run", "--accept-volume", project=project, env=env)


@pytest.mark.fault(43, says="landing gate: weekday_volume of product_events")
def test_fewer_rows_can_be_accepted_on_purpose(accepted: tuple[Path, Done]) -> None:
    _, done = accepted
    assert_accepted(done, says="Published 2026-06-30")


@pytest.mark.fault(45, says="crm_accounts.favourite_colour: a new column")
def test_a_new_column_is_told_and_stops_nothing(accepted: tuple[Path, Done]) -> None:
    _, done = accepted
    assert_accepted(done)


@pytest.mark.fault(42)
def test_without_a_source_its_metrics_are_not_connected_and_the_others_carry_the_score(
    accepted: tuple[Path, Done], published_home: Path
) -> None:
    home, done = accepted
    assert_accepted(done)
    states = f"""
        select metric_key, value_state, sum(effective_weight)
        from customer_health.fct_health__metric_scores
        where as_of_date = '{AS_OF}' and purpose = 'health' and metric_key = 'nps'
        group by all
        order by all
    """
    assert {state for _, state, _ in published(published_home, states)} >= {"observed"}
    assert [state for _, state, _ in published(home, states)] == ["not_connected"]
    weights = f"""
        select min(connected_weight), max(connected_weight)
        from customer_health.fct_health__account_scores
        where as_of_date = '{AS_OF}' and scorecard_key = 'standard'
    """
    ((before, same),), ((after, everywhere),) = (
        published(published_home, weights),
        published(home, weights),
    )
    assert before == same and after == everywhere, "the same for all accounts"
    assert after < before
    # what is left adds up to the score again
    ((off,),) = published(
        home,
        f"""
        select max(abs(points - health_score_exact))
        from (
            select scores.health_score_exact, sum(metrics.metric_points) as points
            from customer_health.fct_health__account_scores as scores
            inner join customer_health.fct_health__metric_scores as metrics
                using (account_id, as_of_date)
            where metrics.purpose = 'health' and as_of_date = '{AS_OF}'
                and scores.health_score_exact is not null
            group by scores.account_id, scores.health_score_exact
        )
        """,
    )
    assert off is not None and off < 1e-9


@pytest.mark.fault(55)
def test_corrected_data_replace_the_rows_of_the_date(
    accepted: tuple[Path, Done], published_home: Path
) -> None:
    home, done = accepted
    assert_accepted(done)
    rows = f"""
        select account_id, count(*), max(health_score_exact)
        from customer_health.fct_health__account_scores
        where as_of_date = '{AS_OF}'
        group by 1
        order by 1
    """
    before, after = published(published_home, rows), published(home, rows)
    assert {count for _, count, _ in after} == {1}
    assert [account for account, *_ in after] == [account for account, *_ in before]
    assert after != before
    # dates that are older than the lookback are what they were
    older = """
        select account_id, as_of_date, health_score_exact
        from customer_health.fct_health__account_scores
        where as_of_date < '2026-06-20'
        order by all
    """
    assert published(home, older) == published(published_home, older)
