"""Pictures of the validation report: matplotlib to SVG that stands in the page itself.

An SVG has no script, no link and no font of its own: text stays text, which the browser sets (also
right to left, also emoji) in the colours of the page, light or dark. Names come from the data, so
they are shortened, freed of control characters and never read as mathematics.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

from customer_health.validation.figures import Figures, Row

# Colours that the page replaces by its own (light and dark), and their variables.
TEXT, SOFT, LINE = "#010203", "#040506", "#070809"
_VARIABLES = {TEXT: "--text", SOFT: "--soft", LINE: "--line"}
# Okabe and Ito (2008), "Color universal design": told apart also by the colour-blind; read as a
# traffic light, with blue above green.
BLUE, GREEN, AMBER, RED, PURPLE, GREY = (
    "#0072b2",
    "#009e73",
    "#e69f00",
    "#d55e00",
    "#9a5b8c",
    "#8a9099",
)
BAND_COLOURS = {"critical": RED, "at_risk": AMBER, "healthy": GREEN, "thriving": BLUE}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_SIZE = (5.0, 3.0)  # inches of 72 points: 360 x 216, a phone's width
_FONT = 9.5
# Characters that would vanish or turn text around: controls, overrides of the writing direction.
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)

Axes = Any


def visible(text: str) -> str:
    """A text without characters that vanish or turn others around."""
    return re.sub(r"[\ud800-\udfff]", "\ufffd", _UNSEEN.sub(" ", text))


def label(text: Any, length: int = 24) -> str:
    """A name as it may stand in a picture or a table: one line, visible, not too long."""
    line = " ".join(visible(str(text)).split())
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def band_label(band: Any) -> str:
    """`at_risk` -> `At risk`."""
    text = label(band).replace("_", " ")
    return text[:1].upper() + text[1:]


def band_colour(row: Row, number: int = 0) -> str:
    """Colour of a band; own bands take one by rank."""
    known = BAND_COLOURS.get(str(row.get("band")))
    if known is not None:
        return known
    rank = row.get("band_rank")
    colours = (RED, AMBER, GREEN, BLUE, PURPLE)
    return GREY if rank is None else colours[(int(rank) - 1 + number) % len(colours)]


@contextmanager
def _style(name: str) -> Any:
    """Settings of matplotlib for one picture; ids in it begin with a hash of its name."""
    from matplotlib import rc_context

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": _FONT,
        "font.family": "DejaVu Sans",
        "text.color": TEXT,
        "axes.labelcolor": SOFT,
        "axes.edgecolor": LINE,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "legend.fontsize": _FONT - 1,
    }
    with warnings.catch_warnings(), rc_context(settings):
        # the browser has the glyphs that the font of the layout lacks
        warnings.filterwarnings("ignore", message=".*missing from (current )?font.*")
        yield


def draw(
    name: str,
    told: str,
    paint: Callable[[Any], None],
    size: tuple[float, float] = _SIZE,
) -> str:
    """One picture as an SVG element.

    Args:
        name: short and unique on the page.
        told: what the picture shows, for who does not see it.
        paint: draws onto a figure of matplotlib.
        size: in inches.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _style(name):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _clean(written.getvalue(), name, told, size)


def _clean(svg: str, name: str, told: str, size: tuple[float, float]) -> str:
    """Only the drawing: no prologue, no metadata, no style sheet, no address."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    # `figure_1`, `axes_1` and the like are the same in every picture
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = svg.replace("'DejaVu Sans'", "system-ui, sans-serif")
    svg = re.sub(r"(\d\.\d\d)\d+", r"\1", svg)
    svg = svg.replace("xlink:href", "href")
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    width, height = (round(72 * each) for each in size)
    head = (
        f'<svg role="img" aria-label="{escape(told, quote=True)}" viewBox="0 0 {width} {height}" '
        'stroke-linejoin="round">'
    )
    return re.sub(r"\n\s*", "\n", head + svg[svg.index(">") + 1 :].strip())


# -- parts -------------------------------------------------------------------------------------
def _in_two(text: str) -> str:
    """A long name of two words under a bar: one above the other."""
    return text.replace(" ", "\n", 1) if len(text) > 10 else text


def _percent(axis: Any, digits: int = 0) -> None:
    """An axis of shares."""
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1, digits))


def _error_bars(rows: Sequence[Row], value: str, low: str, high: str) -> list[list[float]]:
    """Lengths below and above, 0 where there is no interval."""
    return [
        [max(row[value] - (row[low] if row[low] is not None else row[value]), 0) for row in rows],
        [max((row[high] if row[high] is not None else row[value]) - row[value], 0) for row in rows],
    ]


def _legend(axes: Axes, columns: int = 2) -> None:
    """Below the picture, where it hides nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=columns)


# -- pictures ----------------------------------------------------------------------------------
_SCORES = {
    "health_score": ("Health score", BLUE),
    "score_without_churn_risk": ("Without churn risk", GREEN),
    "equal_weights": ("Equal weights", GREY),
    "churn_probability": ("Churn probability", PURPLE),
}


def auc_by_lead(figures: Figures) -> str | None:
    """AUC of the scores by lead, with intervals of the health score."""
    rows = {key: [row for row in figures.leads(key) if row["auc"] is not None] for key in _SCORES}
    if not rows["health_score"]:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for (key, (name, colour)), marker in zip(_SCORES.items(), _MARKERS, strict=False):
            found = rows[key]
            if not found:
                continue
            leads = [row["lead_days"] for row in found]
            values = [row["auc"] for row in found]
            axes.plot(leads, values, marker=marker, color=colour, label=name, linewidth=1.6)
            if key == "health_score":
                axes.errorbar(
                    leads,
                    values,
                    yerr=_error_bars(found, "auc", "auc_low", "auc_high"),
                    fmt="none",
                    ecolor=colour,
                    capsize=3,
                )
        axes.axhline(0.5, color=SOFT, linewidth=1, linestyle=":")
        axes.text(0.99, 0.505, "chance", color=SOFT, ha="right", va="bottom",
                  transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_xticks([row["lead_days"] for row in rows["health_score"]])
        axes.set(xlabel="Days of lead", ylabel="AUC")
        axes.set_ylim(bottom=min(0.45, axes.get_ylim()[0]), top=1.0)
        _legend(axes)

    return draw("auc-by-lead", "AUC by days of lead", paint)


def lift_bars(figures: Figures) -> str | None:
    """Lift in the riskiest 10% and 20%, of the scores."""
    found = [
        (name, colour, row)
        for key, (name, colour) in _SCORES.items()
        if (row := figures.predictor(key)).get("lift_at_10_percent") is not None
    ]
    if not found:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        shares = ("lift_at_10_percent", "lift_at_20_percent")
        width = 0.8 / len(found)
        for number, (name, colour, row) in enumerate(found):
            places = [place + (number - (len(found) - 1) / 2) * width for place in range(2)]
            values = [row[share] or 0 for share in shares]
            bars = axes.bar(places, values, width * 0.9, color=colour, label=name)
            axes.bar_label(bars, fmt="%.1f", color=TEXT, fontsize=_FONT - 1)
        axes.axhline(1, color=SOFT, linewidth=1, linestyle=":")
        axes.set_xticks([0, 1], ["lowest 10%", "lowest 20%"])
        axes.set_ylabel("times the base rate")
        axes.grid(visible=False, axis="x")
        _legend(axes)

    return draw("lift", "Lift among the lowest scores", paint)


def retention_by_band(rows: Sequence[Row]) -> str | None:
    """Share of account-months that stayed, by band, with Wilson intervals."""
    rows = [row for row in rows if row["rate"] is not None]
    if not rows:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        kept = [
            {"kept": 1 - row["rate"], "low": 1 - row["rate_high"], "high": 1 - row["rate_low"]}
            for row in rows
        ]
        places = range(len(rows))
        axes.bar(
            places, [row["kept"] for row in kept], 0.62, color=[band_colour(row) for row in rows]
        )
        axes.errorbar(
            places,
            [row["kept"] for row in kept],
            yerr=_error_bars(kept, "kept", "low", "high"),
            fmt="none",
            ecolor=TEXT,
            capsize=4,
        )
        lowest = min(row["low"] for row in kept)
        axes.set_ylim(max(0.0, lowest - (1 - lowest) * 0.6), 1.0)
        axes.set_xticks(
            list(places),
            [
                f"{_in_two(band_label(row['band']))}\n{one['kept']:.1%}\nn={row['observation_count']:,}"
                for row, one in zip(rows, kept, strict=True)
            ],
        )
        axes.grid(visible=False, axis="x")
        _percent(axes.yaxis)
        axes.set_ylabel("stayed")

    return draw("retention", "Retention by band with 95% intervals", paint)


def survival_by_band(figures: Figures) -> str | None:
    """Kaplan-Meier curves with intervals; each ends with its name."""
    bands: dict[str, list[Row]] = {}
    for row in figures.parts.get("survival", []):
        if row["survival"] is not None:
            bands.setdefault(str(row["band"]), []).append(row)
    if not bands:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        for number, (band, rows) in enumerate(bands.items()):
            rows.sort(key=lambda row: row["duration_days"])
            days = [0, *(row["duration_days"] for row in rows)]
            values = [1.0, *(row["survival"] for row in rows)]
            colour = band_colour(rows[0])
            axes.step(days, values, where="post", color=colour, linewidth=1.8,
                      linestyle=("-", "--", "-.", ":")[number % 4],
                      label=band_label(band))  # fmt: skip
            known = [row for row in rows if row["survival_low"] is not None]
            if known:
                axes.fill_between(
                    [row["duration_days"] for row in known],
                    [row["survival_low"] for row in known],
                    [row["survival_high"] for row in known],
                    step="post",
                    color=colour,
                    alpha=0.12,
                    linewidth=0,
                )
        axes.set(xlabel="Days since the account entered the band", ylabel="still a customer")
        _percent(axes.yaxis)
        _legend(axes, 4)

    return draw("survival", "Survival by band", paint)


def reliability(rows: Sequence[Row]) -> str | None:
    """Predicted against observed, with intervals."""
    rows = [row for row in rows if None not in (row["mean_predicted"], row["observed_rate"])]
    if not rows:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        most = max(max(row["mean_predicted"], row["observed_high"] or 0) for row in rows) * 1.05
        axes.plot([0, most], [0, most], color=SOFT, linestyle=":", linewidth=1)
        axes.errorbar(
            [row["mean_predicted"] for row in rows],
            [row["observed_rate"] for row in rows],
            yerr=_error_bars(rows, "observed_rate", "observed_low", "observed_high"),
            fmt="o",
            color=BLUE,
            ecolor=GREY,
            capsize=3,
        )
        axes.set(xlabel="Predicted probability of churn", ylabel="Observed")
        axes.set_xlim(0, most)
        axes.set_ylim(0, most)
        _percent(axes.xaxis, 1 if most < 0.1 else 0)
        _percent(axes.yaxis, 1 if most < 0.1 else 0)

    return draw("reliability", "Reliability: predicted against observed churn", paint)


def metric_dots(rows: Sequence[Row]) -> str | None:
    """AUC of each metric alone, with intervals; the size of a dot is its weight."""
    rows = [row for row in rows if row["auc"] is not None][::-1]
    if not rows:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        places = list(range(len(rows)))
        axes.axvline(0.5, color=SOFT, linestyle=":", linewidth=1)
        axes.errorbar(
            [row["auc"] for row in rows],
            places,
            xerr=_error_bars(rows, "auc", "auc_low", "auc_high"),
            fmt="none",
            ecolor=GREY,
            capsize=2,
        )
        most = max((row["weight"] or 0) for row in rows) or 1
        axes.scatter(
            [row["auc"] for row in rows],
            places,
            s=[16 + 90 * (row["weight"] or 0) / most for row in rows],
            color=BLUE,
            zorder=3,
        )
        axes.set_yticks(places, [label(row["metric_key"]) for row in rows])
        axes.set_xlabel("AUC alone (a larger dot: more weight)")

    return draw("metrics", "AUC of each metric alone", paint, (5.0, 1.1 + 0.24 * len(rows)))


def metric_cohorts(figures: Figures, keys: Sequence[str]) -> str | None:
    """Churn by tenth of a metric's values, small and side by side."""
    found = {
        key: [row for row in figures.rows("metric_cohorts", metric_key=key)
              if row["churn_rate"] is not None]
        for key in keys
    }  # fmt: skip
    found = {key: rows for key, rows in found.items() if rows}
    if not found:
        return None
    lines = (len(found) + 1) // 2

    def paint(figure: Any) -> None:
        panels = list(figure.subplots(lines, 2, sharey=True, squeeze=False).flat)
        for panel in panels:
            panel.set_visible(False)
        for panel, (key, rows) in zip(panels, found.items(), strict=False):
            panel.set_visible(True)
            panel.errorbar(
                [row["cohort"] for row in rows],
                [row["churn_rate"] for row in rows],
                yerr=_error_bars(rows, "churn_rate", "rate_low", "rate_high"),
                marker="o",
                markersize=4,
                color=BLUE,
                ecolor=GREY,
                capsize=2,
                linewidth=1.2,
            )
            panel.set_title(label(key), fontsize=_FONT, loc="left")
            _percent(panel.yaxis)
            panel.set_xticks(sorted({rows[0]["cohort"], rows[-1]["cohort"]}), None)
        figure.supxlabel("Cohort by value, lowest to highest", fontsize=_FONT - 1, color=SOFT)
        figure.supylabel("churned", fontsize=_FONT - 1, color=SOFT)

    return draw("cohorts", "Churn by metric cohort", paint, (5.0, 0.6 + 1.55 * lines))


def base_over_time(figures: Figures) -> str | None:
    """Mean score, and ARR by band, week by week."""
    rows = figures.parts.get("portfolio", [])
    whole = [row for row in rows if row["band"] == "all" and row["mean_health_score"] is not None]
    if len(whole) < 2:
        return None
    bands = [band for band in ("critical", "at_risk", "healthy", "thriving")]
    bands += sorted({str(row["band"]) for row in rows} - {*bands, "all"})

    def paint(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.4))
        dates = [row["as_of_date"] for row in whole]
        above.plot(dates, [row["mean_health_score"] for row in whole], color=BLUE, linewidth=1.8)
        above.set_ylabel("mean score")
        amounts = {(row["as_of_date"], row["band"]): row["arr_amount"] or 0 for row in rows}
        stacked = [
            [amounts.get((day, band), 0) / 1e6 for day in dates]
            for band in bands
        ]  # fmt: skip
        shown = [number for number, values in enumerate(stacked) if any(values)]
        if shown:
            below.stackplot(
                dates,
                *[stacked[number] for number in shown],
                colors=[BAND_COLOURS.get(bands[number], GREY) for number in shown],
                labels=[band_label(bands[number]) for number in shown],
                linewidth=0,
            )
        below.set_ylabel("ARR in millions")
        _date_axis(below)
        _legend(below, 3)

    return draw("base", "Mean score and ARR by band over time", paint, (5.0, 4.2))


def stability(rows: Sequence[Row]) -> str | None:
    """PSI per month against its limit, and rank correlation with a week earlier."""
    if len([row for row in rows if row["psi"] is not None]) < 2:
        return None

    def paint(figure: Any) -> None:
        above, below = figure.subplots(2, 1, sharex=True)
        known = [row for row in rows if row["psi"] is not None]
        dates = [row["as_of_date"] for row in known]
        above.plot(dates, [row["psi"] for row in known], color=BLUE, marker="o", markersize=3)
        limits = [row for row in known if row["psi_critical"] is not None]
        above.plot(
            [row["as_of_date"] for row in limits],
            [row["psi_critical"] for row in limits],
            color=RED,
            linestyle="--",
            linewidth=1.2,
        )
        above.set_title("Shift of the scores (PSI); dashed: limit", fontsize=_FONT, loc="left")
        above.set_ylim(bottom=0)
        ranked = [row for row in rows if row["rank_correlation_7_days"] is not None]
        below.plot(
            [row["as_of_date"] for row in ranked],
            [row["rank_correlation_7_days"] for row in ranked],
            color=GREEN,
            marker="s",
            markersize=3,
        )
        below.set_title("Rank correlation with 7 days earlier", fontsize=_FONT, loc="left")
        below.set_ylim(top=1.005)
        _date_axis(below)

    return draw("stability", "Stability of the scores by month", paint, (5.0, 3.6))


def auc_by_group(rows: Sequence[Row], kind: str) -> str | None:
    """AUC by segment or plan, with intervals."""
    rows = [row for row in rows if row["auc"] is not None][:12][::-1]
    if not rows:
        return None

    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        places = list(range(len(rows)))
        axes.axvline(0.5, color=SOFT, linestyle=":", linewidth=1)
        axes.errorbar(
            [row["auc"] for row in rows],
            places,
            xerr=_error_bars(rows, "auc", "auc_low", "auc_high"),
            fmt="o",
            color=BLUE,
            ecolor=GREY,
            capsize=3,
        )
        axes.set_yticks(places, [label(row["slice_value"]) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("AUC")

    return draw(f"by-{kind}", f"AUC by {kind}", paint, (5.0, 1.0 + 0.3 * len(rows)))


def _date_axis(axes: Axes) -> None:
    """Months, as few as are needed."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=6)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def all_pictures(figures: Figures, cohort_keys: Sequence[str]) -> dict[str, str]:
    """Name -> SVG of every picture for which there are figures."""
    churned = figures.in_slice("band_outcomes", is_headline=True, outcome="churn")
    calibrated = figures.in_slice("calibration", horizon_days=figures.probability_days)
    grouped = {
        kind: figures.rows(
            "discrimination",
            predictor_kind="score",
            predictor_key="health_score",
            is_headline=True,
            slice_kind=kind,
        )
        for kind in ("segment", "plan")
    }
    found = {
        "auc_by_lead": auc_by_lead(figures),
        "lift": lift_bars(figures),
        "retention": retention_by_band(churned),
        "survival": survival_by_band(figures),
        "reliability": reliability(calibrated),
        "metrics": metric_dots(figures.parts.get("metrics", [])),
        "cohorts": metric_cohorts(figures, cohort_keys),
        "base": base_over_time(figures),
        "stability": stability(figures.parts.get("stability", [])),
        "segment": auc_by_group(grouped["segment"], "segment"),
        "plan": auc_by_group(grouped["plan"], "plan"),
    }
    return {name: svg for name, svg in found.items() if svg is not None}
