"""`kill -9` of the whole run at random points in time, while a dashboard reads.

FAULT_KILLS sets how often (30 for a long test), FAULT_SEED repeats the points of an earlier one.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from fault_kit import (
    AS_OF,
    DEFAULT_KILLS,
    assert_accepted,
    assert_whole,
    copy_home,
    copy_project,
    dashboard,
    differences,
    readers_have,
    run,
    started,
)

KILLS = int(os.environ.get("FAULT_KILLS", DEFAULT_KILLS))
COMPLETE_AFTER = 5  # so many kills, one run must come to its end without any help


@pytest.mark.timeout(7200)
@pytest.mark.fault(46, says="Published 2026-06-30")
def test_a_run_killed_at_any_time_leaves_the_old_copy_or_the_new_one(
    day_before_home: Path, tmp_path: Path
) -> None:
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    project = copy_project(tmp_path / "project")
    home = copy_home(day_before_home, tmp_path / "home")
    # the same day at a home that is never killed: its history is what must come out in the end
    twin = copy_home(day_before_home, tmp_path / "twin")
    began = time.monotonic()
    assert_accepted(run(twin, "run", "--as-of", AS_OF, project=project))
    length = time.monotonic() - began
    print(f"seed {seed}: {KILLS} kills within {length:.0f} s")

    # one point in each of as many equal parts of the run, in any order
    points = [length * (part + chance.random()) / KILLS for part in range(KILLS)]
    chance.shuffle(points)
    copy = readers_have(home)["published.duckdb"]
    with dashboard(home):
        for number, point in enumerate(points, 1):
            copy = kill_after(point, home, project, copy)
            if number % COMPLETE_AFTER == 0 or number == KILLS:
                assert_accepted(run(home, "run", "--as-of", AS_OF, project=project))
                copy = assert_whole(home, copy)
                assert not list(home.rglob("*.tmp")), "leftovers of the killed runs"
    assert differences(home, twin) == {}


def kill_after(seconds: float, home: Path, project: Path, copy: str) -> str:
    """Start a run, kill it after so many seconds, and look at the copy; its hash."""
    with started(home, "run", "--as-of", AS_OF, project=project) as running:
        time.sleep(seconds)
        running.kill()
        told = running.told().splitlines()
    print(f"killed after {seconds:.1f} s, last step: {told[-1] if told else 'none'}")
    return assert_whole(home, copy)
