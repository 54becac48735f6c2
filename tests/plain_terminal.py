"""Fixture of tests that call the command line: no variables of the machine, no colours."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 160 columns without colours, and none of our variables in the environment."""
    for name in list(os.environ):
        if name.startswith("CUSTOMER_HEALTH_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("NO_COLOR", "1")
