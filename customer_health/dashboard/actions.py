"""The queue of actions: what waits for whom, whether it is too much, and what would help most."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from customer_health.dashboard.portfolio import NONE
from customer_health.validation.report import money
from customer_health.warehouses import Reader

CSM = "csm"
PAGE_ROWS = 10
CSM_ROWS = 15
METRIC_ROWS = 10
WEEKS = 12
STATES = ("open", "acknowledged")
PRIORITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Asked:
    """Which waiting actions are shown; an empty tuple shows all.

    Attributes:
        csm_ids: owners that are CSMs; `(none)` means actions for a CSM where nobody is responsible.
        roles: of owners.
        playbooks: their keys.
        segments: of the account today, `(none)` means empty.
        priorities: 1, the most urgent, to 5.
        states: of STATES.
        is_still_true: leave out what has no reason any more; not known to be over stays.
    """

    csm_ids: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    playbooks: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    is_still_true: bool = False

    @property
    def is_one_queue(self) -> bool:
        """Whether all that is shown is of one owner: places in its queue can be compared."""
        if self.csm_ids:
            return len(self.csm_ids) == 1
        return len(self.roles) == 1 and self.roles != (CSM,)

    @property
    def waiting(self) -> tuple[str, list[Any]]:
        """From which rows, as `actions`, under which condition, and its values."""
        tables = ["{marts}.act_health__actions as actions"]
        conditions, bound = ["actions.is_open"], list[Any]()
        # A CSM has the actions for the role csm; those of other roles are in the queue of the role.
        csm_id = (
            f"case when actions.owner_role = '{CSM}' then coalesce(actions.owner_id, '{NONE}') end"
        )
        segment = f"coalesce(scores.segment, actions.segment, '{NONE}')"
        for column, values in (
            (csm_id, self.csm_ids),
            ("actions.owner_role", self.roles),
            ("actions.playbook_key", self.playbooks),
            (segment, self.segments),
            ("actions.priority", self.priorities),
            ("actions.state", self.states),
        ):
            if values:
                conditions.append(f"{column} in ({', '.join('?' for _ in values)})")
                bound.extend(values)
        if self.segments:
            # Accounts on trial that have no health score keep the segment of the firing.
            tables.append("{marts}.fct_health__account_scores_current as scores")
        if self.is_still_true:
            conditions.append("coalesce(actions.is_still_true, true)")
        joined = " left join ".join(tables)
        on = " on actions.account_id = scores.account_id" if self.segments else ""
        return f"from {joined}{on} where {' and '.join(conditions)}", bound


def read_choices(reader: Reader) -> dict[str, list[Any]]:
    """What can be chosen: csm_ids, roles and playbooks of what waits, segments of all accounts.

    CSMs for whom nothing waits can be chosen as well: other pages link to them.
    """
    waiting = reader.rows(
        f"""
        select distinct
            case when owner_role = '{CSM}' then coalesce(owner_id, '{NONE}') end as csm_id,
            owner_role,
            playbook_key
        from {{marts}}.act_health__actions
        where is_open
        """
    )
    accounts = reader.rows(
        f"""
        select distinct
            coalesce(csm_id, '{NONE}') as csm_id,
            coalesce(segment, '{NONE}') as segment
        from {{marts}}.bi_health__account_360_current
        """
    )
    csm_ids = {row[0] for row in waiting if row[0] is not None} | {row[0] for row in accounts}
    return {
        "csm_ids": sorted(csm_ids),
        "roles": sorted({row[1] for row in waiting}),
        "playbooks": sorted({row[2] for row in waiting}),
        "segments": sorted({row[1] for row in accounts}),
    }


def read_totals(reader: Reader, asked: Asked, as_of: date) -> dict[str, Any]:
    """Counts over all pages.

    Args:
        reader: of the readers' copy.
        asked: which actions.
        as_of: what was due before it is overdue.

    Returns:
        waiting, overdue, urgent (priority 1), still_true, account_count, and arr_at_risk_amount:
        of each account once, null where none is known.
    """
    waiting, values = asked.waiting
    return reader.records(
        f"""
        with

        waiting as (
            select
                actions.account_id,
                actions.arr_at_risk_amount,
                case when actions.due_date < ? then 1 else 0 end as is_overdue,
                case when actions.priority = 1 then 1 else 0 end as is_urgent,
                case when coalesce(actions.is_still_true, true) then 1 else 0 end as is_true
            {waiting}
        ),

        per_account as (
            select
                account_id,
                count(*) as waiting,
                sum(is_overdue) as overdue,
                sum(is_urgent) as urgent,
                sum(is_true) as still_true,
                max(arr_at_risk_amount) as arr_at_risk_amount
            from waiting
            group by account_id
        )

        select
            cast(coalesce(sum(waiting), 0) as bigint) as waiting,
            cast(coalesce(sum(overdue), 0) as bigint) as overdue,
            cast(coalesce(sum(urgent), 0) as bigint) as urgent,
            cast(coalesce(sum(still_true), 0) as bigint) as still_true,
            count(*) as account_count,
            sum(arr_at_risk_amount) as arr_at_risk_amount
        from per_account
        """,
        [as_of, *values],
    )[0]


def read_queue(
    reader: Reader, asked: Asked, page: int = 1, rows: int = PAGE_ROWS
) -> list[dict[str, Any]]:
    """A page of the actions that wait.

    In the order of the queue where all are of one owner; else in the same order over all owners:
    what is still true first, then ARR at risk times urgency.
    """
    waiting, values = asked.waiting
    order = (
        ("queue_rank",)
        if asked.is_one_queue
        else ("is_over", "urgency desc", "priority", "due_date")
    ) + ("account_id", "action_id")
    # The texts are read for the rows of the page alone.
    return reader.records(
        f"""
        with

        page as (
            select
                actions.action_id,
                actions.account_id,
                actions.queue_rank,
                actions.priority,
                actions.due_date,
                case when coalesce(actions.is_still_true, true) then 0 else 1 end as is_over,
                coalesce(actions.priority_score, 0) as urgency
            {waiting}
            order by {", ".join(order)}
            limit {int(rows)} offset {(int(page) - 1) * int(rows)}
        )

        select
            page.action_id,
            page.account_id,
            actions.account_name,
            scores.band,
            actions.playbook_key,
            actions.action_text,
            actions.why_text,
            actions.fired_on,
            page.due_date,
            page.priority,
            actions.owner_role,
            actions.owner_id,
            actions.state,
            actions.is_still_true,
            actions.arr_at_risk_amount,
            page.queue_rank
        from page
        inner join {{marts}}.act_health__actions as actions
            on page.action_id = actions.action_id and page.account_id = actions.account_id
        left join {{marts}}.fct_health__account_scores_current as scores
            on page.account_id = scores.account_id
        order by {", ".join(f"page.{each}" for each in order)}
        """,
        values,
    )


def last_whole_week(as_of: date) -> date:
    """The Monday of the last week that is over before a day."""
    return as_of - timedelta(days=as_of.weekday() + 7)


def read_weekly_capacity(reader: Reader) -> int | None:
    """Actions that a CSM can work on in a week, 1 or more; None where no CSM ever had an action."""
    found = reader.rows("select max(weekly_capacity) from {marts}.act_health__csm_capacity")[0][0]
    return None if found is None else int(found)


def read_csms(reader: Reader, csm_ids: Sequence[str], as_of: date) -> list[dict[str, Any]]:
    """CSMs that have accounts or actions, those with most new actions first.

    Args:
        reader: of the readers' copy.
        csm_ids: CSMs that are shown; none for all.
        as_of: date of the publication.

    Returns:
        csm_id (`(none)`: nobody is responsible), account_count (scored now), waiting, overdue,
        action_count and urgent_action_count of the last week that is over, is_over_capacity.
    """
    marks = ", ".join("?" for _ in csm_ids)
    chosen = f"where csm_id in ({marks})" if csm_ids else ""
    return reader.records(
        f"""
        with

        accounts as (
            select
                coalesce(csm_id, '{NONE}') as csm_id,
                count(*) as account_count
            from {{marts}}.fct_health__account_scores_current
            group by coalesce(csm_id, '{NONE}')
        ),

        waiting as (
            select
                coalesce(owner_id, '{NONE}') as csm_id,
                count(*) as waiting,
                sum(case when due_date < ? then 1 else 0 end) as overdue
            from {{marts}}.act_health__actions
            where is_open and owner_role = '{CSM}'
            group by coalesce(owner_id, '{NONE}')
        ),

        weekly as (
            select *
            from {{marts}}.act_health__csm_capacity
            where week_start_date = ?
        ),

        everybody as (
            select csm_id from accounts
            union
            select csm_id from waiting
            union
            select csm_id from weekly
        ),

        final as (
            select
                everybody.csm_id,
                coalesce(accounts.account_count, 0) as account_count,
                coalesce(waiting.waiting, 0) as waiting,
                cast(coalesce(waiting.overdue, 0) as bigint) as overdue,
                coalesce(weekly.action_count, 0) as action_count,
                coalesce(weekly.urgent_action_count, 0) as urgent_action_count,
                coalesce(weekly.is_over_capacity, false)
                and everybody.csm_id <> '{NONE}' as is_over_capacity
            from everybody
            left join accounts
                on everybody.csm_id = accounts.csm_id
            left join waiting
                on everybody.csm_id = waiting.csm_id
            left join weekly
                on everybody.csm_id = weekly.csm_id
        )

        select * from final
        {chosen}
        order by
            case when csm_id = '{NONE}' then 1 else 0 end,
            action_count desc,
            waiting desc,
            csm_id
        """,
        [as_of, last_whole_week(as_of), *csm_ids],
    )


def read_weeks(reader: Reader, csm_ids: Sequence[str], as_of: date) -> list[dict[str, Any]]:
    """New actions for CSMs in each of the last weeks that are over, the earliest first.

    Returns:
        week_start_date, within_count and beyond_count (what each CSM can work on, and what comes on
        top), csm_count (with actions), over_count (with more than they can work on).
    """
    last = last_whole_week(as_of)
    marks = ", ".join("?" for _ in csm_ids)
    chosen = f"csm_id in ({marks})" if csm_ids else "1 = 1"
    return reader.records(
        f"""
        select
            week_start_date,
            cast(sum(
                case when is_over_capacity then weekly_capacity else action_count end
            ) as bigint) as within_count,
            cast(sum(
                case when is_over_capacity then action_count - weekly_capacity else 0 end
            ) as bigint) as beyond_count,
            cast(sum(case when action_count > 0 then 1 else 0 end) as bigint) as csm_count,
            cast(sum(case when is_over_capacity then 1 else 0 end) as bigint) as over_count
        from {{marts}}.act_health__csm_capacity
        where
            csm_id <> '{NONE}'
            and week_start_date between ? and ?
            and {chosen}
        group by week_start_date
        order by week_start_date
        """,
        [last - timedelta(weeks=WEEKS - 1), last, *csm_ids],
    )


def read_points_lost(reader: Reader, rows: int = METRIC_ROWS) -> list[dict[str, Any]]:
    """The metrics that cost the base most, weighed by ARR, of act_health__points_lost."""
    return reader.records(
        f"""
        select
            scoring_version,
            category_key,
            metric_key,
            metric_label,
            account_count,
            mean_lost_points,
            lost_arr_points,
            playbook_key
        from {{marts}}.act_health__points_lost
        order by lost_arr_points desc, scoring_version, metric_key
        limit {int(rows)}
        """
    )


# -- from rows to figures ------------------------------------------------------------------------
def headline(
    totals: Mapping[str, Any], csms: Sequence[Mapping[str, Any]], as_of: date, currency: str
) -> list[tuple[str, Any, Any]]:
    """The figures on top: what, the figure, a remark.

    Args:
        totals: of `read_totals`.
        csms: of `read_csms`.
        as_of: date of the publication.
        currency: of the amounts.
    """
    waiting = totals["waiting"]
    over = sum(row["is_over_capacity"] for row in csms)
    count = sum(row["csm_id"] != NONE for row in csms)
    gone = waiting - totals["still_true"]
    return [
        (
            "Waiting",
            f"{waiting:,}",
            f"the reason is gone for {gone:,}" if gone else "all still true" if waiting else None,
        ),
        ("Overdue", f"{totals['overdue']:,}", f"due before {as_of}"),
        ("Urgent", f"{totals['urgent']:,}", "priority 1"),
        (
            f"ARR at risk, {currency}" if currency else "ARR at risk",
            money(totals["arr_at_risk_amount"]),
            f"of {counted(totals['account_count'], 'account')}",
        ),
        (
            "CSMs over capacity",
            f"{over:,} of {count:,}",
            f"week of {last_whole_week(as_of)}",
        ),
    ]


def counted(count: int, one: str, many: str = "") -> str:
    """`1 day`, `2 days`."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def due_in_words(due: date, as_of: date) -> str:
    """How far a due date is: `today`, `in 3 days`, `2 days overdue`."""
    days = (due - as_of).days
    if days == 0:
        return "today"
    return f"in {counted(days, 'day')}" if days > 0 else f"{counted(-days, 'day')} overdue"


def weeks_in_words(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the chart of `read_weeks` shows."""
    new = sum(row["within_count"] + row["beyond_count"] for row in rows)
    beyond = sum(row["beyond_count"] for row in rows)
    return (
        f"New actions for CSMs in {counted(len(rows), 'week')} up to that of "
        f"{rows[-1]['week_start_date']}: {new:,}, {beyond:,} of them beyond capacity"
    )


def role_in_words(role: str) -> str:
    """`csm` -> `CSM`, `support` -> `Support`."""
    return "CSM" if role == CSM else in_words(role)


def owner_in_words(row: Mapping[str, Any]) -> str:
    """The CSM, or the role in whose queue an action is."""
    if row["owner_role"] == CSM:
        return str(row["owner_id"] or "no CSM")
    return role_in_words(row["owner_role"])


def in_words(key: str) -> str:
    """`champion_gone` -> `Champion gone`."""
    words = " ".join(key.replace("_", " ").split())
    return words[:1].upper() + words[1:]
