"""One writer at a time, with real processes: the second waits outside, the dead one is replaced."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_marts import ENVIRONMENT, read_json

from customer_health import lock
from customer_health.errors import BusyError
from customer_health.lock import Holder, live_holder, process_start, run_lock, this_process

HOLDER = textwrap.dedent(
    """
    import signal, sys, time
    from pathlib import Path
    from customer_health.errors import BusyError
    from customer_health.lock import run_lock

    # As the command line does: unwind on SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with run_lock(Path(sys.argv[1]), run_id=sys.argv[2], command="run", warn=print):
            print("held", flush=True)
            time.sleep(60)
    except BusyError as error:
        print(error.message, flush=True)
        sys.exit(error.exit_code)
    """
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


def start(path: Path, run_id: str = "first") -> subprocess.Popen[str]:
    """A process that takes the lock and keeps it."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), run_id],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """What the process says first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@contextmanager
def holding(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock."""
    process = start(path)
    try:
        assert first_line(process) == "held"
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


def take(path: Path, warnings: list[str] | None = None) -> Holder:
    """Take and release the lock in this process."""
    told = warnings if warnings is not None else []
    with run_lock(path, run_id="second", command="run", warn=told.append) as holder:
        return holder


@pytest.mark.fault(50)
def test_a_second_process_exits_3_and_says_since_when(path: Path) -> None:
    with holding(path) as process:
        second = start(path, "second")
        message = first_line(second)
        assert second.wait(timeout=10) == 3
        written = read_json(path)
        assert written["run_id"] == "first"
        assert written["pid"] == process.pid
        since = written["started_at"].replace("T", " ").removesuffix("+00:00") + " UTC"
        assert f"run first (run, process {process.pid} on" in message
        assert f"in progress since {since}" in message
        second.communicate()


def test_the_file_is_gone_after_a_run(path: Path) -> None:
    take(path)
    assert not path.exists()


def test_the_file_is_gone_after_an_error(path: Path) -> None:
    with (
        pytest.raises(ValueError, match="x"),
        run_lock(path, run_id="r", command="run", warn=print),
    ):
        raise ValueError("x")
    assert not path.exists()


@pytest.mark.fault(51)
def test_a_holder_killed_with_9_is_taken_over_with_a_warning(path: Path) -> None:
    with holding(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=10)
        assert path.exists(), "kill -9 leaves the file"
        warnings: list[str] = []
        holder = take(path, warnings)
        assert holder.pid == os.getpid()
        assert warnings == [
            f"took over the lock of run first: its process {process.pid} is gone without having "
            "finished"
        ]
    assert not path.exists()


@pytest.mark.fault(47)
def test_a_holder_terminated_with_15_leaves_no_file(path: Path) -> None:
    with holding(path) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
        assert not path.exists()
        warnings: list[str] = []
        take(path, warnings)
        assert warnings == []


@pytest.mark.fault(50)
def test_many_takers_at_once_never_hold_it_together(path: Path, tmp_path: Path) -> None:
    """Six processes fight for it; each that gets in finds itself alone. The file is removed at
    each release, which is where locks on files usually go wrong."""
    script = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from customer_health import lock

        lock.PATIENCE_SECONDS = 0.0
        inside = Path(sys.argv[2])
        entered = 0
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            try:
                with lock.run_lock(Path(sys.argv[1]), run_id="r", command="run", warn=print):
                    descriptor = os.open(inside, os.O_CREAT | os.O_EXCL)  # fails if not alone
                    os.close(descriptor)
                    time.sleep(0.0005)
                    inside.unlink()
                    entered += 1
            except lock.BusyError:
                time.sleep(0.0002)
        print(entered)
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(tmp_path / "inside")],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    answers = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, answers
    entered = [int(out.split()[-1]) for out, _ in answers]
    assert sum(entered) > 20
    assert not path.exists()


def test_a_file_replaced_between_open_and_lock_is_not_the_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder before removes its file, and a third process locks a new one: then that counts,
    and not the removed file that was opened before."""
    real = fcntl.flock
    others: list[int] = []

    def replaced_meanwhile(descriptor: int, operation: int) -> None:
        if not others:
            path.unlink()
            others.append(os.open(path, os.O_RDWR | os.O_CREAT))
            real(others[0], fcntl.LOCK_EX)
        real(descriptor, operation)

    monkeypatch.setattr(lock, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(fcntl, "flock", replaced_meanwhile)
    with pytest.raises(BusyError, match="a run is in progress"):
        take(path)
    os.close(others[0])


def test_a_used_again_process_id_does_not_keep_the_lock(path: Path) -> None:
    """The file names a process that lives, but not the one that wrote it."""
    alive = replace(this_process("old", "run"), pid=os.getppid(), process_started="1")
    path.write_text(json.dumps(asdict(alive)), encoding="utf-8")
    warnings: list[str] = []
    take(path, warnings)
    assert len(warnings) == 1


def test_a_live_process_keeps_the_lock_where_the_file_system_carries_none(path: Path) -> None:
    parent = os.getppid()
    alive = replace(this_process("old", "run"), pid=parent, process_started=process_start(parent))
    path.write_text(json.dumps(asdict(alive)), encoding="utf-8")
    with pytest.raises(BusyError, match="run old"):
        take(path)
    assert path.exists()


def test_a_lock_of_another_machine_is_not_taken_over(path: Path) -> None:
    there = replace(this_process("far", "run"), host="elsewhere", boot_id="another-boot")
    path.write_text(json.dumps(asdict(there)), encoding="utf-8")
    with pytest.raises(BusyError, match=f"on another machine.*delete {path}"):
        take(path)
    assert path.exists()


def test_a_lock_of_a_container_that_is_gone_is_taken_over(path: Path) -> None:
    """Another host name, but the same kernel: its free lock is the kernel's word."""
    if not lock.boot_id():
        pytest.skip("this system has no boot id")
    there = replace(this_process("old", "run"), host="container-1", pid=1)
    path.write_text(json.dumps(asdict(there)), encoding="utf-8")
    warnings: list[str] = []
    take(path, warnings)
    assert len(warnings) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}', "null"])
def test_a_damaged_file_is_no_lock(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")
    take(path)
    assert not path.exists()


def test_looking_does_not_take_it(path: Path) -> None:
    assert live_holder(path) is None
    with holding(path) as process:
        holder = live_holder(path)
        assert holder is not None
        assert holder.pid == process.pid
        assert holder.host == socket.gethostname()
        process.kill()
        process.wait(timeout=10)
        assert live_holder(path) is None, "the file alone is no lock"
        assert path.exists()


def test_somebody_who_looks_does_not_stop_a_run(path: Path) -> None:
    """`status` locks the file for an instant; a run that starts then waits for it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    script = "import sys, time; time.sleep(0.1)"
    watcher = subprocess.Popen([sys.executable, "-c", script], pass_fds=[descriptor])
    os.close(descriptor)
    started = time.monotonic()
    lock_patience = lock.PATIENCE_SECONDS
    lock.PATIENCE_SECONDS = 20
    try:
        take(path)
    finally:
        lock.PATIENCE_SECONDS = lock_patience
        watcher.wait(timeout=30)
    assert time.monotonic() - started < 20


def test_a_process_that_does_not_exist_has_no_start() -> None:
    assert process_start(2**22 + 12345) == ""
    assert process_start(os.getpid()) != ""
