"""Why does this account have this score? Read from the readers' copy alone.

The points of the metrics add up to the score, in what is shown too: they are rounded so that
their sum stays the score (largest remainders), and the sum stands below them.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from customer_health.errors import UsageError
from customer_health.warehouses.base import Reader
from customer_health.warehouses.duckdb import open_copy

ACTIONS_SHOWN = 5
CHANGE_LAG = "28"
CHURN_PROBABILITY = "churn_probability"
DRIVERS_SHOWN = 8
SUGGESTIONS = 5
KNOWN_STATES = ("observed", "zero")

STATE_IN_WORDS = {
    "unknown": "the source is connected, but has nothing recent enough for this account; the "
    "weight went to the others and coverage fell",
    "not_connected": "this deployment does not have the source, which is the same for all accounts",
    "not_applicable": "does not apply to this account; the weight went to the others",
    "not_yet_due": "the account is too young for it; the weight went to the others",
}
_LEADING_POINTS = re.compile(r"^[+-]?[0-9.]+ points: ")
NOT_KEPT = "The metrics of this date are not kept any more (Sundays are kept for ever)."
LIGHTS = {"green": "green", "yellow": "yellow", "red": "red"}

_ACCOUNT_COLUMNS = (
    "account_id", "account_name", "parent_account_id", "segment", "plan", "region", "csm_id",
    "lifecycle_stage", "is_frozen", "as_of_date", "band", "band_label", "traffic_light",
    "mrr_amount", "arr_amount", "currency_code", "renewal_date", "days_to_renewal",
    "onboarding_score", "expansion_score", "conversion_score", "nps_promoter_minus_detractor",
)  # fmt: skip
_SCORE_COLUMNS = (
    "as_of_date", "scoring_version", "scorecard_key", "lifecycle_stage", "tenure_days",
    "mrr_amount", "arr_amount", "renewal_date", "health_score", "health_score_exact",
    "score_low", "score_high", "coverage", "connected_weight", "known_metric_count",
    "applicable_metric_count", "raw_band", "band", "band_reason", "band_note",
    "band_since_date", "days_in_band", "churn_probability", "churn_probability_method",
)  # fmt: skip
_METRIC_COLUMNS = (
    "category_key", "metric_key", "metric_label", "unit", "value_state", "metric_value",
    "metric_score", "category_weight", "metric_weight", "effective_weight", "metric_points",
    "category_score", "observed_at", "value_age_days", "sample_size", "is_data_incident",
    "reported_value",
)  # fmt: skip
_CHANGE_COLUMNS = (
    "metric_key", "compared_date", "policy_points", "behaviour_points", "absence_points",
    "change_points", "earlier_value", "later_value", "driver_text",
)  # fmt: skip
_ACTION_COLUMNS = (
    "action_id", "playbook_key", "fired_on", "due_date", "state", "is_still_true", "owner_role",
    "owner_id", "channel", "priority", "priority_score", "action_text", "why_text",
)  # fmt: skip
_PATH_COLUMNS = (
    "path_rank", "next_band", "next_band_label", "band_exception", "missing_points",
    "is_reachable", "metric_key", "metric_label", "metric_score", "lost_points",
    "needed_metric_score", "playbook_key",
)  # fmt: skip


@dataclass(frozen=True)
class Explanation:
    """Everything that explains one score; rows as dictionaries with the columns of the marts."""

    account: dict[str, Any]
    as_of: date | None
    score: dict[str, Any] | None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    changes: list[dict[str, Any]] = field(default_factory=list)
    earlier: dict[str, Any] | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    path: list[dict[str, Any]] = field(default_factory=list)
    band_labels: dict[str, str] = field(default_factory=dict)
    publication_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; names verbatim."""
        total = {
            part: sum(row[part] or 0.0 for row in self.changes)
            for part in ("policy_points", "behaviour_points", "absence_points", "change_points")
        }
        return {
            "publication_id": self.publication_id,
            "account": _plain(self.account),
            "as_of_date": self.as_of.isoformat() if self.as_of else None,
            "score": _plain(self.score) if self.score else None,
            "band_in_words": band_in_words(self),
            "metrics": [_plain(row) for row in self.metrics],
            "points_sum": _sum_points(self.metrics),
            "missing": [
                {"metric_key": row["metric_key"], "value_state": row["value_state"]}
                for row in self.metrics
                if row["value_state"] not in KNOWN_STATES
            ],
            "change": {
                "lag_days": int(CHANGE_LAG),
                "compared": _plain(self.earlier) if self.earlier else None,
                "total": total,
                "drivers": [_plain(row) for row in self.changes],
            },
            "actions": [_plain(row) for row in self.actions],
            "path": [_plain(row) for row in self.path],
        }


# -- reading -----------------------------------------------------------------------------------
def explain(published: Path, account: str, as_of: date | None = None) -> Explanation:
    """Read what explains the score of an account.

    Args:
        published: the readers' copy.
        account: its id, or its name (upper and lower case do not matter) if only one has it.
        as_of: date of the score; None takes the newest one that the account has.

    Raises:
        UsageError: when no account, or more than one, is meant, or there is no row of that date.
        HealthError: when nothing was published, or the copy cannot be read.
    """
    with open_copy(published) as reader:
        return explain_from(reader, account, as_of)


def explain_from(reader: Reader, text: str, as_of: date | None = None) -> Explanation:
    """The explanation from what readers have, on whatever engine; as `explain`."""
    account_id = find_account(reader, text)
    account = _rows(
        reader,
        _ACCOUNT_COLUMNS,
        "bi_health__account_360 where account_id = ?",
        [account_id],
    )[0]
    day = as_of or account["as_of_date"]
    scores = _rows(
        reader,
        _SCORE_COLUMNS,
        "fct_health__account_scores where account_id = ? and as_of_date = ?",
        [account_id, day],
    )
    if not scores and as_of is not None:
        raise UsageError(_no_row(reader, account_id, as_of))
    score = scores[0] if scores else None
    metrics: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    earlier = None
    # What to do is a matter of today, and of publications that know actions.
    actions: list[dict[str, Any]] = []
    path: list[dict[str, Any]] = []
    if day == account["as_of_date"] and reader.has("act_health__actions"):
        actions = _rows(
            reader,
            _ACTION_COLUMNS,
            """
            act_health__actions
            where account_id = ? and is_open
            order by
                coalesce(is_still_true, true) desc, coalesce(priority_score, 0) desc, priority,
                due_date, action_id
            """,
            [account_id],
        )
        path = _rows(
            reader,
            _PATH_COLUMNS,
            "act_health__band_paths where account_id = ? and is_on_path order by path_rank",
            [account_id],
        )
    if score is not None:
        metrics = _rows(
            reader,
            _METRIC_COLUMNS,
            """
            fct_health__metric_scores
            where account_id = ? and as_of_date = ? and scoring_version = ? and scorecard_key = ?
            order by category_weight desc, category_key, metric_weight desc, metric_key
            """,
            [account_id, day, score["scoring_version"], score["scorecard_key"]],
        )
        changes, earlier = read_changes(reader, account_id, day)
    return Explanation(
        account=account,
        as_of=day,
        score=score,
        metrics=metrics,
        changes=changes,
        earlier=earlier,
        actions=actions,
        path=path,
        band_labels=_band_labels(reader),
        publication_id=_publication_id(reader),
    )


def find_account(reader: Reader, text: str) -> str:
    """The id of the account that is meant by an id or a name.

    Raises:
        UsageError: for none (with the nearest ones) or several accounts.
    """
    meant = match_accounts(reader, text)
    if len(meant) == 1:
        return meant[0]
    if meant:
        ids = ", ".join(printable(account_id) for account_id in meant[:SUGGESTIONS])
        more = ", …" if len(meant) > SUGGESTIONS else ""
        raise UsageError(
            f"{len(meant)} accounts have the name {printable(text)}: use an id ({ids}{more})"
        )
    near = _nearest(reader, text)
    hint = f"; the nearest are {', '.join(near)}" if near else ""
    raise UsageError(f"no account has the id or name {printable(text)}{hint}")


def match_accounts(reader: Reader, text: str) -> list[str]:
    """The ids of the account with this id, or else of those with this name in any case."""
    table = "{marts}.bi_health__account_360"
    if reader.rows(f"select 1 from {table} where account_id = ?", [text]):
        return [text]
    same_name = reader.rows(
        f"select account_id from {table} where lower(account_name) = lower(?) order by 1",
        [text],
    )
    return [str(row[0]) for row in same_name]


def read_changes(
    reader: Reader, account_id: str, day: date, lag: str = CHANGE_LAG
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What moved the score of a date since some days before, and the row it is measured from.

    Args:
        reader: of the readers' copy.
        account_id: of the account.
        day: date of the score.
        lag: days before, as `lag_key` of fct_health__score_changes.

    Returns:
        Metrics, the greatest change first, and the earlier score; None when there is none.
    """
    changes = _rows(
        reader,
        _CHANGE_COLUMNS,
        """
        fct_health__score_changes
        where account_id = ? and as_of_date = ? and lag_key = ?
        order by abs(change_points) desc, metric_key
        """,
        [account_id, day, lag],
    )
    compared = changes[0]["compared_date"] if changes else day - timedelta(days=int(lag))
    return changes, _score_of(reader, account_id, compared)


def _nearest(reader: Reader, text: str) -> list[str]:
    """Ids and names that look like the text, the most alike first."""
    wanted = _pairs(text)
    rows = sorted(
        reader.rows(
            "select account_id, account_name from {marts}.bi_health__account_360 order by 1"
        ),
        # Pairs of letters in common are quickly counted, whatever the number of accounts.
        key=lambda row: max(_overlap(wanted, _pairs(word)) for word in row if word is not None),
        reverse=True,
    )[:50]

    def alike(row: tuple[Any, ...]) -> float:
        return max(
            difflib.SequenceMatcher(None, text.lower(), str(word).lower()).ratio()
            for word in row
            if word is not None
        )

    good = sorted((row for row in rows if alike(row) >= 0.5), key=alike, reverse=True)
    return [
        printable(row[0]) + (f" ({printable(row[1])})" if row[1] else "")
        for row in good[:SUGGESTIONS]
    ]


def _pairs(text: str) -> set[str]:
    """Neighbouring letters of a text."""
    lower = f" {text.lower()} "
    return {lower[place : place + 2] for place in range(len(lower) - 1)}


def _overlap(one: set[str], other: set[str]) -> float:
    """Share of pairs in common, 0 to 1."""
    return len(one & other) / len(one | other)


def _no_row(reader: Reader, account_id: str, as_of: date) -> str:
    """Why there is no score of that date, with the nearest dates that have one."""
    before, after = reader.rows(
        """
        select
            max(case when as_of_date < ? then as_of_date end),
            min(case when as_of_date > ? then as_of_date end)
        from {marts}.fct_health__account_scores
        where account_id = ?
        """,
        [as_of, as_of, account_id],
    )[0]
    dates = " and ".join(str(day) for day in (before, after) if day is not None)
    hint = f"the nearest dates with one: {dates}" if dates else "it has none at all"
    return f"--as-of: account {printable(account_id)} has no score of {as_of}; {hint}"


def _score_of(reader: Reader, account_id: str, day: date) -> dict[str, Any] | None:
    """The score of a date, to compare with; None when there is none."""
    rows = _rows(
        reader,
        ("as_of_date", "health_score", "health_score_exact", "band"),
        """
        fct_health__account_scores where account_id = ? and as_of_date = ?
        """,
        [account_id, day],
    )
    return rows[0] if rows else None


def _band_labels(reader: Reader) -> dict[str, str]:
    """Labels of the bands as the base shows them now."""
    rows = reader.rows(
        """
        select band, min(band_label)
        from {marts}.bi_health__account_360
        where band is not null and band_label is not null
        group by 1
        """
    )
    return {str(band): str(label) for band, label in rows}


def _publication_id(reader: Reader) -> str:
    """Id of the publication that is open."""
    rows = reader.rows(
        """
        select publication_id
        from {marts}.fct_health__publications
        order by published_at desc, publication_id desc
        limit 1
        """
    )
    return str(rows[0][0]) if rows else ""


def _rows(
    reader: Reader,
    columns: Sequence[str],
    source: str,
    parameters: list[Any],
) -> list[dict[str, Any]]:
    """Rows of a mart as dictionaries; `source` is ours, what was typed comes as parameters."""
    found = reader.rows(f"select {', '.join(columns)} from {{marts}}.{source.strip()}", parameters)
    return [dict(zip(columns, row, strict=True)) for row in found]


# -- in words ----------------------------------------------------------------------------------
def band_in_words(explanation: Explanation) -> str:
    """Why the account is in its band, in one sentence."""
    score = explanation.score
    if score is None:
        return "no health score"
    band = band_label(explanation, score["band"])
    raw = band_label(explanation, score["raw_band"])
    reason = score["band_reason"]
    note = f": {printable(score['band_note'])}" if score["band_note"] else ""
    if reason == "held":
        return (
            f"held at {band}: {score['health_score']} alone would be {raw}, but a band changes "
            "only when the score has stayed clear of its edge for some days" + note
        )
    if reason == "insufficient_data":
        return (
            f"no score: only {_percent(score['coverage'])} of the weight that applies is known, "
            "less than this scorecard asks for" + note
        )
    if reason == "knockout":
        return f"capped at {band} by a knock-out rule, whatever the score{note}"
    if reason == "override":
        return f"set to {band} by a CSM override; the score is left alone{note}"
    return f"{band}, by its score of {score['health_score']}{note}"


def no_score_in_words(explanation: Explanation) -> str:
    """Why an account has no health score on any date."""
    stage = explanation.account["lifecycle_stage"]
    if stage == "trial":
        return "No health score: the account is on trial and not a customer yet."
    return f"No health score: the account was never scored (stage {in_words(stage or 'unknown')})."


def driver_in_words(change: dict[str, Any], label: str | None = None) -> str:
    """What a metric did, without the points that its text begins with."""
    text = change["driver_text"] or label or in_words(change["metric_key"])
    return _LEADING_POINTS.sub("", text)


def coverage_in_words(score: dict[str, Any]) -> str:
    """How much of the weight is known, and between which bounds the score lies."""
    bounds = ""
    if score["score_low"] is not None and score["score_low"] < score["score_high"]:
        bounds = (
            f"; the score lies between {score['score_low']:.1f} and "
            f"{score['score_high']:.1f} whatever the unknown ones are"
        )
    return (
        f"{_percent(score['coverage'])} of the weight that applies is known "
        f"({score['known_metric_count']} of {score['applicable_metric_count']} metrics){bounds}"
    )


def churn_in_words(explanation: Explanation) -> str:
    """The churn probability and where it comes from."""
    score = explanation.score
    if score is None or score["churn_probability"] is None:
        return "unknown"
    sizes = [
        row["sample_size"] for row in explanation.metrics if row["metric_key"] == CHURN_PROBABILITY
    ]
    size = sizes[0] if sizes else None
    method = score["churn_probability_method"]
    if method == "base_rate":
        accounts = f" ({size:,} accounts)" if size is not None else ""
        source = f"historical rate of like accounts{accounts}; no fitted model"
    elif method == "model":
        churners = f", trained on {size:,} churners" if size is not None else ""
        source = f"fitted model{churners}"
    elif method == "prior":
        source = "prior of the policy; neither a fitted model nor a historical rate"
    else:
        source = printable(method or "method not stated")
    return f"{_percent(score['churn_probability'], 1)} within 90 days: {source}"


def printable(value: Any) -> str:
    """Text for a terminal: control characters and direction overrides are shown, not obeyed."""
    return "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in {"Cc", "Cs", "Co"}
        or "\u202a" <= character <= "\u202e"
        or "\u2066" <= character <= "\u2069"
        else character
        for character in str(value)
    )


def rounded_points(points: Sequence[float], total: float, digits: int = 2) -> list[float]:
    """Round so that the rounded points add up to the rounded total (largest remainders).

    Args:
        points: exact points; their sum is `total`.
        total: the exact score, or its exact change.
        digits: decimals to keep.
    """
    unit = 10**digits
    floors = [math.floor(point * unit) for point in points]
    missing = round(total * unit) - sum(floors)
    by_remainder = sorted(
        range(len(points)), key=lambda index: floors[index] - points[index] * unit
    )
    for index in by_remainder[: max(missing, 0)]:
        floors[index] += 1
    return [floor / unit for floor in floors]


def used_weights(metrics: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Share of the score that each known metric decides; they add up to 1."""
    known = [row for row in metrics if row["value_state"] in KNOWN_STATES]
    in_category: dict[str, float] = {}
    of_category: dict[str, float] = {}
    for row in known:
        key = row["category_key"]
        in_category[key] = in_category.get(key, 0.0) + row["metric_weight"]
        of_category[key] = row["category_weight"]
    whole = sum(weight for key, weight in of_category.items() if in_category[key] > 0)
    return {
        row["metric_key"]: row["category_weight"]
        * row["metric_weight"]
        / in_category[row["category_key"]]
        / whole
        for row in known
        if in_category[row["category_key"]] > 0 and whole > 0
    }


def format_value(value: float | None, unit: str, currency: str | None) -> str:
    """A raw value with its unit, short enough for a table."""
    if value is None:
        return "–"
    if unit == "flag":
        return "yes" if value else "no"
    if unit in {"ratio", "probability"}:
        return _percent(value, 1 if unit == "probability" else 0)
    if unit.startswith("reporting currency"):
        per = unit.removeprefix("reporting currency").replace(" per ", "/")
        return f"{value:,.0f} {currency or ''}".rstrip() + per
    if unit.startswith("score "):
        return f"{value:.1f} of {unit.rsplit('-', 1)[-1]}"
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"
    if unit in {"count", ""}:
        return number
    return f"{number} {unit.removesuffix('s') if value == 1 else unit}"


# -- rendering ---------------------------------------------------------------------------------
def render(explanation: Explanation, console: Console) -> None:
    """Print an explanation for a person."""
    account, score = explanation.account, explanation.score
    console.print()
    name = printable(account["account_name"] or account["account_id"])
    console.print(Text(name, style="bold"), Text(f"({printable(account['account_id'])})"))
    _line(console, _account_line(explanation))
    console.print()
    if score is None:
        _render_without_score(explanation, console)
        _render_actions(explanation, console)
        return
    _render_headline(explanation, console)
    if explanation.metrics:
        console.print()
        console.print(_metric_table(explanation))
    else:
        _line(console, NOT_KEPT)
    _render_incident(explanation, console)
    _render_changes(explanation, console)
    _render_missing(explanation, console)
    _render_actions(explanation, console)
    _render_path(explanation, console)
    console.print()
    _line(console, f"publication {explanation.publication_id}", "dim")


def _account_line(explanation: Explanation) -> str:
    """Segment, plan, stage, money and CSM in one line."""
    account = explanation.account
    source = explanation.score or account
    currency = account["currency_code"] or ""
    arr = source["arr_amount"]
    parts = [
        account["segment"],
        f"plan {account['plan']}" if account["plan"] else None,
        account["region"],
        f"stage {in_words(source['lifecycle_stage'])}" if source["lifecycle_stage"] else None,
        f"ARR {arr:,.0f} {currency}".rstrip() if arr is not None else None,
        f"CSM {account['csm_id']}" if account["csm_id"] else "no CSM",
        f"child of {account['parent_account_id']}" if account["parent_account_id"] else None,
    ]
    return " · ".join(printable(part) for part in parts if part)


def _render_without_score(explanation: Explanation, console: Console) -> None:
    """An account that has no health score, such as a trial."""
    _line(console, no_score_in_words(explanation))
    for line in other_scores(explanation.account):
        _line(console, line)
    _line(console, f"publication {explanation.publication_id}", "dim")


def _render_headline(explanation: Explanation, console: Console) -> None:
    """Score, band and why, bounds, change, renewal, churn."""
    account, score = explanation.account, explanation.score
    assert score is not None
    is_newest = score["as_of_date"] == account["as_of_date"]
    light = LIGHTS.get(str(account["traffic_light"]), "") if is_newest else ""
    shown = "no score" if score["health_score"] is None else f"{score['health_score']} of 100"
    headline = Text.assemble(
        ("Health: ", "bold"),
        (shown, f"bold {light}".strip()),
        (f"  {band_label(explanation, score['band'])}", light),
        f"  on {score['as_of_date']}, scorecard {printable(score['scorecard_key'])}, "
        f"version {printable(score['scoring_version'])}",
    )
    console.print(headline)
    if account["is_frozen"] and is_newest:
        _line(
            console,
            "This is the last score; the account has left and is not scored any more (frozen).",
            "yellow",
        )
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for label, text in _facts(explanation, score):
        facts.add_row(label, escape(text))
    console.print(facts)


def _facts(explanation: Explanation, score: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines below the headline: what, in words."""
    account = explanation.account
    since = ""
    if score["band_since_date"] is not None:
        since = f" (since {score['band_since_date']}, {score['days_in_band']} days)"
    lines = [("Band", band_in_words(explanation) + since)]
    if score["coverage"] is not None:
        lines.append(("Coverage", coverage_in_words(score)))
    if score["connected_weight"] is not None and score["connected_weight"] < 0.9995:
        lines.append(
            (
                "Connected",
                f"{_percent(score['connected_weight'])} of the scorecard's weight has a source "
                "in this deployment",
            )
        )
    lines.append(("Renewal", _renewal(score)))
    lines.append(("Churn", churn_in_words(explanation)))
    if score["as_of_date"] == account["as_of_date"]:
        lines.extend(("Also", line) for line in other_scores(account))
    return lines


def _renewal(score: dict[str, Any]) -> str:
    """The next renewal, counted from the date of the score."""
    renewal = score["renewal_date"]
    if renewal is None:
        return "no renewal date known"
    days = (renewal - score["as_of_date"]).days
    when = f"in {days} days" if days >= 0 else f"{-days} days ago, overdue"
    return f"{renewal}, {when}"


def other_scores(account: dict[str, Any]) -> list[str]:
    """Scores of the other purposes, and NPS as people know it."""
    lines = [
        f"{purpose} score {account[column]:.0f}"
        for purpose, column in (
            ("onboarding", "onboarding_score"),
            ("expansion", "expansion_score"),
            ("conversion", "conversion_score"),
        )
        if account[column] is not None
    ]
    if account["nps_promoter_minus_detractor"] is not None:
        lines.append(
            f"NPS {account['nps_promoter_minus_detractor']:+.0f} (promoters less detractors)"
        )
    return [", ".join(lines)] if lines else []


def _metric_table(explanation: Explanation) -> Table:
    """Categories and their metrics; the points add up to the score."""
    score, metrics = explanation.score, explanation.metrics
    assert score is not None
    weights = used_weights(metrics)
    points = shown_points(score, metrics)
    table = Table(
        title="score × weight × 10 = points; the weight of what is missing went to the rest",
        title_style="dim",
        title_justify="left",
        show_footer=bool(points),
        header_style="bold",
        footer_style="bold",
        pad_edge=False,
        box=box.SIMPLE,
    )
    exact = score["health_score_exact"]
    table.add_column("Metric", footer="Sum of points", ratio=3)
    table.add_column("Value", justify="right")
    table.add_column("Score", justify="right")
    table.add_column("Weight", justify="right", footer="100%" if weights else "")
    table.add_column(
        "Points",
        justify="right",
        footer=f"{sum(points.values()):.2f}" if points else "",
        no_wrap=True,
    )
    table.add_column(
        "Age", justify="right", footer="" if exact is None else f"→ {score['health_score']}"
    )
    table.add_column("n", justify="right")
    for category in dict.fromkeys(row["category_key"] for row in metrics):
        rows = [row for row in metrics if row["category_key"] == category]
        _add_category(table, category, rows, weights, points)
        for row in rows:
            _add_metric(table, row, weights, points, explanation.account["currency_code"])
    return table


def _add_category(
    table: Table,
    category: str,
    rows: list[dict[str, Any]],
    weights: dict[str, float],
    points: dict[str, float],
) -> None:
    """The row of a category: sums of its metrics."""
    keys = [row["metric_key"] for row in rows if row["metric_key"] in weights]
    category_score = rows[0]["category_score"]
    table.add_row(
        escape(printable(in_words(category).capitalize())),
        "",
        "–" if category_score is None else f"{category_score:.1f}",
        _percent(sum(weights[key] for key in keys), 1) if keys else "–",
        f"{sum(points[key] for key in keys):.2f}" if keys and points else "–",
        "",
        "",
        style="bold",
    )


def _add_metric(
    table: Table,
    row: dict[str, Any],
    weights: dict[str, float],
    points: dict[str, float],
    currency: str | None,
) -> None:
    """The row of a metric."""
    key = row["metric_key"]
    is_known = row["value_state"] in KNOWN_STATES
    if is_known:
        value = format_value(row["metric_value"], row["unit"] or "", currency)
        if row["is_data_incident"]:
            reported = format_value(row["reported_value"], row["unit"] or "", currency)
            value = f"{value} held, {reported} reported"
    else:
        value = in_words(row["value_state"])
    age = row["value_age_days"]
    table.add_row(
        Padding(Text(printable(row["metric_label"] or key)), (0, 0, 0, 2)),
        escape(printable(value)),
        "–" if row["metric_score"] is None else f"{row['metric_score']:.1f}",
        _percent(weights[key], 1) if key in weights else "–",
        f"{points[key]:.2f}" if key in points else "–",
        "" if age is None else f"{age:,.0f} d",
        "" if row["sample_size"] is None else f"{row['sample_size']:,.0f}",
        style="" if is_known else "dim",
    )


def shown_points(score: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Points as shown; empty when the account has no score."""
    exact = score["health_score_exact"]
    scored = [row for row in metrics if row["metric_points"] is not None]
    if exact is None or not scored:
        return {}
    rounded = rounded_points([row["metric_points"] for row in scored], exact)
    return {row["metric_key"]: value for row, value in zip(scored, rounded, strict=True)}


def _render_changes(explanation: Explanation, console: Console) -> None:
    """What moved the score, adding up to its change."""
    score, earlier, changes = explanation.score, explanation.earlier, explanation.changes
    assert score is not None
    console.print()
    _line(console, f"What changed in {CHANGE_LAG} days", "bold")
    if earlier is None or earlier["health_score"] is None or score["health_score"] is None:
        _line(console, f"There is no score of {CHANGE_LAG} days before to compare with.")
        return
    change = score["health_score_exact"] - earlier["health_score_exact"]
    _line(
        console,
        f"{earlier['health_score']} ({band_label(explanation, earlier['band'])}) on "
        f"{earlier['as_of_date']} → {score['health_score']} "
        f"({band_label(explanation, score['band'])}): {change:+.2f} points before rounding",
    )
    if not changes:
        return
    labels = {row["metric_key"]: row["metric_label"] for row in explanation.metrics}
    table = Table(
        header_style="bold", footer_style="bold", pad_edge=False, show_footer=True, box=box.SIMPLE
    )
    table.add_column("Driver", footer="Sum", ratio=3)
    columns = (
        ("Behaviour", "behaviour_points"),
        ("Absence", "absence_points"),
        ("Policy", "policy_points"),
        ("Change", "change_points"),
    )
    shown = {
        column: rounded_points(
            [row[column] or 0.0 for row in changes], sum(row[column] or 0.0 for row in changes)
        )
        for _, column in columns
    }
    for title, column in columns:
        table.add_column(title, justify="right", footer=_signed(sum(shown[column])), no_wrap=True)
    for place, row in enumerate(changes[:DRIVERS_SHOWN]):
        # The points have columns of their own here.
        driver = driver_in_words(row, labels.get(row["metric_key"]))
        table.add_row(
            escape(printable(driver)), *(_signed(shown[column][place]) for _, column in columns)
        )
    rest = len(changes) - DRIVERS_SHOWN
    if rest > 0:
        table.add_row(
            f"{rest} smaller ones",
            *(_signed(sum(shown[column][DRIVERS_SHOWN:])) for _, column in columns),
            style="dim",
        )
    console.print(table)


def _render_incident(explanation: Explanation, console: Console) -> None:
    """That values are held, because most of the segment dropped on one day."""
    held = [
        printable(row["metric_label"] or row["metric_key"])
        for row in explanation.metrics
        if row["is_data_incident"]
    ]
    if held:
        console.print()
        _line(console, f"Data incident: {'; '.join(held)}", "bold yellow")
        _line(
            console,
            "Most accounts of the segment dropped on the same day, so the last good values count.",
        )


def _render_missing(explanation: Explanation, console: Console) -> None:
    """Which metrics have no value, and why, by state."""
    if not explanation.metrics:
        return
    console.print()
    _line(console, "What is missing", "bold")
    missing = [row for row in explanation.metrics if row["value_state"] not in KNOWN_STATES]
    if not missing:
        _line(console, "Nothing: every metric of the scorecard has a value.")
        return
    for state in dict.fromkeys([*STATE_IN_WORDS, *(row["value_state"] for row in missing)]):
        labels = [
            printable(row["metric_label"] or row["metric_key"])
            for row in missing
            if row["value_state"] == state
        ]
        if labels:
            why = STATE_IN_WORDS.get(state, "")
            title = in_words(state).capitalize()
            line = Text.assemble((title, "bold"), f": {'; '.join(labels)}", (f" ({why})", "dim"))
            console.print(line)


def _render_actions(explanation: Explanation, console: Console) -> None:
    """The open actions, those with most ARR at risk and urgency first, and why each fired."""
    if not explanation.actions:
        return
    console.print()
    _line(console, "What to do", "bold")
    for row in explanation.actions[:ACTIONS_SHOWN]:
        owner = printable(row["owner_id"] or row["owner_role"])
        notes = [f"{owner} by {row['due_date']}"]
        if row["state"] != "open":
            notes.append(row["state"])
        if row["is_still_true"] is False:
            notes.append("its reason is gone since")
        _line(console, f"• {printable(row['action_text'])} ({', '.join(notes)})")
        _line(console, f"  {row['fired_on']}: {printable(row['why_text'])}", "dim")
    rest = len(explanation.actions) - ACTIONS_SHOWN
    if rest > 0:
        _line(console, f"  and {rest} more in act_health__actions", "dim")


def _render_path(explanation: Explanation, console: Console) -> None:
    """The fewest metrics that together lead to the next band."""
    if not explanation.path:
        return
    first = explanation.path[0]
    label = printable(first["next_band_label"])
    console.print()
    _line(console, f"Cheapest path to {label}", "bold")
    reach = "" if first["is_reachable"] else "; all metrics together do not bring so many"
    _line(console, f"{first['missing_points']:.1f} points are missing, margin included{reach}")
    for row in explanation.path:
        playbook = f", playbook {row['playbook_key']}" if row["playbook_key"] else ""
        _line(
            console,
            f"• {printable(row['metric_label'])}: score {row['metric_score']:.1f} → "
            f"{row['needed_metric_score']:.1f}, up to {row['lost_points']:.1f} points{playbook}",
        )
    if first["band_exception"]:
        _line(
            console,
            f"Points alone do not change the band now: {printable(first['band_exception'])}",
        )


def _line(console: Console, text: str, style: str = "") -> None:
    """A line of plain text: no markup is read from it."""
    console.print(Text(text, style=style))


def band_label(explanation: Explanation, band: str | None) -> str:
    """Label of a band."""
    if band is None:
        return "no band"
    return printable(explanation.band_labels.get(band) or in_words(band).capitalize())


def in_words(key: str) -> str:
    """A key as words: `renewal_window` becomes `renewal window`."""
    return str(key).replace("_", " ")


def _percent(share: float | None, digits: int = 0) -> str:
    """A share as per cent."""
    return "–" if share is None else f"{100 * share:.{digits}f}%"


def _signed(points: float) -> str:
    """Points with their sign; a dot for what rounds to nothing."""
    return "·" if abs(points) < 0.005 else f"{points:+.2f}"


def _sum_points(metrics: Sequence[dict[str, Any]]) -> float | None:
    """Sum of the points; None when there are none."""
    points = [row["metric_points"] for row in metrics if row["metric_points"] is not None]
    return math.fsum(points) if points else None


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON types."""
    return {
        key: value.isoformat() if isinstance(value, date | datetime) else value
        for key, value in row.items()
    }
