"""The Actions page shows the queue of the marts, whose it is, and who has too much of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import dashboard_world
import pytest
from dashboard_world import changed_copy, published_home, reading, rows, table, text_of, tiles

from customer_health.dashboard import actions
from customer_health.dashboard.actions import Asked
from customer_health.validation.report import money

HOSTILE = (
    "<script>alert(1)</script>",
    "x" * 300,
    "\u202eevil \u2066name",
    "شركة الأمل",
    "🦖 [link](javascript:alert(1)) **bold** $x^2$ :material/home:",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture
def changed(home, tmp_path) -> Callable[..., Path]:
    """Makes a home of its own, whose publication some statements have changed."""
    return partial(changed_copy, home, tmp_path)


def as_of(home: Path) -> date:
    return rows(home, "select max(as_of_date) from fct_health__account_scores")[0][0]


def listed(page) -> list[str]:
    """Ids of the accounts in the queue, in its order."""
    queue = text_of(page).partition('aria-label="Actions that wait"')[2].partition("</table>")[0]
    return re.findall(r'href="account\?account=([^"]+)"', queue)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({}, "true"),
        ({"csm_id": "(none)"}, "owner_role = 'csm' and owner_id is null"),
        ({"csm_id": "csm_003"}, "owner_role = 'csm' and owner_id = 'csm_003'"),
        ({"owner_role": "Sales"}, "owner_role = 'sales'"),
        ({"playbook": "Champion silent"}, "playbook_key = 'champion_silent'"),
        ({"priority": "1"}, "priority = 1"),
        ({"state": "Acknowledged"}, "state = 'acknowledged'"),
        ({"still_true": "true"}, "is_still_true is distinct from false"),
        ({"segment": "smb"}, "today_segment = 'smb'"),
        (
            {"owner_role": "CSM", "priority": "3", "state": "Open", "segment": "smb"},
            "owner_role = 'csm' and priority = 3 and state = 'open' and today_segment = 'smb'",
        ),
    ],
)
def test_the_figures_on_top_are_those_of_the_actions_that_match(home, query, where) -> None:
    shown = tiles(dashboard_world.page("actions", home, query))
    waiting, overdue, urgent, gone = rows(
        home,
        f"""select count(*), count(*) filter (due_date < $1), count(*) filter (priority = 1),
            count(*) filter (not is_still_true)
        from (
            select act_health__actions.*, coalesce(
                (select segment from fct_health__account_scores
                where account_id = act_health__actions.account_id and as_of_date = $1),
                segment
            ) as today_segment
            from act_health__actions
        ) where is_open and {where}""",
        as_of(home),
    )[0]
    assert waiting > 0
    assert shown["Waiting"] == (
        f"{waiting:,}",
        f"the reason is gone for {gone:,}" if gone else "all still true",
    )
    assert shown["Overdue"][0] == f"{overdue:,}"
    assert shown["Urgent"][0] == f"{urgent:,}"


def test_the_segment_is_that_of_today(home, changed) -> None:
    account = rows(home, "select min(account_id) from act_health__actions where is_open")[0][0]
    own = changed(
        (
            """update fct_health__account_scores set segment = 'new segment'
            where account_id = ? and as_of_date = ?""",
            [account, as_of(home)],
        )
    )
    with reading(own) as reader:
        found = actions.read_queue(reader, Asked(segments=("new segment",)), 1, 1_000)
    assert {row["account_id"] for row in found} == {account}


def test_the_arr_at_risk_of_an_account_counts_once(home) -> None:
    amount, accounts = rows(
        home,
        """select sum(amount), count(*) from (
            select distinct on (account_id) account_id, arr_at_risk_amount as amount
            from act_health__actions where is_open
        )""",
    )[0]
    twice = rows(home, "select sum(arr_at_risk_amount) from act_health__actions where is_open")
    assert money(amount) != money(twice[0][0])
    shown = tiles(dashboard_world.page("actions", home))
    assert shown["ARR at risk, USD"] == (money(amount), f"of {accounts:,} accounts")


def test_the_queue_of_one_owner_is_in_the_order_of_its_ranks(home) -> None:
    page = dashboard_world.page("actions", home, {"csm_id": "csm_003"})
    expected = rows(
        home,
        """select account_id, queue_rank from act_health__actions
        where is_open and owner_id = 'csm_003' order by queue_rank limit 10""",
    )
    assert listed(page) == [row[0] for row in expected]
    queue = table(page, "Actions that wait")
    assert [row["Place"] for row in queue] == [str(row[1]) for row in expected]
    assert {row["Owner"] for row in queue} == {"csm_003"}


def test_a_team_has_one_queue_and_the_csms_have_many() -> None:
    assert Asked(roles=("sales",)).is_one_queue
    assert Asked(csm_ids=("(none)",)).is_one_queue
    assert not Asked(roles=("csm",)).is_one_queue
    assert not Asked(roles=("sales", "support")).is_one_queue
    assert not Asked(csm_ids=("a", "b")).is_one_queue
    assert not Asked().is_one_queue


def test_all_owners_together_are_in_the_order_of_their_scores(home) -> None:
    page = dashboard_world.page("actions", home)
    expected = rows(
        home,
        """select account_id, due_date, priority, state, why_text, arr_at_risk_amount
        from act_health__actions where is_open
        order by is_still_true is not distinct from false, coalesce(priority_score, 0) desc,
            priority, due_date, account_id, action_id limit 10""",
    )
    assert listed(page) == [row[0] for row in expected]
    queue = table(page, "Actions that wait")
    assert "Place" not in queue[0]
    today = as_of(home)
    for shown, (_, due, priority, state, why, risk) in zip(queue, expected, strict=True):
        assert shown["Due"].startswith(due.isoformat())
        assert shown["Due"].endswith("overdue") == (due < today)
        assert shown["Priority"] == str(priority)
        assert shown["State"].lower() == state
        assert shown["At risk USD"] == money(risk)
        # the whole reason is in the row, not only its first sentence
        assert shown["Why"].replace(" ", "").startswith(why.replace(". ", "", 1).replace(" ", ""))


@pytest.mark.parametrize("asked", [Asked(), Asked(roles=("csm",), segments=("smb",))])
def test_pages_hold_each_action_once(home, asked) -> None:
    with reading(home) as reader:
        count = actions.read_totals(reader, asked, as_of(home))["waiting"]
        pages = [
            [row["action_id"] for row in actions.read_queue(reader, asked, page, 7)]
            for page in range(1, count // 7 + 3)
        ]
    found = [each for page in pages for each in page]
    assert len(found) == len(set(found)) == count > 7
    assert {len(page) for page in pages[: count // 7]} == {7}


def test_the_filters_of_the_address_are_in_the_widgets(home) -> None:
    page = dashboard_world.page(
        "actions", home, {"csm_id": "csm_003", "playbook": "Score fell", "still_true": "true"}
    )
    assert {each.key: each.value for each in page.multiselect if each.value} == {
        "csm_id": ["csm_003"],
        "playbook": ["score_fell"],
    }
    assert page.toggle[0].value


def test_what_is_not_true_any_more_says_so(changed) -> None:
    home = changed(("update act_health__actions set is_still_true = false where is_open", []))
    page = dashboard_world.page("actions", home)
    count = rows(home, "select count(*) from act_health__actions where is_open")[0][0]
    assert tiles(page)["Waiting"] == (f"{count:,}", f"the reason is gone for {count:,}")
    assert {row["State"].split("–")[-1].strip() for row in table(page, "Actions that wait")} == {
        "reason is gone"
    }
    true = dashboard_world.page("actions", home, {"still_true": "true"})
    assert tiles(true)["Waiting"] == ("0", "")
    assert "Clear a filter" in "\n".join(each.value for each in true.info)


def test_actions_during_a_data_incident_stay_and_say_so(changed) -> None:
    home = changed(("update act_health__actions set is_still_true = null where is_open", []))
    page = dashboard_world.page("actions", home, {"still_true": "true"})
    waiting = rows(home, "select count(*) from act_health__actions where is_open")[0][0]
    assert tiles(page)["Waiting"][0] == f"{waiting:,}"
    assert {row["State"].split("?")[-1].strip() for row in table(page, "Actions that wait")} == {
        "data incident"
    }


# -- capacity ------------------------------------------------------------------------------------
def test_capacity_by_csm_is_that_of_the_last_week_that_is_over(home) -> None:
    today = as_of(home)
    week = max(
        row[0]
        for row in rows(home, "select distinct week_start_date from act_health__csm_capacity")
        if row[0] + timedelta(days=7) <= today
    )
    assert week.weekday() == 0
    page = dashboard_world.page("actions", home)
    found = {
        row["CSM"]: row for row in table(page, "Accounts, actions that wait and new actions by CSM")
    }
    expected = rows(
        home,
        """select csm_id, action_count, urgent_action_count, managed_account_count
        from act_health__csm_capacity where week_start_date = ? and csm_id <> '(none)'""",
        week,
    )
    assert len(expected) > 3
    for csm, count, urgent, accounts in expected:
        assert (found[csm]["New"], found[csm]["Urgent"]) == (str(count), str(urgent))
        assert found[csm]["Accounts"] == str(accounts)
    waiting = dict(
        rows(
            home,
            """select coalesce(owner_id, 'no CSM'), count(*) from act_health__actions
            where is_open and owner_role = 'csm' group by 1""",
        )
    )
    assert {csm: int(row["Waiting"]) for csm, row in found.items() if row["Waiting"] != "0"} == (
        waiting
    )
    assert list(found)[-1] == "no CSM"
    assert f"week of {week}" in tiles(page)["CSMs over capacity"][1]


def test_a_csm_with_too_much_is_marked_and_counted(home, changed) -> None:
    week = actions.last_whole_week(as_of(home))
    own = changed(
        (
            """update act_health__csm_capacity set action_count = 19, is_over_capacity = true
            where week_start_date = ? and csm_id in ('csm_003', '(none)')""",
            [week],
        )
    )
    page = dashboard_world.page("actions", own)
    found = table(page, "Accounts, actions that wait and new actions by CSM")
    assert found[0]["CSM"] == "csm_003"
    assert found[0]["Load"] == "✕ 4 over"
    # nobody is over capacity for accounts that nobody has
    assert [row["CSM"] for row in found if "over" in row["Load"]] == ["csm_003"]
    csms = len({row["CSM"] for row in found} - {"no CSM"})
    assert tiles(page)["CSMs over capacity"][0] == f"1 of {csms:,}"
    with reading(own) as reader:
        weeks = actions.read_weeks(reader, (), as_of(home))
        alone = actions.read_weeks(reader, ("csm_003",), as_of(home))[-1]
    assert (alone["within_count"], alone["beyond_count"]) == (15, 4)
    assert (weeks[-1]["beyond_count"], weeks[-1]["over_count"]) == (4, 1)
    total = rows(
        own,
        """select sum(action_count) from act_health__csm_capacity
        where week_start_date = ? and csm_id <> '(none)'""",
        week,
    )[0][0]
    assert weeks[-1]["within_count"] + weeks[-1]["beyond_count"] == total
    assert len(weeks) == 12
    assert weeks[-1]["week_start_date"] == week


@pytest.mark.parametrize(
    ("day", "week"),
    [
        (date(2026, 6, 28), date(2026, 6, 15)),  # a Sunday: its week is not over
        (date(2026, 6, 29), date(2026, 6, 22)),  # a Monday: the week before is
        (date(2026, 7, 5), date(2026, 6, 22)),
    ],
)
def test_a_week_is_over_on_the_monday_after(day, week) -> None:
    assert actions.last_whole_week(day) == week


def test_what_would_help_most_comes_in_the_order_of_lost_arr_points(home) -> None:
    page = dashboard_world.page("actions", home)
    expected = rows(
        home,
        """select metric_label, mean_lost_points, account_count, playbook_key
        from act_health__points_lost order by investment_rank limit 10""",
    )
    assert [
        (row["Metric"], row["Points lost per account"], row["Accounts"], row["Playbook"])
        for row in table(page, "Metrics that cost the base most points")
    ] == [
        (
            label,
            f"{points:.1f}",
            f"{count:,}",
            playbook.replace("_", " ").capitalize() if playbook else "none yet",
        )
        for label, points, count, playbook in expected
    ]


# -- edges ---------------------------------------------------------------------------------------
def test_an_empty_queue_says_what_to_do(changed) -> None:
    home = changed(
        ("update act_health__actions set is_open = false", []),
        ("delete from act_health__csm_capacity", []),
        ("delete from act_health__points_lost", []),
    )
    page = dashboard_world.page("actions", home)
    told = "\n".join(each.value for each in page.info)
    assert "no playbook has fired" in told
    assert "No playbook has brought a CSM an action yet" in told
    assert "No account has a score today" in told
    assert tiles(page)["Waiting"] == ("0", "")


def test_nobody_matches(home) -> None:
    page = dashboard_world.page("actions", home, {"csm_id": "csm_003", "owner_role": "Sales"})
    assert "Clear a filter" in "\n".join(each.value for each in page.info)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_shown_and_does_nothing(home, changed, name) -> None:
    first = rows(
        home,
        """select account_id from act_health__actions where is_open and owner_id = 'csm_003'
        order by queue_rank limit 1""",
    )[0][0]
    own = changed(
        ("update bi_health__account_360 set csm_id = ? where csm_id = 'csm_003'", [name]),
        ("update fct_health__account_scores set csm_id = ? where csm_id = 'csm_003'", [name]),
        (
            """update act_health__actions set account_name = ?, action_text = 'Call ' || ?,
                why_text = ? || '. ' || ?, owner_id = ?
            where owner_id = 'csm_003'""",
            [name] * 5,
        ),
    )
    page = dashboard_world.page("actions", own, {"csm_id": name})
    assert page.multiselect[0].value == [name]
    assert listed(page)[0] == first
    shown = text_of(page)
    assert "<script>" not in shown.replace("<style>", "")
    assert "\u202e" not in shown
    assert "\u2066" not in shown
    # nothing of it reaches an element that reads Markdown
    for each in (*page.caption, *page.info, *page.warning, *page.markdown, *page.subheader):
        assert name not in each.value
    if len(name) > 100:
        assert re.search(r">x{20,59}…</bdi>", shown)


def test_numbers_in_words() -> None:
    day = date(2026, 6, 30)
    assert actions.due_in_words(day, day) == "today"
    assert actions.due_in_words(date(2026, 7, 1), day) == "in 1 day"
    assert actions.due_in_words(date(2026, 6, 28), day) == "2 days overdue"
    assert actions.counted(1, "copy is", "copies are") == "1 copy is"
    assert actions.counted(2_000, "copy is", "copies are") == "2,000 copies are"
    assert actions.owner_in_words({"owner_role": "csm", "owner_id": None}) == "no CSM"
    assert actions.owner_in_words({"owner_role": "sales", "owner_id": None}) == "Sales"
