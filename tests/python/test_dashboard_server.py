"""How the app is started, and how it follows what readers have."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import dashboard_world
import duckdb
import pytest
from dashboard_world import PROJECT, published_home
from typer.testing import CliRunner

from customer_health import cli
from customer_health.dashboard import server
from customer_health.dashboard.source import Source
from customer_health.errors import HealthError
from customer_health.settings import Settings


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which something listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def publish(source: Path, target: Path, mark: str) -> None:
    """Replace the readers' copy by one of another publication."""
    beside = target.with_name("next.duckdb")
    shutil.copyfile(source, beside)
    with duckdb.connect(str(beside)) as copy:
        copy.execute(
            "update customer_health.fct_health__publications set publication_id = ?", [mark]
        )
    os.replace(beside, target)


def test_a_port_that_is_taken_is_refused_in_one_line(taken) -> None:
    found = CliRunner().invoke(cli.app, ["dashboard", "--no-open", "--port", str(taken)])
    assert found.exit_code == 2
    assert f"port {taken} of 127.0.0.1 is taken" in found.output


def test_without_a_port_the_first_free_one_is_taken(taken, monkeypatch) -> None:
    monkeypatch.setattr(server, "DEFAULT_PORT", taken)
    assert taken < server.free_port("127.0.0.1", None) < taken + 20


def test_without_streamlit_it_says_what_to_install(home, monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HealthError, match=r"pip install 'customer-health\[dashboard\]'"):
        server.command(Settings.resolve(PROJECT, home), "127.0.0.1", 8501, opens=False)


def test_an_app_that_was_not_installed_along_is_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(server, "_APP", Path("dashboards") / "nowhere.py")
    (tmp_path / "dbt_project.yml").write_text("name: x\n")
    with pytest.raises(HealthError, match=r"nowhere\.py"):
        server.find_app(Settings.resolve(tmp_path, tmp_path))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_process_itself_is_the_server(home, number) -> None:
    """Whoever stops the command stops the server: there is no child to be left behind."""
    port = server.free_port("127.0.0.1", None)
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("customer-health")), "--home", str(home),
         "dashboard", "--no-open", "--port", str(port)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        for _ in range(150):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                    break
            except OSError:
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.2)
        process.send_signal(number)
        said = process.communicate(timeout=20)[0]
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in said
    assert server.free_port("127.0.0.1", port) == port


def test_a_page_in_the_making_ends_on_the_publication_that_it_began_with(home, tmp_path) -> None:
    publish(home / "published.duckdb", tmp_path / "published.duckdb", "first")
    source = Source(Settings.resolve(PROJECT, tmp_path))
    before = source.version()
    with source.pinned() as old:
        assert (old.publication_id, old.version) == ("first", before)
        publish(home / "published.duckdb", tmp_path / "published.duckdb", "second")
        assert source.version() != before
        with source.pinned() as new:
            assert new.publication_id == "second"
            asked = "select publication_id from {marts}.fct_health__publications"
            assert old.reader.rows(asked) == [("first",)]
            assert new.reader.rows(asked) == [("second",)]
    with source.pinned() as later:
        assert later.publication_id == "second"


def test_readers_cannot_reach_anything_else(home, tmp_path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with Source(Settings.resolve(PROJECT, home)).pinned() as pinned:
        with pytest.raises(duckdb.PermissionException):
            pinned.reader.rows(f"select * from read_csv('{tmp_path}/secret.csv')")
        with pytest.raises(duckdb.InvalidInputException, match="read-only"):
            pinned.reader.rows("delete from {marts}.bi_health__account_360")


def test_a_session_never_draws_a_second_publication(home, tmp_path) -> None:
    publish(home / "published.duckdb", tmp_path / "published.duckdb", "first")
    page = dashboard_world.page("portfolio", tmp_path)
    assert "Bands today" in dashboard_world.text_of(page) or page.header
    publish(home / "published.duckdb", tmp_path / "published.duckdb", "second")
    page.run()
    assert "window.location.reload()" in dashboard_world.text_of(page)
    assert "ch-tiles" not in dashboard_world.text_of(page).replace(".ch-tiles", "")
