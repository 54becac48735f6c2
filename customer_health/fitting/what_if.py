"""`customer-health what-if`: an unsaved idea for weights, scored on what was published.

The scores are computed anew in DuckDB from the published metric rows, by the arithmetic of
int_health__category_scores and int_health__account_scores: for the newest date, and for the first
Sunday of every month, whose outcomes are known. Nothing is written. With today's weights it gives
today's scores, and it checks that on every call.

Bands are those of the score alone: hysteresis is left out, on both sides. An account in a band by a
knock-out or an override stays there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import policy, statistics
from customer_health.errors import HealthError, UsageError
from customer_health.explain import printable
from customer_health.fitting.observations import SCHEMA, choose_scorecard
from customer_health.fitting.weights import Weights, as_read, read_weights
from customer_health.policy import ANY, NO_SCORE_BAND, nearest_first, plain_number, read_seed
from customer_health.settings import Settings
from customer_health.validation import figures

SHOWN_ACCOUNTS = 15
SUM_TOLERANCE = 1e-6
AGREEMENT = 1e-9
_FILE_COLUMNS = ("scoring_version", "scorecard_key", "category_key", "metric_key", "weight")


@dataclass(frozen=True)
class Given:
    """A weight of a file or an option, and where it stands, for messages."""

    where: str
    kind: str
    key: str
    weight: float


@dataclass(frozen=True)
class Move:
    """Accounts that go from one band to another, with their ARR."""

    today: str
    tried: str
    account_count: int
    arr_amount: float


@dataclass(frozen=True)
class Moved:
    """An account whose band changes."""

    account_id: str
    account_name: str
    arr_amount: float
    score_today: float | None
    score_tried: float | None
    band_today: str
    band_tried: str


@dataclass(frozen=True)
class Month:
    """Means over the scored accounts of a first Sunday."""

    as_of_date: date
    account_count: int
    mean_today: float
    mean_tried: float


@dataclass(frozen=True)
class WhatIf:
    """What the idea would do."""

    scorecard: str
    champion: str
    today: Weights
    tried: Weights
    newest: date
    account_count: int
    mean_today: float
    mean_tried: float
    bands: tuple[str, ...]
    moves: tuple[Move, ...]
    moved: tuple[Moved, ...]
    fixed_count: int
    lead_days: int
    horizon_days: int
    first_month: date | None
    last_month: date | None
    row_count: int
    churner_count: int
    fewest_churners: int
    capacity_share: float
    compared: Mapping[str, statistics.PairedDifference]
    history: tuple[Month, ...]
    checked_count: int
    largest_gap: float
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "result": "ok",
            "scorecard_key": self.scorecard,
            "champion_version": self.champion,
            "as_of_date": self.newest,
            "weights": [
                {
                    "kind": kind,
                    "key": key,
                    "today": today.get(key, 0.0),
                    "tried": weight,
                }
                for kind, today, tried in (
                    ("category", self.today.categories, self.tried.categories),
                    ("metric", self.today.metrics, self.tried.metrics),
                )
                for key, weight in tried.items()
            ],
            "account_count": self.account_count,
            "mean_score_today": self.mean_today,
            "mean_score_tried": self.mean_tried,
            "migrations": [vars(move) for move in self.moves],
            "moved_accounts": [vars(each) for each in self.moved],
            "lead_days": self.lead_days,
            "horizon_days": self.horizon_days,
            "churner_count": self.churner_count,
            "observation_count": self.row_count,
            "compared": {
                name: {
                    "today": each.figure_a,
                    "tried": each.figure_b,
                    "difference": each.difference,
                    "low": each.low,
                    "high": each.high,
                    "verdict": each.verdict,
                }
                for name, each in self.compared.items()
            },
            "history": [vars(month) for month in self.history],
            "checked_scores": self.checked_count,
            "largest_gap": self.largest_gap,
            "notes": list(self.notes),
        }


# ---- the idea -----------------------------------------------------------------------------------


def read_weight_file(path: Path, scorecard: str) -> list[Given]:
    """Weights of a CSV file: rows of category_weights and metric_weights, or just key and weight.

    Columns: `weight` and `category_key` or `metric_key` (or both, one filled per row);
    `scoring_version` and `scorecard_key` may be there, as in a seed. Rows of other scorecards are
    skipped.

    Raises:
        HealthError: naming file, row and column.
    """
    if not path.is_file():
        raise HealthError(f"--weights: there is no file {path}")
    try:
        records = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except UnicodeDecodeError as error:
        raise HealthError(f"{path.name}: is not UTF-8; save it as CSV UTF-8") from error
    header = [cell.strip() for cell in records[0]] if records else []
    unknown = [name for name in header if name not in _FILE_COLUMNS]
    if unknown or "weight" not in header or not {"category_key", "metric_key"} & set(header):
        what = f"there is a column {unknown[0]!r}" if unknown else f"the header is {header}"
        raise HealthError(
            f"{path.name}, row 1: {what}; write category_key or metric_key, and weight "
            "(scoring_version and scorecard_key may stand there too)"
        )
    found: list[Given] = []
    versions: set[str] = set()
    for number, record in enumerate(records[1:], 2):
        if not any(cell.strip() for cell in record):
            continue
        if len(record) != len(header):
            raise HealthError(
                f"{path.name}, row {number}: {len(record)} cells, the header has {len(header)}"
            )
        cells = dict(zip(header, (cell.strip() for cell in record), strict=True))
        if cells.get("scorecard_key", scorecard) not in ("", scorecard):
            continue
        versions.add(cells.get("scoring_version", ""))
        keys = [
            (kind, cells[f"{kind}_key"])
            for kind in ("category", "metric")
            if cells.get(f"{kind}_key")
        ]
        if len(keys) != 1:
            raise HealthError(
                f"{path.name}, row {number}: fill in either category_key or metric_key"
            )
        where = f"{path.name}, row {number}"
        found.append(Given(where, *keys[0], _weight(cells["weight"], f"{where}, weight")))
    if len(versions) > 1:
        raise HealthError(
            f"{path.name}: rows of several versions ({', '.join(sorted(versions))}); keep one"
        )
    if not found:
        raise HealthError(f"{path.name}: no row for scorecard {scorecard}")
    return found


def read_settings(texts: Sequence[str], today: Weights) -> list[Given]:
    """Weights of `--set key=weight`; a key is a category or a metric.

    Raises:
        UsageError: for another form.
    """
    found = []
    for text in texts:
        key, sign, number = text.partition("=")
        if not sign or not key.strip():
            raise UsageError(
                f"--set: {text!r} is not of the form category=weight, like support=0.3"
            )
        key = key.strip()
        kind = "metric" if key in today.metrics and key not in today.categories else "category"
        found.append(Given("--set", kind, key, _weight(number.strip(), f"--set {key}")))
    return found


def _weight(text: str, where: str) -> float:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and 0 <= number <= 1):
        raise HealthError(f"{where}: {text!r} is no weight; write a number from 0 to 1, like 0.25")
    return float(number)


def apply(today: Weights, given: Sequence[Given], base: Weights | None = None) -> Weights:
    """Weights with the given ones set; those not named share what is left, in their proportions.

    Args:
        today: weights of the version in force; only its metrics have published rows.
        given: weights to set.
        base: weights to start from; None: today's.

    Raises:
        HealthError: for an unknown name, a name given twice, or weights that do not sum to 1.
    """
    start = base or today
    categories = _scaled(
        start.categories,
        [each for each in given if each.kind == "category"],
        "category",
        "the category weights",
    )
    metrics = dict(start.metrics)
    named = [each for each in given if each.kind == "metric"]
    for each in named:
        if each.key not in metrics:
            raise HealthError(_unknown(each, metrics))
    for category in dict.fromkeys(start.category_of[each.key] for each in named):
        members = {metric: start.metrics[metric] for metric in start.members(category)}
        metrics.update(
            _scaled(
                members,
                [each for each in named if each.key in members],
                "metric",
                f"the metric weights of {category}",
            )
        )
    tried = Weights(categories, metrics, start.category_of)
    for metric in tried.metrics:
        if tried.effective(metric) > 0 and not today.metrics.get(metric):
            raise HealthError(
                f"{metric} has no weight in the version in force, so its scores are not kept: a "
                "challenger with that weight has to be scored (customer-health policy new-version)"
            )
    return tried


def _scaled(
    before: Mapping[str, float], given: Sequence[Given], word: str, what: str
) -> dict[str, float]:
    fixed: dict[str, float] = {}
    for each in given:
        if each.key not in before:
            raise HealthError(_unknown(each, before))
        if each.key in fixed:
            raise HealthError(f"{each.where}: the {word} {each.key} is given twice; keep one")
        fixed[each.key] = each.weight
    total = sum(fixed.values())
    others = sum(weight for key, weight in before.items() if key not in fixed)
    if fixed and (total > 1 + SUM_TOLERANCE or (others <= 0 and abs(total - 1) > SUM_TOLERANCE)):
        gap = plain_number(Decimal(repr(round(abs(1 - total), 6))))
        fix = f"take {gap} away" if total > 1 else f"add {gap}"
        raise HealthError(f"{given[0].where}: {what} sum to {total:.6g}, not 1; {fix}")
    factor = (1 - total) / others if fixed and others > 0 else 1.0
    return {key: fixed.get(key, max(weight * factor, 0.0)) for key, weight in before.items()}


def _unknown(each: Given, known: Mapping[str, float]) -> str:
    near = ", ".join(nearest_first(each.key, known)[:5])
    return f"{each.where}: the scorecard has no {each.kind} {each.key}; nearest: {near}"


# ---- the scores ---------------------------------------------------------------------------------


def what_if(
    settings: Settings,
    *,
    weights_file: Path | None = None,
    sets: Sequence[str] = (),
    version: str | None = None,
    scorecard: str | None = None,
    lead_days: int | None = None,
    horizon_days: int | None = None,
    candidate: bool = False,
) -> WhatIf:
    """Score the readers' copy with other weights and say what would be different.

    Args:
        settings: project and home folder.
        weights_file: CSV of `read_weight_file`.
        sets: texts of `read_settings`; they win over the file's version.
        version: start from the weights of this version of the seeds; None: the one in force.
        scorecard: health scorecard; None: that of most accounts.
        lead_days: days between a score and the window; None: of the headline window.
        horizon_days: length of the window in which a churn counts; None: likewise.
        candidate: read the candidate instead of the readers' copy.

    Raises:
        UsageError: without any idea, or for unknown options.
        HealthError: for a file or weights that cannot be, or when the published scores cannot be
            reproduced.
    """
    if weights_file is None and not sets and version is None:
        raise UsageError(
            "say which weights to try: --weights FILE, --set category=weight, or --version NAME"
        )
    seed_files = policy.find_seed_files(settings.project_dir)
    limits = figures.read_limits(settings)
    lead, horizon = _window(seed_files, lead_days, horizon_days)
    with figures.open_marts(settings, candidate=candidate) as connection:
        card = choose_scorecard(connection, scorecard)
        newest, champion = _newest(connection, card)
        today = read_weights(seed_files, champion, card)
        base = None if version is None else read_weights(seed_files, version, card)
        given = [] if weights_file is None else read_weight_file(weights_file, card)
        tried = apply(today, [*given, *read_settings(sets, base or today)], base)
        _load(connection, seed_files, champion, card, tried)
        parameters = {"scorecard": card, "newest": newest, "lead": lead, "horizon": horizon}
        connection.execute(_SCORES, {"scorecard": card, "newest": newest})
        checked, gap = _agreement(connection)
        accounts = connection.execute(_ACCOUNTS, {"newest": newest}).fetchall()
        months = connection.execute(_HISTORY).fetchall()
        earlier = connection.execute(_EARLIER_VERSIONS, {"champion": champion}).fetchall()
        labelled = connection.execute(_LABELLED, _only(parameters, "lead", "horizon")).fetchnumpy()
    moved = [Moved(*row[:7]) for row in accounts if row[5] != row[6]]
    compared, churners = _compare(labelled, limits)
    scored = [row for row in accounts if row[3] is not None and row[4] is not None]
    dates = np.asarray(labelled["as_of_date"]).astype("datetime64[D]")
    return WhatIf(
        scorecard=card,
        champion=champion,
        today=today,
        tried=tried,
        newest=newest,
        account_count=len(scored),
        mean_today=float(np.mean([row[3] for row in scored])) if scored else float("nan"),
        mean_tried=float(np.mean([row[4] for row in scored])) if scored else float("nan"),
        bands=_band_order(seed_files, champion, card),
        moves=tuple(_moves(accounts)),
        moved=tuple(sorted(moved, key=lambda each: (-each.arr_amount, each.account_id))),
        fixed_count=sum(row[7] for row in accounts),
        lead_days=lead,
        horizon_days=horizon,
        first_month=dates.min().item() if len(dates) else None,
        last_month=dates.max().item() if len(dates) else None,
        row_count=len(dates),
        churner_count=churners,
        fewest_churners=int(limits["fewest_churners"]),
        capacity_share=limits["capacity_share"],
        compared=compared,
        history=tuple(Month(*row) for row in months),
        checked_count=checked,
        largest_gap=gap,
        notes=(
            "bands are those of the score alone, before and after: hysteresis is left out; "
            "accounts in a band by a knock-out or an override stay in it",
            "the months may be those on which the idea was found: what counts is a challenger "
            "that is scored from now on",
            *(
                f"months to {until} were scored by {name}: there, today is what {name} said, with "
                "its anchors on both sides"
                for name, until in earlier
            ),
        ),
    )


def _window(
    seed_files: Mapping[str, Path], lead: int | None, horizon: int | None
) -> tuple[int, int]:
    """The headline window of the seed validation_windows, as far as nothing else is asked for."""
    rows = read_seed("validation_windows", seed_files["validation_windows"]).rows if (
        "validation_windows" in seed_files
    ) else []  # fmt: skip
    headline = next((row for row in rows if row.text("is_headline") == "true"), None)
    first, second = (0, 60) if headline is None else (
        int(headline.number("lead_days") or 0),
        int(headline.number("horizon_days") or 60),
    )  # fmt: skip
    return first if lead is None else lead, second if horizon is None else horizon


def _newest(connection: Any, card: str) -> tuple[date, str]:
    rows = connection.execute(
        f"""
        select as_of_date, scoring_version
        from {SCHEMA}.fct_health__account_scores
        where scorecard_key = $card
        group by as_of_date, scoring_version
        order by as_of_date desc, count(*) desc, scoring_version
        limit 1
        """,
        {"card": card},
    ).fetchall()
    if not rows:
        raise HealthError(f"nobody has a score of {card}: run `customer-health run`")
    return rows[0][0], rows[0][1]


def _band_rows(
    seed_files: Mapping[str, Path], version: str, card: str
) -> list[tuple[str, int, float]]:
    """Bands of the scorecard, else of `*`: key, rank, lower bound."""
    rows = read_seed("bands", seed_files["bands"]).of_version(version)
    own = [row for row in rows if row.text("scorecard_key") == card]
    return sorted(
        (
            (
                row.text("band_key"),
                int(row.number("band_rank") or 0),
                float(row.number("lower_bound") or 0),
            )
            for row in own or [row for row in rows if row.text("scorecard_key") == ANY]
        ),
        key=lambda each: each[1],
    )


def _band_order(seed_files: Mapping[str, Path], version: str, card: str) -> tuple[str, ...]:
    return (*(row[0] for row in _band_rows(seed_files, version, card)), NO_SCORE_BAND)


def _load(
    connection: Any, seed_files: Mapping[str, Path], champion: str, card: str, tried: Weights
) -> None:
    """Temporary tables of the weights tried, the bands and the least coverage."""
    connection.execute(
        "create temporary table tried_weights "
        "(metric_key text, category_weight double, metric_weight double)"
    )
    rows = [
        (metric, tried.categories.get(tried.category_of[metric], 0.0), weight)
        for metric, weight in tried.metrics.items()
        if tried.effective(metric) > 0
    ]
    connection.executemany("insert into tried_weights values (?, ?, ?)", rows)
    connection.execute(
        "create temporary table tried_bands (band_key text, band_rank bigint, lower_bound double)"
    )
    connection.executemany(
        "insert into tried_bands values (?, ?, ?)", _band_rows(seed_files, champion, card)
    )
    least = [
        row.number("min_coverage")
        for row in read_seed("scorecards", seed_files["scorecards"]).of_version(champion)
        if row.text("scorecard_key") == card
    ]
    connection.execute("create temporary table tried_limits (min_coverage double)")
    connection.execute(
        "insert into tried_limits values (?)", [float(least[0] or 0) if least else 0]
    )


def _exact_sum(expression: str) -> str:
    return f"sum(cast({expression} as decimal(28, 12)))"


def _quotient(numerator: str, denominator: str) -> str:
    return f"(cast({numerator} as double) / nullif(cast({denominator} as double), 0))"


def _rounded(expression: str) -> str:
    return f"cast(round(cast({expression} as decimal(28, 12)), 10) as double)"


_KNOWN = "value_state in ('observed', 'zero')"
_APPLICABLE = "value_state in ('observed', 'zero', 'unknown')"
# The arithmetic of the models, on the published metric rows.
_SCORES = f"""
    create temporary table whatif_scores as

    with

    months as (
        select distinct as_of_date
        from {SCHEMA}.val_health__observations
        union
        select $newest
    ),

    metric_rows as (
        select metric_scores.*
        from {SCHEMA}.fct_health__metric_scores as metric_scores
        inner join months
            on metric_scores.as_of_date = months.as_of_date
        where metric_scores.scorecard_key = $scorecard
    ),

    weighted as (
        select
            'today' as which,
            account_id,
            as_of_date,
            category_key,
            value_state,
            metric_score,
            category_weight,
            metric_weight
        from metric_rows

        union all

        select
            'tried' as which,
            metric_rows.account_id,
            metric_rows.as_of_date,
            metric_rows.category_key,
            metric_rows.value_state,
            metric_rows.metric_score,
            tried_weights.category_weight,
            tried_weights.metric_weight
        from metric_rows
        inner join tried_weights
            on metric_rows.metric_key = tried_weights.metric_key
    ),

    categories as (
        select
            which,
            account_id,
            as_of_date,
            category_key,
            max(category_weight) as category_weight,
            {_quotient(
                _exact_sum(f"case when {_KNOWN} then metric_weight * metric_score end"),
                _exact_sum(f"case when {_KNOWN} then metric_weight end"),
            )} as category_score,
            {_quotient(
                f"coalesce({_exact_sum(f'case when {_KNOWN} then metric_weight end')}, 0)",
                _exact_sum(f"case when {_APPLICABLE} then metric_weight end"),
            )} as category_coverage
        from weighted
        group by which, account_id, as_of_date, category_key
    ),

    totals as (
        select
            which,
            account_id,
            as_of_date,
            {_rounded("10 * " + _quotient(
                _exact_sum("category_weight * category_score"),
                _exact_sum("case when category_score is not null then category_weight end"),
            ))} as score,
            {_rounded(_quotient(
                _exact_sum("category_weight * category_coverage"),
                _exact_sum("case when category_coverage is not null then category_weight end"),
            ))} as coverage
        from categories
        group by which, account_id, as_of_date
    )

    select
        totals.which,
        totals.account_id,
        totals.as_of_date,
        case when totals.coverage >= tried_limits.min_coverage then totals.score end
            as health_score_exact
    from totals
    cross join tried_limits
"""  # fmt: skip
_BOTH = f"""
    both_scores as (
        select
            scores.account_id,
            scores.as_of_date,
            scores.arr_amount,
            scores.band,
            scores.band_reason,
            floor(today.health_score_exact + 0.5) as score_today,
            floor(tried.health_score_exact + 0.5) as score_tried
        from {SCHEMA}.fct_health__account_scores as scores
        inner join whatif_scores as today
            on
                scores.account_id = today.account_id
                and scores.as_of_date = today.as_of_date
                and today.which = 'today'
        left join whatif_scores as tried
            on
                scores.account_id = tried.account_id
                and scores.as_of_date = tried.as_of_date
                and tried.which = 'tried'
    )
"""


def _raw_band(score: str) -> str:
    return (
        "coalesce((select tried_bands.band_key from tried_bands "
        f"where tried_bands.lower_bound <= {score} "
        f"order by tried_bands.lower_bound desc limit 1), '{NO_SCORE_BAND}')"
    )


_ACCOUNTS = f"""
    with {_BOTH}

    select
        both_scores.account_id,
        coalesce(accounts.account_name, both_scores.account_id) as account_name,
        coalesce(both_scores.arr_amount, 0) as arr_amount,
        both_scores.score_today,
        both_scores.score_tried,
        case
            when both_scores.band_reason in ('knockout', 'override') then both_scores.band
            else {_raw_band("both_scores.score_today")}
        end as band_today,
        case
            when both_scores.band_reason in ('knockout', 'override') then both_scores.band
            else {_raw_band("both_scores.score_tried")}
        end as band_tried,
        both_scores.band_reason in ('knockout', 'override') as is_fixed
    from both_scores
    left join {SCHEMA}.bi_health__account_360 as accounts
        on both_scores.account_id = accounts.account_id
    where both_scores.as_of_date = $newest
    order by both_scores.account_id
"""
_EARLIER_VERSIONS = f"""
    select
        scores.scoring_version,
        max(scores.as_of_date) as last_date
    from {SCHEMA}.fct_health__account_scores as scores
    inner join whatif_scores
        on
            scores.account_id = whatif_scores.account_id
            and scores.as_of_date = whatif_scores.as_of_date
            and whatif_scores.which = 'today'
    where scores.scoring_version <> $champion
    group by scores.scoring_version
    order by last_date
"""
_HISTORY = f"""
    with {_BOTH}

    select
        as_of_date,
        count(*) as account_count,
        avg(score_today) as mean_today,
        avg(score_tried) as mean_tried
    from both_scores
    where score_today is not null and score_tried is not null
    group by as_of_date
    order by as_of_date
"""
_LABELLED = f"""
    with {_BOTH}

    select
        both_scores.account_id,
        both_scores.as_of_date,
        observations.arr_amount,
        both_scores.score_today,
        both_scores.score_tried,
        coalesce(observations.days_to_churn < $lead + $horizon, false) as is_churned
    from both_scores
    inner join {SCHEMA}.val_health__observations as observations
        on
            both_scores.account_id = observations.account_id
            and both_scores.as_of_date = observations.as_of_date
            and observations.is_in_force
    where
        both_scores.score_today is not null
        and both_scores.score_tried is not null
        and observations.follow_up_days >= $lead + $horizon
        and not observations.is_in_notice
        and coalesce(observations.days_to_churn >= $lead, true)
        and not coalesce(
            observations.is_involuntary and observations.days_to_churn < $lead + $horizon, false
        )
    order by both_scores.account_id, both_scores.as_of_date
"""


def _only(parameters: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: parameters[name] for name in names}


def _agreement(connection: Any) -> tuple[int, float]:
    """How many published scores were computed again, and the largest difference (points).

    Raises:
        HealthError: when they differ: then nothing that is said here would be true.
    """
    count, gap, lost = connection.execute(
        f"""
        select
            count(*),
            coalesce(
                max(abs(scores.health_score_exact - whatif_scores.health_score_exact)), 0
            ),
            coalesce(sum(
                case
                    when (scores.health_score_exact is null)
                        <> (whatif_scores.health_score_exact is null) then 1
                    else 0
                end
            ), 0)
        from {SCHEMA}.fct_health__account_scores as scores
        inner join whatif_scores
            on
                scores.account_id = whatif_scores.account_id
                and scores.as_of_date = whatif_scores.as_of_date
                and whatif_scores.which = 'today'
        """
    ).fetchall()[0]
    if lost or gap > AGREEMENT:
        raise HealthError(
            f"today's weights do not give the published scores (largest difference {gap:.3g} "
            f"points, {lost} of {count} known on one side only): the readers' copy and the seeds "
            "do not belong together; run `customer-health run`"
        )
    return int(count), float(gap)


def _moves(accounts: Sequence[tuple[Any, ...]]) -> list[Move]:
    sums: dict[tuple[str, str], list[float]] = {}
    for row in accounts:
        cell = sums.setdefault((row[5], row[6]), [0, 0.0])
        cell[0] += 1
        cell[1] += row[2]
    return [
        Move(today, tried, int(count), amount) for (today, tried), (count, amount) in
        sorted(sums.items())
    ]  # fmt: skip


def _compare(
    labelled: Mapping[str, Any], limits: Mapping[str, float]
) -> tuple[dict[str, statistics.PairedDifference], int]:
    """Paired figures of today's and the tried score; empty with too few churners."""
    outcomes = np.asarray(labelled["is_churned"], dtype=np.float64)
    accounts = np.asarray(labelled["account_id"], dtype=object)
    churners = len(set(accounts[outcomes == 1]))
    if churners < limits["fewest_churners"] or outcomes.all():
        return {}, churners
    today = -as_read(_floats(labelled["score_today"]))
    tried = -as_read(_floats(labelled["score_tried"]))
    arr = _floats(labelled["arr_amount"])
    share = limits["capacity_share"]
    at_ten = statistics.recall_paired(today, tried, outcomes, 0.1, accounts)
    lift = statistics.PairedDifference(
        *(10 * value for value in (at_ten.figure_a, at_ten.figure_b, at_ten.difference,
                                   at_ten.low, at_ten.high, at_ten.standard_error))
    )  # fmt: skip
    samples = statistics.bootstrap_rows(accounts, repeats=200, seed=20260630)

    def amounts(rows: Any) -> tuple[float, float]:
        return (
            statistics.recall(today[rows], outcomes[rows], share, arr[rows]),
            statistics.recall(tried[rows], outcomes[rows], share, arr[rows]),
        )

    return {
        "auc": statistics.delong_paired(today, tried, outcomes, accounts),
        "lift_at_10_percent": lift,
        "recall_at_capacity": statistics.recall_paired(today, tried, outcomes, share, accounts),
        "arr_recall_at_capacity": statistics.bootstrap_difference(amounts, len(outcomes), samples),
    }, churners


def _floats(values: Any) -> Any:
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


# ---- telling ------------------------------------------------------------------------------------

_LABELS = {
    "auc": "AUC",
    "lift_at_10_percent": "Lift at 10%",
    "recall_at_capacity": "Recall at capacity",
    "arr_recall_at_capacity": "ARR recall at capacity",
}


def render(found: WhatIf, console: Console) -> None:
    """Print the weights, who moves, and what the past says."""
    _print_weights(found, console)
    _print_moves(found, console)
    _print_accounts(found, console)
    _print_figures(found, console)
    for note in found.notes:
        console.print(f"- {escape(note)}", soft_wrap=True, highlight=False)
    console.print(
        f"- today's weights reproduce {found.checked_count:,} published scores (largest "
        f"difference {found.largest_gap:.1e})",
        soft_wrap=True,
        highlight=False,
    )
    console.print("\nNothing was written.", highlight=False)


def _table(*headings: str, text: int = 1) -> Table:
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number < text else "right", overflow="fold")
    return table


def _print_weights(found: WhatIf, console: Console) -> None:
    table = _table("Weight of", "Today", "Tried")
    for category, weight in found.tried.categories.items():
        before = found.today.categories.get(category, 0.0)
        table.add_row(escape(category), f"{before:.3f}", _changed(before, weight))
        for metric in found.tried.members(category):
            now, new = found.today.metrics.get(metric, 0.0), found.tried.metrics[metric]
            if abs(now - new) > SUM_TOLERANCE:
                table.add_row(f"  {escape(metric)}", f"{now:.3f}", _changed(now, new))
    console.print(table)


def _changed(before: float, after: float) -> str:
    text = f"{after:.3f}"
    return f"[bold]{text}[/bold]" if abs(before - after) > SUM_TOLERANCE else f"[dim]{text}[/dim]"


def _print_moves(found: WhatIf, console: Console) -> None:
    rank = {band: number for number, band in enumerate(found.bands)}
    cells = {(move.today, move.tried): move for move in found.moves}
    used = [
        band
        for band in found.bands
        if any(band in (move.today, move.tried) for move in found.moves)
    ]
    table = _table(f"Band on {found.newest}", *(f"→ {band}" for band in used))
    for today in used:
        row = []
        for tried in used:
            move = cells.get((today, tried))
            text = "–" if move is None else f"{move.account_count:,} ({_short(move.arr_amount)})"
            row.append(f"[dim]{text}[/dim]" if today == tried else text)
        table.add_row(escape(today), *row)
    console.print(table)

    def total(sign: int) -> str:
        moves = [
            move
            for move in found.moves
            if (rank[move.tried] - rank[move.today]) * sign > 0
            and NO_SCORE_BAND not in (move.today, move.tried)
        ]
        count = sum(move.account_count for move in moves)
        return f"{count:,} accounts ({_short(sum(move.arr_amount for move in moves))} ARR)"

    console.print(
        f"Accounts (ARR) by band. To a worse band: {total(-1)}; to a better one: {total(1)}. Mean "
        f"score of {found.account_count:,} accounts: {found.mean_today:.1f} → "
        f"{found.mean_tried:.1f}. {found.fixed_count:,} held by a knock-out or an override.",
        soft_wrap=True,
        highlight=False,
    )


def _short(amount: float) -> str:
    for size, unit in ((1e9, "bn"), (1e6, "m"), (1e3, "k")):
        if abs(amount) >= size:
            return f"{amount / size:.1f}{unit}"
    return f"{amount:.0f}"


def _print_accounts(found: WhatIf, console: Console) -> None:
    if not found.moved:
        return
    table = _table("Account", "Name", "ARR", "Score", "Band", text=2)
    for each in found.moved[:SHOWN_ACCOUNTS]:
        table.add_row(
            escape(each.account_id),
            escape(printable(each.account_name)),
            f"{each.arr_amount:,.0f}",
            f"{_score(each.score_today)} → {_score(each.score_tried)}",
            escape(f"{each.band_today} → {each.band_tried}"),
        )
    console.print(table)
    more = len(found.moved) - SHOWN_ACCOUNTS
    if more > 0:
        console.print(f"and {more:,} more accounts change band (--json lists all)", highlight=False)


def _score(score: float | None) -> str:
    return "–" if score is None else f"{score:.0f}"


def _print_figures(found: WhatIf, console: Console) -> None:
    window = f"churn {found.lead_days} to {found.lead_days + found.horizon_days} days later"
    if not found.compared:
        console.print(
            f"- what the past says ({window}): not enough outcomes ({found.churner_count}, "
            f"{found.fewest_churners} are needed)",
            soft_wrap=True,
            highlight=False,
        )
        return
    table = _table("Figure", "Today", "Tried", "Difference [95% interval]", "Verdict")
    for name, each in found.compared.items():
        form = "{:.1%}" if "recall" in name else "{:.3f}"
        signed = form.replace(":", ":+")
        low, high = signed.format(each.low), signed.format(each.high)
        table.add_row(
            _LABELS[name],
            form.format(each.figure_a),
            form.format(each.figure_b),
            escape(f"{signed.format(each.difference)} [{low}, {high}]"),
            each.verdict.replace("_", " "),
        )
    console.print(table)
    console.print(
        f"- figures of {found.row_count:,} account-months with {found.churner_count} churned "
        f"accounts, {window}, scores of {found.first_month} to "
        f"{found.last_month}; capacity: the {found.capacity_share:.0%} with the lowest scores",
        soft_wrap=True,
        highlight=False,
    )
