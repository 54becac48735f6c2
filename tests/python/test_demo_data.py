"""The demo data: complete, repeatable, within its window, with a signal and with known faults."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from customer_health.demo import (
    TABLES,
    DemoSummary,
    billing,
    create_landing,
    generate,
    names,
    records,
    usage,
)
from customer_health.demo import generator as generator_module
from customer_health.demo.columns import FAR, Clock, padded_ids, stage_rng
from customer_health.demo.troubles import Aspect
from customer_health.demo.world import MIN_ACCOUNTS, Role, World, build_world
from customer_health.errors import HealthError, UsageError

PROJECT_DIR = Path(__file__).resolve().parents[2]
END = date(2026, 6, 30)
ACCOUNTS, DAYS, EVENTS = 400, 450, 200_000
TINY: dict[str, Any] = {"accounts": 60, "days": 120, "events": 6_000}

# The input contract: raw table -> columns, in order; `loaded_at` follows in each.
CONTRACT = {
    "crm_accounts": (
        "account_id account_name parent_account_id domain segment industry region plan "
        "seats_licensed csm_id created_at trial_ends_at churned_at churn_reason "
        "merged_into_account_id is_deleted review_cadence_days updated_at"
    ),
    "crm_contacts": "contact_id account_id user_id role is_active left_at created_at updated_at",
    "crm_opportunities": (
        "opportunity_id account_id opportunity_type stage amount currency_code created_at closed_at"
    ),
    "crm_touchpoints": (
        "touchpoint_id account_id contact_id channel direction occurred_at next_planned_at"
    ),
    "crm_csm_sentiments": "sentiment_id account_id sentiment note_present author_id recorded_at",
    "crm_health_overrides": (
        "override_id account_id band_key reason author_id created_at expires_at"
    ),
    "crm_action_updates": "update_id account_id playbook_key state author_id recorded_at",
    "product_users": "user_id account_id role created_at deactivated_at",
    "product_events": "event_id account_id user_id event_name occurred_at duration_seconds",
    "product_usage_daily": (
        "account_id usage_date event_name event_count active_users duration_seconds"
    ),
    "product_features": "event_name feature_key plan is_key_success_event is_integration",
    "support_tickets": (
        "ticket_id account_id contact_id opened_at first_response_at solved_at status "
        "priority complexity ticket_type reopen_count is_escalated csat_score csat_scale_max "
        "updated_at"
    ),
    "survey_responses": (
        "response_id account_id contact_id survey_type score scale_min scale_max responded_at"
    ),
    "billing_subscriptions": (
        "subscription_id account_id plan seats mrr_amount currency_code started_at ended_at "
        "renews_at cancel_requested_at status billing_period_months updated_at"
    ),
    "billing_invoices": (
        "invoice_id account_id subscription_id invoice_type amount currency_code issued_at "
        "due_at paid_at status"
    ),
    "billing_exchange_rates": "currency_code rate_date rate_to_reporting_currency",
    "onboarding_milestones": "milestone_id account_id milestone_key weight due_at completed_at",
    "marketing_engagements": (
        "engagement_id account_id contact_id channel engagement_type occurred_at"
    ),
    "success_goals": (
        "goal_id account_id goal_name baseline_value target_value current_value due_at "
        "achieved_at updated_at"
    ),
}

# What may lie after the end of the window: dates that are planned or due.
AHEAD = {"trial_ends_at", "next_planned_at", "expires_at", "renews_at", "due_at", "loaded_at"}
KEYLESS = {"product_usage_daily", "product_features", "billing_exchange_rates"}
MOMENTS = {
    "crm_touchpoints": "occurred_at",
    "crm_action_updates": "recorded_at",
    "product_events": "occurred_at",
    "support_tickets": "opened_at",
    "survey_responses": "responded_at",
    "marketing_engagements": "occurred_at",
}
IMPOSSIBLE = {
    ("survey_responses", "out_of_range"): "score < scale_min or score > scale_max",
    ("crm_csm_sentiments", "out_of_range"): "sentiment not between 1 and 5",
    ("crm_action_updates", "out_of_range"): "state not in ('acknowledged', 'done')",
    ("billing_subscriptions", "negative_amount"): "mrr_amount < 0",
    ("billing_invoices", "negative_amount"): "amount < 0 and invoice_type <> 'refund'",
    ("crm_opportunities", "negative_amount"): "amount < 0",
    ("billing_subscriptions", "not_finite"): "not isfinite(mrr_amount)",
    ("billing_invoices", "not_finite"): "not isfinite(amount)",
    ("crm_opportunities", "not_finite"): "not isfinite(amount)",
    ("billing_subscriptions", "closed_before_opened"): "ended_at < started_at",
    ("crm_opportunities", "closed_before_opened"): "closed_at < created_at",
    ("support_tickets", "closed_before_opened"): (
        "solved_at < opened_at or first_response_at < opened_at"
    ),
}


@dataclass(frozen=True)
class Demo:
    """A generated demo and a connection to its landing database."""

    home: Path
    summary: DemoSummary
    connection: duckdb.DuckDBPyConnection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()

    def value(self, sql: str) -> Any:
        return self.rows(sql)[0][0]

    def special(self, role: str) -> str:
        """The account ids of a role as a SQL list."""
        return "(" + ", ".join(f"'{account}'" for account in self.summary.special[role]) + ")"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    # Quotes, blanks and globbing characters in the path must not matter.
    home = tmp_path_factory.mktemp("demo") / "it's a [very] od* home"
    summary = generate(home / "raw", accounts=ACCOUNTS, days=DAYS, events=EVENTS, end_date=END)
    landing = create_landing(home)
    with duckdb.connect(str(landing), read_only=True) as connection:
        connection.execute("set schema = 'raw'")
        connection.execute("set threads = 1")
        connection.execute(
            """
            create temporary table good_accounts as
            select * from crm_accounts where account_id is not null
            qualify row_number() over (partition by account_id order by updated_at desc) = 1
            """
        )
        yield Demo(home, summary, connection)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# ---------------------------------------------------------------- the contract


def test_every_table_has_the_columns_of_the_contract(demo: Demo) -> None:
    assert {name: [*columns.split(), "loaded_at"] for name, columns in CONTRACT.items()} == {
        name: schema.names for name, schema in TABLES.items()
    }
    for name, schema in TABLES.items():
        files = sorted((demo.home / "raw" / name).glob("part-*.parquet"))
        assert files, name
        for path in files:
            written = pq.read_schema(path)
            assert written.names == schema.names, path
            assert written.types == schema.types, path
        assert demo.value(f"select count(*) from {name}") == demo.summary.rows[name] > 0


def test_same_arguments_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        generate(tmp_path / folder, **TINY, seed=7)
    generate(tmp_path / "other", **TINY, seed=8)
    one = digests(tmp_path / "one")
    assert len(one) >= len(TABLES)
    assert one == digests(tmp_path / "two")
    other = digests(tmp_path / "other")
    same = {name for name in one if one[name] == other.get(name)}
    assert all(name.startswith("product_features") for name in same)


def test_streams_of_stages_are_independent() -> None:
    first = stage_rng(1, "tickets").integers(0, 10**9, 5).tolist()
    assert first == stage_rng(1, "tickets").integers(0, 10**9, 5).tolist()
    assert first != stage_rng(1, "surveys").integers(0, 10**9, 5).tolist()
    assert first != stage_rng(1, "tickets", part=1).integers(0, 10**9, 5).tolist()
    assert first != stage_rng(2, "tickets").integers(0, 10**9, 5).tolist()


def test_event_target_is_met_in_sessions(demo: Demo) -> None:
    planted = sum(demo.summary.bad_rows["product_events"].values())
    assert abs(demo.summary.rows["product_events"] - planted - EVENTS) < 0.05 * EVENTS
    per_user_day = demo.value(
        """
        select avg(event_count) from (
            select count(*) as event_count from product_events
            group by user_id, cast(occurred_at as date)
        )
        """
    )
    assert 14 < per_user_day < 24
    # Every session begins with a login.
    assert (
        demo.value(
            """
        select avg(case when event_name = 'login' then 1.0 else 0.0 end) from (
            select arg_min(event_name, occurred_at) as event_name from product_events
            group by user_id, cast(occurred_at as date)
        )
        """
        )
        > 0.97
    )


def test_usage_is_skewed_over_accounts(demo: Demo) -> None:
    share = demo.value(
        """
        select sum(events) filter (place <= 0.1 * accounts) / sum(events) from (
            select
                count(*) as events,
                row_number() over (order by count(*) desc) as place,
                count(*) over () as accounts
            from product_events
            group by account_id
        )
        """
    )
    assert share > 0.3


def test_events_belong_to_features_of_the_plan(demo: Demo) -> None:
    known = {row[0] for row in demo.rows("select distinct event_name from product_events")}
    assert known == set(usage.EVENT_NAMES)
    features = dict(demo.rows("select plan, count(*) from product_features group by 1"))
    assert features == {"starter": 7, "growth": 11, "enterprise": 12}
    not_in_plan = demo.value(
        """
        select count(*)
        from product_events as event
        join good_accounts as account using (account_id)
        left join product_features as feature
            on event.event_name = feature.event_name and account.plan = feature.plan
        where feature.event_name is null
            and event.event_name not in ('login', 'view_help')
            and not exists (
                select 1 from product_events as other
                where other.event_id = event.event_id and other.event_name <> event.event_name
            )
        """
    )
    assert not_in_plan == 0


def test_daily_usage_adds_up_to_the_good_events(demo: Demo) -> None:
    planted = sum(demo.summary.bad_rows["product_events"].values())
    events, people, distinct, names_ = demo.rows(
        """
        select sum(event_count), sum(active_users), count(*), count(distinct event_name)
        from (select distinct * from product_usage_daily where account_id is not null)
        where account_id in (select account_id from good_accounts)
        """
    )[0]
    assert events == demo.summary.rows["product_events"] - planted
    assert distinct <= people <= events
    assert names_ == len(usage.EVENT_NAMES)
    # One account-day by hand, from one without bad rows.
    differing = demo.value(
        """
        with counted as (
            select account_id, cast(occurred_at as date) as usage_date, event_name,
                count(distinct event_id) as event_count, count(distinct user_id) as active_users
            from product_events
            group by all
        )
        select count(*) from counted
        join product_usage_daily as daily using (account_id, usage_date, event_name)
        where daily.event_count <> counted.event_count
            or daily.active_users <> counted.active_users
        """
    )
    spoiled = demo.summary.bad_rows["product_events"]
    assert differing <= 2 * sum(spoiled.values())


def test_large_data_are_cut_into_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "PART_EVENTS", 1_000)
    summary = generate(tmp_path, accounts=40, days=90, events=30_000)
    files = sorted((tmp_path / "product_events").glob("*.parquet"))
    assert len(files) >= 30
    tables = [pq.read_table(path) for path in files]
    assert max(len(table) for table in tables) <= 1_100
    assert sum(len(table) for table in tables) == summary.rows["product_events"]
    ids = pa.concat_tables(tables)["event_id"].drop_null()
    planted = summary.bad_rows["product_events"]
    twice = planted["exact_duplicate"] + planted["conflicting_duplicate"]
    assert len(ids) - len(ids.unique()) == twice > 0
    # No account-day lies in two parts, so that its aggregate is one row per event name.
    daily = tmp_path / "product_usage_daily"
    rows, groups = duckdb.sql(
        f"""
        select count(*), count(distinct (account_id, usage_date, event_name))
        from (select distinct * from read_parquet('{daily}/*.parquet'))
        where account_id is not null
        """
    ).fetchall()[0]
    assert rows == groups > 1_000


# ------------------------------------------------------------------- the window


def test_nothing_happens_after_the_end_but_planted_rows(demo: Demo) -> None:
    end = f"timestamp '{END} 00:00:00'"
    for name, schema in TABLES.items():
        for column in schema:
            if not pa.types.is_timestamp(column.type) or column.name in AHEAD:
                continue
            late = f"{column.name} >= {end} and {column.name} <= loaded_at + interval 1 day"
            assert demo.value(f"select count(*) from {name} where {late}") == 0, column.name
        latest = demo.value(f"select max(loaded_at) from {name}")
        assert latest.date() <= END + timedelta(days=1), name
    first = demo.value("select min(usage_date) from product_usage_daily")
    assert first >= END - timedelta(days=DAYS)
    assert demo.value("select max(usage_date) from product_usage_daily") == END - timedelta(days=1)


def test_rows_are_loaded_after_what_they_tell(demo: Demo) -> None:
    for name, schema in TABLES.items():
        for column in schema:
            if pa.types.is_timestamp(column.type) and column.name not in AHEAD:
                early = f"{column.name} > loaded_at and {column.name} <= loaded_at + interval 1 day"
                assert demo.value(f"select count(*) from {name} where {early}") == 0, (
                    name,
                    column.name,
                )


def test_fresh_until_the_end(demo: Demo) -> None:
    for name in ("product_events", "support_tickets", "billing_invoices", "crm_touchpoints"):
        newest = demo.value(f"select max(loaded_at) from {name}")
        assert newest.date() >= END - timedelta(days=3), name


# ------------------------------------------------------------------ the bad rows


def recount(demo: Demo, name: str) -> dict[str, int]:
    """Count bad rows from the files alone, by the meaning of the reason codes."""
    columns = TABLES[name].names
    key = columns[0]
    has_account = "account_id" in columns and name != "crm_accounts"
    found = {
        "exact_duplicate": demo.value(
            f"""
            select (select count(*) from {name})
                - (select count(*) from (select distinct * from {name}))
            """
        ),
        "null_key": demo.value(
            f"select count(*) from {name} where {key} is null"
            + (" or account_id is null" if has_account else "")
        ),
    }
    if name not in KEYLESS:
        found["conflicting_duplicate"] = demo.value(
            f"""
            select coalesce(sum(versions - 1), 0) from (
                select count(*) as versions from (select distinct * from {name})
                where {key} is not null group by {key}
            )
            """
        )
    if has_account:
        found["orphan"] = demo.value(
            f"""
            select count(*) from {name} where account_id is not null
                and account_id not in (select account_id from good_accounts)
            """
        )
    if name in MOMENTS:
        moment = MOMENTS[name]
        found["before_start"] = demo.value(
            f"""
            select count(*) from {name} as fact join good_accounts as account using (account_id)
            where fact.{moment} < account.created_at
            """
        )
        found["future"] = demo.value(
            f"select count(*) from {name} where {moment} > loaded_at + interval 1 day"
        )
    if "currency_code" in columns and name != "billing_exchange_rates":
        found["missing_rate"] = demo.value(
            f"""
            select count(*) from {name} where currency_code not in (
                select currency_code from billing_exchange_rates where currency_code is not null
            )
            """
        )
    for (table, kind), condition in IMPOSSIBLE.items():
        if table == name:
            found[kind] = demo.value(f"select count(*) from {name} where {condition}")
    return {kind: count for kind, count in found.items() if count}


@pytest.mark.parametrize("name", list(TABLES))
def test_bad_rows_are_those_of_the_summary(demo: Demo, name: str) -> None:
    found = recount(demo, name)
    told = {kind: n for kind, n in demo.summary.bad_rows.get(name, {}).items() if n}
    assert found == told
    rows = demo.summary.rows[name]
    assert sum(told.values()) < 0.01 * rows
    assert told.get("orphan", 0) < 0.005 * rows


def test_every_kind_of_fault_is_there(demo: Demo) -> None:
    kinds = {kind for counts in demo.summary.bad_rows.values() for kind in counts}
    assert kinds == {
        "exact_duplicate", "conflicting_duplicate", "null_key", "orphan", "before_start",
        "future", "out_of_range", "negative_amount", "not_finite", "missing_rate",
        "closed_before_opened",
    }  # fmt: skip
    assert set(demo.summary.bad_rows["product_events"]) == set(usage.EVENT_FAULTS)


def test_good_version_of_a_conflict_is_the_newest_or_the_first_loaded(demo: Demo) -> None:
    newest = demo.value(
        """
        select arg_max(industry, updated_at) <> 'other' and bool_or(industry = 'other')
        from crm_accounts where account_id in (
            select account_id from (select distinct * from crm_accounts)
            where account_id is not null group by account_id having count(*) > 1
        )
        """
    )
    assert newest is True
    first_loaded = demo.value(
        """
        select bool_and(channel = 'event') from marketing_engagements
        where (engagement_id, loaded_at) in (
            select (engagement_id, max(loaded_at))
            from (select distinct * from marketing_engagements)
            where engagement_id is not null group by engagement_id having count(*) > 1
        )
        """
    )
    assert first_loaded is True


def test_references_exist(demo: Demo) -> None:
    for name, column, other in (
        ("crm_contacts", "user_id", "product_users"),
        ("crm_touchpoints", "contact_id", "crm_contacts"),
        ("product_events", "user_id", "product_users"),
        ("support_tickets", "contact_id", "crm_contacts"),
        ("survey_responses", "contact_id", "crm_contacts"),
        ("marketing_engagements", "contact_id", "crm_contacts"),
        ("billing_invoices", "subscription_id", "billing_subscriptions"),
    ):
        lost, used = demo.rows(
            f"""
            select count(*) filter (reference.account_id is null), count(fact.{column})
            from {name} as fact
            left join (
                select distinct {column}, account_id from {other}
                where account_id in (select account_id from good_accounts)
            ) as reference
                on fact.{column} = reference.{column} and fact.account_id = reference.account_id
            where fact.{column} is not null
                and fact.account_id in (select account_id from good_accounts)
            """
        )[0]
        assert (lost, used > 0) == (0, True), (name, column)
    for column in ("parent_account_id", "merged_into_account_id"):
        lost, used = demo.rows(
            f"""
            select count(*) filter (other.account_id is null), count(*)
            from good_accounts as account
            left join good_accounts as other on account.{column} = other.account_id
            where account.{column} is not null
            """
        )[0]
        assert (lost, used > 0) == (0, True), column
    assert (
        demo.value("select count(*) from good_accounts where parent_account_id = account_id") == 0
    )


# -------------------------------------------------------------------- the signal


def before_churn(
    demo: Demo,
    fact: str,
    moment: str,
    condition: str,
    *,
    per: str = "1",
    days: tuple[int, int] = (60, 0),
) -> tuple[float, float]:
    """Mean count in some days before a churn: of those who left, of those who stay.

    Counts are per account, or per what `per` says, from `days[0]` to `days[1]` before. Those who
    stay are of the same segment, over the same days, and were customers for at least 150 days by
    then, like those who left.
    """
    left, stayed = demo.rows(
        f"""
        with leavers as (
            select account_id, segment, seats_licensed, churned_at
            from good_accounts
            where churn_reason = 'voluntary' and created_at < churned_at - interval 150 day
                and churned_at > timestamp '{END}' - interval {DAYS - 90} day
        ),
        compared as (
            select leavers.churned_at as day, account.account_id, account.seats_licensed,
                account.account_id = leavers.account_id as left_then
            from leavers
            join good_accounts as account
                on account.segment = leavers.segment
                and account.created_at < leavers.churned_at - interval 150 day
                and (account.churned_at is null or account.account_id = leavers.account_id)
                and account.seats_licensed > 0 and not account.is_deleted
        ),
        counts as (
            select compared.day, compared.account_id, left_then,
                count(fact.account_id) / any_value({per}) as counted
            from compared
            left join {fact} as fact
                on fact.account_id = compared.account_id
                and fact.{moment} < compared.day - interval {days[1]} day
                and fact.{moment} >= compared.day - interval {days[0]} day
                and {condition}
            group by all
        )
        select avg(counted) filter (left_then), avg(counted) filter (not left_then) from counts
        """
    )[0]
    return left, stayed


def test_usage_falls_before_churn(demo: Demo) -> None:
    logins = ("product_events", "occurred_at", "event_name = 'login'")
    left, stayed = before_churn(demo, *logins, per="seats_licensed")
    assert left < 0.55 * stayed
    # Not only in the last weeks, when the decision to leave may have been made.
    left, stayed = before_churn(demo, *logins, per="seats_licensed", days=(165, 75))
    assert left < 0.7 * stayed


def test_tickets_rise_before_churn(demo: Demo) -> None:
    left, stayed = before_churn(demo, "support_tickets", "opened_at", "true")
    assert left > 1.8 * stayed
    for worse in ("complexity >= 4", "reopen_count > 0"):
        worse_left, worse_stayed = before_churn(demo, "support_tickets", "opened_at", worse)
        assert worse_left / left > 1.3 * worse_stayed / stayed, worse


def test_talks_and_clicks_fall_before_churn(demo: Demo) -> None:
    for fact, condition in (
        ("crm_touchpoints", "direction = 'two_way'"),
        ("marketing_engagements", "engagement_type <> 'sent'"),
    ):
        left, stayed = before_churn(demo, fact, "occurred_at", condition)
        assert left < 0.85 * stayed, (fact, left, stayed)


def test_answers_are_worse_before_churn(demo: Demo) -> None:
    for sql in (
        """
        select avg(score) filter (is_leaving), avg(score) filter (not is_leaving) from (
            select score,
                coalesce(responded_at > churned_at - interval 120 day, false) as is_leaving
            from survey_responses join good_accounts using (account_id)
            where survey_type = 'nps' and score between 0 and 10
                and coalesce(churn_reason, 'voluntary') = 'voluntary'
        )
        """,
        """
        select avg(sentiment) filter (is_leaving), avg(sentiment) filter (not is_leaving) from (
            select sentiment,
                coalesce(recorded_at > churned_at - interval 120 day, false) as is_leaving
            from crm_csm_sentiments join good_accounts using (account_id)
            where sentiment between 1 and 5 and coalesce(churn_reason, 'voluntary') = 'voluntary'
        )
        """,
    ):
        leaving, others = demo.rows(sql)[0]
        assert leaving < others - 0.4


def test_healthy_accounts_grow(demo: Demo) -> None:
    grown, others = demo.rows(
        """
        select avg(score) filter (has_grown), avg(score) filter (not has_grown) from (
            select score, exists (
                select 1 from crm_opportunities as sold
                where sold.account_id = answer.account_id and sold.stage = 'won'
                    and sold.opportunity_type = 'expansion'
            ) as has_grown
            from survey_responses as answer
            where survey_type = 'nps' and score between 0 and 10
        )
        """
    )[0]
    assert grown > others + 0.3


@pytest.fixture(scope="module")
def world() -> World:
    """The world of the demo that `customer-health demo` makes."""
    return build_world(Clock.ending(END, 540), 20260630, 500, 1_000_000)


def leavers(world: World) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Accounts that left of their own will after the first half year, and the day they did."""
    who = np.flatnonzero((world.churn_reason == 0) & (world.end_day >= 200))
    return who, world.end_day[who]


def test_most_drift_away_for_months_and_some_leave_suddenly(world: World) -> None:
    who, day = leavers(world)
    before, at_the_end = (
        world.health_on(Aspect.OVERALL, who, day - days) - world.health[who, 30 + (day - days) // 7]
        for days in (200, 20)
    )
    drifts = at_the_end < before - 0.5
    assert 0.6 < drifts.mean() < 0.97
    # By two months before the churn most of the way down is behind them.
    halfway = world.troubles.at(Aspect.OVERALL, who, 30 + (day - 60) // 7)
    assert np.median(halfway[drifts] / -at_the_end[drifts]) > 0.7


def test_troubles_show_in_different_aspects(world: World) -> None:
    who, _ = leavers(world)
    shown = world.troubles.shown[who]
    for aspect in (Aspect.USAGE, Aspect.SERVICE, Aspect.MOOD, Aspect.MONEY):
        assert (shown[:, aspect] == 1.0).mean() > 0.05, aspect
    for aspect in (Aspect.SERVICE, Aspect.MONEY):
        assert (shown[:, aspect] < 0.5).mean() > 0.4, aspect


def test_troubles_of_those_who_stay_pass(world: World) -> None:
    staying = np.flatnonzero(
        (world.end_day == FAR) & ~world.population.has_role(Role.IN_NOTICE, Role.OVERAGE)
    )
    leaves_soon = np.isin(staying, world.terms.account[world.terms.cancel_day < FAR])
    depth = world.troubles.depth[staying[~leaves_soon]]
    troubled = depth > 0.5
    assert 0.04 < troubled.mean() < 0.2
    assert troubled.any(axis=1).mean() > 0.25
    assert (~troubled).any(axis=1).all()


def test_enough_churn_for_validation(world: World) -> None:
    assert (world.churn_reason == 0).sum() >= 80
    assert (world.churn_reason == 1).sum() >= 2
    paid = np.where(world.population.paid_day < FAR, world.population.paid_day, 540)
    years = np.clip(np.minimum(world.end_day, 540) - np.clip(paid, 0, 540), 0, 540).sum() / 365.25
    assert 0.15 < (world.churn_reason >= 0).sum() / years < 0.20


# ------------------------------------------------------------------ contracts


def test_subscriptions_follow_each_other(demo: Demo) -> None:
    gaps = demo.rows(
        """
        with good as (
            select * from billing_subscriptions
            where account_id in (select account_id from good_accounts)
                and mrr_amount >= 0 and isfinite(mrr_amount) and currency_code <> 'CHF'
                and (ended_at is null or ended_at >= started_at)
            qualify row_number() over (partition by subscription_id order by updated_at desc) = 1
        )
        select days, count(*), list(distinct account_id) from (
            select account_id, date_diff('day', ended_at, lead(started_at) over (
                partition by account_id order by started_at
            )) as days
            from good
        ) where days is not null group by days
        """
    )
    by_days = {days: (count, accounts) for days, count, accounts in gaps}
    assert set(by_days) == {0, 10}  # the late renewals are the only gaps
    assert set(by_days[10][1]) == set(demo.summary.special["late_renewal"])
    assert by_days[0][0] > 100


def test_endings_agree_with_the_crm(demo: Demo) -> None:
    differing, count = demo.rows(
        """
        with cancelled as (
            select account_id, ended_at, cancel_requested_at, started_at
            from billing_subscriptions
            where status = 'cancelled' and ended_at >= started_at
                and mrr_amount >= 0 and currency_code <> 'CHF'
        )
        select count(*) filter (account.churned_at is distinct from cancelled.ended_at), count(*)
        from good_accounts as account
        full join cancelled using (account_id)
        where (account.churned_at is not null or cancelled.ended_at is not null)
            and (account.account_id is not null)
        """
    )[0]
    assert differing == 0
    assert count >= sum(demo.summary.churns.values()) > 30
    notices = demo.rows(
        """
        select distinct date_diff('hour', cancel_requested_at, ended_at) / 24.0
        from billing_subscriptions
        where cancel_requested_at is not null and ended_at >= started_at
        """
    )
    assert len(notices) > 5
    assert all(9 <= days <= 45 for (days,) in notices)


def test_awkward_accounts(demo: Demo) -> None:
    good_events = (
        "select * from product_events where occurred_at <= loaded_at + interval 1 day "
        "and account_id is not null and event_id is not null"
    )
    silent = demo.special("silent")
    assert demo.value(f"select count(*) from product_events where account_id in {silent}") == 0
    crowded = demo.rows(
        f"""
        select max(account.seats_licensed), count(distinct event.user_id)
        from ({good_events}) as event join good_accounts as account using (account_id)
        where account_id in {demo.special("overage")}
            and occurred_at >= timestamp '{END}' - interval 30 day
        """
    )[0]
    assert crowded[1] == crowded[0] * 1.2
    assert demo.rows(
        f"""
        select count(*), count(*) filter (is_deleted),
            (select count(*) from ({good_events}) where account_id in {demo.special("deleted")}
                and occurred_at >= timestamp '{END}' - interval 29 day)
        from good_accounts where account_id in {demo.special("deleted")}
        """
    )[0] == (1, 1, 0)
    assert demo.value("select count(*) from good_accounts where is_deleted") == 1
    assert demo.rows(
        f"""
        select min(account.churn_reason), bool_and(into_account.churned_at is null)
        from good_accounts as account
        join good_accounts as into_account
            on account.merged_into_account_id = into_account.account_id
        where account.account_id in {demo.special("merged")}
        """
    )[0] == ("merged", True)
    running = demo.special("trial_running")
    assert demo.value(
        f"select min(trial_ends_at) > timestamp '{END}' from good_accounts "
        f"where account_id in {running}"
    )
    assert demo.rows(
        f"select distinct status, ended_at, mrr_amount from billing_subscriptions "
        f"where account_id in {running}"
    ) == [("trialing", None, 0.0)]
    paying = "select account_id from billing_subscriptions where mrr_amount > 0"
    for role, many in (("trial_lost", False), ("trial_converted", True), ("free", False)):
        paid = demo.value(
            f"select count(distinct account_id) from ({paying}) "
            f"where account_id in {demo.special(role)}"
        )
        assert paid == (len(demo.summary.special[role]) if many else 0), role
    assert (
        demo.value(
            f"select max(seats_licensed) from good_accounts "
            f"where account_id in {demo.special('zero_seats')}"
        )
        == 0
    )
    # In notice: the cancellation is known, the end is not reached.
    assert demo.value(
        f"""
        select count(*) from billing_subscriptions
        where account_id in {demo.special("in_notice")}
            and cancel_requested_at is not null and ended_at is null and status <> 'cancelled'
        """
    ) == len(demo.summary.special["in_notice"])
    assert len(demo.summary.special["in_notice"]) >= 2
    busy, quiet = demo.rows(
        f"""
        select count(*) filter (month(occurred_at) % 3 = 0) / 5.0,
            count(*) filter (month(occurred_at) % 3 <> 0) / 10.0
        from ({good_events}) where account_id in {demo.special("seasonal")}
        """
    )[0]
    assert busy > 5 * quiet


def test_names_are_odd_and_different(demo: Demo) -> None:
    written = [row[0] for row in demo.rows("select account_name from good_accounts")]
    assert len(set(written)) == ACCOUNTS
    assert set(names.ODD_NAMES) <= set(written)


def test_names_stay_different_beyond_the_words() -> None:
    many = names.account_names(stage_rng(1, "names"), 60_000)
    assert len(many.unique()) == 60_000


def test_money(demo: Demo) -> None:
    currencies = {
        row[0] for row in demo.rows("select distinct currency_code from crm_opportunities")
    }
    assert {"USD", "EUR", "GBP"} <= currencies
    gaps = demo.value(
        """
        select max(days) from (
            select rate_date - lag(rate_date) over (
                partition by currency_code order by rate_date
            ) as days
            from (select distinct currency_code, rate_date from billing_exchange_rates
                  where currency_code is not null)
        )
        """
    )
    assert gaps == 7
    covered = demo.value(
        """
        select bool_and(first_rate <= first_start) from (
            select currency_code, min(rate_date) as first_rate
            from billing_exchange_rates group by 1
        ) join (
            select currency_code, min(started_at) as first_start
            from billing_subscriptions group by 1
        ) using (currency_code)
        """
    )
    assert covered is True
    assert demo.value("select max(rate_date) from billing_exchange_rates") > END - timedelta(days=8)
    late = demo.value(
        "select avg(case when paid_at > due_at then 1.0 else 0.0 end) from billing_invoices"
    )
    assert 0.03 < late < 0.4
    assert demo.value("select count(*) from billing_invoices where invoice_type = 'refund'") > 0


def test_some_overrides_are_in_force(demo: Demo) -> None:
    expired, in_force, silent = demo.rows(
        f"""
        select count(*) filter (expires_at <= timestamp '{END}'),
            count(*) filter (expires_at > timestamp '{END}'),
            count(*) filter (reason is null or author_id is null or expires_at is null)
        from crm_health_overrides
        """
    )[0]
    assert expired >= 1 and in_force >= 1 and silent == 0


# ------------------------------------------------------------- updates of actions


def test_csms_write_about_the_playbooks_that_there_are(demo: Demo) -> None:
    """About each of them, a few times about none; some CSMs never close anything."""
    with (PROJECT_DIR / "seeds" / "playbooks.csv").open(encoding="utf-8", newline="") as file:
        playbooks = {row["playbook_key"] for row in csv.DictReader(file)}
    written = dict(demo.rows("select playbook_key, count(*) from crm_action_updates group by 1"))
    assert playbooks < set(written)
    of_none = sum(count for key, count in written.items() if key not in playbooks)
    assert 0 < of_none < 0.05 * sum(written.values())

    closed = dict(
        demo.rows(
            """
            select author_id, avg(case when state = 'done' then 1 else 0 end)
            from crm_action_updates where author_id is not null and loaded_at >= recorded_at
            group by 1 having count(*) >= 50
            """
        )
    )
    never = [csm for csm, share in closed.items() if share < 0.02]  # a planted row may say so
    others = [share for share in closed.values() if share >= 0.02]
    assert 1 <= len(never) < len(closed) / 2
    assert min(others) > 0.1 and max(others) - min(others) > 0.1

    others_accounts, without_author = demo.rows(
        """
        select count(*) filter (author_id is distinct from csm_id), count(*) - count(author_id)
        from crm_action_updates join good_accounts using (account_id)
        """
    )[0]
    assert others_accounts == 0 and without_author > 0  # a shared mailbox has no name


def test_actions_are_seen_before_they_are_done(demo: Demo) -> None:
    done, days, seen_before, seen_late = demo.rows(
        """
        with updates as (
            select * from crm_action_updates
            where account_id in (select account_id from good_accounts)
                and playbook_key not in ('sentiment_gap', 'quarterly_call')  -- come at any time
            qualify row_number() over (partition by update_id order by loaded_at) = 1
        ),
        done as (
            select done.update_id,
                min(date_diff('minute', seen.recorded_at, done.recorded_at)) filter (
                    seen.recorded_at <= done.recorded_at
                ) / 1440.0 as days,
                count(seen.update_id) filter (
                    seen.recorded_at > done.recorded_at
                ) > 0 as is_seen_later
            from updates as done
            left join updates as seen
                on seen.account_id = done.account_id and seen.playbook_key = done.playbook_key
                and seen.state = 'acknowledged'
                and seen.recorded_at > done.recorded_at - interval 21 day
                and seen.recorded_at < done.recorded_at + interval 5 day
            where done.state = 'done'
            group by all
        )
        select count(*), median(days), avg(case when days is not null then 1 else 0 end),
            count(*) filter (days is null and is_seen_later)
        from done
        """
    )[0]
    assert 3 < days < 14
    assert 0.7 < seen_before < 0.95  # some close an action without a word before
    assert seen_late < 0.01 * done  # planted rows, and the next reason soon after


def test_overdue_invoices_are_a_reason_to_act(world: World) -> None:
    account, day = billing.overdue(world, 30)
    with duckdb.connect() as connection:
        connection.register("invoices", billing.billing(world)["billing_invoices"])
        late = connection.execute(
            """
            select cast(account_id[2:] as int) - 1, due_at + interval 30 day
            from invoices
            where invoice_type = 'charge' and due_at + interval 30 day < $end
                and (paid_at is null or paid_at > due_at + interval 30 day)
            order by all
            """,
            {"end": END},
        ).fetchall()
    start = datetime(END.year, END.month, END.day) - timedelta(days=540)
    found = sorted(
        (int(which), start + timedelta(seconds=round(float(when) * 86_400)))
        for which, when in zip(account, day, strict=True)
    )
    assert found == late and len(late) > 20


def test_what_was_done_has_no_effect() -> None:
    """Accounts whose action was closed go on like those of which it was only acknowledged.

    In several worlds together, since in one a few CSMs with a few accounts each decide.
    """
    changes, endings, closed = [], [], []
    for seed in range(1, 9):
        world = build_world(Clock.ending(END, 540), seed, 500, 100_000)
        account, day, was_done = acknowledged(world)
        later = world.health_on(Aspect.OVERALL, account, day + 56)
        changes.append(later - world.health_on(Aspect.OVERALL, account, day))
        endings.append(world.end_day[account] < day + 90)
        closed.append(was_done)
    was_done = np.concatenate(closed)
    assert min(was_done.sum(), (~was_done).sum()) > 5_000
    for outcomes, most in ((changes, 0.04), (endings, 0.015)):
        outcome = np.concatenate(outcomes)
        assert abs(outcome[was_done].mean() - outcome[~was_done].mean()) < most


def acknowledged(world: World) -> tuple[np.ndarray[Any, Any], ...]:
    """Account and day of what was acknowledged by those who close something, and if it was."""
    with duckdb.connect() as connection:
        connection.register("updates", records.crm_action_updates(world))
        found = connection.execute(
            """
            select cast(seen.account_id[2:] as int) - 1 as account,
                date_diff('day', $start, seen.recorded_at) as day,
                bool_or(done.update_id is not null) as was_done
            from updates as seen
            left join (select * from updates where state = 'done') as done
                on done.account_id = seen.account_id and done.playbook_key = seen.playbook_key
                and done.recorded_at between seen.recorded_at
                and seen.recorded_at + interval 20 day
            where seen.state = 'acknowledged'
                and seen.author_id in (select author_id from updates where state = 'done')
                and day between 0 and 450
            group by all
            """,
            {"start": END - timedelta(days=540)},
        ).fetchnumpy()
    return tuple(np.asarray(found[name]) for name in ("account", "day", "was_done"))


def test_updates_of_actions_leave_the_other_tables_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path / "with", **TINY)
    write = records.crm_action_updates
    monkeypatch.setattr(records, "crm_action_updates", lambda world: records_of_none(write, world))
    generate(tmp_path / "without", **TINY)
    one, other = digests(tmp_path / "with"), digests(tmp_path / "without")
    differing = {name for name in one if one[name] != other[name]}
    assert {name.split("/")[0] for name in differing} == {"crm_action_updates"}


def records_of_none(write: Callable[[World], pa.Table], world: World) -> pa.Table:
    """The table without rows, made from another world, so that this one is never looked at."""
    return write(build_world(world.clock, 1, MIN_ACCOUNTS, 1_000)).slice(0, 0)


# ---------------------------------------------------------------- files, landing


def test_progress_rises_to_one(tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    generate(tmp_path, **TINY, progress=lambda stage, share: told.append((stage, share)))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert told[-1] == ("done", 1.0)
    assert {"accounts", "records", "events"} <= {stage for stage, _ in told}


def test_a_failed_run_leaves_the_earlier_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(tmp_path, **TINY)
    before = digests(tmp_path)

    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(generator_module.usage, "make_activity", broken)
    with pytest.raises(OSError, match="no space"):
        generate(tmp_path, **TINY, seed=99)
    assert digests(tmp_path) == before


def test_a_smaller_demo_leaves_no_old_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as many_parts:
        many_parts.setattr(usage, "PART_EVENTS", 1_000)
        generate(tmp_path, **TINY)
    summary = generate(tmp_path, **TINY)
    assert len(list((tmp_path / "product_events").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == set(TABLES)
    assert summary.as_dict()["end_date"] == "2026-06-30"


@pytest.mark.parametrize("size", [{"accounts": 10}, {"days": 20}, {"events": 5}, {"seed": -1}])
def test_sizes_that_make_no_sense_are_refused(tmp_path: Path, size: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(size))} of at least"):
        generate(tmp_path / "raw", **{**TINY, **size})
    assert not (tmp_path / "raw").exists()


def test_landing_is_replaced_under_its_readers(demo: Demo) -> None:
    before = demo.value("select count(*) from crm_accounts")
    file_before = (demo.home / "landing.duckdb").stat().st_ino
    landing = create_landing(demo.home)
    assert landing.stat().st_ino != file_before
    assert demo.value("select count(*) from crm_accounts") == before
    with duckdb.connect() as other:
        path = str(landing).replace("'", "''")
        other.execute(f"attach '{path}' as landing (read_only)")
        views = other.execute(
            "select view_name from duckdb_views() where database_name = 'landing' "
            "and schema_name = 'raw'"
        ).fetchall()
        assert {row[0] for row in views} == set(TABLES)
        for name in TABLES:
            counted = other.execute(f"select count(*) from landing.raw.{name}").fetchone()
            assert counted == (demo.summary.rows[name],)
    assert {path.name for path in demo.home.iterdir()} == {"raw", "landing.duckdb"}


def test_landing_without_raw_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HealthError, match="run `customer-health demo` first"):
        create_landing(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_padded_ids() -> None:
    numbers = np.array([7, 123_456, -1, 0])
    assert padded_ids("T", numbers, 6).to_pylist() == ["T000007", "T123456", None, "T000000"]
    assert padded_ids("csm_", np.array([12]), 3).to_pylist() == ["csm_012"]
