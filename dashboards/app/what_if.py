"""What if: sliders for weights and anchors, and at once what they would do. Nothing is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import frame
import streamlit as st
from frame import View
from streamlit.delta_generator import DeltaGenerator

from customer_health import policy
from customer_health.dashboard import html, what_if
from customer_health.dashboard.html import Column
from customer_health.dashboard.what_if import Moved
from customer_health.errors import HealthError
from customer_health.fitting import what_if as trying
from customer_health.fitting.matrices import Matrices, Scoring
from customer_health.fitting.observations import read_scorecards
from customer_health.fitting.what_if import GivenAnchor, WhatIf
from customer_health.policy import ANY
from customer_health.validation.figures import read_limits
from customer_health.validation.report import money

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!$~|<>:-])")
_MOST_INPUTS = 3  # side by side


def show(view: View) -> None:
    """Draw the page."""
    st.caption(
        "Move weights and anchors and see what they would have done to the published scores. "
        "Nothing is saved: the address holds your idea, and the seed rows can be downloaded below."
    )
    scorecards = view.ask(read_scorecards)
    if not scorecards:
        st.info(
            "No score is followed by known days yet. Run `customer-health run` with more history.",
            icon=":material/info:",
        )
        return
    card = _scorecard(scorecards)
    rows = _loaded(view.pinned.version, card, _view=view)
    summary = st.container()
    controls, effects = st.columns([2, 3], gap="large")
    with controls:
        moved, resulting = _controls(rows, card)
    try:
        tried = what_if.scoring_of(rows.today, moved)
    except HealthError as error:
        summary.error(
            what_if.sentence(error.message.removeprefix("Anchors, value: ")),
            icon=":material/error:",
        )
        return
    found = _evaluated(view.pinned.version, card, repr(tried), _rows=rows, _tried=tried, _view=view)
    with resulting:
        _resulting_weights(rows, tried)
    with summary:
        _summary(view, found)
        if tried == rows.today:
            st.info(
                "This is today's scoring. Move a slider, or change an anchor, to try something.",
                icon=":material/tune:",
            )
    with effects:
        _bands(view, found)
        _past(found)
        _accounts(view, found)
    _limits(found)
    _download(view, rows, tried)


def ask(view: View) -> None:
    """Load what the page loads for the scorecard that it begins with."""
    for card in view.ask(read_scorecards)[:1]:
        _loaded(view.pinned.version, card, _view=view)


@st.cache_resource(
    max_entries=2, show_spinner="Loading the metric scores of today and of the past months…"
)
def _loaded(version: str, card: str, *, _view: View) -> Matrices:
    """The matrices of a publication and scorecard; every browser moves its sliders on them."""
    return what_if.load(_view.reader, policy.find_seed_files(_view.settings.project_dir), card)


@st.cache_resource(max_entries=20, show_spinner=False)
def _evaluated(
    version: str, card: str, idea: str, *, _rows: Matrices, _tried: Scoring, _view: View
) -> WhatIf:
    """What an idea does, kept for paging and for going back."""
    return trying.evaluate(_rows, _tried, read_limits(_view.settings))


# -- what is moved -------------------------------------------------------------------------------
def _scorecard(scorecards: list[str]) -> str:
    """The scorecard whose weights are moved; asks only where there are several."""
    if len(scorecards) == 1:
        return scorecards[0]
    chosen = st.selectbox(
        "Scorecard", scorecards, key="scorecard", bind="query-params", format_func=_words
    )
    return str(chosen)


def _controls(rows: Matrices, card: str) -> tuple[Moved, DeltaGenerator]:
    """All sliders, and where the weights that come of them are shown.

    Only what stands elsewhere than today counts as moved.
    """
    weights = rows.today.weights
    defaults: dict[str, object] = {}
    moved: dict[tuple[str, str], int] = {}

    def slider(kind: str, key: str, label: str, weight: float) -> None:
        name = f"{kind}.{card}.{key}"
        defaults[name] = what_if.percent(weight)
        value = st.slider(
            label, 0, 100, what_if.percent(weight), key=name, bind="query-params", format="%d%%"
        )
        if value != defaults[name]:
            moved[kind, key] = int(value)

    st.subheader("Category weights")
    reset = st.container()
    for category, weight in weights.categories.items():
        if weight <= 0:
            continue
        slider("category", category, _words(category), weight)
        members = [metric for metric in weights.members(category) if weights.metrics[metric] > 0]
        if len(members) > 1:
            with st.expander(f"Metrics of {_words(category)}"):
                for metric in members:
                    slider("metric", metric, _label(rows, metric), weights.metrics[metric])
    movable = [
        *(("category", key) for key, weight in weights.categories.items() if weight > 0),
        *(("metric", key) for key in weights.metrics if weights.effective(key) > 0),
    ]
    names = {f"{kind}.{key}": (kind, key) for kind, key in movable}
    hold = f"hold.{card}"
    defaults[hold] = []
    held = st.multiselect(
        "Keep at today's weight",
        list(names),
        key=hold,
        bind="query-params",
        placeholder="None: all others give and take in proportion",
        format_func=lambda name: (
            _words(names[name][1])
            if names[name][0] == "category"
            else _label(rows, names[name][1], is_plain=True)
        ),
    )
    resulting = st.container()
    points = _anchor_inputs(rows, card, defaults)
    reset.button(
        "Reset to today's scoring",
        icon=":material/restart_alt:",
        on_click=_reset,
        args=(defaults,),
        disabled=all(
            st.session_state.get(name, value) == value for name, value in defaults.items()
        ),
    )
    return Moved(moved, [names[name] for name in held], points), resulting


def _reset(defaults: Mapping[str, object]) -> None:
    """Put every control back; the address follows."""
    for name, value in defaults.items():
        st.session_state[name] = value


def _anchor_inputs(rows: Matrices, card: str, defaults: dict[str, object]) -> list[GivenAnchor]:
    """The values of the anchor points of one metric; none if they stand as today."""
    st.subheader("Anchors")
    weights, anchors = rows.today.weights, rows.today.anchors
    metrics = [
        metric for metric in weights.metrics if weights.effective(metric) > 0 and metric in anchors
    ]
    chooser = f"metric.{card}"
    defaults[chooser] = None
    metric = st.selectbox(
        "Metric whose anchors are tried",
        metrics,
        index=None,
        key=chooser,
        bind="query-params",
        placeholder="None: anchors as today",
        format_func=lambda key: _label(rows, key, is_plain=True),
    )
    if metric is None:
        return []
    found: list[GivenAnchor] = []
    unit = (rows.units.get(metric) or "value").capitalize()
    keys = what_if.sets_in_force(anchors[metric])
    st.caption(
        "Which value deserves which score; between two anchors the score is linear, outside it is "
        "flat." + (" These anchors count for every scorecard." if keys[0][0] == ANY else "")
    )
    for scope, tenure in keys:
        points = anchors[metric].sets[scope, tenure]
        if len(keys) > 1:
            st.markdown(f"**From day {tenure} as a customer**")
        step = _step(points)
        values = []
        columns: list[DeltaGenerator] = []
        for number, (value, score) in enumerate(points):
            if number % _MOST_INPUTS == 0:  # row by row, so that a phone keeps their order
                columns = st.columns(_MOST_INPUTS)
            name = f"anchor.{card}.{metric}.{tenure}.{number}"
            defaults[name] = value
            with columns[number % _MOST_INPUTS]:
                tried = st.number_input(
                    f"Scores {score:g} at",
                    value=value,
                    step=step,
                    format="%.6g",
                    key=name,
                    bind="query-params",
                )
            values.append((float(value if tried is None else tried), score))
        found += [
            GivenAnchor("Anchors", metric, scope, tenure, value, score) for value, score in values
        ]
        frame.chart(
            what_if.anchor_chart(points, sorted(values), unit, is_step=anchors[metric].is_step),
            f"Score by value, today: {trying.points_in_words(points)}; "
            f"tried: {trying.points_in_words(sorted(values))}",
        )
    return found


def _step(points: tuple[tuple[float, float], ...]) -> float:
    """What a press of + or − adds: a round number near a fiftieth of the range."""
    values = [value for value, _ in points]
    return float(10.0 ** math.floor(math.log10((max(values) - min(values)) / 20)))


def _words(key: str) -> str:
    """A key of the policy as words."""
    return key.replace("_", " ").capitalize()


def _label(rows: Matrices, metric: str, *, is_plain: bool = False) -> str:
    """The label of a metric; labels of sliders are read as markdown, lists are not."""
    label = rows.labels.get(metric) or _words(metric)
    return label if is_plain else _MARKDOWN.sub(r"\\\1", label)


# -- what it would do ----------------------------------------------------------------------------
def _resulting_weights(rows: Matrices, tried: Scoring) -> None:
    """All weights, today and tried."""
    st.subheader("Resulting weights")
    before, after = rows.today.weights, tried.weights
    shown = []
    for category, weight in after.categories.items():
        if not weight and not before.categories.get(category):
            continue
        shown.append((_words(category), before.categories.get(category, 0.0), weight))
        members = after.members(category)
        if what_if.is_changed(
            {metric: before.metrics[metric] for metric in members},
            {metric: after.metrics[metric] for metric in members},
        ):
            shown += [
                (f"· {_label(rows, metric, is_plain=True)}", before.metrics[metric],
                 after.metrics[metric])
                for metric in members
            ]  # fmt: skip
    frame.table(
        (
            Column("Weight of", is_text=True),
            Column("Today", is_number=True),
            Column("Tried", is_number=True),
            Column("Change", is_number=True),
        ),
        [
            (name, f"{one:.1%}", f"{other:.1%}", html.signed(100 * (other - one), 1))
            for name, one, other in shown
        ],
        "Weights today and tried",
        "The scorecard has no weights.",
    )


def _summary(view: View, found: WhatIf) -> None:
    """The figures that matter, side by side."""
    (worse, worse_arr), (better, better_arr) = what_if.moved_totals(found)
    auc = found.compared.get("auc")
    frame.place(
        html.tiles(
            [
                (
                    "Mean score",
                    what_if.change(f"{found.mean_today:.1f}", f"{found.mean_tried:.1f}"),
                    f"of {found.account_count:,} accounts with a score",
                ),
                (
                    "To a worse band",
                    f"{worse:,}",
                    f"{money(worse_arr)} {view.currency} ARR",
                ),
                (
                    "To a better band",
                    f"{better:,}",
                    f"{money(better_arr)} {view.currency} ARR",
                ),
                (
                    "AUC on the past",
                    html.NONE
                    if auc is None
                    else what_if.change(f"{auc.figure_a:.3f}", f"{auc.figure_b:.3f}"),
                    "not enough outcomes"
                    if auc is None
                    else html.joined(
                        (what_if.difference_in_words("auc", auc), what_if.verdict_mark(auc))
                    ),
                ),
            ]
        )
    )


def _bands(view: View, found: WhatIf) -> None:
    """Accounts and ARR by band, and from which band to which."""
    st.subheader("Bands")
    frame.table(
        (
            Column("Band"),
            Column("Accounts", is_number=True),
            Column("Change", is_number=True),
            Column(f"ARR {view.currency}", is_number=True),
        ),
        [
            (
                html.badge(view.band(row.band)),
                what_if.change(f"{row.accounts_today:,}", f"{row.accounts_tried:,}"),
                html.signed(row.accounts_tried - row.accounts_today),
                what_if.change(money(row.arr_today), money(row.arr_tried)),
            )
            for row in what_if.totals(found)
        ],
        "Accounts and ARR by band, today and tried",
        "Nobody has a score today.",
    )
    st.subheader("From band to band")
    columns, counts = what_if.migrations(found)
    st.caption("Rows: band today; columns: band tried. Accounts.")
    frame.table(
        (
            Column("Today"),
            *(Column(f"→ {view.band(band).label}", is_number=True) for band in columns),
        ),
        [
            (
                html.badge(view.band(band)),
                *(html.cell(f"{count:,}" if count else "·") for count in row),
            )
            for band, row in counts
        ],
        "Accounts by band today and band tried",
        "Nobody has a score today.",
    )


def _past(found: WhatIf) -> None:
    """Would it have predicted better?"""
    st.subheader("Would it have predicted better?")
    st.markdown(what_if.verdict_in_words(found))
    if not found.compared:
        return
    frame.table(
        (
            Column("Figure"),
            Column("Today", is_number=True),
            Column("Tried", is_number=True),
            Column("Difference", is_number=True),
            Column("Verdict"),
        ),
        what_if.figure_rows(found),
        "Figures of the past months, today and tried",
        "There are no figures.",
    )
    st.caption(what_if.past_in_words(found))


def _accounts(view: View, found: WhatIf) -> None:
    """Who changes band."""
    st.subheader("Accounts that change band")
    count = len(found.moved)
    if count:
        unit = "account" if count == 1 else "accounts"
        st.caption(f"{count:,} {unit}, those with most ARR first.")
    page = frame.pages_of(count, what_if.PAGE_ROWS, "moved")
    first = (page - 1) * what_if.PAGE_ROWS
    frame.table(
        (
            Column("Account"),
            Column("Score", is_number=True),
            Column("Band today"),
            Column("Band tried"),
            Column(f"ARR {view.currency}", is_number=True),
        ),
        [
            (
                html.account_link(each.account_id, each.account_name),
                what_if.change(_score(each.score_today), _score(each.score_tried)),
                html.badge(view.band(each.band_today)),
                html.badge(view.band(each.band_tried)),
                money(each.arr_amount),
            )
            for each in found.moved[first : first + what_if.PAGE_ROWS]
        ],
        "Accounts that change band",
        "No account changes band.",
    )


def _score(score: float | None) -> str:
    return html.NONE if score is None else f"{score:.0f}"


def _limits(found: WhatIf) -> None:
    """What these figures do not say."""
    st.subheader("What this does not say")
    frame.place(
        html.listed(
            [
                *(what_if.sentence(note) for note in found.notes),
                f"Accounts held in their band by a knock-out or an override: "
                f"{found.fixed_count:,}.",
                f"Today's weights were computed again for {found.checked_count:,} published "
                f"scores first: largest difference {found.largest_gap:.1e} points.",
            ]
        )
    )


def _download(view: View, rows: Matrices, tried: Scoring) -> None:
    """The rows of a new version, and what to do with them."""
    st.subheader("Take it further")
    seed_files = policy.find_seed_files(view.settings.project_dir)
    if tried == rows.today:
        st.info(
            "Change something above to get the seed rows of a new version.",
            icon=":material/download:",
        )
        return
    name = st.text_input(
        "Name of the new version",
        what_if.next_version(seed_files, rows.champion),
        key="new_version",
        bind="query-params",
        max_chars=64,
    )
    try:
        version = what_if.check_version(seed_files, name)
    except HealthError as error:
        st.error(str(error), icon=":material/error:")
        return
    files = what_if.seed_rows(seed_files, rows, tried, version)
    with st.container(horizontal=True):
        for seed, text in files.items():
            st.download_button(
                f"{seed}.csv",
                text,
                file_name=f"{version}_{seed}.csv",
                mime="text/csv",
                icon=":material/download:",
                on_click="ignore",
                key=f"download-{seed}",
            )
    st.caption(
        "Each file holds all rows of the new version: put them in the place of those that the "
        "first command copies into the seed of the same name. Then commit the seeds and open a "
        "pull request: the version is scored beside the one in force until someone promotes it."
    )
    st.code(what_if.commands(rows.champion, version), language="shell")
