"""`explain` shows points that add up, says why, and survives any name."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small_marts import (
    AS_OF,
    BREAKING_NAME,
    EXAMPLE_SCORE,
    example_rows,
    make_project,
    metrics,
    publish_example,
    score,
)

from customer_health import explain as explaining
from customer_health.errors import HealthError, UsageError
from customer_health.explain import Explanation, explain, rounded_points, used_weights


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = make_project(tmp_path_factory.mktemp("explain") / "project")
    publish_example(settings)
    return settings.published


def shown(explanation: Explanation, width: int = 110) -> str:
    """What a person sees, without the line breaks of the terminal."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    explaining.render(explanation, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def flat(text: str) -> str:
    """The text on one line."""
    return re.sub(r"\s+", " ", text)


# -- the sum -----------------------------------------------------------------------------------
def test_the_points_that_are_shown_add_up_to_the_score(published: Path) -> None:
    text = shown(explain(published, "A1"))
    lines = text[text.index("Product usage") : text.index("Sum of points")].splitlines()
    cells = [line.split() for line in lines if re.search(r"\d+\.\d+%", line)]
    is_metric = [line.startswith("   ") for line in lines if re.search(r"\d+\.\d+%", line)]

    def points(row: list[str]) -> float:
        """The number after the last percentage."""
        place = max(index for index, cell in enumerate(row) if cell.endswith("%"))
        return float(row[place + 1])

    of_metrics = sum(points(row) for row, metric in zip(cells, is_metric, strict=True) if metric)
    of_categories = sum(
        points(row) for row, metric in zip(cells, is_metric, strict=True) if not metric
    )
    assert round(of_metrics, 2) == 64.17
    assert round(of_categories, 2) == 64.17
    assert re.search(r"Sum of points\s+100%\s+64\.17\s+→ 64", text)
    assert "Health: 64 of 100 Healthy on 2026-06-30, scorecard standard, version v1" in flat(text)


def test_score_times_weight_is_points_in_every_row(published: Path) -> None:
    explanation = explain(published, "A1")
    weights = used_weights(explanation.metrics)
    assert sum(weights.values()) == pytest.approx(1)
    for row in explanation.metrics:
        if row["metric_points"] is not None:
            product = 10 * weights[row["metric_key"]] * row["metric_score"]
            assert row["metric_points"] == pytest.approx(product)


@given(
    st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=30),
)
def test_rounded_points_always_add_up(points: list[float]) -> None:
    total = sum(points)
    rounded = rounded_points(points, total)
    assert round(sum(rounded), 2) == round(total + 1e-12, 2) or abs(sum(rounded) - total) < 0.0051
    assert all(abs(a - b) <= 0.01 + 1e-9 for a, b in zip(points, rounded, strict=True))


def test_json_has_every_row_and_the_exact_sum(published: Path) -> None:
    content = json.loads(json.dumps(explain(published, "A1").to_dict()))
    assert content["points_sum"] == pytest.approx(EXAMPLE_SCORE, abs=1e-9)
    assert content["score"]["health_score_exact"] == pytest.approx(EXAMPLE_SCORE, abs=1e-9)
    assert len(content["metrics"]) == 12
    assert content["missing"] == [
        {"metric_key": "nps", "value_state": "unknown"},
        {"metric_key": "onboarding_completion", "value_state": "not_applicable"},
    ]
    assert content["change"]["total"]["change_points"] == pytest.approx(-6)
    assert content["account"]["account_name"] == "Harbour Foods"


# -- in words ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("account_id", "words"),
    [
        ("A1", "Healthy, by its score of 64 (since 2026-06-01, 30 days)"),
        ("A2", "held at Healthy: 82 alone would be Thriving, but a band changes only when"),
        ("A3", "capped at Critical by a knock-out rule, whatever the score: cancellation notice"),
        ("A4", "set to At risk by a CSM override; the score is left alone: champion left, says"),
        ("A5", "no score: only 34% of the weight that applies is known"),
    ],
)
def test_the_band_says_why(published: Path, account_id: str, words: str) -> None:
    assert words in flat(shown(explain(published, account_id)))


def test_what_changed_adds_up_by_policy_behaviour_and_absence(published: Path) -> None:
    text = flat(shown(explain(published, "A1")))
    assert "70 (Healthy) on 2026-06-02 → 64 (Healthy): -6.00 points before rounding" in text
    assert "logins 41 → 12 in 30 days -6.50 · · -6.50" in text
    assert "NPS answers · -0.50 · -0.50" in text
    assert "Sum -6.50 -0.50 +1.00 -6.00" in text


def test_many_drivers_are_summed_in_one_line_so_that_the_sum_stays() -> None:
    changes = [
        {
            "metric_key": f"m{number}", "compared_date": AS_OF, "policy_points": 0.0,
            "behaviour_points": 1.0 + number, "absence_points": 0.0,
            "change_points": 1.0 + number, "earlier_value": 1.0, "later_value": 2.0,
            "driver_text": None,
        }
        for number in range(10, 0, -1)
    ]  # fmt: skip
    row = score("A1", health_score=90, health_score_exact=90.0)
    explanation = Explanation(
        account=example_rows()["bi_health__account_360"][0], as_of=AS_OF, score=row,
        metrics=metrics("A1"), changes=changes,
        earlier={"as_of_date": AS_OF, "health_score": 25, "health_score_exact": 25.0,
                 "band": "critical"},
    )  # fmt: skip
    text = flat(shown(explanation))
    assert "2 smaller ones +5.00 · · +5.00" in text
    assert "Sum +65.00 · · +65.00" in text


def test_missing_metrics_are_told_apart(published: Path) -> None:
    text = flat(shown(explain(published, "A1")))
    missing = text[text.index("What is missing") :]
    assert "Unknown: NPS answers (the source is connected, but has nothing recent" in missing
    assert "Not applicable: Onboarding (does not apply to this account" in missing


def test_a_source_that_is_not_connected_is_no_gap_of_the_account() -> None:
    rows = metrics("A1")
    for row in rows:
        if row["metric_key"] == "nps":
            row["value_state"] = "not_connected"
    explanation = Explanation(
        account=example_rows()["bi_health__account_360"][0], as_of=AS_OF,
        score=score("A1", connected_weight=0.9), metrics=rows,
    )  # fmt: skip
    text = flat(shown(explanation))
    assert "Not connected: NPS answers (this deployment does not have the source" in text
    assert "Connected 90% of the scorecard's weight has a source in this deployment" in text


def test_churn_says_where_it_comes_from(published: Path) -> None:
    text = flat(shown(explain(published, "A1")))
    assert (
        "4.2% within 90 days: historical rate of like accounts (600 accounts); no fitted model"
        in text
    )
    model = Explanation(
        account={}, as_of=AS_OF, score=score("A1", churn_probability_method="model"),
        metrics=metrics("A1"),
    )  # fmt: skip
    assert "fitted model, trained on 600 churners" in explaining.churn_in_words(model)


def test_bounds_coverage_and_renewal_are_shown(published: Path) -> None:
    text = flat(shown(explain(published, "A1")))
    assert "89% of the weight that applies is known (10 of 11 metrics)" in text
    assert "lies between 54.2 and 65.3 whatever the unknown ones are" in text
    assert "2026-11-02, in 125 days" in text


# -- what to do ---------------------------------------------------------------------------------
def test_open_actions_come_by_what_is_at_risk_and_say_why(published: Path) -> None:
    text = flat(shown(explain(published, "A1"), width=200))
    what = text[text.index("What to do") : text.index("Cheapest path")]
    places = [what.index(f"because of {key}") for key in ("first", "second", "small_0")]
    assert places == sorted(places)
    assert "Do first (csm-1 by 2026-06-30)" in what
    assert "Call [bold]Harbour[/bold] (csm-1 by 2026-06-30, acknowledged)" in what
    assert "2026-06-23: because of first" in what
    assert "closed" not in what
    # five are shown, and one whose reason is gone comes last, whatever is at risk
    assert "gone_reason" not in what
    assert "and 2 more in act_health__actions" in what


def test_the_path_to_the_next_band_names_metric_and_playbook(published: Path) -> None:
    text = flat(shown(explain(published, "A1"), width=200))
    assert "Cheapest path to Thriving 19.8 points are missing, margin included •" in text
    assert "Label of nps: score 4.0 → 10.0, up to 12.0 points •" in text
    assert "Label of logins: score 4.0 → 8.2, up to 12.0 points, playbook adoption_low" in text
    assert "Label of tickets" not in text
    text = flat(shown(explain(published, "A3"), width=200))
    assert "all metrics together do not bring so many" in text
    assert "Points alone do not change the band now: cancellation notice" in text


def test_a_trial_has_actions_too_and_an_older_date_has_none(published: Path) -> None:
    assert "Do trial_ready (sales by 2026-06-30)" in flat(shown(explain(published, "A7")))
    older = explain(published, "A1", AS_OF - timedelta(days=28))
    assert older.actions == older.path == []
    assert "What to do" not in shown(older)


def test_actions_and_path_are_in_the_json(published: Path) -> None:
    found = json.loads(json.dumps(explain(published, "A1").to_dict()))
    assert [row["playbook_key"] for row in found["actions"]][:2] == ["first", "second"]
    assert found["actions"][-1]["is_still_true"] is False
    assert [row["metric_key"] for row in found["path"]] == ["nps", "logins"]


def test_a_publication_from_before_actions_can_be_explained(tmp_path: Path) -> None:
    settings = make_project(tmp_path / "project")
    publish_example(settings)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute("drop table customer_health.act_health__actions")
    assert "What to do" not in shown(explain(settings.published, "A1"))


# -- special accounts --------------------------------------------------------------------------
def test_a_trial_has_no_health_score_and_says_so(published: Path) -> None:
    explanation = explain(published, "A7")
    text = flat(shown(explanation))
    assert "No health score: the account is on trial and not a customer yet." in text
    assert "conversion score 71" in text
    assert explanation.to_dict()["score"] is None


def test_a_churned_account_shows_its_last_score_frozen(published: Path) -> None:
    text = flat(shown(explain(published, "A6")))
    assert "This is the last score; the account has left and is not scored any more" in text
    assert f"on {AS_OF - timedelta(days=28)}" in text
    assert "Sum of points 100% 64.17" in text


def test_too_little_data_shows_no_points(published: Path) -> None:
    text = flat(shown(explain(published, "A5")))
    assert "Health: no score Insufficient data" in text
    assert "Sum of points" not in text
    assert "There is no score of 28 days before to compare with." in text


def test_rows_that_are_not_kept_any_more_are_named(published: Path) -> None:
    text = flat(shown(explain(published, "A2")))
    assert "The metrics of this date are not kept any more" in text
    assert "What is missing" not in text


# -- finding accounts --------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["A1", "Harbour Foods", "harbour FOODS"])
def test_an_account_is_found_by_id_or_name(published: Path, text: str) -> None:
    assert explain(published, text).account["account_id"] == "A1"


def test_a_name_of_two_accounts_asks_for_an_id(published: Path) -> None:
    with pytest.raises(UsageError, match="2 accounts have the name twin: use an id \\(A4, A5\\)"):
        explain(published, "twin")


def test_an_unknown_name_suggests_the_nearest(published: Path) -> None:
    with pytest.raises(UsageError, match="nearest are A1 \\(Harbour Foods\\)") as caught:
        explain(published, "Harbor Food")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("text", ["'); drop table x; --", "%", "", "\x00", "A1' or '1'='1"])
def test_what_is_typed_is_never_sql(published: Path, text: str) -> None:
    with pytest.raises(UsageError, match="no account has the id or name"):
        explain(published, text)
    assert explain(published, "A1").score is not None


def test_a_date_without_a_row_names_the_nearest(published: Path) -> None:
    with pytest.raises(UsageError, match="nearest dates with one: 2026-06-02 and 2026-06-30"):
        explain(published, "A1", AS_OF - timedelta(days=1))


def test_an_older_date_shows_the_score_of_that_date(published: Path) -> None:
    text = flat(shown(explain(published, "A1", AS_OF - timedelta(days=28))))
    assert "Health: 70 of 100 Healthy on 2026-06-02" in text


def test_a_name_cannot_steer_the_terminal(published: Path) -> None:
    explanation = explain(published, BREAKING_NAME)
    text = shown(explanation)
    assert "Łódź [red]Foods[/red] 🦊\\nline \\u202etwo\\x1b[31m" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert explanation.to_dict()["account"]["account_name"] == BREAKING_NAME


def test_markup_in_a_driver_text_is_text(published: Path) -> None:
    assert "[bold]tickets[/bold]" in shown(explain(published, "A1"))


def test_it_fits_a_narrow_terminal(published: Path) -> None:
    for line in shown(explain(published, "A1"), width=80).splitlines():
        assert len(line) <= 80


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.614, "ratio", "61%"),
        (0.042, "probability", "4.2%"),
        (41.0, "count", "41"),
        (12.0, "days", "12 days"),
        (2.5, "hours", "2.50 hours"),
        (1.0, "flag", "yes"),
        (1200.0, "reporting currency per month", "1,200 USD/month"),
        (30000.0, "reporting currency", "30,000 USD"),
        (3.2, "score 1-5", "3.2 of 5"),
        (-0.41, "log ratio", "-0.41 log ratio"),
        (None, "count", "–"),
    ],
)
def test_values_are_shown_with_their_unit(value: float | None, unit: str, text: str) -> None:
    assert explaining.format_value(value, unit, "USD") == text


# -- without a good copy -----------------------------------------------------------------------
def test_without_a_publication_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(HealthError, match=r"nothing is published yet.*customer-health demo"):
        explain(tmp_path / "published.duckdb", "A1")


def test_a_damaged_copy_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "published.duckdb"
    path.write_bytes(b"x" * 5000)
    with pytest.raises(HealthError, match=r"cannot be read.*customer-health status"):
        explain(path, "A1")


def test_a_held_value_is_shown_beside_what_was_reported(published: Path) -> None:
    explanation = explain(published, "A1")
    assert "Data incident" not in shown(explanation)
    logins = next(row for row in explanation.metrics if row["metric_key"] == "logins")
    logins.update(is_data_incident=True, reported_value=3.0)
    text = flat(shown(explanation, width=160))
    assert "41 held, 3 reported" in text
    assert f"Data incident: {logins['metric_label']} Most accounts of the segment dropped" in text
