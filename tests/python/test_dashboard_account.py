"""The account page: its numbers are those of the marts, add up, and survive any text."""

from __future__ import annotations

import re
import shutil
from datetime import date, timedelta
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest
from dashboard_world import page, published_home, reading, text_of

from customer_health.dashboard import account as accounts
from customer_health.dashboard.bands import read_bands
from customer_health.explain import explain_from

HOSTILE = (
    "<script>alert(1)</script> **b** [x](https://evil.example) \u202e\u200b😀 "
    "\u0634\u0631\u0643\u0629 " + "x" * 300
)
_ROW = re.compile(r"<tr>(.*?)</tr>", re.S)
_CELL = re.compile(r"<td[^>]*>(.*?)</td>", re.S)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture(scope="module")
def altered(home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], date]:
    """A copy with accounts that had bad luck, the ids of these, and the newest date."""
    folder = tmp_path_factory.mktemp("altered")
    shutil.copyfile(home / "published.duckdb", folder / "published.duckdb")
    with duckdb.connect(str(folder / "published.duckdb")) as connection:
        connection.execute("use customer_health")
        day = connection.execute(
            "select max(as_of_date) from fct_health__account_scores"
        ).fetchone()[0]  # type: ignore[index]
        ids = [
            row[0]
            for row in connection.execute(
                """
                select account_id
                from act_health__actions
                where
                    is_open
                    and account_id in (
                        select account_id
                        from fct_health__score_changes
                        where as_of_date = ? and lag_key = '28'
                    )
                group by account_id
                order by account_id
                limit 3
                """,
                [day],
            ).fetchall()
        ]
        hostile, other, unkept = ids
        for table, column in (
            ("bi_health__account_360", "account_name"),
            ("bi_health__account_360", "csm_id"),
            ("bi_health__account_360", "segment"),
            ("bi_health__account_360", "parent_account_id"),
            ("fct_health__account_scores", "band_note"),
            ("fct_health__metric_scores", "metric_label"),
            ("fct_health__score_changes", "driver_text"),
            ("act_health__actions", "action_text"),
            ("act_health__actions", "why_text"),
            ("act_health__actions", "owner_id"),
            ("act_health__people", "contact_id"),
            ("act_health__people", "user_id"),
        ):
            connection.execute(
                f"update {table} set {column} = ? where account_id = ?", [HOSTILE, hostile]
            )
        connection.execute(
            """
            update fct_health__metric_scores
            set is_data_incident = true, reported_value = 7
            where account_id = ? and as_of_date = ? and metric_key = 'logins'
            """,
            [other, day],
        )
        connection.execute(
            """
            insert into fct_health__data_incidents
                (as_of_date, scoring_version, metric_key, metric_label, segment, incident_kind,
                 account_count, dropped_account_count, dropped_share, last_good_date)
            select ?, 'v1', 'logins', 'Logins', coalesce(segment, ''), 'score_fall', 40, 36, 0.9, ?
            from bi_health__account_360
            where account_id = ?
            """,
            [day, day - timedelta(days=2), other],
        )
        connection.execute(
            "delete from fct_health__metric_scores where account_id = ? and as_of_date = ?",
            [unkept, day],
        )
        # One stay that was published before, and one of a run that died before it published.
        for publication, score, is_listed in (("old", 11, True), ("died", 12, False)):
            connection.execute(
                """
                insert into customer_health_snapshots.snap_health__account_scores
                    (account_id, as_of_date, scoring_version, health_score, band, band_reason,
                     publication_id, dbt_valid_from, dbt_valid_to)
                values (?, date '2020-01-05', 'v0', ?, 'critical', 'held', ?,
                    timestamp '2020-01-05 10:00:00', timestamp '2020-01-06 10:00:00')
                """,
                [other, score, publication],
            )
            if is_listed:
                connection.execute(
                    """
                    insert into fct_health__publications
                        (publication_id, published_at, as_of_date, scoring_version, policy_hash,
                         account_count, scored_account_count, checks_run, checks_passed,
                         is_backfill)
                    values (?, timestamp '2020-01-05 10:00:01', date '2020-01-05', 'v0', '-',
                        1, 1, 1, 1, false)
                    """,
                    [publication],
                )
    return folder, ids, day


def words(html: str) -> str:
    """What a person reads of a piece of HTML."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def tables(test: Any) -> dict[str, list[list[str]]]:
    """Cells of all tables of a page, by caption."""
    found = {}
    for body in (each.proto.body for each in test.get("html")):
        for caption, table in re.findall(
            r'aria-label="([^"]*)"><table[^>]*>(.*?)</table>', body, re.S
        ):
            rows = [[words(cell) for cell in _CELL.findall(row)] for row in _ROW.findall(table)]
            found[unescape(caption)] = [row for row in rows if row]
    return found


def tiles(test: Any) -> dict[str, str]:
    """Figures on top by what they are, with their remarks."""
    return {
        words(what): words(figure)
        for body in (each.proto.body for each in test.get("html"))
        for what, figure in re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", body, re.S)
    }


def one(home: Path, sql: str, *values: Any) -> tuple[Any, ...]:
    """The first row of a query."""
    with reading(home) as reader:
        return reader.rows(sql, values)[0]


def column(home: Path, sql: str, *values: Any) -> list[Any]:
    """The first column of a query."""
    with reading(home) as reader:
        return [row[0] for row in reader.rows(sql, values)]


# -- which account -------------------------------------------------------------------------------
def test_without_an_account_the_riskiest_are_listed(home: Path) -> None:
    test = page("account", home)
    wanted = column(
        home,
        """
        select account_id from {marts}.bi_health__account_360
        where not is_frozen and arr_amount * churn_probability is not null
        order by arr_amount * churn_probability desc, account_id limit 5
        """,
    )
    assert [row[1] for row in tables(test)["Accounts with most ARR at risk"]] == wanted
    assert all(f"account?account={account_id}" in text_of(test) for account_id in wanted)
    assert "Type the name or the id of an account" in text_of(test)


def test_a_part_of_a_name_lists_the_accounts_that_have_it(home: Path) -> None:
    # As in "Wandering Kettle Furniture": the last word is that of others too.
    names = column(home, "select account_name from {marts}.bi_health__account_360 order by 1")
    last = [name.split()[-1] for name in names if name]
    part = max(sorted(set(last)), key=last.count)[1:].upper()
    wanted = column(
        home,
        "select account_id from {marts}.bi_health__account_360 "
        "where contains(lower(account_name), lower(?)) or contains(lower(account_id), lower(?))",
        part,
        part,
    )
    assert len(wanted) > 1
    rows = tables(page("account", home, {"account": part}))["Accounts that match"]
    assert len(rows) == min(len(wanted), 20)
    assert {row[1] for row in rows} <= set(wanted)


def test_signs_of_patterns_are_no_patterns(home: Path) -> None:
    for text in ("%", "_", "zz'zz", "zzz\x00zzz"):
        assert "No account has this in its name or id" in text_of(
            page("account", home, {"account": text})
        )


def test_a_name_that_one_account_has_opens_it_in_any_case(home: Path) -> None:
    account_id, name = one(
        home,
        """
        select min(account_id), min(account_name) from {marts}.bi_health__account_360
        where as_of_date is not null
        group by lower(account_name) having count(*) = 1 order by 1 limit 1
        """,
    )
    # PostgreSQL would refuse the null character.
    shown = text_of(page("account", home, {"account": f" {name.upper()}\x00 "}))
    assert f'<h2 class="ch-title"><bdi>{name}</bdi></h2>' in shown
    assert f"<bdi>{account_id}</bdi>" in shown


# -- the headline --------------------------------------------------------------------------------
def test_the_headline_is_that_of_the_marts(home: Path) -> None:
    account_id = one(
        home,
        """
        select account_id from {marts}.fct_health__account_scores_current
        where renewal_date is not null and coverage < 1 and health_score is not null
        order by account_id limit 1
        """,
    )[0]
    score, band, change, churn, renewal, coverage, low, high = one(
        home,
        """
        select health_score, band_label, health_score_change_28_days, churn_probability,
            renewal_date, coverage, score_low, score_high
        from {marts}.bi_health__account_360 where account_id = ?
        """,
        account_id,
    )
    test = page("account", home, {"account": account_id})
    shown = tiles(test)
    assert shown["Health score"].split()[0] == str(score)
    if change:
        assert f"{change:+d} since" in shown["Health score"]
    assert band in shown["Band"]
    assert shown["Churn in 90 days"].split()[0] == f"{churn:.1%}"
    assert str(renewal) in shown["Renewal"]
    assert shown["Coverage"] == f"{coverage:.0%} score between {low:.1f} and {high:.1f}"


def test_the_band_says_why(home: Path) -> None:
    for reason, said in (("override", "set to"), ("held", "held at"), ("knockout", "capped at")):
        ids = column(
            home,
            "select account_id from {marts}.fct_health__account_scores_current "
            "where band_reason = ? order by 1 limit 1",
            reason,
        )
        for account_id in ids:
            assert f"<strong>Band</strong>: {said}" in text_of(
                page("account", home, {"account": account_id})
            )


# -- points --------------------------------------------------------------------------------------
def test_points_add_up_and_are_those_of_the_mart(home: Path) -> None:
    with reading(home) as reader:
        rows = reader.records(
            """
            select account_id, metric_key, metric_points, most_points
            from {marts}.fct_health__metric_scores_current
            where metric_points is not null and purpose = 'health'
            order by account_id
            """
        )
        ids = sorted({row["account_id"] for row in rows})[:20]
        assert len(ids) == 20
        for account_id in ids:
            found = explain_from(reader, account_id)
            shown = accounts.point_rows(found)
            metrics = {row.metric["metric_key"]: row for row in shown if row.metric}
            for row in rows:
                if row["account_id"] == account_id:
                    mine = metrics[row["metric_key"]]
                    assert mine.points == pytest.approx(row["metric_points"], abs=0.0101)
                    assert mine.most == pytest.approx(row["most_points"], abs=0.01)
            assert found.score
            total = accounts.sum_of_points(shown)
            assert total == round(found.score["health_score_exact"], 2)
            assert round(sum(row.points or 0 for row in shown if row.is_category), 2) == total


def test_the_bars_begin_where_the_one_before_ends(home: Path) -> None:
    account_id = one(
        home, "select min(account_id) from {marts}.fct_health__account_scores_current"
    )[0]
    with reading(home) as reader:
        rows = accounts.point_rows(explain_from(reader, account_id))
    total = accounts.sum_of_points(rows)
    assert total is not None
    drawn = accounts.points_chart(rows, total).to_dict()
    bars = drawn["data"]["values"]
    reached = 0.0
    for bar in (bar for bar in bars if bar["kind"] == "metric"):
        assert bar["start"] == pytest.approx(reached, abs=1e-9)
        reached = bar["end"]
    assert bars[-1]["label"] == "Score"
    assert bars[-1]["end"] == pytest.approx(reached) == pytest.approx(total)


def test_the_table_of_points_sums_what_it_shows(home: Path) -> None:
    account_id = one(
        home,
        "select min(account_id) from {marts}.fct_health__account_scores_current "
        "where coverage < 1 and health_score is not null",
    )[0]
    test = page("account", home, {"account": account_id})
    *rows, last = tables(test)["Metrics, their values, scores and points"]
    count = one(
        home,
        """
        select count(distinct category_key) + count(*)
        from {marts}.fct_health__metric_scores_current
        where account_id = ? and purpose = 'health'
        """,
        account_id,
    )[0]
    assert len(rows) == count
    points = [float(row[4]) for row in rows if row[1] and row[4] not in ("–", "")]
    assert last[3:6] == ["100%", f"{sum(points):.2f}", "100.00"]
    missing = column(
        home,
        """
        select metric_label from {marts}.fct_health__metric_scores_current
        where account_id = ? and purpose = 'health' and value_state not in ('observed', 'zero')
        order by 1
        """,
        account_id,
    )
    assert sorted(row[0] for row in tables(test)["Metrics without a value"]) == missing


# -- what changed --------------------------------------------------------------------------------
def test_changes_of_each_lag_add_up(home: Path) -> None:
    account_id, day = one(
        home,
        """
        select account_id, as_of_date from {marts}.fct_health__score_changes
        where as_of_date = (select max(as_of_date) from {marts}.fct_health__account_scores)
            and lag_key in ('7', '28')
        group by account_id, as_of_date
        having count(distinct lag_key) = 2 and count(*) > 4 order by 1 limit 1
        """,
    )
    shown = {}
    for lag in ("28", "7"):
        query = {"account": account_id} if lag == "28" else {"account": account_id, "lag": lag}
        rows = tables(page("account", home, query))["What moved the score"]
        wanted = one(
            home,
            """
            select count(*), sum(behaviour_points), sum(absence_points), sum(policy_points),
                sum(change_points)
            from {marts}.fct_health__score_changes
            where account_id = ? and as_of_date = ? and lag_key = ?
            """,
            account_id, day, lag,
        )  # fmt: skip
        figures = [[float(re.sub(r"[▲▼\s]", "", cell)) for cell in row[1:]] for row in rows]
        assert len(rows) == wanted[0] + 1
        for place, exact in enumerate(wanted[1:]):
            assert figures[-1][place] == pytest.approx(exact, abs=0.0051)
            assert sum(row[place] for row in figures[:-1]) == pytest.approx(figures[-1][place])
        shown[lag] = rows
    assert shown["7"] != shown["28"]


# -- trend ---------------------------------------------------------------------------------------
def test_the_trend_tells_what_happened(home: Path) -> None:
    def row(day: int, band: str, reason: str = "score", **more: Any) -> dict[str, Any]:
        return {
            "as_of_date": date(2026, 6, day), "scoring_version": "v1", "health_score": 50,
            "health_score_exact": 50.2, "band": band, "band_reason": reason, "band_note": None,
            "has_data_incident": False, **more,
        }  # fmt: skip

    trend = [
        row(1, "healthy"),
        row(2, "critical", "knockout", band_note="notice"),
        row(3, "critical", "knockout", band_note="notice"),
        row(4, "healthy", "override", scoring_version="v2", has_data_incident=True),
        row(5, "healthy", scoring_version="v2"),
    ]
    with reading(home) as reader:
        bands = read_bands(reader)
        published = [
            {"as_of_date": date(2026, 6, 3), "publication_id": "p", "publication_count": 2}
        ]
    said = [f"{event.day:%d} {event.text}" for event in accounts.events(trend, bands)]
    assert sorted(said) == [
        "02 Healthy → Critical",
        "02 Knock-out until 2026-06-03: notice",
        "04 Critical → Healthy",
        "04 Data incident",
        "04 Override",
        "04 policy v1 → v2",
    ]
    drawn = accounts.trend_chart(trend, published, bands).to_dict()
    flat = [entry for layer in drawn["layer"] for entry in layer["data"]["values"]]
    assert {entry["mark"] for entry in flat if "mark" in entry} == {
        "Score", "Knock-out", "Override",
    }  # fmt: skip
    assert {"date": "2026-06-04", "policy": "policy v2"} in flat
    assert any(entry.get("publication") == "p" for entry in flat)
    stays = [(entry["date"], entry["until"], entry["band"]) for entry in flat if "until" in entry]
    assert ("2026-06-02", "2026-06-04", "Critical") in stays
    assert accounts.trend_chart(trend[:1], [], bands).to_dict()


def test_the_trend_has_every_date_of_the_account(home: Path) -> None:
    account_id, count = one(
        home,
        "select account_id, count(*) from {marts}.fct_health__account_scores "
        "group by 1 order by 2 desc, 1 limit 1",
    )
    test = page("account", home, {"account": account_id})
    assert len(test.selectbox(key="as_of").options) == count
    with reading(home) as reader:
        assert len(accounts.read_trend(reader, account_id)) == count


# -- states --------------------------------------------------------------------------------------
def test_a_past_date_of_the_address_is_shown_and_a_wrong_one_is_not(home: Path) -> None:
    account_id, day, score, newest = one(
        home,
        """
        select scores.account_id, scores.as_of_date, scores.health_score, today.as_of_date
        from {marts}.fct_health__account_scores as scores
        inner join {marts}.bi_health__account_360_current as today
            on scores.account_id = today.account_id
        where not today.is_frozen and scores.health_score <> today.health_score
            and scores.as_of_date < today.as_of_date - interval 60 day
        order by 1, 2 limit 1
        """,
    )
    test = page("account", home, {"account": account_id, "as_of": f"{day}"})
    assert tiles(test)["Health score"].split()[0] == str(score)
    assert f"These are the scores of {day}. The newest ones are of {newest}." in text_of(test)
    assert "Actions, paths and contacts are those of today" in text_of(test)
    assert "Open actions" not in tables(test)
    wrong = page("account", home, {"account": account_id, "as_of": "1999-01-01"})
    assert wrong.selectbox(key="as_of").value == f"{newest}"


def test_another_account_forgets_the_date_of_the_one_before(home: Path) -> None:
    one_id, day, other = one(
        home,
        """
        select older.account_id, older.first_date, younger.account_id
        from (
            select account_id, min(as_of_date) as first_date
            from {marts}.fct_health__account_scores group by account_id
        ) as older
        inner join (
            select account_id, min(as_of_date) as first_date
            from {marts}.fct_health__account_scores group by account_id
        ) as younger
            on older.first_date < younger.first_date
        order by 1, 3 limit 1
        """,
    )
    newest = one(
        home,
        "select max(as_of_date) from {marts}.fct_health__account_scores where account_id = ?",
        other,
    )[0]
    test = page("account", home, {"account": one_id, "as_of": f"{day}"})
    assert test.selectbox(key="as_of").value == f"{day}"
    test.text_input(key="account").set_value(other).run()
    assert not test.exception
    assert test.selectbox(key="as_of").value == f"{newest}"
    assert "These are the scores of" not in text_of(test)


def test_an_account_on_trial_has_a_clear_page(home: Path) -> None:
    account_id = one(
        home,
        "select min(account_id) from {marts}.bi_health__account_360 "
        "where lifecycle_stage = 'trial' and as_of_date is null",
    )[0]
    test = page("account", home, {"account": account_id})
    assert "No health score: the account is on trial and not a customer yet." in text_of(test)
    assert "Metrics, their values, scores and points" not in tables(test)


def test_an_account_that_left_shows_its_last_score(home: Path) -> None:
    account_id, day, left, score = one(
        home,
        "select account_id, as_of_date, churn_date, health_score "
        "from {marts}.bi_health__account_360 "
        "where is_frozen and churn_date is not null and health_score is not null "
        "order by 1 limit 1",
    )
    test = page("account", home, {"account": account_id})
    assert f"It left on {left}. Its last score is of {day}" in text_of(test)
    assert tiles(test)["Health score"].split()[0] == str(score)
    assert "stage churned" in words(text_of(test))
    assert "Contacts and champions" not in text_of(test)


def test_metrics_that_are_not_kept_are_said_to_be(altered: tuple[Path, list[str], date]) -> None:
    folder, ids, _ = altered
    test = page("account", folder, {"account": ids[2]})
    assert "The metrics of this date are not kept any more" in text_of(test)
    assert "Metrics, their values, scores and points" not in tables(test)
    assert "Too little is known" not in text_of(test)
    assert "What moved the score" in tables(test)


# -- what to do, people, history -----------------------------------------------------------------
def test_actions_path_and_people_are_those_of_the_marts(home: Path) -> None:
    account_id = one(
        home,
        """
        select paths.account_id
        from {marts}.act_health__band_paths as paths
        inner join {marts}.act_health__actions_current as actions
            on paths.account_id = actions.account_id
        inner join {marts}.act_health__people as people
            on paths.account_id = people.account_id
        where paths.is_on_path and actions.is_open
        group by 1
        order by count(distinct people.usage_rank) desc, 1 limit 1
        """,
    )[0]
    test = page("account", home, {"account": account_id})
    found = tables(test)
    due = column(
        home,
        "select due_date from {marts}.act_health__actions where account_id = ? and is_open",
        account_id,
    )
    assert sorted(row[1].strip("! ").split(",")[0] for row in found["Open actions"]) == sorted(
        map(str, due)
    )
    path = column(
        home,
        "select metric_label from {marts}.act_health__band_paths "
        "where account_id = ? and is_on_path order by path_rank",
        account_id,
    )
    assert [row[0] for row in found["Metrics on the path"]] == path
    people = column(
        home,
        """
        select coalesce(contact_id, user_id) from {marts}.act_health__people
        where account_id = ? order by role is distinct from 'champion', has_left, usage_rank
        """,
        account_id,
    )
    shown = [row[0] if row[0] != "–" else row[1] for row in found["Contacts and users"]]
    assert shown == people[:10]


def test_people_come_in_pages_without_gaps(home: Path) -> None:
    account_id, count = one(
        home,
        "select account_id, count(*) from {marts}.act_health__people "
        "group by 1 order by 2 desc, 1 limit 1",
    )
    assert count > 10
    with reading(home) as reader:
        shown = [
            (row["contact_id"], row["user_id"])
            for number in range(1, count // 10 + 2)
            for row in accounts.read_people(reader, account_id, number)
        ]
    assert len(shown) == len(set(shown)) == count


def test_history_has_what_was_published_and_nothing_else(
    altered: tuple[Path, list[str], date],
) -> None:
    folder, ids, day = altered
    test = page("account", folder, {"account": ids[1]})
    rows = tables(test)["What was published of this account"]
    assert [row[0] for row in rows] == [f"{day}", "2020-01-05"]
    assert rows[1][1] == "11"
    assert rows[0][6] == "now"
    assert rows[1][6] == "2020-01-06 10:00"


def test_a_copy_without_history_shows_none(home: Path, tmp_path: Path) -> None:
    shutil.copyfile(home / "published.duckdb", tmp_path / "published.duckdb")
    with duckdb.connect(str(tmp_path / "published.duckdb")) as connection:
        connection.execute("drop table customer_health_snapshots.snap_health__account_scores")
    account_id = one(
        home, "select min(account_id) from {marts}.fct_health__account_scores_current"
    )[0]
    test = page("account", tmp_path, {"account": account_id})
    assert not test.error
    assert "What was published" not in text_of(test)
    assert "Contacts and champions" in text_of(test)


def test_a_data_incident_is_told(altered: tuple[Path, list[str], date]) -> None:
    folder, ids, day = altered
    shown = text_of(page("account", folder, {"account": ids[1]}))
    assert "Data incident: values of most accounts of the segment dropped" in shown
    assert f"36 of 40 accounts dropped; the value of {day - timedelta(days=2)} counts" in shown
    assert "(held; reported 7)" in shown


def test_hostile_text_is_text(altered: tuple[Path, list[str], date]) -> None:
    folder, ids, _ = altered
    test = page("account", folder, {"account": ids[0]})
    shown = text_of(test)
    assert "<script" not in shown.lower()
    assert "&lt;script&gt;alert(1)" in shown
    assert "\u202e" not in shown
    assert "\u200b" not in shown
    assert shown.count("alert(1)") > 12
    for kind in ("markdown", "caption", "info", "warning", "error", "subheader", "title"):
        assert not any("alert(1)" in str(each.value) for each in getattr(test, kind))
    found = page("account", folder, {"account": "<script>alert"})
    rows = tables(found)["Accounts that match"]
    assert [row[1] for row in rows] == [ids[0]]
    assert "<script" not in text_of(found).lower()
    nobody = page("account", folder, {"account": "<script>alert(7)</script>"})
    assert "alert(7)" not in text_of(nobody)
