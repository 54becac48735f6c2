"""`customer-health tune`: weights that the outcomes suggest, shrunk to today's.

The score is a weighted mean, so its weights can be fitted: a logistic regression of the outcome on
the metric scores whose coefficients may not be negative and are pulled to the ray of today's
weights (`sum log-loss + lambda * ||b − k * today||², b ≥ 0`, k free). At an infinite lambda it is
today's score; how far the data may pull away from it is decided over folds of accounts. A weight
changes only where today's lies outside its bootstrap interval, and all of them only where the new
score is no worse on later months.

The weight of churn_risk is held: its metric, the churn probability, is itself fitted to the same
outcomes, and a fit would believe it because it has seen them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import statistics
from customer_health.errors import HealthError
from customer_health.fitting import challenger as challengers
from customer_health.fitting import observations as reading
from customer_health.fitting.observations import Floats, Observations, Split
from customer_health.fitting.train import FOLDS, published_words
from customer_health.fitting.weights import (
    Weights,
    account_scores,
    as_read,
    category_scores,
    read_weights,
    to_decimals,
    weighted_mean,
)
from customer_health.policy import CHURN_PROBABILITY, plain_number
from customer_health.settings import Settings
from customer_health.validation import figures

# Strength of the pull to today's weights; at the last one the fit is today's score.
PULLS = (*(10.0**power for power in np.arange(-1.0, 5.5, 0.5)), np.inf)
REPEATS = 200
SEED = 20260630
KEEP, CHANGE = "keep", "change"


@dataclass(frozen=True)
class Suggestion:
    """One weight: of a category in the scorecard, or of a metric in its category.

    `low` and `high` are the middle 95% of the fits to samples of accounts; None where the weight
    is held. `suggested` is the fit where today's weight lies outside, else today's (rescaled, so
    that all sum to 1).
    """

    kind: str
    key: str
    category: str
    today: float
    fitted: float
    low: float | None
    high: float | None
    suggested: float

    @property
    def verdict(self) -> str:
        """`change`, `keep`, or `held`."""
        if self.low is None or self.high is None:
            return "held"
        return KEEP if self.low <= self.today <= self.high else CHANGE


@dataclass(frozen=True)
class Outcome:
    """How some weights rank the later months, beside today's.

    `auc` and `arr` hold today's figure, that of these weights and the difference; the interval of
    `auc` is DeLong's, that of `auc_bootstrap` and `arr` is over samples of accounts.
    """

    name: str
    auc: statistics.PairedDifference
    auc_bootstrap: statistics.Interval
    arr: statistics.PairedDifference


@dataclass(frozen=True)
class TuneReport:
    """What was found, and where it went."""

    challenger: challengers.Challenger
    split: Split
    pull: float | None
    suggestions: tuple[Suggestion, ...]
    today_auc: float | None
    today_interval: statistics.Interval | None
    today_arr: float | None
    outcomes: tuple[Outcome, ...]
    verdict: str
    reason: str
    capacity_share: float
    repeats: int
    seed: int
    notes: tuple[str, ...]
    command: str
    written: str = ""
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "result": "ok",
            "verdict": self.verdict,
            "reason": self.reason,
            "scoring_version": self.challenger.version if self.files else None,
            "scorecard_key": self.split.train.scorecard,
            "fitted_from": self.split.window_from,
            "fitted_to": self.split.split,
            "churner_count": self.split.train.churner_count,
            "churner_count_out_of_time": self.split.test.churner_count,
            "pull": None if self.pull is None or np.isinf(self.pull) else self.pull,
            "weights": [
                {
                    "kind": each.kind,
                    "key": each.key,
                    "category_key": each.category,
                    "today": each.today,
                    "fitted": each.fitted,
                    "low": each.low,
                    "high": each.high,
                    "suggested": each.suggested,
                    "verdict": each.verdict,
                }
                for each in self.suggestions
            ],
            "today_auc": self.today_auc,
            "out_of_time": [
                {
                    "weights": each.name,
                    "auc": each.auc.figure_b,
                    "auc_difference": each.auc.difference,
                    "difference_low": each.auc.low,
                    "difference_high": each.auc.high,
                    "bootstrap_low": each.auc_bootstrap.low,
                    "bootstrap_high": each.auc_bootstrap.high,
                    "arr_recall": each.arr.figure_b,
                    "arr_recall_difference": each.arr.difference,
                    "arr_recall_low": each.arr.low,
                    "arr_recall_high": each.arr.high,
                }
                for each in self.outcomes
            ],
            "notes": list(self.notes),
            "command": self.command,
            "files": list(self.files),
        }


# ---- the whole command --------------------------------------------------------------------------


def tune(
    settings: Settings,
    *,
    version: str | None = None,
    scorecard: str | None = None,
    lead_days: int = 0,
    horizon_days: int = 90,
    window_from: date | None = None,
    window_to: date | None = None,
    fit_churn_risk: bool = False,
    write_anyway: bool = False,
    repeats: int = REPEATS,
    seed: int = SEED,
) -> TuneReport:
    """Suggest weights, judge them on later months, and write them into a challenger version.

    Args:
        settings: project and home folder.
        version: challenger to write, and whose anchors and churn model are used; None as in
            `challenger.choose`.
        scorecard: health scorecard; None: that of most accounts.
        lead_days: days between the score and the window.
        horizon_days: length of the window in which a churn counts.
        window_from: first date to fit on.
        window_to: date by which every window to fit on has ended; the test begins there.
        fit_churn_risk: also fit the weight of the category of churn_probability.
        write_anyway: where the verdict is keep, write the fitted weights all the same.
        repeats: samples of accounts for the intervals.
        seed: of the samples.

    Raises:
        HealthError: for a version or a seed that is not to be written, or no history; with
            `write_anyway` also when there are too few churners to suggest anything. Nothing was
            written then.
        UsageError: for options that leave nothing to fit on.
    """
    from threadpoolctl import threadpool_limits

    challenger = challengers.choose(settings, version, "tune")
    limits = figures.read_limits(settings)
    files = challenger.seed_files
    with figures.open_marts(settings) as connection:
        card = reading.choose_scorecard(connection, scorecard)
        today = read_weights(files, challenger.champion, card)
        everything = reading.read_observations(
            connection,
            files,
            challenger.rows_of,
            scorecard=card,
            lead_days=lead_days,
            horizon_days=horizon_days,
            source=published_words(settings),
        )
    everything = reading.rescore_churn(everything, files, challenger.rows_of)
    scored = ~np.isnan(everything.health_score)
    split = reading.split_by_time(everything.where(scored), window_from, window_to)
    held = set() if fit_churn_risk else _held(today)
    free = [key for key, weight in today.categories.items() if weight > 0 and key not in held]
    report = TuneReport(
        challenger=challenger,
        split=split,
        pull=None,
        suggestions=(),
        today_auc=None,
        today_interval=None,
        today_arr=None,
        outcomes=(),
        verdict=KEEP,
        reason="",
        capacity_share=limits["capacity_share"],
        repeats=repeats,
        seed=seed,
        notes=everything.notes,
        command=_command(challenger, split, card, fit_churn_risk, write_anyway, repeats, seed),
    )
    fewest = int(limits["fewest_churners"])
    report = _with_today(report, today, fewest)
    least = int(limits["fewest_churners_per_category"]) * len(free)
    if split.train.churner_count < least:
        reason = (
            f"no suggested weights: {split.train.churner_count} accounts churned in the windows "
            f"fitted on, {least} are needed ({int(limits['fewest_churners_per_category'])} for "
            f"each of {len(free)} fitted categories)"
        )
        if write_anyway:
            raise HealthError(f"{reason}; there is nothing to write")
        return replace(report, reason=reason)
    with threadpool_limits(1):  # many small products: threads would only wait for each other
        pull, suggestions = suggest(split.train, today, held, repeats=repeats, seed=seed)
    report = replace(report, pull=pull, suggestions=suggestions)
    report = _judged(report, today, held, fewest)
    if report.verdict == KEEP and not write_anyway:
        return report
    chosen = "suggested" if report.verdict == CHANGE else "fitted"
    report = replace(report, written=chosen)
    return replace(report, files=tuple(_write(settings, report, today)))


def _held(weights: Weights) -> set[str]:
    """The category of churn_probability: circular."""
    category = weights.category_of.get(CHURN_PROBABILITY)
    return {category} if category in weights.categories and category is not None else set()


# ---- the fit ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """Inputs of the fit: m metrics of the free categories.

    `inputs` has shape (n, m): the metric scores, where a missing one stands at what it counts for
    under today's weights (the score of its category, else of the account), so that today's
    weights give exactly today's score. `today` has shape (m,) and sums to 1.
    """

    metrics: tuple[str, ...]
    inputs: Floats
    today: Floats
    outcomes: Floats


def make_problem(rows: Observations, weights: Weights, held: set[str]) -> Problem:
    """The inputs of the fit; rows without any known free metric are left out by the caller.

    Args:
        rows: to fit on.
        weights: today's.
        held: categories that are not fitted.
    """
    free = Weights(
        {key: weight for key, weight in weights.categories.items() if key not in held},
        weights.metrics,
        weights.category_of,
    )
    metrics = tuple(
        metric
        for metric in rows.metrics
        if weights.metrics.get(metric, 0) > 0
        and free.categories.get(weights.category_of.get(metric, ""), 0) > 0
    )
    scores = np.column_stack([rows.column(metric) for metric in metrics])
    categories, columns = category_scores(free, metrics, scores)
    outside = np.array([free.categories[category] for category in categories])
    whole = weighted_mean(columns, outside)
    filled = scores.copy()
    for number, metric in enumerate(metrics):
        column = columns[:, categories.index(free.category_of[metric])]
        stand_in = np.where(np.isnan(column), whole, column)
        missing = np.isnan(filled[:, number])
        filled[missing, number] = stand_in[missing]
    today = np.array([free.effective(metric) for metric in metrics])
    return Problem(metrics, filled, today / today.sum(), rows.outcomes)


def minimise(
    inputs: Floats,
    outcomes: Floats,
    today: Floats,
    pull: float,
    start: Floats | None = None,
) -> tuple[float, Floats]:
    """Minimise sum log-loss + pull * ||b − k * today||² over a, k ≥ 0 and b ≥ 0.

    The log odds of a churn are a − inputs @ b. For any b the best k is b·today / today·today, so
    that k need not be searched for; at an infinite pull only k is.

    Args:
        inputs: shape (n, m).
        outcomes: shape (n,), 0 or 1.
        today: shape (m,), today's weights, not negative and not all 0.
        pull: lambda.
        start: shape (m,), b to start from; None: the best multiple of today's weights.

    Returns:
        a and b, shape (m,).
    """
    from scipy.optimize import minimize

    middle = inputs.mean(axis=0)
    centred = inputs - middle
    if np.isinf(pull):
        slope, factor = _minimised(minimize, centred @ today[:, None], outcomes, None, np.ones(1))
        return slope + factor[0] * float(middle @ today), factor[0] * today
    if start is None:
        start = minimise(inputs, outcomes, today, np.inf)[1]
    direction = today / np.sqrt(today @ today)

    def penalty(weights: Floats) -> tuple[float, Floats]:
        distance = weights - (weights @ direction) * direction
        return pull * float(distance @ distance), 2 * pull * distance

    shift, weights = _minimised(minimize, centred, outcomes, penalty, start)
    return shift + float(middle @ weights), weights


def _minimised(
    minimize: Any, inputs: Floats, outcomes: Floats, penalty: Any, start: Floats
) -> tuple[float, Floats]:
    """Shift and weights of the least log-loss (L-BFGS-B, weights not negative)."""
    rate = float(np.clip(outcomes.mean(), 1e-6, 1 - 1e-6))

    def loss(at: Floats) -> tuple[float, Floats]:
        log_odds = at[0] - inputs @ at[1:]
        chance = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        residual = chance - outcomes
        value = float(np.sum(np.logaddexp(0.0, log_odds) - outcomes * log_odds))
        gradient = np.concatenate([[residual.sum()], -inputs.T @ residual])
        if penalty is not None:
            more, slope = penalty(at[1:])
            value, gradient[1:] = value + more, gradient[1:] + slope
        return value, gradient

    found = minimize(
        loss,
        np.concatenate([[np.log(rate / (1 - rate))], start]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(None, None), *[(0.0, None)] * inputs.shape[1]],
        options={"maxiter": 2000, "maxfun": 4000, "maxcor": 20, "ftol": 1e-11, "gtol": 1e-5},
    )
    return float(found.x[0]), np.asarray(found.x[1:], dtype=np.float64)


def choose_pull(problem: Problem, accounts: Any) -> float:
    """The pull with the least log-loss over folds of accounts; of equals the stronger one."""
    from sklearn.model_selection import GroupKFold

    folds = list(GroupKFold(FOLDS).split(problem.inputs, problem.outcomes, accounts))
    losses = []
    starts: dict[int, Floats] = {}
    for pull in PULLS:
        total = 0.0
        for number, (rows, others) in enumerate(folds):
            shift, weights = minimise(
                problem.inputs[rows],
                problem.outcomes[rows],
                problem.today,
                pull,
                starts.get(number),
            )
            starts[number] = weights
            log_odds = shift - problem.inputs[others] @ weights
            total += float(
                np.sum(np.logaddexp(0.0, log_odds) - problem.outcomes[others] * log_odds)
            )
        losses.append(total)
    least = min(losses)
    return max(pull for pull, loss in zip(PULLS, losses, strict=True) if loss <= least * (1 + 1e-9))


def suggest(
    train: Observations, today: Weights, held: set[str], *, repeats: int, seed: int
) -> tuple[float, tuple[Suggestion, ...]]:
    """Fitted weights with intervals, and what is suggested.

    Args:
        train: rows to fit on.
        today: weights of the champion.
        held: categories whose weight, and whose metrics, stay.
        repeats: samples of accounts.
        seed: of the samples.

    Returns:
        The pull, and one suggestion per category and metric with weight.
    """
    problem = make_problem(train, today, held)
    known = ~np.isnan(problem.inputs).any(axis=1)
    problem = replace(problem, inputs=problem.inputs[known], outcomes=problem.outcomes[known])
    accounts = train.accounts[known]
    pull = choose_pull(problem, accounts)
    coefficients = _fit(problem, slice(None), pull)
    fitted = _as_weights(problem, today, held, coefficients)
    drawn: dict[tuple[str, str], list[float]] = {}
    for rows in statistics.bootstrap_rows(accounts, repeats=repeats, seed=seed):
        sample = _as_weights(problem, today, held, _fit(problem, rows, pull, coefficients))
        for key, weight in sample.categories.items():
            drawn.setdefault(("category", key), []).append(weight)
        for key, weight in sample.metrics.items():
            drawn.setdefault(("metric", key), []).append(weight)
    return pull, tuple(_suggestions(today, fitted, held, drawn))


def _fit(problem: Problem, rows: Any, pull: float, start: Floats | None = None) -> Floats:
    outcomes = problem.outcomes[rows]
    if not outcomes.any() or outcomes.all():
        return problem.today
    return minimise(problem.inputs[rows], outcomes, problem.today, pull, start)[1]


def _as_weights(problem: Problem, today: Weights, held: set[str], fitted: Floats) -> Weights:
    """Coefficients as weights: shares of the free part, and within each category.

    Where nothing predicts (all coefficients 0), and within a category without any, today's stay.
    """
    total = float(fitted.sum())
    if total <= 0:
        return today
    free = 1 - sum(today.categories[key] for key in held)
    share = dict(zip(problem.metrics, free * fitted / total, strict=True))
    categories, metrics = dict(today.categories), dict(today.metrics)
    for category in today.categories:
        members = [metric for metric in problem.metrics if today.category_of[metric] == category]
        if category in held:
            continue
        categories[category] = sum(share[metric] for metric in members)
        if categories[category] > 0:
            for metric in today.members(category):
                metrics[metric] = share.get(metric, 0.0) / categories[category]
    return Weights(categories, metrics, today.category_of)


def _suggestions(
    today: Weights,
    fitted: Weights,
    held: set[str],
    drawn: Mapping[tuple[str, str], list[float]],
) -> list[Suggestion]:
    def one(kind: str, key: str, category: str, now: float, new: float) -> Suggestion:
        is_held = category in held
        ends = None if is_held else statistics.percentile_interval(drawn[kind, key])
        return Suggestion(
            kind,
            key,
            category,
            now,
            new,
            None if ends is None else ends.low,
            None if ends is None else ends.high,
            now,
        )

    found = _settled(
        [
            one("category", key, key, weight, fitted.categories[key])
            for key, weight in today.categories.items()
        ]
    )
    for category in today.categories:
        members = [
            one("metric", metric, category, today.metrics[metric], fitted.metrics[metric])
            for metric in today.members(category)
        ]
        if len(members) == 1:  # the only metric of its category has all of it
            members = [replace(each, low=None, high=None) for each in members]
        found += _settled(members)
    return found


def _settled(group: list[Suggestion]) -> list[Suggestion]:
    """Fill in `suggested`: changed weights as fitted, kept ones share the rest as today."""
    held = sum(each.today for each in group if each.verdict == "held")
    changed = sum(each.fitted for each in group if each.verdict == CHANGE)
    kept = sum(each.today for each in group if each.verdict == KEEP)
    rest = 1 - held - changed
    if kept <= 0 < rest - 1e-9:  # nothing is kept that could take the rest
        factor = (1 - held) / changed if changed else 1.0
        return [
            replace(each, suggested=each.fitted * factor if each.verdict == CHANGE else each.today)
            for each in group
        ]
    share = rest / kept if kept > 0 else 1.0
    return [
        replace(
            each,
            suggested={
                "held": each.today,
                CHANGE: each.fitted,
                KEEP: each.today * share,
            }[each.verdict],
        )
        for each in group
    ]


# ---- judging ------------------------------------------------------------------------------------


def weights_of(report: TuneReport, today: Weights, which: str) -> Weights:
    """The `fitted` or the `suggested` weights as they would be written (four decimals)."""
    shares: dict[str, dict[str, float]] = {"": {}}
    for each in report.suggestions:
        group = "" if each.kind == "category" else each.category
        shares.setdefault(group, {})[each.key] = getattr(each, which)
    rounded = {group: to_decimals(members) for group, members in shares.items() if members}
    metrics = {
        key: float(weight)
        for group, members in rounded.items()
        if group
        for key, weight in members.items()
    }
    categories = {key: float(weight) for key, weight in rounded[""].items()}
    return Weights(categories, {**today.metrics, **metrics}, today.category_of)


def equal_score(rows: Observations, today: Weights) -> Floats:
    """Every known metric alike, without churn probability: what no weights would say (0-100)."""
    places = [
        number
        for number, metric in enumerate(rows.metrics)
        if metric != CHURN_PROBABILITY and today.metrics.get(metric, 0) > 0
    ]
    return 10 * weighted_mean(rows.scores[:, places], np.ones(len(places)))


def _with_today(report: TuneReport, today: Weights, fewest: int) -> TuneReport:
    test = report.split.test
    if test.churner_count < fewest or not test.stayer_count:
        return report
    risk = -as_read(account_scores(today, test.metrics, test.scores))
    area = statistics.auc(risk, test.outcomes)
    return replace(
        report,
        today_auc=area,
        today_interval=statistics.hanley_mcneil(area, test.churner_count, test.stayer_count),
        today_arr=statistics.recall(risk, test.outcomes, report.capacity_share, test.arr),
    )


def _judged(report: TuneReport, today: Weights, held: set[str], fewest: int) -> TuneReport:
    """The report with the outcomes on later months and the verdict."""
    test = report.split.test
    changed = [each for each in report.suggestions if each.verdict == CHANGE]
    if report.today_auc is None:
        return replace(
            report,
            reason=f"not enough outcomes out of time ({test.churner_count}, {fewest} are needed) "
            "to see whether other weights do better",
        )
    samples = statistics.bootstrap_rows(test.accounts, repeats=report.repeats, seed=report.seed)
    before = -as_read(account_scores(today, test.metrics, test.scores))
    scores = {
        which: account_scores(weights_of(report, today, which), test.metrics, test.scores)
        for which in ("suggested", "fitted")
    }
    scores["equal"] = equal_score(test, today)
    outcomes = []
    for name, score in scores.items():
        known = ~np.isnan(score)
        outcomes.append(
            _compare(name, test, before, np.where(known, -as_read(score), before), samples,
                     report.capacity_share)
        )  # fmt: skip
    report = replace(report, outcomes=tuple(outcomes))
    if not changed:
        reason = "today's weight lies inside the interval of every fitted one"
        return replace(report, reason=reason)
    best = outcomes[0]
    if best.auc.low > 0:
        return replace(
            report,
            verdict=CHANGE,
            reason="the suggested weights rank the later months better than today's",
        )
    if best.auc.difference >= 0 and not best.arr.high < 0:
        return replace(
            report,
            verdict=CHANGE,
            reason="the suggested weights rank the later months no worse than today's, and "
            f"{len(changed)} of today's weights lie outside the interval of the fit",
        )
    return replace(
        report,
        reason=f"{len(changed)} of today's weights lie outside the interval of the fit, but the "
        "suggested ones rank the later months worse",
    )


def _compare(
    name: str,
    test: Observations,
    before: Floats,
    after: Floats,
    samples: list[Any],
    share: float,
) -> Outcome:
    def areas(rows: Any) -> tuple[float, float]:
        return (
            statistics.auc(before[rows], test.outcomes[rows]),
            statistics.auc(after[rows], test.outcomes[rows]),
        )

    def amounts(rows: Any) -> tuple[float, float]:
        return (
            statistics.recall(before[rows], test.outcomes[rows], share, test.arr[rows]),
            statistics.recall(after[rows], test.outcomes[rows], share, test.arr[rows]),
        )

    count = len(test.outcomes)
    bootstrap = statistics.bootstrap_difference(areas, count, samples)
    return Outcome(
        name,
        auc=statistics.delong_paired(before, after, test.outcomes, test.accounts),
        auc_bootstrap=statistics.Interval(bootstrap.low, bootstrap.high),
        arr=statistics.bootstrap_difference(amounts, count, samples),
    )


def _command(
    challenger: challengers.Challenger,
    split: Split,
    card: str,
    fit_churn_risk: bool,
    write_anyway: bool,
    repeats: int,
    seed: int,
) -> str:
    rows = split.train
    return (
        f"customer-health tune --version {challenger.version} --scorecard {card} "
        f"--lead {rows.lead_days} --horizon {rows.horizon_days} --from {split.window_from} "
        f"--to {split.split} --repeats {repeats} --seed {seed}"
        + (" --fit-churn-risk" if fit_churn_risk else "")
        + (" --write-anyway" if write_anyway else "")
    )


# ---- writing ------------------------------------------------------------------------------------


def _write(settings: Settings, report: TuneReport, today: Weights) -> list[str]:
    """Write the rows of the scorecard; one with weight 0 stays, so that it is seen and undone."""
    version, card = report.challenger.version, report.split.train.scorecard
    weights = weights_of(report, today, report.written)

    def is_mine(cells: Mapping[str, str]) -> bool:
        return cells["scoring_version"] == version and cells["scorecard_key"] == card

    shared = {"scoring_version": version, "scorecard_key": card}
    edits = {
        "category_weights": challengers.replace_rows(
            is_mine,
            [
                {**shared, "category_key": key, "weight": _text(weight)}
                for key, weight in weights.categories.items()
            ],
        ),
        "metric_weights": challengers.replace_rows(
            is_mine,
            [
                {**shared, "metric_key": key, "weight": _text(weight)}
                for key, weight in weights.metrics.items()
            ],
        ),
        "scoring_versions": challengers.version_edit(version, report.split.split),
    }
    return challengers.write(
        settings,
        report.challenger,
        edits,
        heading=f"Weights of {card}",
        evidence=evidence(report),
        reason=f"weights of {card} fitted to {report.split.window_from}..{report.split.split}",
    )


def _text(weight: float) -> str:
    from decimal import Decimal

    return plain_number(Decimal(repr(round(weight, 6))))


# ---- telling ------------------------------------------------------------------------------------


def evidence(report: TuneReport) -> str:
    """The section of the evidence file, Markdown."""
    import scipy

    lines = [
        f"`{report.command}`",
        "",
        f"Read from {report.split.train.source}; scipy {scipy.__version__}.",
        "",
        f"**Verdict: {report.verdict}.** {report.reason[:1].upper()}{report.reason[1:]}."
        + (
            " Written all the same, as asked for: the fitted weights."
            if report.written == "fitted"
            else ""
        ),
        "",
        *(f"- {line}" for line in _sentences(report)),
        "",
        "| weight of | today | fitted | 95% interval | verdict | suggested |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(cell.strip() for cell in row) + " |" for row in _rows(report)),
        "",
        "| weights, out of time | AUC | difference to today's (DeLong) | the same (bootstrap) "
        "| ARR recall | difference to today's |",
        "|---|---|---|---|---|---|",
        *("| " + " | ".join(row) + " |" for row in _outcome_rows(report)),
    ]
    return "\n".join(lines)


def _rows(report: TuneReport) -> list[tuple[str, ...]]:
    found = []
    for category in (each for each in report.suggestions if each.kind == "category"):
        found.append(_row(category, category.key))
        members = [
            each
            for each in report.suggestions
            if each.kind == "metric" and each.category == category.key
        ]
        if len(members) > 1:
            found += [_row(each, f"  {each.key}") for each in members]
    return found


def _row(each: Suggestion, label: str) -> tuple[str, ...]:
    interval = "" if each.low is None else f"[{each.low:.3f}, {each.high:.3f}]"
    return (
        label,
        f"{each.today:.3f}",
        f"{each.fitted:.3f}",
        interval,
        each.verdict,
        f"{each.suggested:.3f}",
    )


def _outcome_rows(report: TuneReport) -> list[tuple[str, ...]]:
    if report.today_auc is None or report.today_arr is None:
        return []
    rows: list[tuple[str, ...]] = [
        ("today's", f"{report.today_auc:.3f}", "", "", f"{report.today_arr:.1%}", "")
    ]
    for each in report.outcomes:
        rows.append(
            (
                each.name,
                f"{each.auc.figure_b:.3f}",
                f"{each.auc.difference:+.3f} [{each.auc.low:+.3f}, {each.auc.high:+.3f}]",
                f"[{each.auc_bootstrap.low:+.3f}, {each.auc_bootstrap.high:+.3f}]",
                f"{each.arr.figure_b:.1%}",
                f"{each.arr.difference:+.1%} [{each.arr.low:+.1%}, {each.arr.high:+.1%}]",
            )
        )
    return rows


def _sentences(report: TuneReport) -> list[str]:
    train, test = report.split.train, report.split.test
    found = [
        f"Fitted on {len(train.outcomes):,} account-months ({train.first_date} to "
        f"{train.last_date}, windows over by {report.split.split}) of {train.account_count:,} "
        f"accounts of scorecard {train.scorecard}, {train.churner_count} of which churned "
        f"{train.lead_days} to {train.lead_days + train.horizon_days} days after the score."
    ]
    if test.first_date is not None:
        found.append(
            f"Tested on {len(test.outcomes):,} account-months ({test.first_date} to "
            f"{test.last_date}), {test.churner_count} churned accounts. ARR recall: share of the "
            f"ARR that churned among the {report.capacity_share:.0%} of accounts with the lowest "
            "scores."
        )
    if report.pull is not None:
        strength = (
            "so strong that the fit is today's weights"
            if np.isinf(report.pull)
            else f"lambda = {report.pull:g}"
        )
        found.append(
            f"Pull to today's weights: {strength}, chosen over {FOLDS} folds of accounts; "
            f"intervals from {report.repeats} samples of accounts (seed {report.seed}). Kept "
            "weights share what the changed ones leave, in today's proportions."
        )
    held = [
        each.key
        for each in report.suggestions
        if each.kind == "category" and each.verdict == "held"
    ]
    if held:
        found.append(
            f"The weight of {', '.join(held)} is held: churn probability is itself fitted to these "
            "outcomes, so a fit would trust it for having seen them (--fit-churn-risk fits it all "
            "the same)."
        )
    return [*found, *report.notes]


def render(report: TuneReport, console: Console) -> None:
    """Print the verdict first, then the weights, the later months, and what was written."""
    colour = "green" if report.verdict == CHANGE else "yellow"
    console.print(
        f"[bold {colour}]Verdict: {report.verdict}[/bold {colour}] – {escape(report.reason)}",
        soft_wrap=True,
        highlight=False,
    )
    if report.suggestions:
        table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
        table.add_column("Weight of")
        for heading in ("Today", "Fitted", "95% interval"):
            table.add_column(heading, justify="right")
        table.add_column("Verdict")
        table.add_column("Suggested", justify="right")
        for row in _rows(report):
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)
    rows = _outcome_rows(report)
    if rows:
        table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
        table.add_column("Weights")
        for heading in ("AUC later", "Less today's", "Bootstrap", "ARR recall", "Less today's"):
            table.add_column(heading, justify="right")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        console.print(table)
    for line in _sentences(report):
        console.print(f"- {escape(line)}", soft_wrap=True, highlight=False)
    if report.files:
        anyway = "\nWritten all the same: the fitted weights." if report.written == "fitted" else ""
        console.print(
            anyway + challengers.written_words(report.challenger, report.files),
            soft_wrap=True,
            highlight=False,
        )
    else:
        console.print(
            "\nNothing was written. Try an idea of your own with customer-health what-if.",
            soft_wrap=True,
            highlight=False,
        )
