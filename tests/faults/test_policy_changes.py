"""Policy that is written oddly, promoted in mid-history, or full of SQL: still only data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fault_kit import (
    AS_OF,
    HOSTILE_NAMES,
    Done,
    assert_accepted,
    assert_refused,
    copy_home,
    copy_project,
    differences,
    published,
    readers_have,
    run,
    run_dbt,
)
from fault_marks import found_in

HOSTILE_LABEL = "Healthy'); drop table customer_health_policy.bands; --"
HOSTILE_DATE = "2026-06-30'); drop table marts.customer_health.fct_health__account_scores; --"


# -- written oddly -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def oddly_written(
    published_home: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Done]:
    """The same day once more: all seeds with a BOM, and the anchors in the opposite order."""
    folder = tmp_path_factory.mktemp("oddly_written")
    home = copy_home(published_home, folder / "home")
    project = copy_project(folder / "project")
    for path in (project / "seeds").glob("*.csv"):
        header, *rows = path.read_text().splitlines()
        if path.stem == "metric_anchors":
            rows.reverse()
        path.write_bytes("\ufeff".encode() + "\n".join([header, *rows, ""]).encode())
    return home, run(home, "run", project=project)


@pytest.mark.fault(39, says="✓ policy")
def test_a_bom_at_the_start_of_a_seed_changes_nothing(
    oddly_written: tuple[Path, Done], published_home: Path
) -> None:
    home, done = oddly_written
    assert_accepted(done)
    assert differences(home, published_home) == {}


@pytest.mark.fault(68, says="✓ policy")
def test_the_order_of_anchors_changes_nothing(
    oddly_written: tuple[Path, Done], published_home: Path
) -> None:
    home, done = oddly_written
    assert_accepted(done)
    scores = "select * from customer_health.fct_health__metric_scores order by all"
    assert published(home, scores) == published(published_home, scores)


@pytest.mark.fault(56, says="Published 2026-06-30")
def test_the_same_day_again_with_the_same_data_changes_no_row(
    oddly_written: tuple[Path, Done], published_home: Path
) -> None:
    home, done = oddly_written
    assert_accepted(done)
    assert differences(home, published_home) == {}
    publications = "select count(*) from customer_health.fct_health__publications"
    assert published(home, publications)[0][0] == published(published_home, publications)[0][0] + 1


# -- promoted in mid-history, with hostile text -------------------------------------------------
@pytest.fixture(scope="module")
def promoted(day_before_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """Version v2 in force from the second day on, with other weights and a label like SQL."""
    folder = tmp_path_factory.mktemp("promoted")
    home = copy_home(day_before_home, folder / "home")
    project = copy_project(folder / "project")
    new = ("policy", "new-version", "v1", "v2", "--valid-from", AS_OF, "--author", "Robert'); --")
    assert_accepted(run(home, *new, project=project))
    changes = {
        "scoring_versions": [("v1,champion,", "v1,retired,"), ("v2,challenger,", "v2,champion,")],
        "category_weights": [
            ("v2,standard,product_usage,0.25", "v2,standard,product_usage,0.15"),
            ("v2,standard,support,0.15", "v2,standard,support,0.25"),
        ],
        "bands": [
            ("v2,*,healthy,3,61,green,Healthy,", f"v2,*,healthy,3,61,green,{HOSTILE_LABEL},")
        ],
    }
    for seed, replacements in changes.items():
        path = project / "seeds" / f"{seed}.csv"
        text = path.read_text()
        for old, new_text in replacements:
            assert text.count(old) == 1, old
            text = text.replace(old, new_text)
        path.write_text(text)
    return home, run(home, "run", project=project)


@pytest.mark.fault(40, says="Published 2026-06-30")
def test_each_row_says_which_version_made_it(
    promoted: tuple[Path, Done], day_before_home: Path
) -> None:
    home, done = promoted
    assert_accepted(done)
    for table in ("fct_health__account_scores", "fct_health__metric_scores"):
        versions = published(
            home,
            f"select distinct as_of_date >= '{AS_OF}', scoring_version "
            f"from customer_health.{table} order by 1",
        )
        assert versions == [(False, "v1"), (True, "v2")]
    # what was published before is what it was
    history = (
        "select account_id, as_of_date, scoring_version, health_score_exact, band "
        f"from customer_health.fct_health__account_scores where as_of_date < '{AS_OF}' order by all"
    )
    assert published(home, history) == published(day_before_home, history)
    assert published(
        home,
        "select distinct scoring_version from customer_health.bi_health__account_360 "
        f"where as_of_date = '{AS_OF}'",
    ) == [("v2",)]


@pytest.mark.fault(40)
def test_the_ledger_books_the_difference_between_versions_as_policy(
    promoted: tuple[Path, Done],
) -> None:
    home, done = promoted
    assert_accepted(done)
    rows = published(
        home,
        """
        select
            compared_date < ?::date and as_of_date >= ?::date as is_across_versions,
            max(abs(policy_points)) > 0.01 as has_policy_points
        from customer_health.fct_health__score_changes
        group by 1
        order by 1
        """,
        AS_OF,
        AS_OF,
    )
    assert rows == [(False, False), (True, True)]


@pytest.mark.fault(33, says=HOSTILE_NAMES[0])
def test_names_that_look_like_sql_are_text(day_before_home: Path, home: Path) -> None:
    names = published(
        day_before_home,
        "select account_name, account_id from customer_health.dim_health__accounts order by 2",
    )
    assert tuple(name for name, _ in names[: len(HOSTILE_NAMES)]) == HOSTILE_NAMES
    tables = "select schema_name, table_name from duckdb_tables() order by all"
    assert published(day_before_home, tables) == published(home, tables)
    assert_accepted(run(day_before_home, "explain", names[0][1], "--json"))


@pytest.mark.fault(33, says=HOSTILE_LABEL)
def test_seed_values_that_look_like_sql_are_text(promoted: tuple[Path, Done]) -> None:
    home, done = promoted
    assert_accepted(done)
    labels = published(
        home,
        f"""
        select distinct band_label from customer_health.bi_health__account_360
        where as_of_date = '{AS_OF}' and band = 'healthy'
        """,
    )
    assert labels == [(HOSTILE_LABEL,)]
    account = published(
        home,
        f"""
        select account_id from customer_health.bi_health__account_360
        where as_of_date = '{AS_OF}' and band = 'healthy' order by 1 limit 1
        """,
    )[0][0]
    assert_accepted(run(home, "explain", account, "--json"))


# -- hostile variables -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=name, marks=pytest.mark.fault(33, says=says))
        for name, value, says in [
            ("history_from", HOSTILE_DATE, "expected a date like 2026-06-30"),
            ("raw_schema", "raw'); drop schema raw; --", "expected a plain identifier"),
            ("lookback_days", "3; drop table x", "expected a whole number"),
            ("reporting_currency", "USD'; drop table x; --", "expected a currency code like USD"),
            ("naive_timezone", "UTC'); drop table x; --", "expected a time zone name"),
            ("using_product_events", "1=1", "expected true or false"),
        ]
    ],
)
def test_a_variable_that_looks_like_sql_is_refused_before_dbt_starts(
    name: str, value: str, home: Path, project: Path
) -> None:
    file = project / "dbt_project.yml"
    key = f"customer_health__{name}:"
    lines = [
        f"  {key} {json.dumps(value)}" if line.strip().startswith(key) else line
        for line in file.read_text().splitlines()
    ]
    assert f"  {key} {json.dumps(value)}" in lines
    file.write_text("\n".join(lines) + "\n")
    logs = set((home / "runs").rglob("dbt.log"))
    done = run(home, "run", project=project)
    assert_refused(done, home, says=f"variable customer_health__{name} is")
    assert set((home / "runs").rglob("dbt.log")) == logs


@pytest.mark.fault(33, says="is no date; write it as YYYY-MM-DD")
def test_a_date_that_looks_like_sql_is_wrong_usage(home: Path) -> None:
    assert_refused(run(home, "run", "--as-of", HOSTILE_DATE), home, code=2)


@pytest.mark.fault(33, says="customer_health__as_of_date")
def test_plain_dbt_refuses_a_hostile_variable_before_any_sql(home: Path) -> None:
    tables = (home / "candidate.duckdb").read_bytes()
    variables = json.dumps({"customer_health__as_of_date": HOSTILE_DATE})
    done = run_dbt(home, "run", "--vars", variables, "--select", "fct_health__account_scores")
    assert done.returncode != 0
    found_in(done.output)
    assert (home / "candidate.duckdb").read_bytes() == tables
    assert readers_have(home) == done.readers_had
