"""One demo, one server and one Chromium for all tests of the folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from dashboard_world import published_home
from served import ARGUMENTS, Server, chromium, serve


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture(scope="session")
def app(demo_home, tmp_path_factory) -> Iterator[Server]:
    yield from serve(demo_home, tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield started
        started.close()
