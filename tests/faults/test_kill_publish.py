"""`kill -9` of the last part of a run alone (`publish`), where the readers' file is replaced.

A third of the points is spread over its whole length, the others over the moment from the end of
the snapshots on, which would be hit too rarely else.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest
from fault_kit import (
    DEFAULT_KILLS,
    assert_accepted,
    assert_whole,
    copy_project,
    dashboard,
    differences,
    readers_have,
    run,
    started,
)

KILLS = int(os.environ.get("FAULT_KILLS", DEFAULT_KILLS))
COMPLETE_AFTER = 5


@pytest.mark.timeout(3600)
@pytest.mark.fault(46, says="Published 2026-06-30")
def test_publish_killed_at_any_time_leaves_the_old_copy_or_the_new_one(
    home: Path, published_home: Path, tmp_path: Path
) -> None:
    seed = int(os.environ.get("FAULT_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    project = copy_project(tmp_path / "project")
    assert_accepted(run(home, "publish", project=project))  # reads the project for the first time
    length, moment = measured(home, project)
    print(f"seed {seed}: {KILLS} kills within {length:.1f} s, most in the last {moment:.1f} s")
    early = KILLS // 3
    points = [("", length * (part + chance.random()) / early) for part in range(early)]
    points += [
        ("✓ snapshot", 1.2 * moment * (part + chance.random()) / (KILLS - early))
        for part in range(KILLS - early)
    ]
    chance.shuffle(points)
    copy = readers_have(home)["published.duckdb"]
    changes = 0
    with dashboard(home):
        for number, (step, seconds) in enumerate(points, 1):
            with started(home, "publish", project=project) as running:
                running.wait_until_told(step)
                time.sleep(seconds)
                running.kill()
            before, copy = copy, assert_whole(home, copy)
            changes += copy != before
            if number % COMPLETE_AFTER == 0 or number == KILLS:
                assert_accepted(run(home, "publish", project=project))
                copy = assert_whole(home, copy)
                assert not list(home.rglob("*.tmp")), "leftovers of the killed ones"
    print(f"{changes} of {KILLS} had already published")
    assert differences(home, published_home) == {}


def measured(home: Path, project: Path) -> tuple[float, float]:
    """How long `publish` takes, and its part after the snapshots, in seconds."""
    began = time.monotonic()
    with started(home, "publish", project=project) as running:
        running.wait_until_told("✓ snapshot")
        snapshots_at = time.monotonic()
        assert running.process.wait(300) == 0, running.told()
    return time.monotonic() - began, time.monotonic() - snapshots_at
