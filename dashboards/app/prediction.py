"""Does it predict?: the verdict in words, what it rests on, and what followed actions."""

from __future__ import annotations

import frame
import streamlit as st
from frame import View

from customer_health.dashboard import html, prediction
from customer_health.dashboard.prediction import Prediction
from customer_health.validation.figures import read_limits
from customer_health.validation.report import count

SHOWN_FIRST = "bands"


def show(view: View) -> None:
    """Draw the page."""
    st.html(f"<style>{prediction.STYLE}</style>")
    limits = read_limits(view.settings)
    told = ask(view)
    frame.place(prediction.verdict_box(told.verdict))
    frame.place(prediction.facts_of(told.facts))
    # How many of each band stay is what people ask first; how well all are ranked comes next.
    for section in sorted(told.sections, key=lambda section: section.key != SHOWN_FIRST):
        st.header(section.title)
        frame.place(prediction.section_of(section, told))
    days = int(limits.get("probability_days", 90))
    _actions(view, days)
    _overrides(view, days)
    _leak_tests(told)


def ask(view: View) -> Prediction:
    """Verdict, figures and pictures: seconds the first time, since all pictures are drawn."""
    limits = read_limits(view.settings)
    found: Prediction = view.ask(
        prediction.read_prediction, tuple(sorted(limits.items())), view.settings.published
    )
    return found


def _actions(view: View, days: int) -> None:
    """What followed actions and playbooks."""
    st.header("Did acting help?")
    frame.place(prediction.said([prediction.OBSERVATIONAL]))
    rows = view.ask(prediction.read_action_outcomes)
    together = [row for row in rows if row["playbook_key"] == "*"]
    apart = [row for row in rows if row["playbook_key"] != "*"]
    frame.table(
        *prediction.action_table(together, has_playbook=False),
        "What followed actions that were done",
        "No action was done long enough ago. Outcomes appear here once actions come back as done "
        "(raw table crm_action_updates) and 28 days have passed.",
    )
    if apart:
        table = html.table(
            *prediction.action_table(apart, has_playbook=True), "What followed, by playbook"
        )
        frame.place(prediction.folded(f"By playbook: {count(len(apart), 'row')}", table))
    st.header("Were the playbooks right?")
    frame.place(
        prediction.said(
            [
                f"What followed within {days} days of a firing; base: all scored accounts on the "
                "same dates. Observational: an action that helped makes its playbook look wrong."
            ]
        )
    )
    frame.table(
        *prediction.playbook_table(view.ask(prediction.read_playbook_outcomes)),
        "What followed the firing of playbooks",
        "No playbook has fired yet. Playbooks are rows of seeds/playbooks.csv.",
    )


def _overrides(view: View, days: int) -> None:
    """Whether people who override bands know more than the score."""
    st.header("Do people know more than the score?")
    frame.place(
        prediction.said(
            [
                "Overrides agreed when the band was raised and the customer stayed, or lowered "
                f"and the customer left within {days} days. Observational: an override changes "
                "what people do."
            ]
        )
    )
    frame.table(
        *prediction.override_table(view.ask(prediction.read_override_outcomes)),
        "What followed overrides",
        f"No override can be judged yet: each is {days} days after it was made.",
    )


def _leak_tests(told: Prediction) -> None:
    """Whether the score looked ahead, and what the figures do not say."""
    st.header("Leak tests: did the score look ahead?")
    frame.table(*prediction.leak_table(told.leak_tests), "Leak tests", "No leak test.")
    st.header("What the figures do not say")
    frame.place(html.listed(told.limits))
