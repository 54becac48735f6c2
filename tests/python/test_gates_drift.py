"""Rules of the landing gate about volume, drift and how values are written, and their acceptance.

The tables of test_gates get a year of events, so that weekdays have something to compare with.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from test_gates import ACCOUNTS, RAW, _bad, _printed

from customer_health import gate_landing, pipeline
from customer_health.errors import HealthError
from customer_health.gates import Check, GateReport, run_gate

USED = {  # fewer tables than the contract has, since each of them takes its time
    "crm_accounts",
    "crm_contacts",
    "crm_opportunities",
    "crm_touchpoints",
    "product_events",
    "support_tickets",
    "survey_responses",
    "billing_invoices",
    "success_goals",
}
AS_OF = date(2026, 6, 30)  # a Tuesday
MONDAY = "2026-06-29"
# 60 days of events, one every 3 minutes (480 a day), half that at weekends.
EVENTS = """
    create or replace table raw.product_events as
    select
        'e' || i as event_id, 'a' || (i % 200) as account_id, 'u1' as user_id,
        case when i % 4 = 0 then 'export' else 'login' end as event_name,
        timestamp '2026-05-01' + to_minutes(i * 3) as occurred_at,
        (i % 100)::double as duration_seconds
    from range(60 * 1440 // 3) as events (i)
    where isodow(timestamp '2026-05-01' + to_minutes(i * 3)) < 6 or i % 2 = 0
"""
THIN_MONDAY = f"""
    delete from raw.product_events
    where cast(occurred_at as date) = date '{MONDAY}' and hash(event_id) % 5 < 3
"""


class Landing:
    """A landing database that is changed and judged again and again."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "landing.duckdb"
        self.home = folder / "home"
        with duckdb.connect(str(self.file)) as connection:
            connection.execute("create schema raw")
            for table, query in RAW.items():
                connection.execute(f"create table raw.{table} as {query.format(n=ACCOUNTS)}")
            connection.execute(EVENTS)

    def change(self, *statements: str) -> None:
        with duckdb.connect(str(self.file)) as connection:
            for statement in statements:
                connection.execute(statement)

    def judge(self, last: GateReport | None = None, **more: Any) -> GateReport:
        """The report; `last` is kept as JSON in between, as a manifest does."""
        if last is not None:
            more["previous_counts"] = last.row_counts
            more["previous_profile"] = json.loads(json.dumps(last.profile))
        more = {"as_of_date": AS_OF, "using": USED, **more}
        return run_gate("landing", database=self.file, home=self.home, **more)


@pytest.fixture
def landing(tmp_path: Path) -> Landing:
    return Landing(tmp_path)


def _rules(report: GateReport) -> set[str]:
    return {check.rule for check in report.checks if not check.passed}


def _one(report: GateReport, rule: str) -> Check:
    (check,) = [check for check in report.checks if check.rule == rule and not check.passed]
    return check


# -- how far back a table is judged ------------------------------------------------------------
def test_a_table_that_grows_with_use_is_judged_by_its_last_weeks(landing: Landing) -> None:
    """Typed days older than that were judged before; rows without a day are always judged."""
    only: dict[str, Any] = {"using": {"product_events"}}
    first = landing.judge(**only)
    since = AS_OF - timedelta(days=gate_landing.JUDGED_DAYS)
    with duckdb.connect(str(landing.file)) as connection:
        counted = connection.execute(
            "select count(*) from raw.product_events where occurred_at >= ?", [since]
        ).fetchall()
    assert first.row_counts == {"product_events": counted[0][0]}
    assert 0 < counted[0][0] < 20_000
    (rows,) = [check for check in first.checks if check.rule == "row_count"]
    assert rows.observed.endswith(f"rows (of the days since {since})")
    day_before = since - timedelta(days=1)
    landing.change(
        f"update raw.product_events set event_id = null where occurred_at < '{day_before}'"
    )
    assert landing.judge(first, **only).status == "passed"
    landing.change(
        "insert into raw.product_events select event_id, account_id, user_id, event_name, null, "
        f"duration_seconds from raw.product_events where occurred_at < '{since}' limit 5000"
    )
    assert "key_known" in _rules(landing.judge(first, **only))


def test_all_days_written_as_text_are_judged(landing: Landing) -> None:
    """And what was counted over other days is not compared."""
    only: dict[str, Any] = {"using": {"product_events"}}
    first = landing.judge(**only)
    landing.change(
        "alter table raw.product_events alter occurred_at type varchar "
        "using cast(occurred_at as varchar) || 'Z'"
    )
    report = landing.judge(first, **only)
    assert report.status == "passed", report.summary()
    assert report.row_counts["product_events"] > 1.5 * first.row_counts["product_events"]
    (rows,) = [check for check in report.checks if check.rule == "row_count"]
    assert "since" not in rows.observed and "last time" not in rows.observed


# -- volume ------------------------------------------------------------------------------------


def test_a_day_far_under_its_weekdays_stops_a_run_until_it_is_accepted(landing: Landing) -> None:
    """It names day, rows and median; an accepted day stays accepted unless it loses more rows."""
    only: dict[str, Any] = {"using": {"product_events"}}
    first = landing.judge(**only)
    assert first.status == "passed", first.summary()
    landing.change(THIN_MONDAY)
    report = landing.judge(first, **only)
    thin = _one(report, "weekday_volume")
    assert (thin.table, thin.column, thin.sample_keys) == (
        "product_events",
        "occurred_at",
        [MONDAY],
    )
    assert thin.severity == "critical" and thin.is_acceptable
    assert thin.observed.startswith(f"{MONDAY} has ")
    assert thin.observed.endswith("the Mondays before it 475 (median of 4)")
    rows = int(thin.observed.split(" has ")[1].split()[0])
    assert 160 <= rows <= 220  # 60% of 475 are gone
    assert thin.expected == (
        "at least 50% of the median of that weekday in the 4 weeks before, where that is 200 rows "
        "or more"
    )
    assert report.status == "failed"

    accepted = landing.judge(first, accept_volume=True, **only)
    assert accepted.status == "passed"
    assert [check.rule for check in accepted.warnings] == ["weekday_volume"]
    assert "accepted with --accept-volume" in accepted.warnings[0].observed
    assert accepted.profile["accepted_days"] == {"product_events": {MONDAY: rows}}

    again = landing.judge(accepted, **only)
    assert again.status == "passed" and not again.warnings, again.summary()
    # A day later the accepted one is the day before the newest: judged in whole, and still known.
    landing.change(
        "insert into raw.product_events select event_id || 'x', account_id, user_id, event_name, "
        "occurred_at + interval 7 day, duration_seconds from raw.product_events "
        "where cast(occurred_at as date) = date '2026-06-23'"
    )
    tomorrow = landing.judge(again, as_of_date=date(2026, 7, 1), **only)
    assert tomorrow.status == "passed", tomorrow.summary()
    landing.change(f"delete from raw.product_events where occurred_at > '{MONDAY} 12:00'")
    assert "weekday_volume" in _rules(landing.judge(again, **only))


def test_a_day_is_compared_with_its_weekday_and_as_far_as_it_is_loaded(landing: Landing) -> None:
    """A Sunday has half of a Friday; a morning has less than a day; silence is not thinness."""
    only: dict[str, Any] = {"using": {"product_events"}}
    sunday = landing.judge(as_of_date=date(2026, 6, 29), **only)
    assert sunday.status == "passed", sunday.summary()

    landing.change(f"delete from raw.product_events where occurred_at > '{MONDAY} 06:00'")
    morning = landing.judge(**only)
    assert morning.status == "passed", morning.summary()

    landing.change(f"delete from raw.product_events where occurred_at >= '{MONDAY}'")
    silent = landing.judge(**only)
    assert silent.status == "passed", silent.summary()
    landing.change("delete from raw.product_events where cast(occurred_at as date) = '2026-06-27'")
    hole = _one(landing.judge(**only), "weekday_volume")
    assert hole.observed == ("2026-06-27 has 0 rows, the Saturdays before it 240 (median of 4)")

    # Few rows a day say nothing, and neither do the first weeks of a source.
    landing.change("delete from raw.product_events where hash(event_id) % 10 > 1")
    assert "weekday_volume" not in _rules(landing.judge(**only))
    landing.change(
        EVENTS, THIN_MONDAY, "delete from raw.product_events where occurred_at < '2026-06-20'"
    )
    assert "weekday_volume" not in _rules(landing.judge(**only))


def test_an_empty_or_missing_table_is_never_accepted(landing: Landing) -> None:
    """Fewer rows are."""
    first = landing.judge()
    landing.change(
        "delete from raw.crm_contacts where contact_id > 'c3'",
        "delete from raw.survey_responses",
        "drop table raw.success_goals",
    )
    report = landing.judge(first, accept_volume=True)
    assert report.status == "failed"
    assert {(check.rule, check.table): check.observed for check in report.failed} == {
        ("table_present", "success_goals"): "missing, 200 rows last time",
        ("row_count", "survey_responses"): "0 rows, 200 last time",
    }
    assert "crm_contacts" in {check.table for check in report.warnings}
    assert not any(check.is_acceptable for check in report.failed)


# -- drift -------------------------------------------------------------------------------------


def test_shares_and_means_are_compared_with_the_last_accepted_run(landing: Landing) -> None:
    """Keys name table and column, the finding what was and what is; small changes are noise."""
    first = landing.judge()
    landing.change(
        "update raw.crm_contacts set role = null where contact_id like '%3'",  # 19 of 200
        "update raw.crm_opportunities set amount = amount * 1.3",
        "update raw.product_events set event_name = 'export' where hash(event_id) % 10 = 0",
    )
    report = landing.judge(first)
    assert report.status == "passed" and not report.warnings, _printed(report)

    landing.change(
        "update raw.crm_contacts set role = null where contact_id like '%7'",
        "update raw.crm_opportunities set amount = amount / 100",
        "update raw.product_events set event_name = 'export' where hash(event_id) % 2 = 0",
        "alter table raw.crm_accounts drop column seats_licensed",
        "alter table raw.crm_accounts add column owner varchar",
        "update raw.crm_touchpoints set direction = 'inbound' where touchpoint_id = 't3'",
    )
    report = landing.judge(first)
    found = {check.rule: check for check in report.checks if not check.passed}
    assert set(found) == {"null_share_drift", "mean_drift", "category_drift", "known_columns"}
    nulls = found["null_share_drift"]
    assert nulls.sample_keys == ["crm_accounts.seats_licensed", "crm_contacts.role"]
    assert nulls.observed == (
        "crm_accounts.seats_licensed is gone, 0% null last time; "
        "crm_contacts.role null share 20%, 0% last time"
    )
    assert nulls.expected == "null shares that change by at most 10%"
    assert found["mean_drift"].observed == ("crm_opportunities.amount mean 129.35, 9,950 last time")
    category = found["category_drift"]
    assert category.sample_keys == ["product_events.event_name"]
    assert "'export' 6" in category.observed and "'export' 25% last time" not in category.observed
    new = found["known_columns"]
    assert (new.table, new.column, new.severity) == ("crm_accounts", "owner", "warning")
    assert {check.rule for check in report.failed} == set(found) - {"known_columns"}
    assert all(check.is_acceptable for check in report.failed)

    accepted = landing.judge(first, accept_volume=True)
    assert accepted.status == "passed" and len(accepted.warnings) == 4
    after = landing.judge(accepted)
    assert after.status == "passed" and not after.warnings


def test_a_profile_holds_no_row_of_the_data(landing: Landing) -> None:
    """Only counts, means and bounded categories; nothing that looks like an address or a text."""
    landing.change(
        "update raw.crm_contacts set role = contact_id || '@example.com' where contact_id < 'c2'",
        "update raw.crm_contacts set role = repeat('x', 61) where contact_id > 'c8'",
        "update raw.product_events set event_name = event_id where occurred_at > '2026-06-01'",
    )
    profile = landing.judge().profile
    text = json.dumps(profile)
    assert "@" not in text and "xxxx" not in text and "Account 1" not in text
    tables = profile["tables"]
    assert tables["crm_contacts"]["columns"]["role"]["values"].keys() == {"admin"}
    assert len(tables["product_events"]["columns"]["event_name"]["values"]) == 20
    events = tables["product_events"]
    assert events["columns"]["duration_seconds"]["known"] == events["rows"]


@pytest.mark.parametrize(
    ("old", "new", "change", "errors"),
    [
        ((0, 100), (0, 100), 0.0, 0.0),
        ((0, 100), (100, 100), 1.0, 14.14),
        ((50, 100), (60, 100), 0.1, 1.42),
        ((5000, 10000), (6000, 10000), 0.1, 14.21),
    ],
)
def test_a_change_is_measured_against_what_chance_explains(
    old: tuple[int, int], new: tuple[int, int], change: float, errors: float
) -> None:
    def profile(nulls: int, rows: int) -> dict[str, Any]:
        return {"t": {"rows": rows, "columns": {"c": {"known": rows - nulls}}}}

    ((place, measure, found, in_errors, rows, _),) = gate_landing.drift_rows(
        profile(*old), profile(*new)
    )
    assert (place, measure, rows) == ("t.c", "null_share", min(old[1], new[1]))
    assert (found, in_errors) == (pytest.approx(change), pytest.approx(errors, abs=0.01))


# -- how values are written --------------------------------------------------------------------


def test_text_that_cannot_be_read_safely_stops_a_run(landing: Landing) -> None:
    """Instants without offset, numbers dressed up for people, answers above their scale."""
    texts = ["1,234.50", "$5", "(5)", "12 EUR", "7%", "1 000", "1.234,50", "-€3"]
    cases = " ".join(f"when 'i{number}' then '{text}'" for number, text in enumerate(texts))
    landing.change(
        "alter table raw.billing_invoices alter column amount type varchar",
        f"update raw.billing_invoices set amount = case invoice_id {cases} else amount end",
        "update raw.billing_invoices set amount = '1e3' where invoice_id = 'i50'",
        "update raw.billing_invoices set amount = ' -5.5 ' where invoice_id = 'i51'",
        "alter table raw.crm_touchpoints alter column occurred_at type varchar",
        "update raw.crm_touchpoints set occurred_at = strftime(occurred_at::timestamp, "
        "'%Y-%m-%dT%H:%M:%S') || case when touchpoint_id = 't5' then '' else '+05:30' end",
        "update raw.survey_responses set survey_type = 'csat', scale_max = 5, score = score % 6 "
        "where response_id like '%1'",
        "update raw.survey_responses set score = 9 where response_id = 'r21'",
        "update raw.support_tickets set csat_score = 8 where ticket_id = 't3'",
    )
    report = landing.judge()
    found = {
        (check.rule, check.table, check.column): check
        for check in report.failed
        if check.rule in {"instants_have_offset", "plain_numbers", "within_scale"}
    }
    assert set(found) == {
        ("instants_have_offset", "crm_touchpoints", "occurred_at"),
        ("plain_numbers", "billing_invoices", "amount"),
        ("within_scale", "survey_responses", "score"),
        ("within_scale", "support_tickets", "csat_score"),
    }
    naive = found["instants_have_offset", "crm_touchpoints", "occurred_at"]
    assert naive.observed == ("1 of 200 rows have no offset, such as 2026-06-28T09:00:00")
    assert "customer_health__naive_timezone" in naive.expected
    assert (naive.rows, naive.sample_keys) == (1, ["t5"])
    plain = found["plain_numbers", "billing_invoices", "amount"]
    assert (plain.rows, plain.sample_keys) == (8, [f"i{number}" for number in range(5)])
    scale = found["within_scale", "survey_responses", "score"]
    assert scale.observed == "1 of 200 rows are above scale_max, such as 9 on a scale to 5"
    assert scale.expected == (
        "no answer above its scale: load the scale on which the question was asked"
    )
    assert "crm_touchpoints.occurred_at (instants_have_offset)" in report.summary()

    named = landing.judge(naive_timezone="Europe/Berlin")
    assert "instants_have_offset" not in _rules(named)
    assert not any(check.is_acceptable for check in found.values())


# -- in a run ----------------------------------------------------------------------------------


def test_a_refusal_names_the_option_only_where_it_helps(landing: Landing) -> None:
    """Where everything that is bad can be accepted."""
    first = landing.judge()
    landing.change(THIN_MONDAY)
    with pytest.raises(HealthError, match="run with --accept-volume"):
        pipeline.refuse_unless_passed(landing.judge(first))
    landing.change("delete from raw.survey_responses")
    with pytest.raises(HealthError) as refused:
        pipeline.refuse_unless_passed(landing.judge(first))
    assert "--accept-volume" not in refused.value.message
    assert _bad(landing.judge(first))["row_count", "survey_responses", None].observed == (
        "0 rows, 200 last time"
    )
