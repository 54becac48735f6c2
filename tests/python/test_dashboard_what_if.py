"""The page What if says what a run with other weights or anchors would say, and writes nothing."""

from __future__ import annotations

import itertools
import math
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import dashboard_world
import duckdb
import numpy as np
import pytest
from dashboard_world import PROJECT, cells, published_home, reading, rows, text_of

from customer_health import policy
from customer_health.dashboard import what_if
from customer_health.dashboard.what_if import Moved
from customer_health.errors import HealthError
from customer_health.fitting import matrices
from customer_health.fitting import what_if as trying
from customer_health.fitting.what_if import GivenAnchor
from customer_health.settings import Settings
from customer_health.validation.figures import read_limits

CARD = "standard"
HOSTILE = "<script>alert(1)</script>\u202e[x](javascript:alert(1)) " + "x" * 300
LOGINS = ((0, 2), (2, 5), (5, 7), (40, 10))


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return published_home(tmp_path_factory)


@pytest.fixture(scope="module")
def seeds() -> dict[str, Path]:
    return policy.find_seed_files(PROJECT)


@pytest.fixture(scope="module")
def loaded(home, seeds) -> matrices.Matrices:
    with reading(home) as reader:
        return what_if.load(reader, seeds, CARD)


def tile(page, title: str) -> str:
    """A figure on top, without markup."""
    found = re.search(rf"<dt>{title}</dt><dd>(.*?)(?:<small>|</dd>)", text_of(page))
    assert found, title
    return re.sub(r"<[^>]+>", "", found.group(1))


class Oracle:
    """Scores of the newest date from the metric rows, by the formulas of docs/scoring-model.md."""

    def __init__(self, home: Path) -> None:
        self.metrics = rows(
            home,
            f"""select account_id, category_key, metric_key, value_state, metric_value,
                metric_score, category_weight, metric_weight
            from fct_health__metric_scores
            where scorecard_key = '{CARD}'
                and as_of_date = (select max(as_of_date) from fct_health__account_scores)""",
        )
        self.fixed = {
            row[0]: row[1]
            for row in rows(
                home,
                """select account_id, band from fct_health__account_scores
                where band_reason in ('knockout', 'override')
                    and as_of_date = (select max(as_of_date) from fct_health__account_scores)""",
            )
        }

    def scores(
        self,
        categories: dict[str, float] | None = None,
        metrics: dict[str, float] | None = None,
        anchors: dict[str, tuple[tuple[float, float], ...]] | None = None,
    ) -> dict[str, float | None]:
        parts: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
        for account, category, metric, state, value, score, outer, inner in self.metrics:
            outside = (categories or {}).get(category, outer)
            inside = (metrics or {}).get(metric, inner)
            known = score if state in ("observed", "zero") else None
            if known is not None and metric in (anchors or {}):
                known = on_line((anchors or {})[metric], value)
            if state in ("observed", "zero", "unknown"):
                parts[account][category].append((outside, inside, known))
        return {account: whole(each.values()) for account, each in parts.items()}

    def band(self, account: str, score: float | None) -> str:
        if account in self.fixed:
            return self.fixed[account]
        if score is None:
            return "insufficient_data"
        bounds = ((81, "thriving"), (61, "healthy"), (41, "at_risk"))
        return next((key for bound, key in bounds if score >= bound), "critical")


def on_line(points: tuple[tuple[float, float], ...], value: float) -> float:
    """The score of a value: linear between two points, flat outside."""
    if value <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in itertools.pairwise(points):
        if value <= right:
            return low + (high - low) * (value - left) / (right - left)
    return points[-1][1]


def whole(categories: Any) -> float | None:
    """Score of an account, whole; None with less than half of the weight known."""
    top = bottom = covered = applicable = 0.0
    for members in categories:
        outside = members[0][0]
        weight = sum(inside for _, inside, _ in members)
        known = [(inside, score) for _, inside, score in members if score is not None]
        applicable += outside
        covered += outside * sum(inside for inside, _ in known) / weight
        if known:
            mean = sum(i * s for i, s in known) / sum(i for i, _ in known)
            top, bottom = top + outside * mean, bottom + outside
    if not bottom or round(covered / applicable, 10) < 0.5:
        return None
    return math.floor(round(10 * top / bottom, 10) + 0.5)


def test_a_moved_weight_is_what_the_formulas_say(home) -> None:
    page = dashboard_world.page("what_if", home, {f"category.{CARD}.support": "35"})
    # 0.65 / 0.85 of today's, to four digits that sum to 1
    tried = {"product_usage": 0.1912, "satisfaction": 0.1529, "churn_risk": 0.1530,
             "onboarding": 0.0765, "engagement": 0.0382, "revenue": 0.0382}  # fmt: skip
    oracle = Oracle(home)
    before, after = oracle.scores(), oracle.scores({**tried, "support": 0.35})
    moves = Counter(
        (oracle.band(account, before[account]), oracle.band(account, after[account]))
        for account in before
    )
    order = ("insufficient_data", "critical", "at_risk", "healthy", "thriving")
    scored = {key for key in order if key != "insufficient_data"}
    worse = sum(
        count
        for (one, other), count in moves.items()
        if {one, other} <= scored and order.index(other) < order.index(one)
    )
    assert worse > 0
    assert tile(page, "To a worse band") == f"{worse:,}"
    both = [key for key in before if before[key] is not None and after[key] is not None]
    means = [sum(side[key] or 0 for key in both) / len(both) for side in (before, after)]
    assert tile(page, "Mean score") == f"{means[0]:.1f} → {means[1]:.1f}"
    labels = {"Thriving": "thriving", "Healthy": "healthy", "At risk": "at_risk",
              "Critical": "critical", "Insufficient data": "insufficient_data"}  # fmt: skip
    shown = cells(page, "Accounts by band today and band tried")
    columns = [
        labels[row[0].split(" ", 1)[1]]
        for row in cells(page, "Accounts and ARR by band, today and tried")
    ]
    columns = [column for column in columns if any(other == column for _, other in moves)]
    for row in shown:
        today = labels[row[0].split(" ", 1)[1]]
        for column, count in zip(columns, row[1:], strict=True):
            assert count == (f"{moves[today, column]:,}" if moves[today, column] else "·")
    weights = {row[0]: row[1:3] for row in cells(page, "Weights today and tried")}
    assert weights["Support"] == ["15.0%", "35.0%"]
    assert weights["Product usage"] == ["25.0%", "19.1%"]
    changed = sum(count for (one, other), count in moves.items() if one != other)
    assert f"{changed:,} account" in text_of(page)
    assert len(cells(page, "Accounts that change band")) == min(changed, what_if.PAGE_ROWS)
    assert any(
        says in text_of(page) for says in ("ranks accounts", "cannot tell", "Not enough outcomes")
    )


def test_a_changed_anchor_is_what_the_formulas_say(home) -> None:
    page = dashboard_world.page(
        "what_if",
        home,
        {f"metric.{CARD}": "Logins in the last 30 days", f"anchor.{CARD}.logins.0.3": "90"},
    )
    oracle = Oracle(home)
    points = (*LOGINS[:3], (90.0, 10.0))
    before, after = oracle.scores(), oracle.scores(anchors={"logins": points})
    both = [key for key in before if before[key] is not None]
    means = [sum(side[key] or 0 for key in both) / len(both) for side in (before, after)]
    assert round(means[0], 1) != round(means[1], 1)
    assert tile(page, "Mean score") == f"{means[0]:.1f} → {means[1]:.1f}"
    moved = sum(oracle.band(key, before[key]) != oracle.band(key, after[key]) for key in before)
    assert f"{moved:,} account" in text_of(page)
    assert "Scores 10 at" in [each.label for each in page.number_input]


def test_the_anchors_of_today_give_the_published_metric_scores(loaded) -> None:
    for metric in loaded.metrics:
        place = loaded.metrics.index(metric)
        values, published = loaded.values[:, place], loaded.scores[:, place]
        found = loaded.today.anchors[metric].scores(values, loaded.tenure_days)
        np.testing.assert_allclose(found, published, rtol=0, atol=1e-12, err_msg=metric)
        assert np.isfinite(published).sum() > 100


def test_today_is_today(home) -> None:
    page = dashboard_world.page("what_if", home)
    assert "This is today" in text_of(page)
    assert tile(page, "To a worse band") == tile(page, "To a better band") == "0"
    assert "No account changes band." in text_of(page)
    assert "to get the seed rows" in text_of(page)
    assert not page.get("download_button")


def test_reset_and_sliders_move_at_once(home) -> None:
    page = dashboard_world.page("what_if", home, {f"category.{CARD}.support": "35"})
    slider = page.slider(key=f"category.{CARD}.support")
    assert slider.value == 35
    page.slider(key=f"metric.{CARD}.logins").set_value(80).run()
    weights = {row[0]: row[2] for row in cells(page, "Weights today and tried")}
    assert weights["· Logins in the last 30 days"] == "80.0%"
    (button,) = [each for each in page.button if each.label.startswith("Reset")]
    button.click().run()
    assert page.slider(key=f"category.{CARD}.support").value == 15
    assert "This is today" in text_of(page)


def test_kept_weights_stay(home) -> None:
    page = dashboard_world.page(
        "what_if", home, {f"category.{CARD}.support": "35", f"hold.{CARD}": "Product usage"}
    )
    weights = {row[0]: row[1:3] for row in cells(page, "Weights today and tried")}
    assert weights["Product usage"] == ["25.0%", "25.0%"]
    assert weights["Satisfaction"] == ["20.0%", "13.3%"]  # 0.2 * 0.4 / 0.6


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            {f"category.{CARD}.support": "80", f"category.{CARD}.revenue": "50"},
            "The category weights that you moved or keep sum to 130%: take 30% away.",
        ),
        (
            {f"metric.{CARD}.csat": "20", f"metric.{CARD}.nps": "20"},
            "The metric weights of satisfaction sum to 40% and none is left",
        ),
        (
            {f"metric.{CARD}": "Logins in the last 30 days", f"anchor.{CARD}.logins.0.1": "5"},
            "Logins has two points at the value 5; keep one.",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(home, query, says) -> None:
    page = dashboard_world.page("what_if", home, query)
    (error,) = page.error
    assert says in error.value
    assert page.slider  # and can be put right


@pytest.fixture
def changed_home(home, tmp_path) -> Iterator[Callable[[str], Path]]:
    """Makes a copy of the home in which somebody wrote to the file."""
    import streamlit

    def change(statement: str) -> Path:
        shutil.copyfile(home / "published.duckdb", tmp_path / "published.duckdb")
        with duckdb.connect(str(tmp_path / "published.duckdb")) as connection:
            connection.execute("use customer_health")
            connection.execute(statement)
        streamlit.cache_resource.clear()
        return tmp_path

    yield change
    streamlit.cache_resource.clear()


def test_hostile_names_are_text(changed_home) -> None:
    changed = changed_home(f"update bi_health__account_360 set account_name = '{HOSTILE}'")
    page = dashboard_world.page("what_if", changed, {f"category.{CARD}.support": "60"})
    told = text_of(page)
    assert "<script>alert" not in told and "\u202e" not in told
    assert "&lt;script&gt;alert(1)" in told
    assert all("javascript:" not in each.value for each in (*page.markdown, *page.caption))


def test_scores_that_cannot_be_computed_again_are_refused(changed_home) -> None:
    changed = changed_home(
        "update fct_health__account_scores set health_score_exact = health_score_exact + 1e-6",
    )
    page = dashboard_world.page("what_if", changed)
    (error,) = page.error
    assert "today's weights do not give the published scores" in error.value
    assert "\n" not in error.value and not page.slider


def test_without_a_past_it_says_what_to_do(changed_home) -> None:
    changed = changed_home("delete from val_health__observations")
    page = dashboard_world.page("what_if", changed)
    assert "No score is followed by known days yet. Run `customer-health run`" in text_of(page)


def test_few_churners_give_no_figures(changed_home) -> None:
    changed = changed_home("update val_health__observations set days_to_churn = null")
    page = dashboard_world.page("what_if", changed, {f"category.{CARD}.support": "60"})
    assert "Not enough outcomes: 0 churned accounts" in text_of(page)
    assert tile(page, "AUC on the past") == "–"


def test_the_files_make_the_version_that_was_tried(home, seeds, loaded, tmp_path) -> None:
    """The rows, pasted as the page says, pass the policy check and do what the page said."""
    moved = Moved(
        {("category", "support"): 31, ("metric", "csat"): 77},
        points=[GivenAnchor("Anchors", "logins", "*", 0, value, score) for value, score in LOGINS],
    )
    tried = what_if.scoring_of(loaded.today, moved)
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "seeds", project / "seeds")
    (project / "dbt_project.yml").write_text("name: pasted\n", encoding="utf-8")
    assert what_if.next_version(seeds, "v1") == "v2"
    files = what_if.seed_rows(seeds, loaded, tried, "v2")
    assert set(files) == {"category_weights", "metric_weights", "metric_anchors"}
    mine = policy.find_seed_files(project)
    policy.new_version(mine, "v1", "v2", valid_from=date(2027, 1, 1), author="me", reason="try")
    with pytest.raises(HealthError, match="v2 is there already"):
        what_if.check_version(mine, "v2")
    for name, text in files.items():
        header, *new = text.splitlines()
        old = mine[name].read_text("utf-8").splitlines()
        assert old[0] == header
        copied = [line for line in old[1:] if line.startswith("v2,")]
        assert len(new) == len(copied)
        kept = [line for line in old if not line.startswith("v2,")]
        mine[name].write_text("\n".join([*kept, *new]) + "\n", encoding="utf-8")
        differing = sum(one != other for one, other in zip(copied, new, strict=True))
        assert differing == {"category_weights": 7, "metric_weights": 2, "metric_anchors": 1}[name]
    problems = policy.check_policy(
        mine, known_metrics=policy.find_known_metrics(PROJECT), today=date(2026, 12, 1)
    )
    assert [str(each) for each in problems] == []
    settings = Settings.resolve(project, home)
    found = trying.what_if(settings, version="v2")
    expected = trying.evaluate(loaded, tried, read_limits(settings))
    assert found.moves == expected.moves and found.moved == expected.moved
    assert len(found.moved) > 3
    assert found.compared == expected.compared


def test_of_many_rows_accounts_are_drawn_whole(home, seeds, loaded) -> None:
    lead, horizon = trying.headline_window(seeds)
    with reading(home) as reader:
        parts = [
            matrices.read_matrices(
                reader, seeds, CARD, lead_days=lead, horizon_days=horizon, most_rows=400
            )
            for _ in range(2)
        ]
    part = parts[0]
    assert list(part.accounts) == list(parts[1].accounts)
    assert part.labelled_count == int(np.isfinite(loaded.outcomes).sum())
    labelled = np.isfinite(part.outcomes)
    assert 100 < labelled.sum() < 1000
    assert part.is_newest.sum() == loaded.is_newest.sum()  # today is never a sample
    for account in set(part.accounts[labelled]):
        one, other = part.accounts == account, loaded.accounts == account
        assert np.isfinite(part.outcomes[one]).sum() == np.isfinite(loaded.outcomes[other]).sum()
    found = trying.evaluate(part, part.today, read_limits(Settings.resolve(PROJECT, home)))
    assert any("account-months" in note and "hash" in note for note in found.notes)
    assert found.history == ()


def test_columns_come_alike_from_every_engine(home) -> None:
    """What DuckDB hands over as arrays, and what the base class makes of rows."""
    from customer_health.warehouses.base import Reader

    query = (
        "select account_id, health_score, arr_amount, band_note, cast(null as varchar) as nothing "
        "from {marts}.fct_health__account_scores_current order by account_id"
    )
    with reading(home) as reader:
        quick, plain = reader.arrays(query), Reader.arrays(reader, query)
    assert list(quick) == list(plain)
    assert np.isnan(quick["health_score"].astype(float)).sum() >= 0
    for name in ("health_score", "arr_amount"):
        np.testing.assert_array_equal(quick[name], plain[name])
    assert list(quick["account_id"]) == list(plain["account_id"])
