"""Charts of app and report from one definition (Altair); the report gets them as SVG.

Rows are those of the query modules. Bands keep their order, colour and label everywhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from html import escape
from typing import Any

import altair as alt

from customer_health.dashboard.bands import Band, unknown_band
from customer_health.validation.pictures import LINE, RED, SOFT, TEXT, visible

HEIGHT = 260
_WIDTH_IN_REPORT = 640
_VARIABLES = {TEXT: "--text", SOFT: "--soft", LINE: "--line"}
BLUE = "#0072b2"
_DATES = alt.Axis(format="%b %Y", labelOverlap=True, tickCount=8)


def data(rows: Iterable[Mapping[str, Any]]) -> alt.Data:
    """Rows as data of a chart: dates as ISO text, names freed of what would vanish."""
    return alt.Data(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    if isinstance(value, date | datetime):
        return value.isoformat()
    return visible(value) if isinstance(value, str) else value


def band_scale(bands: Sequence[Band]) -> alt.Scale:
    """Labels to colours, in the order of the bands."""
    return alt.Scale(domain=[band.label for band in bands], range=[band.colour for band in bands])


def bands_over_time(
    rows: Sequence[Mapping[str, Any]], bands: Mapping[str, Band], value: str, title: str
) -> alt.Chart:
    """Areas of bands over dates, one on the other, the worst at the bottom.

    Args:
        rows: `as_of_date`, `band` and the value.
        bands: of `read_bands`.
        value: column that is stacked.
        title: of its axis, with the unit.
    """
    shown = [
        {
            "date": row["as_of_date"],
            "band": bands.get(row["band"], unknown_band(row["band"])).label,
            "rank": list(bands).index(row["band"]) if row["band"] in bands else len(bands),
            "value": row[value],
        }
        for row in rows
    ]
    return (
        alt.Chart(data(shown), height=HEIGHT)
        .mark_area(interpolate="step-after", opacity=0.9, strokeWidth=0.5, stroke="#ffffff")
        .encode(
            x=alt.X("date:T", title=None, axis=_DATES),
            y=alt.Y("value:Q", title=title, stack="zero", axis=alt.Axis(format="~s")),
            color=alt.Color(
                "band:N",
                title=None,
                scale=band_scale(list(bands.values())),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("date:T", title="Date", format="%Y-%m-%d"),
                alt.Tooltip("band:N", title="Band"),
                alt.Tooltip("value:Q", title=title, format=",.0f"),
            ],
        )
    )


def line_over_time(
    rows: Sequence[Mapping[str, Any]], value: str, title: str, domain: tuple[float, float] | None
) -> alt.Chart:
    """One line over dates, with its points to hover over.

    Args:
        rows: `as_of_date` and the value; rows without one are left out.
        value: column of the line.
        title: of its axis, with the unit.
        domain: bounds of the axis; None fits them to the values.
    """
    shown = [
        {"date": row["as_of_date"], "value": row[value]} for row in rows if row[value] is not None
    ]
    scale = alt.Scale(zero=False) if domain is None else alt.Scale(domain=list(domain))
    return (
        alt.Chart(data(shown), height=HEIGHT)
        .mark_line(color=BLUE, point=alt.OverlayMarkDef(size=12, color=BLUE))
        .encode(
            x=alt.X("date:T", title=None, axis=_DATES),
            y=alt.Y("value:Q", title=title, scale=scale),
            tooltip=[
                alt.Tooltip("date:T", title="Date", format="%Y-%m-%d"),
                alt.Tooltip("value:Q", title=title, format=",.1f"),
            ],
        )
    )


def load_over_time(rows: Sequence[Mapping[str, Any]]) -> alt.Chart:
    """Bars of new actions per week: what CSMs can work on, and what comes on top of it.

    Args:
        rows: of `customer_health.dashboard.actions.read_weeks`.
    """
    parts = (("within capacity", "within_count", BLUE), ("beyond capacity", "beyond_count", RED))
    shown = [
        {"week": row["week_start_date"], "part": part, "place": place, "count": row[column]}
        for row in rows
        for place, (part, column, _) in enumerate(parts)
    ]
    return (
        alt.Chart(data(shown), height=HEIGHT)
        .mark_bar()
        .encode(
            x=alt.X(
                "yearmonthdate(week):O",
                title="Week that begins on",
                axis=alt.Axis(format="%b %d", labelAngle=-45),
            ),
            y=alt.Y("count:Q", title="New actions for CSMs", axis=alt.Axis(tickMinStep=1)),
            color=alt.Color(
                "part:N",
                title=None,
                scale=alt.Scale(
                    domain=[part for part, _, _ in parts], range=[colour for _, _, colour in parts]
                ),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("place:Q"),
            tooltip=[
                alt.Tooltip("week:T", title="Week of", format="%Y-%m-%d"),
                alt.Tooltip("part:N", title="Part"),
                alt.Tooltip("count:Q", title="Actions", format=","),
            ],
        )
    )


# -- the report ----------------------------------------------------------------------------------
def as_svg(chart: Any, told: str) -> str:
    """A chart as an SVG element that takes the colours of its page.

    Args:
        chart: of this module.
        told: what it shows, for those who do not see it.
    """
    import vl_convert

    styled = (
        chart.properties(width=_WIDTH_IN_REPORT)
        .configure(background="transparent", font="system-ui, sans-serif")
        .configure_axis(
            labelColor=SOFT, titleColor=SOFT, gridColor=LINE, domainColor=LINE, tickColor=LINE,
            labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
        )
        .configure_legend(labelColor=TEXT, titleColor=SOFT, labelFontSize=12)
        .configure_header(labelColor=TEXT, titleColor=SOFT)
        .configure_text(color=TEXT)
        .configure_view(stroke=None)
    )  # fmt: skip
    svg = vl_convert.vegalite_to_svg(json.loads(styled.to_json()))
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' aria-[a-z]+="[^"]*"', "", svg)
    svg = re.sub(r' role="[^"]*"', "", svg)
    for colour, variable in _VARIABLES.items():
        svg = re.sub(re.escape(colour), f"var({variable})", svg, flags=re.IGNORECASE)
    head, rest = svg[: svg.index(">")], svg[svg.index(">") :]
    head = re.sub(r' (width|height|class)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(told, quote=True)}"{rest}'
