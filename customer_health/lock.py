"""One writer at a time: the run lock.

The lock is an advisory lock (`flock`) on the open file `run.lock`, so the kernel frees it however
the holder ends, `kill -9` included. What the file says is for people: who, where, since when.
A file whose lock is free was left by a run that died; it is taken over with a warning.

The file is removed on release while the lock is held, and every taker checks after locking that
the path still names the file that it locked. So no two takers can hold two different files.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from customer_health.errors import BusyError

# `status` locks the file for an instant to see whether it is held, and a holder needs an instant
# to write its name: only a lock that stays is another run.
PATIENCE_SECONDS = 0.3

_held: set[Path] = set()
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as written in its file."""

    run_id: str
    command: str
    pid: int
    host: str
    boot_id: str
    process_started: str
    started_at: str

    def in_words(self) -> str:
        """For messages: `run 20260630T081502Z-a1b2c3 (process 4711 on host) … since …`."""
        since = self.started_at.replace("T", " ").removesuffix("+00:00") + " UTC"
        return (
            f"run {self.run_id} ({self.command}, process {self.pid} on {self.host}) "
            f"in progress since {since}"
        )


def process_start(pid: int) -> str:
    """When a process started, in the system's own unit; empty when there is no such process.

    A process id is used again after a while; together with its start it is unique.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command name may contain spaces and parentheses; fields count after the last one.
            return stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return ""
    answer = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return answer.stdout.strip()


def boot_id() -> str:
    """An id of this boot of this machine, shared by its containers; empty where there is none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def this_process(run_id: str, command: str) -> Holder:
    """The holder that this process would be."""
    return Holder(
        run_id=run_id,
        command=command,
        pid=os.getpid(),
        host=socket.gethostname(),
        boot_id=boot_id(),
        process_started=process_start(os.getpid()),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def read_holder(path: Path) -> Holder | None:
    """What a lock file says; None when there is no file or it says nothing readable."""
    try:
        return _parse(path.read_text(encoding="utf-8"))
    except OSError:
        return None


def live_holder(path: Path) -> Holder | None:
    """The holder of a lock that is held at this moment, for `status`; None when it is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_holder(path)
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def run_lock(
    path: Path, *, run_id: str, command: str, warn: Callable[[str], None]
) -> Iterator[Holder]:
    """Hold the run lock.

    Args:
        path: the lock file; its folder must exist.
        run_id: id of this run, for the message that others get.
        command: name of the command, for the same message.
        warn: told in one line when the lock of a dead run is taken over.

    Raises:
        BusyError: when another run holds it (exit code 3).
        OSError: when the folder cannot be written.
    """
    descriptor = _lock_file(path)
    try:
        left_behind = _parse(_read(descriptor))
        if left_behind is not None:
            _refuse_if_alive(left_behind, path)
            warn(
                f"took over the lock of run {left_behind.run_id}: its process "
                f"{left_behind.pid} is gone without having finished"
            )
        holder = this_process(run_id, command)
        _held.add(path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(asdict(holder)) + "\n").encode(), 0)
        try:
            yield holder
        finally:
            path.unlink(missing_ok=True)
            _held.discard(path)
    finally:
        os.close(descriptor)


def remove_held_files() -> None:
    """Remove the files of the locks that this process holds; only for the moment before it ends.

    The kernel frees the locks themselves with the process.
    """
    for path in list(_held):
        path.unlink(missing_ok=True)


def _lock_file(path: Path) -> int:
    """Open and lock the file that the path names; BusyError when another process has it."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() < give_up_at:
                time.sleep(0.02)
                continue
            holder = read_holder(path)
            words = holder.in_words() if holder else "a run is in progress"
            raise BusyError(
                f"{words}: wait for it to end, or look with `customer-health status`"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        if _still_named(path, descriptor):
            return descriptor
        # The holder before us removed the file between our open and our lock: take the new one.
        os.close(descriptor)


def _still_named(path: Path, descriptor: int) -> bool:
    """Whether the path still names the file behind the descriptor."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)


def _refuse_if_alive(left_behind: Holder, path: Path) -> None:
    """Refuse a free lock whose holder may live on, where the file system does not carry locks."""
    here = left_behind.host == socket.gethostname()
    same_kernel = left_behind.boot_id != "" and left_behind.boot_id == boot_id()
    if here or same_kernel:
        started = process_start(left_behind.pid)
        # In a container of its own, a process of the same kernel cannot be looked up by its id;
        # there the kernel's lock, which we got, has the word.
        if here and started != "" and started == left_behind.process_started:
            raise BusyError(
                f"{left_behind.in_words()}: wait for it to end, or look with "
                "`customer-health status`"
            )
        return
    raise BusyError(
        f"{left_behind.in_words()}, on another machine, which cannot be asked from here: if that "
        f"run is over, delete {path} and run again"
    )


def _read(descriptor: int) -> str:
    """The whole text of an open file."""
    return os.pread(descriptor, 65_536, 0).decode("utf-8", errors="replace")


def _parse(text: str) -> Holder | None:
    """The holder that a lock file names; None when it is empty or damaged."""
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):
        return None
