"""A published demo company, made once, and a copy of it for every test.

FAULTS_HOME names a home that was built before: for work on single tests.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_kit import (
    DAY_BEFORE,
    DEMO_SIZE,
    assert_accepted,
    change_raw,
    copy_home,
    copy_project,
    fresh_home,
    rename_statements,
    run,
)


@pytest.fixture(scope="session")
def published_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published demo company of 40 accounts, one for all workers. Nobody may change it."""
    if "FAULTS_HOME" in os.environ:
        return Path(os.environ["FAULTS_HOME"])

    def publish(home: Path) -> None:
        assert_accepted(run(home, "demo", *DEMO_SIZE))

    return _made_once(tmp_path_factory, "published_home", publish)


@pytest.fixture(scope="session")
def day_before_home(tmp_path_factory: pytest.TempPathFactory, published_home: Path) -> Path:
    """The same company as published the day before, some accounts with hostile names."""

    def publish(home: Path) -> None:
        fresh_home(published_home, home)
        change_raw(home, "crm_accounts", *rename_statements())
        assert_accepted(run(home, "run", "--as-of", DAY_BEFORE))

    return _made_once(tmp_path_factory, "day_before_home", publish)


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker makes, and the others wait for."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / name
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "published.json").exists():
            make(folder)
    return folder


@pytest.fixture
def home(published_home: Path, tmp_path: Path) -> Path:
    """A copy of the published company for one test."""
    return copy_home(published_home, tmp_path / "home")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project for one test, to change its seeds, variables or profile."""
    return copy_project(tmp_path / "project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two longest files first, so that the workers take one each and end together.

    `make test-faults` has pytest-xdist keep this order: by itself it puts files of few tests last.
    """
    items.sort(key=lambda item: not item.path.name.startswith("test_kill_"))
