"""A made-up company whose churns follow known weights, as the published marts that fits read.

The scorecard `standard` is replaced by a small one: four metrics whose values are their scores
(anchors 0 → 0, 10 → 10), and churn probability. Each month an account churns with log odds that
fall with `truth` · metric scores.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from customer_health.fitting.weights import Weights, account_scores
from customer_health.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
AS_OF = date(2026, 6, 30)
CARD = "standard"
CATEGORIES = {"product_usage": "0.4", "satisfaction": "0.1", "support": "0.3", "churn_risk": "0.2"}
METRICS = {
    "logins": "0.5",
    "feature_adoption": "0.5",
    "csat": "1",
    "tickets": "1",
    "churn_probability": "1",
}
CATEGORY_OF = {
    "logins": "product_usage",
    "feature_adoption": "product_usage",
    "csat": "satisfaction",
    "tickets": "support",
    "churn_probability": "churn_risk",
}
FREE = ("logins", "feature_adoption", "csat", "tickets")
TODAY = Weights(
    {key: float(weight) for key, weight in CATEGORIES.items()},
    {key: float(weight) for key, weight in METRICS.items()},
    CATEGORY_OF,
)
TOO_MUCH_SUPPORT = {"logins": 0.1, "feature_adoption": 0.1, "csat": 0.0, "tickets": 0.9}
AS_TODAY = {"logins": 0.3, "feature_adoption": 0.3, "csat": 0.15, "tickets": 0.45}


def first_sundays() -> list[date]:
    """First Sundays of the months from 2025-01 to 2026-06."""
    found = []
    for number in range(18):
        day = date(2025 + number // 12, number % 12 + 1, 1)
        found.append(day + timedelta(days=(6 - day.weekday()) % 7))
    return found


def make_seeds(folder: Path) -> None:
    """The project's seeds with the small scorecard in v1."""
    shutil.copytree(ROOT / "seeds", folder)

    def edit(name: str, mine: Any, new: list[dict[str, str]]) -> None:
        path = folder / f"{name}.csv"
        header, *records = csv.reader(io.StringIO(path.read_text("utf-8"), newline=""))
        rows = [dict(zip(header, record, strict=True)) for record in records]
        kept = [row for row in rows if not mine(row)]
        out = io.StringIO(newline="")
        writer = csv.DictWriter(out, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *new])
        path.write_text(out.getvalue(), encoding="utf-8")

    shared = {"scoring_version": "v1", "scorecard_key": CARD}
    edit(
        "scoring_versions",
        lambda row: True,
        [
            {
                "scoring_version": "v1",
                "status": "champion",
                "valid_from": "2020-01-01",
                "fitted_to": "",
                "churn_model_version": "",
                "author": "test",
                "reason": "test",
            }
        ],
    )
    edit("churn_model", lambda row: True, [])
    edit(
        "category_weights",
        lambda row: row["scorecard_key"] == CARD,
        [{**shared, "category_key": key, "weight": weight} for key, weight in CATEGORIES.items()],
    )
    edit(
        "metric_weights",
        lambda row: row["scorecard_key"] == CARD,
        [{**shared, "metric_key": key, "weight": weight} for key, weight in METRICS.items()],
    )
    edit(
        "metric_anchors",
        lambda row: row["metric_key"] in FREE,
        [
            {
                "scoring_version": "v1",
                "scorecard_key": "*",
                "metric_key": metric,
                "tenure_days_from": "0",
                "value": number,
                "score": number,
            }
            for metric in FREE
            for number in ("0", "10")
        ],
    )


def make_project(
    folder: Path,
    truth: Mapping[str, float] = AS_TODAY,
    *,
    accounts: int = 400,
    steepness: float = 1.0,
    base: float = 1.5,
    seed: int = 1,
) -> Settings:
    """A project with seeds and a published copy.

    Args:
        folder: to make.
        truth: what a point of each metric score takes off the log odds, times `steepness`.
        accounts: how many.
        steepness: 0: churns follow nothing.
        base: log odds of a churn in a month at scores of 0.
        seed: of the random numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dbt_project.yml").write_text("name: small\n", encoding="utf-8")
    make_seeds(folder / "seeds")
    settings = Settings.resolve(folder, folder / "home", environ={})
    settings.prepare()
    publish(settings, world(truth, accounts, steepness, base, seed))
    return settings


def world(
    truth: Mapping[str, float], accounts: int, steepness: float, base: float, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Rows by mart."""
    generator = np.random.default_rng(seed)
    observations, metric_rows, score_rows, names = [], [], [], []
    days = first_sundays()
    for number in range(accounts):
        account = f"A{number:04d}"
        level = generator.uniform(1, 9, len(FREE))
        arr = float(np.round(generator.lognormal(9, 1)))
        months: list[dict[str, Any]] = []
        churn: date | None = None
        for day in days:
            scores = np.clip(level + generator.normal(0, 1.5, len(FREE)), 0, 10).round(3)
            known = generator.random(len(FREE)) > 0.1
            log_odds = base - steepness * sum(
                truth[metric] * score for metric, score in zip(FREE, scores, strict=True)
            )
            months.append({"day": day, "scores": scores, "known": known})
            if generator.random() < 1 / (1 + np.exp(-log_odds)):
                churn = day + timedelta(days=int(generator.integers(0, 28)))
                break
        names.append({"account_id": account, "account_name": f"Name {number}"})
        for month in months:
            day = month["day"]
            probability = float(np.round(generator.uniform(0.01, 0.05), 4))
            values: dict[str, float | None] = {
                metric: float(score) if is_known else None
                for metric, score, is_known in zip(
                    FREE, month["scores"], month["known"], strict=True
                )
            }
            row_scores = {**values, "churn_probability": 10 - 100 * probability}
            array = np.array(
                [[np.nan if one is None else one for one in row_scores.values()]], dtype=float
            )
            exact = float(np.round(account_scores(TODAY, list(row_scores), array)[0], 10))
            coverage = sum(
                TODAY.effective(metric) for metric, one in row_scores.items() if one is not None
            )
            score = exact if coverage >= 0.5 else None
            shared = {"account_id": account, "as_of_date": day, "scoring_version": "v1",
                      "scorecard_key": CARD}  # fmt: skip
            whole = None if score is None else int(np.floor(score + 0.5))
            observations.append(
                {
                    **shared,
                    "is_in_force": True,
                    "tenure_days": 400,
                    "arr_amount": arr,
                    "health_score": whole,
                    "churn_probability": probability,
                    "follow_up_days": (AS_OF - day).days - 14,
                    "days_to_churn": None if churn is None else (churn - day).days,
                    "is_involuntary": False,
                    "is_in_notice": False,
                }
            )
            score_rows.append(
                {
                    **shared,
                    "arr_amount": arr,
                    "health_score_exact": score,
                    "tenure_days": 400,
                    "band": "healthy",
                    "band_reason": "score",
                }
            )
            for metric, one in row_scores.items():
                metric_rows.append(
                    {
                        **shared,
                        "category_key": CATEGORY_OF[metric],
                        "metric_key": metric,
                        "value_state": "unknown" if one is None else "observed",
                        "metric_value": probability if metric == "churn_probability" else one,
                        "metric_score": one,
                        "category_weight": TODAY.categories[CATEGORY_OF[metric]],
                        "metric_weight": TODAY.metrics[metric],
                    }
                )
    # days after the end of what is known are not looked back on
    for row in observations:
        if row["days_to_churn"] is not None and row["days_to_churn"] >= row["follow_up_days"]:
            row["days_to_churn"] = None
    return {
        "val_health__observations": [row for row in observations if row["follow_up_days"] > 0],
        "fct_health__metric_scores": metric_rows,
        "fct_health__account_scores": score_rows,
        "bi_health__account_360": names,
    }


def publish(settings: Settings, rows: Mapping[str, list[dict[str, Any]]]) -> None:
    """Write the readers' copy, with one publication of v1."""
    settings.published.unlink(missing_ok=True)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute("create schema customer_health")
        for table, content in rows.items():
            connection.register("content", pa.Table.from_pylist(content))
            connection.execute(f"create table customer_health.{table} as select * from content")
            connection.unregister("content")
        connection.execute(
            """
            create table customer_health.fct_health__publications as
            select
                '2026-06-30T1-a' as publication_id,
                cast($published_at as timestamp) as published_at,
                cast($as_of as date) as as_of_date,
                'v1' as scoring_version,
                'h1' as policy_hash,
                cast(null as varchar) as git_sha,
                cast(1 as bigint) as account_count,
                cast(1 as bigint) as scored_account_count,
                cast(1 as bigint) as checks_run,
                cast(1 as bigint) as checks_passed,
                cast(null as timestamp) as newest_input_at,
                false as is_backfill
            """,
            {"published_at": datetime(2026, 6, 30, 8), "as_of": AS_OF},
        )


def seed_rows(settings: Settings, name: str, version: str) -> list[dict[str, str]]:
    """Rows of a seed of one version, as text."""
    with (settings.project_dir / "seeds" / f"{name}.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["scoring_version"] == version]


def set_limit(settings: Settings, key: str, value: str) -> None:
    """Change a row of validation_limits."""
    path = settings.project_dir / "seeds" / "validation_limits.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["limit_key"] == key:
            row["value"] = value
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["limit_key", "value", "meaning"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
