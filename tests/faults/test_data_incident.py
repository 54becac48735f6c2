"""Data incident or customer incident? A broken tracking release must not turn the base red.

One company, three ways: as it was; with an outage of tracking in one segment for a working week,
built at once and in steps; and with a source of engagements that is nearly empty for two days.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from warehouse import Warehouse, different

from customer_health import demo

AS_OF = date(2026, 6, 30)
OUTAGE = "occurred_at >= '2026-06-22' and occurred_at < '2026-06-27'"  # Monday to Friday
LAST_GOOD = date(2026, 6, 22)
INCIDENT_DATES = {date(2026, 6, day) for day in (23, 24, 25, 26, 27)}
VARS = {
    "history_from": "2026-05-03",
    "daily_from": "2026-06-14",
    "incident_least_accounts": 8,  # a small company; below that a drop is chance
}


@pytest.fixture(scope="module")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("incident_raw")
    demo.generate(folder / "raw", accounts=80, days=200, events=150_000, seed=5)
    return folder / "raw"


class Company(Warehouse):
    """A warehouse whose sources can break, and questions about its marts."""

    def read_raw(self, condition: str = "true", extra_events: str = "") -> None:
        """Let the run see only the product events for which the condition holds."""
        super().read_raw(condition, extra_events)

    def lose_engagements(self, condition: str) -> None:
        """Let the run see only the engagements for which the condition holds."""
        files = self.home / "raw" / "marketing_engagements" / "*.parquet"
        with duckdb.connect(str(self.home / "landing.duckdb")) as connection:
            connection.execute(
                "create or replace view raw.marketing_engagements as "
                f"select * from read_parquet('{files}') where {condition}"
            )

    def break_tracking(self, segment: str) -> None:
        """Lose nearly all events of a segment on the days of the outage."""
        accounts = self.home / "raw" / "crm_accounts" / "*.parquet"
        self.read_raw(
            f"not ({OUTAGE} and hash(event_id) % 50 > 0 and account_id in "
            f"(select account_id from read_parquet('{accounts}') where segment = '{segment}'))"
        )

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.home / "candidate.duckdb"), read_only=True) as connection:
            connection.execute("use customer_health")
            return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def clean(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Company:
    company = Company(tmp_path_factory.mktemp("clean"), raw_tables, VARS)
    company.build(AS_OF)
    return company


@pytest.fixture(scope="module")
def segment(clean: Company) -> str:
    """The segment with the most accounts."""
    rows = clean.query(
        "select segment from dim_health__accounts where is_scored group by 1 order by count(*) desc"
    )
    return str(rows[0][0])


@pytest.fixture(scope="module")
def broken(raw_tables: Path, segment: str, tmp_path_factory: pytest.TempPathFactory) -> Company:
    company = Company(tmp_path_factory.mktemp("broken"), raw_tables, VARS)
    company.break_tracking(segment)
    company.build(AS_OF)
    return company


@pytest.fixture(scope="module")
def unprotected(
    raw_tables: Path, segment: str, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    """The same outage where no segment is large enough to be judged."""
    company = Company(tmp_path_factory.mktemp("unprotected"), raw_tables, VARS)
    company.break_tracking(segment)
    company.build(AS_OF, incident_least_accounts=10_000)
    return company


def values(
    company: Company, segment: str, days: set[date]
) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Usage metrics of the health scorecard of a segment: value, mark, what was reported."""
    listed = ", ".join(f"date '{day}'" for day in days)
    rows = company.query(
        f"""
        select
            metrics.account_id, metrics.as_of_date, metrics.metric_key,
            metrics.metric_value, metrics.is_data_incident, metrics.reported_value
        from fct_health__metric_scores as metrics
        inner join fct_health__account_scores as scores using (account_id, as_of_date)
        where
            scores.segment = '{segment}' and metrics.purpose = 'health'
            and metrics.category_key = 'product_usage' and metrics.as_of_date in ({listed})
        """
    )
    return {row[:3]: row[3:] for row in rows}


def test_without_a_broken_source_there_is_no_incident(clean: Company) -> None:
    assert clean.query("from fct_health__data_incidents") == []
    assert clean.query("from fct_health__metric_scores where is_data_incident") == []


def test_the_outage_is_found_where_and_when_it_was(broken: Company, segment: str) -> None:
    found = broken.query(
        "select distinct as_of_date, segment, incident_kind from fct_health__data_incidents"
    )
    assert set(found) == {(day, segment, "usage_day") for day in INCIDENT_DATES}
    logins = broken.query(
        "select as_of_date, last_good_date from fct_health__data_incidents "
        "where metric_key = 'logins'"
    )
    assert dict(logins) == dict.fromkeys(INCIDENT_DATES, LAST_GOOD)


def test_values_are_held_at_the_last_good_one_and_marked(broken: Company, segment: str) -> None:
    good_dates = {
        (metric, day): good_date
        for metric, day, good_date in broken.query(
            "select metric_key, as_of_date, last_good_date from fct_health__data_incidents"
        )
    }
    good = values(broken, segment, set(good_dates.values()))
    held, fallen = 0, 0
    for key, (value, is_incident, reported) in values(broken, segment, INCIDENT_DATES).items():
        account, day, metric = key
        if (metric, day) not in good_dates:
            assert (is_incident, reported) == (False, None)
        elif (account, good_dates[metric, day], metric) in good:
            good_value = good[account, good_dates[metric, day], metric][0]
            assert (value, is_incident) == (good_value, True)
            held += 1
            fallen += reported < value
    assert held > 100
    assert fallen > 20
    marked = broken.query(
        "select distinct as_of_date, segment from fct_health__account_scores "
        "where has_data_incident"
    )
    assert set(marked) == {(day, segment) for day in INCIDENT_DATES}


def test_the_base_does_not_turn_red(
    clean: Company, broken: Company, unprotected: Company, segment: str
) -> None:
    """Not on the days of the outage, and not while it lies inside the windows of later days."""

    def mean_login_scores(company: Company) -> dict[date, float]:
        return dict(
            company.query(
                f"""
                select metrics.as_of_date, avg(metrics.metric_score)
                from fct_health__metric_scores as metrics
                inner join fct_health__account_scores as scores using (account_id, as_of_date)
                where
                    scores.segment = '{segment}' and metrics.purpose = 'health'
                    and metrics.metric_key = 'logins' and metrics.as_of_date >= '2026-06-25'
                group by 1
                """
            )
        )

    usual = mean_login_scores(clean)
    lost = {day: usual[day] - score for day, score in mean_login_scores(broken).items()}
    lost_unprotected = {
        day: usual[day] - score for day, score in mean_login_scores(unprotected).items()
    }
    assert lost.keys() == lost_unprotected.keys() == usual.keys()
    assert all(lost[day] < 0.7 * lost_unprotected[day] for day in usual)


def test_other_segments_are_as_they_were(clean: Company, broken: Company, segment: str) -> None:
    question = f"from fct_health__account_scores where segment <> '{segment}' order by all"
    assert broken.query(question) == clean.query(question)


def test_daily_steps_equal_all_at_once(
    raw_tables: Path,
    segment: str,
    broken: Company,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    company = Company(tmp_path_factory.mktemp("steps"), raw_tables, VARS)
    company.break_tracking(segment)
    for day in (24, 29, 30):
        company.build(date(2026, 6, day))
    assert different(broken.rows(), company.rows()) == {}


@pytest.fixture(scope="module")
def silent_source(
    raw_tables: Path, segment: str, tmp_path_factory: pytest.TempPathFactory
) -> Company:
    """All engagements but a few are gone when 28 June is scored, and are back on the 30th."""
    company = Company(tmp_path_factory.mktemp("silent"), raw_tables, VARS)
    company.build(date(2026, 6, 27))
    company.lose_engagements("hash(engagement_id) % 40 = 0")
    company.build(date(2026, 6, 28), lookback_days=0)
    return company


def test_a_fall_of_a_score_from_one_day_to_the_next_is_held(silent_source: Company) -> None:
    incidents = silent_source.query(
        "select distinct as_of_date, metric_key, incident_kind, last_good_date "
        "from fct_health__data_incidents"
    )
    assert incidents == [
        (date(2026, 6, 28), "campaign_engagement", "score_fall", date(2026, 6, 27))
    ]
    rows = silent_source.query(
        """
        select later.metric_value, earlier.metric_value, later.reported_value
        from fct_health__metric_scores as later
        inner join fct_health__metric_scores as earlier using (account_id, metric_key, purpose)
        where
            later.is_data_incident and purpose = 'health'
            and later.as_of_date = '2026-06-28' and earlier.as_of_date = '2026-06-27'
        """
    )
    assert len(rows) > 5
    assert all(later == earlier for later, earlier, _ in rows)
    assert any(reported < later for later, _, reported in rows)


def test_it_is_held_while_it_lasts_and_free_when_it_is_over(silent_source: Company) -> None:
    silent_source.build(date(2026, 6, 29), lookback_days=0)
    question = "select max(last_good_date) from fct_health__data_incidents where as_of_date = "
    assert silent_source.query(question + "'2026-06-29'") == [(date(2026, 6, 27),)]
    silent_source.lose_engagements("true")
    silent_source.build(AS_OF, lookback_days=0)
    assert silent_source.query(question + "'2026-06-30'") == [(None,)]
