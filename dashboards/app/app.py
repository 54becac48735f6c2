"""The app: `customer-health dashboard`. One publication is pinned for each page that is made."""

from __future__ import annotations

from pathlib import Path

import account
import actions
import data_quality
import frame
import portfolio
import prediction
import streamlit as st
import what_if

PAGES = (
    (portfolio, "Portfolio", ":material/monitoring:", "portfolio"),
    (account, "Account", ":material/person_search:", "account"),
    (actions, "Actions", ":material/checklist:", "actions"),
    (prediction, "Does it predict?", ":material/query_stats:", "prediction"),
    (what_if, "What if", ":material/tune:", "what-if"),
    (data_quality, "Data quality", ":material/fact_check:", "data-quality"),
)


def main() -> None:
    """Draw the page that the address asks for."""
    st.set_page_config(
        page_title="Customer health",
        # a named icon would be fetched from another host
        page_icon=str(Path(__file__).with_name("icon.svg")),
        layout="wide",
        initial_sidebar_state="auto",
    )
    pages = [
        st.Page(
            frame.page_of(module.show, title),
            title=title,
            icon=icon,
            url_path=path,
            default=module is portfolio,
        )
        for module, title, icon, path in PAGES
    ]
    st.navigation(pages, position="top").run()
    frame.prepare(_ahead)


def _ahead(view: frame.View) -> None:
    """What takes seconds the first time after a publication."""
    prediction.ask(view)
    what_if.ask(view)


main()
