"""Does the score predict? What `customer-health validate` tells, and what followed actions.

Verdict, sections, tables and pictures are those of `customer_health.validation`: the page and the
two reports cannot say different things. Leak tests 1 and 2 build an old date again, which takes
minutes and a scratch folder; they are left to the command.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from customer_health.dashboard import html
from customer_health.dashboard.html import Column
from customer_health.validation import pictures
from customer_health.validation import report as validation
from customer_health.validation.figures import false_greens, figures_of
from customer_health.validation.leak_tests import LeakTest, look_at_marts, skipped
from customer_health.validation.report import Report, Section, Verdict, number, share, whole
from customer_health.warehouses import Reader

# Longer tables are folded, as in the page of `validate`.
FOLDED_FROM = 9
MOST_ROWS = 200
NOT_RUN = "it builds an old date again, which only `customer-health validate` does"
OBSERVATIONAL = (
    "Observational: nobody drew lots. A CSM acts on trouble that the score does not show yet, and "
    "few people decide who acts at all, so a difference need not come from the action. To know, "
    "leave some accounts out by lot."
)
# matplotlib keeps the style of a picture in a global, and a server draws in several threads.
_DRAWING = threading.Lock()
_COLOURS_IN_IMAGE = (
    ":root{--text:#1b1f24;--soft:#57606a;--line:#d5dae0}"
    "@media(prefers-color-scheme:dark){:root{--text:#e8eaed;--soft:#a3abb5;--line:#4a525c}}"
)
_OUTCOMES = {
    "score_change_28_days": ("Points gained in 28 days", ""),
    "score_change_91_days": ("Points gained in 91 days", ""),
    "retention_91_days": ("Stayed for 91 days", "%"),
}
_COMPARED_WITH = {
    "same_playbook": "same playbook fired, not done",
    "alike": "accounts alike",
}
_DIRECTIONS = {"raised": "better", "lowered": "worse", "same": "same band"}


@dataclass(frozen=True)
class Prediction:
    """What is told about a publication; small enough to be kept.

    Attributes:
        verdict: after the leak tests that run on marts.
        facts: what was looked at, as name and text.
        sections: all parts that have figures, in the order in which they are read.
        pictures: SVG by name, as the sections name them.
        leak_tests: all five; the first two did not run.
        limits: what the figures do not say.
        false_greens: account_id of each row of the table of false greens.
    """

    verdict: Verdict
    facts: list[tuple[str, str]]
    sections: list[Section]
    pictures: dict[str, str]
    leak_tests: list[LeakTest]
    limits: list[str]
    false_greens: list[str]


def report_of(reader: Reader, limits: Mapping[str, float], path: Path) -> Report:
    """The report of `customer-health validate --no-rebuild` on what a reader has.

    Args:
        reader: of the readers' copy.
        limits: of `figures.read_limits`.
        path: file of the marts, where they lie in one.

    Raises:
        HealthError: when the validation marts are missing.
    """
    figures = figures_of(reader, dict(limits), path)
    tests = [skipped(1, NOT_RUN), skipped(2, NOT_RUN), *look_at_marts(reader, figures)]
    return Report(figures, tests, validation.judge(figures, tests))


def read_prediction(reader: Reader, limits: Sequence[tuple[str, float]], path: Path) -> Prediction:
    """Everything that the page tells of validation.

    Args:
        reader: of the readers' copy.
        limits: of `figures.read_limits`, as pairs.
        path: file of the marts, where they lie in one.

    Raises:
        HealthError: when the validation marts are missing.
    """
    report = report_of(reader, dict(limits), path)
    with _DRAWING:
        drawn = pictures.all_pictures(report.figures, validation.cohort_keys(report.figures))
    return Prediction(
        verdict=report.verdict,
        facts=validation.facts(report.figures),
        sections=validation.sections(report),
        pictures=drawn,
        leak_tests=report.leak_tests,
        limits=validation.limits_in_words(report),
        false_greens=[row["account_id"] for row in false_greens(report.figures)],
    )


# -- what followed -------------------------------------------------------------------------------
def read_action_outcomes(reader: Reader) -> list[dict[str, Any]]:
    """Rows of val_health__action_outcomes, those of all playbooks together first."""
    return _kept(
        reader,
        "val_health__action_outcomes",
        "case when playbook_key = '*' then 0 else 1 end, playbook_key, outcome, compared_with desc",
    )


def read_playbook_outcomes(reader: Reader) -> list[dict[str, Any]]:
    """Rows of val_health__playbook_outcomes, those that fired most first."""
    return _kept(reader, "val_health__playbook_outcomes", "firing_count desc, playbook_key")


def read_override_outcomes(reader: Reader) -> list[dict[str, Any]]:
    """Rows of val_health__override_outcomes, the authors with most overrides first."""
    return _kept(reader, "val_health__override_outcomes", "judged_count desc, author_id, direction")


def _kept(reader: Reader, mart: str, order: str) -> list[dict[str, Any]]:
    """The first rows of a mart; none where an earlier version of the project built it without."""
    if not reader.has(mart):
        return []
    return reader.records(f"select * from {{marts}}.{mart} order by {order} limit {MOST_ROWS}")


# -- tables --------------------------------------------------------------------------------------
Table = tuple[list[Column], list[list[Any]]]


def table_of(table: validation.Table, accounts: Sequence[str] = ()) -> Table:
    """A table of the report; its first column links to these accounts."""
    columns = [
        Column(heading, is_number=place >= table.words, is_text=0 < place < table.words)
        for place, heading in enumerate(table.headings)
    ]
    rows: list[list[Any]] = [list(row) for row in table.rows]
    for row, account_id in zip(rows, accounts, strict=False):
        row[0] = html.account_link(account_id, row[0])
    return columns, rows


def leak_table(tests: Sequence[LeakTest]) -> Table:
    """The leak tests, with a mark each."""
    rows = []
    for test in tests:
        icon, words, kind, _ = validation.MARKS[test.status]
        rows.append([html.mark(kind, icon, words), f"{test.number}. {test.title}", test.finding])
    return [Column("Result"), Column("Test", is_text=True), Column("Found", is_text=True)], rows


def action_table(rows: Sequence[Mapping[str, Any]], *, has_playbook: bool) -> Table:
    """Rows of `read_action_outcomes`: after the action, beside accounts without it."""
    columns = [
        *([Column("Playbook")] if has_playbook else []),
        Column("Outcome"),
        Column("Compared with"),
        Column("After it", is_number=True),
        Column("Without", is_number=True),
        Column("Difference", is_number=True),
        Column("95% interval", is_number=True),
        Column("Accounts", is_number=True),
        Column("Reading"),
    ]
    found = []
    for row in rows:
        outcome, unit = _OUTCOMES.get(row["outcome"], (row["outcome"], ""))
        low, high = row["difference_low"], row["difference_high"]
        found.append(
            [
                *([playbook_name(row["playbook_key"])] if has_playbook else []),
                outcome,
                _COMPARED_WITH.get(row["compared_with"], row["compared_with"]),
                _measured(row["action_mean"], unit),
                _measured(row["compared_mean"], unit),
                html.signed(row["difference"], 1),
                None if low is None or high is None else f"{low:+.1f} to {high:+.1f}",
                whole(row["account_count"]),
                row["reading"],
            ]
        )
    return columns, found


def playbook_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of `read_playbook_outcomes`: what followed a firing, beside the base."""
    columns = [
        Column("Playbook"),
        *(
            Column(title, is_number=True)
            for title in (
                "Fired", "Done", "Judged", "Churned next", "95% interval", "Base",
                "Expanded next", "95% interval", "Base",
            )
        ),
    ]  # fmt: skip
    found = [
        [
            playbook_name(row["playbook_key"], is_draft=row["is_draft"]),
            whole(row["firing_count"]),
            whole(row["done_count"]),
            whole(row["judged_count"]),
            share(row["churn_rate"], 1),
            validation.between(dict(row), "churn_rate_low", "churn_rate_high", _percent),
            share(row["base_churn_rate"], 1),
            share(row["expansion_rate"], 1),
            validation.between(dict(row), "expansion_rate_low", "expansion_rate_high", _percent),
            share(row["base_expansion_rate"], 1),
        ]
        for row in rows
    ]
    return columns, found


def override_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of `read_override_outcomes`: how often what followed agreed with the author."""
    columns = [
        Column("Author"),
        Column("Said"),
        *(
            Column(title, is_number=True)
            for title in ("Overrides", "Agreed", "95% interval", "Churned", "Same band churned")
        ),
    ]
    found = [
        [
            html.name(row["author_id"], 40),
            _DIRECTIONS.get(row["direction"], row["direction"]),
            whole(row["judged_count"]),
            share(row["hit_rate"]),
            validation.between(dict(row), "hit_rate_low", "hit_rate_high", share),
            share(row["churn_rate"], 1),
            share(row["band_churn_rate"], 1),
        ]
        for row in rows
    ]
    return columns, found


def playbook_name(key: str, *, is_draft: bool = False) -> Markup:
    """`champion_silent` -> `Champion silent`."""
    words = "All playbooks" if key == "*" else key.replace("_", " ")
    return html.name(words[:1].upper() + words[1:] + (" (draft)" if is_draft else ""), 40)


def _percent(value: float | None) -> str:
    return share(value, 1)


def _measured(value: float | None, unit: str) -> str | None:
    return None if value is None else f"{number(value, 1)}{unit}"


# -- HTML ----------------------------------------------------------------------------------------
def verdict_box(verdict: Verdict) -> Markup:
    """The verdict by icon, words and colour, with what it means and what it rests on."""
    icon, _, kind, _ = validation.VERDICTS[verdict.key]
    words = pictures.visible(verdict.words)
    sentence = pictures.visible(verdict.sentence)
    return Markup(
        '<div class="ch-verdict ch-{}"><span class="ch-icon" aria-hidden="true">{}</span>'
        "<div><strong>{}</strong><p>{}</p>{}</div></div>"
    ).format(
        kind,
        icon,
        words[:1].upper() + words[1:],
        pictures.visible(verdict.plain),
        Markup("<small>{}</small>").format(sentence) if sentence not in ("", words) else "",
    )


def said(sentences: Sequence[str]) -> Markup:
    """Sentences, a paragraph each."""
    return Markup("").join(
        Markup('<p class="ch-says">{}</p>').format(pictures.visible(each)) for each in sentences
    )


def gallery(drawn: Mapping[str, str], names: Sequence[str]) -> Markup:
    """Pictures side by side, those that there are."""
    images = [as_image(drawn[name]) for name in names if name in drawn]
    if not images:
        return Markup()
    return Markup('<div class="ch-gallery">{}</div>').format(Markup("").join(images))


def as_image(svg: str) -> Markup:
    """An SVG element as an image with the same words; the app lets no other drawing through.

    It has the colours of light and dark pages with it, since it cannot take those of its page.
    """
    head, rest = svg.split(">", 1)
    told = re.search(r'aria-label="([^"]*)"', head)
    written = f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_COLOURS_IN_IMAGE}</style>{rest}'
    return Markup('<img alt="{}" src="data:image/svg+xml;base64,{}">').format(
        # escaped already, as it stands in the picture
        Markup(told.group(1)) if told else "",
        base64.b64encode(written.encode()).decode("ascii"),
    )


def folded(summary: str, content: Markup) -> Markup:
    """Something long that opens when it is asked for."""
    return Markup('<details class="ch-fold"><summary>{}</summary>{}</details>').format(
        pictures.visible(summary), content
    )


def section_of(section: Section, told: Prediction) -> Markup:
    """A section below its title; a single picture has its tables beside it where there is room."""
    drawn = gallery(told.pictures, section.pictures)
    tables = Markup("").join(_tables_of(section, told))
    body = Markup("{}{}").format(drawn, tables)
    if tables and drawn.count("<img") == 1:
        body = Markup('<div class="ch-beside">{}<div>{}</div></div>').format(drawn, tables)
    return said(section.says) + body


def _tables_of(section: Section, told: Prediction) -> Iterator[Markup]:
    """The tables of a section; long ones are folded."""
    for table in section.tables:
        accounts = told.false_greens if section.key == "warnings" else ()
        columns, rows = table_of(table, accounts)
        what = table.headings[0] or section.title
        drawn = html.table(columns, rows, f"{section.title}: {what}")
        if len(rows) >= FOLDED_FROM:
            drawn = folded(f"{what}: {len(rows)} rows", drawn)
        yield drawn


STYLE = """\
.ch-verdict { display: flex; gap: .9rem; align-items: center; padding: .9rem 1.1rem;
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: .5rem;
  border-left: .4rem solid var(--ch-kind); margin: .25rem 0 .75rem; }
.ch-verdict strong { display: block; font-size: 1.35rem; line-height: 1.3;
  overflow-wrap: anywhere; }
.ch-verdict p { margin: .15rem 0; font-size: 1rem; line-height: 1.45; max-width: 60rem; }
.ch-verdict small { font-size: .8125rem; overflow-wrap: anywhere; }
.ch-icon { flex: none; display: inline-flex; align-items: center; justify-content: center;
  width: 2.2rem; height: 2.2rem; border-radius: 50%; background: var(--ch-kind); color: #fff;
  font-weight: 700; font-size: 1.2rem; }
.ch-good { --ch-kind: #12703a; } .ch-warn { --ch-kind: #8a5300; }
.ch-bad { --ch-kind: #b3261e; } .ch-unknown { --ch-kind: #4a4f9c; }
div dl.ch-facts { display: flex; flex-wrap: wrap; gap: .3rem 2rem; margin: .5rem 0; padding: 0; }
.ch-facts dt { font-size: .8125rem; font-weight: 400; margin: 0; opacity: .8; }
.ch-facts dd { margin: 0; font-size: .9375rem; overflow-wrap: anywhere; }
.ch-says { margin: .2rem 0; font-size: .9375rem; line-height: 1.45; max-width: 60rem;
  overflow-wrap: anywhere; }
.ch-gallery { display: grid; gap: 1rem; margin: .6rem 0; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); }
.ch-gallery img { display: block; width: 100%; max-width: 36rem; height: auto; padding: .5rem;
  border: 1px solid color-mix(in srgb, currentColor 16%, transparent); border-radius: .5rem; }
.ch-scroll + .ch-scroll, .ch-scroll + .ch-fold { margin-top: 1rem; }
.ch-beside { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.ch-beside > * { min-width: 0; }
.ch-fold summary { cursor: pointer; padding: .35rem 0; font-size: .9375rem; }
.ch-fold summary:focus-visible { outline: 2px solid #0072b2; outline-offset: 2px; }
"""


def facts_of(facts: Sequence[tuple[str, str]]) -> Markup:
    """What was looked at, small and side by side."""
    return Markup('<dl class="ch-facts">{}</dl>').format(
        Markup("").join(
            Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, pictures.visible(value))
            for name, value in facts
        )
    )
