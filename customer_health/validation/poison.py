"""Absurd rows for every raw table of the input contract, all of them dated at or after a day.

Nothing here may be known on that day: the first of them lie exactly on its midnight, since a score
of the day uses what happened before it. New rows are added, and rows that sources change in place
(a cancelled subscription, a churned account, a solved ticket) come once more with the change and a
later `updated_at`. What cannot be dated is left alone: a goal or a milestone has no creation date,
so a new one would rightly count as agreed all along.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

MOST_ACCOUNTS = 5_000
MOST_EVENTS = 200_000
MARK = "future-poison-"
DAYS = 28  # the rows lie on so many days from the day on
_ABSURD_AMOUNT = "987654321.0"


@dataclass(frozen=True)
class Poison:
    """Rows of one raw table.

    Attributes:
        table: of the input contract.
        per_account: rows an account; 0 where `source` says the rows itself.
        columns: column -> SQL expression over `accounts.account_id`, `number` (1, 2, … in the
            account), `row_id` and `moment`; or over `raw` where there is a `source`.
        source: SQL: a join that new rows need besides, or which rows are changed, with {day}.
        first_day: days from the day to the first row.
    """

    table: str
    per_account: int
    columns: dict[str, str]
    source: str = ""
    first_day: int = 0


def poisons(event_names: int, currency: str, grace_days: int) -> list[Poison]:
    """What is added, per table.

    Args:
        event_names: how many event names there are (table `poison_event_names`).
        currency: the reporting currency, which needs no rate.
        grace_days: a renewal that is signed so late counts backwards, by definition
            (docs/decisions.md, 51), so that new subscriptions start later than that.
    """
    account = {"account_id": "accounts.account_id"}
    money = {"amount": _ABSURD_AMOUNT, "currency_code": f"'{currency}'"}
    by_turns = "case when accounts.account_number % 2 = 0 then 0 else 10 end"
    return [
        Poison(
            "product_events",
            0,
            {
                **account,
                "event_id": "row_id",
                "user_id": "accounts.user_id",
                "event_name": "poison_event_names.event_name",
                "occurred_at": "moment",
                "duration_seconds": "86000",
            },
            source=f"inner join poison_event_names on {event_names} > 0 "
            f"and poison_event_names.number = numbers.number % greatest({event_names}, 1)",
        ),
        Poison(
            "product_usage_daily",
            0,
            {
                **account,
                "usage_date": "cast(moment as date)",
                "event_name": "poison_event_names.event_name",
                "event_count": "1000000",
                "active_users": "1000",
                "duration_seconds": "86000000",
            },
            source=f"inner join poison_event_names on numbers.number <= {DAYS}",
        ),
        Poison(
            "product_users",
            5,
            {**account, "user_id": "row_id", "created_at": "moment"},
        ),
        Poison(
            "support_tickets",
            40,
            {
                **account,
                "ticket_id": "row_id",
                "opened_at": "moment",
                "status": "'open'",
                "priority": "'urgent'",
                "complexity": "5",
                "ticket_type": "'incident'",
                "reopen_count": "50",
                "is_escalated": "true",
                "csat_score": "1",
                "csat_scale_max": "5",
                "updated_at": "moment",
            },
        ),
        Poison(
            "survey_responses",
            20,
            {
                **account,
                "response_id": "row_id",
                "survey_type": "case when number % 2 = 0 then 'nps' else 'csat' end",
                "score": by_turns,
                "scale_min": "0",
                "scale_max": "10",
                "responded_at": "moment",
            },
        ),
        Poison(
            "billing_invoices",
            6,
            {
                **account,
                **money,
                "invoice_id": "row_id",
                "invoice_type": "'charge'",
                "issued_at": "moment",
                "due_at": "moment",
                "status": "'open'",
            },
        ),
        Poison(
            "billing_subscriptions",
            1,
            {
                **account,
                "subscription_id": "row_id",
                "plan": "'future'",
                "seats": "100000",
                "mrr_amount": _ABSURD_AMOUNT,
                "currency_code": f"'{currency}'",
                "started_at": "moment",
                "status": "'active'",
                "billing_period_months": "1",
                "updated_at": "moment",
            },
            first_day=grace_days + 1,
        ),
        Poison(
            "crm_contacts",
            1,
            {
                **account,
                "contact_id": "row_id",
                "role": "'champion'",
                "is_active": "true",
                "created_at": "moment",
                "updated_at": "moment",
            },
        ),
        Poison(
            "crm_touchpoints",
            10,
            {
                **account,
                "touchpoint_id": "row_id",
                "channel": "'meeting'",
                "direction": "'two_way'",
                "occurred_at": "moment",
            },
        ),
        Poison(
            "crm_csm_sentiments",
            5,
            {
                **account,
                "sentiment_id": "row_id",
                "sentiment": "1",
                "author_id": "'nobody'",
                "recorded_at": "moment",
            },
        ),
        Poison(
            "crm_health_overrides",
            1,
            {
                **account,
                "override_id": "row_id",
                "band_key": "'critical'",
                "reason": "'future'",
                "author_id": "'nobody'",
                "created_at": "moment",
                "expires_at": "moment + interval 300 day",
            },
        ),
        Poison(
            "crm_action_updates",
            5,
            {
                **account,
                "update_id": "row_id",
                "playbook_key": "'critical_entered'",
                "state": "'done'",
                "author_id": "'nobody'",
                "recorded_at": "moment",
            },
        ),
        Poison(
            "crm_opportunities",
            3,
            {
                **account,
                **money,
                "opportunity_id": "row_id",
                "opportunity_type": "'expansion'",
                "stage": "'won'",
                "created_at": "moment",
                "closed_at": "moment",
            },
        ),
        Poison(
            "marketing_engagements",
            50,
            {
                **account,
                "engagement_id": "row_id",
                "channel": "'email'",
                "engagement_type": "'click'",
                "occurred_at": "moment",
            },
        ),
    ]


def marked_columns() -> dict[str, str]:
    """Table -> column whose values begin with MARK in the new rows."""
    return {
        poison.table: name
        for poison in poisons(0, "USD", 0)
        for name, sql in poison.columns.items()
        if sql == "row_id"
    }


def changes() -> list[Poison]:
    """Rows that are changed in place after the day: outcomes and ends."""
    return [
        Poison(
            "billing_subscriptions",
            0,
            {
                "ended_at": "timestamp '{day}' + interval 5 day",
                "cancel_requested_at": "case when try_cast(cancel_requested_at as timestamp) < "
                "timestamp '{day}' then try_cast(cancel_requested_at as timestamp) "
                "else timestamp '{day}' + interval 1 day end",
                "status": "'cancelled'",
            },
            "(try_cast(ended_at as timestamp) is null "
            "or try_cast(ended_at as timestamp) >= timestamp '{day}' + interval 5 day) "
            "and lower(status) = 'active'",
        ),
        Poison(
            "crm_accounts",
            0,
            {
                "churned_at": "timestamp '{day}' + interval 5 day",
                "churn_reason": "'involuntary'",
            },
            "try_cast(churned_at as timestamp) is null",
        ),
        Poison(
            "crm_contacts",
            0,
            {"left_at": "timestamp '{day}' + interval 1 day", "is_active": "false"},
            "try_cast(left_at as timestamp) is null and coalesce(try_cast(is_active as boolean), "
            "true)",
        ),
        Poison(
            "support_tickets",
            0,
            {"solved_at": "timestamp '{day}' + interval 2 day", "status": "'solved'"},
            "try_cast(solved_at as timestamp) is null",
        ),
        Poison(
            "billing_invoices",
            0,
            {"paid_at": "timestamp '{day}' + interval 2 day", "status": "'paid'"},
            "try_cast(paid_at as timestamp) is null and lower(status) in ('open', 'overdue')",
        ),
        Poison(
            "onboarding_milestones",
            0,
            {"completed_at": "timestamp '{day}' + interval 1 day"},
            "try_cast(completed_at as timestamp) is null",
        ),
    ]


def add(
    connection: Any,
    tables: dict[str, dict[str, str]],
    day: date,
    *,
    currency: str,
    grace_days: int,
) -> int:
    """Add the rows to the raw tables of the connection's current schema.

    Args:
        connection: of DuckDB; the tables are its own copies.
        tables: raw table -> column -> type, of those that are declared.
        day: first day that must not be known.
        currency: the reporting currency.
        grace_days: variable renewal_grace_days.

    Returns:
        Number of rows added.
    """
    _prepare(connection, tables)
    names = int(connection.execute("select count(*) from poison_event_names").fetchone()[0])
    added = 0
    # changes first: what they change are rows of before
    in_order = [(each, True) for each in changes()]
    in_order += [(each, False) for each in poisons(names, currency, grace_days)]
    for poison, is_change in in_order:
        columns = tables.get(poison.table)
        if columns is None:
            continue
        if is_change:
            query = _changed_rows(poison, columns, day)
        else:
            query = _new_rows(poison, columns, day, connection)
        if query is not None:
            added += int(connection.execute(query).fetchone()[0])
    added += _add_rates(connection, tables.get("billing_exchange_rates"), day)
    for name in ("poison_accounts", "poison_event_names"):
        connection.execute(f"drop table {name}")
    return added


def _prepare(connection: Any, tables: dict[str, dict[str, str]]) -> None:
    """Accounts with one of their users, and the event names there are."""
    has_users = "product_users" in tables
    user = "users.user_id" if has_users else "cast(null as varchar)"
    users = (
        "left join (select account_id, min(user_id) as user_id from product_users group by 1) "
        "as users on crm_accounts.account_id = users.account_id"
        if has_users
        else ""
    )
    connection.execute(
        f"""
        create table poison_accounts as
        select *, row_number() over (order by hash(account_id), account_id) as account_number
        from (
            select distinct crm_accounts.account_id, {user} as user_id
            from crm_accounts
            {users}
            where crm_accounts.account_id is not null
        )
        qualify account_number <= {MOST_ACCOUNTS}
        """
    )
    found = [
        f"select distinct event_name from {table}"
        for table in ("product_events", "product_usage_daily")
        if table in tables
    ]
    names = " union ".join(found) or "select cast(null as varchar) as event_name where 1 = 0"
    connection.execute(
        f"""
        create table poison_event_names as
        select event_name, row_number() over (order by event_name) - 1 as number
        from ({names})
        where event_name is not null
        qualify number < 50
        """
    )


def _new_rows(poison: Poison, columns: dict[str, str], day: date, connection: Any) -> str | None:
    """Insert of new rows: the first of an account on the day's midnight, then day after day."""
    count = poison.per_account
    if poison.table == "product_events":
        accounts = connection.execute("select count(*) from poison_accounts").fetchone()[0]
        count = max(10, min(1_000, MOST_EVENTS // max(accounts, 1)))
    elif poison.table == "product_usage_daily":
        count = DAYS
    chosen = {name: sql for name, sql in poison.columns.items() if name in columns}
    if "loaded_at" in columns:
        chosen["loaded_at"] = "moment + interval 1 hour"
    if not chosen:
        return None
    moment = (
        f"timestamp '{day}' + to_days({poison.first_day} "
        f"+ cast((numbers.number - 1) % {DAYS} as integer)) "
        f"+ to_hours((numbers.number - 1) // {DAYS} % 24)"
    )
    selected = ", ".join(f"{_cast(sql, columns[name])} as {name}" for name, sql in chosen.items())
    return f"""
        insert into {poison.table} by name
        with
        accounts as (select * from poison_accounts),
        numbers as (select cast(range as bigint) + 1 as number from range({count})),
        seeds as (
            select
                accounts.*,
                numbers.number,
                {moment} as moment,
                '{MARK}{poison.table}-' || accounts.account_number || '-' || numbers.number
                    as row_id
            from accounts
            cross join numbers
        )
        select {selected}
        from seeds as accounts
        {poison.source.replace("numbers.number", "accounts.number")}
    """


def _changed_rows(poison: Poison, columns: dict[str, str], day: date) -> str | None:
    """Insert of rows once more, changed after the day and updated and loaded last."""
    changed = {name: sql.format(day=day) for name, sql in poison.columns.items() if name in columns}
    needed = [name for name in ("ended_at", "churned_at", "left_at", "solved_at", "paid_at",
                                "completed_at") if name in poison.columns]  # fmt: skip
    is_dated = poison.table in ("billing_invoices", "onboarding_milestones")
    order = "loaded_at" if is_dated else "updated_at"
    if order not in columns or any(name not in columns for name in needed):
        return None  # nothing says which of two rows is the newer one
    later = f"greatest(try_cast({order} as timestamp), timestamp '{day}') + interval 10 day"
    for name in ("updated_at", "loaded_at"):
        if name in columns:
            changed[name] = later
    condition = poison.source.format(day=day)
    for name in ("is_active",):
        if name not in columns:
            condition = condition.split(f" and coalesce(try_cast({name}")[0]
    replaced = ", ".join(f"{_cast(sql, columns[name])} as {name}" for name, sql in changed.items())
    return f"""
        insert into {poison.table} by name
        select raw.* replace ({replaced})
        from {poison.table} as raw
        where ({condition}) and try_cast({order} as timestamp) is not null
            and {_first_moment(poison.table, columns)} < timestamp '{day}'
    """


def _first_moment(table: str, columns: dict[str, str]) -> str:
    """When a row of a table came to be."""
    names = {
        "billing_subscriptions": "started_at",
        "billing_invoices": "issued_at",
        "support_tickets": "opened_at",
    }
    name = names.get(table, "created_at")
    return f"try_cast({name} as timestamp)" if name in columns else "timestamp '1970-01-01'"


def _add_rates(connection: Any, columns: dict[str, str] | None, day: date) -> int:
    """Exchange rates a thousand times too high, from the day on."""
    if columns is None:
        return 0
    chosen = {
        "currency_code": "currencies.currency_code",
        "rate_date": f"cast(timestamp '{day}' + to_days(cast(range as integer)) as date)",
        "rate_to_reporting_currency": "1000",
    }
    if "loaded_at" in columns:
        chosen["loaded_at"] = f"timestamp '{day}' + interval 1000 day"
    selected = ", ".join(f"{_cast(sql, columns[name])} as {name}" for name, sql in chosen.items())
    return int(
        connection.execute(
            f"insert into billing_exchange_rates by name select {selected} from (select distinct "
            "currency_code from billing_exchange_rates where currency_code is not null) as "
            f"currencies cross join range({DAYS})"
        ).fetchone()[0]
    )


def _cast(sql: str, kind: str) -> str:
    """An expression in the type of its column; instants as text say that they are UTC."""
    is_moment = ("moment" in sql or "timestamp" in sql) and not sql.endswith("as date)")
    if kind.upper().startswith("VARCHAR") and is_moment:
        return f"strftime({sql}, '%Y-%m-%dT%H:%M:%SZ')"
    is_number = kind.upper() in {"BIGINT", "INTEGER", "HUGEINT", "SMALLINT", "UBIGINT"}
    if sql == "row_id" and is_number:
        return f"cast(-1 - hash(row_id) % 1000000000 as {kind})"
    return f"cast({sql} as {kind})"
