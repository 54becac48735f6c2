"""A published demo for the tests of the dashboards, and pages of the app without a browser.

The demo is made once for all workers of pytest. CUSTOMER_HEALTH_DASHBOARD_HOME names one that is
there already.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

import duckdb
import pytest
from forked import run_module

from customer_health.settings import Settings
from customer_health.warehouses import Reader, warehouse_of

HOME_VARIABLE = "CUSTOMER_HEALTH_DASHBOARD_HOME"
PROJECT = Path(__file__).resolve().parents[2]
APP = PROJECT / "dashboards" / "app"
ACCOUNTS = 120


def published_home(folders: pytest.TempPathFactory) -> Path:
    """The home of a published demo, made once for all workers of a run."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return Path(named)
    folder = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the run; beyond it lie those of earlier runs
    home = folder / "dashboard-home"
    with (folder / "dashboard-home.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "published.duckdb").exists():
            arguments = ("--home", str(home), "demo", "--accounts", str(ACCOUNTS))
            run_module("customer_health", arguments, cwd=PROJECT, env=os.environ).check_returncode()
    return home


@contextmanager
def reading(home: Path) -> Iterator[Reader]:
    """The readers' copy of a home."""
    with warehouse_of(Settings.resolve(PROJECT, home)).reader() as reader:
        yield reader


def page(module: str, home: Path, query: dict[str, str] | None = None, project: Path = PROJECT):
    """A page of the app, drawn (`streamlit.testing.v1.AppTest`).

    Args:
        module: of `dashboards/app`.
        home: with a publication.
        query: parameters of the address.
        project: folder of the dbt project, whose target says which engine is read.
    """
    from streamlit.testing.v1 import AppTest

    os.environ["CUSTOMER_HEALTH_PROJECT_DIR"] = str(project)
    os.environ["CUSTOMER_HEALTH_HOME"] = str(home)
    script = (
        f"import sys; sys.path.insert(0, {str(APP)!r})\n"
        f"import frame, {module}\n"
        f"frame.page_of({module}.show, {module!r})()\n"
    )
    test = AppTest.from_string(script, default_timeout=60)
    for name, value in (query or {}).items():
        test.query_params[name] = value
    test.run()
    if test.exception:
        raise AssertionError(
            "\n".join(f"{each.message}\n{each.stack_trace}" for each in test.exception)
        )
    return test


def text_of(test) -> str:
    """All HTML and text that a page shows."""
    parts = [each.proto.body for each in test.get("html")]
    for kind in (
        "markdown",
        "caption",
        "info",
        "warning",
        "error",
        "success",
        "subheader",
        "title",
    ):
        parts.extend(str(each.value) for each in getattr(test, kind))
    return "\n".join(parts)


def rows(home: Path, sql: str, *values: Any) -> list[tuple]:
    """What DuckDB says by itself of the readers' copy of a home."""
    with duckdb.connect(str(home / "published.duckdb"), read_only=True) as connection:
        connection.execute("use customer_health")
        return connection.execute(sql, list(values)).fetchall()


def cells(shown: Any, caption: str) -> list[list[str]]:
    """Rows of a table of a page, or of HTML, without markup."""
    text = shown if isinstance(shown, str) else text_of(shown)
    found = re.search(
        rf'aria-label="{re.escape(caption)}"><table.*?<tbody>(.*?)</tbody>', text, re.DOTALL
    )
    assert found, caption
    return [
        [
            unescape(re.sub(r"<[^>]+>", "", cell)).replace("\xa0", "").strip()
            for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", found.group(1), re.DOTALL)
    ]


def tiles(page) -> dict[str, tuple[str, str]]:
    """The figures on top, with their remarks."""
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)(?:<small>(.*?)</small>)?</dd>", text_of(page))
    return {what: (figure, remark) for what, figure, remark in found}


def table(page, caption: str) -> list[dict[str, str]]:
    """Rows of a table by heading, without markup."""
    found = re.search(
        rf'aria-label="{re.escape(caption)}"><table.*?<thead>(.*?)</thead><tbody>(.*?)</tbody>',
        text_of(page),
        re.DOTALL,
    )
    assert found, caption
    heads = [re.sub(r"<[^>]+>", "", each) for each in found.group(1).split("</th>")[:-1]]
    return [
        {
            head: unescape(re.sub(r"<[^>]+>", "", cell)).replace("\xa0", " ").strip()
            for head, cell in zip(heads, re.findall(r"<td.*?>(.*?)</td>", row), strict=True)
        }
        for row in re.findall(r"<tr>(.*?)</tr>", found.group(2))
    ]


def changed_copy(home: Path, folder: Path, *statements: tuple[str, list[Any]]) -> Path:
    """A home in a folder, whose publication is that of a home after some statements."""
    shutil.copyfile(home / "published.duckdb", folder / "published.duckdb")
    with duckdb.connect(str(folder / "published.duckdb")) as connection:
        connection.execute("use customer_health")
        for sql, values in statements:
            connection.execute(sql, values)
    return folder


def forget_answers() -> None:
    """Let the next page ask everything anew."""
    import streamlit

    streamlit.cache_data.clear()
