"""`customer-health train`: the churn probability, fitted to what followed.

A logistic regression on the metric scores of the past (ridge penalty, chosen by cross-validation
over accounts), written as rows of the seed `churn_model` for a person to review. Scoring stays
SQL: int_health__churn_probabilities adds the same coefficients up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from customer_health import statistics
from customer_health.anchors import (
    MIN_TENURE_DAYS,
    REPORTED_PERCENTILES,
    anchors_from_percentiles,
    score_values,
)
from customer_health.errors import HealthError, UsageError
from customer_health.fitting import challenger as challengers
from customer_health.fitting import observations as reading
from customer_health.fitting.observations import Feature, Floats, Model, Observations, Split
from customer_health.policy import ANY, CHURN_PROBABILITY, INTERCEPT, plain_number, read_seed
from customer_health.settings import Settings
from customer_health.validation import figures

DECIMALS = 6  # of what is written: the figures are those of the rounded numbers
PENALTIES = tuple(10.0**power for power in np.arange(-4.0, 1.5, 0.5))  # C of scikit-learn
FOLDS = 5
LEAST_SHARE_KNOWN = 0.02
Points = tuple[tuple[Decimal, Decimal], ...]


@dataclass(frozen=True)
class Judged:
    """How good a probability is on some rows.

    `auc` and the rest are None where too few accounts churned; `churner_count` says how many.
    """

    churner_count: int
    account_count: int
    row_count: int
    base_rate: float | None
    auc: float | None = None
    interval: statistics.Interval | None = None
    brier_skill: float | None = None
    slope: float | None = None


@dataclass(frozen=True)
class Anchors:
    """Anchors of the metric churn_probability, and what they make of the new probabilities.

    Spread and ends are those of the metric score (0-10) over the rows fitted on; `mean_before` is
    the mean metric score of today's probability under today's anchors.
    """

    before: Points
    after: Points
    is_written: bool
    mean_before: float
    deviation_before: float
    mean_after: float
    deviation_after: float
    deviation_if_kept: float
    share_at_ends_if_kept: float
    remark: str = ""


@dataclass(frozen=True)
class TrainReport:
    """What was fitted, how good it is, and where it went."""

    challenger: challengers.Challenger
    split: Split
    model: Model
    penalty: float
    known_shares: dict[str, float]
    remarks: dict[str, str]
    fitted: Judged
    validated_auc: float
    tested: Judged
    today: Judged
    difference: statistics.PairedDifference | None
    anchors: Anchors
    churn_weight: float
    seed_auc: float
    notes: tuple[str, ...]
    command: str
    fewest_churners: int
    files: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "result": "ok",
            "scoring_version": self.challenger.version,
            "is_new": self.challenger.is_new,
            "scorecard_key": self.split.train.scorecard,
            "churn_model_version": self.model.name,
            "trained_from": self.split.window_from,
            "trained_to": self.split.split,
            "penalty_c": self.penalty,
            "coefficients": {
                INTERCEPT: self.model.intercept,
                **{each.metric: each.coefficient for each in self.model.features},
            },
            "in_time": _plain(self.fitted),
            "cross_validated_auc": self.validated_auc,
            "out_of_time": _plain(self.tested),
            "today_out_of_time": _plain(self.today),
            "auc_difference": None
            if self.difference is None
            else {
                "difference": self.difference.difference,
                "low": self.difference.low,
                "high": self.difference.high,
            },
            "anchors": [[float(value), float(score)] for value, score in self.anchors.after],
            "notes": list(self.notes),
            "command": self.command,
            "files": list(self.files),
        }


def _plain(judged: Judged) -> dict[str, Any]:
    return {
        "churner_count": judged.churner_count,
        "account_count": judged.account_count,
        "observation_count": judged.row_count,
        "base_rate": judged.base_rate,
        "auc": judged.auc,
        "auc_low": None if judged.interval is None else judged.interval.low,
        "auc_high": None if judged.interval is None else judged.interval.high,
        "brier_skill": judged.brier_skill,
        "calibration_slope": judged.slope,
    }


# ---- the whole command --------------------------------------------------------------------------


def train(
    settings: Settings,
    *,
    version: str | None = None,
    scorecard: str | None = None,
    lead_days: int = 0,
    horizon_days: int = 90,
    window_from: date | None = None,
    window_to: date | None = None,
    keep_anchors: bool = False,
) -> TrainReport:
    """Fit, judge and write a churn model into a challenger version.

    Args:
        settings: project and home folder.
        version: challenger to write; None as in `challenger.choose`.
        scorecard: health scorecard to fit on; None: that of most accounts.
        lead_days: days between the score and the window.
        horizon_days: length of the window in which a churn counts.
        window_from: first date to fit on.
        window_to: date by which every window to fit on has ended; the test begins there.
        keep_anchors: leave the anchors of the metric churn_probability as they are.

    Raises:
        HealthError: for too few churners, no history, a version or a seed that is not to be
            written. Nothing was written then.
        UsageError: for options that leave nothing to fit on.
    """
    challenger = challengers.choose(settings, version, "train")
    limits = figures.read_limits(settings)
    rows_of = challenger.rows_of
    with figures.open_marts(settings) as connection:
        card = reading.choose_scorecard(connection, scorecard)
        churn_weight = _churn_weight(challenger, card)
        everything = reading.read_observations(
            connection,
            challenger.seed_files,
            rows_of,
            scorecard=card,
            lead_days=lead_days,
            horizon_days=horizon_days,
            source=published_words(settings),
        )
    split = reading.split_by_time(everything, window_from, window_to)
    fewest = int(limits["fewest_churners"])
    if split.train.churner_count < fewest:
        raise HealthError(
            f"not enough outcomes ({split.train.churner_count}): {fewest} churned accounts are "
            f"needed in the windows from {split.window_from} to {split.split}. Fit on more months "
            "(--from, --to), a longer --horizon or more history; until then the base rates of like "
            "accounts say what can be said (customer-health base-rates)"
        )
    name = f"churn_{split.split.isoformat().replace('-', '_')}"
    model, penalty, validated = fit(split.train, name)
    model = rounded(model)
    anchors = _anchors(split.train, model, challenger, keep=keep_anchors)
    tested = _judge(_probabilities(model, split.test), split.test, fewest)
    report = TrainReport(
        challenger=challenger,
        split=split,
        model=model,
        penalty=penalty,
        known_shares={
            each.metric: float(np.mean(~np.isnan(split.train.column(each.metric))))
            for each in model.features
        },
        remarks={
            each.metric: "points the other way" for each in model.features if each.coefficient > 0
        },
        fitted=_judge(_probabilities(model, split.train), split.train, fewest),
        validated_auc=validated,
        tested=tested,
        today=_judge(split.test.churn_probability, split.test, fewest),
        difference=_difference(model, split.test, fewest),
        anchors=anchors,
        churn_weight=churn_weight,
        seed_auc=round(validated if tested.auc is None else tested.auc, 4),
        notes=(*everything.notes, *_notes(split, model, everything)),
        command=_command(challenger, split, card, keep_anchors),
        fewest_churners=fewest,
    )
    return replace(report, files=tuple(_write(settings, report)))


def fit(train: Observations, name: str) -> tuple[Model, float, float]:
    """Fit the regression; the penalty has the least log-loss over folds of accounts.

    Args:
        train: rows to fit on.
        name: of the model.

    Returns:
        The model, C of scikit-learn, and the AUC of the probabilities that each fold got from
        the others.

    Raises:
        HealthError: when no metric says anything.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.model_selection import GroupKFold

    metrics = [
        metric
        for metric in train.metrics
        if metric != CHURN_PROBABILITY and _is_useful(train.column(metric))
    ]
    if not metrics:
        raise HealthError("no metric differs between accounts: there is nothing to fit on")
    scores = np.column_stack([train.column(metric) for metric in metrics])
    means = np.asarray(np.nanmean(scores, axis=0)).round(DECIMALS)
    deviations = np.asarray(np.nanstd(scores, axis=0)).round(DECIMALS)
    inputs = np.nan_to_num((scores - means) / deviations)
    folds = list(GroupKFold(FOLDS).split(inputs, train.outcomes, train.accounts))

    def fitted(penalty: float, rows: Any) -> Any:
        regression = LogisticRegression(
            C=penalty, solver="newton-cholesky", tol=1e-10, max_iter=1000
        )
        return regression.fit(inputs[rows], train.outcomes[rows])

    best: tuple[float, float, float] | None = None
    for penalty in PENALTIES:
        left_out = np.full(len(inputs), np.nan)
        for rows, others in folds:
            left_out[others] = fitted(penalty, rows).predict_proba(inputs[others])[:, 1]
        loss = float(log_loss(train.outcomes, left_out))
        if best is None or loss < best[0]:
            best = loss, penalty, statistics.auc(left_out, train.outcomes)
    assert best is not None
    regression = fitted(best[1], slice(None))
    features = tuple(
        Feature(
            metric,
            float(regression.coef_[0][number]),
            float(means[number]),
            float(deviations[number]),
        )
        for number, metric in enumerate(metrics)
    )
    return Model(name, float(regression.intercept_[0]), features), best[1], best[2]


def _is_useful(scores: Floats) -> bool:
    known = scores[~np.isnan(scores)]
    return len(known) >= LEAST_SHARE_KNOWN * len(scores) and float(np.std(known)) > 1e-3


def rounded(model: Model) -> Model:
    """The model as it is written: what is judged is what a reviewer sees."""
    return Model(
        model.name,
        round(model.intercept, DECIMALS),
        tuple(
            replace(each, coefficient=round(each.coefficient, DECIMALS)) for each in model.features
        ),
    )


def published_words(settings: Settings) -> str:
    """What is read, in words."""
    from customer_health import publication

    last = publication.last_publication(settings)
    return "the published copy" if last is None else f"publication {last.publication_id}"


def _probabilities(model: Model, rows: Observations) -> Floats:
    return model.probabilities(rows.metrics, rows.scores)


def _churn_weight(challenger: challengers.Challenger, card: str) -> float:
    """Weight of the category of churn_probability in the scorecard.

    Raises:
        UsageError: when the scorecard does not weigh it: a model would change no score.
    """
    files, version = challenger.seed_files, challenger.rows_of

    def rows(name: str) -> list[Any]:
        found = read_seed(name, files[name])
        return [row for row in found.of_version(version)]

    weighted = {
        row.text("metric_key"): row.number("weight")
        for row in rows("metric_weights")
        if row.text("scorecard_key") == card
    }
    category = {row.text("metric_key"): row.text("category_key") for row in rows("metrics")}
    weights = {
        row.text("category_key"): row.number("weight")
        for row in rows("category_weights")
        if row.text("scorecard_key") == card
    }
    inside = weighted.get(CHURN_PROBABILITY)
    outside = weights.get(category.get(CHURN_PROBABILITY, ""))
    if not inside or not outside:
        raise UsageError(
            f"--scorecard: {card} does not weigh {CHURN_PROBABILITY} in version {version}, so a "
            "model would change no score; name one that does, or give the metric a weight"
        )
    return float(inside * outside)


# ---- judging ------------------------------------------------------------------------------------


def _judge(probabilities: Floats, rows: Observations, fewest: int) -> Judged:
    known = ~np.isnan(probabilities)
    rows, probabilities = rows.where(known), probabilities[known]
    churners = rows.churner_count
    base = float(rows.outcomes.mean()) if len(rows.outcomes) else None
    if churners < fewest or not rows.stayer_count:
        return Judged(churners, rows.account_count, len(rows.outcomes), base)
    area = statistics.auc(probabilities, rows.outcomes)
    slope = statistics.calibration(probabilities, rows.outcomes).slope
    return Judged(
        churners,
        rows.account_count,
        len(rows.outcomes),
        base,
        auc=area,
        interval=statistics.hanley_mcneil(area, churners, rows.stayer_count),
        brier_skill=statistics.brier_skill(probabilities, rows.outcomes),
        slope=None if np.isnan(slope) else slope,
    )


def _difference(
    model: Model, test: Observations, fewest: int
) -> statistics.PairedDifference | None:
    """AUC of the model less that of today's probability, on the rows that have both."""
    rows = test.where(~np.isnan(test.churn_probability))
    if rows.churner_count < fewest or not rows.stayer_count:
        return None
    return statistics.delong_paired(
        rows.churn_probability, _probabilities(model, rows), rows.outcomes, rows.accounts
    )


def _anchors(
    train: Observations, model: Model, challenger: challengers.Challenger, *, keep: bool
) -> Anchors:
    """New anchors of churn_probability: percentiles of the probabilities fitted on.

    A model spreads probabilities otherwise than base rates do. Under anchors made for base rates
    most accounts would score the same, and the category would say nothing.
    """
    probabilities = _probabilities(model, train)
    files = challenger.seed_files
    before = tuple(
        sorted(
            (row.number("value") or Decimal(0), row.number("score") or Decimal(0))
            for row in read_seed("metric_anchors", files["metric_anchors"]).of_version(
                challenger.champion
            )
            if _is_default_anchor(row.cells)
        )
    )
    grown = probabilities[train.tenure_days >= MIN_TENURE_DAYS]
    after = anchors_from_percentiles(
        {
            percentile: float(np.percentile(grown if len(grown) else probabilities, percentile))
            for percentile in REPORTED_PERCENTILES
        },
        is_rising=False,
    )
    remark = ""
    if keep:
        after, remark = before, "kept, as asked for"
    elif len(after) < 2:
        after, remark = before, "kept: the probabilities hardly differ between accounts"
    elif not before:
        after, remark = before, "there are none of scorecard *, tenure 0: set them by hand"
    now = reading.score_metric(
        files,
        challenger.champion,
        train.scorecard,
        CHURN_PROBABILITY,
        train.churn_probability,
        train.tenure_days,
    )
    now = now[~np.isnan(now)]
    kept = score_values(probabilities, before) if before else np.zeros(len(probabilities))
    new = score_values(probabilities, after) if after else kept
    return Anchors(
        before=before,
        after=after,
        is_written=not remark,
        mean_before=float(now.mean()) if len(now) else float("nan"),
        deviation_before=float(now.std()) if len(now) else float("nan"),
        mean_after=float(new.mean()),
        deviation_after=float(new.std()),
        deviation_if_kept=float(kept.std()),
        share_at_ends_if_kept=float(np.mean((kept == 0) | (kept == 10))),
        remark=remark,
    )


def _is_default_anchor(cells: Any) -> bool:
    return (
        cells["metric_key"] == CHURN_PROBABILITY
        and cells["scorecard_key"] == ANY
        and cells["tenure_days_from"] == "0"
    )


def _notes(split: Split, model: Model, everything: Observations) -> list[str]:
    notes = []
    left_out = [
        metric
        for metric in everything.metrics
        if metric != CHURN_PROBABILITY and metric not in {each.metric for each in model.features}
    ]
    if left_out:
        notes.append(f"left out, because hardly known or without any spread: {', '.join(left_out)}")
    last = split.test.last_date
    if last is None:
        notes.append(f"no score from {split.split} on is followed far enough to test on")
    return notes


def _command(
    challenger: challengers.Challenger, split: Split, card: str, keep_anchors: bool
) -> str:
    rows = split.train
    return (
        f"customer-health train --version {challenger.version} --scorecard {card} "
        f"--lead {rows.lead_days} --horizon {rows.horizon_days} --from {split.window_from} "
        f"--to {split.split}" + (" --keep-anchors" if keep_anchors else "")
    )


# ---- writing ------------------------------------------------------------------------------------


def model_rows(report: TrainReport) -> list[dict[str, str]]:
    """Rows of the seed churn_model."""
    shared = {
        "scoring_version": report.challenger.version,
        "churn_model_version": report.model.name,
        "trained_from": report.split.window_from.isoformat(),
        "trained_to": report.split.split.isoformat(),
        "churner_count": str(report.fitted.churner_count),
        "auc": _text(report.seed_auc),
    }
    rows = [
        {
            **shared,
            "feature": INTERCEPT,
            "coefficient": _text(report.model.intercept),
            "mean": "",
            "standard_deviation": "",
        }
    ]
    return rows + [
        {
            **shared,
            "feature": each.metric,
            "coefficient": _text(each.coefficient),
            "mean": _text(each.mean),
            "standard_deviation": _text(each.standard_deviation),
        }
        for each in report.model.features
    ]


def _text(number: float) -> str:
    return plain_number(Decimal(repr(round(number, DECIMALS))))


def _write(settings: Settings, report: TrainReport) -> list[str]:
    version = report.challenger.version
    edits = {
        "churn_model": challengers.replace_rows(
            lambda cells: cells["scoring_version"] == version, model_rows(report)
        ),
        "scoring_versions": challengers.version_edit(
            version, report.split.split, churn_model_version=report.model.name
        ),
    }
    if report.anchors.is_written:
        edits["metric_anchors"] = challengers.replace_rows(
            lambda cells: cells["scoring_version"] == version and _is_default_anchor(cells),
            [
                {
                    "scoring_version": version,
                    "scorecard_key": ANY,
                    "metric_key": CHURN_PROBABILITY,
                    "tenure_days_from": "0",
                    "value": plain_number(value),
                    "score": plain_number(score),
                }
                for value, score in report.anchors.after
            ],
        )
    return challengers.write(
        settings,
        report.challenger,
        edits,
        heading="Churn model",
        evidence=evidence(report),
        reason=f"churn model fitted to {report.split.window_from}..{report.split.split}",
    )


# ---- telling ------------------------------------------------------------------------------------


def evidence(report: TrainReport) -> str:
    """The section of the evidence file: everything a reviewer needs, as Markdown."""
    import sklearn

    lines = [
        f"`{report.command}`",
        "",
        f"Read from {report.split.train.source}; scikit-learn {sklearn.__version__}.",
        "",
        *(f"- {line}" for line in _sentences(report)),
        "",
        "| feature | coefficient | odds ratio per standard deviation | known | remark |",
        "|---|---|---|---|---|",
        *(
            "| " + " | ".join(row) + " |"
            for row in ((INTERCEPT, f"{report.model.intercept:.4f}", "", "", ""), *_rows(report))
        ),
    ]
    return "\n".join(lines)


def _rows(report: TrainReport) -> list[tuple[str, str, str, str, str]]:
    ordered = sorted(report.model.features, key=lambda each: each.coefficient)
    return [
        (
            each.metric,
            f"{each.coefficient:.4f}",
            f"{np.exp(each.coefficient):.2f}",
            f"{report.known_shares[each.metric]:.0%}",
            report.remarks.get(each.metric, ""),
        )
        for each in ordered
    ]


def _sentences(report: TrainReport) -> list[str]:
    """The findings in words; the same on the terminal and in the evidence."""
    train, test = report.split.train, report.split.test
    window = f"{train.lead_days} to {train.lead_days + train.horizon_days} days after the score"
    found = [
        f"Fitted on {len(train.outcomes):,} account-months ({train.first_date} to "
        f"{train.last_date}, windows over by {report.split.split}) of {train.account_count:,} "
        f"accounts of scorecard {train.scorecard}, {train.churner_count} of which churned "
        f"{window}. Penalty C = {report.penalty:g}, chosen over {FOLDS} folds of accounts.",
        f"AUC on the rows fitted on {_auc_words(report.fitted, report.fewest_churners)}; "
        f"cross-validated over accounts {report.validated_auc:.3f}.",
    ]
    if test.first_date is None:
        found.append("Not tested out of time: no later score is followed far enough.")
    else:
        found.append(
            f"Out of time ({test.first_date} to {test.last_date}): AUC "
            f"{_auc_words(report.tested, report.fewest_churners)}; today's probability on the same "
            f"months {_auc_words(report.today, report.fewest_churners)}."
        )
    if report.difference is not None:
        found.append(
            f"The model less today's probability: {report.difference.difference:+.3f} "
            f"[{report.difference.low:+.3f}, {report.difference.high:+.3f}] (paired, one witness "
            f"per account): {report.difference.verdict.replace('_', ' ')}."
        )
    for judged, who in ((report.tested, "the model"), (report.today, "today's probability")):
        if judged.brier_skill is not None:
            slope = "none" if judged.slope is None else f"{judged.slope:.2f}"
            found.append(
                f"Calibration of {who} out of time: Brier skill {judged.brier_skill:+.3f} against "
                f"the base rate of {judged.base_rate:.2%}, slope {slope} (1 is right; below, "
                "the probabilities are too extreme)."
            )
    if report.tested.auc is None:
        found.append(
            "The seed's column auc has the cross-validated AUC: too few accounts churned out of "
            "time to measure it there. Look again when more months are over."
        )
    found.append(_anchor_words(report))
    found.extend(report.notes)
    return found


def _auc_words(judged: Judged, fewest: int) -> str:
    if judged.auc is None or judged.interval is None:
        return f"not enough outcomes ({judged.churner_count}, {fewest} are needed)"
    return (
        f"{judged.auc:.3f} [{judged.interval.low:.3f}, {judged.interval.high:.3f}] "
        f"({judged.churner_count} churned accounts)"
    )


def _anchor_words(report: TrainReport) -> str:
    anchors = report.anchors
    points = ", ".join(f"{value} → {score}" for value, score in anchors.after)
    moved = 10 * report.churn_weight * (anchors.mean_after - anchors.mean_before)
    shift = (
        ""
        if np.isnan(moved)
        else f" Its mean metric score goes from {anchors.mean_before:.1f} to "
        f"{anchors.mean_after:.1f}, which alone moves the mean health score by {moved:+.1f} "
        "points: look at the bands before you promote."
    )
    if not anchors.is_written:
        return f"Anchors of {CHURN_PROBABILITY} {anchors.remark}: {points}.{shift}"
    return (
        f"Anchors of {CHURN_PROBABILITY}: {points} (percentiles of the fitted probabilities, as "
        "customer-health anchors takes them: the median account scores 7). The old ones are made "
        "for base rates: with them the metric score would have a standard deviation of "
        f"{anchors.deviation_if_kept:.1f} and {anchors.share_at_ends_if_kept:.0%} of the values at "
        f"0 or 10; with these {anchors.deviation_after:.1f}.{shift}"
    )


def render(report: TrainReport, console: Console) -> None:
    """Print the table, the findings and what to do next."""
    table = Table(header_style="bold", pad_edge=False, box=box.SIMPLE)
    table.add_column("Feature (metric score)")
    for heading in ("Coefficient", "Odds ratio per 1 SD", "Known"):
        table.add_column(heading, justify="right")
    table.add_column("Remark")
    table.add_row(INTERCEPT, f"{report.model.intercept:.4f}", "", "", "")
    for row in _rows(report):
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    for line in _sentences(report):
        console.print(f"- {escape(line)}", soft_wrap=True, highlight=False)
    console.print(
        challengers.written_words(report.challenger, report.files),
        soft_wrap=True,
        highlight=False,
    )
