"""Made validation marts for the tests of `validate`: what each figure should be is known here.

`make_marts` writes a readers' copy whose AUC agrees with its observations, as that of the SQL does;
its arguments plant what a test is about.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from customer_health import statistics
from customer_health.settings import Settings

AS_OF = date(2026, 6, 30)
LEADS = (0, 30, 60, 90)
SCORES = ("health_score", "score_without_churn_risk", "equal_weights", "churn_probability")
BANDS = ("critical", "at_risk", "healthy", "thriving")
Rows = list[dict[str, Any]]
VERDICTS = {
    "usable": "Usable: AUC 0.80.",
    "weak": "Weak: AUC 0.65.",
    "no_usable_signal": "No usable signal: AUC 0.52.",
    "not_enough_outcomes": "Not enough outcomes: 3 churners among 40 accounts.",
    "suspicious": "Suspicious: the metric logins alone reaches an AUC of 0.95.",
}


def observations(accounts: int = 400, churned: int = 60, seed: int = 7) -> Rows:
    """One observation an account: churners score lower, scores are whole numbers with ties."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(accounts):
        is_churned = number < churned
        score = int(np.clip(random.normal(45 if is_churned else 62, 12), 0, 100))
        rows.append(
            {
                "account_id": f"A{number:04}",
                "as_of_date": date(2026, 1, 4),
                "health_score": score,
                "days_to_churn": int(random.integers(0, 60)) if is_churned else None,
                "follow_up_days": 160,
                "is_in_notice": False,
                "is_involuntary": False,
                "is_out_of_time": True,
            }
        )
    # left out by the rule: not followed to the end, in notice, bankrupt, gone before the window
    left_out = {"health_score": 0, "days_to_churn": 5, "follow_up_days": 160}
    reasons: Rows = [
        {"follow_up_days": 59},
        {"is_in_notice": True},
        {"is_involuntary": True},
        {"health_score": None},
    ]
    for number, more in enumerate(reasons):
        rows.append({**rows[0], **left_out, "account_id": f"Z{number}", **more})
    return rows


def auc_of(rows: Rows) -> float:
    """AUC of the health score in the headline window."""
    counted = [row for row in rows if not row["account_id"].startswith("Z")]
    return statistics.auc(
        [-row["health_score"] for row in counted],
        [int(row["days_to_churn"] is not None) for row in counted],
    )


def _figures(auc: float | None, **more: Any) -> dict[str, Any]:
    """What a row of discrimination says besides its key."""
    known = auc is not None
    return {
        "observation_count": 400,
        "churned_observation_count": 60,
        "account_count": 400,
        "churner_count": 60,
        "base_rate": 0.15,
        "has_enough_outcomes": known,
        "auc": auc,
        "auc_low": auc - 0.05 if auc is not None else None,
        "auc_high": min(auc + 0.05, 1.0) if auc is not None else None,
        "lift_at_10_percent": 4.2 if known else None,
        "lift_at_20_percent": 2.9 if known else None,
        "recall_at_capacity": 0.42 if known else None,
        "arr_recall_at_capacity": 0.38 if known else None,
        **more,
    }


def make_rows(
    *,
    verdict_key: str = "usable",
    auc: float | None = None,
    lead_aucs: tuple[float, float, float] = (0.79, 0.77, 0.74),
    metric_aucs: dict[str, float] | None = None,
    far_metric_aucs: dict[str, float] | None = None,
    segment: str = "smb",
    name: str = "Harbour Foods",
    needs_leak_tests: bool = False,
    critical_caught: int = 18,
    recall: float = 0.42,
    rows: Rows | None = None,
    has_outcomes: bool = True,
) -> dict[str, Rows]:
    """Rows of every mart.

    Args:
        verdict_key: of the verdict mart.
        auc: of the health score in the headline window; by default that of the observations.
        lead_aucs: at 30, 60 and 90 days of lead.
        metric_aucs: AUC alone per metric, at every lead.
        far_metric_aucs: those from 30 days of lead on, where they differ.
        segment: name of a segment, and of a plan and a metric.
        name: of an account that is a false green.
        needs_leak_tests: of the verdict mart.
        critical_caught: churned account-months that were Critical, of 60.
        recall: at capacity.
        rows: the observations.
        has_outcomes: whether there are outcomes enough for figures.
    """
    observed = observations() if rows is None else rows
    key = {"scoring_version": "v1", "scorecard_key": "standard"}
    headline = auc_of(observed) if auc is None and has_outcomes else auc
    at_leads = dict(zip(LEADS, (headline, *lead_aucs), strict=True))
    metrics = metric_aucs if metric_aucs is not None else {"logins": 0.72, "csat": 0.66}
    out_of_time = {"slice_kind": "period", "slice_value": "out_of_time"}
    everything = {"slice_kind": "all", "slice_value": "all"}

    discrimination: Rows = []
    for lead in LEADS:
        window = {**key, "lead_days": lead, "horizon_days": 60, "is_headline": lead == 0}
        for which in (everything, out_of_time):
            for place, predictor in enumerate(SCORES):
                value = at_leads[lead]
                shown = None if value is None or not has_outcomes else value - 0.02 * place
                more = {"recall_at_capacity": recall} if shown is not None else {}
                discrimination.append(
                    {**window, **which, "predictor_kind": "score", "predictor_key": predictor,
                     **_figures(shown, **more)}
                )  # fmt: skip
            for metric, value in metrics.items():
                far = (far_metric_aucs or {}).get(metric, value)
                shown = (value if lead == 0 else far) if has_outcomes else None
                discrimination.append(
                    {**window, **which, "predictor_kind": "metric", "predictor_key": metric,
                     **_figures(shown)}
                )  # fmt: skip
        for kind in ("segment", "plan"):
            discrimination.append(
                {**window, "slice_kind": kind, "slice_value": segment, "predictor_kind": "score",
                 "predictor_key": "health_score",
                 **_figures(at_leads[lead] if has_outcomes else None)}
            )  # fmt: skip

    shares = (critical_caught, 40 - critical_caught, 15, 5)
    window = {**key, "lead_days": 0, "horizon_days": 60, "is_headline": True, **out_of_time}
    bands: Rows = [
        {**window, "outcome": outcome, "band": band, "band_rank": rank + 1,
         "observation_count": 100, "outcome_count": shares[rank], "rate": shares[rank] / 100,
         "rate_low": max(shares[rank] / 100 - 0.05, 0), "rate_high": shares[rank] / 100 + 0.06,
         "arr_amount": 1e6, "outcome_arr_amount": 1e4 * shares[rank]}
        for outcome in ("churn", "renewal")
        for rank, band in enumerate(BANDS)
    ]  # fmt: skip
    summary = _figures(headline) if has_outcomes else _figures(None, churner_count=3)
    marts: dict[str, Rows] = {
        "fct_health__account_scores": [
            {**key, "account_id": row["account_id"], "as_of_date": AS_OF,
             "health_score_exact": 50.0}
            for row in observed
        ],
        "fct_health__publications": [
            {"publication_id": "2026-06-30T1-abc", "published_at": AS_OF, "as_of_date": AS_OF}
        ],
        "dim_health__accounts": [{"account_id": "A0001", "account_name": name}],
        "val_health__observations": [{**key, **row} for row in observed],
        "val_health__discrimination": discrimination,
        "val_health__band_outcomes": bands,
        "val_health__band_order": [{**window, "verdict_key": "monotone"}],
        "val_health__trend_agreement": [
            {**window, "trend": trend, "outcome": "churn", "observation_count": 90,
             "outcome_count": 9, "rate": 0.1 + 0.05 * (trend == "falling"), "rate_low": 0.05,
             "rate_high": 0.2}
            for trend in ("falling", "level", "rising")
        ],
        "val_health__survival": [
            {**key, "band": band, "band_rank": rank + 1, "duration_days": days,
             "at_risk_count": 80, "churn_count": 1, "survival": 1 - (4 - rank) * days / 4000,
             "survival_low": 0.5, "survival_high": 1.0, "is_milestone": True}
            for rank, band in enumerate(BANDS)
            for days in (90, 180, 365)
        ],
        "val_health__churn_warnings": [
            {**key, "account_id": "A0001", "churn_date": date(2026, 3, 1), "segment": segment,
             "plan": segment, "arr_amount": 12_000.0, "score_before": 70, "band_before": "healthy",
             "is_false_green": True, "warning_kind": "fall", "lead_days": 20}
        ],
        "val_health__warning_summary": [
            {**key, **out_of_time, "churner_count": 60, "judged_count": 50,
             "false_green_count": 8, "false_green_share": 0.16 if has_outcomes else None,
             "share_low": 0.08, "share_high": 0.29, "warned_count": 45,
             "median_lead_days": 75.0 if has_outcomes else None}
        ],
        "val_health__calibration": [
            {**window, "bin": place, "observation_count": 40, "mean_predicted": 0.03 * place,
             "observed_rate": 0.028 * place, "observed_low": 0.02 * place,
             "observed_high": 0.04 * place}
            for place in range(1, 11)
        ],
        "val_health__calibration_summary": [
            {**window, "churn_probability_method": "base_rate", "base_rate": 0.15,
             "mean_predicted": 0.16, "brier_skill": 0.08 if has_outcomes else None,
             "slope": 0.9 if has_outcomes else None}
        ],
        "val_health__metrics": [
            {**key, "metric_key": metric, "category_key": segment, "weight": 0.5 / (place + 1),
             "auc": value if has_outcomes else None,
             "auc_low": value - 0.05 if has_outcomes else None,
             "auc_high": value + 0.05 if has_outcomes else None, "coverage": 0.9,
             "score_spread": 2.5, "correlation_group": 1, "present_churn_rate": 0.1,
             "missing_churn_rate": float("nan")}
            for place, (metric, value) in enumerate(metrics.items())
        ],
        "val_health__metric_cohorts": [
            {**key, "metric_key": metric, "cohort": cohort, "churn_rate": 0.3 / cohort,
             "rate_low": 0.2 / cohort, "rate_high": 0.4 / cohort}
            for metric in metrics
            for cohort in range(1, 11)
        ],
        "val_health__stability": [
            {**key, "as_of_date": date(2026, month, 1), "account_count": 300, "psi": 0.02,
             "psi_critical": 0.05, "is_shifted": month == 3, "rank_correlation_7_days": 0.97,
             "flaps_per_account_year": 0.4}
            for month in range(1, 7)
        ],
        "val_health__base_trend": [
            {**key, "from_date": date(2025, 7, 6), "to_date": date(2026, 6, 7),
             "first_mean_score": 60.0, "last_mean_score": 63.0, "points_per_90_days": 0.8,
             "low": 0.1, "high": 1.5}
        ],
        "val_health__verdict": [
            {**window, **summary, "auc_plan_stratified": headline, "best_metric_key": "logins",
             "needs_leak_tests": needs_leak_tests, "verdict_key": verdict_key,
             "verdict": VERDICTS[verdict_key]}
        ],
        "bi_health__portfolio_daily": [
            {"as_of_date": date(2026, 1, 4) + timedelta(weeks=week), "dimension": "all",
             "dimension_value": "all", "band": band, "arr_amount": 1e6 + week * 1e4,
             "mean_health_score": 60.0 + week / 10}
            for week in range(10)
            for band in ("all", *BANDS)
        ],
    }  # fmt: skip
    return marts


def make_marts(settings: Settings, marts: dict[str, Rows] | None = None, **planted: Any) -> None:
    """Write a readers' copy with these marts, or with those of `make_rows`."""
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.published.unlink(missing_ok=True)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute("create schema customer_health")
        for name, rows in (make_rows(**planted) if marts is None else marts).items():
            table = pa.Table.from_pylist(rows)
            connection.register("made", table)
            connection.execute(f"create table customer_health.{name} as select * from made")
            connection.unregister("made")
