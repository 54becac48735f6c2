"""The report: one verdict in words, and what it rests on. The terminal and the page tell the same.

Nothing is computed here but words; every number is one of a validation mart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table as RichTable
from rich.text import Text

from customer_health.gate_report import count
from customer_health.validation import baseline
from customer_health.validation.figures import (
    Figures,
    Row,
    false_greens,
    limit,
    survival_at,
)
from customer_health.validation.leak_tests import LeakTest
from customer_health.validation.pictures import band_label, label, visible

# Verdict: icon, words, class of the page, colour of the terminal. Told by all of them.
VERDICTS = {
    "usable": ("✓", "usable", "good", "green"),
    "weak": ("!", "weak", "warn", "yellow"),
    "no_usable_signal": ("✕", "no usable signal", "bad", "red"),
    "not_enough_outcomes": ("?", "not enough outcomes", "unknown", "blue"),
    "suspicious": ("✕", "suspicious", "bad", "red"),
}
MARKS = {
    "passed": ("✓", "passed", "good", "green"),
    "failed": ("✕", "failed", "bad", "red"),
    "skipped": ("?", "not run", "unknown", "blue"),
}
NONE = "–"
_SCORES = {
    "health_score": "Health score",
    "score_without_churn_risk": "Without churn risk",
    "equal_weights": "Equal weights",
    "churn_probability": "Churn probability",
}
_MOST_GROUPS = 12
_SHOWN_METRICS = 8
_COHORT_PICTURES = 6


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Attributes:
        headings: of the columns.
        rows: cells as text; the first `words` columns are words, the others numbers.
        narrow: columns that fit on a terminal of 80 columns; None for all.
    """

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    words: int = 1
    narrow: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Section:
    """One part of the report.

    Attributes:
        key: name, also of the folded part of the page.
        title: what it is about.
        says: sentences that tell what the figures say.
        pictures: names of `pictures.all_pictures`.
        tables: what the page shows; the terminal shows the first `on_terminal` of them.
    """

    key: str
    title: str
    says: list[str] = field(default_factory=list)
    pictures: tuple[str, ...] = ()
    tables: list[Table] = field(default_factory=list)
    on_terminal: int = 0


@dataclass(frozen=True)
class Verdict:
    """The verdict after the leak tests.

    Attributes:
        key: one of VERDICTS.
        words: `usable`, `suspicious: …`.
        sentence: the figures behind it.
        plain: one sentence for whoever looks after customers.
    """

    key: str
    words: str
    sentence: str
    plain: str

    @property
    def is_suspicious(self) -> bool:
        """Whether the figures must not be believed: `validate` exits 1."""
        return self.key == "suspicious"

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "key": self.key,
            "words": self.words,
            "sentence": self.sentence,
            "plain": self.plain,
        }


@dataclass(frozen=True)
class Report:
    """Everything that is told."""

    figures: Figures
    leak_tests: list[LeakTest]
    verdict: Verdict
    compared: list[baseline.Compared] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """All figures, as JSON types."""
        figures = self.figures
        return {
            "verdict": self.verdict.to_dict(),
            "source": figures.source,
            "publication_id": figures.publication_id,
            "as_of_date": figures.as_of_date,
            "scoring_version": figures.scoring_version,
            "scorecard_key": figures.scorecard_key,
            "leak_tests": [each.to_dict() for each in self.leak_tests],
            "guarded": baseline.guarded(figures),
            "against": [each.to_dict() for each in self.compared],
            "limits": figures.limits,
            "not_said": limits_in_words(self),
            "missing_marts": figures.missing,
            "marts": figures.parts,
        }


# -- numbers in words --------------------------------------------------------------------------
def number(value: float | None, digits: int = 2) -> str:
    """`0.78`, or a dash."""
    return NONE if value is None else f"{value:,.{digits}f}"


def share(value: float | None, digits: int = 0) -> str:
    """`41%`, or a dash."""
    return NONE if value is None else f"{value:.{digits}%}"


def whole(value: float | None) -> str:
    """`5,234`, or a dash."""
    return NONE if value is None else f"{value:,.0f}"


def between(row: Row, low: str, high: str, tell: Callable[[float | None], str] = number) -> str:
    """`0.71–0.86`, `15–37%`, `-3.99 to 6.01`, or a dash."""
    if row.get(low) is None or row.get(high) is None:
        return NONE
    first, last = tell(row[low]), tell(row[high])
    if first.startswith("-"):
        return f"{first} to {last}"
    return f"{first.removesuffix('%')}–{last}"


def _share1(value: float | None) -> str:
    return share(value, 1)


def money(value: float | None) -> str:
    """`4.9 M`, `610 k`, `950`; in the reporting currency."""
    if value is None:
        return NONE
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:,.1f}{unit}"
    return f"{value:,.0f}"


# -- verdict -----------------------------------------------------------------------------------
def judge(figures: Figures, leak_tests: Sequence[LeakTest]) -> Verdict:
    """The verdict of the mart, unless a leak test says otherwise.

    An AUC above `suspicious_auc` is believed only when tests 1 to 3 ran and passed.
    """
    row = figures.verdict
    key = row.get("verdict_key") or "not_enough_outcomes"
    sentence = row.get("verdict") or _not_enough(figures)
    plain = _plain(figures, key)
    failed = [test for test in leak_tests if test.status == "failed"]
    if failed:
        found = "; ".join(f"leak test {test.number} failed: {test.finding}" for test in failed)
        only_travel = [test.number for test in failed] == [2]
        return Verdict(
            "suspicious",
            f"suspicious: {found}",
            f"By the marts alone: {sentence}",
            _NOT_REPEATED if only_travel else _WARNED,
        )
    if key == "suspicious":
        told = sentence.removeprefix("Suspicious: ")
        return Verdict(key, f"suspicious: {told}", sentence, _WARNED)
    waiting = [test for test in leak_tests if test.number <= 3 and test.status != "passed"]
    if row.get("needs_leak_tests") and waiting:
        numbers = ", ".join(str(test.number) for test in waiting)
        why = (
            f"an AUC of {number(row.get('auc'))} is above "
            f"{number(limit(figures, 'suspicious_auc'))} and has to survive the leak "
            f"tests, of which {numbers} did not run"
        )
        return Verdict(
            "suspicious", f"suspicious: {why}", f"By the marts alone: {sentence}", _WARNED
        )
    return Verdict(key, VERDICTS[key][1], sentence, plain)


_WARNED = (
    "Do not use these figures: the score seems to know what nobody could have known when it was "
    "made, so it would do worse on the accounts of today."
)


_NOT_REPEATED = (
    "A date of the past cannot be scored again as it was: before you use these figures, find out "
    "whether data were corrected since, or the score reads what is only known now."
)


def _not_enough(figures: Figures) -> str:
    """The sentence where the mart has no row: nothing could be observed yet."""
    row = figures.headline
    return (
        f"Not enough outcomes: {row.get('churner_count') or 0} churners among "
        f"{count(row.get('account_count') or 0, 'account')} that were followed to the end of the "
        "window."
    )


def _plain(figures: Figures, key: str) -> str:
    """What it means for whoever looks after customers."""
    row = figures.headline
    horizon = row.get("horizon_days", 60)
    if key == "not_enough_outcomes":
        fewest = limit(figures, "fewest_churners")
        return (
            f"Too few customers have left for a verdict: {fewest:.0f} are needed, "
            f"{row.get('churner_count') or 0} have; until then use the score to look at accounts, "
            "not to promise anything."
        )
    recall, lift = row.get("recall_at_capacity"), row.get("lift_at_10_percent")
    capacity = limit(figures, "capacity_share")
    if recall is None or lift is None:
        return "The score was compared with who left; the figures below say how well it ranks."
    caught = (
        f"Of 100 customers who left within {horizon} days, {100 * recall:.0f} were among the "
        f"{capacity:.0%} with the lowest scores"
    )
    if key == "no_usable_signal":
        return f"{caught}, hardly more than by chance: do not set priorities by this score yet."
    if key == "weak":
        return f"{caught}: better than chance, but have a person look before acting on it."
    return f"{caught}, {lift:.1f} times as many as by chance: work on the lowest scores first."


# -- sections ----------------------------------------------------------------------------------
def sections(report: Report) -> list[Section]:
    """All parts that have figures, in the order in which they are read."""
    figures = report.figures
    found = [
        _ranking(figures),
        _bands(figures),
        _warnings(figures),
        _calibration(figures),
        _metrics(figures),
        _groups(figures),
        _base(figures),
        _stability(figures),
        _challengers(figures),
        _baseline(report),
    ]
    return [section for section in found if section is not None]


def facts(figures: Figures) -> list[tuple[str, str]]:
    """What was looked at."""
    row = figures.headline
    slice_value = "out of time" if row.get("slice_value") == "out_of_time" else "all dates"
    window = (
        f"churn within {row['horizon_days']} days, {slice_value}" if row else "no window observed"
    )
    read = figures.publication_id or figures.source
    return [
        ("Scores", f"version {figures.scoring_version}, scorecard {figures.scorecard_key}"),
        ("As of", figures.as_of_date.isoformat()),
        ("Outcome", window),
        (
            "Observed",
            f"{count(row.get('observation_count') or 0, 'account-month')} of "
            f"{count(row.get('account_count') or 0, 'account')}, "
            f"{row.get('churner_count') or 0:,} churned",
        ),
        ("Base rate", share(row.get("base_rate"), 1)),
        ("Read", read),
    ]


def _ranking(figures: Figures) -> Section | None:
    if not figures.headline:
        return None
    rows = []
    for key, name in _SCORES.items():
        row = figures.predictor(key)
        if row:
            rows.append(
                (
                    name,
                    number(row["auc"]),
                    between(row, "auc_low", "auc_high"),
                    number(row["lift_at_10_percent"], 1),
                    number(row["lift_at_20_percent"], 1),
                    share(row["recall_at_capacity"]),
                    share(row["arr_recall_at_capacity"]),
                    whole(row["observation_count"]),
                    share(row["base_rate"], 1),
                )
            )
    headings = ("", "AUC", "95% interval", "Lift 10%", "Lift 20%", "Recall", "ARR recall", "n",
                "Base rate")  # fmt: skip
    leads = figures.leads()
    by_lead = Table(
        ("Days of lead", *(str(row["lead_days"]) for row in leads)),
        [
            (name, *(number(row["auc"]) for row in found))
            for key, name in _SCORES.items()
            if (found := figures.leads(key))
        ],
    )
    capacity = limit(figures, "capacity_share")
    says = [
        "An AUC of 0.50 and a lift of 1.0 are what chance gives; recall is taken among the "
        f"{capacity:.0%} with the lowest scores.",
    ]
    stratified = figures.verdict.get("auc_plan_stratified")
    if stratified is not None:
        says.append(
            f"Compared within plans only, so that account size does not help: AUC "
            f"{number(stratified)}."
        )
    tables = [Table(headings, rows, narrow=(0, 1, 2, 3, 4, 5, 6))]
    if leads:
        tables.append(by_lead)
    return Section("ranking", "Does it rank?", says, ("auc_by_lead", "lift"), tables, on_terminal=2)


def _bands(figures: Figures) -> Section | None:
    rows = figures.in_slice("band_outcomes", is_headline=True, outcome="churn")
    if not rows:
        return None
    survival = survival_at(figures)
    days = sorted({day for found in survival.values() for day in found})
    renewed = {
        row["band"]: row
        for row in figures.in_slice("band_outcomes", is_headline=True, outcome="renewal")
    }
    table = Table(
        (
            "Band", "n", "Churned", "Stayed", "95% interval",
            *(f"{day} d" for day in days), "Renewed", "ARR churned",
        ),
        [
            (
                band_label(row["band"]),
                whole(row["observation_count"]),
                whole(row["outcome_count"]),
                share(None if row["rate"] is None else 1 - row["rate"], 1),
                _kept(row),
                *(_survived(survival.get(str(row["band"]), {}).get(day)) for day in days),
                share(renewed.get(row["band"], {}).get("rate"), 1),
                money(row["outcome_arr_amount"]),
            )
            for row in rows
        ],
        narrow=tuple(range(5 + len(days))),
    )  # fmt: skip
    order = (figures.in_slice("band_order", is_headline=True) or [{}])[0]
    told = {
        "monotone": "Each better band keeps more customers.",
        "not_monotone": "The bands are out of order beyond their intervals: a better band loses "
        "more customers than a worse one.",
        "not_distinguishable": "Bands are out of order somewhere, and the intervals overlap: not "
        "distinguishable.",
        "trend": "Bands are out of order somewhere within their intervals; over all of them a "
        "better band keeps more customers.",
        "not_enough_outcomes": "Too few churned to say whether the bands are in order.",
    }.get(order.get("verdict_key", ""))
    says = [told] if told else []
    recall = baseline.critical_recall(figures)
    if recall is not None:
        says.append(f"Of the account-months that ended in churn, {recall:.0%} were Critical.")
    if days:
        says.append("Days: share still customers so long after entering the band (Kaplan-Meier).")
    return Section(
        "bands", "Retention by band", says, ("retention", "survival"), [table], on_terminal=1
    )


def _kept(row: Row) -> str:
    """The interval of what stayed."""
    if row["rate_low"] is None or row["rate_high"] is None:
        return NONE
    kept = {"low": 1 - row["rate_high"], "high": 1 - row["rate_low"]}
    return between(kept, "low", "high", _share1)


def _survived(row: Row | None) -> str:
    return NONE if row is None else share(row["survival"])


def _warnings(figures: Figures) -> Section | None:
    rows = figures.in_slice("warning_summary")
    if not rows:
        return None
    row = rows[0]
    most, good = limit(figures, "most_false_green_share"), limit(figures, "good_lead_days")
    says = []
    if row["false_green_share"] is None:
        says.append(
            f"{count(row['judged_count'] or 0, 'churned account')} had a score shortly before: not "
            "enough for a share of false greens."
        )
    else:
        is_good = row["false_green_share"] <= most
        says.append(
            f"{row['false_green_count']:,} of {row['judged_count']:,} churned accounts looked well "
            f"{limit(figures, 'false_green_to_days'):.0f}-"
            f"{limit(figures, 'false_green_from_days'):.0f} days before: "
            f"{share(row['false_green_share'])} "
            f"({between(row, 'share_low', 'share_high', share)}), "
            f"{'within' if is_good else 'above'} the {most:.0%} that count as good."
        )
    if row["median_lead_days"] is not None:
        verdict = "at least" if row["median_lead_days"] >= good else "less than"
        says.append(
            f"{row['warned_count']:,} of {row['churner_count']:,} were warned of; the median "
            f"warning came {row['median_lead_days']:.0f} days ahead, {verdict} the {good:.0f} that "
            "count as good."
        )
    if row.get("other_below_healthy_share") is not None:
        says.append(
            f"The price: {share(row['other_below_healthy_share'])} of the others are below Healthy "
            "as well."
        )
    listed = false_greens(figures)
    table = Table(
        ("False green", "Name", "Segment", "Plan", "Left on", "Score before", "ARR", "Warning",
         "Days ahead"),
        [
            (
                label(each["account_id"], 40),
                label(figures.names.get(each["account_id"]) or NONE, 60),
                label(each["segment"], 40),
                label(each["plan"], 40),
                str(each["churn_date"]),
                f"{whole(each['score_before'])} {band_label(each['band_before'])}",
                money(each["arr_amount"]),
                band_label(each["warning_kind"]),
                whole(each["lead_days"]),
            )
            for each in listed
        ],
        words=4,
    )  # fmt: skip
    return Section("warnings", "Warnings in time", says, (), [table] if listed else [])


def _calibration(figures: Figures) -> Section | None:
    horizon = figures.probability_days
    rows = figures.in_slice("calibration_summary", horizon_days=horizon)
    if not rows:
        return None
    row = rows[0]
    method = label(row.get("churn_probability_method") or "unknown").replace("_", " ")
    if row["brier_skill"] is None:
        says = ["Not enough outcomes to judge the churn probabilities."]
    else:
        least = limit(figures, "least_brier_skill")
        low, high = (
            limit(figures, "least_calibration_slope"),
            limit(figures, "most_calibration_slope"),
        )
        says_more = row["brier_skill"] > least
        says = [
            f"Probabilities come from the {method}: mean {share(row['mean_predicted'], 1)}, "
            f"observed within {horizon} days {share(row['base_rate'], 1)}.",
            f"Brier skill {number(row['brier_skill'], 3)}: they say "
            f"{'more' if says_more else 'no more'} than the base rate (from {number(least)}).",
        ]
        if row["slope"] is not None:
            within = low <= row["slope"] <= high
            says.append(
                f"Slope {number(row['slope'])}"
                + (
                    f" ({between(row, 'slope_low', 'slope_high')})"
                    if row.get("slope_low") is not None
                    else ""
                )
                + f", {'within' if within else 'outside'} {number(low)} to {number(high)}."
            )
    bins = figures.in_slice("calibration", horizon_days=horizon)
    table = Table(
        ("Bin", "n", "Predicted", "Observed", "95% interval"),
        [
            (
                str(each["bin"]),
                whole(each["observation_count"]),
                share(each["mean_predicted"], 1),
                share(each["observed_rate"], 1),
                between(each, "observed_low", "observed_high", _share1),
            )
            for each in bins
        ],
    )
    return Section("calibration", "Probabilities", says, ("reliability",), [table])


def cohort_keys(figures: Figures) -> list[str]:
    """Metrics whose cohorts are drawn: those of most weight that say most."""
    rows = figures.parts.get("metrics", [])

    def says(row: Row) -> tuple[float, str]:
        auc = 0.5 if row["auc"] is None else row["auc"]
        return (-(row["weight"] or 0) * abs(auc - 0.5), row["metric_key"])

    return [row["metric_key"] for row in sorted(rows, key=says)[:_COHORT_PICTURES]]


def _metrics(figures: Figures) -> Section | None:
    rows = figures.parts.get("metrics", [])
    if not rows:
        return None
    table = Table(
        ("Metric", "Category", "Weight", "AUC alone", "95% interval", "Known", "Spread", "Group",
         "Churn known", "Churn missing"),
        [
            (
                label(row["metric_key"], 40),
                label(row["category_key"], 40),
                share(row["weight"], 1),
                number(row["auc"]),
                between(row, "auc_low", "auc_high"),
                share(row["coverage"]),
                number(row["score_spread"], 1),
                NONE if row["correlation_group"] is None else str(row["correlation_group"]),
                share(row["present_churn_rate"], 1),
                share(row["missing_churn_rate"], 1),
            )
            for row in rows
        ],
        words=2,
        narrow=(0, 2, 3, 4, 5, 6, 7),
    )  # fmt: skip
    below = [
        label(row["metric_key"])
        for row in rows
        if row["auc_high"] is not None and row["auc_high"] < 0.5
    ]
    says = ["Metrics of one group say much the same (their scores correlate)."]
    if below:
        says.append(f"Points the wrong way: {', '.join(below)}.")
    return Section(
        "metrics",
        "Which inputs earn their weight",
        says,
        ("metrics", "cohorts"),
        [table],
        on_terminal=1,
    )


def _groups(figures: Figures) -> Section | None:
    tables = []
    for kind, title in (("segment", "Segment"), ("plan", "Plan")):
        rows = figures.rows(
            "discrimination",
            predictor_kind="score",
            predictor_key="health_score",
            is_headline=True,
            slice_kind=kind,
        )
        rows.sort(key=lambda row: (-(row["account_count"] or 0), str(row["slice_value"])))
        if rows:
            tables.append(
                Table(
                    (title, "Accounts", "Churned", "Base rate", "AUC", "95% interval", "Recall"),
                    [
                        (
                            label(row["slice_value"], 60),
                            whole(row["account_count"]),
                            whole(row["churner_count"]),
                            share(row["base_rate"], 1),
                            "not enough" if row["auc"] is None else number(row["auc"]),
                            between(row, "auc_low", "auc_high"),
                            share(row["recall_at_capacity"]),
                        )
                        for row in rows[:_MOST_GROUPS]
                    ],
                )
            )
    if not tables:
        return None
    fewest = limit(figures, "fewest_churners")
    says = [f"Groups with fewer than {fewest:.0f} churned accounts get no AUC."]
    return Section("groups", "By segment and plan", says, ("segment", "plan"), tables)


def _base(figures: Figures) -> Section | None:
    says = []
    for row in figures.parts.get("base_trend", []):
        if row["points_per_90_days"] is not None:
            says.append(
                f"From {row['from_date']} to {row['to_date']} the mean score went from "
                f"{number(row['first_mean_score'], 1)} to {number(row['last_mean_score'], 1)}: "
                f"{row['points_per_90_days']:+.1f} points in 90 days "
                f"({between(row, 'low', 'high', lambda value: number(value, 1))})."
            )
    agreement = figures.in_slice("trend_agreement", is_headline=True)
    order = {"falling": 0, "level": 1, "rising": 2}
    outcomes = list(dict.fromkeys(row["outcome"] for row in agreement))
    by_trend: dict[str, dict[str, Row]] = {}
    for row in agreement:
        by_trend.setdefault(str(row["trend"]), {})[row["outcome"]] = row
    table = Table(
        ("Score in 28 days", "n", *(band_label(outcome) for outcome in outcomes)),
        [
            (
                band_label(trend),
                whole(max(row["observation_count"] for row in rows.values())),
                *(
                    f"{share(rows[each]['rate'], 1)} "
                    f"({between(rows[each], 'rate_low', 'rate_high', _share1)})"
                    if each in rows
                    else NONE
                    for each in outcomes
                ),
            )
            for trend, rows in sorted(by_trend.items(), key=lambda pair: order.get(pair[0], 9))
        ],
    )
    falling, rising = (by_trend.get(trend, {}).get("churn") for trend in ("falling", "rising"))
    if falling and rising and falling["rate"] is not None and rising["rate"] is not None:
        says.append(
            f"Where the score had fallen, {share(falling['rate'], 1)} churned next; where it had "
            f"risen, {share(rising['rate'], 1)}."
        )
    if not says and not figures.parts.get("portfolio"):
        return None
    return Section("base", "The base over time", says, ("base",), [table] if agreement else [])


def _stability(figures: Figures) -> Section | None:
    rows = figures.parts.get("stability", [])
    if not rows:
        return None
    last = rows[-1]
    most = limit(figures, "most_flaps_per_year")
    shifted = [str(row["as_of_date"]) for row in rows if row["is_shifted"]]
    says = []
    if last["flaps_per_account_year"] is not None:
        is_good = last["flaps_per_account_year"] <= most
        says.append(
            f"An account's band changes there and back {number(last['flaps_per_account_year'])} "
            f"times a year, {'within' if is_good else 'above'} the {number(most, 1)} that count as "
            "stable."
        )
    told = ", ".join(shifted[-6:]) + (" (the last of them)" if len(shifted) > 6 else "")
    says.append(
        f"The scores of {len(shifted)} of {len(rows)} months were spread otherwise than a month "
        f"before{f': {told}' if shifted else ''}."
    )
    table = Table(
        ("Month", "Accounts", "PSI", "Limit", "Rank correlation, 7 days", "Flaps a year"),
        [
            (
                str(row["as_of_date"]),
                whole(row["account_count"]),
                number(row["psi"], 3) + (" shifted" if row["is_shifted"] else ""),
                number(row["psi_critical"], 3),
                number(row["rank_correlation_7_days"], 3),
                number(row["flaps_per_account_year"]),
            )
            for row in rows
        ],
    )
    return Section("stability", "Stability", says, ("stability",), [table])


def _challengers(figures: Figures) -> Section | None:
    rows = [row for row in figures.parts.get("version_comparison", []) if row.get("is_headline")]
    if not rows:
        return None
    words = {
        "better": "better",
        "worse": "worse",
        "not_distinguishable": "not distinguishable",
        "not_enough_outcomes": "not enough outcomes",
    }
    table = Table(
        ("Challenger", "Dates", "Verdict", "Churned", "AUC champion",
         "AUC challenger", "Difference", "95% interval", "Lift 10%", "Recall"),
        [
            (
                f"{label(row['challenger_version'])} against {label(row['champion_version'])}",
                label(row.get("slice_value", "all")).replace("_", " "),
                words.get(row["verdict_key"], label(row["verdict_key"])),
                whole(row["churner_count"]),
                number(row["auc_champion"]),
                number(row["auc_challenger"]),
                _change(row, "auc_difference", "", 3)[0],
                _change(row, "auc_difference", "", 3)[1],
                _with(_change(row, "lift_at_10_percent_difference", "lift_at_10_percent_", 1)),
                _with(_change(row, "recall_at_capacity_difference", "recall_at_capacity_", 2)),
            )
            for row in rows
        ],
        words=3,
        narrow=(0, 1, 2, 6, 7),
    )  # fmt: skip
    challengers = list(dict.fromkeys(row["challenger_version"] for row in rows))
    tables = [table, *(_migrations(figures, each) for each in challengers), _load(figures)]
    return Section(
        "challengers",
        "Champion and challengers",
        ["On the same account-months; an interval with 0 in it is no difference."],
        (),
        [each for each in tables if each is not None],
        on_terminal=1,
    )


def _change(row: Row, key: str, bounds: str, digits: int) -> tuple[str, str]:
    """`+0.040` and `0.010–0.070`, or a dash and nothing."""
    if row.get(key) is None:
        return NONE, ""
    interval = between(
        row,
        f"{bounds}difference_low",
        f"{bounds}difference_high",
        lambda value: number(value, digits),
    )
    return f"{row[key]:+.{digits}f}", interval


def _with(change: tuple[str, str]) -> str:
    """`-1.5 (-2.6 to -0.5)`."""
    return f"{change[0]} ({change[1]})" if change[1] else change[0]


def _migrations(figures: Figures, challenger: str) -> Table | None:
    """Accounts by band of the champion (down) and of a challenger (across), on the newest date."""
    rows = figures.rows("band_migrations", challenger_version=challenger)
    if not rows:
        return None
    ranks: dict[str, int] = {}
    for row in rows:
        for side in ("champion", "challenger"):
            rank = row.get(f"{side}_band_rank")
            ranks[str(row[f"{side}_band"])] = 99 if rank is None else rank
    bands = sorted(ranks, key=lambda band: (ranks[band], band))
    cells = {(str(row["champion_band"]), str(row["challenger_band"])): row for row in rows}

    def cell(before: str, after: str) -> str:
        row = cells.get((before, after))
        return NONE if row is None else f"{row['account_count']:,} ({money(row['arr_amount'])})"

    return Table(
        (
            f"Band today, and under {label(challenger)}: accounts (ARR)",
            *(band_label(band) for band in bands),
        ),
        [(band_label(before), *(cell(before, after) for after in bands)) for before in bands],
    )


def _load(figures: Figures) -> Table | None:
    """What each CSM would have to look at under each version."""
    rows = figures.parts.get("csm_load", [])
    if not rows:
        return None
    return Table(
        ("Version", "CSM", "Accounts", "Critical", "At risk", "Entered in 28 days"),
        [
            (
                label(row["scoring_version"]),
                label(row["csm_id"] or NONE, 40),
                whole(row["account_count"]),
                whole(row["critical_count"]),
                whole(row["at_risk_count"]),
                whole(row["entered_below_healthy_28_days"]),
            )
            for row in rows
        ],
        words=2,
    )


def _baseline(report: Report) -> Section | None:
    if not report.compared:
        return None
    says = [("✕ " if each.has_fallen else "✓ ") + each.in_words() for each in report.compared]
    return Section("baseline", "Against the baseline", says)


def limits_in_words(report: Report) -> list[str]:
    """What the figures do not say."""
    figures = report.figures
    row = figures.headline
    told = []
    if row.get("churner_count"):
        told.append(
            f"{row['churner_count']:,} churned accounts: figures can be off by as much as their "
            "intervals say, and a difference within them is none."
        )
    if row.get("slice_value") != "out_of_time" and row:
        told.append("No dates out of time: the version may be fitted to what is tested here.")
    told += [
        "An outcome is a churn that the customer chose, known after the grace for late renewals; "
        "accounts already in notice, bankruptcies and mergers are left out.",
        "Who was called because of a low score may have stayed because of it: that makes a score "
        "look worse than it is.",
        "A figure says how well accounts are put in order, not why they leave: metrics that go "
        "with churn need not cause it.",
        "Churn risk is part of the score and was itself made from churn; compare with the line "
        "without it.",
    ]
    skipped = [test for test in report.leak_tests if test.status == "skipped"]
    told += [f"Leak test {test.number} did not run: {test.finding}." for test in skipped]
    if figures.missing:
        told.append(f"Not built here: {', '.join(figures.missing)}.")
    return told


# -- terminal ----------------------------------------------------------------------------------
def render(report: Report, console: Console) -> None:
    """The report on a terminal, about one page."""
    icon, _, _, colour = VERDICTS[report.verdict.key]
    words, sentence = visible(report.verdict.words), visible(report.verdict.sentence)
    opening = Group(
        Text(f"{icon} {words[:1].upper()}{words[1:]}", style=f"bold {colour}"),
        Text(report.verdict.plain),
        *([] if sentence == words else [Text(sentence, style="dim")]),
    )
    console.print(Panel(opening, box=box.ROUNDED, border_style=colour, title="Does it predict?"))
    told = ", ".join(f"{name.lower()} {value}" for name, value in facts(report.figures))
    console.print(Text(told, style="dim"))
    for section in sections(report):
        console.print()
        console.print(Text(section.title, style="bold"))
        for table in section.tables[: section.on_terminal]:
            console.print(_rich(table, _SHOWN_METRICS))
            if len(table.rows) > _SHOWN_METRICS:
                more = len(table.rows) - _SHOWN_METRICS
                console.print(f"  [dim]{more} more in the page[/dim]", highlight=False)
        for line in section.says:
            console.print(f"  {escape(line)}", highlight=False)
    console.print()
    console.print(Text("Leak tests", style="bold"))
    for test in report.leak_tests:
        mark, name, _, shade = MARKS[test.status]
        console.print(
            f"  [{shade}]{mark} {test.number} {name}[/{shade}] {escape(test.title)}"
            f" [dim]({escape(visible(test.finding))})[/dim]",
            highlight=False,
        )
    console.print()
    console.print(Text("What the figures do not say", style="bold"))
    for line in limits_in_words(report):
        console.print(f"  - {escape(line)}", highlight=False)


def _rich(table: Table, most: int) -> RichTable:
    """A table of the terminal."""
    shown = RichTable(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0))
    columns = table.narrow or tuple(range(len(table.headings)))
    for place in columns:
        is_words = place < table.words
        longest = max((len(row[place]) for row in table.rows), default=0)
        shown.add_column(
            table.headings[place],
            justify="left" if is_words else "right",
            overflow="fold",
            no_wrap=not is_words,
            min_width=min(longest, 22) if is_words else None,
        )
    for row in table.rows[:most]:
        shown.add_row(*(Text(row[place]) for place in columns))
    return shown


def tell_where(paths: Sequence[Path], console: Console) -> None:
    """Where the page is."""
    console.print(f"\nReport: {escape(str(paths[0]))}", soft_wrap=True, highlight=False)
