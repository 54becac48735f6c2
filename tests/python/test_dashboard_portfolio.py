"""The Portfolio page shows what readers have, filtered or not, whatever names are in it."""

from __future__ import annotations

import itertools
import re
import shutil
from datetime import date, timedelta
from pathlib import Path

import dashboard_world
import duckdb
import pytest
from dashboard_world import cells, published_home, reading, rows, text_of

from customer_health.dashboard import html, portfolio
from customer_health.dashboard.bands import read_bands
from customer_health.dashboard.portfolio import Filters
from customer_health.validation.report import money

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "x" * 300,
    "\u202eevil \u2066name",
    "شركة الأمل",
    "🦖 [link](javascript:alert(1)) **bold** $x^2$ :material/home:",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


def tiles(page) -> dict[str, str]:
    """The figures on top."""
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)(?:<small>|</dd>)", text_of(page))
    return dict(found)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({}, "true"),
        ({"segment": "smb"}, "segment = 'smb'"),
        ({"region": "emea"}, "region = 'emea'"),
    ],
)
def test_tiles_and_bands_are_those_of_the_marts(home, query, where) -> None:
    page = dashboard_world.page("portfolio", home, query)
    accounts, scored, arr, mean = rows(
        home,
        f"""select count(*), count(health_score), sum(arr_amount), avg(health_score_exact)
        from fct_health__account_scores_current where {where}""",
    )[0]
    worried, worried_arr = rows(
        home,
        f"""select count(*), sum(arr_amount) from bi_health__account_360
        where not is_frozen and band is not null and traffic_light in ('red', 'yellow')
        and {where}""",
    )[0]
    shown = tiles(page)
    assert shown["Accounts"] == f"{accounts:,}"
    assert f"<dd>{accounts:,}<small>{scored:,} with a score" in text_of(page)
    assert shown["ARR"] == money(arr)
    assert shown["Mean score"] == f"{mean:.1f}"
    assert shown["Red or yellow"] == f"{worried:,}"
    assert shown["Their ARR"] == money(worried_arr)
    expected = rows(
        home,
        f"""select min(scores.band_rank), count(*), sum(scores.arr_amount)
        from fct_health__account_scores_current as scores where {where}
        group by scores.band order by 1 desc nulls last""",
    )
    bands = [row for row in cells(page, "Accounts and ARR by band") if row[1] != "0"]
    assert [(row[1], row[4]) for row in bands] == [
        (f"{row[1]:,}", money(row[2])) for row in expected
    ]


def test_the_filters_of_the_address_are_in_the_widgets(home) -> None:
    page = dashboard_world.page("portfolio", home, {"segment": "smb", "region": "emea"})
    assert {each.key: each.value for each in page.multiselect if each.value} == {
        "segment": ["smb"],
        "region": ["emea"],
    }


def test_a_value_that_nobody_has_is_dropped_from_the_address(home) -> None:
    page = dashboard_world.page("portfolio", home, {"segment": "no such segment"})
    assert tiles(page)["Accounts"] == tiles(dashboard_world.page("portfolio", home))["Accounts"]


def test_who_needs_attention_is_in_order_of_arr_at_risk(home) -> None:
    page = dashboard_world.page("portfolio", home)
    expected = rows(
        home,
        """select coalesce(account_name, account_id), health_score
        from bi_health__account_360
        where not is_frozen and band is not null and traffic_light in ('red', 'yellow')
        order by arr_amount * churn_probability desc nulls last, arr_amount desc nulls last,
            account_id
        limit ?""",
        portfolio.PAGE_ROWS,
    )
    shown = cells(page, "Accounts that need attention")
    assert [(row[0], row[2]) for row in shown] == [
        (" ".join(name.split()), "–" if score is None else str(score)) for name, score in expected
    ]


def test_all_pages_of_the_table_hold_each_account_once(home) -> None:
    with reading(home) as reader:
        count, arr = portfolio.count_attention(reader, Filters())
        pages = -(-count // portfolio.PAGE_ROWS)
        found = [
            row
            for number in range(1, pages + 1)
            for row in portfolio.read_attention(reader, Filters(), number)
        ]
        assert portfolio.read_attention(reader, Filters(), pages + 1) == []
    assert len({row["account_id"] for row in found}) == len(found) == count > portfolio.PAGE_ROWS
    assert sum(row["arr_amount"] or 0 for row in found) == pytest.approx(arr)


def test_history_of_the_mart_equals_the_counted_scores(home) -> None:
    """The quick way without filters and the slow one with them tell the same."""
    with reading(home) as reader:
        choices = portfolio.read_choices(reader)
        quick = portfolio.read_history(reader, Filters())
        slow = portfolio.read_history(
            reader, Filters({"region": tuple(choices["region"]), "plan": tuple(choices["plan"])})
        )
        one = portfolio.read_history(reader, Filters({"segment": ("smb",)}))
    everybody = {
        (row[0], row[1]): row[2]
        for row in rows(
            home, "select as_of_date, band, count(*) from fct_health__account_scores group by all"
        )
    }
    assert {(row["as_of_date"], row["band"]): row["account_count"] for row in quick} == everybody
    assert len(slow) > 10
    by_key = {(row["as_of_date"], row["band"]): row for row in quick}
    for row in slow:
        same = by_key[row["as_of_date"], row["band"]]
        assert row["account_count"] <= same["account_count"]
    smb = rows(
        home,
        """select as_of_date, band, count(*), sum(coalesce(arr_amount, 0)), sum(health_score_exact)
        from fct_health__account_scores where segment = 'smb' group by all order by all""",
    )
    assert [(row["as_of_date"], row["band"], row["account_count"]) for row in one] == [
        row[:3] for row in smb
    ]
    assert [row["arr_amount"] for row in one] == pytest.approx([row[3] for row in smb])
    assert [row["score_sum"] for row in one] == pytest.approx([row[4] or 0 for row in smb])


def test_migrations_count_every_account_once(home) -> None:
    with reading(home) as reader:
        bands = read_bands(reader)
        history = portfolio.read_history(reader, Filters())
        today = max(row["as_of_date"] for row in history)
        before = portfolio.nearest_before(history, today, 28)
        assert before is not None
        moves = portfolio.migration_table(
            portfolio.read_migrations(reader, Filters(), before), bands
        )
    expected = dict(
        rows(
            home,
            """select sign(today.band_rank - earlier.band_rank), count(*)
            from fct_health__account_scores as today
            inner join fct_health__account_scores as earlier using (account_id)
            where today.as_of_date = ? and earlier.as_of_date = ? group by 1""",
            today,
            before,
        )
    )
    assert moves.up == expected.get(1, 0)
    assert moves.down == expected.get(-1, 0)
    total = rows(home, "select count(*) from fct_health__account_scores_current")[0][0]
    assert sum(sum(counts) for _, counts in moves.rows) == total


def test_an_empty_choice_says_what_to_do(home) -> None:
    names = ("csm_id", "plan", "region", "segment")
    found = {
        name: [
            row[0]
            for row in rows(
                home, f"select distinct {name} from bi_health__account_360_current order by all"
            )
            if row[0] is not None
        ]
        for name in names
    }
    taken = set(rows(home, f"select {', '.join(names)} from fct_health__account_scores_current"))
    empty = next(each for each in itertools.product(*found.values()) if each not in taken)
    page = dashboard_world.page("portfolio", home, dict(zip(names, empty, strict=True)))
    assert "Clear one of them" in page.info[0].value


def test_hostile_names_are_text(home, tmp_path) -> None:
    shutil.copyfile(home / "published.duckdb", tmp_path / "published.duckdb")
    with duckdb.connect(str(tmp_path / "published.duckdb")) as copy:
        copy.execute("use customer_health")
        ids = copy.execute(
            """select account_id from bi_health__account_360
            where not is_frozen and traffic_light in ('red', 'yellow') and band is not null
            order by arr_amount * churn_probability desc nulls last, arr_amount desc nulls last,
                account_id limit ?""",
            [len(HOSTILE)],
        ).fetchall()
        for (account_id,), name in zip(ids, HOSTILE, strict=True):
            copy.execute(
                "update bi_health__account_360 set account_name = ?, top_negative_driver = ?, "
                "csm_id = ? where account_id = ?",
                [name, name, name, account_id],
            )
    page = dashboard_world.page("portfolio", tmp_path)
    shown = text_of(page)
    assert "<script>" not in shown
    assert "<img" not in shown
    assert "\u202e" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "شركة الأمل" in shown
    names = [row[0] for row in cells(page, "Accounts that need attention")]
    assert max(len(name) for name in names) <= html.NAME_LENGTH


def test_without_a_publication_the_page_is_one_line(tmp_path) -> None:
    page = dashboard_world.page("portfolio", tmp_path)
    assert "nothing is published yet" in page.error[0].value
    assert "customer-health demo" in page.error[0].value


def test_a_damaged_copy_is_one_line(tmp_path) -> None:
    (tmp_path / "published.duckdb").write_bytes(b"not a database" * 1000)
    page = dashboard_world.page("portfolio", tmp_path)
    assert "cannot be read" in page.error[0].value
    assert "customer-health status" in page.error[0].value


def test_nearest_before_takes_the_latest_date_that_is_old_enough() -> None:
    today = date(2026, 6, 30)
    history = [{"as_of_date": today - timedelta(days=days)} for days in (0, 7, 27, 28, 35)]
    assert portfolio.nearest_before(history, today, 28) == today - timedelta(days=28)
    assert portfolio.nearest_before(history, today, 29) == today - timedelta(days=35)
    assert portfolio.nearest_before(history, today, 36) is None


@pytest.mark.parametrize(
    ("trend", "says"),
    [
        ({"points_per_90_days": 1.0, "low": 0.2, "high": 1.8}, "the base gets healthier"),
        ({"points_per_90_days": -1.0, "low": -1.8, "high": -0.2}, "the base gets less healthy"),
        ({"points_per_90_days": 1.0, "low": -0.2, "high": 2.2}, "no trend that can be told"),
        ({"points_per_90_days": 1.0, "low": None, "high": None}, "too few months"),
        ({"points_per_90_days": None, "low": None, "high": None}, "one month tells no trend"),
    ],
)
def test_the_trend_in_words(trend, says) -> None:
    row = {
        "first_mean_score": 60.0, "last_mean_score": 61.0,
        "from_date": date(2026, 1, 4), "to_date": date(2026, 6, 7), **trend,
    }  # fmt: skip
    assert says in portfolio.trend_in_words(row)
