"""Does it predict? One table over the demo and the examples, from runs that were made before.

    customer-health demo                                   # into warehouse/
    python examples/crm_simulation/run.py && …             # each example into its own warehouse/
    python examples/predictive_power.py

Other folders: --home demo=FOLDER --home crm_simulation=FOLDER … A data set without a run is left
out, with a line that says so. --write puts the table into examples/README.md.

Columns: `all` is every month, `out of time` those after the policy's `fitted_to`. The last four
columns stand on one and the same rows, those of the second half of the months: equal weights, the
shipped policy, the ceiling (a logistic regression on the metric scores that the scorecard weighs,
fitted on all earlier months), and the weights that `customer-health train` and then
`customer-health tune` write, which fit on earlier months whose windows had ended by the split.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import example_kit as kit
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from customer_health import policy, statistics
from customer_health.errors import HealthError
from customer_health.fitting import observations as reading
from customer_health.fitting.train import train
from customer_health.fitting.tune import tune
from customer_health.settings import Settings

HERE = Path(__file__).resolve().parent
PROJECTS = {
    "demo": HERE.parent,
    "crm_simulation": HERE / "crm_simulation",
    "ravenstack": HERE / "ravenstack",
    "cdnow_orders": HERE / "cdnow_orders",
}
FEWEST_CHURNERS = 30
HEADING = (
    "data", "window", "verdict",
    "equal weights, all", "shipped, all", "shipped, out of time",
    "months tested", "churners", "equal weights", "shipped", "ceiling", "train + tune",
)  # fmt: skip

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A line of the table, and what is to be said below it."""

    cells: kit.Row
    remarks: tuple[str, ...]


def published_auc(connection: Any, card: str, predictor: str, slice_value: str) -> str:
    """AUC of a score on the headline window, as the validation mart has it."""
    row = connection.execute(
        """
        select auc, auc_low, auc_high
        from val_health__discrimination
        where
            is_headline
            and scorecard_key = $card
            and predictor_kind = 'score'
            and predictor_key = $predictor
            and slice_value = $slice_value
        """,
        {"card": card, "predictor": predictor, "slice_value": slice_value},
    ).fetchone()
    return "–" if row is None else kit.interval(*row)


def ceiling(train: reading.Observations, test: reading.Observations) -> Floats:
    """Risk of the tested rows, by a logistic regression on the metric scores of `train`.

    A score that is not known takes the mean of `train`, and whether it was known is a feature too.

    Returns:
        Probabilities, shape (rows of test,).
    """

    def features(rows: reading.Observations) -> Floats:
        unknown = np.isnan(rows.scores)
        return np.column_stack([np.where(unknown, means, rows.scores), unknown])

    known = ~np.isnan(train.scores)
    sums = np.where(known, train.scores, 0.0).sum(axis=0)
    means = sums / np.maximum(known.sum(axis=0), 1)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    model.fit(features(train), train.outcomes)
    risk: Floats = model.predict_proba(features(test))[:, 1]
    return risk


def equal_weights(rows: reading.Observations) -> Floats:
    """Mean of the known metric scores, the churn probability left out; nan where none is known."""
    own = [number for number, key in enumerate(rows.metrics) if key != policy.CHURN_PROBABILITY]
    scores = rows.scores[:, own]
    known = (~np.isnan(scores)).sum(axis=1)
    mean: Floats = np.where(known > 0, np.nansum(scores, axis=1) / np.maximum(known, 1), np.nan)
    return mean


def area(risk: Floats, rows: reading.Observations) -> str:
    """AUC with its interval, which counts accounts and not account-months."""
    if rows.churner_count < FEWEST_CHURNERS:
        return f"not enough outcomes ({rows.churner_count})"
    value = statistics.auc(risk, rows.outcomes)
    low, high = statistics.hanley_mcneil(value, rows.churner_count, rows.stayer_count)
    return kit.interval(value, low, high)


def after_train_and_tune(
    project: Path, home: Path, card: str, window: tuple[int, int], split: date
) -> tuple[str, str]:
    """AUC of the weights that train and then tune write, and what they say of them.

    The seeds are copied first: nothing of the project is changed.

    Returns:
        The figure, and a remark.
    """
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "seeds").mkdir()
        for file in policy.find_seed_files(project).values():
            shutil.copy(file, scratch / "seeds")
        (scratch / "dbt_project.yml").write_text(
            'name: scratch\nversion: "1.0.0"\nconfig-version: 2\nseed-paths: [seeds]\n',
            encoding="utf-8",
        )
        settings = Settings(project_dir=scratch, home=home)
        options: dict[str, Any] = {
            "version": "tried",
            "scorecard": card,
            "lead_days": window[0],
            "horizon_days": window[1],
            "window_to": split,
        }
        remark = ""
        try:
            train(settings, **options)
        except HealthError as error:
            remark = f"train: {error}. "
        try:
            found = tune(settings, **options)
        except HealthError as error:
            return "–", f"{remark}tune: {error}"
    figures = {one.name: one.auc.figure_b for one in found.outcomes}
    kept = f"tune: {found.verdict}. {found.reason}".strip()
    told = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
    value = figures.get(found.written, found.today_auc)
    remark += f"{kept} ({told})" if told else kept
    return "–" if value is None else f"{value:.3f}", remark


def measure(name: str, project: Path, home: Path) -> Line:
    """Measure one data set.

    Raises:
        FileNotFoundError: when nothing was published in `home`.
        HealthError: when there is nothing to measure.
    """
    with kit.open_published(home) as connection:
        card = reading.choose_scorecard(connection, None)
        lead, horizon = connection.execute(
            "select any_value(lead_days), any_value(horizon_days) "
            "from val_health__discrimination where is_headline"
        ).fetchall()[0]
        files = policy.find_seed_files(project)
        version = connection.execute(
            "select max_by(scoring_version, as_of_date) from val_health__observations "
            "where is_in_force"
        ).fetchall()[0][0]
        everything = reading.read_observations(
            connection,
            files,
            version,
            scorecard=card,
            lead_days=lead,
            horizon_days=horizon,
            source=name,
        )
        everything = everything.where(~np.isnan(everything.health_score))
        days = np.unique(everything.dates)
        split: date = days[len(days) // 2].item()
        later = everything.dates >= np.datetime64(split)
        train_rows, test_rows = everything.where(~later), everything.where(later)
        words = kit.verdict(connection, card)
        figures = (
            published_auc(connection, card, "equal_weights", "all"),
            published_auc(connection, card, "health_score", "all"),
            published_auc(connection, card, "health_score", "out_of_time"),
        )
        remarks = [f"{name}: {words}", *_leads(connection, card, name)]
    tuned, remark = after_train_and_tune(project, home, card, (lead, horizon), split)
    remarks.append(f"{name}: {remark}")
    known = ~np.isnan(equal_weights(test_rows))
    cells = (
        name,
        f"{horizon} days",
        words.partition(":")[0].lower(),
        *figures,
        f"{split} to {test_rows.last_date}",
        f"{test_rows.churner_count:,}",
        area(-equal_weights(test_rows)[known], test_rows.where(known)),
        area(-test_rows.health_score, test_rows),
        area(ceiling(train_rows, test_rows), test_rows),
        tuned,
    )
    return Line(cells, tuple(remarks))


def _leads(connection: Any, card: str, name: str) -> list[str]:
    """False greens, lead time and AUC by lead, where there are figures."""
    rows = connection.execute(
        """
        select lead_days, auc, auc_low, auc_high
        from val_health__discrimination
        where
            scorecard_key = $card
            and predictor_key = 'health_score'
            and slice_value = 'out_of_time'
            and auc is not null
            and horizon_days = (
                select any_value(horizon_days) from val_health__discrimination where is_headline
            )
        order by lead_days
        """,
        {"card": card},
    ).fetchall()
    told = ", ".join(f"lead {lead} days {kit.interval(*rest)}" for lead, *rest in rows)
    warnings = connection.execute(
        """
        select judged_count, false_green_count, false_green_share, median_lead_days
        from val_health__warning_summary
        where scorecard_key = $card and slice_value = 'out_of_time'
        """,
        {"card": card},
    ).fetchone()
    found = [f"{name}, out of time: {told}"] if len(rows) > 1 else []
    if warnings is not None and warnings[2] is not None:
        judged, greens, green_share, days = warnings
        found.append(
            f"{name}, out of time: {greens} of {judged} churners were false greens "
            f"({green_share:.1%}), median lead {days:.0f} days"
        )
    return found


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--home", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument(
        "--write", action="store_true", help="put the results into examples/README.md as well"
    )
    arguments = parser.parse_args()
    homes = {name: project / "warehouse" for name, project in PROJECTS.items()}
    for given in arguments.home:
        name, _, folder = given.partition("=")
        if name not in homes or not folder:
            parser.error(f"--home {given}: expected NAME=FOLDER with one of {', '.join(homes)}")
        homes[name] = Path(folder).resolve()
    lines: list[Line] = []
    for name, project in PROJECTS.items():
        try:
            lines.append(measure(name, project, homes[name]))
        except (FileNotFoundError, HealthError) as error:
            lines.append(Line((name, *["–"] * (len(HEADING) - 1)), (f"{name}: {error}",)))
    remarks = "\n".join(f"- {remark}" for line in lines for remark in line.remarks)
    results = f"{kit.table(HEADING, [line.cells for line in lines])}\n\n{remarks}"
    print(results)
    if arguments.write:
        kit.write_readme(results, HERE / "README.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
