"""`customer-health what-if`: today's weights give today's scores, and nothing is written."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import duckdb
import fitting_world as made
import numpy as np
import pytest
from typer.testing import CliRunner

from customer_health import policy, statistics
from customer_health.cli import app
from customer_health.errors import HealthError, UsageError
from customer_health.fitting import what_if as trying
from customer_health.fitting.weights import Weights, account_scores, as_read
from customer_health.settings import Settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return made.make_project(tmp_path_factory.mktemp("company") / "project")


def weights_file(folder: Path, text: str) -> Path:
    path = folder / "idea.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_todays_weights_give_the_published_scores(settings: Settings) -> None:
    found = trying.what_if(settings, version="v1")
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        (count,) = connection.execute(
            "select count(*) from customer_health.fct_health__account_scores"
        ).fetchone() or (0,)
    assert found.checked_count == count > 1000
    assert found.largest_gap < 1e-9
    assert found.moved == ()
    assert all(each.difference == 0 for each in found.compared.values())
    assert found.mean_today == found.mean_tried


def test_tried_scores_are_those_of_the_arithmetic(settings: Settings) -> None:
    """The SQL against the scores computed on arrays, also where metrics are unknown."""
    found = trying.what_if(settings, sets=["support=0.6", "logins=0.9"])
    assert found.tried.weights.categories == pytest.approx(
        {"product_usage": 0.4 * 0.4 / 0.7, "satisfaction": 0.1 * 0.4 / 0.7, "support": 0.6,
         "churn_risk": 0.2 * 0.4 / 0.7}
    )  # fmt: skip
    assert found.tried.weights.metrics["feature_adoption"] == pytest.approx(0.1)
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        rows = connection.execute(
            """
            select account_id, as_of_date, metric_key, metric_score, value_state
            from customer_health.fct_health__metric_scores
            """
        ).fetchall()
        labels = connection.execute(
            """
            select account_id, as_of_date, days_to_churn
            from customer_health.val_health__observations
            where
                health_score is not null
                and follow_up_days >= 60
                and coalesce(days_to_churn >= 0, true)
            """
        ).fetchall()
    metrics = tuple(made.METRICS)
    keys = sorted({row[:2] for row in rows})
    place = {key: number for number, key in enumerate(keys)}
    scores = np.full((len(keys), len(metrics)), np.nan)
    for account, day, metric, score, state in rows:
        if state == "observed":
            scores[place[account, day], metrics.index(metric)] = score

    def whole(weights: Weights) -> np.ndarray:
        coverage = (~np.isnan(scores)) @ np.array([weights.effective(each) for each in metrics])
        found = as_read(account_scores(weights, metrics, scores))
        return np.where(np.round(coverage, 10) < 0.5, np.nan, found)

    tried, today = whole(found.tried.weights), whole(made.TODAY)
    risk = np.array([tried[place[row[:2]]] for row in labels])
    before = np.array([today[place[row[:2]]] for row in labels])
    outcomes = np.array([row[2] is not None and row[2] < 60 for row in labels], dtype=float)
    kept = ~np.isnan(risk)
    assert found.row_count == kept.sum()
    accounts = np.array([row[0] for row in labels])[kept]
    expected = statistics.delong_paired(-before[kept], -risk[kept], outcomes[kept], accounts)
    assert found.compared["auc"].difference == pytest.approx(expected.difference, abs=1e-9)
    assert found.compared["auc"].low == pytest.approx(expected.low, abs=1e-9)
    newest = max(day for _, day in keys)
    assert found.newest == newest
    rows_then = [number for number, (_, day) in enumerate(keys) if day == newest]
    moved = {each.account_id: each for each in found.moved}

    def band(score: float) -> str:
        for key, bound in (("thriving", 81), ("healthy", 61), ("at_risk", 41)):
            if score >= bound:
                return key
        return "insufficient_data" if np.isnan(score) else "critical"

    for number in rows_then:
        account = keys[number][0]
        one, other = band(today[number]), band(tried[number])
        assert (account in moved) == (one != other)
        if account in moved:
            assert (moved[account].band_today, moved[account].band_tried) == (one, other)
    assert len(moved) > 3
    amounts = [each.arr_amount for each in found.moved]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(move.account_count for move in found.moves) == len(rows_then)


def test_a_file_may_be_rows_of_the_seeds(settings: Settings, tmp_path: Path) -> None:
    path = weights_file(
        tmp_path,
        "scoring_version,scorecard_key,category_key,weight\n"
        "v9,standard,support,0.5\nv9,onboarding,support,0.9\n\n",
    )
    given = trying.read_weight_file(path, made.CARD)
    assert [(each.kind, each.key, each.weight) for each in given] == [("category", "support", 0.5)]
    tried = trying.apply(made.TODAY, given)
    assert sum(tried.categories.values()) == pytest.approx(1)
    assert tried.categories["churn_risk"] == pytest.approx(0.2 * 0.5 / 0.7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "row 1: the header is"),
        ("category_key,weigth\nsupport,0.5\n", "row 1: there is a column 'weigth'"),
        ("category_key,weight\nsupport,half\n", "row 2, weight: 'half' is no weight"),
        ("category_key,weight\nsupport,1.5\n", "row 2, weight: '1.5' is no weight"),
        ("category_key,weight\nsupport,nan\n", "row 2, weight: 'nan' is no weight"),
        ("category_key,weight\nsuport,0.5\n", "row 2: the scorecard has no category suport; "
         "nearest: support"),
        ("category_key,weight\nsupport,0.5\nsupport,0.4\n", "support is given twice"),
        ("category_key,weight\nsupport,0.5,1\n", "row 2: 3 cells, the header has 2"),
        ("category_key,metric_key,weight\nsupport,tickets,1\n", "either category_key or"),
        ("category_key,weight\nsupport,0.7\nchurn_risk,0.4\n", "sum to 1.1, not 1; take 0.1 away"),
        ("category_key,weight\nsupport,0.3\nchurn_risk,0.2\nsatisfaction,0.1\nproduct_usage,0.3\n",
         "sum to 0.9, not 1; add 0.1"),
        ("scoring_version,category_key,weight\nv1,support,0.3\nv2,churn_risk,0.2\n",
         "rows of several versions (v1, v2); keep one"),
        ("scorecard_key,category_key,weight\nother,support,0.3\n", "no row for scorecard standard"),
        ("metric_key,weight\nnps,0.3\n", "the scorecard has no metric nps"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_is_refused(
    settings: Settings, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(HealthError) as refused:
        trying.what_if(settings, weights_file=weights_file(tmp_path, text))
    assert says in refused.value.message


def test_a_metric_without_published_rows_is_refused() -> None:
    base = Weights(
        {"product_usage": 1.0}, {"logins": 0.5, "stickiness": 0.5},
        {"logins": "product_usage", "stickiness": "product_usage"},
    )  # fmt: skip
    with pytest.raises(HealthError, match="stickiness has no weight in the version in force"):
        trying.apply(made.TODAY, [], base)


def test_a_copy_that_does_not_match_is_refused(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=40)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute(
            """
            update customer_health.fct_health__account_scores
            set health_score_exact = health_score_exact + 0.001
            where account_id = 'A0001'
            """
        )
    with pytest.raises(HealthError, match="today's weights do not give the published scores"):
        trying.what_if(settings, sets=["support=0.5"])


def test_knock_outs_and_overrides_stay(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=60)
    with duckdb.connect(str(settings.published)) as connection:
        connection.execute(
            "update customer_health.fct_health__account_scores "
            "set band = 'critical', band_reason = 'knockout'"
        )
    found = trying.what_if(settings, sets=["support=0.9"])
    assert found.moved == ()
    assert found.fixed_count == sum(move.account_count for move in found.moves)
    assert found.compared == {}  # and too few churners for figures


def test_months_of_an_earlier_version_are_named(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=40)
    with duckdb.connect(str(settings.published)) as connection:
        for table in ("fct_health__account_scores", "fct_health__metric_scores"):
            connection.execute(
                f"update customer_health.{table} set scoring_version = 'v0' "
                "where as_of_date < '2026-06-01'"
            )
    found = trying.what_if(settings, sets=["support=0.5"])
    assert any("months to 2026-05-03 were scored by v0" in note for note in found.notes)


def test_the_command_line_writes_nothing(settings: Settings, tmp_path: Path) -> None:
    options = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    before = made.files_of(settings.project_dir)
    path = weights_file(tmp_path, "category_key,weight\nsupport,0.6\n")
    result = CliRunner().invoke(app, [*options, "what-if", "--weights", str(path)])
    assert result.exit_code == 0, result.output
    for words in ("Nothing was written", "AUC", "To a worse band", "hysteresis is left out"):
        assert words in result.stdout
    result = CliRunner().invoke(app, [*options, "what-if", "--set", "support=0.6", "--json"])
    found = json.loads(result.stdout)
    assert found["compared"]["auc"]["verdict"] in ("better", "worse", "not_distinguishable")
    assert found["moved_accounts"]
    result = CliRunner().invoke(app, [*options, "what-if"])
    assert result.exit_code == 2 and "say what to try" in result.stderr
    result = CliRunner().invoke(app, [*options, "what-if", "--set", "support"])
    assert result.exit_code == 2 and "not of the form category=weight" in result.stderr
    assert made.files_of(settings.project_dir) == before
    with pytest.raises(UsageError, match="--scorecard"):
        trying.what_if(settings, sets=["support=0.5"], scorecard="nothing")


# ---- anchors -------------------------------------------------------------------------------------


def anchors_file(folder: Path, text: str) -> Path:
    path = folder / "anchors.csv"
    path.write_text(text, encoding="utf-8")
    return path


def newest_rows(settings: Settings) -> dict[str, dict[str, float | None]]:
    """Account to its metric values on the newest date; None where not known."""
    found: dict[str, dict[str, float | None]] = {}
    with duckdb.connect(str(settings.published), read_only=True) as connection:
        for account, metric, state, value in connection.execute(
            """
            select account_id, metric_key, value_state, metric_value
            from customer_health.fct_health__metric_scores
            where as_of_date = (
                select max(as_of_date) from customer_health.fct_health__metric_scores
            )
            """
        ).fetchall():
            found.setdefault(account, {})[metric] = value if state == "observed" else None
    return found


def test_changed_anchors_are_scored_as_written(settings: Settings, tmp_path: Path) -> None:
    """Flat to 4, then up to 10 at 9: half of (value - 4) * 2 counts, by hand."""
    path = anchors_file(tmp_path, "metric_key,value,score\ntickets,9,10\ntickets,4,0\n")
    found = trying.what_if(settings, anchors_file=path)
    assert found.changed_anchors["tickets"].sets == {("*", 0): ((4.0, 0.0), (9.0, 10.0))}
    assert found.to_dict()["anchors"][0] == {
        "metric_key": "tickets", "scorecard_key": "*", "tenure_days_from": 0, "value": 4.0,
        "score": 0.0,
    }  # fmt: skip
    scores = {}
    for account, values in newest_rows(settings).items():
        each = dict(values)
        if each["tickets"] is not None:
            each["tickets"] = min(max((each["tickets"] - 4) * 2, 0.0), 10.0)
        probability = values["churn_probability"]
        each["churn_probability"] = 10 - 100 * (probability or 0)
        row = np.array([[np.nan if each[key] is None else each[key] for key in made.METRICS]])
        known = sum(made.TODAY.effective(key) for key in made.METRICS if each[key] is not None)
        score = as_read(account_scores(made.TODAY, tuple(made.METRICS), row.astype(float)))[0]
        scores[account] = score if round(known, 10) >= 0.5 else None
    told = {each.account_id: each for each in found.moved}
    assert len(told) > 10
    for account, moved in told.items():
        assert moved.score_tried == scores[account]
    assert any("every scorecard" in note for note in found.notes)
    mean = np.mean([score for score in scores.values() if score is not None])
    assert found.mean_tried == pytest.approx(mean, abs=1e-9)


def test_sets_of_a_tenure_and_of_the_scorecard_win(settings: Settings, tmp_path: Path) -> None:
    """All accounts are 400 days old: the set from 400 counts, that from 401 does not."""
    constant = "standard,csat,{},0,{}\nstandard,csat,{},10,{}\n"
    header = "scorecard_key,metric_key,tenure_days_from,value,score\n"
    text = header + "".join(constant.format(t, s, t, s) for t, s in ((0, 1), (400, 2), (401, 9)))
    one = trying.what_if(settings, anchors_file=anchors_file(tmp_path, text))
    text = header + constant.format(0, 2, 0, 2)
    other = trying.what_if(settings, anchors_file=anchors_file(tmp_path, text))
    assert one.moves == other.moves and one.mean_tried == other.mean_tried != one.mean_today
    # the scorecard has none of its own: rows for * are those in force
    text = "metric_key,value,score\ncsat,0,2\ncsat,10,2\n"
    third = trying.what_if(settings, anchors_file=anchors_file(tmp_path, text))
    assert third.mean_tried == one.mean_tried


def test_todays_anchors_change_nothing(settings: Settings, tmp_path: Path) -> None:
    """The whole seed as the idea, with metrics that the scorecard does not weigh."""
    text = (settings.project_dir / "seeds" / "metric_anchors.csv").read_text("utf-8")
    found = trying.what_if(settings, anchors_file=anchors_file(tmp_path, text))
    assert found.changed_anchors == {} and found.moved == ()
    assert all(each.difference == 0 for each in found.compared.values())


def test_a_fitted_probability_follows_the_anchors(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=30)
    seeds = settings.project_dir / "seeds"
    versions = (seeds / "scoring_versions.csv").read_text("utf-8")
    (seeds / "scoring_versions.csv").write_text(
        versions.replace("2020-01-01,,,", "2020-01-01,,m1,"), encoding="utf-8"
    )
    columns = (seeds / "churn_model.csv").read_text("utf-8").splitlines()[0].split(",")
    cells = {"scoring_version": "v1", "churn_model_version": "m1"}
    rows = [
        {**cells, "feature": "intercept", "coefficient": "-2"},
        {**cells, "feature": "tickets", "coefficient": "-1", "mean": "5",
         "standard_deviation": "2"},
    ]  # fmt: skip
    text = [",".join(columns), *(",".join(row.get(name, "") for name in columns) for row in rows)]
    (seeds / "churn_model.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    path = anchors_file(tmp_path, "metric_key,value,score\ntickets,0,3\ntickets,10,3\n")
    found = trying.what_if(settings, anchors_file=path)
    points = found.today.anchors["churn_probability"].sets["*", 0]
    edges, scores = [one for one, _ in points], [score for _, score in points]
    expected = []
    for values in newest_rows(settings).values():
        # log odds: -2 - (3 - 5) / 2 where tickets are known, else the mean of the training
        log_odds = -2.0 if values["tickets"] is None else -1.0
        each = {
            **values,
            "tickets": None if values["tickets"] is None else 3.0,
            "churn_probability": float(np.interp(1 / (1 + np.exp(-log_odds)), edges, scores)),
        }
        known = sum(made.TODAY.effective(key) for key in made.METRICS if each[key] is not None)
        row = np.array([[np.nan if each[key] is None else each[key] for key in made.METRICS]])
        if round(known, 10) >= 0.5:
            score = account_scores(made.TODAY, tuple(made.METRICS), row.astype(float))
            expected.append(as_read(score)[0])
    assert len(expected) == found.account_count > 5
    assert found.mean_tried == pytest.approx(np.mean(expected), abs=1e-9)
    # of anchors that are no feature the published probability knows nothing
    path = anchors_file(tmp_path, "metric_key,value,score\ncsat,0,0\ncsat,10,10\n")
    assert trying.what_if(settings, anchors_file=path).moved == ()


def test_a_metric_that_a_version_defines_otherwise_stays_as_today(tmp_path: Path) -> None:
    settings = made.make_project(tmp_path / "project", accounts=30)
    seeds = policy.find_seed_files(settings.project_dir)
    policy.new_version(seeds, "v1", "v2", valid_from=date(2027, 1, 1), author="me", reason="try")

    def edit(name: str, old: str, new: str) -> None:
        text = seeds[name].read_text("utf-8")
        assert text.count(old) == 1
        seeds[name].write_text(text.replace(old, new), encoding="utf-8")

    edit("metric_anchors", "v2,*,tickets,0,10,10", "v2,*,tickets,0,10,2")
    assert trying.what_if(settings, version="v2").moved
    edit("metrics", "v2,tickets,support,Support tickets opened in the last 30 days,count,"
         "support_tickets,30,", "v2,tickets,support,Support tickets opened in the last 30 days,"
         "count,support_tickets,60,")  # fmt: skip
    found = trying.what_if(settings, version="v2")
    assert found.moved == ()
    assert any("tickets is defined otherwise in v2" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "anchors.csv, row 1: the header is []; write metric_key, value and score"),
        ("metric_key,value,scores\n", "row 1: there is a column 'scores'"),
        ("metric_key,value,score\ntickets,many,1\n", "row 2, value: 'many' is no number"),
        ("metric_key,value,score\ntickets,inf,1\n", "row 2, value: 'inf' is no number"),
        ("metric_key,value,score\ntickets,1,11\n", "row 2, score: '11' is no score; write a"),
        ("metric_key,value,score\n,1,1\n", "row 2, metric_key: the cell is blank"),
        ("metric_key,value,score\ntickts,1,1\n",
         "row 2, metric_key: the scorecard does not weigh tickts; nearest: tickets"),
        ("metric_key,value,score\nevents,0,1\nevents,1,2\n",
         "row 2: the scorecard weighs none of these metrics; it weighs logins"),
        ("metric_key,value,score\ntickets,1,1\n", "row 2: the anchor set of tickets has one point"),
        ("metric_key,value,score\ntickets,1,1\ntickets,1.0,2\n",
         "row 3, value: tickets has two points at the value 1; keep one"),
        ("metric_key,tenure_days_from,value,score\ntickets,soon,1,1\n",
         "row 2, tenure_days_from: 'soon' is no number of days"),
        ("scorecard_key,metric_key,tenure_days_from,value,score\n"
         "standard,tickets,90,0,1\nstandard,tickets,90,1,2\n",
         "row 2, tenure_days_from: there is no anchor set of tickets for scorecard standard and "
         "tenure 0"),
        ("scoring_version,metric_key,value,score\nv1,tickets,0,1\nv2,tickets,1,1\n",
         "rows of several versions (v1, v2); keep one"),
        ("scorecard_key,metric_key,value,score\nonboarding,tickets,0,1\n",
         "no row for scorecard standard"),
    ],
)  # fmt: skip
def test_anchors_that_cannot_be_are_refused(
    settings: Settings, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(HealthError) as refused:
        trying.what_if(settings, anchors_file=anchors_file(tmp_path, text))
    assert says in refused.value.message and "\n" not in refused.value.message
    assert refused.value.message.startswith("anchors.csv")


def test_the_command_line_takes_anchors(settings: Settings, tmp_path: Path) -> None:
    options = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    path = anchors_file(tmp_path, "metric_key,value,score\ntickets,4,0\ntickets,9,10\n")
    result = CliRunner().invoke(app, [*options, "what-if", "--anchors", str(path)])
    assert result.exit_code == 0, result.output
    assert "Anchors of" in result.stdout and "4→0, 9→10" in result.stdout
    result = CliRunner().invoke(app, [*options, "what-if", "--anchors", "nowhere.csv"])
    assert result.exit_code == 1 and "--anchors: there is no file nowhere.csv" in result.stderr


def test_counting_draws_the_samples_of_the_bootstrap() -> None:
    """ARR recall by counting scores, against statistics.bootstrap_difference by sorting rows."""
    generator = np.random.default_rng(5)
    accounts = np.sort(generator.integers(0, 90, 700)) * 3
    today = generator.integers(0, 101, 700).astype(float)
    tried = np.clip(today + generator.integers(-30, 31, 700), 0, 100)
    arr = generator.lognormal(9, 1, 700)
    outcomes = (generator.random(700) < 0.15).astype(float)

    def amounts(rows: np.ndarray) -> tuple[float, float]:
        one, other = (
            statistics.recall(-each[rows], outcomes[rows], 0.1, arr[rows])
            for each in (today, tried)
        )
        return one, other

    samples = statistics.bootstrap_rows(accounts, repeats=50, seed=7)
    expected = statistics.bootstrap_difference(amounts, 700, samples)
    found = trying.arr_recall_paired(
        today.astype(float), tried.astype(float), arr * outcomes, 0.1, accounts, repeats=50, seed=7
    )
    for name in ("figure_a", "figure_b", "difference", "low", "high"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-12), name
