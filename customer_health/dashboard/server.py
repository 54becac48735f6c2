"""Start the app: Streamlit with settings of ours, which asks no other host for anything."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from customer_health.errors import HealthError, UsageError
from customer_health.settings import Settings

DEFAULT_PORT = 8501
_PORTS_TRIED = 20
LOOPBACK = "127.0.0.1"
# Where the app lies: beside this package, or in the copy of the project that dbt installed.
_APP = Path("dashboards") / "app" / "app.py"


def find_app(settings: Settings) -> Path:
    """The script of the app.

    Raises:
        HealthError: when it was not installed along.
    """
    places = (
        Path(__file__).resolve().parents[2],
        settings.project_dir,
        settings.project_dir / "dbt_packages" / "customer_health",
    )
    for place in places:
        if (place / _APP).is_file():
            return place / _APP
    raise HealthError(
        f"the app is not there: looked for {_APP} in {', '.join(str(place) for place in places)}"
    )


def free_port(address: str, port: int | None) -> int:
    """The port to serve on: the one asked for, or the first free one from DEFAULT_PORT on.

    Raises:
        UsageError: when it is taken.
    """
    wanted = [port] if port is not None else range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    for number in wanted:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, number))
            except OSError:
                continue
            return number
    where = f"port {port}" if port is not None else f"every port from {wanted[0]} to {wanted[-1]}"
    raise UsageError(f"--port: {where} of {address} is taken; name another")


def command(settings: Settings, address: str, port: int, *, opens: bool) -> list[str]:
    """The command line that serves the app.

    Raises:
        HealthError: without Streamlit, or without the app.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise HealthError(
            "the dashboard needs Streamlit: pip install 'customer-health[dashboard]' (make install "
            "brings it)"
        )
    options = {
        "server.address": address,
        "server.port": str(port),
        "server.headless": "false" if opens else "true",
    }
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(find_app(settings)),
        *(f"--{name}={value}" for name, value in options.items()),
    ]


def environment(settings: Settings) -> dict[str, str]:
    """What the app is told: the same project, home and target as the command."""
    told = {
        **os.environ,
        "CUSTOMER_HEALTH_PROJECT_DIR": str(settings.project_dir),
        "CUSTOMER_HEALTH_HOME": str(settings.home),
        "DO_NOT_TRACK": "1",
    }
    if settings.target is not None:
        told["CUSTOMER_HEALTH_TARGET"] = settings.target
    return told


def serve(settings: Settings, address: str, port: int, *, opens: bool) -> NoReturn:
    """Become the server, so that whoever stops this process stops it; does not return."""
    arguments = command(settings, address, port, opens=opens)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(arguments[0], arguments, environment(settings))
