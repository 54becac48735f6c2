"""The gates of a run, judged in a process beside it.

A run needs two large packages: Great Expectations for its gates, dbt for the build. Python imports
with one core, and importing both takes longer than all rules of the landing gate. So the gates are
judged in a process of their own, which imports the one while the run's process imports the other
and reads the project.

`beside_or_here` decides: only a command of ours starts another process (`allow`), since that one
imports the main module of this one again, which a notebook or a test may not stand; and none is
started where Great Expectations is imported already.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from customer_health.errors import HealthError, first_line

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from customer_health.gate_report import GateName, GateReport
    from customer_health.publication import Publication
    from customer_health.settings import Settings

_state = {"allowed": False}


@dataclass(frozen=True)
class Question:
    """One gate to be judged; the arguments of `pipeline.judge`."""

    settings: Settings
    name: GateName
    as_of: date
    last: Publication | None
    accept_volume: bool


class Gates(Protocol):
    """Where gates are judged. Each question is answered before the next one is asked."""

    @property
    def are_beside(self) -> bool:
        """Whether this process has time for something else between question and answer."""
        ...

    def ask(self, question: Question) -> None:
        """Hand in a gate to be judged."""
        ...

    def answer(self) -> GateReport:
        """The report of the gate that was asked for.

        Raises:
            HealthError: as `pipeline.judge` does, or when the process that judges has ended.
        """
        ...


def allow() -> None:
    """Say that this process is a command of ours, and may start another one."""
    _state["allowed"] = True


@contextmanager
def beside_or_here() -> Iterator[Gates]:
    """Where the gates of one run are judged; what was started has ended afterwards."""
    if not _state["allowed"] or "great_expectations" in sys.modules:
        yield Here()
        return
    beside = Beside()
    try:
        yield beside
    finally:
        beside.close()


class Here:
    """Gates judged by this process."""

    are_beside = False

    def __init__(self) -> None:
        self._question: Question | None = None

    def ask(self, question: Question) -> None:
        """Hand in a gate to be judged."""
        self._question = question

    def answer(self) -> GateReport:
        """Judge the gate that was asked for."""
        assert self._question is not None
        return _judge(self._question)


class Beside:
    """Gates judged by a process that ends with this one, whichever way this one ends."""

    are_beside = True

    def __init__(self) -> None:
        import multiprocessing

        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), name="gates", daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, question: Question) -> None:
        """Hand in a gate to be judged."""
        with suppress(OSError):  # `answer` says how it ended
            self._connection.send(question)

    def answer(self) -> GateReport:
        """Wait for the report of the gate that was asked for."""
        try:
            answer: GateReport | BaseException = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise HealthError(
                f"the process that judges the gates {_how_it_ended(self._process.exitcode)}; "
                "this says nothing about the data, and nothing was published"
            ) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.join()


def _judge(question: Question) -> GateReport:
    from customer_health import pipeline

    return pipeline.judge(
        question.settings,
        question.name,
        question.as_of,
        question.last,
        question.accept_volume,
    )


def _how_it_ended(exit_code: int | None) -> str:
    """In words; what the system kills without a word has mostly used up the memory."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
        return f"was ended by {name}{why}"
    return f"has ended with exit code {exit_code}"


def _serve(connection: Connection) -> None:
    """The process: import what gates need, then judge one gate after the other."""
    import multiprocessing

    # Ctrl-C reaches every process of a terminal; what becomes of this one is up to the run.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    # Great Expectations imports a lock for processes. One of the method "fork" leaves no name in
    # the system, which Python would miss, with a warning, once this process is killed.
    multiprocessing.set_start_method("fork", force=True)
    with suppress(Exception):  # told when a gate is judged
        from customer_health import gates, gx_duckdb, pipeline  # noqa: F401

        with gx_duckdb.quiet():
            gx_duckdb.enable()
    while True:
        try:
            question = connection.recv()
        except EOFError:
            return
        answer: Any
        try:
            answer = _judge(question)
        except Exception as error:
            answer = error
        try:
            connection.send(answer)
        except OSError:
            return
        except Exception as error:  # an answer that cannot be sent as it is
            connection.send(HealthError(first_line(f"{type(answer).__name__}: {answer} ({error})")))


def _end_with_the_run() -> None:
    """End at once when the run has ended; it may have been killed while a gate is judged."""
    import multiprocessing

    run = multiprocessing.parent_process()
    assert run is not None
    run.join()
    os._exit(1)
