"""Data Docs: what the gates found the last time, as one page that needs nothing but a browser.

The page is rendered from the reports of the gates, which come from the validation results of Great
Expectations. It loads nothing, not even from its own folder, and runs no script; a policy in the
page tells browsers to keep it so. All text is escaped: names come from the data.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from customer_health.gate_report import GateReport, count

FOLDER = "data_docs"
GATES = {
    "landing": "Landing gate: the raw tables",
    "candidate": "Candidate gate: the marts before they are published",
}
# Verdict of a gate: icon, label, class. Told by all three, so that nobody has to see the colour.
_VERDICTS = {
    "passed": ("✓", "Passed", "good"),
    "warned": ("!", "Passed with warnings", "warn"),
    "failed": ("✕", "Data bad", "bad"),
    "could_not_check": ("?", "Could not check", "unknown"),
}
_OF_CHECKS = {
    "ok": ("✓", "holds", "good"),
    "warning": ("!", "warning", "warn"),
    "bad": ("✕", "bad", "bad"),
    "not checked": ("?", "not checked", "unknown"),
}


def page(home: Path) -> Path:
    """The page of a home folder."""
    return home / FOLDER / "index.html"


def add(home: Path, report: GateReport) -> Path:
    """Put a report in the place of the last one of its gate, and render the page anew.

    Args:
        home: folder of the databases.
        report: of the gate that just ran.

    Returns:
        The page.

    Raises:
        OSError: when it cannot be written.
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "judged_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **report.to_dict(),
    }
    _write(folder / f"{report.gate}.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    reports = [_read(folder / f"{gate}.json") for gate in GATES]
    target = page(home)
    _write(target, render([found for found in reports if found is not None]))
    return target


def render(reports: list[dict[str, Any]]) -> str:
    """The page for the reports of gates, each as `GateReport.to_dict` gives it."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    gates = [_section(report) for report in reports]
    return environment.from_string(_PAGE).render(gates=gates, headline=_headline(reports))


def _headline(reports: list[dict[str, Any]]) -> dict[str, str]:
    """The verdict on all gates: that of the worst one."""
    order = ["failed", "could_not_check", "warned", "passed"]
    worst = min((_status(report) for report in reports), key=order.index, default="could_not_check")
    icon, label, kind = _VERDICTS[worst]
    sentences = {
        "failed": "The data are bad: a run stops here, and readers keep what they have.",
        "could_not_check": "The data were not judged, which says nothing about them. A run stops "
        "here, and readers keep what they have.",
        "warned": "No rule that stops a run is broken; something deserves a look.",
        "passed": "Every rule holds.",
    }
    return {"icon": icon, "label": label, "kind": kind, "sentence": sentences[worst]}


def _status(report: dict[str, Any]) -> str:
    """Status of a report; one that passed with warnings is told apart."""
    if report["status"] == "passed" and any(_of_check(one) != "ok" for one in report["checks"]):
        return "warned"
    return str(report["status"])


def _of_check(check: dict[str, Any]) -> str:
    if not check["could_check"]:
        return "not checked"
    if check["passed"]:
        return "ok"
    return "bad" if check["severity"] == "critical" else "warning"


def _section(report: dict[str, Any]) -> dict[str, Any]:
    """What the page tells about one gate."""
    icon, label, kind = _VERDICTS[_status(report)]
    order = list(reversed(_OF_CHECKS))
    told = []
    for check in report["checks"]:
        name = _of_check(check)
        check_icon, check_label, check_kind = _OF_CHECKS[name]
        told.append(
            {
                **check,
                "order": order.index("bad") if name == "not checked" else order.index(name),
                "icon": check_icon,
                "label": check_label,
                "kind": check_kind,
                "row_text": "" if check["rows"] is None else f"{check['rows']:,}",
                "key_text": ", ".join(map(str, check["sample_keys"])),
            }
        )
    held = [check for check in told if check["kind"] == "good"]
    broken = sorted(
        (check for check in told if check["kind"] != "good"), key=lambda check: check["order"]
    )
    tables: dict[str, list[dict[str, Any]]] = {}
    for check in held:
        tables.setdefault(check["table"], []).append(check)
    rows = report["row_counts"]
    return {
        "title": GATES.get(report["gate"], report["gate"]),
        "icon": icon,
        "label": label,
        "kind": kind,
        "summary": report["summary"],
        "facts": [
            ("Judged", report["judged_at"].replace("T", " ").replace("+00:00", " UTC")),
            ("As of", report["as_of_date"]),
            ("Database", report["database"]),
            ("Rules", f"{report['checks_passed']:,} of {len(report['checks']):,} hold"),
            ("Rows", f"{sum(rows.values()):,}"),
            ("Seconds", f"{report['seconds']:.1f}"),
        ],
        "broken": broken,
        "held": held,
        "tables": [
            (
                name,
                checks,
                f"{count(len(checks), 'rule')} held"
                + (f", {count(rows[name], 'row')}" if name in rows else ""),
            )
            for name, checks in tables.items()
        ],
    }


def _read(path: Path) -> dict[str, Any] | None:
    """A kept report; None when there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        _section(content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return dict(content)


def _write(path: Path, text: str) -> None:
    """Replace a file all at once."""
    beside = path.with_name(f"{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


# The look of every page of ours: validation/page.py has it too.
STYLE = """\
:root {
  --page: #ffffff; --card: #f6f7f9; --text: #1b1f24; --soft: #57606a; --line: #d5dae0;
  --good: #12703a; --warn: #8a5300; --bad: #b3261e; --unknown: #4a4f9c; --on: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --card: #1d2126; --text: #e8eaed; --soft: #a3abb5; --line: #363c44;
    --good: #5fc98a; --warn: #e5b04f; --bad: #ff8a80; --unknown: #aab0ff; --on: #14171b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--text); font: 15px/1.5 system-ui, sans-serif;
}
h1 { font-size: 1.1rem; margin: 0 0 .75rem; font-weight: 600; }
h2 { font-size: 1.15rem; margin: 0; }
.good { --mark: var(--good); } .warn { --mark: var(--warn); }
.bad { --mark: var(--bad); } .unknown { --mark: var(--unknown); }
.mark {
  display: inline-flex; align-items: center; justify-content: center; width: 1.45em; height: 1.45em;
  border-radius: 50%; background: var(--mark); color: var(--on); font-weight: 700; flex: none;
}
.verdict {
  display: flex; gap: .9rem; align-items: center; padding: 1rem 1.25rem; border-radius: .5rem;
  border: 1px solid var(--line); border-left: .4rem solid var(--mark); background: var(--card);
}
.verdict .mark { font-size: 1.35rem; }
.verdict strong { display: block; font-size: 1.3rem; color: var(--mark); }
section { margin-top: 2.5rem; }
.head { display: flex; gap: .75rem; align-items: center; flex-wrap: wrap; }
.chip {
  display: inline-flex; gap: .45em; align-items: center; color: var(--mark); font-weight: 600;
  white-space: nowrap;
}
.chip .mark { font-size: .8em; }
dl { display: flex; flex-wrap: wrap; gap: .35rem 2rem; margin: .75rem 0; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: .9rem; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .45rem .7rem .45rem 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; }
td { overflow-wrap: anywhere; min-width: 6rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; min-width: 3rem; }
td.place { font-weight: 600; min-width: 12rem; }
td small { display: block; color: var(--soft); font-weight: 400; }
.keys { font-family: ui-monospace, monospace; font-size: .85em; }
summary { cursor: pointer; padding: .35rem 0; }
summary span { color: var(--soft); }
.all-hold { color: var(--soft); }
:focus-visible { outline: 3px solid var(--unknown); outline-offset: 2px; }
"""

_PAGE = (
    """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Data Docs: {{ headline.label }}</title>
<style>
"""
    + STYLE
    + """\
</style>
</head>
<body>
<main>
<h1>Data Docs: what the quality gates found</h1>
<div class="verdict {{ headline.kind }}">
  <span class="mark" aria-hidden="true">{{ headline.icon }}</span>
  <div><strong>{{ headline.label }}</strong>{{ headline.sentence }}</div>
</div>
{% macro rows(checks, with_keys) %}
<div class="scroll"><table>
<thead><tr>
  <th scope="col">Verdict</th><th scope="col">Table and column</th><th scope="col">Rule</th>
  <th scope="col">Observed</th><th scope="col">Expected</th>
  <th scope="col" class="number">Rows</th><th scope="col">Severity</th>
  {% if with_keys %}<th scope="col">Sample keys</th>{% endif %}
</tr></thead>
<tbody>
{% for check in checks %}
<tr>
  <td><span class="chip {{ check.kind }}"><span class="mark" aria-hidden="true">{{ check.icon }}\
</span>{{ check.label }}</span></td>
  <td class="place">{{ check.table }}{% if check.column %}<small>{{ check.column }}</small>\
{% endif %}</td>
  <td>{{ check.rule }}<small>{{ check.description }}</small></td>
  <td>{{ check.observed }}</td>
  <td>{{ check.expected }}</td>
  <td class="number">{{ check.row_text }}</td>
  <td>{{ check.severity }}</td>
  {% if with_keys %}<td class="keys">{{ check.key_text }}</td>{% endif %}
</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% for gate in gates %}
<section>
<div class="head">
  <h2>{{ gate.title }}</h2>
  <span class="chip {{ gate.kind }}"><span class="mark" aria-hidden="true">{{ gate.icon }}</span>\
{{ gate.label }}</span>
</div>
<p>{{ gate.summary }}</p>
<dl>
{% for name, value in gate.facts %}
  <div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% if gate.broken %}
{{ rows(gate.broken, true) }}
{% elif gate.held %}
<p class="all-hold">No rule is broken.</p>
{% endif %}
{% for name, checks, size in gate.tables %}
<details>
<summary>{{ name }} <span>{{ size }}</span></summary>
{{ rows(checks, false) }}
</details>
{% endfor %}
</section>
{% endfor %}
</main>
</body>
</html>
"""
)
