"""Tables, badges and links as HTML for app and report. Text from the data is escaped here.

Everything returned is `markupsafe.Markup`; what is put into it by `format` or `join` is escaped
unless it is Markup itself. Names are freed of characters that vanish or turn their surroundings
around, and stand in a `bdi` element, so that a name from right to left leaves its row in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup, escape

from customer_health.dashboard.bands import Band
from customer_health.validation.pictures import visible

NONE = "–"
NAME_LENGTH = 60
# Not the dots of `S.L. has left`.
_SENTENCE_END = re.compile(r"\. (?=[A-Z])")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        is_number: set to the right, not broken.
        is_text: may be long; keeps a readable width on a phone.
    """

    title: str
    is_number: bool = False
    is_text: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[Any]], caption: str) -> Markup:
    """A table.

    Args:
        columns: its headings.
        rows: cells as text or Markup; None is shown as a dash.
        caption: what it shows, for those who do not see it.
    """
    classes = [
        "number" if column.is_number else "words" if column.is_text else "" for column in columns
    ]
    head = Markup("").join(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, column.title)
        for kind, column in zip(classes, columns, strict=True)
    )
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup('<td class="{}">{}</td>').format(kind, cell(value))
                for kind, value in zip(classes, row, strict=True)
            )
        )
        for row in rows
    )
    return Markup(
        '<div class="ch-scroll" role="region" tabindex="0" aria-label="{}"><table class="ch-table">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(visible(caption), head, body)


def cell(value: Any) -> Markup:
    """What stands in a cell: text is escaped, None becomes a dash."""
    if value is None or value == "":
        return Markup(NONE)
    return value if isinstance(value, Markup) else Markup("{}").format(visible(str(value)))


def name(text: Any, length: int = NAME_LENGTH) -> Markup:
    """A name of the data: shortened, with the whole of it as its title."""
    whole = " ".join(visible(str(text)).split())
    if len(whole) <= length:
        return Markup("<bdi>{}</bdi>").format(whole)
    return Markup('<bdi title="{}">{}…</bdi>').format(whole, whole[: length - 1].rstrip())


def short(text: str | None, note: str = "", length: int = 90) -> Markup:
    """The first sentence of a text, with the whole of it as its title, and a remark below.

    Args:
        text: sentences.
        note: shown below it.
        length: of the sentence, in characters.
    """
    if not text:
        return Markup(NONE)
    whole = " ".join(visible(text).split())
    first = _SENTENCE_END.split(whole, maxsplit=1)[0]
    shown = first if len(first) <= length else first[: length - 1].rstrip() + "…"
    below = Markup(" <small>{}</small>").format(note) if note else ""
    return Markup('<span title="{}">{}</span>{}').format(whole, shown, below)


def link(page: str, query: Mapping[str, str], text: Any) -> Markup:
    """A link to a page of the app that keeps the tab.

    Args:
        page: its path, without a slash.
        query: its parameters.
        text: as in `name`.
    """
    address = f"{page}?{urlencode(query)}" if query else page
    return Markup('<a href="{}" target="_self">{}</a>').format(address, name(text))


def account_link(account_id: str, account_name: str | None) -> Markup:
    """A link to the page of an account; its id stands where it has no name."""
    return link("account", {"account": account_id}, account_name or account_id)


def badge(band: Band, note: str = "") -> Markup:
    """A band by icon, label and colour."""
    return Markup(
        '<span class="ch-badge" style="background:{};border-color:{}">'
        '<span aria-hidden="true">{}</span> {}</span>'
    ).format(band.tint, band.colour, band.icon, f"{visible(band.label)}{note}")


def mark(kind: str, icon: str, text: str) -> Markup:
    """A result by icon and word: kinds are good, warn, bad and unknown."""
    return Markup(
        '<span class="ch-mark ch-{}"><span aria-hidden="true">{}</span> {}</span>'
    ).format(kind, icon, visible(text))


def tiles(facts: Iterable[tuple[str, Any, Any]]) -> Markup:
    """Figures side by side: what, the figure, and a remark below it (or None)."""
    return Markup('<dl class="ch-tiles">{}</dl>').format(
        Markup("").join(
            Markup("<div><dt>{}</dt><dd>{}{}</dd></div>").format(
                what,
                cell(figure),
                Markup("<small>{}</small>").format(cell(remark)) if remark else "",
            )
            for what, figure, remark in facts
        )
    )


def listed(items: Iterable[Any]) -> Markup:
    """A list of sentences."""
    return Markup('<ul class="ch-list">{}</ul>').format(
        Markup("").join(Markup("<li>{}</li>").format(cell(item)) for item in items)
    )


def signed(value: float | None, digits: int = 0, unit: str = "") -> Markup:
    """A change with its sign and an arrow; a dash where there is none to tell."""
    if value is None:
        return Markup(NONE)
    shown = f"{value:+,.{digits}f}"
    if float(shown.replace(",", "")) == 0:
        return Markup("{}{}").format(f"{0:.{digits}f}", unit)
    return Markup('<span aria-hidden="true">{}</span>{}{}').format(
        "▲" if value > 0 else "▼", Markup("&nbsp;") + shown, unit
    )


def day(value: date | None) -> str | None:
    """A date as text."""
    return None if value is None else value.isoformat()


def joined(parts: Iterable[Any], between: str = " · ") -> Markup:
    """Parts that are there, in one line."""
    return Markup(escape(between)).join(cell(part) for part in parts if part not in (None, ""))


STYLE = """\
.ch-scroll { overflow-x: auto; max-width: 100%; }
.ch-scroll:focus-visible, .ch-table a:focus-visible { outline: 2px solid #0072b2;
  outline-offset: 2px; }
.ch-table { border-collapse: collapse; width: 100%; font-size: .875rem; line-height: 1.35; }
.ch-table th { text-align: left; font-weight: 600; white-space: nowrap; vertical-align: bottom; }
.ch-table th, .ch-table td { padding: .4rem .75rem .4rem 0; vertical-align: top;
  border: 0; border-bottom: 1px solid color-mix(in srgb, currentColor 16%, transparent); }
.ch-table td.number, .ch-table th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.ch-table td:first-child { min-width: 8.5rem; }
.ch-table td.words { min-width: 13rem; overflow-wrap: anywhere; }
.ch-table td { overflow-wrap: break-word; }
.ch-table a { color: inherit; text-decoration: underline; text-underline-offset: .15em; }
.ch-badge { display: inline-block; white-space: nowrap; padding: 0 .5rem; border-radius: 1rem;
  border: 1px solid; color: #1b1f24; font-size: .8125rem; line-height: 1.5rem; font-weight: 600; }
.ch-mark { white-space: nowrap; font-weight: 600; }
.ch-tiles.ch-tiles { display: grid; gap: .75rem; margin: 0 0 .5rem; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); }
.ch-tiles > div { border: 1px solid color-mix(in srgb, currentColor 16%, transparent);
  border-radius: .5rem; padding: .6rem .8rem; min-width: 0; }
.ch-tiles dt { font-size: .8125rem; font-weight: 400; margin: 0; }
.ch-tiles dd { margin: 0; font-size: 1.5rem; font-weight: 650; line-height: 1.3;
  overflow-wrap: anywhere; }
.ch-tiles small { display: block; font-size: .8125rem; font-weight: 400; line-height: 1.35; }
.ch-list { margin: .25rem 0; padding-left: 1.2rem; font-size: .9375rem; }
.ch-title { font-size: 1.5rem; line-height: 1.25; margin: .25rem 0; overflow-wrap: anywhere; }
.ch-facts { margin: 0 0 .5rem; font-size: .9375rem; overflow-wrap: anywhere; }
.ch-list li { margin: .2rem 0; overflow-wrap: anywhere; }
"""
