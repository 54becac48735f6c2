"""One account: what its page shows beyond `customer_health.explain`, and the charts of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import Any

import altair as alt

from customer_health.dashboard import charts
from customer_health.dashboard.bands import Band, unknown_band
from customer_health.explain import (
    KNOWN_STATES,
    Explanation,
    in_words,
    shown_points,
    used_weights,
)
from customer_health.validation.pictures import PURPLE
from customer_health.warehouses import Reader

MATCHES = 20
RISKIEST = 5
LAGS = (7, 28, 91)
PEOPLE_ROWS = 10
HISTORY_ROWS = 10
OLDEST = 5
HISTORY = "snap_health__account_scores"
REASONS = {
    "score": "by its score",
    "held": "held: the score has to stay clear of the edge first",
    "insufficient_data": "too little is known for a score",
    "knockout": "capped by a knock-out rule",
    "override": "set by a CSM",
}
# Marks of the trend: (band_reason or incident, name, shape).
_SCORE = "Score"
_MARKS = {
    "knockout": ("Knock-out", "triangle-down"),
    "override": ("Override", "diamond"),
    "incident": ("Data incident", "cross"),
}
# Tells on light and on dark pages, and is the colour of no band.
_INK = "#6b7280"
_TREND_HEIGHT = 340
_ROW_HEIGHT = 34


# -- reading -------------------------------------------------------------------------------------
def read_matches(reader: Reader, text: str) -> list[dict[str, Any]]:
    """Accounts whose id or name contains a text, in any case; one more than are shown.

    Returns:
        account_id, account_name, segment, band, health_score, arr_amount; customers of today with
        most ARR first.
    """
    return reader.records(
        f"""
        select
            account_id,
            account_name,
            segment,
            lifecycle_stage,
            band,
            health_score,
            arr_amount
        from {{marts}}.bi_health__account_360
        where
            position(lower(?) in lower(account_id)) > 0
            or position(lower(?) in lower(account_name)) > 0
        order by
            case when is_frozen then 1 else 0 end,
            arr_amount desc nulls last,
            account_id
        limit {MATCHES + 1}
        """,
        [text, text],
    )


def read_riskiest(reader: Reader) -> list[dict[str, Any]]:
    """The accounts of today with most ARR at risk (ARR times the probability of churn)."""
    return reader.records(
        f"""
        select
            account_id,
            account_name,
            segment,
            lifecycle_stage,
            band,
            health_score,
            arr_amount,
            arr_amount * churn_probability as arr_at_risk_amount
        from {{marts}}.bi_health__account_360_current
        where
            not is_frozen
            and arr_amount is not null
            and churn_probability is not null
        order by arr_at_risk_amount desc, account_id
        limit {RISKIEST}
        """
    )


def read_standing(reader: Reader, account_id: str) -> dict[str, Any]:
    """Of one account: churn_date (None: has not left) and has_data_incident, as of today."""
    return reader.records(
        """
        select
            churn_date,
            has_data_incident
        from {marts}.bi_health__account_360
        where account_id = ?
        """,
        [account_id],
    )[0]


def read_trend(reader: Reader, account_id: str) -> list[dict[str, Any]]:
    """The scores of an account on all dates, the oldest first."""
    return reader.records(
        """
        select
            as_of_date,
            scoring_version,
            health_score,
            health_score_exact,
            band,
            band_reason,
            band_note,
            has_data_incident
        from {marts}.fct_health__account_scores
        where account_id = ?
        order by as_of_date
        """,
        [account_id],
    )


def read_publications(reader: Reader, first: date, last: date) -> list[dict[str, Any]]:
    """Dates of scores that were published, first to last, and how often each was.

    Returns:
        as_of_date, publication_count, publication_id (the last one of the date).
    """
    return reader.records(
        """
        select
            as_of_date,
            count(*) as publication_count,
            max(publication_id) as publication_id
        from {marts}.fct_health__publications
        where as_of_date between ? and ?
        group by as_of_date
        order by as_of_date
        """,
        [first, last],
    )


def read_incidents(reader: Reader, segment: str | None, day: date) -> list[dict[str, Any]]:
    """Data incidents of a segment on a date (fct_health__data_incidents)."""
    return reader.records(
        """
        select
            metric_key,
            metric_label,
            incident_kind,
            account_count,
            dropped_account_count,
            dropped_share,
            last_good_date
        from {marts}.fct_health__data_incidents
        where as_of_date = ? and segment = ?
        order by dropped_account_count desc, metric_key
        """,
        [day, segment or ""],
    )


def read_next_band(reader: Reader, account_id: str) -> dict[str, Any] | None:
    """How far the next band is, of act_health__band_paths; None in the best one.

    Returns:
        next_band_label, missing_points (0: the score is there already), band_exception.
    """
    rows = reader.records(
        """
        select
            next_band_label,
            missing_points,
            band_exception
        from {marts}.act_health__band_paths
        where account_id = ?
        order by path_rank
        limit 1
        """,
        [account_id],
    )
    return rows[0] if rows else None


def read_champions(reader: Reader, account_id: str) -> dict[str, Any] | None:
    """The row of act_health__champions; None for an account that is not scored today."""
    rows = reader.records(
        "select * from {marts}.act_health__champions where account_id = ?", [account_id]
    )
    return rows[0] if rows else None


def count_people(reader: Reader, account_id: str) -> int:
    """Contacts and users of an account."""
    rows = reader.rows(
        "select count(*) from {marts}.act_health__people where account_id = ?", [account_id]
    )
    return int(rows[0][0])


def read_people(reader: Reader, account_id: str, page: int = 1) -> list[dict[str, Any]]:
    """A page of the contacts and users of an account, by their ids.

    Champions come first, then those who are there, by use and by contact.
    """
    return reader.records(
        f"""
        select
            contact_id,
            user_id,
            role,
            has_left,
            event_count_28_days,
            active_days_28_days,
            usage_share,
            two_way_contact_count_90_days,
            last_contact_on
        from {{marts}}.act_health__people
        where account_id = ?
        order by
            case when role = 'champion' then 0 else 1 end,
            case when has_left then 1 else 0 end,
            usage_rank,
            contact_rank,
            contact_id,
            user_id
        limit {PEOPLE_ROWS} offset {(int(page) - 1) * PEOPLE_ROWS}
        """,
        [account_id],
    )


_PUBLISHED = """
    from {snapshots}.snap_health__account_scores as stays
    inner join {marts}.fct_health__publications as publications
        on stays.publication_id = publications.publication_id
    where stays.account_id = ?
"""


def count_history(reader: Reader, account_id: str) -> int | None:
    """Rows of `read_history`; None where readers have no history of what was published."""
    if not reader.has(HISTORY):
        return None
    return int(reader.rows(f"select count(*) {_PUBLISHED}", [account_id])[0][0])


def read_history(reader: Reader, account_id: str, page: int = 1) -> list[dict[str, Any]]:
    """A page of what readers saw of an account, a row per change, the newest first.

    Returns:
        publication_id, published_at (UTC), as_of_date, scoring_version, health_score, band,
        band_reason, replaced_at (UTC; None: is what readers see).
    """
    return reader.records(
        f"""
        select
            stays.publication_id,
            publications.published_at,
            stays.as_of_date,
            stays.scoring_version,
            stays.health_score,
            stays.band,
            stays.band_reason,
            stays.dbt_valid_to as replaced_at
        {_PUBLISHED}
        order by stays.dbt_valid_from desc, stays.publication_id desc
        limit {HISTORY_ROWS} offset {(int(page) - 1) * HISTORY_ROWS}
        """,
        [account_id],
    )


# -- from rows to figures ------------------------------------------------------------------------
@dataclass(frozen=True)
class PointRow:
    """A category, or a metric of it, in the sum of points.

    Attributes:
        label: of the metric, or of the category.
        is_category: whether it sums up the metrics that follow.
        metric: row of the metric; None for a category.
        score: 0-10; None where nothing is known.
        weight: share of the score that it decides, 0-1; None where it decides nothing.
        points: rounded so that those of all metrics add up to the score.
        start: sum of the points before it.
        most: points that a score of 10 would bring.
    """

    label: str
    is_category: bool
    metric: Mapping[str, Any] | None
    score: float | None
    weight: float | None
    points: float | None
    start: float
    most: float | None


def point_rows(explanation: Explanation) -> list[PointRow]:
    """Categories, each followed by its metrics, as they add up to the score."""
    assert explanation.score is not None
    weights = used_weights(explanation.metrics)
    points = shown_points(explanation.score, explanation.metrics)
    found = []
    start = 0.0
    for category, grouped in groupby(explanation.metrics, key=lambda row: row["category_key"]):
        metrics = list(grouped)
        weight = sum(weights.get(row["metric_key"], 0.0) for row in metrics)
        of_category = [points[row["metric_key"]] for row in metrics if row["metric_key"] in points]
        found.append(
            PointRow(
                label=in_words(category).capitalize(),
                is_category=True,
                metric=None,
                score=metrics[0]["category_score"],
                weight=weight or None,
                points=round(sum(of_category), 2) if of_category else None,
                start=start,
                most=100 * weight if of_category else None,
            )
        )
        for row in metrics:
            key = row["metric_key"]
            gained = points.get(key)
            found.append(
                PointRow(
                    label=row["metric_label"] or in_words(key),
                    is_category=False,
                    metric=row,
                    score=row["metric_score"],
                    weight=weights.get(key),
                    points=gained,
                    start=start,
                    most=None if gained is None else 100 * weights[key],
                )
            )
            start = round(start + (gained or 0.0), 2)
    return found


def sum_of_points(rows: Sequence[PointRow]) -> float | None:
    """The points of all metrics together; None where there is no score."""
    points = [row.points for row in rows if not row.is_category and row.points is not None]
    return round(sum(points), 2) if points else None


def oldest(metrics: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Metrics that count with the oldest values, of a day at least, the oldest first."""
    aged = [row for row in metrics if row["value_state"] in KNOWN_STATES and row["value_age_days"]]
    return sorted(aged, key=lambda row: -row["value_age_days"])[:OLDEST]


def lags_of(trend: Sequence[Mapping[str, Any]], day: date) -> list[int]:
    """Days before a date that have a score to compare with."""
    dates = {row["as_of_date"] for row in trend if row["health_score"] is not None}
    return [lag for lag in LAGS if day - timedelta(days=lag) in dates]


def kinds_of(row: Mapping[str, Any]) -> list[str]:
    """What is special about a row of the trend: knockout, override, incident."""
    kinds = [row["band_reason"]] if row["band_reason"] in _MARKS else []
    return [*kinds, "incident"] if row["has_data_incident"] else kinds


@dataclass(frozen=True)
class Event:
    """Something that happened to the score: the date, and what in words."""

    day: date
    text: str


def events(trend: Sequence[Mapping[str, Any]], bands: Mapping[str, Band]) -> list[Event]:
    """Changes of band and policy, knock-outs, overrides and incidents, the newest first."""

    def label(row: Mapping[str, Any]) -> str:
        return bands.get(row["band"], unknown_band(row["band"])).label

    found = []
    for before, row in pairwise(trend):
        day = row["as_of_date"]
        if row["scoring_version"] != before["scoring_version"]:
            found.append(
                Event(day, f"policy {before['scoring_version']} → {row['scoring_version']}")
            )
        if row["band"] != before["band"]:
            found.append(Event(day, f"{label(before)} → {label(row)}"))
    for kind, (name, _) in _MARKS.items():
        for is_so, grouped in groupby(trend, key=lambda row, kind=kind: kind in kinds_of(row)):  # type: ignore[misc]
            rows = list(grouped)
            if is_so:
                first, last = rows[0]["as_of_date"], rows[-1]["as_of_date"]
                until = f" until {last}" if last > first else ""
                why = (
                    f": {rows[0]['band_note']}"
                    if kind != "incident" and rows[0]["band_note"]
                    else ""
                )
                found.append(Event(first, f"{name}{until}{why}"))
    return sorted(found, key=lambda event: event.day, reverse=True)


def champions_in_words(row: Mapping[str, Any]) -> list[str]:
    """The row of act_health__champions as sentences."""
    said = []
    if row["has_champion"]:
        silent = row["champion_silent_days"]
        count = row["champion_count"]
        who = "One champion" if count == 1 else f"{count:,} champions"
        contact = (
            "no two-way contact is known" if silent is None
            else f"last two-way contact {days(silent)} ago"
        )  # fmt: skip
        said.append(f"{who}; {contact}.")
    elif row["champion_left_on"]:
        said.append(f"No champion: the last one left on {row['champion_left_on']}.")
    else:
        said.append("No champion is known.")
    people = row["contacted_people_count_90_days"]
    said.append(
        f"Two-way contact with {people:,} {'person' if people == 1 else 'people'} in 90 days"
        + (": the relationship hangs on one person at most." if row["is_single_threaded"] else ".")
    )
    users = row["active_user_count_28_days"]
    top = row["top_user_share"]
    said.append(
        f"{users:,} active {'user' if users == 1 else 'users'} in 28 days"
        + ("" if top is None else f"; the most active one makes {top:.0%} of the use")
        + (": use hangs on one person." if row["is_use_concentrated"] else ".")
    )
    return said


def path_in_words(following: Mapping[str, Any], is_reachable: bool) -> list[str]:
    """The row of `read_next_band` as sentences.

    Args:
        following: the next band.
        is_reachable: whether all metrics together bring the points that are missing.
    """
    band, missing = following["next_band_label"], following["missing_points"]
    if missing > 0:
        reach = "" if is_reachable else "; all metrics together do not bring so many"
        said = [f"{missing:.1f} points are missing to {band}, margin included{reach}."]
    else:
        said = [f"The score is beyond the edge of {band} already."]
        if not following["band_exception"]:
            said.append("The band follows when the score stays there for some days.")
    if following["band_exception"]:
        said.append(f"Points alone do not change the band now: {following['band_exception']}.")
    return said


def days(number: int) -> str:
    """`1 day`, `12 days`."""
    return f"{number:,} day" if number == 1 else f"{number:,} days"


# -- charts --------------------------------------------------------------------------------------
def trend_chart(
    trend: Sequence[Mapping[str, Any]],
    publications: Sequence[Mapping[str, Any]],
    bands: Mapping[str, Band],
) -> Any:
    """The score over time on the bands that the account was in, with marks.

    Args:
        trend: of `read_trend`, at least one row.
        publications: of `read_publications`.
        bands: of `read_bands`.
    """
    first, last = trend[0]["as_of_date"], trend[-1]["as_of_date"]
    x = alt.X(
        "date:T",
        title=None,
        scale=alt.Scale(domain=[f"{first}", f"{last}"], nice=False),
        axis=alt.Axis(format="%Y-%m-%d", tickCount=6, labelOverlap=True),
    )
    y = alt.Y("score:Q", title="Score", scale=alt.Scale(domain=[0, 100]))
    stays = _stays(trend, bands)
    named = [band for band in bands.values() if any(stay["band"] == band.label for stay in stays)]
    background = (
        alt.Chart(charts.data(stays))
        .mark_rect(opacity=0.22)
        .encode(
            x=x,
            x2="until:T",
            y=alt.value(0),
            y2=alt.value("height"),
            color=alt.Color(
                "band:N",
                title=None,
                scale=charts.band_scale(named),
                legend=alt.Legend(orient="top", columns=2, symbolOpacity=0.6),
            ),
            tooltip=[
                alt.Tooltip("band:N", title="Band"),
                alt.Tooltip("date:T", title="From", format="%Y-%m-%d"),
                alt.Tooltip("until:T", title="To", format="%Y-%m-%d"),
            ],
        )
    )
    wide = [stay for stay in stays if stay["share"] >= 0.18]
    names = (
        alt.Chart(charts.data(wide))
        .mark_text(align="left", baseline="top", dx=4, color=_INK, fontSize=11)
        .encode(x=alt.X("date:T"), y=alt.value(4), text="band:N")
    )
    shown = [
        {
            "date": row["as_of_date"],
            "score": row["health_score_exact"],
            "whole": row["health_score"],
            "band": bands.get(row["band"], unknown_band(row["band"])).label,
            "why": REASONS.get(row["band_reason"], in_words(row["band_reason"] or "")),
            "mark": (", ".join(_MARKS[kind][0] for kind in kinds_of(row)[:1]) or _SCORE),
        }
        for row in trend
        if row["health_score_exact"] is not None
    ]
    line = alt.Chart(charts.data(shown)).mark_line(color=_INK, strokeWidth=2).encode(x=x, y=y)
    marks = [
        (_SCORE, "circle"),
        *(mark for mark in _MARKS.values() if any(row["mark"] == mark[0] for row in shown)),
    ]
    points = (
        alt.Chart(charts.data(shown))
        .mark_point(filled=True, color=_INK, opacity=1)
        .encode(
            x=x,
            y=y,
            shape=alt.Shape(
                "mark:N",
                title=None,
                scale=alt.Scale(
                    domain=[name for name, _ in marks], range=[shape for _, shape in marks]
                ),
                legend=alt.Legend(orient="bottom", symbolFillColor=_INK, symbolStrokeColor=_INK),
            ),
            size=alt.condition(alt.datum.mark == _SCORE, alt.value(18), alt.value(50)),
            tooltip=[
                alt.Tooltip("date:T", title="Date", format="%Y-%m-%d"),
                alt.Tooltip("whole:Q", title="Score"),
                alt.Tooltip("band:N", title="Band"),
                alt.Tooltip("why:N", title="Why"),
            ],
        )
    )
    ticks = (
        alt.Chart(
            charts.data(
                {
                    "date": row["as_of_date"],
                    "publication": row["publication_id"],
                    "count": row["publication_count"],
                }
                for row in publications
            )
        )
        .mark_tick(orient="vertical", size=12, thickness=2, color=_INK, yOffset=-6)
        .encode(
            x=alt.X("date:T"),
            y=alt.value("height"),
            tooltip=[
                alt.Tooltip("date:T", title="Published scores of", format="%Y-%m-%d"),
                alt.Tooltip("publication:N", title="Publication"),
                alt.Tooltip("count:Q", title="Publications of the date"),
            ],
        )
    )
    changes = [
        {"date": row["as_of_date"], "policy": f"policy {row['scoring_version']}"}
        for before, row in pairwise(trend)
        if row["scoring_version"] != before["scoring_version"]
    ]
    policy = alt.Chart(charts.data(changes)).encode(
        x=alt.X("date:T"), tooltip=[alt.Tooltip("policy:N", title="From here")]
    )
    rules = policy.mark_rule(color=PURPLE, strokeDash=[5, 3], strokeWidth=2)
    rule_names = policy.mark_text(align="left", dx=4, dy=-24, color=PURPLE, fontSize=11).encode(
        y=alt.value("height"), text="policy:N"
    )
    layers = (background, names, rules, rule_names, line, points, ticks)
    return alt.layer(*layers).properties(height=_TREND_HEIGHT)


def _stays(trend: Sequence[Mapping[str, Any]], bands: Mapping[str, Band]) -> list[dict[str, Any]]:
    """Stays in a band: date, until, label and share of the time that is shown."""
    first, last = trend[0]["as_of_date"], trend[-1]["as_of_date"]
    whole = max((last - first).days, 1)
    runs = [list(rows) for _, rows in groupby(trend, key=lambda row: row["band"])]
    ends = [run[0]["as_of_date"] for run in runs[1:]] + [max(last, first + timedelta(days=1))]
    return [
        {
            "date": run[0]["as_of_date"],
            "until": end,
            "band": bands.get(run[0]["band"], unknown_band(run[0]["band"])).label,
            "share": (end - run[0]["as_of_date"]).days / whole,
        }
        for run, end in zip(runs, ends, strict=True)
    ]


def trend_told(trend: Sequence[Mapping[str, Any]]) -> str:
    """The trend in a sentence, for those who do not see it."""
    scored = [row for row in trend if row["health_score"] is not None]
    if not scored:
        return "No date has a score."
    low = min(scored, key=lambda row: row["health_score"])
    high = max(scored, key=lambda row: row["health_score"])
    first, last = scored[0], scored[-1]
    return (
        f"Health score over time: {first['health_score']} on {first['as_of_date']}, "
        f"{last['health_score']} on {last['as_of_date']}; lowest {low['health_score']} on "
        f"{low['as_of_date']}, highest {high['health_score']} on {high['as_of_date']}. "
        "The list below has what happened."
    )


def points_chart(rows: Sequence[PointRow], total: float) -> Any:
    """A waterfall: each metric begins where the one before ends, and the last bar is the score.

    Args:
        rows: of `point_rows`.
        total: their sum.
    """
    scored = [row for row in rows if row.points is not None]
    shown = [
        {
            "order": place,
            "label": row.label,
            "kind": "category" if row.is_category else "metric",
            "start": row.start,
            "end": row.start + (row.points or 0.0),
            "most": row.start + (row.most or 0.0),
            "points": f"{row.points:.2f} of {row.most:.2f}",
        }
        for place, row in enumerate(scored)
    ]
    shown.append(
        {
            "order": len(shown), "label": "Score", "kind": "sum", "start": 0.0, "end": total,
            "most": total, "points": f"{total:.2f} of 100",
        }
    )  # fmt: skip
    height = _ROW_HEIGHT * len(shown)
    base = alt.Chart(charts.data(shown), height=height).encode(
        y=alt.Y("order:O", axis=None),
        tooltip=[alt.Tooltip("label:N", title=" "), alt.Tooltip("points:N", title="Points")],
    )
    x = alt.X("start:Q", title="Points", scale=alt.Scale(domain=[0, 100]))
    # The label stands above its bar, so that a phone has the whole width for both.
    below = 8
    lost = (
        base.transform_filter(alt.datum.kind == "metric")
        .mark_bar(color=_INK, opacity=0.25, size=10, yOffset=below)
        .encode(x=x, x2="most:Q")
    )
    bars = base.mark_bar(yOffset=below).encode(
        x=x,
        x2="end:Q",
        size=alt.condition(alt.datum.kind == "category", alt.value(4), alt.value(10)),
        color=alt.condition(alt.datum.kind == "metric", alt.value(charts.BLUE), alt.value(_INK)),
    )
    is_metric = alt.datum.kind == "metric"
    room = alt.ExprRef("width - 95")  # beside the number
    text: dict[str, Any] = {"baseline": "middle", "dy": -7, "color": _INK}
    label = base.encode(x=alt.value(0), text="label:N")
    number = base.encode(x=alt.value("width"), text="points:N")
    return alt.layer(
        lost,
        bars,
        label.transform_filter(is_metric).mark_text(align="left", dx=12, limit=room, **text),
        label.transform_filter(alt.datum.kind != "metric").mark_text(
            align="left", limit=room, fontWeight="bold", **text
        ),
        number.transform_filter(is_metric).mark_text(align="right", **text),
        number.transform_filter(alt.datum.kind != "metric").mark_text(
            align="right", fontWeight="bold", **text
        ),
    )


def points_told(rows: Sequence[PointRow], total: float) -> str:
    """The waterfall in a sentence, for those who do not see it."""
    parts = ", ".join(
        f"{row.label} {row.points:.2f} of {row.most:.2f}"
        for row in rows
        if row.is_category and row.points is not None
    )
    return f"Points by category: {parts}; together {total:.2f}. The table below has every metric."
