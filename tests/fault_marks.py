"""The mark `fault(number, says=None)`: which test proves what happens on which fault.

`number` is that of tests/faults/catalogue.csv, `says` a text that the user gets to see. A test
whose mark has one must find it in real output, through `found_in`; a test that ends without
having done so fails. `docs/update_reliability.py` collects the marks into docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

# Texts of the running test's marks that were not yet found in any output.
_waiting: set[str] = set()


def marked_texts(item: pytest.Item) -> set[str]:
    """The `says` of a test's marks."""
    return {mark.kwargs["says"] for mark in item.iter_markers("fault") if mark.kwargs.get("says")}


def found_in(output: str) -> None:
    """Look for the texts of the running test's marks in an output.

    A mark of one test may show in another of its outputs, so what is still missing is only
    counted when the test ends.
    """
    _waiting.difference_update({text for text in _waiting if text in output})


@pytest.fixture(autouse=True)
def _says_what_it_promises(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test: every text of its marks was found."""
    _waiting.clear()
    _waiting.update(marked_texts(request.node))
    yield
    missing = sorted(_waiting)
    _waiting.clear()
    failed = getattr(request.node, "fault_failed", False)
    assert failed or not missing, f"the user was never told {missing}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    """Remember that a test failed or was skipped: then its texts are not missed besides."""
    report = yield
    if call.when == "call":
        item.fault_failed = not report.passed  # type: ignore[attr-defined]
    return report
