"""Shared by the quick tests and the fault tests: the mark `fault`, signals as in a terminal."""

import atexit
import os
import shutil
import signal
import tempfile
from typing import Any

import pytest

from customer_health.dbt import PARSED_VARIABLE

pytest_plugins = ["fault_marks", "plain_terminal"]

# A job that a shell starts in the background ignores Ctrl-C, and so does whatever it starts. The
# processes that tests interrupt must not: one with a handler of its own leaves its children the
# default.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of homes are built from the same project: it is parsed once for all, workers included.
if PARSED_VARIABLE not in os.environ:
    os.environ[PARSED_VARIABLE] = tempfile.mkdtemp(prefix="customer-health-parsed-")
    atexit.register(shutil.rmtree, os.environ[PARSED_VARIABLE], ignore_errors=True)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Filled with the generated Python of every template that Jinja compiles."""
    from dbt_common.clients import jinja

    seen: list[str] = []
    compile_code = jinja.MacroFuzzEnvironment._compile

    def counted(self: Any, source: str, filename: str) -> Any:
        seen.append(source)
        return compile_code(self, source, filename)

    monkeypatch.setattr(jinja.MacroFuzzEnvironment, "_compile", counted)
    return seen
