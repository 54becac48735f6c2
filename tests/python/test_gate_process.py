"""The gates of a run are judged in a process beside it, and as they are judged here."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from test_gates import ACCOUNTS, AS_OF, RAW

from customer_health import gate_process
from customer_health.errors import USAGE, HealthError, UsageError
from customer_health.gate_process import Beside, Here, Question
from customer_health.settings import Settings

PROJECT_DIR = Path(__file__).resolve().parents[2]
ABANDONED = """
import os, signal
from customer_health.gate_process import Beside

if __name__ == "__main__":
    print(Beside()._process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
ENDED = """
import sys
from datetime import date
from pathlib import Path
from customer_health.gate_process import Beside, Question
from customer_health.settings import Settings

if __name__ == "__main__":
    project, home = map(Path, sys.argv[1:])
    settings = Settings.resolve(project, home, environ={})
    gates = Beside()
    gates.ask(Question(settings, "landing", date(2026, 6, 30), None, accept_volume=False))
    print(gates.answer().gate)
    gates.close()
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """This project, with raw tables of which one is empty."""
    made = Settings.resolve(PROJECT_DIR, tmp_path_factory.mktemp("gates"), environ={})
    made.prepare()
    with duckdb.connect(str(made.landing)) as connection:
        connection.execute("create schema raw")
        for table, query in RAW.items():
            connection.execute(f"create table raw.{table} as {query.format(n=ACCOUNTS)}")
        connection.execute("delete from raw.crm_accounts")
    return made


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    """One process for the tests of this file that do not end it."""
    made = Beside()
    yield made
    made.close()


def landing(settings: Settings) -> Question:
    """The landing gate of the raw tables."""
    return Question(settings, "landing", AS_OF, None, accept_volume=False)


def content(report: Any) -> dict[str, Any]:
    """A report without its seconds."""
    return {key: value for key, value in report.to_dict().items() if key != "seconds"}


def test_the_answer_is_that_of_this_process(settings: Settings, beside: Beside) -> None:
    reports = []
    for gates in (Here(), beside):
        gates.ask(landing(settings))
        reports.append(gates.answer())
    here, there = reports
    assert content(here) == content(there)
    assert here.as_of_date == there.as_of_date == AS_OF
    assert len(here.checks) > 100
    assert here.failed


def test_a_refusal_comes_over_as_it_is(settings: Settings, beside: Beside, tmp_path: Path) -> None:
    nothing = Settings.resolve(PROJECT_DIR, tmp_path / "nothing", environ={})
    beside.ask(landing(nothing))
    with pytest.raises(HealthError, match=r"there are no raw tables: .*customer-health demo"):
        beside.answer()
    odd = replace(settings, extra_vars={"raw_schema": "no name"})
    beside.ask(landing(odd))
    with pytest.raises(HealthError, match="raw_schema is 'no name'"):
        beside.answer()
    beside.ask(landing(settings))  # and the next gate is judged
    assert beside.answer().gate == "landing"


def test_a_refusal_keeps_its_exit_code_and_its_facts() -> None:
    error = UsageError("no", details={"rows": 3}, lines=["one", "two"])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is UsageError
    assert vars(again) == vars(error)
    assert (str(again), again.exit_code) == ("no", USAGE)


@pytest.mark.parametrize("is_judging", [False, True])
def test_a_process_that_is_killed_is_told_in_one_line(settings: Settings, is_judging: bool) -> None:
    gates = Beside()
    assert gates._process.pid is not None
    if is_judging:
        gates.ask(landing(settings))
    os.kill(gates._process.pid, signal.SIGKILL)
    if not is_judging:
        gates._process.join()
        gates.ask(landing(settings))
    with pytest.raises(HealthError, match="was ended by SIGKILL, as the system does when memory"):
        gates.answer()
    gates.close()


def test_an_interrupt_is_left_to_the_run(settings: Settings, beside: Beside) -> None:
    """Ctrl-C reaches all processes of a terminal."""
    beside.ask(landing(settings))
    beside.answer()  # it listens
    assert beside._process.pid is not None
    os.kill(beside._process.pid, signal.SIGINT)
    beside.ask(landing(settings))
    assert beside.answer().gate == "landing"


def test_it_ends_with_a_run_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "abandoned.py"
    script.write_text(ABANDONED)
    run = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == -signal.SIGKILL
    pid = int(run.stdout)
    give_up_at = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_its_end_is_silent(settings: Settings, tmp_path: Path) -> None:
    """Python warns of locks that a killed process leaves behind."""
    script = tmp_path / "ended.py"
    script.write_text(ENDED)
    command = [sys.executable, str(script), str(PROJECT_DIR), str(settings.home)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert run.returncode == 0
    assert (run.stdout, run.stderr) == ("landing\n", "")


def is_running(pid: int) -> bool:
    """Whether a process exists and has not ended; nobody may have asked for its exit code."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_another_process_is_started_by_commands_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not where Great Expectations is imported already."""
    monkeypatch.setattr(gate_process, "_state", {"allowed": False})
    monkeypatch.delitem(sys.modules, "great_expectations", raising=False)
    with gate_process.beside_or_here() as gates:
        assert isinstance(gates, Here)
    gate_process.allow()
    with gate_process.beside_or_here() as gates:
        assert isinstance(gates, Beside)
        process = gates._process
        assert process.is_alive()
    assert not process.is_alive()
    monkeypatch.setitem(sys.modules, "great_expectations", sys)
    with gate_process.beside_or_here() as gates:
        assert isinstance(gates, Here)
