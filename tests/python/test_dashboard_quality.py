"""The Data quality page shows what was checked, what is missing, and what runs have to say."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import dashboard_world
import pytest
from dashboard_world import changed_copy, published_home, reading, rows, table, text_of, tiles

from customer_health.dashboard import quality
from customer_health.errors import HealthError

SOURCES = "Rows and age by source"
REJECTED = "Rejected rows by source and reason"
METRICS = "Accounts by metric and state of its value, the most often missing first"
HOSTILE = "<script>alert(1)</script> **bold** \u202eevil " + "x" * 300


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture
def changed(home, tmp_path) -> Callable[..., Path]:
    """Makes a home of its own, whose publication some statements have changed."""
    return partial(changed_copy, home, tmp_path)


def newest(home: Path) -> tuple[str, date]:
    """Id and date of the publication."""
    return rows(home, "select publication_id, as_of_date from fct_health__publications")[-1]


def infos(page) -> str:
    return "\n".join(each.value for each in page.info)


# -- what readers have ---------------------------------------------------------------------------
def test_the_figures_on_top_are_those_of_the_marts(home) -> None:
    shown = tiles(dashboard_world.page("data_quality", home))
    run, passed, at, day = rows(
        home,
        """select checks_run, checks_passed, newest_input_at, as_of_date
        from fct_health__publications""",
    )[0]
    read, rejected, filled = rows(
        home,
        """select sum(row_count), sum(rejected_count), count(*) filter (row_count > 0)
        from fct_health__source_rows""",
    )[0]
    accounts, scored = rows(
        home,
        """select count(*), count(health_score) from fct_health__account_scores
        where as_of_date = ?""",
        day,
    )[0]
    assert datetime.combine(day, time()) - at < timedelta(days=1)
    assert shown["Newest data"] == ("under 1 day", f"{at:%Y-%m-%d %H:%M} UTC")
    assert shown["Checks"][0] == f"{passed:,} of {run:,}"
    assert shown["Silent sources"] == ("0", f"of {filled:,} that have rows")
    assert shown["Rejected rows"] == (
        f"{rejected / read:.1%}",
        f"{rejected:,} of the {read:,} that the last run read",
    )
    assert shown["Without a score"] == (
        f"{accounts - scored:,}",
        f"of {accounts:,} accounts, {1 - scored / accounts:.1%}",
    )
    today, earlier = rows(
        home,
        """select count(*) filter (as_of_date = $1), count(*) filter (as_of_date <> $1)
        from fct_health__data_incidents""",
        day,
    )[0]
    assert shown["Data incidents today"] == (
        f"{today:,}",
        f"{earlier:,} on earlier dates" if earlier else "none on earlier dates",
    )


def test_what_readers_have_is_named(home) -> None:
    page = text_of(dashboard_world.page("data_quality", home))
    for each in rows(
        home, "select publication_id, policy_hash, git_sha from fct_health__publications"
    )[0]:
        assert each is None or each in page


def test_publications_are_listed_from_the_newest_with_their_copies(home, changed) -> None:
    own = changed(
        (
            """insert into fct_health__publications
            select 'before', published_at - interval 1 day, as_of_date - 1, 'v0', 'hash of before',
                null, 100, 90, 50, 48, null, true
            from fct_health__publications""",
            [],
        )
    )
    _, day = newest(home)
    found = table(dashboard_world.page("data_quality", own), "Last publications")
    assert [row["Scores of"] for row in found] == [
        str(day),
        f"{day - timedelta(days=1)} · backfill",
    ]
    assert found[1]["Policy"] == "v0"
    assert found[1]["Without a score"] == "10"
    assert found[1]["Checks"] == "! 2 of 50 warned"
    assert found[1]["Code"] == "–"
    assert [row["Copy"] for row in found] == ["not kept", "not kept"]
    kept = table(dashboard_world.page("data_quality", home), "Last publications")
    assert kept[0]["Copy"] == "current"


# -- checks --------------------------------------------------------------------------------------
def test_checks_are_counted_by_gate(home) -> None:
    page = dashboard_world.page("data_quality", home)
    expected = dict(
        rows(home, "select gate, count(*) from fct_health__publication_checks group by gate")
    )
    assert {row["Gate"]: row["Checks"] for row in table(page, "Checks by gate")} == {
        "Raw tables": str(expected["landing"]),
        "Marts": str(expected["candidate"]),
    }
    assert "Checks that did not hold" not in text_of(page)
    assert 'aria-label="All checks"' not in text_of(page)
    assert f"All {sum(expected.values())} checks" in [each.label for each in page.expander]


def test_checks_that_did_not_hold_come_first(changed, home) -> None:
    own = changed(
        (
            """update fct_health__publication_checks set is_passed = false, observed = ?
            where rule = 'fresh' and table_name in ('support_tickets', 'product_events')""",
            [HOSTILE],
        )
    )
    page = dashboard_world.page("data_quality", own, {"all_checks": "true"})
    failed = table(page, "Checks that did not hold")
    assert [(row["Result"], row["Table"]) for row in failed] == [
        ("✕ failed", "product_events"),
        ("! warned", "support_tickets"),
    ]
    assert table(page, "All checks")[:2] == failed
    assert table(page, "Checks by gate")[0]["Result"].startswith("! 2 of ")
    assert "<script>" not in text_of(page)
    assert "\u202e" not in text_of(page)


def test_the_list_of_checks_is_filtered_by_the_address(home) -> None:
    page = dashboard_world.page(
        "data_quality",
        home,
        {"all_checks": "true", "gate": "Raw tables", "table": "support_tickets"},
    )
    found = table(page, "All checks")
    expected = rows(
        home,
        """select rule, column_name from fct_health__publication_checks
        where gate = 'landing' and table_name = 'support_tickets'""",
    )
    assert len(found) == len(expected) > 3
    assert {(row["Rule"], row["Column"]) for row in found} == {
        (rule, column or "–") for rule, column in expected
    }


def test_filters_without_a_check_say_what_to_do(home) -> None:
    page = dashboard_world.page(
        "data_quality", home, {"all_checks": "true", "gate": "Marts", "table": "support_tickets"}
    )
    assert "No check matches" in infos(page)


# -- sources -------------------------------------------------------------------------------------
def test_sources_are_those_of_the_last_run(home, changed) -> None:
    own = changed(
        # a run before, and one for a date that readers do not have yet
        *(
            (
                f"""insert into fct_health__source_rows
                select source_table, as_of_date {days}, 7, 7, 0, 0, 0, null
                from fct_health__source_rows where source_table = 'crm_accounts'
                and as_of_date = (select max(as_of_date) from fct_health__account_scores)""",
                [],
            )
            for days in ("- 1", "+ 1")
        )
    )
    found = table(dashboard_world.page("data_quality", own), SOURCES)
    expected = rows(
        home,
        """select source_table, row_count, kept_count, exact_duplicate_count, rejected_count,
            newest_at from fct_health__source_rows order by source_table""",
    )
    assert [
        (row["Source"], row["Read"], row["Kept"], row["Duplicates"], row["Rejected"])
        for row in found
    ] == [(name, *(f"{count:,}" for count in counts)) for name, *counts, _ in expected]
    assert [row["Newest row, UTC"] for row in found] == [
        f"{row[-1]:%Y-%m-%d %H:%M}" if row[-1] else "–" for row in expected
    ]
    assert {row["Adds up?"] for row in found} == {"✓ yes"}


def test_a_source_that_the_gate_calls_old_is_silent(home, changed) -> None:
    publication_id, day = newest(home)
    own = changed(
        (
            """update fct_health__publication_checks set is_passed = false
            where publication_id = ? and rule = 'fresh' and table_name = 'support_tickets'""",
            [publication_id],
        ),
        (
            "update fct_health__source_rows set newest_at = ? where source_table = ?",
            [datetime.combine(day - timedelta(days=20), time(12)), "support_tickets"],
        ),
        (
            "update fct_health__source_rows set newest_at = ? where source_table = ?",
            [datetime.combine(day - timedelta(days=36), time()), "crm_accounts"],
        ),
    )
    page = dashboard_world.page("data_quality", own)
    found = {row["Source"]: row for row in table(page, SOURCES)}
    assert found["support_tickets"]["In time?"] == "✕ silent: at most 14 days allowed"
    assert found["support_tickets"]["Age"] == "19 days"
    assert found["crm_accounts"]["In time?"] == "! quiet, no limit set"
    assert found["product_events"]["In time?"].startswith("✓ at most")
    assert tiles(page)["Silent sources"][0] == "1"


@pytest.mark.parametrize(
    ("change", "state", "age"),
    [
        ({}, "in_time", "1 day"),
        ({"is_in_time": 0}, "silent", "1 day"),
        ({"is_in_time": None}, "no_limit", "1 day"),
        ({"is_in_time": None, "newest_at": datetime(2026, 5, 26)}, "no_limit", "35 days"),
        ({"is_in_time": None, "newest_at": datetime(2026, 5, 25, 23)}, "quiet", "35 days"),
        ({"newest_at": datetime(2026, 6, 30, 1)}, "in_time", "under 1 day"),
        ({"newest_at": None}, "undated", None),
        ({"newest_at": None, "row_count": 0, "kept_count": 0}, "empty", None),
    ],
)
def test_how_new_a_source_is(change, state, age) -> None:
    row = {
        "as_of_date": date(2026, 6, 30), "newest_at": datetime(2026, 6, 28, 23), "row_count": 5,
        "kept_count": 5, "is_in_time": 1, "limit_in_words": "at most 3 days",
    }  # fmt: skip
    fresh = quality.freshness(row | change)
    assert (fresh.state, quality.age_in_words(fresh.age_days)) == (state, age)


def test_rows_that_do_not_add_up_are_told() -> None:
    row = {"row_count": 9, "kept_count": 5, "exact_duplicate_count": 1, "rejected_count": 3}
    assert quality.adds_up(row)
    assert not quality.adds_up(row | {"rejected_count": 2})


def test_rejected_rows_are_counted_by_source_and_reason(home, changed) -> None:
    _, day = newest(home)
    own = changed(
        (
            """insert into fct_health__rejected_rows values
            ('support_tickets', 'mended', 'orphan', 4, ?, ?, null),
            ('support_tickets', 'other', ?, 1, ?, ?, null)""",
            [
                day - timedelta(days=9),
                day - timedelta(days=2),
                HOSTILE,
                day - timedelta(days=2),
                day,
            ],
        )
    )
    page = dashboard_world.page("data_quality", own, {"source": "support_tickets"})
    found = {row["Reason"].split(" · ")[-1]: row for row in table(page, REJECTED)}
    read = rows(
        home, "select row_count from fct_health__source_rows where source_table = 'support_tickets'"
    )[0][0]
    expected = rows(
        own,
        """select rejection_reason, sum(row_count) filter (last_seen_date = ?), sum(row_count),
            min(first_seen_date), max(last_seen_date) from fct_health__rejected_rows
        where source_table = 'support_tickets' group by 1""",
        day,
    )
    assert len(found) == len(expected) > 3
    for reason, current, every, first, last in expected:
        if reason == HOSTILE:
            continue
        assert found[reason]["By the last run"] == str(current)
        assert found[reason]["Share"] == f"{current / read:.2%}"
        assert found[reason]["By all runs"] == str(every)
        assert (found[reason]["First seen"], found[reason]["Last seen"]) == (str(first), str(last))
    assert found["orphan"]["By all runs"] != found["orphan"]["By the last run"]
    assert found["orphan"]["Reason"].startswith("the account is not known")
    assert {row["Source"] for row in found.values()} == {"support_tickets"}
    assert "<script>" not in text_of(page)


def test_the_words_of_reasons_are_of_reasons_that_there_are() -> None:
    models = [
        path.read_text(encoding="utf-8")
        for folder in ("models", "macros")
        for path in (dashboard_world.PROJECT / folder).rglob("*.sql")
    ]
    used = {reason for text in models for reason in re.findall(r"then '([a-z_]+)'", text)}
    assert set(quality.REASONS) <= used


# -- coverage and incidents ----------------------------------------------------------------------
def test_coverage_and_accounts_without_a_score(home, changed) -> None:
    _, day = newest(home)
    low, none = rows(
        home,
        """select account_id from fct_health__account_scores where as_of_date = ?
        order by account_id limit 2""",
        day,
    )
    change = """update fct_health__account_scores set coverage = ?, health_score = null
        where account_id = ? and as_of_date = ?"""
    own = changed((change, [0.4, low[0], day]), (change, [None, none[0], day]))
    page = dashboard_world.page("data_quality", own)
    found = {row["Known"]: row for row in table(page, "Accounts by coverage")}
    total, full, most = rows(
        own,
        """select count(*), count(*) filter (coverage > 0.9999),
            count(*) filter (coverage between 0.9 and 0.9999)
        from fct_health__account_scores where as_of_date = ?""",
        day,
    )[0]
    assert list(found) == [each for each in quality.COVERAGES if each in found]
    assert (found["100%"]["Accounts"], found["90% to 99%"]["Accounts"]) == (
        f"{full:,}",
        f"{most:,}",
    )
    assert found["100%"]["Share"] == f"{full / total:.1%}"
    assert [found[each]["Without a score"] for each in ("below 50%", "nothing applies")] == [
        "1"
    ] * 2
    assert sum(int(row["Accounts"].replace(",", "")) for row in found.values()) == total
    assert tiles(page)["Without a score"][0] == "2"


@pytest.mark.parametrize(
    ("query", "purpose"), [({}, "health"), ({"purpose": "Expansion"}, "expansion")]
)
def test_metrics_are_counted_by_state(home, query, purpose) -> None:
    page = dashboard_world.page("data_quality", home, query)
    _, day = newest(home)
    expected = rows(
        home,
        """select metric_label, count(*) filter (value_state = 'observed'),
            count(*) filter (value_state = 'unknown'),
            count(*) filter (value_state in ('observed', 'zero')),
            count(*) filter (value_state in ('observed', 'zero', 'unknown', 'not_connected'))
        from fct_health__metric_scores where as_of_date = ? and purpose = ?
        group by metric_label order by 3 desc, 1""",
        day,
        purpose,
    )
    found = table(page, METRICS)
    assert [row["Metric"] for row in found] == [row[0] for row in expected]
    for shown, (_, observed, unknown, known, applies) in zip(found, expected, strict=True):
        assert shown["Observed"] == (f"{observed:,}" if observed else "·")
        assert shown["Unknown"] == (f"{unknown:,}" if unknown else "·")
        assert shown["Known"] == (f"{known / applies:.1%}" if applies else "–")


def test_zero_is_known_and_what_does_not_apply_does_not_count() -> None:
    counts = {"observed": 2, "zero": 1, "unknown": 1, "not_connected": 2, "not_applicable": 9}
    metric = quality.MetricStates("CSAT", counts)
    assert (metric.missing, metric.known_share) == (3, 0.5)
    assert quality.MetricStates("CSAT", {"not_applicable": 9}).known_share is None


def test_without_an_incident_the_page_says_what_one_would_be(changed) -> None:
    own = changed(("delete from fct_health__data_incidents", []))
    assert "None was found. One is a day" in infos(dashboard_world.page("data_quality", own))


def test_incidents_are_listed_from_the_newest(home, changed) -> None:
    _, day = newest(home)
    own = changed(
        ("delete from fct_health__data_incidents", []),
        (
            """insert into fct_health__data_incidents values
            (?, 'v1', 'logins', 'Logins', ?, 'usage_day', 80, 60, 0.75, ?),
            (?, 'v1', 'csat', 'CSAT', '', 'score_fall', 10, 9, 0.9, null)""",
            [day, HOSTILE, day - timedelta(days=1), day - timedelta(days=3)],
        ),
    )
    page = dashboard_world.page("data_quality", own)
    found = table(page, "Data incidents")
    assert [row["Metric"] for row in found] == ["Logins", "CSAT"]
    assert found[0]["Accounts that dropped"] == "60 of 80"
    assert found[0]["Share"] == "75%"
    assert found[0]["Held at the values of"] == str(day - timedelta(days=1))
    assert found[1]["Held at the values of"] == "! not held"
    assert found[1]["Segment"] == "(none)"
    assert tiles(page)["Data incidents today"] == ("1", "1 on earlier dates")
    assert "<script>" not in text_of(page)


def test_marts_without_rows_say_so(changed) -> None:
    own = changed(
        *(
            (f"delete from {mart}", [])
            for mart in (
                "fct_health__publication_checks",
                "fct_health__source_rows",
                "fct_health__rejected_rows",
                "fct_health__metric_scores",
            )
        )
    )
    page = dashboard_world.page("data_quality", own)
    for told in (
        "lists no checks",
        "says nothing about its sources",
        "No run has set a row aside",
        "No metric was measured",
    ):
        assert told in infos(page)
    assert tiles(page)["Rejected rows"][0] == "–"


# -- runs ----------------------------------------------------------------------------------------
def write_run(home: Path, run_id: str, result: str, **more: Any) -> None:
    folder = home / "runs" / run_id
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(
        json.dumps(
            {"run_id": run_id, "command": "run", "result": result, "exit_code": int(result != "ok"),
             "started_at": "2026-07-01T05:15:00+00:00"} | more
        ),
        encoding="utf-8",
    )  # fmt: skip


def test_a_refused_run_is_told_with_what_to_do(changed) -> None:
    home = changed()
    write_run(home, "20260701T051500Z-aaaaaa", "refused", error=f"landing gate: {HOSTILE}")
    page = dashboard_world.page("data_quality", home)
    assert "The last run was refused" in page.warning[0].value
    assert "20260701T051500Z-aaaaaa · 2026-07-01 05:15:00 UTC" in text_of(page)
    assert "landing gate: &lt;script&gt;" in text_of(page)
    assert "<script>" not in text_of(page)
    assert all("landing gate" not in each.value for each in (*page.warning, *page.caption))


def test_a_refusal_before_a_good_run_is_no_warning(changed) -> None:
    home = changed()
    write_run(home, "20260701T051500Z-aaaaaa", "refused", error="too few rows")
    write_run(home, "20260702T051500Z-bbbbbb", "ok")
    page = dashboard_world.page("data_quality", home)
    assert not [each for each in page.warning if "refused," in each.value]
    assert "too few rows" in text_of(page)
    assert "before it one was refused" in "\n".join(each.value for each in page.caption)


def test_the_page_is_there_where_the_status_is_not(changed, monkeypatch) -> None:
    home = changed()
    monkeypatch.syspath_prepend(str(dashboard_world.APP))
    dashboard_world.page("data_quality", home)
    module = sys.modules["data_quality"]
    module.st.cache_data.clear()

    def fails(settings: Any) -> None:
        raise HealthError(f"no access <b>{settings.home.name}</b>")

    monkeypatch.setattr(module, "read_status", fails)
    page = dashboard_world.page("data_quality", home)
    assert "What runs are doing is not known: no access &lt;b&gt;" in text_of(page)
    assert table(page, SOURCES)
    module.st.cache_data.clear()


def test_pages_of_checks_hold_each_one_once(home) -> None:
    with reading(home) as reader:
        asked = quality.Checks(newest(home)[0])
        count = sum(row["check_count"] for row in quality.read_gates(reader, asked))
        found = [
            tuple(row.values())
            for page in range(1, count // 10 + 2)
            for row in quality.read_checks(reader, asked, page, 10)
        ]
    assert len(found) == count
    checks = "select gate, rule, table_name, column_name from fct_health__publication_checks"
    assert {row[:4] for row in found} == set(rows(home, checks))
