"""Data Docs: one page that tells the verdict of both gates and loads nothing."""

from __future__ import annotations

import re
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from customer_health import data_docs
from customer_health.gate_report import Check, GateReport

HOSTILE = (
    """<script>alert('x')</script>"></td><img src=//evil.example/x onerror=alert(1)> \u202e &amp;"""
)


def check(rule: str = "row_count", **more: Any) -> Check:
    """A check that holds."""
    arguments: dict[str, Any] = {
        "rule": rule,
        "table": "product_events",
        "column": None,
        "observed": "2,000 rows",
        "expected": "at least 1,000 rows",
        "rows": 0,
        "sample_keys": [],
        "passed": True,
        "severity": "critical",
        "description": "There are rows.",
    }
    return Check(**{**arguments, **more})


def report(gate: str, status: Any, *checks: Check, reason: str | None = None) -> GateReport:
    return GateReport(
        gate=gate,
        status=status,
        as_of_date=date(2026, 6, 30),
        database=f"{gate}.duckdb",
        checks=list(checks),
        row_counts={"product_events": 2000},
        reason=reason,
        seconds=1.25,
    )


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.feed(text)
        self.text = " ".join(" ".join(self.told).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.told.append(data)


def page(home: Path) -> Page:
    return Page(data_docs.page(home).read_text(encoding="utf-8"))


def test_the_page_tells_the_last_verdict_of_both_gates(tmp_path: Path) -> None:
    """In words, with what is broken before what holds; a new report replaces that of its gate."""
    data_docs.add(tmp_path, report("landing", "passed", check()))
    assert page(tmp_path).text.startswith(
        "Data Docs: Passed Data Docs: what the quality gates found ✓ Passed Every rule holds."
    )
    broken = check(
        "weekday_volume",
        column="occurred_at",
        observed="2026-06-29 has 80 rows",
        rows=1234,
        sample_keys=["key-7", "key-8"],
        passed=False,
    )
    warned = check("known_columns", passed=False, severity="warning", observed="a new column")
    unknown = check("fresh", passed=False, could_check=False, observed="cannot read")
    data_docs.add(tmp_path, report("candidate", "failed", check(), unknown, warned, broken))
    found = page(tmp_path)
    assert "✕ Data bad The data are bad: a run stops here" in found.text
    assert "? not checked" in found.text
    for text in ("2026-06-29 has 80 rows", "1,234", "occurred_at", "critical", "key-7, key-8"):
        assert text in found.text
    warned_at = found.text.index("a new column")
    assert found.text.rindex("2026-06-29 has 80 rows") < warned_at
    assert found.text.count("Landing gate") == found.text.count("Candidate gate") == 1

    data_docs.add(tmp_path, report("candidate", "passed", check(), warned))
    found = page(tmp_path)
    assert "! Passed with warnings" in found.text and "Data bad" not in found.text
    data_docs.add(
        tmp_path, report("landing", "could_not_check", reason="there is no landing.duckdb")
    )
    found = page(tmp_path)
    assert "? Could not check The data were not judged" in found.text
    assert "there is no landing.duckdb" in found.text
    assert "Data bad" not in found.text
    (tmp_path / "data_docs" / "landing.json").write_text('{"gate": "landing"}', encoding="utf-8")
    data_docs.add(tmp_path, report("candidate", "passed", check()))
    assert page(tmp_path).text.count("Landing gate") == 0
    assert {path.name for path in (tmp_path / "data_docs").iterdir()} == {
        "index.html",
        "landing.json",
        "candidate.json",
    }


def test_the_page_asks_no_host_and_escapes_what_names_say(tmp_path: Path) -> None:
    """Whatever stands in a table, a column, a key or a message of a database is text."""
    hostile = check(
        HOSTILE,
        table=HOSTILE,
        column=HOSTILE,
        observed=HOSTILE,
        expected=HOSTILE,
        sample_keys=[HOSTILE],
        passed=False,
        severity=HOSTILE,
        description=HOSTILE,
    )
    bad = report("landing", "could_not_check", hostile, check(table=HOSTILE), reason=HOSTILE)
    data_docs.add(tmp_path, bad)
    text = data_docs.page(tmp_path).read_text(encoding="utf-8")
    assert "<script" not in text and "<img" not in text
    found = Page(text)
    assert set(found.tags) <= {
        "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "div",
        "span", "strong", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "small",
        "details", "summary",
    }  # fmt: skip
    names = {name for name, _ in found.attributes}
    assert names <= {
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "scope",
        "aria-hidden",
    }
    assert "alert('x')" in found.text
    styles = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert styles is not None
    for loading in ("url(", "@import", "//", "http:", "https:"):
        assert loading not in styles[1]
        assert not any(loading in value for _, value in found.attributes)
    policy = dict(found.attributes)
    assert "default-src 'none'" in next(v for n, v in found.attributes if n == "content")
    assert policy["lang"] == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(scheme: str) -> None:
    """Every mark and text has a contrast of 4.5 to 1 or more with what is behind it."""
    parts = data_docs._PAGE.split("@media (prefers-color-scheme: dark)")
    block = parts[0] if scheme == "light" else parts[1]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    for front in ("text", "soft", "good", "warn", "bad", "unknown"):
        for back in ("page", "card"):
            assert _contrast(colours[front], colours[back]) >= 4.5, (front, back)
    for mark in ("good", "warn", "bad", "unknown"):
        assert _contrast(colours["on"], colours[mark]) >= 4.5, mark


def _contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)
