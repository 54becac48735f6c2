"""The two days of raw data, and what they give on DuckDB: made once for all engines.

ENGINES_CASE names a folder for it, so that tests of another environment find it made.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Beside pytest's own configuration, which another environment's pytest reads as well.
sys.path[:0] = [str(Path(__file__).parents[1] / "python"), str(Path(__file__).parent)]

from engine_case import Case, make_case  # noqa: E402
from spark_cluster import Cluster, running_cluster  # noqa: E402


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The project, the raw tables and the reference; nobody may change them."""
    named = os.environ.get("ENGINES_CASE")
    return make_case(Path(named) if named else tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A master, two workers and a Thrift server; only where pyspark is installed."""
    with running_cluster(tmp_path_factory.mktemp("spark")) as running:
        yield running
