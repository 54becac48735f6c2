"""Actions: the queue by owner with reasons and due dates, capacity, what would help most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import frame
import streamlit as st
from frame import View
from markupsafe import Markup

from customer_health.dashboard import actions, charts, html
from customer_health.dashboard.actions import Asked
from customer_health.dashboard.html import Column
from customer_health.dashboard.portfolio import NONE
from customer_health.validation.report import money, number

# Field of Asked, key in the address, label, and how its values are told.
_FILTERS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    ("csm_ids", "csm_id", "CSM", str),
    ("roles", "owner_role", "Team", actions.role_in_words),
    ("playbooks", "playbook", "Playbook", actions.in_words),
    ("segments", "segment", "Segment", str),
)


def show(view: View) -> None:
    """Draw the page."""
    asked = _asked(view)
    as_of = view.pinned.as_of_date
    totals = view.ask(actions.read_totals, asked, as_of)
    csms = view.ask(actions.read_csms, asked.csm_ids, as_of)
    frame.place(html.tiles(actions.headline(totals, csms, as_of, view.currency)))
    _queue(view, asked, totals["waiting"])
    _capacity(view, asked, csms)
    _helps_most(view)


def _asked(view: View) -> Asked:
    """Filters, kept in the address of the page."""
    choices = view.ask(actions.read_choices)
    found: dict[str, tuple[Any, ...]] = {}
    for column, (name, key, label, tell) in zip(st.columns(len(_FILTERS)), _FILTERS, strict=True):
        with column:
            found[name] = tuple(
                st.multiselect(
                    label,
                    choices[name],
                    format_func=tell,
                    key=key,
                    bind="query-params",
                    placeholder="All",
                )
            )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        found["priorities"] = tuple(
            st.segmented_control(
                "Priority (1 is the most urgent)",
                actions.PRIORITIES,
                selection_mode="multi",
                key="priority",
                bind="query-params",
            )
        )
        found["states"] = tuple(
            st.segmented_control(
                "State",
                actions.STATES,
                selection_mode="multi",
                format_func=actions.in_words,
                key="state",
                bind="query-params",
            )
        )
        is_still_true = st.toggle("Only what is still true", key="still_true", bind="query-params")
    return Asked(is_still_true=is_still_true, **found)


def _queue(view: View, asked: Asked, count: int) -> None:
    """The actions that wait."""
    st.subheader("What to do next")
    st.caption(
        "In the order of this queue: what is still true first, then ARR at risk times urgency."
        if asked.is_one_queue
        else "What is still true first, then ARR at risk times urgency. Choose one CSM to see a "
        "single queue."
    )
    page = frame.pages_of(count, actions.PAGE_ROWS, "queue")
    rows = view.ask(actions.read_queue, asked, page)
    places = (Column("Place", is_number=True),) if asked.is_one_queue else ()
    frame.table(
        (
            *places,
            Column("Account"),
            Column("Band today"),
            Column("What to do", is_text=True),
            Column("Why", is_text=True),
            Column("Due"),
            Column("Priority", is_number=True),
            Column("Owner"),
            Column("State"),
            Column(f"At risk {view.currency}", is_number=True),
        ),
        [((row["queue_rank"],) if places else ()) + _queue_row(view, row) for row in rows],
        "Actions that wait",
        "No action waits that matches. Clear a filter; if none is set, no playbook has fired for "
        "an account that still is a customer (docs/actions.md says what fires them).",
    )


def _queue_row(view: View, row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        html.account_link(row["account_id"], row["account_name"]),
        html.badge(view.band(row["band"])) if row["band"] else None,
        html.short(row["action_text"], actions.in_words(row["playbook_key"]), 140),
        _why(row),
        _due(view, row),
        row["priority"],
        html.name(actions.owner_in_words(row), 24),
        _state(row),
        money(row["arr_at_risk_amount"]),
    )


def _why(row: Mapping[str, Any]) -> Markup:
    """What the trigger found; the whole of it, and of what to do, one step away."""
    found, _, rest = row["why_text"].partition(". ")
    parts = (rest, f"Found on {row['fired_on']}.", row["action_text"])
    return Markup("<details><summary>{}</summary>{}</details>").format(
        html.cell(found), html.joined(parts, Markup("<br>"))
    )


def _due(view: View, row: Mapping[str, Any]) -> Markup:
    """The due date; overdue with icon and word."""
    as_of = view.pinned.as_of_date
    words = actions.due_in_words(row["due_date"], as_of)
    told = (
        html.mark("bad", "!", words)
        if row["due_date"] < as_of
        else Markup("<small>{}</small>").format(words)
    )
    return Markup('<span style="white-space: nowrap">{}</span><br>{}').format(
        html.day(row["due_date"]), told
    )


def _state(row: Mapping[str, Any]) -> Markup:
    """Open or taken up, and whether the reason holds."""
    if row["is_still_true"] is None:
        remark = html.mark("unknown", "?", "data incident")
    elif row["is_still_true"]:
        remark = Markup("")
    else:
        remark = html.mark("unknown", "–", "reason is gone")
    return Markup("{}<br>{}").format(html.cell(actions.in_words(row["state"])), remark)


def _capacity(view: View, asked: Asked, csms: Sequence[Mapping[str, Any]]) -> None:
    """Who gets more than one can work on."""
    st.subheader("Capacity by CSM")
    capacity = view.ask(actions.read_weekly_capacity)
    week = actions.last_whole_week(view.pinned.as_of_date)
    if capacity is None:
        st.info(
            "No playbook has brought a CSM an action yet, so there is nothing to weigh.",
            icon=":material/info:",
        )
        return
    st.caption(
        f"A CSM can work on {actions.counted(capacity, 'new action')} a week "
        "(`customer_health__csm_weekly_actions`). New: in the week of "
        f"{week}, the last that is over."
    )
    table, weeks = st.columns((3, 2), gap="large")
    with table:
        page = frame.pages_of(len(csms), actions.CSM_ROWS, "csms")
        start = (page - 1) * actions.CSM_ROWS
        frame.table(
            (
                Column("CSM"),
                Column("Accounts", is_number=True),
                Column("Waiting", is_number=True),
                Column("Overdue", is_number=True),
                Column("New", is_number=True),
                Column("Urgent", is_number=True),
                Column("Load"),
            ),
            [_csm_row(row, capacity) for row in csms[start : start + actions.CSM_ROWS]],
            "Accounts, actions that wait and new actions by CSM",
            "Nobody with this id has accounts or actions. Clear the filter CSM.",
        )
    with weeks:
        rows = view.ask(actions.read_weeks, asked.csm_ids, view.pinned.as_of_date)
        if not rows:
            st.info(
                f"No new action for a CSM in the last {actions.WEEKS} weeks.",
                icon=":material/info:",
            )
            return
        frame.chart(charts.load_over_time(rows), actions.weeks_in_words(rows))


def _csm_row(row: Mapping[str, Any], capacity: int) -> tuple[Any, ...]:
    is_nobody = row["csm_id"] == NONE
    if is_nobody:
        load = html.mark("unknown", "?", "nobody to do them") if row["waiting"] else None
    elif row["is_over_capacity"]:
        load = html.mark("bad", "✕", f"{row['action_count'] - capacity:,} over")
    else:
        load = html.mark("good", "✓", f"{row['action_count'] / capacity:.0%} of {capacity:,}")
    return (
        html.link("actions", {"csm_id": row["csm_id"]}, "no CSM" if is_nobody else row["csm_id"]),
        f"{row['account_count']:,}",
        f"{row['waiting']:,}",
        f"{row['overdue']:,}",
        f"{row['action_count']:,}",
        f"{row['urgent_action_count']:,}",
        load,
    )


def _helps_most(view: View) -> None:
    """Where the whole base loses most."""
    st.subheader("What would help most")
    st.caption(
        "Points that the best value of each metric would bring to all accounts, weighed by their "
        "ARR. It ranks metrics over the whole base, whatever the filters; it is no forecast of "
        "revenue."
    )
    rows = view.ask(actions.read_points_lost)
    versions = {row["scoring_version"] for row in rows}
    frame.table(
        (
            Column("Metric", is_text=True),
            Column("Points lost per account", is_number=True),
            Column("Accounts", is_number=True),
            Column(f"Lost points × ARR, {view.currency}", is_number=True),
            Column("Playbook"),
        ),
        [
            (
                row["metric_label"] + (f" ({row['scoring_version']})" if len(versions) > 1 else ""),
                number(row["mean_lost_points"], 1),
                f"{row['account_count']:,}",
                money(row["lost_arr_points"]),
                html.link(
                    "actions",
                    {"playbook": actions.in_words(row["playbook_key"])},
                    actions.in_words(row["playbook_key"]),
                )
                if row["playbook_key"]
                else "none yet",
            )
            for row in rows
        ],
        "Metrics that cost the base most points",
        "No account has a score today, so no metric costs points.",
    )
