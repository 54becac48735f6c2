"""The example project, from a stranger's files to a published score, on a part of the accounts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pytest

REPO = Path(__file__).resolve().parents[2]
EXAMPLE = REPO / "examples" / "crm_simulation"
FILES = ("account.csv", "subscription.csv", "event_daily.csv.gz", "outcome.csv")
ACCOUNTS = 150  # 40 of them churn in the eighteen months
BUILT = ("dbt_packages", "target", "logs", "warehouse", "__pycache__", "package-lock.yml")

pytestmark = pytest.mark.timeout(600)


def data_folder() -> Path:
    """The folder named by CRM_SIMULATION_DATA, else the one beside the repository."""
    named = os.environ.get("CRM_SIMULATION_DATA")
    return Path(named) if named else REPO.parent / "shared" / "data" / "crm_simulation"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Databases of the example, run as its README says, in a copy that may be written to."""
    data = data_folder()
    missing = [name for name in FILES if not (data / name).is_file()]
    if missing:
        pytest.skip(f"CRM_SIMULATION_DATA: no {', '.join(missing)} in {data}")
    folder = tmp_path_factory.mktemp("example")
    project = folder / "crm_simulation"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(*BUILT))
    (project / "packages.yml").write_text(f"packages:\n  - local: {REPO}\n", encoding="utf-8")
    home = folder / "home"
    command = [sys.executable, str(project / "run.py"), "--data", str(data), "--home", str(home)]
    answer = subprocess.run(
        [*command, "--accounts", str(ACCOUNTS)],
        env={**os.environ, "PYTHONPATH": str(REPO)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-4000:]
    assert "AUC" in answer.stdout
    return home


@pytest.fixture(scope="module")
def evaluate() -> ModuleType:
    """evaluate.py of the example as a module."""
    spec = importlib.util.spec_from_file_location("example_evaluate", EXAMPLE / "evaluate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def published(home: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The readers' copy, with the build beside it."""
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute(f"attach '{home / 'build.duckdb'}' as build (read_only)")
        connection.execute(f"attach '{home / 'landing.duckdb'}' as landing (read_only)")
        yield connection


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    return connection.execute(query).fetchall()


def test_every_account_is_scored(published: duckdb.DuckDBPyConnection) -> None:
    [(accounts, scored, lowest, highest)] = rows(
        published,
        """
        select
            count(distinct account_id),
            count(distinct account_id) filter (where health_score is not null),
            min(health_score),
            max(health_score)
        from customer_health.fct_health__account_scores
        where scorecard_key = 'usage_only'
        """,
    )
    assert accounts == scored == ACCOUNTS
    assert 0 <= lowest < highest <= 100
    assert rows(published, "select count(*) from customer_health.fct_health__publications") == [
        (1,)
    ]


def test_every_band_holds_accounts(published: duckdb.DuckDBPyConnection) -> None:
    counts = dict(
        rows(
            published,
            """
            select
                band,
                count(*)
            from customer_health.fct_health__account_scores
            group by band
            """,
        )
    )
    assert set(counts) == {"critical", "at_risk", "healthy", "thriving"}
    assert min(counts.values()) > 0


def test_no_row_is_lost_in_the_mapping(published: duckdb.DuckDBPyConnection) -> None:
    # The day of as_of and later ones are in the files and not used yet.
    assert rows(
        published,
        """
        select
            (
                select sum(event_count)
                from build.customer_health_intermediate.int_health__usage_account_days
            ) = (
                select sum(event_count)
                from landing.raw.event_daily
                where event_date < date '2023-07-02'
            ),
            (select count(*) from customer_health.fct_health__rejected_rows)
        """,
    ) == [(True, 0)]


def test_churn_date_is_that_of_the_outcome(published: duckdb.DuckDBPyConnection) -> None:
    # A churn in mid-term shortens one row of the term only, so this would be missed by max().
    different = rows(
        published,
        """
        select
            accounts.account_id,
            accounts.churn_date,
            outcome.churn_date
        from customer_health.dim_health__accounts as accounts
        inner join landing.raw.outcome as outcome
            on accounts.account_id = outcome.account_id
        where
            accounts.churn_date is distinct from outcome.churn_date
            -- within the grace period a late renewal is still possible
            and (outcome.churn_date is null or outcome.churn_date < date '2023-06-18')
        """,
    )
    assert different == []


def test_renewal_date_does_not_know_the_churn(published: duckdb.DuckDBPyConnection) -> None:
    [(known_too_early, seen)] = rows(
        published,
        """
        select
            count(*) filter (
                where scores.renewal_date = outcome.churn_date
                and scores.renewal_date not in (
                    select start_date + to_months(cast(bill_period_months as integer))
                    from landing.raw.subscription as terms
                    where terms.account_id = scores.account_id
                )
            ),
            count(*)
        from customer_health.fct_health__account_scores as scores
        inner join landing.raw.outcome as outcome
            on scores.account_id = outcome.account_id
        where scores.renewal_date is not null
        """,
    )
    assert known_too_early == 0
    assert seen > 0


def test_users_of_counted_days_are_unknown_and_not_zero(
    published: duckdb.DuckDBPyConnection,
) -> None:
    states = rows(
        published,
        """
        select
            metric_key,
            value_state,
            count(metric_value)
        from build.customer_health_intermediate.int_health__signals
        where metric_key in ('active_users', 'licence_utilisation', 'stickiness')
        group by all
        order by all
        """,
    )
    assert states == [
        ("active_users", "unknown", 0),
        ("licence_utilisation", "unknown", 0),
        ("stickiness", "unknown", 0),
    ]


def test_what_is_not_connected_is_shown_as_such(published: duckdb.DuckDBPyConnection) -> None:
    # usage_only asks for nothing that is missing; expansion does: surveys and invoices are not
    # connected (weight 0.25 of 1), licence use is unknown (a third of the usage category).
    shown = rows(
        published,
        """
        select
            scorecard_key,
            round(min(connected_weight), 4),
            round(max(connected_weight), 4),
            round(max(coverage), 4)
        from (
            select scorecard_key, connected_weight, coverage
            from customer_health.fct_health__account_scores
            union all
            select scorecard_key, connected_weight, coverage
            from customer_health.fct_health__scorecard_scores
        )
        group by all
        order by all
        """,
    )
    usage_part, key_events_part = 0.55, 0.20
    expected = (usage_part * 2 / 3 + key_events_part) / (usage_part + key_events_part)
    assert shown == [
        ("expansion", 0.75, 0.75, pytest.approx(expected, abs=1e-4)),
        ("usage_only", 1.0, 1.0, 1.0),
    ]
    assert rows(
        published,
        """
        select distinct
            metric_key,
            value_state
        from customer_health.fct_health__metric_scores
        where value_state in ('unknown', 'not_connected')
        order by all
        """,
    ) == [
        ("licence_utilisation", "unknown"),
        ("nps", "not_connected"),
        ("payment_timeliness", "not_connected"),
    ]


def test_score_predicts_churn(home: Path, evaluate: ModuleType) -> None:
    with evaluate.connect(home) as connection:
        found = evaluate.measure(connection)
    assert found.churners >= evaluate.FEWEST_CHURNERS
    assert found.value > 0.65


def test_auc_counts_pairs_and_halves_ties(evaluate: ModuleType) -> None:
    import numpy as np

    generator = np.random.default_rng(7)
    scores = generator.integers(0, 20, size=400).astype(float)
    churned = generator.random(400) < 0.3
    lost, kept = scores[churned][:, None], scores[~churned][None, :]
    by_pairs = float(((lost < kept) + 0.5 * (lost == kept)).mean())
    assert evaluate.auc(scores, churned).value == pytest.approx(by_pairs)
    assert evaluate.auc(np.where(churned, 0.0, 1.0), churned).value == 1.0
    few = np.zeros(400, dtype=bool)
    few[:29] = True
    assert str(evaluate.auc(scores, few)) == "not enough outcomes (29)"
