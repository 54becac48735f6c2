"""Bad rows in the raw tables: each fault planted for real, and what the published marts make of it.

Most faults are planted together into one company, each into an account of its own that has the
same rows as the healthy account `TWIN`, so that one run shows all of them: an account whose bad row
was set aside must be scored exactly like its twin on every date. The accounts of the demo stay as
they are, and must be scored as in the clean home. Faults that show over time, or that stop a run,
have homes of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from fault_kit import (
    AS_OF,
    Done,
    assert_accepted,
    assert_refused,
    copy_home,
    copy_project,
    differences,
    fresh_home,
    published,
    run,
)

from customer_health import demo

MEMORY_LIMIT = "400MB"
TWIN = "TWIN"
CREATED = datetime(2025, 1, 1)
# Every planted account; the number is that of the fault.
ACCOUNTS = (
    TWIN, "F01", "F02", "F02TIE", "00123", "1E5", "F06", "F07", "F08", "F09Z", "F09OFFSET",
    "F09NAIVE", "F11", "F13", "F14", "F16", "F17", "F19", "F20", "F21", "F22", "F23", "F27", "F28",
    "F29", "F30", "F31", "F32",
)  # fmt: skip
# Scored like the twin: whatever was wrong with them was set aside or put right.
LIKE_TWIN = (
    "F01", "F02", "F02TIE", "00123", "1E5", "F07", "F08", "F09Z", "F09OFFSET", "F09NAIVE", "F11",
    "F13", "F17", "F22", "F29", "F31", "F32",
)  # fmt: skip
STRANGE_NAME = "Łódź 🦊 \u202eשלום\u202c \"Foods\" & 'Sons'\n<script>alert(1)</script>; Ltd"
TICKET_TEXT = "private words of a customer "
EVENTS_OF_ONE = 200_000  # of the account that has 90% of all events
FORMER_CUSTOMERS = 600  # so that a few bad rows are less than 1% of each raw table
Row = dict[str, Any]


# -- raw tables --------------------------------------------------------------------------------
@contextmanager
def raw_tables(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """All raw tables as tables of a database, to be changed; written back at the end."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for folder in sorted(path for path in (home / "raw").iterdir() if path.is_dir()):
            connection.execute(
                f"create table {folder.name} as from read_parquet('{folder}/*.parquet')"
            )
        yield connection
        for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            folder = home / "raw" / table
            shutil.rmtree(folder)
            folder.mkdir()
            connection.execute(f"copy {table} to '{folder}/part-0.parquet' (format parquet)")
    demo.create_landing(home)


def insert(connection: duckdb.DuckDBPyConnection, table: str, rows: Iterable[Row]) -> None:
    """Append rows; columns that they do not name are null."""
    for row in rows:
        connection.execute(
            f"insert into {table} ({', '.join(row)}) values ({', '.join('?' * len(row))})",
            list(row.values()),
        )


def as_text(connection: duckdb.DuckDBPyConnection, table: str, column: str, value: str) -> None:
    """Make a column text, as a table that was loaded from CSV has it."""
    connection.execute(f"alter table {table} alter {column} type varchar using {value}")


def account(account_id: str | None, **changes: Any) -> Row:
    """A row of crm_accounts."""
    return {
        "account_id": account_id,
        "account_name": f"Company {account_id}",
        "segment": "smb",
        "plan": "starter",
        "region": "emea",
        "seats_licensed": 10,
        "created_at": CREATED,
        "is_deleted": False,
        "updated_at": datetime(2026, 1, 1),
        "loaded_at": datetime(2026, 1, 1, 1),
        **changes,
    }


def subscription(account_id: str, **changes: Any) -> Row:
    """A row of billing_subscriptions: 10 seats, 200 USD a month, paid by the year."""
    return {
        "subscription_id": f"S-{account_id}",
        "account_id": account_id,
        "plan": "starter",
        "seats": 10,
        "mrr_amount": 200.0,
        "currency_code": "USD",
        "started_at": CREATED,
        "status": "active",
        "billing_period_months": 12,
        "updated_at": CREATED,
        "loaded_at": CREATED,
        **changes,
    }


def invoice(account_id: str, **changes: Any) -> Row:
    """A row of billing_invoices: 200 USD, paid."""
    return {
        "invoice_id": f"I-{account_id}",
        "account_id": account_id,
        "invoice_type": "charge",
        "amount": "200",
        "currency_code": "USD",
        "issued_at": datetime(2026, 5, 1),
        "due_at": datetime(2026, 5, 15),
        "paid_at": datetime(2026, 5, 10),
        "status": "paid",
        "loaded_at": datetime(2026, 5, 11),
        **changes,
    }


def ticket(account_id: str, **changes: Any) -> Row:
    """A row of support_tickets: opened, solved a day later, rated 4 of 5."""
    return {
        "ticket_id": f"T-{account_id}",
        "account_id": account_id,
        "opened_at": datetime(2026, 6, 10),
        "solved_at": datetime(2026, 6, 11),
        "status": "closed",
        "priority": "normal",
        "complexity": 2,
        "reopen_count": 0,
        "csat_score": 4.0,
        "csat_scale_max": 5.0,
        "updated_at": datetime(2026, 6, 11),
        "loaded_at": datetime(2026, 6, 11, 1),
        **changes,
    }


def answer(account_id: str, **changes: Any) -> Row:
    """A row of survey_responses: NPS 8 on 2026-05-20 at noon (UTC)."""
    return {
        "response_id": f"R-{account_id}",
        "account_id": account_id,
        "survey_type": "nps",
        "score": 8.0,
        "scale_min": 0.0,
        "scale_max": 10.0,
        "responded_at": "2026-05-20T12:00:00Z",
        "loaded_at": datetime(2026, 5, 21),
        **changes,
    }


def event(account_id: str | None, event_id: str, occurred_at: datetime, **changes: Any) -> Row:
    """A row of product_events, loaded an hour after it happened."""
    return {
        "event_id": event_id,
        "account_id": account_id,
        "user_id": f"U-{account_id}-0",
        "event_name": "login",
        "occurred_at": occurred_at,
        "loaded_at": occurred_at + timedelta(hours=1),
        **changes,
    }


def add_events(
    connection: duckdb.DuckDBPyConnection, account_id: str, users: int, per_day: int = 1
) -> None:
    """On each of the 60 days before the as_of date every user logs in `per_day` times."""
    connection.execute(
        """
        insert into product_events by name
        select
            concat_ws('-', 'E', $1, day, who, nth) as event_id,
            $1 as account_id,
            concat_ws('-', 'U', $1, who) as user_id,
            'login' as event_name,
            cast($4 as timestamp) - to_days(day) + to_seconds(28800 + nth) as occurred_at,
            cast($4 as timestamp) - to_days(day) + to_seconds(32400 + nth) as loaded_at
        from
            range(1, 61) as days(day),
            range(cast($2 as bigint)) as users(who),
            range(cast($3 as bigint)) as times(nth)
        """,
        [account_id, users, per_day, AS_OF],
    )


def add_account(
    connection: duckdb.DuckDBPyConnection, account_id: str, *, users: int = 2, **changes: Row | None
) -> None:
    """An account like the twin.

    Args:
        connection: the raw tables.
        account_id: its id.
        users: users who log in every day.
        changes: by raw table, what differs in its row; None for no row.
    """
    rows = {
        "crm_accounts": account,
        "billing_subscriptions": subscription,
        "billing_invoices": invoice,
        "support_tickets": ticket,
        "survey_responses": answer,
    }
    for table, make in rows.items():
        change = changes.get(table, {})
        if change is not None:
            insert(connection, table, [make(account_id, **change)])
    add_events(connection, account_id, users)


def add_former_customers(connection: duckdb.DuckDBPyConnection) -> None:
    """Customers who left before the history begins: rows that change no score."""
    past = datetime(2024, 1, 10)
    ended = {"loaded_at": past, "updated_at": past}
    insert(connection, "crm_accounts", [account("P0", created_at=past, churned_at=past, **ended)])
    insert(
        connection,
        "billing_subscriptions",
        [subscription("P0", started_at=past, ended_at=past, status="cancelled", **ended)],
    )
    insert(
        connection,
        "billing_invoices",
        [invoice("P0", issued_at=past, due_at=past, paid_at=past, loaded_at=past)],
    )
    # no earlier than the company's own first ticket: else the source would cover more dates for all
    first = connection.execute("select min(opened_at) from support_tickets").fetchall()[0][0]
    opened = {"opened_at": first, "solved_at": first, "loaded_at": first, "updated_at": first}
    insert(connection, "support_tickets", [ticket("P0", **opened)])
    insert(
        connection,
        "survey_responses",
        [answer("P0", responded_at="2024-01-10T00:00:00Z", loaded_at=past)],
    )
    for table, key in (
        ("crm_accounts", None),
        ("billing_subscriptions", "subscription_id"),
        ("billing_invoices", "invoice_id"),
        ("support_tickets", "ticket_id"),
        ("survey_responses", "response_id"),
    ):
        own_key = f", {key} || n as {key}" if key else ""
        connection.execute(
            f"""
            insert into {table}
            select {table}.* replace ('P' || n as account_id{own_key})
            from {table}, range(1, {FORMER_CUSTOMERS}) as numbers(n)
            where account_id = 'P0'
            """
        )


def plant(connection: duckdb.DuckDBPyConnection) -> None:
    """Plant the faults that a run gets over."""
    as_text(connection, "survey_responses", "responded_at",
            "strftime(responded_at, '%Y-%m-%dT%H:%M:%S.%fZ')")  # fmt: skip
    as_text(connection, "billing_invoices", "amount", "cast(amount as varchar)")
    connection.execute("alter table support_tickets add column description varchar")
    add_former_customers(connection)
    changed: dict[str, dict[str, Any]] = {
        "F02TIE": {"crm_accounts": {"account_name": "One name"}},
        "F09OFFSET": {"survey_responses": {"responded_at": "2026-05-20T17:30:00+05:30"}},
        "F09NAIVE": {"survey_responses": {"responded_at": "2026-05-20 14:00:00"}},
        "F14": {"billing_subscriptions": {"currency_code": "EUR"}},
        "F16": {"billing_subscriptions": {"mrr_amount": 0.0}, "billing_invoices": None},
        "F19": {"survey_responses": {"score": 10.0}},
        "F20": {
            "crm_accounts": {"created_at": datetime(2024, 1, 1)},
            "survey_responses": {
                "responded_at": "2024-06-20T12:00:00Z",
                "loaded_at": datetime(2024, 6, 21),
            },
        },
        "F27": {
            "crm_accounts": {"seats_licensed": 0},
            "billing_subscriptions": {"seats": 0},
            "users": 0,
        },
        "F28": {"users": 12},
        "F32": {"crm_accounts": {"account_name": STRANGE_NAME}},
        "F06": {"users": 0},
    }
    for account_id in ACCOUNTS:
        add_account(connection, account_id, **changed.get(account_id, {}))
    plant_accounts(connection)
    plant_events(connection)
    plant_tickets(connection)
    plant_amounts(connection)
    plant_answers(connection)


def plant_accounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Faults 1, 2 and 3: accounts that are there twice, and accounts without an id."""
    insert(connection, "crm_accounts", [account("F01")] * 2)
    older = {"updated_at": datetime(2025, 6, 1), "loaded_at": datetime(2026, 2, 1)}
    insert(
        connection,
        "crm_accounts",
        [
            account("F02", plan="enterprise", seats_licensed=900, **older),
            account("F02TIE", account_name="Another name"),
            account(None, account_name="Nobody"),
            account("  ", account_name="Nobody, with a blank"),
        ],
    )


def plant_events(connection: duckdb.DuckDBPyConnection) -> None:
    """Faults 5, 7, 8, 11 and 30: events of nobody, at the wrong time, twice, and very many."""
    noon = datetime(2026, 6, 20, 12)
    early = datetime(2026, 1, 2)
    insert(
        connection,
        "product_events",
        [
            *(event("NOBODY", f"orphan-{number}", noon) for number in range(5)),
            # the first ones are known by the next run; the third one cannot be
            event("F07", "at-midnight", datetime.fromisoformat(AS_OF)),
            event("F07", "next-week", datetime(2026, 7, 6)),
            event("F07", "ahead", noon + timedelta(days=3), loaded_at=noon),
            event("F08", "day-before", CREATED - timedelta(seconds=1), loaded_at=early),
            event("F08", "antique", datetime(1969, 12, 31), loaded_at=early),
            # the same event, loaded later, as if it had been another user
            event(
                "F11", "E-F11-5-0-0", datetime(2026, 6, 25, 8), user_id="U-F11-9",
                loaded_at=datetime(2026, 6, 28),
            ),
        ],
    )  # fmt: skip
    add_events(connection, "F30", 20, EVENTS_OF_ONE // (60 * 20))


def plant_tickets(connection: duckdb.DuckDBPyConnection) -> None:
    """Faults 21, 22, 23 and 31: tickets reopened, closed too early, never closed, and very long."""
    connection.execute("delete from support_tickets where account_id = 'F21'")
    opened = datetime(2026, 6, 10)
    # days until it was solved, status, times reopened
    versions = ((None, "open", 0), (1, "solved", 0), (3, "solved", 2), (5, "closed", 3))
    insert(
        connection,
        "support_tickets",
        [
            ticket(
                "F21",
                solved_at=opened + timedelta(days=days) if days else None,
                status=status,
                reopen_count=reopened,
                updated_at=opened + timedelta(days=days or 0),
                loaded_at=opened + timedelta(days=days or 0, hours=1),
            )
            for days, status, reopened in versions
        ],
    )
    insert(
        connection,
        "support_tickets",
        [
            ticket("F22", ticket_id="T-F22-2", solved_at=datetime(2026, 6, 9, 7)),
            ticket(
                "F23", ticket_id="T-F23-2", opened_at=datetime(2026, 4, 1), solved_at=None,
                status="open", priority="urgent", csat_score=None,
                updated_at=datetime(2026, 4, 1), loaded_at=datetime(2026, 4, 1),
            ),
        ],
    )  # fmt: skip
    connection.execute(
        "update support_tickets set description = ? where account_id = 'F31'",
        [TICKET_TEXT * (1_000_000 // len(TICKET_TEXT)) + "\0" + TICKET_TEXT],
    )


def plant_amounts(connection: duckdb.DuckDBPyConnection) -> None:
    """Faults 13, 14 and 29: amounts that are negative, without a rate, or no numbers."""
    invoices = [
        invoice("F13", invoice_id="I-F13-2", amount="-500"),
        invoice("F14", invoice_id="I-F14-2", amount="500", currency_code="CHF"),
        *(
            invoice("F29", invoice_id=f"I-F29-{text}", amount=text)
            for text in ("NaN", "Infinity", "1e400")
        ),
    ]
    insert(connection, "billing_invoices", invoices)
    insert(
        connection,
        "billing_subscriptions",
        [
            subscription("F29", subscription_id=f"S-F29-{amount}", mrr_amount=float(amount))
            for amount in ("nan", "inf")
        ],
    )


def plant_answers(connection: duckdb.DuckDBPyConnection) -> None:
    """Fault 17: NPS answers that are not on the scale."""
    insert(
        connection,
        "survey_responses",
        [answer("F17", response_id=f"R-F17-{score}", score=score) for score in (11.0, -1.0)],
    )


# -- homes -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def berlin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, told that instants without offset are those of Berlin."""
    project = copy_project(tmp_path_factory.mktemp("berlin") / "project")
    file = project / "dbt_project.yml"
    before, after = "naive_timezone: null ", "naive_timezone: Europe/Berlin "
    text = file.read_text()
    assert text.count(before) == 1
    file.write_text(text.replace(before, after))
    return project


@pytest.fixture(scope="module")
def faulty(
    published_home: Path, berlin: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Done]:
    """The demo company with all faults that a run gets over, scored with little memory."""
    home = fresh_home(published_home, tmp_path_factory.mktemp("faulty") / "home")
    with raw_tables(home) as connection:
        plant(connection)
    done = run(home, "run", project=berlin, env={"CUSTOMER_HEALTH_MEMORY_LIMIT": MEMORY_LIMIT})
    assert_accepted(done)
    return home, done


@pytest.fixture
def home(faulty: tuple[Path, Done]) -> Path:
    """The published home with all faults; for reading."""
    return faulty[0]


# -- what readers see --------------------------------------------------------------------------
def metric(home: Path, account_id: str, metric_key: str, purpose: str = "health") -> Row:
    """The row of one metric of an account on the as_of date."""
    rows = published(
        home,
        """
        select value_state, metric_value, metric_score, sample_size, observed_at
        from customer_health.fct_health__metric_scores
        where account_id = ? and metric_key = ? and purpose = ? and as_of_date = ?
        """,
        account_id, metric_key, purpose, AS_OF,
    )  # fmt: skip
    assert len(rows) == 1, (account_id, metric_key, rows)
    names = ("value_state", "metric_value", "metric_score", "sample_size", "observed_at")
    return dict(zip(names, rows[0], strict=True))


def metrics(home: Path, account_id: str) -> list[tuple[Any, ...]]:
    """Every metric of an account on every date, without its id."""
    return published(
        home,
        "select * exclude (account_id) from customer_health.fct_health__metric_scores "
        "where account_id = ? order by all",
        account_id,
    )


def scores(home: Path, account_id: str) -> list[tuple[Any, ...]]:
    """Every score of an account, without its id."""
    return published(
        home,
        "select * exclude (account_id) from customer_health.fct_health__account_scores "
        "where account_id = ? order by as_of_date",
        account_id,
    )


def rejected(home: Path, source_table: str, row_key: str) -> list[tuple[str, int]]:
    """Reasons and numbers of the rows that were set aside under a key."""
    return published(
        home,
        "select rejection_reason, row_count from customer_health.fct_health__rejected_rows "
        "where source_table = ? and row_key = ? order by all",
        source_table, row_key,
    )  # fmt: skip


def source_counts(home: Path, source_table: str) -> Row:
    """What became of the rows of a raw table."""
    names = ("row_count", "kept_count", "exact_duplicate_count", "rejected_count", "orphan_count")
    (row,) = published(
        home,
        f"select {', '.join(names)} from customer_health.fct_health__source_rows "
        "where source_table = ? and as_of_date = ?",
        source_table, AS_OF,
    )  # fmt: skip
    return dict(zip(names, row, strict=True))


def signal(home: Path, account_id: str, metric_key: str, as_of: str = AS_OF) -> list[Any]:
    """The value of a metric that no scorecard weighs, from the step before the scores."""
    with duckdb.connect(str(home / "build.duckdb"), read_only=True) as connection:
        found = connection.execute(
            "select metric_value from customer_health_intermediate.int_health__signals "
            "where account_id = ? and metric_key = ? and as_of_date = ?",
            [account_id, metric_key, as_of],
        ).fetchall()
    return [value for (value,) in found]


# -- what all faults share ---------------------------------------------------------------------
@pytest.mark.parametrize("account_id", LIKE_TWIN)
def test_what_was_set_aside_or_put_right_changes_no_score(home: Path, account_id: str) -> None:
    assert len(scores(home, TWIN)) > 70
    assert scores(home, account_id) == scores(home, TWIN)
    assert metrics(home, account_id) == metrics(home, TWIN)


def test_no_other_account_is_touched(home: Path, published_home: Path) -> None:
    for table in ("account_scores", "metric_scores", "scorecard_scores", "score_changes"):
        sql = (
            f"select * from customer_health.fct_health__{table} "
            "where account_id similar to 'A[0-9]{4}' order by all"
        )
        clean = published(published_home, sql)
        assert len(clean) > 1000
        assert published(home, sql) == clean


def test_every_row_is_accounted_for(home: Path) -> None:
    raw_counts = {}
    with duckdb.connect(str(home / "landing.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select view_name from duckdb_views() where schema_name = 'raw'"
        ).fetchall()
        for (table,) in tables:
            counted = connection.execute(f"select count(*) from raw.{table}").fetchall()
            raw_counts[table] = counted[0][0]
    raw_counts["product_usage_daily"] = 0  # not declared
    for table, raw_count in raw_counts.items():
        counts = source_counts(home, table)
        assert counts["row_count"] == raw_count, table
        assert raw_count == (
            counts["kept_count"] + counts["exact_duplicate_count"] + counts["rejected_count"]
        ), table


def test_no_number_that_readers_see_is_not_finite(home: Path) -> None:
    columns = published(
        home,
        "select table_name, column_name from information_schema.columns "
        "where table_schema = 'customer_health' and data_type = 'DOUBLE'",
    )
    assert len(columns) > 30
    for table, column in columns:
        sql = f'select count(*) from customer_health.{table} where not isfinite("{column}")'
        assert published(home, sql) == [(0,)], (table, column)


# -- accounts ----------------------------------------------------------------------------------
@pytest.mark.fault(1)
def test_an_account_that_is_loaded_twice_is_one(home: Path, published_home: Path) -> None:
    sql = "select count(*) from customer_health.dim_health__accounts where account_id = 'F01'"
    assert published(home, sql) == [(1,)]
    clean = source_counts(published_home, "crm_accounts")["exact_duplicate_count"]
    assert source_counts(home, "crm_accounts")["exact_duplicate_count"] == clean + 2
    assert rejected(home, "crm_accounts", "F01") == []


@pytest.mark.fault(2)
def test_of_conflicting_rows_the_newest_counts(home: Path) -> None:
    sql = "select plan from customer_health.dim_health__accounts where account_id = 'F02'"
    assert published(home, sql) == [("starter",)]
    assert rejected(home, "crm_accounts", "F02") == [("conflicting_duplicate", 1)]
    assert rejected(home, "crm_accounts", "F02TIE") == [("conflicting_duplicate", 1)]


@pytest.mark.fault(3)
def test_an_account_without_id_is_nowhere(home: Path) -> None:
    reasons = published(
        home,
        "select sum(row_count) from customer_health.fct_health__rejected_rows "
        "where source_table = 'crm_accounts' and rejection_reason = 'null_key'",
    )
    assert reasons == [(2,)]
    for table in ("dim_health__accounts", "fct_health__account_scores", "bi_health__account_360"):
        sql = f"from customer_health.{table} where coalesce(trim(account_id), '') = ''"
        assert published(home, sql) == []


@pytest.mark.fault(4)
@pytest.mark.parametrize("account_id", ["00123", "1E5"])
def test_ids_that_look_like_numbers_join_their_events(home: Path, account_id: str) -> None:
    assert metric(home, account_id, "logins")["sample_size"] == 60
    for wrong in ("123", "100000", "100000.0"):
        assert scores(home, wrong) == []


@pytest.mark.fault(6)
def test_an_account_without_events_is_scored_on_the_rest(home: Path) -> None:
    logins = metric(home, "F06", "logins")
    assert (logins["value_state"], logins["metric_value"]) == ("zero", 0)
    assert metric(home, "F06", "nps") == metric(home, TWIN, "nps")
    assert scores(home, "F06")[-1] != scores(home, TWIN)[-1]
    sql = (
        "select health_score is not null from customer_health.fct_health__account_scores "
        "where account_id = 'F06' and as_of_date = ?"
    )
    assert published(home, sql, AS_OF) == [(True,)]


@pytest.mark.fault(32)
def test_a_strange_name_is_shown_as_it_is_written(home: Path) -> None:
    for table in ("dim_health__accounts", "bi_health__account_360"):
        sql = f"select account_name from customer_health.{table} where account_id = 'F32'"
        assert published(home, sql) == [(STRANGE_NAME,)]


# -- events ------------------------------------------------------------------------------------
@pytest.mark.fault(5)
def test_a_few_events_of_nobody_are_set_aside(home: Path, published_home: Path) -> None:
    assert rejected(home, "product_events", "orphan-0") == [("orphan", 1)]
    clean = source_counts(published_home, "product_events")["orphan_count"]
    assert source_counts(home, "product_events")["orphan_count"] == clean + 5
    assert scores(home, "NOBODY") == []


@pytest.mark.fault(7)
def test_an_event_after_the_date_is_left_to_later_dates(home: Path) -> None:
    assert rejected(home, "product_events", "at-midnight") == []
    assert rejected(home, "product_events", "next-week") == []
    assert rejected(home, "product_events", "ahead") == [("future", 1)]


@pytest.mark.fault(8)
@pytest.mark.parametrize("event_id", ["day-before", "antique"])
def test_an_event_from_before_the_account_is_set_aside(home: Path, event_id: str) -> None:
    assert rejected(home, "product_events", event_id) == [("before_start", 1)]


@pytest.mark.fault(11)
def test_of_an_event_id_the_row_that_was_loaded_first_counts(home: Path) -> None:
    assert rejected(home, "product_events", "E-F11-5-0-0") == [("conflicting_duplicate", 1)]


@pytest.mark.fault(30)
def test_one_account_with_most_events_fits_into_little_memory(home: Path) -> None:
    logins = metric(home, "F30", "logins")
    assert logins["metric_score"] == 10
    # the two logins a day that every planted account has are among them, as exact duplicates
    assert logins["metric_value"] == 30 * 20 * (EVENTS_OF_ONE // (60 * 20))
    counts = source_counts(home, "product_events")
    assert EVENTS_OF_ONE / counts["row_count"] > 0.88


# -- instants ----------------------------------------------------------------------------------
@pytest.mark.fault(9)
@pytest.mark.parametrize("account_id", ["F09Z", "F09OFFSET", "F09NAIVE"])
def test_instants_in_any_spelling_are_the_same_instant(home: Path, account_id: str) -> None:
    assert metric(home, account_id, "nps")["observed_at"] == datetime(2026, 5, 20, 12)


# -- money -------------------------------------------------------------------------------------
@pytest.mark.fault(13)
def test_a_negative_charge_is_set_aside(home: Path) -> None:
    assert rejected(home, "billing_invoices", "I-F13-2") == [("negative_amount", 1)]
    assert metric(home, "F13", "lifetime_value")["metric_value"] == 200


@pytest.mark.fault(14)
def test_amounts_are_converted_at_the_dated_rate_or_not_at_all(home: Path) -> None:
    with duckdb.connect(str(home / "landing.duckdb"), read_only=True) as connection:
        rates = connection.execute(
            "select rate_to_reporting_currency from raw.billing_exchange_rates "
            "where currency_code = 'EUR' and rate_date < ? order by rate_date desc limit 1",
            [AS_OF],
        ).fetchall()
    assert metric(home, "F14", "mrr")["metric_value"] == pytest.approx(200 * rates[0][0])
    assert rejected(home, "billing_invoices", "I-F14-2") == [("missing_rate", 1)]
    assert metric(home, "F14", "lifetime_value")["metric_value"] == 200


@pytest.mark.fault(16)
def test_a_free_account_is_scored(home: Path) -> None:
    mrr = metric(home, "F16", "mrr")
    assert (mrr["value_state"], mrr["metric_value"]) == ("observed", 0)
    found = published(
        home,
        "select arr_amount, health_score is not null, isfinite(health_score_exact) "
        "from customer_health.fct_health__account_scores "
        "where account_id = 'F16' and as_of_date = ?",
        AS_OF,
    )
    assert found == [(0, True, True)]
    # MRR did not change from 0 to 0 by any share
    assert [value for value in signal(home, "F16", "mrr_change") if value is not None] == []


@pytest.mark.fault(29)
def test_what_is_no_finite_number_is_set_aside(home: Path) -> None:
    for text in ("NaN", "Infinity", "1e400"):
        assert rejected(home, "billing_invoices", f"I-F29-{text}") == [("not_finite", 1)]
    for text in ("nan", "inf"):
        assert rejected(home, "billing_subscriptions", f"S-F29-{text}") == [("not_finite", 1)]


# -- answers -----------------------------------------------------------------------------------
@pytest.mark.fault(17)
def test_an_answer_off_the_scale_is_set_aside_and_the_others_count(home: Path) -> None:
    for score in (11.0, -1.0):
        assert rejected(home, "survey_responses", f"R-F17-{score}") == [("out_of_range", 1)]
    assert metric(home, "F17", "nps")["sample_size"] == 1


@pytest.mark.fault(19)
def test_one_answer_of_ten_is_no_ten(home: Path) -> None:
    nps = metric(home, "F19", "nps")
    with duckdb.connect(str(home / "build.duckdb"), read_only=True) as connection:
        policy = connection.execute(
            "select half_life_days, prior_value, prior_strength "
            "from customer_health_policy.metrics where metric_key = 'nps'"
        ).fetchall()
    half_life, prior, strength = policy[0]
    weight = 0.5 ** ((date.fromisoformat(AS_OF) - date(2026, 5, 20)).days / half_life)
    assert nps["metric_value"] == pytest.approx(
        (weight * 10 + strength * prior) / (weight + strength)
    )
    assert nps["metric_value"] < 9
    assert nps["sample_size"] == 1


@pytest.mark.fault(20)
def test_an_answer_two_years_old_is_not_known_any_more(home: Path) -> None:
    nps = metric(home, "F20", "nps")
    assert (nps["value_state"], nps["metric_value"]) == ("unknown", None)
    assert metric(home, "F20", "logins") == metric(home, TWIN, "logins")
    assert rejected(home, "survey_responses", "R-F20") == []


# -- tickets -----------------------------------------------------------------------------------
@pytest.mark.fault(21)
def test_a_reopened_ticket_is_one_ticket_with_its_last_close(home: Path) -> None:
    assert metric(home, "F21", "tickets")["metric_value"] == 1
    assert signal(home, "F21", "reopened_tickets") == [3]
    assert signal(home, "F21", "resolution_hours") == [5 * 24]
    assert rejected(home, "support_tickets", "T-F21") == [("conflicting_duplicate", 3)]


@pytest.mark.fault(22)
def test_a_ticket_closed_before_it_was_opened_is_set_aside(home: Path) -> None:
    assert rejected(home, "support_tickets", "T-F22-2") == [("closed_before_opened", 1)]


@pytest.mark.fault(23)
def test_a_ticket_that_is_never_closed_counts_as_open_on_every_date(home: Path) -> None:
    for as_of in ("2026-04-05", "2026-06-15", AS_OF):
        assert signal(home, "F23", "open_critical_tickets", as_of) == [1]
    assert signal(home, "F23", "resolution_hours") == signal(home, TWIN, "resolution_hours")


@pytest.mark.fault(31)
def test_the_text_of_a_ticket_goes_nowhere(faulty: tuple[Path, Done]) -> None:
    home, done = faulty
    words = TICKET_TEXT.strip().encode()
    raw = home / "raw"
    assert any(words in path.read_bytes() for path in (raw / "support_tickets").iterdir())
    found = [
        path
        for path in home.rglob("*")
        if path.is_file() and raw not in path.parents and words in path.read_bytes()
    ]
    assert found == []
    assert TICKET_TEXT.strip() not in done.output
    # databases compress texts: no table that is built has the column at all
    for name in ("build", "candidate", "published"):
        with duckdb.connect(str(home / f"{name}.duckdb"), read_only=True) as connection:
            sql = (
                "select table_name from duckdb_columns() "
                "where column_name = 'description' and not internal"
            )
            assert connection.execute(sql).fetchall() == []


# -- seats -------------------------------------------------------------------------------------
@pytest.mark.fault(27)
def test_no_seats_and_no_users_is_no_full_use(home: Path) -> None:
    use = metric(home, "F27", "licence_utilisation", "expansion")
    assert (use["value_state"], use["metric_value"], use["metric_score"]) == (
        "not_applicable", None, None,
    )  # fmt: skip


@pytest.mark.fault(28)
def test_more_users_than_seats_is_full_use_and_shown_as_more(home: Path) -> None:
    use = metric(home, "F28", "licence_utilisation", "expansion")
    assert (use["metric_value"], use["metric_score"]) == (1.2, 10)


# -- the same rows, otherwise arranged -----------------------------------------------------------
@pytest.fixture(scope="module")
def loaded_twice(
    faulty: tuple[Path, Done], berlin: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The faulty company again: every row a second time, an hour later, and all in any order."""
    home = fresh_home(faulty[0], tmp_path_factory.mktemp("loaded_twice") / "home")
    with raw_tables(home) as connection:
        for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
            connection.execute(
                f"""
                create or replace table {table} as
                from {table}
                union all
                select * replace (loaded_at + interval 1 hour as loaded_at) from {table}
                """
            )
            connection.execute(
                f"create or replace table {table} as from {table} order by hash({table}, rowid)"
            )
    assert_accepted(run(home, "run", project=berlin))
    return home


@pytest.mark.fault(2)
@pytest.mark.fault(12)
def test_neither_a_second_load_nor_the_order_of_rows_changes_a_mart(
    loaded_twice: Path, home: Path
) -> None:
    differ = differences(loaded_twice, home)
    # each rejected row is there twice now, and is still the same row
    differ.pop("customer_health.fct_health__rejected_rows")
    assert differ == {}
    keys = (
        "select source_table, row_key, rejection_reason "
        "from customer_health.fct_health__rejected_rows order by all"
    )
    assert published(loaded_twice, keys) == published(home, keys)
    once, twice = (source_counts(where, "product_events") for where in (home, loaded_twice))
    assert twice["row_count"] == 2 * once["row_count"]
    assert twice["kept_count"] == once["kept_count"]


# -- over time ---------------------------------------------------------------------------------
FIRST_DAY, SECOND_DAY = "2026-06-20", "2026-06-25"
DELETED, RENEWED = "A0021", "RENEWED"


@pytest.fixture(scope="module")
def over_time(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three runs. By the second one an account was deleted, and half of the events of two days had
    not arrived; by the third one the account was restored, and the events were there.
    """
    folder = tmp_path_factory.mktemp("over_time")
    home = fresh_home(published_home, folder / "home")
    all_events = folder / "events"
    with raw_tables(home) as connection:
        until = {"ended_at": datetime(2026, 6, 15), "billing_period_months": 1}
        insert(connection, "crm_accounts", [account(RENEWED)])
        insert(connection, "billing_subscriptions", [subscription(RENEWED, **until)])
    shutil.copytree(home / "raw" / "product_events", all_events)
    homes = {}
    for as_of in (FIRST_DAY, SECOND_DAY, AS_OF):
        is_deleted = as_of == SECOND_DAY
        with raw_tables(home) as connection:
            if is_deleted:
                connection.execute(
                    "delete from product_events where occurred_at >= '2026-06-23' "
                    "and occurred_at < '2026-06-25' and hash(event_id) % 2 = 0"
                )
                signed = {"subscription_id": "S-RENEWED-2", "started_at": datetime(2026, 6, 25)}
                insert(connection, "billing_subscriptions", [subscription(RENEWED, **signed)])
            connection.execute(
                "update crm_accounts set is_deleted = ?, updated_at = ? where account_id = ?",
                [is_deleted, datetime(2026, 6, 20, 12), DELETED],
            )
        if as_of == AS_OF:
            shutil.rmtree(home / "raw" / "product_events")
            shutil.copytree(all_events, home / "raw" / "product_events")
            demo.create_landing(home)
        assert_accepted(run(home, "run", "--as-of", as_of))
        homes[as_of] = copy_home(home, folder / as_of)
    return homes


def dates_of(home: Path, account_id: str) -> list[str]:
    """The dates from the first run on for which an account has a score row."""
    rows = published(
        home,
        "select as_of_date::varchar from customer_health.fct_health__account_scores "
        "where account_id = ? and as_of_date >= ? order by 1",
        account_id, FIRST_DAY,
    )  # fmt: skip
    return [day for (day,) in rows]


def stage(home: Path, account_id: str) -> tuple[Any, ...]:
    """Where an account stands."""
    (row,) = published(
        home,
        "select lifecycle_stage, is_scored, churn_date from customer_health.dim_health__accounts "
        "where account_id = ?",
        account_id,
    )
    return row


@pytest.mark.fault(10)
def test_late_events_give_the_scores_that_they_would_have_given(
    over_time: dict[str, Path], published_home: Path
) -> None:
    sql = (
        "select * from customer_health.fct_health__account_scores "
        f"where account_id not in ('{DELETED}', '{RENEWED}') order by all"
    )
    clean = published(published_home, sql)
    assert published(over_time[AS_OF], sql) == clean
    # the run without them had scored otherwise
    later = f"and as_of_date = '{SECOND_DAY}' order by all"
    of_that_day = sql.replace("order by all", later)
    assert published(over_time[SECOND_DAY], of_that_day) != published(published_home, of_that_day)


@pytest.mark.fault(24)
def test_a_deleted_account_has_no_score_and_keeps_its_history(
    over_time: dict[str, Path],
) -> None:
    assert stage(over_time[FIRST_DAY], DELETED)[1]
    assert stage(over_time[SECOND_DAY], DELETED) == ("inactive", False, None)
    assert dates_of(over_time[SECOND_DAY], DELETED) == [FIRST_DAY]
    before = f"and as_of_date <= '{FIRST_DAY}'"
    sql = (
        "select * from customer_health.fct_health__account_scores "
        f"where account_id = '{DELETED}' {before} order by all"
    )
    kept = published(over_time[SECOND_DAY], sql)
    assert kept == published(over_time[FIRST_DAY], sql)


@pytest.mark.fault(25)
def test_a_restored_account_goes_on_and_its_gap_is_seen(over_time: dict[str, Path]) -> None:
    assert stage(over_time[AS_OF], DELETED)[1]
    # the days within the lookback of the last run are scored again, the ones before stay a gap
    assert dates_of(over_time[AS_OF], DELETED) == [
        FIRST_DAY, *(f"2026-06-{day}" for day in range(23, 31))
    ]  # fmt: skip


@pytest.mark.fault(26)
def test_a_renewal_signed_ten_days_late_is_no_churn(over_time: dict[str, Path]) -> None:
    for home in over_time.values():
        _, is_scored, churn_date = stage(home, RENEWED)
        assert (is_scored, churn_date) == (True, None)
    assert dates_of(over_time[AS_OF], RENEWED) == [f"2026-06-{day}" for day in range(20, 31)]


def test_a_rejected_row_keeps_the_date_and_the_run_that_saw_it_first(
    over_time: dict[str, Path],
) -> None:
    sql = """
        select row_key, rejection_reason, first_seen_date::varchar, last_seen_date::varchar
        from customer_health.fct_health__rejected_rows
        where source_table = 'billing_invoices'
        order by all
    """
    first = published(over_time[FIRST_DAY], sql)
    assert len(first) > 2
    assert {row[2:] for row in first} == {(FIRST_DAY, FIRST_DAY)}
    assert published(over_time[AS_OF], sql) == [(*row[:3], AS_OF) for row in first]
    runs = "select distinct first_seen_run from customer_health.fct_health__rejected_rows"
    (run_id,) = published(over_time[FIRST_DAY], runs)[0]
    assert (over_time[FIRST_DAY] / "runs" / run_id).is_dir()
    assert (run_id,) in published(over_time[AS_OF], runs)


# -- faults that stop a run ----------------------------------------------------------------------
@pytest.fixture
def accepted_home(published_home: Path, tmp_path: Path) -> Path:
    """A copy of the published company, whose raw tables a test may spoil."""
    return copy_home(published_home, tmp_path / "home")


@pytest.mark.fault(5, says="orphan_share")
def test_many_events_of_nobody_stop_the_run(accepted_home: Path) -> None:
    late = datetime(2026, 6, 28, 12)
    with raw_tables(accepted_home) as connection:
        rows = [event("NOBODY", f"orphan-{number}", late) for number in range(20)]
        insert(connection, "product_events", rows)
    assert_refused(run(accepted_home, "run"), accepted_home, "product_events")


@pytest.mark.fault(9, says="instants_have_offset")
def test_instants_of_an_unknown_zone_stop_the_run(accepted_home: Path) -> None:
    with raw_tables(accepted_home) as connection:
        as_text(connection, "survey_responses", "responded_at", "cast(responded_at as varchar)")
    assert_refused(run(accepted_home, "run"), accepted_home, "responded_at")


@pytest.mark.fault(15, says="plain_numbers")
def test_amounts_that_are_no_plain_numbers_stop_the_run(accepted_home: Path) -> None:
    with raw_tables(accepted_home) as connection:
        as_text(connection, "billing_invoices", "amount", "cast(amount as varchar)")
        for digit, written in (("7", "1,234.50"), ("8", "$5"), ("9", "(5)")):
            connection.execute(
                "update billing_invoices set amount = ? where invoice_id like '%' || ?",
                [written, digit],
            )
    assert_refused(run(accepted_home, "run"), accepted_home, "amount")


@pytest.mark.fault(18, says="within_scale")
def test_answers_above_their_scale_stop_the_run(accepted_home: Path) -> None:
    with raw_tables(accepted_home) as connection:
        connection.execute(
            "update support_tickets set csat_score = csat_score * 2 where csat_score is not null"
        )
    assert_refused(run(accepted_home, "run"), accepted_home, "csat_score")
