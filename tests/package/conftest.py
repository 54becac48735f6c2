"""Raw tables and an installed copy of the stranger's project, made once for all scenarios."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import package_kit
import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer


class _ByScenario(LoadScopeScheduling):
    """Tests of one scenario go to one worker, so that it is built by one."""

    def _split_scope(self, nodeid: str) -> str:
        scenario = re.search(r"\[(\w+)\]$", nodeid)
        return scenario[1] if scenario else nodeid


# Not `--dist loadgroup`: what pytest-xdist 3.8 writes for it, pytest 9.2 does not read.
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How tests are given to the workers."""
    return _ByScenario(config, log)


@pytest.fixture(scope="session")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parquet files of a small company."""
    return package_kit.make_raw_tables(tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's project with the package in it, to be copied."""
    return package_kit.install(tmp_path_factory.mktemp("installed"))
