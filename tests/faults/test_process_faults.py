"""Runs that are stopped, doubled, dead, or cannot look at their data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_kit import (
    Done,
    assert_accepted,
    assert_refused,
    copy_home,
    copy_project,
    dbt_environment,
    readers_have,
    run,
    run_dbt,
    started,
)
from fault_marks import found_in

from customer_health.cli import STOP_GRACE_SECONDS

WITHOUT_TESTS = ("--exclude-resource-type", "test", "unit_test")
AS_OF_VARS = ("--vars", '{"customer_health__as_of_date": "2026-06-30"}')


# -- stopped -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("number", "command", "step"),
    [
        pytest.param(
            number,
            command,
            step,
            id=f"{number.name}-after-{step.replace(' ', '-')}",
            marks=pytest.mark.fault(47, says=says),
        )
        for number, command, step, says in [
            (signal.SIGINT, "run", "policy", "the published copy is whole"),
            (signal.SIGTERM, "run", "landing gate", "the published copy is whole"),
            (signal.SIGINT, "publish", "candidate gate", "the published copy is whole"),
            (signal.SIGTERM, "publish", "candidate gate", "the published copy is whole"),
        ]
    ],
)
def test_a_stopped_run_leaves_no_lock_no_process_and_the_copy(
    number: signal.Signals, command: str, step: str, home: Path
) -> None:
    before = readers_have(home)
    with started(home, command) as running:
        running.wait_until_told(f"✓ {step}")
        if step == "landing gate":
            time.sleep(8)  # dbt is in the middle of its nodes
        stopped_at = time.monotonic()
        running.process.send_signal(number)
        code = running.process.wait(STOP_GRACE_SECONDS + 10)
        took = time.monotonic() - stopped_at
        left = running.left_behind()
    done = Done((command,), code, "", running.told(), before)
    assert code == 128 + number, done.stderr
    assert took < STOP_GRACE_SECONDS + 5
    assert left == []
    assert "Traceback" not in done.stderr
    found_in(done.stderr)
    assert not (home / "run.lock").exists()
    assert readers_have(home) == before


# -- two runs, a dead run ----------------------------------------------------------------------
@pytest.mark.fault(50, says="in progress since")
def test_a_second_run_is_turned_away_and_the_first_goes_on(home: Path) -> None:
    with started(home, "run") as first:
        first.wait_until_told("✓ policy")
        lock = (home / "run.lock").read_text()
        second = run(home, "run")
        assert second.returncode == 3, second.output
        assert len(second.errors) == 1 and "Traceback" not in second.output
        assert json.loads(lock)["run_id"] in second.errors[0]
        found_in(second.errors[0])
        assert readers_have(home) == second.readers_had
        assert (home / "run.lock").read_text() == lock
        # people who only look are not turned away
        assert "in progress" in run(home, "status").output
        assert first.process.poll() is None


@pytest.mark.fault(51, says="is gone without having finished")
def test_the_lock_of_a_dead_run_is_taken_over(home: Path) -> None:
    with started(home, "run") as first:
        first.wait_until_told("✓ policy")
        first.kill()
    assert (home / "run.lock").exists()
    done = run(home, "publish")
    assert_accepted(done, says="warning: took over the lock of run ")
    assert not (home / "run.lock").exists()
    assert readers_have(home) != done.readers_had


# -- older dates -------------------------------------------------------------------------------
@pytest.mark.fault(54, says="is older than the published 2026-06-30: to rebuild older dates")
def test_an_older_date_is_published_on_purpose_only(home: Path) -> None:
    assert_refused(run(home, "run", "--as-of", "2026-06-28"), home, says="--backfill FROM TO")


# -- dbt by hand -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def by_hand(published_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A home and a project folder in which somebody runs dbt without us."""
    folder = tmp_path_factory.mktemp("by_hand")
    return copy_home(published_home, folder / "home"), copy_project(folder / "project")


@pytest.mark.fault(57, says="the last dbt command was no full build")
def test_a_selection_that_matches_nothing_is_no_build(by_hand: tuple[Path, Path]) -> None:
    home, project = by_hand
    built = run_dbt(home, "build", *AS_OF_VARS, "--select", "no_such_model", project=project)
    assert built.returncode == 0 and "nothing to do" in built.stdout.lower(), built.output
    assert_refused(run(home, "publish", project=project), home)


@pytest.mark.fault(48, says="is of an earlier dbt command")
@pytest.mark.fault(48, says="the candidate was changed after run")
def test_after_a_crash_neither_old_results_nor_a_retry_make_a_build(
    by_hand: tuple[Path, Path],
) -> None:
    home, project = by_hand
    selected = ("--select", "stg_health__crm_accounts", *WITHOUT_TESTS)
    built = run_dbt(home, "build", *AS_OF_VARS, *selected, project=project)
    assert built.returncode == 0, built.output
    results = project / "target" / "run_results.json"
    before = results.read_bytes()
    kill_in_the_middle(home, project)
    assert results.read_bytes() == before, "dbt that was killed writes no results"
    assert_refused(run(home, "publish", project=project), home)
    # dbt retry looks at the results of the earlier command and is content
    retried = run_dbt(home, "retry", project=project)
    assert retried.returncode == 0 and "Nothing to do" in retried.stdout, retried.output
    assert_refused(run(home, "publish", project=project), home)
    # without any results there is still the candidate, which is no longer the one that we built;
    # a second time too: being refused does not make it ours again
    results.unlink()
    assert_refused(run(home, "publish", project=project), home)
    assert_refused(run(home, "publish", project=project), home, says="half old and half new")


def kill_in_the_middle(home: Path, project: Path) -> None:
    """`kill -9` of a `dbt build` by hand when some of its marts are new and some are old.

    Without dbt's tests, which only cost time here.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dbt.cli.main", "build", *AS_OF_VARS, *WITHOUT_TESTS],
        cwd=project,
        env=dbt_environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        # the first mart that holds data; the list of publications is filled when publishing
        if "OK created" in line and " marts.customer_health." in line and "publication" not in line:
            break
    assert process.poll() is None, "dbt ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


# -- cannot look -------------------------------------------------------------------------------
@pytest.mark.fault(58, says="this says nothing about the data")
def test_a_gate_that_breaks_does_not_call_the_data_bad(home: Path) -> None:
    # the view on the raw table is there and the files below it are not
    for path in (home / "raw" / "support_tickets").glob("*.parquet"):
        path.unlink()
    done = run(home, "run")
    assert_refused(done, home, says="could not check")
    assert "failed" not in done.errors[0]


@pytest.mark.fault(66, says="Could not find profile named 'customer_health'; put a profiles.yml")
def test_a_missing_profile_is_one_line(home: Path, tmp_path: Path) -> None:
    done = run(home, "run", env={"DBT_PROFILES_DIR": str(tmp_path)})
    assert_refused(done, home)
