"""A forked command does what `python -m` does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from forked import run_module

PROBE = """
import atexit, json, os, signal, sys
print(__name__, sys.argv[1:], os.getcwd(), sys.path[0], sys.stdin.read())
print(dict(sorted(os.environ.items())))
print("to stderr", file=sys.stderr)
atexit.register(print, "at the end")
print("ours", [name for name in sys.modules if name.startswith("customer_health")])
what = sys.argv[1]
if what == "raise":
    raise ValueError("no")
if what == "die":
    sys.stdout.flush()
    os.kill(os.getpid(), signal.SIGKILL)
sys.exit(int(what))
"""


@pytest.mark.parametrize("what", ["0", "3", "raise", "die"])
@pytest.mark.parametrize("more", [{}, {"PYTHONPATH": "elsewhere"}, {"TZ": "Asia/Tokyo"}])
def test_it_is_the_same(tmp_path: Path, what: str, more: dict[str, str]) -> None:
    (tmp_path / "probe.py").write_text(PROBE)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    real = subprocess.run(
        [sys.executable, "-m", "probe", what, "a b", "ü"],
        cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    forked = run_module("probe", [what, "a b", "ü"], cwd=tmp_path, env=environment)
    assert (forked.returncode, forked.stdout) == (real.returncode, real.stdout)
    assert forked.stderr.splitlines()[-1] == real.stderr.splitlines()[-1]
    assert forked.returncode == {"raise": 1, "die": -9}.get(
        what, int(what) if what.isdigit() else 0
    )
