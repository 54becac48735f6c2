"""What all pages share: the pinned publication, caches, filters, tables and empty states."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import streamlit as st
from markupsafe import Markup

from customer_health.dashboard import bands as bands_of
from customer_health.dashboard import html, portfolio
from customer_health.dashboard.bands import Band, unknown_band
from customer_health.dashboard.portfolio import DIMENSIONS, Filters
from customer_health.dashboard.source import Pinned, Source
from customer_health.errors import HealthError
from customer_health.settings import Settings
from customer_health.warehouses import Reader

POLL_SECONDS = 5
OLD_AFTER_HOURS = 48
_STYLE = """
footer { display: none; }
[data-testid="stMainBlockContainer"] { padding-top: 4.5rem; max-width: 92rem; }
[data-testid="stHtml"] { width: 100%; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: inherit !important; opacity: 1 !important; }
.ch-header { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  [data-testid="stMainBlockContainer"] { padding-left: 1rem; padding-right: 1rem; }
  .st-key-filters [data-testid="stHorizontalBlock"] { display: grid; gap: .5rem .75rem;
    grid-template-columns: 1fr 1fr; }
  .st-key-filters [data-testid="stColumn"] { min-width: 0; width: auto; }
}
"""
Found = TypeVar("Found")


@dataclass(frozen=True)
class View:
    """What a page gets: one publication, and what it says about all accounts."""

    pinned: Pinned
    settings: Settings

    @property
    def reader(self) -> Reader:
        """Asks the publication."""
        return self.pinned.reader

    def ask(self, query: Callable[..., Found], *arguments: Any) -> Found:
        """What a query of `customer_health.dashboard` finds, kept while readers have the same.

        Args:
            query: a function of a module, whose first argument is a reader.
            arguments: its other arguments; they must have a `repr` that tells them apart.
        """
        found: Found = _kept(
            self.pinned.version,
            f"{query.__module__}.{query.__qualname__}",
            repr(arguments),
            _ask=lambda: query(self.reader, *arguments),
        )
        return found

    @cached_property
    def bands(self) -> dict[str, Band]:
        """All bands, the worst first."""
        return self.ask(bands_of.read_bands)

    def band(self, key: str | None) -> Band:
        """A band, also one that nobody was ever in."""
        return self.bands.get(key or "") or unknown_band(key)

    @cached_property
    def currency(self) -> str:
        """The reporting currency."""
        return self.ask(portfolio.read_currency)


@st.cache_data(show_spinner=False, max_entries=500)
def _kept(version: str, query: str, arguments: str, *, _ask: Callable[[], Any]) -> Any:
    """Results by publication, query and arguments; `_ask` is no part of the key."""
    return _ask()


_NAMED_IN = ("CUSTOMER_HEALTH_PROJECT_DIR", "CUSTOMER_HEALTH_HOME", "CUSTOMER_HEALTH_TARGET")


def source() -> Source:
    """The readers' copy that the environment names, as for every command."""
    return _source(tuple(os.environ.get(name) for name in _NAMED_IN))


@st.cache_resource(show_spinner=False)
def _source(named: tuple[str | None, ...]) -> Source:
    """One for all browsers of a server; `named` is the key of the cache."""
    return Source(Settings.resolve())


def page_of(show: Callable[[View], None], title: str) -> Callable[[], None]:
    """A page for `st.Page`: pins a publication and draws.

    A session draws one publication only and is loaded anew for the next one: a browser shows the
    old parts of a page until new ones take their place, so that to draw another publication over
    the first would show a mix of the two.
    """

    def page() -> None:
        st.html(f"<style>{html.STYLE}{_STYLE}</style>")
        version = _drawn_version()
        st.title(title)
        try:
            followed = source()
            with followed.pinned() as pinned:
                if pinned.version != version:
                    _load_anew()
                    return
                _header(pinned)
                show(View(pinned, followed.settings))
        except HealthError as error:
            st.error(str(error), icon=":material/error:")
        _follow(version)

    page.__name__ = title
    return page


def _load_anew() -> None:
    """Let the browser load the page once more: what was chosen stands in the address."""
    st.html("<script>window.location.reload()</script>", unsafe_allow_javascript=True)


def _header(pinned: Pinned) -> None:
    """Which publication this is, and whether it is to be trusted."""
    passed = pinned.checks_passed == pinned.checks_run
    checks = html.mark(
        "good" if passed else "warn",
        "✓" if passed else "!",
        f"{pinned.checks_passed:,} of {pinned.checks_run:,} checks passed",
    )
    place(
        Markup('<p class="ch-header">{}</p>').format(
            html.joined(
                (
                    f"Scores of {pinned.as_of_date}",
                    f"published {pinned.published_at:%Y-%m-%d %H:%M} UTC",
                    f"policy {pinned.scoring_version}",
                    checks,
                )
            )
        )
    )
    hours = pinned.age_hours()
    if hours > OLD_AFTER_HOURS:
        st.warning(
            f"Published {hours / 24:.0f} days ago: runs since then were refused or did not happen. "
            "The page Data quality tells which; `customer-health status` tells why.",
            icon=":material/schedule:",
        )


def _drawn_version() -> str:
    """The one publication of this session; asked for when the session begins."""
    if "version" not in st.session_state:
        st.session_state["version"] = _version()
    return str(st.session_state["version"])


def _version() -> str:
    """What readers have at this moment; empty where nothing is published."""
    try:
        return source().version()
    except HealthError:
        return ""


def _follow(version: str) -> None:
    """Load the page anew as soon as readers get something else."""

    @st.fragment(run_every=POLL_SECONDS)
    def poll() -> None:
        if _version() != version:
            _load_anew()

    poll()


def prepare(ask: Callable[[View], Any]) -> None:
    """Ask, once per publication and beside the pages, what its first reader would wait for.

    Args:
        ask: what a page asks with `View.ask`.
    """
    if version := _drawn_version():
        _prepared(version, _ask=ask)


@st.cache_resource(show_spinner=False, max_entries=2)
def _prepared(version: str, *, _ask: Callable[[View], Any]) -> threading.Thread:
    """The thread that asks; pages do not wait for it, and meet an error themselves."""

    def asking() -> None:
        with contextlib.suppress(HealthError), source().pinned() as pinned:
            if pinned.version == version:
                _ask(View(pinned, source().settings))

    # A thread of its own has no page, of which Streamlit warns: here there is none to be missed.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel("ERROR")
    thread = threading.Thread(target=asking, name=f"prepare {version}", daemon=True)
    thread.start()
    return thread


# -- parts of pages ------------------------------------------------------------------------------
def place(content: Markup) -> None:
    """HTML of `customer_health.dashboard.html`, in which all text of the data is escaped."""
    st.html(str(content))


def table(
    columns: Sequence[html.Column], rows: Iterable[Sequence[Any]], caption: str, empty: str
) -> None:
    """A table, or what to know and do where it has no rows."""
    rows = list(rows)
    if rows:
        place(html.table(columns, rows, caption))
    else:
        st.info(empty, icon=":material/info:")


def chart(drawing: Any, told: str) -> None:
    """A chart, with what it shows for those who do not see it: the whole, not mark by mark."""
    st.altair_chart(drawing.configure_mark(aria=False), width="stretch", alt=told)


def pages_of(count: int, size: int, key: str) -> int:
    """The page of a long table that is asked for, 1 first; asks only where there are several."""
    pages = max(1, math.ceil(count / size))
    if pages == 1:
        return 1
    # Filters shorten a table: the page that was shown before may be gone.
    kept = st.session_state.get(key)
    if kept is not None and kept > pages:
        st.session_state[key] = 1
    return int(st.pagination(pages, key=key))


def filters(view: View) -> Filters:
    """Filters by dimension, kept in the address of the page."""
    choices = view.ask(portfolio.read_choices)
    chosen: dict[str, tuple[str, ...]] = {}
    with st.container(key="filters"):
        columns = st.columns(len(DIMENSIONS))
    for column, (dimension, label) in zip(columns, DIMENSIONS.items(), strict=True):
        with column:
            values = st.multiselect(
                label, choices[dimension], key=dimension, bind="query-params", placeholder="All"
            )
        chosen[dimension] = tuple(values)
    return Filters(chosen)
