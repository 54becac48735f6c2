"""Commands of ours to their end, in processes that need not import Great Expectations and dbt.

Those imports take 6 of the 9 seconds of a short command, and tests give hundreds. So each test
process keeps one that has imported both (this file as a script), and every command is a fork of it:
a process of its own with the environment, folder, arguments and output that were asked for, which
imports our modules and ends as `python -m` does. Commands that tests signal or kill are
started in the usual way, as is one whose environment Python itself or the C library reads at its
start.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "TZ", "OMP_", "OPENBLAS_")


def run_module(
    module: str, arguments: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """What `python -m module arguments` does: its exit code and what it wrote.

    Args:
        module: `customer_health` or `dbt.cli.main`.
        arguments: its arguments.
        cwd: the folder in which it runs.
        env: its whole environment.
    """
    command = [sys.executable, "-m", module, *arguments]
    if _read_at_start(env) != _read_at_start(os.environ):
        return subprocess.run(
            command, cwd=cwd, env=dict(env), capture_output=True, text=True, check=False
        )
    with tempfile.TemporaryDirectory(prefix="forked_") as folder:
        stdout, stderr = Path(folder) / "stdout", Path(folder) / "stderr"
        order = {
            "module": module,
            "arguments": list(arguments),
            "cwd": str(cwd),
            "env": dict(env),
            "stdout": str(stdout),
            "stderr": str(stderr),
        }
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(json.dumps(order) + "\n")
        server.stdin.flush()
        code = server.stdout.readline()
        assert code, "the process that tests fork commands from has ended"
        return subprocess.CompletedProcess(
            command, int(code), stdout.read_text("utf-8"), stderr.read_text("utf-8")
        )


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are read before any module is imported; a fork can add to the path."""
    return {
        key: value
        for key, value in environment.items()
        if key.startswith(_READ_AT_START) and key != "PYTHONPATH"
    }


@functools.cache
def _server() -> subprocess.Popen[str]:
    """This file as a script; it ends when this process does."""
    return subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _serve(orders: IO[str]) -> dict[str, Any] | None:
    """Fork for each order and tell its exit code; gives the order in the child, None at the end."""
    import dbt.cli.main  # noqa: F401
    import great_expectations  # noqa: F401

    gc.freeze()  # a child's collector leaves the shared memory alone
    while line := orders.readline():
        child = os.fork()
        if child == 0:
            order: dict[str, Any] = json.loads(line)
            return order
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def _become(order: dict[str, Any]) -> None:
    """Do in this process what `python -m` would do in a new one."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    for number, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["stdout"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, order["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv[1:] = order["arguments"]
    path = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [order["cwd"], *(each for each in path if each and each not in sys.path)]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    asked = _serve(sys.stdin)
    if asked is not None:
        _become(asked)
