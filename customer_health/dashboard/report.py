"""The static report: the portfolio and the validation as a file each, which needs only a browser.

What the Portfolio page shows without filters, and the page of `customer-health validate`. Both are
made of one publication before either is written. As data_docs: a file loads nothing and runs no
script, a policy in it tells browsers to keep it so, and all text is escaped.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from customer_health import data_docs
from customer_health.dashboard import bands as bands_of
from customer_health.dashboard import html, portfolio, prediction
from customer_health.dashboard.html import Column
from customer_health.dashboard.portfolio import Filters
from customer_health.dashboard.source import Pinned, Source
from customer_health.errors import HealthError, UsageError
from customer_health.gate_report import count
from customer_health.settings import Settings
from customer_health.validation import page
from customer_health.validation.figures import read_limits
from customer_health.validation.pictures import visible

FOLDER = "report"
PORTFOLIO = "portfolio.html"
VALIDATION = "validation.html"
ATTENTION_ROWS = 50
COMPARED_DAYS = 28
_MOST_CHECKS = 50


@dataclass(frozen=True)
class Written:
    """The report.

    Attributes:
        publication_id: of the publication that both files are about.
        as_of_date: of its scores, YYYY-MM-DD.
        verdict: of the validation, one of validation.report.VERDICTS.
        portfolio: file.
        validation: file.
    """

    publication_id: str
    as_of_date: str
    verdict: str
    portfolio: Path
    validation: Path

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "publication_id": self.publication_id,
            "as_of_date": self.as_of_date,
            "verdict": self.verdict,
            "portfolio": str(self.portfolio),
            "validation": str(self.validation),
        }


def write(settings: Settings, folder: Path | None = None) -> Written:
    """Write both files, in the place of earlier ones.

    Args:
        settings: project with a publication.
        folder: where to; None takes `report` in the home folder.

    Raises:
        HealthError: when nothing is published, or what draws charts is not installed.
        UsageError: for a folder that is a file.
        OSError: when they cannot be written.
    """
    folder = (folder or settings.home / FOLDER).expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out: {folder} is a file; name a folder")
    for package in ("altair", "vl_convert"):
        if importlib.util.find_spec(package) is None:
            raise HealthError(
                "the report needs what draws the charts: pip install 'customer-health[dashboard]' "
                "(make install brings it)"
            )
    with Source(settings).pinned() as pinned:
        on_portfolio = portfolio_page(pinned)
        found = prediction.report_of(pinned.reader, read_limits(settings), settings.published)
        on_validation = page.render(found)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((PORTFOLIO, on_portfolio), (VALIDATION, on_validation)):
        beside = folder / f"{name}.tmp"
        beside.write_text(text, encoding="utf-8")
        beside.replace(folder / name)
    return Written(
        publication_id=pinned.publication_id,
        as_of_date=pinned.as_of_date.isoformat(),
        verdict=found.verdict.key,
        portfolio=folder / PORTFOLIO,
        validation=folder / VALIDATION,
    )


def portfolio_page(pinned: Pinned) -> str:
    """The portfolio of a publication as text of a file."""
    from jinja2 import Environment

    reader, today = pinned.reader, pinned.as_of_date
    nothing = Filters()
    bands = bands_of.read_bands(reader)
    currency = portfolio.read_currency(reader)
    history = portfolio.read_history(reader, nothing)
    before = portfolio.nearest_before(history, today, COMPARED_DAYS)
    accounts, arr = portfolio.count_attention(reader, nothing)
    shown = portfolio.read_attention(reader, nothing, 1, ATTENTION_ROWS)
    trend = portfolio.read_base_trend(reader)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_PAGE).render(
        # our own style sheet; names are escaped by the helpers of `html` and by the template
        style=Markup(data_docs.STYLE + html.STYLE + _STYLE),
        as_of=today.isoformat(),
        facts=_facts(pinned),
        tiles=html.tiles(portfolio.headline(history, bands, today)),
        bands=_table(
            portfolio.bands_table(
                portfolio.bands_now(history, bands, today, before), before, currency
            ),
            "Accounts and ARR by band",
        ),
        charts=_charts(history, bands, currency),
        attention_says=portfolio.attention_in_words(accounts, arr, currency),
        attention=_table(
            portfolio.attention_table(shown, bands, currency, _account),
            "Accounts that need attention",
        )
        if shown
        else None,
        more=f"The first {len(shown):,} of {accounts:,}." if accounts > len(shown) else "",
        trend=portfolio.trend_in_words(trend) if trend else "",
        moves=_moves(pinned, history, bands, currency),
        compared_days=COMPARED_DAYS,
        checks_passed=pinned.checks_passed,
        checks_run=pinned.checks_run,
        warned=_warned_checks(pinned),
    )


def _facts(pinned: Pinned) -> list[tuple[str, str]]:
    """What was read, and whether it is to be trusted."""
    newest = pinned.newest_input_at
    return [
        ("Scores of", pinned.as_of_date.isoformat()),
        ("Published", f"{pinned.published_at:%Y-%m-%d %H:%M} UTC"),
        ("Newest data", f"{newest:%Y-%m-%d %H:%M} UTC" if newest else html.NONE),
        ("Policy", visible(pinned.scoring_version or html.NONE)),
        ("Checks", f"{pinned.checks_passed:,} of {pinned.checks_run:,} passed"),
        ("Publication", pinned.publication_id),
    ]


def _charts(history: Any, bands: Any, currency: str) -> dict[str, Markup]:
    """The charts of the Portfolio page as SVG, in which names were escaped."""
    from customer_health.dashboard import charts

    return {
        name: Markup(charts.as_svg(chart, told))
        for name, chart, told in (
            (
                "accounts",
                charts.bands_over_time(history, bands, "account_count", "Accounts"),
                "Accounts by band over time",
            ),
            (
                "arr",
                charts.bands_over_time(history, bands, "arr_amount", f"ARR {currency}"),
                f"ARR {visible(currency)} by band over time",
            ),
            (
                "mean",
                charts.line_over_time(
                    portfolio.means_over_time(history), "mean_score", "Mean score", None
                ),
                "Mean health score over time",
            ),
        )
    }


def _moves(pinned: Pinned, history: Any, bands: Any, currency: str) -> tuple[str, Markup] | None:
    """Who moved between bands; None where there are no scores of that time."""
    before = portfolio.nearest_before(history, pinned.as_of_date, COMPARED_DAYS)
    if before is None:
        return None
    moves = portfolio.migration_table(
        portfolio.read_migrations(pinned.reader, Filters(), before), bands
    )
    return (
        portfolio.moves_in_words(moves, before, currency),
        _table(portfolio.moves_table(moves, before), "Accounts by band before and band today"),
    )


def _warned_checks(pinned: Pinned) -> tuple[str, Markup] | None:
    """The checks of the publication that only warned."""
    rows = pinned.reader.rows(
        f"""
        select rule, table_name, column_name, observed, expected
        from {{marts}}.fct_health__publication_checks
        where publication_id = ? and not is_passed
        order by table_name, rule, column_name
        limit {_MOST_CHECKS}
        """,
        [pinned.publication_id],
    )
    if not rows:
        return None
    columns = (
        Column("Rule"), Column("Table"), Column("Column"),
        Column("Found", is_text=True), Column("Allowed", is_text=True),
    )  # fmt: skip
    return (
        f"{count(len(rows), 'check')} warned; the publication was let through.",
        html.table(columns, rows, "Checks that warned"),
    )


def _table(table: portfolio.Table, caption: str) -> Markup:
    columns, rows = table
    return html.table(columns, rows, caption)


def _account(account_id: str, account_name: str | None) -> Markup:
    """A name without a link: who gets the file may not reach the app."""
    return html.name(account_name or account_id)


_STYLE = """\
.ch-table td, .ch-table th { min-width: 0; color: inherit; }
.ch-table td.words { min-width: 11rem; }
.ch-table { margin: 0; }
section > h2 { margin-bottom: .4rem; }
.says { margin: .35rem 0; max-width: 60rem; color: var(--soft); }
.ch-tiles { margin-top: 1rem; }
.ch-tiles dd { overflow-wrap: normal; }
.beside { display: grid; gap: 0 2rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); }
.beside > section { min-width: 0; }
body { max-width: 88rem; }
figure { margin: .5rem 0; max-width: 42rem; }
figure svg { display: block; width: 100%; height: auto; }
figcaption { color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  body { padding: 1rem .75rem 3rem; }
  figure { overflow-x: auto; }
  figure svg { min-width: 32rem; }
}
@media print {
  @page { margin: 1.4cm; }
  body { padding: 0; max-width: none; font-size: 10pt; }
  section, figure, tr, .ch-tiles > div { break-inside: avoid; }
  section.long { break-inside: auto; }
  h2 { break-after: avoid; }
  .ch-scroll { overflow: visible; }
  .ch-tiles { grid-template-columns: repeat(5, 1fr); }
  .ch-table { font-size: 8pt; }
  .ch-table td, .ch-table th, .ch-table th.number { padding-right: .4rem; white-space: normal; }
  .ch-table td.words { min-width: 6rem; }
  .ch-badge { font-size: 7.5pt; line-height: 1.5; }
  .ch-badge, figure { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Customer health on {{ as_of }}</title>
<style>
{{ style }}</style>
</head>
<body>
<main>
<h1>Customer health: portfolio on {{ as_of }}</h1>
<dl>
{% for name, value in facts %}
  <div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{{ tiles }}
<div class="beside">
<section>
<h2>Bands today</h2>
{{ bands }}
</section>
<section>
<h2>Who moved between bands</h2>
{% if moves %}
<p class="says">{{ moves[0] }}</p>
{{ moves[1] }}
{% else %}
<p class="says">There are no scores of {{ compared_days }} days ago yet.</p>
{% endif %}
</section>
</div>
<section>
<h2>Bands over time</h2>
<div class="beside">
<figure tabindex="0">{{ charts.accounts }}<figcaption>Accounts</figcaption></figure>
<figure tabindex="0">{{ charts.arr }}<figcaption>ARR</figcaption></figure>
</div>
</section>
<section>
<h2>Is the base getting healthier?</h2>
<p class="says">{{ trend }}</p>
<div class="beside">
<figure tabindex="0">{{ charts.mean }}<figcaption>Mean score of all accounts</figcaption></figure>
</div>
</section>
<section class="long">
<h2>Who needs attention</h2>
{% if attention %}
<p class="says">{{ attention_says }} {{ more }}</p>
{{ attention }}
{% else %}
<p class="says">No account has a red or yellow light.</p>
{% endif %}
</section>
<section>
<h2>Checks of the publication</h2>
{% if warned %}
<p class="says">{{ warned[0] }}</p>
{{ warned[1] }}
{% else %}
<p class="says">{{ "{:,}".format(checks_passed) }} of {{ "{:,}".format(checks_run) }} checks \
passed before it was published.</p>
{% endif %}
</section>
</main>
</body>
</html>
"""
