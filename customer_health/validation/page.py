"""The report as one page that needs nothing but a browser: `validation/<as_of>.html` in the home.

As data_docs: it loads nothing, runs no script, and a policy in the page tells browsers to keep it
so. All text is escaped, for names come from the data; the pictures are SVG in the page itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from customer_health import data_docs
from customer_health.errors import UsageError
from customer_health.settings import Settings
from customer_health.validation import pictures
from customer_health.validation.figures import Figures
from customer_health.validation.report import (
    MARKS,
    VERDICTS,
    Report,
    cohort_keys,
    facts,
    limits_in_words,
    sections,
)

FOLDER = "validation"
LATEST = "latest.html"


def paths(settings: Settings, figures: Figures, html: Path | None) -> list[Path]:
    """Where the page goes: as asked, else by its date and as the latest.

    Raises:
        UsageError: for a folder.
    """
    if html is not None:
        chosen = html.expanduser().resolve()
        if chosen.is_dir():
            raise UsageError(f"--html: {chosen} is a folder; name a file in it")
        return [chosen]
    folder = settings.home / FOLDER
    return [folder / f"{figures.as_of_date}.html", folder / LATEST]


def write(report: Report, where: list[Path]) -> None:
    """Write the page.

    Raises:
        OSError: when it cannot be written.
    """
    text = render(report)
    for path in where:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f"{path.name}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)


def render(report: Report) -> str:
    """The page as text."""
    from jinja2 import Environment
    from markupsafe import Markup

    figures = report.figures
    drawn = pictures.all_pictures(figures, cohort_keys(figures))
    icon, words, kind, _ = VERDICTS[report.verdict.key]

    def seen(value: Any) -> Any:
        # metric and account names also stand within sentences
        is_text = isinstance(value, str) and not isinstance(value, Markup)
        return pictures.visible(value) if is_text else value

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=seen)
    return environment.from_string(_PAGE).render(
        # our own style sheet and drawings, in which names were escaped; all else is escaped here
        style=Markup(data_docs.STYLE + _STYLE),
        kind=kind,
        icon=icon,
        label=words,
        words=report.verdict.words[:1].upper() + report.verdict.words[1:],
        plain=report.verdict.plain,
        sentence=report.verdict.sentence,
        facts=facts(figures),
        sections=[_section(section, drawn, Markup) for section in sections(report)],
        leak_tests=[(test, *MARKS[test.status][:3]) for test in report.leak_tests],
        limits=limits_in_words(report),
    )


def _section(section: Any, drawn: dict[str, str], as_markup: Any) -> dict[str, Any]:
    """What the page shows of a section; long tables are folded."""
    return {
        "title": section.title,
        "says": section.says,
        "pictures": [as_markup(drawn[name]) for name in section.pictures if name in drawn],
        "tables": [
            {
                "headings": list(enumerate(table.headings)),
                "rows": [list(enumerate(row)) for row in table.rows],
                "words": table.words,
                "summary": f"{table.headings[0] or section.title}: {len(table.rows)} rows",
                "is_folded": len(table.rows) > 8,
            }
            for table in section.tables
        ],
    }


_STYLE = """\
.verdict strong::first-letter { text-transform: uppercase; }
.verdict strong { overflow-wrap: anywhere; }
.verdict small { display: block; color: var(--soft); margin-top: .3rem; }
.pictures { display: grid; gap: 1rem; margin: .75rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.pictures figure { margin: 0; padding: .5rem; border: 1px solid var(--line);
  border-radius: .5rem; max-width: 34rem; }
.pictures svg { display: block; width: 100%; height: auto; }
.says { margin: .35rem 0; max-width: 60rem; overflow-wrap: anywhere; }
td { min-width: 0; } td.number { white-space: nowrap; } td.word { min-width: 6rem; }
th.number { white-space: nowrap; }
section h2 { margin-bottom: .4rem; }
.tests td.word { min-width: 11rem; }
ul.plain { padding-left: 1.1rem; } .tests td:first-child { white-space: nowrap; }
@media (max-width: 40rem) { body { padding: 1rem .75rem 3rem; } .verdict { padding: .75rem; } }
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Does it predict? {{ label }}</title>
<style>
{{ style }}</style>
</head>
<body>
<main>
<h1>Does the score predict who leaves?</h1>
<div class="verdict {{ kind }}">
  <span class="mark" aria-hidden="true">{{ icon }}</span>
  <div><strong>{{ words }}</strong>{{ plain }}\
{% if sentence and sentence != words %}<small>{{ sentence }}</small>{% endif %}</div>
</div>
<dl>
{% for name, value in facts %}
  <div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% macro table_of(table) %}
<div class="scroll"><table>
<thead><tr>
{% for place, heading in table.headings %}
  <th scope="col"{% if place >= table.words %} class="number"{% endif %}>{{ heading }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in table.rows %}
<tr>{% for place, cell in row %}\
<td class="{{ 'number' if place >= table.words else 'word' }}">{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% endmacro %}
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
{% for line in section.says %}
<p class="says">{{ line }}</p>
{% endfor %}
{% if section.pictures %}
<div class="pictures">
{% for picture in section.pictures %}
<figure>{{ picture }}</figure>
{% endfor %}
</div>
{% endif %}
{% for table in section.tables %}
{% if table.is_folded %}
<details><summary>{{ table.summary }}</summary>
{{ table_of(table) }}
</details>
{% else %}
{{ table_of(table) }}
{% endif %}
{% endfor %}
</section>
{% endfor %}
<section>
<h2>Leak tests</h2>
<div class="scroll"><table class="tests">
<thead><tr>
  <th scope="col">Result</th><th scope="col">Test</th><th scope="col">Found</th>
</tr></thead>
<tbody>
{% for test, mark, name, kind in leak_tests %}
<tr>
  <td><span class="chip {{ kind }}"><span class="mark" aria-hidden="true">{{ mark }}</span>\
{{ name }}</span></td>
  <td class="word">{{ test.number }}. {{ test.title }}</td>
  <td class="word">{{ test.finding }}</td>
</tr>
{% endfor %}
</tbody></table></div>
</section>
<section>
<h2>What the figures do not say</h2>
<ul class="plain">
{% for line in limits %}
<li>{{ line }}</li>
{% endfor %}
</ul>
</section>
</main>
</body>
</html>
"""
