"""Portfolio: accounts and ARR by band now and over time, moves between bands, who needs help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import frame
import streamlit as st
from frame import View

from customer_health.dashboard import charts, html, portfolio
from customer_health.dashboard.portfolio import Filters

COMPARED_DAYS = 28


def show(view: View) -> None:
    """Draw the page."""
    filters = frame.filters(view)
    history = view.ask(portfolio.read_history, filters)
    today = [row for row in history if row["as_of_date"] == view.pinned.as_of_date]
    if not today:
        st.info(
            "No account matches these filters today. Clear one of them to see accounts again.",
            icon=":material/filter_alt_off:",
        )
        return
    frame.place(html.tiles(portfolio.headline(history, view.bands, view.pinned.as_of_date)))
    now, over_time = st.columns(2, gap="large")
    with now:
        _bands_now(view, history)
    with over_time:
        _bands_over_time(view, history)
    _attention(view, filters)
    trend, moves = st.columns(2, gap="large")
    with trend:
        _trend(view, history, filters)
    with moves:
        _migrations(view, filters, history)


def _attention(view: View, filters: Filters) -> None:
    """The accounts to look at today."""
    st.header("Who needs attention today")
    count, arr = view.ask(portfolio.count_attention, filters)
    st.caption(portfolio.attention_in_words(count, arr, view.currency))
    page = frame.pages_of(count, portfolio.PAGE_ROWS, "attention")
    rows = view.ask(portfolio.read_attention, filters, page)
    frame.table(
        *portfolio.attention_table(rows, view.bands, view.currency),
        "Accounts that need attention",
        "No account has a red or yellow light. Look at Actions for what else waits.",
    )


def _bands_now(view: View, history: Sequence[Mapping[str, Any]]) -> None:
    """Accounts and ARR by band, and how that has changed."""
    st.header("Bands today")
    before = portfolio.nearest_before(history, view.pinned.as_of_date, COMPARED_DAYS)
    rows = portfolio.bands_now(history, view.bands, view.pinned.as_of_date, before)
    frame.table(
        *portfolio.bands_table(rows, before, view.currency),
        "Accounts and ARR by band",
        "No account has a band today.",
    )


def _bands_over_time(view: View, history: Sequence[Mapping[str, Any]]) -> None:
    """Areas by band."""
    st.header("Bands over time")
    measure = st.segmented_control(
        "Shown",
        ["Accounts", "ARR"],
        default="Accounts",
        required=True,
        key="measure",
        bind="query-params",
        label_visibility="collapsed",
    )
    column, title = (
        ("arr_amount", f"ARR {view.currency}")
        if measure == "ARR"
        else ("account_count", "Accounts")
    )
    frame.chart(
        charts.bands_over_time(history, view.bands, column, title),
        f"{title} by band over time; the table beside it has today's figures",
    )


def _trend(view: View, history: Sequence[Mapping[str, Any]], filters: Filters) -> None:
    """Is the base getting healthier?"""
    st.header("Is the base getting healthier?")
    trend = None if filters.key else view.ask(portfolio.read_base_trend)
    st.caption(
        portfolio.trend_in_words(trend)
        if trend
        else "Mean score of the accounts that match the filters."
    )
    frame.chart(
        charts.line_over_time(portfolio.means_over_time(history), "mean_score", "Mean score", None),
        "Mean health score over time",
    )


def _migrations(view: View, filters: Filters, history: Sequence[Mapping[str, Any]]) -> None:
    """From band to band."""
    st.header("Who moved between bands")
    days = st.segmented_control(
        "Compared with so many days ago",
        portfolio.MIGRATION_DAYS,
        default=COMPARED_DAYS,
        required=True,
        key="days",
        bind="query-params",
    )
    before: date | None = portfolio.nearest_before(
        history, view.pinned.as_of_date, int(days or COMPARED_DAYS)
    )
    if before is None:
        st.info(f"There are no scores of {days} days ago yet.", icon=":material/info:")
        return
    moves = portfolio.migration_table(
        view.ask(portfolio.read_migrations, filters, before), view.bands
    )
    st.caption(portfolio.moves_in_words(moves, before, view.currency))
    frame.table(
        *portfolio.moves_table(moves, before),
        "Accounts by band before and band today",
        "Nobody has a score today.",
    )
