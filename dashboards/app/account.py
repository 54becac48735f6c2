"""Account: why does it have this score, what changed, what is missing, and what to do?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import frame
import streamlit as st
from frame import View
from markupsafe import Markup

from customer_health import explain
from customer_health.dashboard import account as accounts
from customer_health.dashboard import html, portfolio
from customer_health.dashboard.html import Column
from customer_health.explain import Explanation
from customer_health.validation.report import money, number, share

EVENTS_SHOWN = 8
COMPARED_DAYS = 28
_EMPTY = Markup("&nbsp;")
Trend = Sequence[Mapping[str, Any]]


def show(view: View) -> None:
    """Draw the page."""
    left, right = st.columns((3, 1))
    typed = left.text_input(
        "Account (name or id)",
        key="account",
        bind="query-params",
        placeholder="For example a part of its name",
        max_chars=300,
    )
    # PostgreSQL takes no null character, which an address can hold.
    text = (typed or "").replace("\x00", "").strip()
    if not text:
        _start(view)
        return
    meant = view.ask(explain.match_accounts, text)
    if len(meant) == 1:
        _account(view, meant[0], right)
    else:
        _matches(view, text)


# -- which account -------------------------------------------------------------------------------
def _start(view: View) -> None:
    """What to do where no account is asked for."""
    st.info(
        "Type the name or the id of an account above, or a part of it.",
        icon=":material/search:",
    )
    st.subheader("Most ARR at risk today")
    frame.table(
        (*_FOUND, Column(f"At risk {view.currency}", is_number=True)),
        [
            (*_found(view, row), money(row["arr_at_risk_amount"]))
            for row in view.ask(accounts.read_riskiest)
        ],
        "Accounts with most ARR at risk",
        "No account of today has both ARR and a churn probability.",
    )


def _matches(view: View, text: str) -> None:
    """Accounts to choose from, or that there are none."""
    rows = view.ask(accounts.read_matches, text)
    if not rows:
        st.warning(
            "No account has this in its name or id. Type a shorter part of it, or empty the field "
            "for the accounts with most ARR at risk.",
            icon=":material/search_off:",
        )
        return
    st.subheader("Which account?")
    more = len(rows) > accounts.MATCHES
    st.caption(
        f"The first {accounts.MATCHES} accounts that match, those with most ARR first: type more "
        "of the name to see others."
        if more
        else f"{len(rows)} accounts match." if len(rows) > 1 else "One account matches."
    )  # fmt: skip
    frame.table(
        _FOUND,
        [_found(view, row) for row in rows[: accounts.MATCHES]],
        "Accounts that match",
        "",
    )


_FOUND = (
    Column("Account"),
    Column("Id"),
    Column("Segment"),
    Column("Stage"),
    Column("Band"),
    Column("Score", is_number=True),
    Column("ARR", is_number=True),
)


def _found(view: View, row: Mapping[str, Any]) -> list[Any]:
    return [
        html.account_link(row["account_id"], row["account_name"]),
        html.name(row["account_id"], 24),
        None if row["segment"] is None else html.name(row["segment"], 24),
        explain.in_words(row["lifecycle_stage"] or "unknown"),
        html.badge(view.band(row["band"])) if row["band"] else None,
        row["health_score"],
        money(row["arr_amount"]),
    ]


# -- the account ---------------------------------------------------------------------------------
def _account(view: View, account_id: str, beside: Any) -> None:
    """All about one account."""
    trend = view.ask(accounts.read_trend, account_id)
    found = view.ask(explain.explain_from, account_id, _as_of(trend, beside))
    name = found.account["account_name"] or account_id
    frame.place(
        Markup('<h2 class="ch-title">{}</h2><p class="ch-facts">{}</p>').format(
            html.name(name, 80), _facts(found)
        )
    )
    standing = view.ask(accounts.read_standing, account_id)
    if found.score is None or found.as_of is None:
        st.info(explain.no_score_in_words(found), icon=":material/info:")
        _tiles_without_score(found)
        _actions(found)
        _contacts(view, account_id)
        _history(view, account_id)
        return
    newest = found.as_of == found.account["as_of_date"]
    _standing(found, standing, newest)
    _headline(view, found, newest)
    _incident(view, found)
    _trend(view, trend)
    _points(found)
    _changes(view, found, trend)
    _missing(found)
    if newest:
        _actions(found)
        if not found.account["is_frozen"]:
            _path(view, found)
            _contacts(view, account_id)
    else:
        st.subheader("What to do")
        st.info(
            "Actions, paths and contacts are those of today: choose the newest date above.",
            icon=":material/event:",
        )
    _history(view, account_id)


def _as_of(trend: Trend, beside: Any) -> date | None:
    """The date that is asked for; None where the account was never scored."""
    dates = {f"{row['as_of_date']}": row["as_of_date"] for row in reversed(trend)}
    if not dates:
        return None
    chosen = beside.selectbox("As of", list(dates), key="as_of", bind="query-params")
    return dates.get(chosen or "") or trend[-1]["as_of_date"]


def _facts(found: Explanation) -> Markup:
    """Id, segment, plan, region, stage, CSM and parent in one line."""
    account = found.account
    # The last score of an account that has left still has the stage before.
    is_past = found.score is not None and found.as_of != account["as_of_date"]
    dated = found.score if found.score and (is_past or not account["is_frozen"]) else account
    stage = dated["lifecycle_stage"]
    parent = account["parent_account_id"]
    return html.joined(
        (
            html.name(account["account_id"]),
            html.name(account["segment"]) if account["segment"] else None,
            Markup("plan {}").format(html.name(account["plan"])) if account["plan"] else None,
            html.name(account["region"]) if account["region"] else None,
            f"stage {explain.in_words(stage)}" if stage else None,
            Markup("CSM {}").format(html.name(account["csm_id"]))
            if account["csm_id"]
            else "no CSM",
            Markup("child of {}").format(html.account_link(parent, None)) if parent else None,
        )
    )


def _standing(found: Explanation, standing: Mapping[str, Any], newest: bool) -> None:
    """That the account has left, or that the date is a past one."""
    if found.account["is_frozen"]:
        left = f"It left on {standing['churn_date']}. " if standing["churn_date"] else ""
        st.warning(
            f"This account is not scored any more. {left}Its last score is of "
            f"{found.account['as_of_date']} and stays as it was.",
            icon=":material/ac_unit:",
        )
    if not newest:
        st.info(
            f"These are the scores of {found.as_of}. The newest ones are of "
            f"{found.account['as_of_date']}.",
            icon=":material/history:",
        )


def _headline(view: View, found: Explanation, newest: bool) -> None:
    """Score, band and why, change, churn, renewal, ARR, coverage."""
    score, earlier = found.score, found.earlier
    assert score is not None
    change = None
    if earlier and earlier["health_score"] is not None and score["health_score"] is not None:
        change = Markup("{} since {}").format(
            html.signed(score["health_score"] - earlier["health_score"]), earlier["as_of_date"]
        )
    since = (
        f"since {score['band_since_date']}, {accounts.days(score['days_in_band'])}"
        if score["band_since_date"]
        else None
    )
    renewal = score["renewal_date"]
    frame.place(
        html.tiles(
            (
                ("Health score", score["health_score"], change or "of 100"),
                ("Band", html.badge(view.band(score["band"])), since),
                ("Churn in 90 days", share(score["churn_probability"], 1), "probability"),
                (
                    f"ARR {found.account['currency_code'] or ''}".strip(),
                    money(score["arr_amount"]),
                    None,
                ),
                (
                    "Renewal",
                    portfolio.renewal_in_words((renewal - score["as_of_date"]).days)
                    if renewal
                    else None,
                    renewal or "no date known",
                ),
                (
                    "Coverage",
                    share(score["coverage"]),
                    _bounds(score),
                ),
            )
        )
    )
    connected = score["connected_weight"]
    frame.place(
        html.listed(
            (
                Markup("<strong>Band</strong>: {}").format(html.cell(explain.band_in_words(found))),
                Markup("<strong>Churn</strong>: {}").format(
                    html.cell(explain.churn_in_words(found))
                ),
                Markup("<strong>Coverage</strong>: {}").format(explain.coverage_in_words(score)),
                *(
                    [f"{share(connected)} of the scorecard's weight has a source here"]
                    if connected is not None and connected < 0.9995
                    else []
                ),
                *(
                    Markup("<strong>Also</strong>: {}").format(line)
                    for line in (explain.other_scores(found.account) if newest else [])
                ),
                Markup("Scorecard {}, policy {}").format(
                    html.cell(score["scorecard_key"]), html.cell(score["scoring_version"])
                ),
            )
        )
    )


def _bounds(score: Mapping[str, Any]) -> str | None:
    """Between what the score lies, whatever the unknown metrics are."""
    low, high = score["score_low"], score["score_high"]
    if low is None:
        return None
    return f"score between {low:.1f} and {high:.1f}" if low < high else "of the weight is known"


def _tiles_without_score(found: Explanation) -> None:
    """What is known of an account that was never scored."""
    account = found.account
    figures = [
        (label, round(account[column]), "of 100")
        for label, column in (
            ("Conversion score", "conversion_score"),
            ("Onboarding score", "onboarding_score"),
            ("Expansion score", "expansion_score"),
        )
        if account[column] is not None
    ]
    if account["arr_amount"] is not None:
        figures.append((f"ARR {account['currency_code'] or ''}", money(account["arr_amount"]), ""))
    if figures:
        frame.place(html.tiles(figures))


def _incident(view: View, found: Explanation) -> None:
    """That values are held because the data are to blame."""
    held = [row for row in found.metrics if row["is_data_incident"]]
    if not held:
        return
    assert found.as_of is not None
    incidents = {
        row["metric_key"]: row
        for row in view.ask(accounts.read_incidents, found.account["segment"], found.as_of)
    }
    st.warning(
        "Data incident: values of most accounts of the segment dropped on the same day, so the "
        "last good ones count.",
        icon=":material/report:",
    )
    frame.place(html.listed(_held(row, incidents.get(row["metric_key"])) for row in held))


def _held(row: Mapping[str, Any], incident: Mapping[str, Any] | None) -> Markup:
    """A metric whose value is held, and since when."""
    label = row["metric_label"] or explain.in_words(row["metric_key"])
    if incident is None:
        return html.cell(label)
    since = incident["last_good_date"]
    return html.cell(
        f"{label}: {incident['dropped_account_count']:,} of {incident['account_count']:,} "
        "accounts dropped" + (f"; the value of {since} counts" if since else "")
    )


def _trend(view: View, trend: Trend) -> None:
    """The score over time."""
    st.subheader("Score over time")
    if not any(row["health_score"] is not None for row in trend):
        st.info("No date has a score yet: too little is known.", icon=":material/info:")
        return
    st.caption(
        "Background: the band of the account. Ticks at the bottom: dates that were published; "
        "dashed lines: a new policy."
    )
    published = view.ask(
        accounts.read_publications, trend[0]["as_of_date"], trend[-1]["as_of_date"]
    )
    frame.chart(
        accounts.trend_chart(trend, published, view.bands),
        accounts.trend_told(trend),
    )
    happened = accounts.events(trend, view.bands)
    if happened:
        rest = len(happened) - EVENTS_SHOWN
        frame.place(
            html.listed(
                [
                    *(f"{event.day}: {event.text}" for event in happened[:EVENTS_SHOWN]),
                    *([f"and {rest:,} earlier"] if rest > 0 else []),
                ]
            )
        )


def _points(found: Explanation) -> None:
    """How the points add up to the score."""
    score = found.score
    assert score is not None
    st.subheader("How the points add up")
    if not found.metrics:
        st.info(explain.NOT_KEPT, icon=":material/event_busy:")
        return
    rows = accounts.point_rows(found)
    total = accounts.sum_of_points(rows)
    if total is not None:
        st.caption(
            f"Blue: points; pale: what a full score would add. The sum is {total:.2f}, shown as "
            f"{score['health_score']}."
        )
        frame.chart(accounts.points_chart(rows, total), accounts.points_told(rows, total))
    else:
        st.caption("Too little is known for a score: the values below do not count yet.")
    frame.table(
        (
            Column("Metric", is_text=True),
            Column("Value", is_number=True),
            Column("Score 0–10", is_number=True),
            Column("Weight", is_number=True),
            Column("Points", is_number=True),
            Column("Most", is_number=True),
            Column("Age", is_number=True),
            Column("n", is_number=True),
        ),
        [
            *(_point_row(row, found.account["currency_code"]) for row in rows),
            *([_sum_row(rows, total, score["health_score"])] if total is not None else []),
        ],
        "Metrics, their values, scores and points",
        explain.NOT_KEPT,
    )
    st.caption(
        "Score × weight × 10 = points. The weight of what is missing went to the rest. "
        "Age in days; n: how many things the value counts."
    )


def _point_row(row: accounts.PointRow, currency: str | None) -> list[Any]:
    """A row of the table of points."""
    figures = [
        None if row.score is None else number(row.score, 1),
        None if row.weight is None else share(row.weight, 1),
        None if row.points is None else number(row.points),
        None if row.most is None else number(row.most),
    ]
    if row.metric is None:
        bold = [None if text is None else Markup("<strong>{}</strong>").format(text)
                for text in (html.cell(row.label), *figures)]  # fmt: skip
        return [bold[0], _EMPTY, *bold[1:], _EMPTY, _EMPTY]
    metric = row.metric
    known = metric["value_state"] in explain.KNOWN_STATES
    value = (
        explain.format_value(metric["metric_value"], metric["unit"], currency)
        if known
        else explain.in_words(metric["value_state"])
    )
    if metric["is_data_incident"]:
        reported = explain.format_value(metric["reported_value"], metric["unit"], currency)
        value = f"{value} (held; reported {reported})"
    return [
        html.name(row.label, 90),
        value,
        *figures,
        metric["value_age_days"],
        _whole(metric["sample_size"]),
    ]


def _sum_row(rows: Sequence[accounts.PointRow], total: float, score: int) -> list[Any]:
    """The last row of the table of points."""
    most = sum(row.most or 0.0 for row in rows if row.is_category)
    weight = sum(row.weight or 0.0 for row in rows if row.is_category)
    figures = ("Score", score, _EMPTY, share(weight), number(total), number(most))
    return [
        *(Markup("<strong>{}</strong>").format(figure) for figure in figures),
        _EMPTY,
        _EMPTY,
    ]


def _whole(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}"


def _changes(view: View, found: Explanation, trend: Trend) -> None:
    """What moved the score."""
    score = found.score
    assert score is not None and found.as_of is not None
    st.subheader("What changed")
    lags = accounts.lags_of(trend, found.as_of)
    if score["health_score"] is None or not lags:
        st.info(
            "There is no earlier score to compare with: none of "
            f"{', '.join(map(str, accounts.LAGS[:-1]))} or {accounts.LAGS[-1]} days before.",
            icon=":material/info:",
        )
        return
    choices = [str(lag) for lag in lags]
    lag = st.segmented_control(
        "Compared with so many days before",
        choices,
        default=f"{COMPARED_DAYS}" if COMPARED_DAYS in lags else choices[0],
        required=True,
        key="lag",
        bind="query-params",
    )
    changes, earlier = view.ask(
        explain.read_changes, found.account["account_id"], found.as_of, lag or choices[0]
    )
    if earlier is None or earlier["health_score_exact"] is None:
        st.info("There is no score of that date to compare with.", icon=":material/info:")
        return
    exact = score["health_score_exact"] - earlier["health_score_exact"]
    frame.place(
        Markup('<p class="ch-facts">{} {} on {} → {} {} on {}: {} before rounding</p>').format(
            earlier["health_score"],
            html.badge(view.band(earlier["band"])),
            earlier["as_of_date"],
            score["health_score"],
            html.badge(view.band(score["band"])),
            score["as_of_date"],
            html.signed(exact, 2, " points"),
        )
    )
    if not changes and abs(exact) >= 0.005:
        st.info(
            "What moved the score then is not kept any more, or was never written.",
            icon=":material/event_busy:",
        )
        return
    frame.table(
        (
            Column("Driver", is_text=True),
            Column("Behaviour", is_number=True),
            Column("Absence", is_number=True),
            Column("Policy", is_number=True),
            Column("Change", is_number=True),
        ),
        _change_rows(found, changes) if changes else [],
        "What moved the score",
        "Nothing moved the score between these dates.",
    )
    if changes:
        st.caption(
            "Behaviour: the customer's values changed. Absence: a value came or went. Policy: we "
            "score differently."
        )


def _change_rows(found: Explanation, changes: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Drivers and their sum; the shown points of each column add up."""
    labels = {row["metric_key"]: row["metric_label"] for row in found.metrics}
    columns = [
        explain.rounded_points(
            [row[column] or 0.0 for row in changes], sum(row[column] or 0.0 for row in changes)
        )
        for column in ("behaviour_points", "absence_points", "policy_points", "change_points")
    ]
    rows: list[list[Any]] = [
        [
            explain.driver_in_words(row, labels.get(row["metric_key"])),
            *(html.signed(column[place], 2) for column in columns),
        ]
        for place, row in enumerate(changes)
    ]
    sums = (html.signed(sum(column), 2) for column in columns)
    rows.append([Markup("<strong>{}</strong>").format(cell) for cell in ("Sum", *sums)])
    return rows


def _missing(found: Explanation) -> None:
    """What has no value and why, and how old the others are."""
    if not found.metrics:
        return
    st.subheader("What is missing, and how old is the rest")
    missing = [row for row in found.metrics if row["value_state"] not in explain.KNOWN_STATES]
    if missing:
        frame.table(
            (
                Column("Metric", is_text=True),
                Column("State"),
                Column("What it means", is_text=True),
            ),
            [
                (
                    html.name(row["metric_label"] or explain.in_words(row["metric_key"]), 90),
                    html.mark(
                        "warn" if row["value_state"] == "unknown" else "unknown",
                        "!" if row["value_state"] == "unknown" else "–",
                        explain.in_words(row["value_state"]),
                    ),
                    explain.STATE_IN_WORDS.get(row["value_state"]),
                )
                for row in missing
            ],
            "Metrics without a value",
            "",
        )
    old = accounts.oldest(found.metrics)
    ages = ", ".join(
        f"{row['metric_label'] or explain.in_words(row['metric_key'])} "
        f"({accounts.days(row['value_age_days'])})"
        for row in old
    )
    frame.place(
        html.listed(
            [
                *([] if missing else ["Nothing is missing: every metric has a value."]),
                f"Oldest values that count: {ages}."
                if old
                else "Every value that counts is of the same day.",
            ]
        )
    )


def _actions(found: Explanation) -> None:
    """What is open for this account."""
    st.subheader("What to do")
    frame.table(
        (
            Column("Action", is_text=True),
            Column("Due"),
            Column("Owner"),
            Column("Still true"),
            Column("Why", is_text=True),
        ),
        [_action_row(row, found.account["as_of_date"]) for row in found.actions],
        "Open actions",
        "Nothing is open for this account.",
    )


_STILL = {
    True: html.mark("good", "✓", "yes"),
    False: html.mark("unknown", "–", "no longer"),
    None: html.mark("unknown", "?", "not known"),
}


def _action_row(row: Mapping[str, Any], today: date | None) -> list[Any]:
    due = row["due_date"]
    late = today is not None and due is not None and due < today
    return [
        Markup("<strong>{}</strong> <small>{}, {}</small>").format(
            html.cell(row["action_text"]),
            explain.in_words(row["state"]),
            f"since {row['fired_on']}",
        ),
        html.mark("bad", "!", f"{due}, overdue") if late else html.day(due),
        html.name(row["owner_id"] or row["owner_role"] or "nobody", 24),
        _STILL[row["is_still_true"]],
        row["why_text"],
    ]


def _path(view: View, found: Explanation) -> None:
    """The fewest metrics that lead to the next band."""
    st.subheader("Cheapest path to the next band")
    following = view.ask(accounts.read_next_band, found.account["account_id"])
    if following is None:
        best = max((band.rank or 0 for band in view.bands.values()), default=0)
        band = view.band(found.score["band"] if found.score else None)
        st.info(
            "The account is in the best band already."
            if band.rank == best
            else "Without a score there is no path: look at what is missing.",
            icon=":material/info:",
        )
        return
    frame.place(
        html.listed(
            accounts.path_in_words(following, bool(found.path and found.path[0]["is_reachable"]))
        )
    )
    if not found.path:
        return
    frame.table(
        (
            Column("Metric", is_text=True),
            Column("Score now", is_number=True),
            Column("Score needed", is_number=True),
            Column("Points to win", is_number=True),
            Column("Playbook"),
        ),
        [
            (
                html.name(row["metric_label"], 90),
                number(row["metric_score"], 1),
                number(row["needed_metric_score"], 1),
                number(row["lost_points"], 1),
                explain.in_words(row["playbook_key"]) if row["playbook_key"] else None,
            )
            for row in found.path
        ],
        "Metrics on the path",
        "",
    )


def _contacts(view: View, account_id: str) -> None:
    """People by their ids, and whether much hangs on one."""
    st.subheader("Contacts and champions")
    champions = view.ask(accounts.read_champions, account_id)
    if champions is not None:
        frame.place(html.listed(accounts.champions_in_words(champions)))
    count = view.ask(accounts.count_people, account_id)
    page = frame.pages_of(count, accounts.PEOPLE_ROWS, "people")
    frame.table(
        (
            Column("Contact"),
            Column("User"),
            Column("Role"),
            Column("Here"),
            Column("Events, 28 days", is_number=True),
            Column("Active days", is_number=True),
            Column("Share of use", is_number=True),
            Column("Contacts, 90 days", is_number=True),
            Column("Last contact", is_number=True),
        ),
        [_person(row) for row in view.ask(accounts.read_people, account_id, page)],
        "Contacts and users",
        "No contact of the CRM and no active user is known. Connect crm_contacts and product "
        "usage to see people here.",
    )


def _person(row: Mapping[str, Any]) -> list[Any]:
    return [
        html.name(row["contact_id"], 24) if row["contact_id"] else None,
        html.name(row["user_id"], 24) if row["user_id"] else None,
        html.name(row["role"], 24) if row["role"] else None,
        html.mark("warn", "!", "left") if row["has_left"] else html.mark("good", "✓", "yes"),
        f"{row['event_count_28_days']:,}",
        f"{row['active_days_28_days']:,}",
        share(row["usage_share"]),
        f"{row['two_way_contact_count_90_days']:,}",
        row["last_contact_on"],
    ]


def _history(view: View, account_id: str) -> None:
    """What readers saw, publication by publication."""
    count = view.ask(accounts.count_history, account_id)
    if count is None:
        return
    st.subheader("What was published")
    st.caption("A row for each change of what readers saw; the publications between say the same.")
    page = frame.pages_of(count, accounts.HISTORY_ROWS, "history")
    frame.table(
        (
            Column("Scores of"),
            Column("Score", is_number=True),
            Column("Band"),
            Column("Why", is_text=True),
            Column("Policy"),
            Column("Published, UTC"),
            Column("Until, UTC"),
            Column("Publication"),
        ),
        [
            (
                row["as_of_date"],
                row["health_score"],
                html.badge(view.band(row["band"])),
                accounts.REASONS.get(row["band_reason"], row["band_reason"]),
                row["scoring_version"],
                f"{row['published_at']:%Y-%m-%d %H:%M}",
                f"{row['replaced_at']:%Y-%m-%d %H:%M}" if row["replaced_at"] else "now",
                html.name(row["publication_id"], 40),
            )
            for row in view.ask(accounts.read_history, account_id, page)
        ],
        "What was published of this account",
        "Nothing of this account was published with a score.",
    )
