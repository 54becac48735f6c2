"""The app as people see it: a server of its own, and a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dashboard_world import PROJECT

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SHOTS = Path(os.environ.get("DASHBOARD_SHOTS", PROJECT / "target" / "dashboard-shots"))
# Loaded by the server before anything else: notes and refuses every connection that leaves here.
_GUARD = """
import os, socket
_connect, _lookup = socket.socket.connect, socket.getaddrinfo
def _note(host):
    if str(host) not in ("127.0.0.1", "::1", "localhost", "None", "0.0.0.0", "b'127.0.0.1'"):
        with open(os.environ["GUARD_LOG"], "a") as log:
            log.write(str(host) + "\\n")
        raise OSError("no other host may be asked")
def connect(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6):
        _note(address[0])
    return _connect(self, address)
def lookup(host, *rest, **more):
    _note(host)
    return _lookup(host, *rest, **more)
socket.socket.connect, socket.getaddrinfo = connect, lookup
"""


@dataclass(frozen=True)
class Server:
    """A running app: its address, its home, and where it noted hosts that it asked for."""

    url: str
    home: Path
    asked: Path

    def asked_hosts(self) -> str:
        return self.asked.read_text() if self.asked.exists() else ""


def chromium() -> str:
    """The browser; the tests of this folder need one."""
    named = os.environ.get("CHROMIUM")
    names = [named] if named else ["chromium", "chromium-browser", "google-chrome"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on PATH: install Debian's chromium, or name one in CHROMIUM")
    return found


def serve(home: Path, folder: Path) -> Iterator[Server]:
    """Run `customer-health dashboard` on a free port until the test is over."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    guard = folder / "guard"
    guard.mkdir(parents=True, exist_ok=True)
    (guard / "sitecustomize.py").write_text(_GUARD)
    asked = folder / "asked.log"
    log = folder / "server.log"
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("customer-health")), "--home", str(home),
         "dashboard", "--no-open", "--port", str(port)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(guard), "GUARD_LOG": str(asked)},
        stdout=log.open("w"), stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process, log)
        yield Server(url, home, asked)
    finally:
        process.send_signal(2)  # as Ctrl-C does
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def wait_for(url: str, process: subprocess.Popen, log: Path, seconds: float = 60) -> None:
    """Until the server answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server does not answer: {log.read_text()}")
