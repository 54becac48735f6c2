"""The scoring rules in plain Python: an oracle for the SQL.

Written from the scoring document (docs/scoring-model.md), never from the SQL, so that an error in
one of the two shows as a difference. Two things make it independent in kind, not only in words:

* numbers are ``fractions.Fraction``: nothing is rounded before the last step, so a difference
  beyond 1e-9 is an error of the SQL's arithmetic and not of ours;
* bands are a state machine that walks the days of an account one by one, where the SQL uses
  window functions.

Where the document leaves a choice, the oracle takes the one named here:

* a count (absence `zero`) is known while its source has begun early enough and delivered lately, an
  answer (absence `unknown`) while it is not too old itself; a value too old is shown, not scored;
* a weight of 0 is no weight: the metric is not in the scorecard;
* the features of a churn model are the metric scores under the scorecard that is scored;
* confirm_days 0 means that the score of the day itself has to pass the edge by the margin;
* a knock-out compares known values, measured zeros and the churn probability included; `*` means
  every health scorecard; without a score the band of the knock-out stands;
* an override counts for the rows after the instant it was made, up to and including the midnight
  at which it expires, and only for health;
* the previous row of the ledger is the last one with a score, at most 91 days back.

Units: metric and category scores 0-10, account scores and points 0-100, shares 0-1, dates are
calendar days (a row for day d knows what happened before d 00:00 UTC).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise

ANY = "*"
KNOWN = frozenset({"observed", "zero"})
APPLICABLE = KNOWN | {"unknown"}
HEALTH = "health"
CHURN = "churn_probability"
INSUFFICIENT = "insufficient_data"
INTERCEPT = "intercept"

# -- policy rows ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoringVersion:
    """One row of the seed `scoring_versions`."""

    scoring_version: str
    churn_model_version: str | None = None
    status: str = "champion"
    valid_from: date = date(2020, 1, 1)


@dataclass(frozen=True)
class Scorecard:
    """One row of `scorecards`; min_coverage 0-1, hysteresis_points and fall_points 0-100."""

    scoring_version: str
    scorecard_key: str
    purpose: str
    min_coverage: float
    hysteresis_points: float
    confirm_days: int
    fall_points: float | None = None
    fall_days: int | None = None


@dataclass(frozen=True)
class ScorecardRule:
    """One row of `scorecard_rules`; None means any."""

    scoring_version: str
    priority: int
    scorecard_key: str
    segment: str | None = None
    plan: str | None = None
    lifecycle_stage: str | None = None
    tenure_days_from: int | None = None


@dataclass(frozen=True)
class Metric:
    """The columns of `metrics` that the scoring step reads."""

    scoring_version: str
    metric_key: str
    category_key: str
    source_key: str
    absence: str = "unknown"
    stale_after_days: int | None = None
    due_after_tenure_days: int | None = None
    interpolation: str = "linear"
    prior_value: float | None = None
    prior_strength: float | None = None


@dataclass(frozen=True)
class Anchor:
    """One anchor point of `metric_anchors`: at `value` the metric scores `score` (0-10)."""

    scoring_version: str
    scorecard_key: str
    metric_key: str
    tenure_days_from: int
    value: float
    score: float


@dataclass(frozen=True)
class CategoryWeight:
    """One row of `category_weights`."""

    scoring_version: str
    scorecard_key: str
    category_key: str
    weight: float


@dataclass(frozen=True)
class MetricWeight:
    """One row of `metric_weights`."""

    scoring_version: str
    scorecard_key: str
    metric_key: str
    weight: float


@dataclass(frozen=True)
class Band:
    """One row of `bands`; lower_bound is a whole score, rank 1 is the worst."""

    scoring_version: str
    scorecard_key: str
    band_key: str
    band_rank: int
    lower_bound: int


@dataclass(frozen=True)
class Knockout:
    """One row of `knockouts`: metric operator value caps the band."""

    scoring_version: str
    scorecard_key: str
    metric_key: str
    operator: str
    value: float
    worst_band_key: str
    reason: str = "reason"


@dataclass(frozen=True)
class ChurnBaseRate:
    """One row of `churn_base_rates`; churn_rate 0-1."""

    scoring_version: str
    segment: str
    tenure_days_from: int
    churn_rate: float
    account_count: int = 100


@dataclass(frozen=True)
class ChurnCoefficient:
    """One row of `churn_model`; mean and deviation are of the feature, None for the intercept."""

    scoring_version: str
    churn_model_version: str
    feature: str
    coefficient: float
    mean: float | None = None
    standard_deviation: float | None = None
    churner_count: int = 40


# -- rows about accounts -------------------------------------------------------------------------


@dataclass(frozen=True)
class SpineDay:
    """One account on one as_of_date."""

    account_id: str
    as_of_date: date
    segment: str | None
    plan: str | None
    tenure_days: int
    lifecycle_stage: str


@dataclass(frozen=True)
class ScoredVersion:
    """One scoring version on one date of the spine."""

    as_of_date: date
    scoring_version: str
    is_in_force: bool = True
    is_champion: bool = True
    churn_model_version: str | None = None


@dataclass(frozen=True)
class Signal:
    """What a signal model says; absent where it has nothing to say."""

    account_id: str
    as_of_date: date
    scoring_version: str
    metric_key: str
    metric_value: float | None
    observed_at: datetime | None
    sample_size: int | None
    value_state: str


@dataclass(frozen=True)
class SourceCoverage:
    """What one source covers, as known on one date."""

    source_key: str
    as_of_date: date
    is_connected: bool
    available_from: date | None
    available_to: date | None


@dataclass(frozen=True)
class Override:
    """A CSM's band for an account from created_at until expires_at."""

    override_id: str
    account_id: str
    band_key: str
    reason: str
    author_id: str
    created_at: datetime
    expires_at: datetime


@dataclass
class World:
    """Everything that the scoring step reads."""

    versions: list[ScoringVersion] = field(default_factory=list)
    scorecards: list[Scorecard] = field(default_factory=list)
    rules: list[ScorecardRule] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    anchors: list[Anchor] = field(default_factory=list)
    category_weights: list[CategoryWeight] = field(default_factory=list)
    metric_weights: list[MetricWeight] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    knockouts: list[Knockout] = field(default_factory=list)
    base_rates: list[ChurnBaseRate] = field(default_factory=list)
    coefficients: list[ChurnCoefficient] = field(default_factory=list)
    spine: list[SpineDay] = field(default_factory=list)
    scored_versions: list[ScoredVersion] = field(default_factory=list)
    signals: list[Signal] = field(default_factory=list)
    source_coverage: list[SourceCoverage] = field(default_factory=list)
    overrides: list[Override] = field(default_factory=list)


# -- results -------------------------------------------------------------------------------------

# (account_id, as_of_date, scoring_version, scorecard_key)
AccountKey = tuple[str, date, str, str]


@dataclass
class MetricResult:
    """One metric of an account, scored under one scorecard."""

    metric_key: str
    category_key: str
    category_weight: Fraction
    metric_weight: Fraction
    interpolation: str
    tenure_days: int
    value_state: str
    metric_value: float | None
    sample_size: int | None = None
    metric_score: Fraction | None = None
    effective_weight: Fraction | None = None
    metric_points: Fraction | None = None

    @property
    def is_known(self) -> bool:
        """Whether the metric has a value that counts."""
        return self.value_state in KNOWN

    @property
    def is_applicable(self) -> bool:
        """Whether the metric has, or should have, a value."""
        return self.value_state in APPLICABLE


@dataclass
class CategoryResult:
    """One category of an account; score None when none of its metrics is known."""

    category_key: str
    category_weight: Fraction
    category_score: Fraction | None
    known_metric_count: int
    applicable_metric_count: int
    category_points: Fraction | None


@dataclass
class AccountResult:
    """One account on one date under one scorecard."""

    purpose: str
    is_in_force: bool
    tenure_days: int
    metrics: dict[str, MetricResult]
    categories: dict[str, CategoryResult]
    score: Fraction | None
    health_score_exact: Fraction | None
    health_score: int | None
    score_without_churn_risk: Fraction | None
    coverage: Fraction | None
    connected_weight: Fraction | None
    score_low: Fraction | None
    score_high: Fraction | None
    known_metric_count: int
    applicable_metric_count: int


@dataclass
class BandResult:
    """The band of an account on one date, and why."""

    raw_band: str | None
    held_rank: int | None
    band: str
    band_reason: str
    band_since_date: date
    days_in_band: int


@dataclass
class ChurnResult:
    """The churn probability (0-1) of an account on one date, and where it comes from."""

    probability: float | None
    method: str | None
    sample_size: int | None = None


@dataclass
class ChangeResult:
    """The part of one metric in the change of a score, in points."""

    compared_date: date
    policy_points: Fraction
    behaviour_points: Fraction
    absence_points: Fraction

    @property
    def change_points(self) -> Fraction:
        """All three parts together."""
        return self.policy_points + self.behaviour_points + self.absence_points


@dataclass
class Results:
    """Everything that the scoring step says."""

    accounts: dict[AccountKey, AccountResult]
    bands: dict[AccountKey, BandResult]
    churn: dict[AccountKey, ChurnResult]
    # (account_id, as_of_date, lag, metric_key)
    changes: dict[tuple[str, date, str, str], ChangeResult]


# -- 1. metric score -----------------------------------------------------------------------------


Points = tuple[tuple[Fraction, Fraction], ...]


def anchor_score(points: Points, value: float, interpolation: str) -> Fraction:
    """Score (0-10) of a value: linear between neighbouring points, flat outside the ends.

    With `step` the score is that of the nearest point at or left of the value.
    """
    wanted = Fraction(value)
    if wanted <= points[0][0]:
        return points[0][1]
    for (left, left_score), (right, right_score) in pairwise(points):
        if left <= wanted < right:
            if interpolation == "step":
                return left_score
            return left_score + (right_score - left_score) * (wanted - left) / (right - left)
    return points[-1][1]


def anchor_points(anchors: Iterable[Anchor], scorecard_key: str, tenure_days: int) -> Points:
    """The points that count, by value: the scorecard's own before `*`, then the greatest tenure.

    anchors: of one version and metric, in any order. A set is used whole.
    """
    candidates = [
        anchor
        for anchor in anchors
        if anchor.scorecard_key in (scorecard_key, ANY) and anchor.tenure_days_from <= tenure_days
    ]
    if any(anchor.scorecard_key != ANY for anchor in candidates):
        candidates = [anchor for anchor in candidates if anchor.scorecard_key != ANY]
    reached = max(anchor.tenure_days_from for anchor in candidates)
    return tuple(
        sorted(
            (Fraction(anchor.value), Fraction(anchor.score))
            for anchor in candidates
            if anchor.tenure_days_from == reached
        )
    )


# -- 2. value and its state ----------------------------------------------------------------------


def value_and_state(
    metric: Metric,
    as_of_date: date,
    tenure_days: int,
    signal: Signal | None,
    coverage: SourceCoverage | None,
) -> tuple[float | None, str]:
    """The value that is shown and its state.

    An answer (absence `unknown`) ages by itself; a count (absence `zero`) is as good as its source:
    that must have begun early enough, and have delivered lately.
    """
    if coverage is None or not coverage.is_connected:
        return None, "not_connected"
    said = signal.value_state if signal is not None else None
    value = signal.metric_value if signal is not None and said == "observed" else None
    if said == "not_applicable":
        return None, "not_applicable"
    if tenure_days < (metric.due_after_tenure_days or 0) or said == "not_yet_due":
        return None, "not_yet_due"
    if metric.absence == "zero":
        if not covers(metric, as_of_date, coverage):
            return value, "unknown"
        if signal is None:
            return 0.0, "zero"
    elif signal is not None and is_stale(metric, as_of_date, signal.observed_at):
        return value, "unknown"
    return (value, "observed") if said == "observed" else (None, "unknown")


def is_stale(metric: Metric, as_of_date: date, moment: date | None) -> bool:
    """Whether a day, or the day of an instant, is longer ago than the metric allows."""
    if moment is None or metric.stale_after_days is None:
        return False
    day = moment.date() if isinstance(moment, datetime) else moment
    return (as_of_date - day).days > metric.stale_after_days


def covers(metric: Metric, as_of_date: date, coverage: SourceCoverage) -> bool:
    """Whether no rows of a source mean that there was nothing to record.

    It has delivered lately, and for as long as the metric takes to become due.
    """
    if coverage.available_from is None:
        return False
    covered_days = (as_of_date - coverage.available_from).days
    return covered_days >= (metric.due_after_tenure_days or 0) and not is_stale(
        metric, as_of_date, coverage.available_to
    )


# -- 3. category and account ---------------------------------------------------------------------


@cache
def exact(weight: float) -> Fraction:
    """A number as it is written: 0.1 is one tenth, not the float next to it."""
    return Fraction(repr(weight))


def quotient(numerator: Fraction, denominator: Fraction) -> Fraction | None:
    """numerator / denominator, None where nothing is to be divided by."""
    return numerator / denominator if denominator else None


def by_category(metrics: Iterable[MetricResult]) -> dict[str, list[MetricResult]]:
    """The metrics, grouped by their category."""
    grouped: dict[str, list[MetricResult]] = defaultdict(list)
    for metric in metrics:
        grouped[metric.category_key].append(metric)
    return grouped


def score_categories(metrics: Iterable[MetricResult]) -> dict[str, Fraction | None]:
    """Weighted mean of the known metric scores, per category."""
    scores = {}
    for category_key, members in by_category(metrics).items():
        known = [m for m in members if m.is_known and m.metric_score is not None]
        scores[category_key] = quotient(
            sum((m.metric_weight * (m.metric_score or Fraction()) for m in known), Fraction()),
            sum((m.metric_weight for m in known), Fraction()),
        )
    return scores


def points_of(metrics: Sequence[MetricResult]) -> dict[str, Fraction]:
    """The points (0-100) that each known metric contributes; their sum is the score.

    Empty when no metric is known.
    """
    category_scores = score_categories(metrics)
    grouped = by_category(metrics)
    total = sum(
        (
            grouped[category_key][0].category_weight
            for category_key, category_score in category_scores.items()
            if category_score is not None
        ),
        Fraction(),
    )
    points = {}
    for category_key, members in grouped.items():
        known = [m for m in members if m.is_known and m.metric_score is not None]
        known_weight = sum((m.metric_weight for m in known), Fraction())
        if category_scores[category_key] is None or not total:
            continue
        for member in known:
            share = member.metric_weight / known_weight * member.category_weight / total
            points[member.metric_key] = 10 * share * (member.metric_score or Fraction())
    return points


def set_effective_weights(metrics: Sequence[MetricResult]) -> None:
    """Share the weight of each category among its applicable metrics."""
    for members in by_category(metrics).values():
        applicable_weight = sum((m.metric_weight for m in members if m.is_applicable), Fraction())
        for member in members:
            if member.is_applicable and applicable_weight:
                member.effective_weight = (
                    member.category_weight * member.metric_weight / applicable_weight
                )


def bound(metrics: Iterable[MetricResult], unknown_score: int) -> Fraction | None:
    """The score under effective weights if every unknown metric had `unknown_score`."""
    total = weight = Fraction()
    for metric in metrics:
        if metric.effective_weight is not None:
            score = metric.metric_score if metric.is_known else Fraction(unknown_score)
            total += metric.effective_weight * (score or Fraction())
            weight += metric.effective_weight
    mean = quotient(total, weight)
    return None if mean is None else 10 * mean


def combine(
    metrics: Sequence[MetricResult],
    min_coverage: float,
    purpose: str = HEALTH,
    is_in_force: bool = True,
    churn_category: str | None = None,
) -> AccountResult:
    """Category scores, score, coverage, bounds and points of one account under one scorecard.

    churn_category: the category of churn probability, left out of score_without_churn_risk.
    Fills effective_weight and metric_points of the given metrics.
    """
    set_effective_weights(metrics)
    known = [m for m in metrics if m.is_known]
    applicable = [m for m in metrics if m.is_applicable]
    coverage = quotient(
        sum((m.effective_weight or Fraction() for m in known), Fraction()),
        sum((m.effective_weight or Fraction() for m in applicable), Fraction()),
    )
    points = points_of(metrics)
    score: Fraction | None = None
    if coverage is not None and coverage >= exact(min_coverage) and points:
        score = sum(points.values(), Fraction())
        for metric in metrics:
            if metric.is_known:
                metric.metric_points = points[metric.metric_key]
    health_score_exact = None if score is None else round(score, 10)
    connected = [m for m in metrics if m.value_state != "not_connected"]
    return AccountResult(
        purpose=purpose,
        is_in_force=is_in_force,
        tenure_days=metrics[0].tenure_days if metrics else 0,
        metrics={m.metric_key: m for m in metrics},
        categories=_categories(metrics, score is not None),
        score=score,
        health_score_exact=health_score_exact,
        health_score=(
            None if health_score_exact is None else math.floor(health_score_exact + Fraction(1, 2))
        ),
        score_without_churn_risk=None if score is None else score_without(metrics, churn_category),
        coverage=coverage,
        connected_weight=quotient(
            sum((m.category_weight * m.metric_weight for m in connected), Fraction()),
            sum((m.category_weight * m.metric_weight for m in metrics), Fraction()),
        ),
        score_low=bound(metrics, 0),
        score_high=bound(metrics, 10),
        known_metric_count=len(known),
        applicable_metric_count=len(applicable),
    )


def score_without(metrics: Iterable[MetricResult], category_key: str | None) -> Fraction | None:
    """The score as if a category did not exist; None when nothing else is known."""
    points = points_of([m for m in metrics if m.category_key != category_key])
    return sum(points.values(), Fraction()) if points else None


def _categories(metrics: Sequence[MetricResult], has_score: bool) -> dict[str, CategoryResult]:
    """The categories of an account, after their metrics have been given points."""
    scores = score_categories(metrics)
    results = {}
    for category_key, members in by_category(metrics).items():
        points = None
        if has_score and scores[category_key] is not None:
            points = sum((m.metric_points or Fraction() for m in members), Fraction())
        results[category_key] = CategoryResult(
            category_key=category_key,
            category_weight=members[0].category_weight,
            category_score=scores[category_key],
            known_metric_count=sum(m.is_known for m in members),
            applicable_metric_count=sum(m.is_applicable for m in members),
            category_points=points,
        )
    return results


def assigned_scorecards(world: World, day: SpineDay, version: str) -> dict[str, str]:
    """The scorecard of an account per purpose: the matching rule with the lowest priority."""
    purposes = {
        card.scorecard_key: card.purpose
        for card in world.scorecards
        if card.scoring_version == version
    }
    assigned: dict[str, str] = {}
    rules = (rule for rule in world.rules if rule.scoring_version == version)
    for rule in sorted(rules, key=lambda rule: rule.priority):
        if rule.scorecard_key in purposes and _matches(rule, day):
            assigned.setdefault(purposes[rule.scorecard_key], rule.scorecard_key)
    return assigned


def _matches(rule: ScorecardRule, day: SpineDay) -> bool:
    """Whether every condition of a rule holds; an empty condition always does."""
    return (
        rule.segment in (None, day.segment)
        and rule.plan in (None, day.plan)
        and rule.lifecycle_stage in (None, day.lifecycle_stage)
        and (rule.tenure_days_from is None or day.tenure_days >= rule.tenure_days_from)
    )


# -- churn probability ---------------------------------------------------------------------------


def base_rate_row(world: World, version: str, day: SpineDay) -> ChurnBaseRate | None:
    """The row of the segment, else of the plan, else of `*`, at the greatest tenure reached."""
    rows = [
        row
        for row in world.base_rates
        if row.scoring_version == version and row.tenure_days_from <= day.tenure_days
    ]
    for wanted in (day.segment, day.plan, ANY):
        matching = [row for row in rows if row.segment == wanted]
        if matching:
            return max(matching, key=lambda row: row.tenure_days_from)
    return None


def shrunk(row: ChurnBaseRate, metric: Metric) -> Fraction:
    """The rate of a row, pulled to the metric's prior: (n * rate + k * prior) / (n + k)."""
    rate, count = exact(row.churn_rate), row.account_count
    if metric.prior_value is None or metric.prior_strength is None:
        return rate
    prior, strength = exact(metric.prior_value), exact(metric.prior_strength)
    return (rate * count + prior * strength) / (count + strength)


def model_probability(
    coefficients: Iterable[ChurnCoefficient], features: Mapping[str, Fraction]
) -> float:
    """Logistic regression on metric scores; a missing feature takes its training mean."""
    log_odds = 0.0
    for row in coefficients:
        if row.feature == INTERCEPT:
            log_odds += row.coefficient
        elif row.feature in features and row.mean is not None and row.standard_deviation:
            standardised = (float(features[row.feature]) - row.mean) / row.standard_deviation
            log_odds += row.coefficient * standardised
    return 1 / (1 + math.exp(-log_odds))


def churn_probability(
    world: World, day: SpineDay, scored: ScoredVersion, features: Mapping[str, Fraction]
) -> ChurnResult:
    """Churn probability of an account: of the fitted model, else a base rate, else the prior.

    features: the known metric scores of the account under the scorecard that is scored.
    """
    version = scored.scoring_version
    rows = [
        row
        for row in world.coefficients
        if row.scoring_version == version and row.churn_model_version == scored.churn_model_version
    ]
    if rows:
        sample_size = max(row.churner_count for row in rows)
        return ChurnResult(model_probability(rows, features), "model", sample_size)
    metric = next(
        (m for m in world.metrics if (m.scoring_version, m.metric_key) == (version, CHURN)), None
    )
    if metric is None:
        return ChurnResult(None, None)
    rate_row = base_rate_row(world, version, day)
    if rate_row is not None:
        return ChurnResult(float(shrunk(rate_row, metric)), "base_rate", rate_row.account_count)
    return ChurnResult(metric.prior_value, None if metric.prior_value is None else "prior")


# -- 4. bands ------------------------------------------------------------------------------------


def bands_of(world: World, version: str, scorecard_key: str) -> list[Band]:
    """The bands of a scorecard from the worst to the best; its own rows before those of `*`."""
    rows = [band for band in world.bands if band.scoring_version == version]
    own = [band for band in rows if band.scorecard_key == scorecard_key]
    chosen = own or [band for band in rows if band.scorecard_key == ANY]
    return sorted(chosen, key=lambda band: band.band_rank)


@dataclass
class Edge:
    """The Schmitt trigger of one band edge, fed one row of an account after the other."""

    lower_bound: int
    hysteresis_points: Fraction
    confirm_days: int
    last_low: date | None = None
    last_high: date | None = None
    is_above: bool | None = None

    def feed(self, day: date, score: int | None, has_fallen: bool) -> bool | None:
        """Whether the account counts as above the edge after this row; None when unheard of."""
        if score is None:
            return self.is_above
        is_low = score < self.lower_bound + self.hysteresis_points
        is_high = score >= self.lower_bound - self.hysteresis_points
        if is_low:
            self.last_low = day
        if is_high:
            self.last_high = day
        # with confirm_days 0 the row itself still has to be past the edge
        if not is_low and self._is_long_ago(day, self.last_low):
            self.is_above = True
        elif not is_high and (self._is_long_ago(day, self.last_high) or has_fallen):
            self.is_above = False
        elif self.is_above is None:
            return score >= self.lower_bound
        return self.is_above

    def _is_long_ago(self, day: date, last: date | None) -> bool:
        """Whether nothing spoke against it within the confirmation time."""
        return last is None or (day - last).days >= self.confirm_days


def held_ranks(
    series: Sequence[tuple[date, int | None]], lower_bounds: Sequence[int], card: Scorecard
) -> list[int | None]:
    """The rank (1 is worst) that each row of one account holds; None while nothing is known.

    series: rows in the order of their dates; lower_bounds: of ranks 2 and up.
    """
    edges = [
        Edge(lower_bound, exact(card.hysteresis_points), card.confirm_days)
        for lower_bound in lower_bounds
    ]
    scores = dict(series)
    ranks: list[int | None] = []
    for day, score in series:
        sides = [edge.feed(day, score, has_fallen(scores, day, card)) for edge in edges]
        unknown = any(side is None for side in sides)
        ranks.append(None if unknown else 1 + sum(bool(side) for side in sides))
    return ranks


def has_fallen(scores: Mapping[date, int | None], day: date, card: Scorecard) -> bool:
    """Whether the score fell by fall_points against the row fall_days earlier."""
    if card.fall_points is None or card.fall_days is None:
        return False
    before, now = scores.get(day - timedelta(days=card.fall_days)), scores[day]
    return before is not None and now is not None and before - now >= exact(card.fall_points)


def operator_holds(operator: str, left: float, right: float) -> bool:
    """One comparison of the seed `knockouts`."""
    return {
        ">=": left >= right,
        ">": left > right,
        "<=": left <= right,
        "<": left < right,
        "=": left == right,
        "!=": left != right,
    }[operator]


def worst_knockout_rank(
    world: World,
    key: AccountKey,
    bands: Sequence[Band],
    values: Mapping[str, float],
    is_health: bool,
) -> int | None:
    """The lowest rank to which a knock-out caps the band; None where none applies.

    values: the known values of the account on that date, by metric_key. `*` means every health
    scorecard: an exception of another purpose names its scorecard.
    """
    _, _, version, scorecard_key = key
    ranks = {band.band_key: band.band_rank for band in bands}
    caps = [
        ranks[row.worst_band_key]
        for row in world.knockouts
        if row.scoring_version == version
        and (row.scorecard_key == scorecard_key or (row.scorecard_key == ANY and is_health))
        and row.worst_band_key in ranks
        and row.metric_key in values
        and operator_holds(row.operator, values[row.metric_key], row.value)
    ]
    return min(caps, default=None)


def active_override(world: World, account_id: str, as_of_date: date) -> Override | None:
    """The newest override of the account that has begun and not expired before the day."""
    midnight = datetime.combine(as_of_date, time())
    active = [
        row
        for row in world.overrides
        if row.account_id == account_id and row.created_at < midnight <= row.expires_at
    ]
    newest = max((row.created_at for row in active), default=None)
    return min(
        (row for row in active if row.created_at == newest),
        key=lambda row: row.override_id,
        default=None,
    )


def score_bands(
    world: World, index: Index, accounts: Mapping[AccountKey, AccountResult]
) -> dict[AccountKey, BandResult]:
    """Raw band, held band, exceptions and time in the band, for every row."""
    cards = {(card.scoring_version, card.scorecard_key): card for card in world.scorecards}
    series: dict[tuple[str, str, str], list[date]] = defaultdict(list)
    for account_id, as_of_date, version, scorecard_key in accounts:
        series[account_id, version, scorecard_key].append(as_of_date)
    results: dict[AccountKey, BandResult] = {}
    for (account_id, version, scorecard_key), days in series.items():
        days.sort()
        bands = bands_of(world, version, scorecard_key)
        keys = [(account_id, day, version, scorecard_key) for day in days]
        scores = [accounts[key].health_score for key in keys]
        ranks = held_ranks(
            list(zip(days, scores, strict=True)),
            [band.lower_bound for band in bands[1:]],
            cards[version, scorecard_key],
        )
        previous: BandResult | None = None
        for key, score, rank in zip(keys, scores, ranks, strict=True):
            is_health = accounts[key].purpose == HEALTH
            values = knockout_values(world, index, key, accounts[key])
            cap = worst_knockout_rank(world, key, bands, values, is_health)
            # a CSM judges the health of an account, not its place beside others
            override = active_override(world, account_id, key[1]) if is_health else None
            band, reason = _final_band(bands, score, rank, cap, override)
            raw = None if score is None else _raw_band(bands, score)
            is_same = previous is not None and previous.band == band
            since = previous.band_since_date if previous is not None and is_same else key[1]
            previous = BandResult(raw, rank, band, reason, since, (key[1] - since).days)
            results[key] = previous
    return results


def _raw_band(bands: Sequence[Band], score: int) -> str:
    """The best band whose lower bound the whole score reaches."""
    return [band.band_key for band in bands if score >= band.lower_bound][-1]


def _final_band(
    bands: Sequence[Band],
    score: int | None,
    rank: int | None,
    cap: int | None,
    override: Override | None,
) -> tuple[str, str]:
    """Band and reason: score < held < insufficient_data < knockout < override."""
    names = {band.band_rank: band.band_key for band in bands}
    if override is not None:
        return override.band_key, "override"
    if score is None or rank is None:
        return (INSUFFICIENT, INSUFFICIENT) if cap is None else (names[cap], "knockout")
    if cap is not None and cap < rank:
        return names[cap], "knockout"
    return names[rank], "score" if names[rank] == _raw_band(bands, score) else "held"


def knockout_values(
    world: World, index: Index, key: AccountKey, account: AccountResult
) -> dict[str, float]:
    """Known values of the metrics of knock-outs, with or without weight in the scorecard.

    A zero counts like a measured 0; what is stale or not yet due is not known.
    """
    account_id, as_of_date, version, _ = key
    values = {}
    for metric_key in {row.metric_key for row in world.knockouts}:
        measured = account.metrics.get(metric_key)
        metric = index.metrics.get((version, metric_key))
        if measured is not None:
            value, state = measured.metric_value, measured.value_state
        elif metric is not None:
            value, state = value_and_state(
                metric,
                as_of_date,
                account.tenure_days,
                index.signals.get((account_id, as_of_date, version, metric_key)),
                index.coverage.get((metric.source_key, as_of_date)),
            )
        else:
            continue
        if state in KNOWN and value is not None:
            values[metric_key] = value
    return values


# -- 7. the ledger of changes --------------------------------------------------------------------

LAGS: dict[str, int | None] = {"previous": None, "7": 7, "28": 28, "91": 91}
LONGEST_LAG_DAYS = 91


def explain_change(
    index: Index,
    version: str,
    scorecard_key: str,
    earlier: AccountResult,
    later: AccountResult,
) -> dict[str, tuple[Fraction, Fraction, Fraction]]:
    """Policy, behaviour and absence points per metric on the way from one score to another.

    P0 earlier; P1 earlier values under the later policy; P2 later values where known on both
    dates, earlier availability; P3 later.
    """
    path = [
        points_of(list(earlier.metrics.values())),
        points_of(_replayed(index, version, scorecard_key, earlier, later, is_later_value=False)),
        points_of(_replayed(index, version, scorecard_key, earlier, later, is_later_value=True)),
        points_of(list(later.metrics.values())),
    ]
    metric_keys = sorted(set().union(*path))
    parts = {}
    for metric_key in metric_keys:
        p0, p1, p2, p3 = (points.get(metric_key, Fraction()) for points in path)
        parts[metric_key] = (p1 - p0, p2 - p1, p3 - p2)
    return parts


def _replayed(
    index: Index,
    version: str,
    scorecard_key: str,
    earlier: AccountResult,
    later: AccountResult,
    *,
    is_later_value: bool,
) -> list[MetricResult]:
    """The metrics that were known earlier, under the weights and anchors of the later row."""
    rows = []
    for metric in later.metrics.values():
        before = earlier.metrics.get(metric.metric_key)
        if before is None or not before.is_known or before.metric_value is None:
            continue
        value = before.metric_value
        if is_later_value and metric.is_known and metric.metric_value is not None:
            value = metric.metric_value
        points = index.points_for(version, scorecard_key, metric.metric_key, later.tenure_days)
        rows.append(
            MetricResult(
                metric_key=metric.metric_key,
                category_key=metric.category_key,
                category_weight=metric.category_weight,
                metric_weight=metric.metric_weight,
                interpolation=metric.interpolation,
                tenure_days=later.tenure_days,
                value_state="observed",
                metric_value=value,
                metric_score=anchor_score(points, value, metric.interpolation),
            )
        )
    return rows


def score_changes(
    index: Index, accounts: Mapping[AccountKey, AccountResult]
) -> dict[tuple[str, date, str, str], ChangeResult]:
    """The ledger between the in-force health rows of every account."""
    scored: dict[str, dict[date, AccountKey]] = defaultdict(dict)
    for key, account in accounts.items():
        if account.is_in_force and account.purpose == HEALTH and account.score is not None:
            scored[key[0]][key[1]] = key
    changes = {}
    for account_id, keys in scored.items():
        for day, key in keys.items():
            for lag, compared in compared_dates(day, keys).items():
                _, _, version, scorecard_key = key
                parts = explain_change(
                    index, version, scorecard_key, accounts[keys[compared]], accounts[key]
                )
                for metric_key, (policy, behaviour, absence) in parts.items():
                    changes[account_id, day, lag, metric_key] = ChangeResult(
                        compared, policy, behaviour, absence
                    )
    return changes


def compared_dates(day: date, scored_days: Iterable[date]) -> dict[str, date]:
    """The dates with a score that a day is compared with, by lag.

    The previous one is the last day that has a score, no further back than the longest lag.
    """
    days = set(scored_days)
    compared = {}
    for lag, lag_days in LAGS.items():
        if lag_days is not None:
            if day - timedelta(days=lag_days) in days:
                compared[lag] = day - timedelta(days=lag_days)
            continue
        earlier = [d for d in days if 0 < (day - d).days <= LONGEST_LAG_DAYS]
        if earlier:
            compared[lag] = max(earlier)
    return compared


# -- all of it -----------------------------------------------------------------------------------


@dataclass
class Index:
    """Rows of a world by their keys."""

    metrics: dict[tuple[str, str], Metric]
    anchors: dict[tuple[str, str], list[Anchor]]
    points: dict[tuple[str, str, str, int], Points]
    signals: dict[tuple[str, date, str, str], Signal]
    coverage: dict[tuple[str, date], SourceCoverage]

    @classmethod
    def of(cls, world: World) -> Index:
        """The rows of a world."""
        anchors: dict[tuple[str, str], list[Anchor]] = defaultdict(list)
        for anchor in world.anchors:
            anchors[anchor.scoring_version, anchor.metric_key].append(anchor)
        return cls(
            {(row.scoring_version, row.metric_key): row for row in world.metrics},
            anchors,
            {},
            {
                (row.account_id, row.as_of_date, row.scoring_version, row.metric_key): row
                for row in world.signals
            },
            {(row.source_key, row.as_of_date): row for row in world.source_coverage},
        )

    def points_for(
        self, version: str, scorecard_key: str, metric_key: str, tenure_days: int
    ) -> Points:
        """The anchor points of a metric; remembered, because accounts share them."""
        key = (version, scorecard_key, metric_key, tenure_days)
        if key not in self.points:
            anchors = self.anchors[version, metric_key]
            self.points[key] = anchor_points(anchors, scorecard_key, tenure_days)
        return self.points[key]


def score_world(world: World) -> Results:
    """Score every account on every date under every version and purpose."""
    index = Index.of(world)
    versions: dict[date, list[ScoredVersion]] = defaultdict(list)
    for scored in world.scored_versions:
        versions[scored.as_of_date].append(scored)
    cards = {(card.scoring_version, card.scorecard_key): card for card in world.scorecards}
    churn_categories = {
        metric.scoring_version: metric.category_key
        for metric in world.metrics
        if metric.metric_key == CHURN
    }
    accounts: dict[AccountKey, AccountResult] = {}
    churn: dict[AccountKey, ChurnResult] = {}
    for day in world.spine:
        for scored in versions[day.as_of_date]:
            version = scored.scoring_version
            for purpose, scorecard_key in assigned_scorecards(world, day, version).items():
                key = (day.account_id, day.as_of_date, version, scorecard_key)
                metrics = _measured(world, index, day, version, scorecard_key)
                churn[key] = churn_probability(world, day, scored, _features(metrics))
                for metric in metrics:
                    if metric.metric_key == CHURN:
                        _set_churn(metric, churn[key])
                    _set_score(index, version, scorecard_key, metric)
                min_coverage = cards[version, scorecard_key].min_coverage
                accounts[key] = combine(
                    metrics,
                    min_coverage,
                    purpose,
                    scored.is_in_force,
                    churn_categories.get(version),
                )
    bands = score_bands(world, index, accounts)
    return Results(accounts, bands, churn, score_changes(index, accounts))


def _set_churn(metric: MetricResult, churn: ChurnResult) -> None:
    """Let the churn probability be the value of its metric."""
    metric.metric_value = churn.probability
    metric.value_state = "unknown" if churn.probability is None else "observed"
    metric.sample_size = churn.sample_size


def _features(metrics: Iterable[MetricResult]) -> dict[str, Fraction]:
    """Known metric scores by metric."""
    return {m.metric_key: m.metric_score for m in metrics if m.metric_score is not None}


def _measured(
    world: World, index: Index, day: SpineDay, version: str, scorecard_key: str
) -> list[MetricResult]:
    """The metrics with weight in a scorecard, valued and scored; churn probability not yet.

    A weight of 0, of the metric or of its category, is none.
    """
    category_weights = {
        row.category_key: row.weight
        for row in world.category_weights
        if row.scoring_version == version and row.scorecard_key == scorecard_key
    }
    rows = []
    for row in world.metric_weights:
        if row.scoring_version != version or row.scorecard_key != scorecard_key:
            continue
        metric = index.metrics[version, row.metric_key]
        if not row.weight or not category_weights[metric.category_key]:
            continue
        signal = index.signals.get((day.account_id, day.as_of_date, version, row.metric_key))
        covered = index.coverage.get((metric.source_key, day.as_of_date))
        value, state = value_and_state(metric, day.as_of_date, day.tenure_days, signal, covered)
        result = MetricResult(
            metric_key=row.metric_key,
            category_key=metric.category_key,
            category_weight=exact(category_weights[metric.category_key]),
            metric_weight=exact(row.weight),
            interpolation=metric.interpolation,
            tenure_days=day.tenure_days,
            value_state=state,
            metric_value=value,
            sample_size=signal.sample_size if signal is not None else None,
        )
        if metric.metric_key != CHURN:
            _set_score(index, version, scorecard_key, result)
        rows.append(result)
    return rows


def _set_score(index: Index, version: str, scorecard_key: str, metric: MetricResult) -> None:
    """Give a known metric its score."""
    metric.metric_score = None
    if metric.is_known and metric.metric_value is not None:
        points = index.points_for(version, scorecard_key, metric.metric_key, metric.tenure_days)
        metric.metric_score = anchor_score(points, metric.metric_value, metric.interpolation)
