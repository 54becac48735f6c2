"""`customer-health validate`: the verdict, the leak tests on the marts, the page and the guard."""

from __future__ import annotations

import json
import math
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import numpy as np
import pytest
from fault_marks import found_in
from made_validation import make_marts, make_rows, observations
from small_marts import make_project
from typer.testing import CliRunner, Result

from customer_health import cli, statistics
from customer_health.settings import Settings
from customer_health.validation import baseline, leak_tests, pictures, rebuild
from customer_health.validation.figures import Figures, open_marts, read_figures

PROJECT_DIR = Path(__file__).resolve().parents[2]
HOSTILE = (
    "<script>alert('x')</script>\"></text></svg><img src=//evil.example/x onerror=alert(1)> "
    "$\\frac{1}{0}$ & \u202e\u05d0\u05d1\u05d2 \U0001f600 {{ 7 * 7 }} [red]x[/red] \x07"
    + 300
    * "long"
)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(autouse=True)
def _without_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes a second: only tests that look at the page wait for it."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("customer_health.validation.pictures.all_pictures", lambda *_: {})


@pytest.fixture
def drawn() -> None:
    """Asks for the pictures."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project without any mart yet."""
    made = make_project(tmp_path / "project")
    (made.project_dir / "seeds").mkdir(exist_ok=True)
    shutil.copy(PROJECT_DIR / "seeds" / "validation_limits.csv", made.project_dir / "seeds")
    return made


def call(settings: Settings, *arguments: str, rebuild_too: bool = False) -> Result:
    where = ["--project-dir", str(settings.project_dir), "--home", str(settings.home)]
    left_out = [] if rebuild_too else ["--no-rebuild"]
    result = CliRunner().invoke(cli.app, [*where, "validate", *left_out, *arguments])
    found_in(result.output)
    return result


def found(settings: Settings, *arguments: str) -> dict[str, Any]:
    """What --json says; NaN is no JSON."""
    result = call(settings, "--json", *arguments)

    def refuse(text: str) -> None:
        raise AssertionError(text)

    answer: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return answer


def figures_of(settings: Settings) -> tuple[Figures, list[leak_tests.LeakTest]]:
    with open_marts(settings) as connection:
        figures = read_figures(connection, settings)
        return figures, leak_tests.look_at_marts(connection, figures)


def one_line(text: str) -> str:
    return " ".join(text.split())


# -- the verdict -------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "words", "plain", "exit_code"),
    [
        ("usable", "✓ Usable", "work on the lowest scores first", 0),
        ("weak", "! Weak", "have a person look before acting on it", 0),
        ("no_usable_signal", "✕ No usable signal", "do not set priorities by this score", 0),
        ("suspicious", "✕ Suspicious: the metric logins alone", "Do not use these figures", 1),
    ],
)
def test_the_report_opens_with_the_verdict_in_words(
    settings: Settings, key: str, words: str, plain: str, exit_code: int
) -> None:
    make_marts(settings, verdict_key=key)
    result = call(settings)
    assert result.exit_code == exit_code, result.output
    opening = one_line(result.stdout.split("scores version")[0].replace("│", " "))
    assert words in opening
    assert plain in opening
    page = Page((settings.home / "validation" / "latest.html").read_text())
    assert page.text.startswith("Does it predict?")
    assert page.text.index(words[2:]) < page.text.index("Does it rank?")
    assert found(settings)["verdict"]["key"] == key


def test_the_plain_sentence_has_the_figures(settings: Settings) -> None:
    make_marts(settings)
    told = one_line(call(settings).stdout.replace("│", " "))
    assert "Of 100 customers who left within 60 days, 42 were among the 10%" in told
    assert "4.2 times as many as by chance" in told


def test_the_report_has_every_part(settings: Settings, drawn: None) -> None:
    """Terminal and page tell the same parts; the page has the pictures."""
    make_marts(settings)
    told = call(settings).stdout
    page = (settings.home / "validation" / "2026-06-30.html").read_text()
    for title in (
        *("Does it rank?", "Retention by band", "Warnings in time", "Probabilities"),
        *("Which inputs earn their weight", "By segment and plan", "The base over time"),
        *("Stability", "Leak tests", "What the figures do not say"),
    ):
        assert title in told
        assert f"<h2>{title}</h2>" in page
    assert page.count("<svg") == 11
    assert str(settings.home / "validation" / "2026-06-30.html") in told.replace("\n", "")


def test_json_has_all_figures(settings: Settings) -> None:
    make_marts(settings)
    answer = found(settings)
    marts = make_rows()
    for part in ("discrimination", "band_outcomes", "metrics", "survival", "churn_warnings"):
        assert len(answer["marts"][part]) == len(marts[f"val_health__{part}"])
    assert answer["marts"]["metrics"][0]["missing_churn_rate"] is None  # NaN in the mart
    assert [test["status"] for test in answer["leak_tests"]] == ["skipped"] * 2 + ["passed"] * 3


def test_a_challenger_is_compared_where_there_is_one(settings: Settings) -> None:
    marts = make_rows()
    marts["val_health__version_comparison"] = [
        {"champion_version": "v1", "challenger_version": "v2", "lead_days": 0, "horizon_days": 60,
         "is_headline": True, "slice_kind": "period", "slice_value": "out_of_time",
         "churner_count": 60, "auc_champion": 0.80, "auc_challenger": 0.84,
         "auc_difference": 0.04, "difference_low": 0.01, "difference_high": 0.07,
         "verdict_key": "better"}
    ]  # fmt: skip
    marts["val_health__band_migrations"] = [
        {"champion_version": "v1", "challenger_version": "v2", "champion_band": before,
         "champion_band_rank": 3, "challenger_band": after, "challenger_band_rank": rank,
         "account_count": 7, "arr_amount": 2_500_000.0}
        for before, after, rank in (("healthy", "at_risk", 2), ("healthy", "healthy", 3))
    ]  # fmt: skip
    marts["val_health__csm_load"] = [
        {"scoring_version": "v2", "csm_id": None, "account_count": 40, "critical_count": 3,
         "at_risk_count": 9, "entered_below_healthy_28_days": 2}
    ]  # fmt: skip
    make_marts(settings, marts)
    told = one_line(call(settings).stdout)
    assert "v2 against v1 out of time better" in told
    assert "+0.040 0.010–0.070" in told
    page = Page((settings.home / "validation" / "latest.html").read_text()).text
    assert "At risk Healthy At risk – – Healthy 7 (2.5 M) 7 (2.5 M)" in page
    assert "v2 – 40 3 9 2" in page


# -- fault 67: too few outcomes ------------------------------------------------------------------
def few(churned: int, accounts: int = 40) -> dict[str, Any]:
    return {
        "verdict_key": "not_enough_outcomes",
        "has_outcomes": False,
        "rows": observations(accounts, churned),
    }


@pytest.mark.fault(67, says="Not enough outcomes")
@pytest.mark.parametrize("churned", [0, 3, 40], ids=["none", "few", "all"])
def test_too_few_churners_give_no_number(settings: Settings, churned: int) -> None:
    make_marts(settings, **few(churned))
    result = call(settings)
    assert result.exit_code == 0, result.output
    told = one_line(result.stdout.replace("│", " "))
    assert "? Not enough outcomes Too few customers have left for a verdict: 30 are needed" in told
    page = (settings.home / "validation" / "latest.html").read_text()
    assert not re.search(r"\b(nan|NaN|inf|None)\b", result.output + Page(page).text)
    answer = found(settings)
    assert answer["guarded"] == dict.fromkeys(baseline.GUARDED)
    assert [test["status"] for test in answer["leak_tests"]] == ["skipped"] * 5


@pytest.mark.fault(67)
def test_marts_without_any_row_are_not_enough_either(settings: Settings) -> None:
    """A deployment of its first days: the marts exist, and nothing could be observed yet."""
    make_marts(settings)
    with duckdb.connect(str(settings.published)) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where table_name like 'val_%'"
        ).fetchall()
        for (table,) in tables:
            connection.execute(f"delete from customer_health.{table}")
    result = call(settings)
    assert result.exit_code == 0, result.output
    assert "Not enough outcomes" in result.stdout
    assert found(settings)["verdict"]["key"] == "not_enough_outcomes"


# -- leak tests 3 to 5 -----------------------------------------------------------------------------
def test_leak_tests_pass_on_sound_marts(settings: Settings) -> None:
    make_marts(settings)
    _, tests = figures_of(settings)
    assert [(test.number, test.status) for test in tests] == [(n, "passed") for n in (3, 4, 5)]


def test_the_auc_of_the_observations_is_that_of_scikit_learn(settings: Settings) -> None:
    """The rule of the labels is written twice; the four observations that it leaves out count."""
    from sklearn.metrics import roc_auc_score

    make_marts(settings)
    _, tests = figures_of(settings)
    counted = [row for row in observations() if not row["account_id"].startswith("Z")]
    expected = roc_auc_score(
        [row["days_to_churn"] is not None for row in counted],
        [-row["health_score"] for row in counted],
    )
    assert tests[0].details["auc_counted_again"] == pytest.approx(expected, abs=1e-12)


def test_the_standard_error_is_that_of_the_rank_sum_with_ties() -> None:
    """Against the spread of very many shuffles, on scores with many ties."""
    random = np.random.default_rng(1)
    score = random.integers(0, 6, 300).astype(float)
    labels = np.arange(300) < 40
    seen = [statistics.auc(-score, random.permutation(labels).astype(float)) for _ in range(4_000)]
    assert leak_tests.null_error(score, 40) == pytest.approx(np.std(seen), rel=0.04)


def ties_by_label(score: Any, labels: Any) -> float:
    """A broken AUC: rows of one score are ranked, and a churner comes before a stayer."""
    order = np.lexsort((labels, -score))
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    n1 = int(labels.sum())
    return float((ranks[labels].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(score) - n1)))


def test_shuffled_labels_catch_an_auc_that_sees_the_outcome(settings: Settings) -> None:
    """Scores in few steps, as those of a band: each tie is won by the churner."""
    rows = observations()
    for row in rows:
        row["health_score"] = row["health_score"] and row["health_score"] // 20 * 20
    counted = [row for row in rows if not row["account_id"].startswith("Z")]
    broken = ties_by_label(
        np.array([row["health_score"] for row in counted], dtype=float),
        np.array([row["days_to_churn"] is not None for row in counted]),
    )
    make_marts(settings, rows=rows, auc=broken)
    with open_marts(settings) as connection:
        figures = read_figures(connection, settings)
        test = leak_tests.shuffled_labels(connection, figures, ties_by_label)
    assert test.status == "failed"
    assert "the arithmetic sees the outcome" in test.finding
    assert test.details["mean_auc"] > 0.55
    # and with our own arithmetic the figure of such a mart does not come out
    _, tests = figures_of(settings)
    assert tests[0].status == "failed"
    assert "one of the two counts ties or rows by their outcome" in tests[0].finding
    assert call(settings).exit_code == 1


def test_a_mart_that_counts_other_rows_is_caught(settings: Settings) -> None:
    """Observations that the rule leaves out, such as accounts in notice, would flatter the AUC."""
    make_marts(settings)
    figures, _ = figures_of(settings)
    honest = figures.headline["auc"]
    make_marts(settings, auc=honest + 1e-6)
    assert figures_of(settings)[1][0].status == "failed"


@pytest.mark.parametrize("auc", [0.97, 0.03], ids=["the outcome", "the outcome upside down"])
def test_a_metric_that_is_the_outcome_is_named(settings: Settings, auc: float) -> None:
    make_marts(settings, metric_aucs={"logins": 0.7, "cancellation": auc})
    _, tests = figures_of(settings)
    assert (tests[1].status, tests[1].blamed) == ("failed", ("cancellation",))
    result = call(settings)
    assert result.exit_code == 1
    assert "suspicious: leak test 4 failed" in result.stderr
    assert "cancellation 0.970" in result.stderr
    assert found(settings)["verdict"]["key"] == "suspicious"


def test_a_cliff_between_leads_is_caught_and_the_metric_named(settings: Settings) -> None:
    make_marts(
        settings,
        lead_aucs=(0.62, 0.61, 0.60),
        metric_aucs={"logins": 0.7, "last_days": 0.85},
        far_metric_aucs={"last_days": 0.55},
    )
    test = figures_of(settings)[1][2]
    assert (test.status, test.blamed) == ("failed", ("last_days",))
    assert "from a lead of 0 days to 30" in test.finding
    assert call(settings).exit_code == 1


def test_a_very_high_auc_is_not_believed_before_the_leak_tests_ran(settings: Settings) -> None:
    make_marts(settings, needs_leak_tests=True)
    result = call(settings)
    assert result.exit_code == 1
    assert "has to survive the leak tests, of which 1, 2 did not run" in one_line(result.stderr)


# -- the page --------------------------------------------------------------------------------------
class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.told: list[str] = []
        self.feed(text)
        self.text = one_line(" ".join(self.told))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.told.append(data)


def test_hostile_names_stay_text(settings: Settings, drawn: None) -> None:
    """In tables, in pictures and on the terminal; `$` is no mathematics and `[` no markup."""
    make_marts(settings, segment=HOSTILE, name=HOSTILE, metric_aucs={HOSTILE: 0.7, "csat": 0.6})
    result = call(settings)
    assert result.exit_code == 0, result.output
    text = (settings.home / "validation" / "latest.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not {"script", "img", "link", "iframe", "image", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.tags.count("style") == 1
    links = [value for name, value in page.attributes if name.split(":")[-1] in ("href", "src")]
    assert links
    assert all(link.startswith("#") for link in links)
    addresses = [value for _, value in page.attributes if "//" in value]
    assert {one for one in addresses if not one.startswith("http://www.w3.org/")} == set()
    assert "alert('x')" in page.text
    assert "49" not in re.findall(r"\{\{ 7 \* 7 \}\}|\b49\b", page.text)
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "default-src 'none'" in text
    assert len(text.encode()) < 1_000_000


def test_every_picture_is_well_formed_and_takes_its_colours_from_the_page(
    settings: Settings, drawn: None
) -> None:
    make_marts(settings, segment=HOSTILE, metric_aucs={HOSTILE: 0.7, "$x^2$ _{": 0.6})
    figures, _ = figures_of(settings)
    found_pictures = pictures.all_pictures(figures, [HOSTILE, "$x^2$ _{"])
    assert len(found_pictures) == 11
    ids: list[str] = []
    for name, svg in found_pictures.items():
        ElementTree.fromstring(svg)
        assert svg.startswith('<svg role="img" aria-label="')
        assert "var(--text)" in svg or "var(--soft)" in svg
        assert not re.search(r"#01020|http|<script|<style|<image", svg), name
        ids += re.findall(r' id="([^"]*)"', svg)
    assert len(ids) == len(set(ids))
    assert "$x^2$ _{" in found_pictures["metrics"]
    assert "&lt;script&gt;" in found_pictures["metrics"]


def test_the_same_figures_give_the_same_page(settings: Settings, drawn: None) -> None:
    make_marts(settings)
    texts = []
    for _ in range(2):
        call(settings)
        texts.append((settings.home / "validation" / "latest.html").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("A\x00B\nC", "A B C"),
        ("\u202eabc\u2066", "abc"),
        ("x" * 30, "x" * 23 + "…"),
        ("\ud800", "\ufffd"),
        ("日本語", "日本語"),
    ],
)
def test_labels_are_short_and_visible(text: str, shown: str) -> None:
    assert pictures.label(text) == shown


def test_only_the_page_is_written(settings: Settings) -> None:
    make_marts(settings)
    before = {path: path.stat().st_mtime_ns for path in settings.home.rglob("*")}
    assert call(settings, "--html", str(settings.home.parent / "mine.html")).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in settings.home.rglob("*")} == before
    assert (settings.home.parent / "mine.html").read_text().startswith("<!doctype html>")


# -- choosing, and refusals --------------------------------------------------------------------
def test_the_version_and_the_scorecard_can_be_chosen(settings: Settings) -> None:
    marts = make_rows()
    other = {"scoring_version": "v2", "scorecard_key": "usage_only"}
    for name in ("observations", "discrimination", "verdict"):
        rows = marts[f"val_health__{name}"]
        rows += [{**row, **other} for row in list(rows)[:3]]
    make_marts(settings, marts)
    assert found(settings)["scoring_version"] == "v1"
    answer = found(settings, "--version", "v2")
    assert (answer["scoring_version"], answer["scorecard_key"]) == ("v2", "usage_only")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--version", "v9"), 2, "there are no scores of version 'v9', only of v1"),
        (("--scorecard", "gold"), 2, "has no health scores of 'gold', only of standard"),
        (("--version", "'; drop"), 2, "is no name of a scoring version"),
        (("--rebuild-date", "soon"), 2, "is no date"),
        (("--html", "."), 2, "is a folder; name a file in it"),
        (("--against", "nowhere.json"), 1, "there is no nowhere.json; write one with"),
        (("--candidate",), 1, "there is no candidate"),
    ],
)
def test_refusals_are_one_line(
    settings: Settings, arguments: tuple[str, ...], code: int, message: str
) -> None:
    make_marts(settings)
    result = call(settings, *arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_publication_or_marts_it_says_what_to_run(settings: Settings) -> None:
    result = call(settings)
    assert result.exit_code == 1
    assert "there is no publication" in result.stderr
    marts = {key: rows for key, rows in make_rows().items() if "discrimination" not in key}
    make_marts(settings, marts)
    result = call(settings)
    assert result.exit_code == 1
    assert "there is no mart val_health__discrimination" in result.stderr
    settings.published.write_bytes(b"no database" * 1000)
    result = call(settings)
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr


# -- the guard -------------------------------------------------------------------------------------
def test_the_guard_says_what_fell_and_by_how_much(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "committed" / "baseline.json"
    make_marts(settings)
    assert call(settings, "--write-baseline", str(file)).exit_code == 0
    same = call(settings, "--against", str(file))
    assert same.exit_code == 0, same.output
    assert "as in the baseline" in same.stdout

    make_marts(settings, lead_aucs=(0.76, 0.65, 0.60), critical_caught=9, recall=0.43)
    worse = call(settings, "--against", str(file))
    assert worse.exit_code == 1
    errors = worse.stderr
    assert "AUC at 60 days of lead fell from 0.770 to 0.650, by 0.120 (tolerance 0.010)" in errors
    assert "Critical recall fell from 0.300 to 0.150, by 0.150" in errors
    assert "AUC in the headline" not in errors
    assert "recall at capacity rose from 0.420 to 0.430" in one_line(worse.stdout)
    fallen = found(settings, "--against", str(file))["against"]
    assert [one["key"] for one in fallen if one["has_fallen"]] == ["auc_lead_60", "critical_recall"]
    assert call(settings, "--against", str(file), "--tolerance", "0.2").exit_code == 0


@pytest.mark.parametrize(("now", "has_fallen"), [(0.79, False), (0.789, True), (None, True)])
def test_the_tolerance_itself_is_allowed_and_a_lost_figure_is_not(
    now: float | None, has_fallen: bool
) -> None:
    assert baseline.Compared("auc_headline", 0.80, now, 0.01).has_fallen is has_fallen


def test_critical_recall_counts_churned_account_months(settings: Settings) -> None:
    make_marts(settings, critical_caught=15)
    figures, _ = figures_of(settings)
    assert baseline.critical_recall(figures) == pytest.approx(15 / 60)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"figures": {"auc_headline": 0.8}}',
     '{"figures": {"auc_headline": "high", "auc_lead_60": 1, "recall_at_capacity": 0, '
     '"critical_recall": 0}}',
     '{"figures": {"auc_headline": NaN, "auc_lead_60": 1, "recall_at_capacity": 0, '
     '"critical_recall": 0}}'],
)  # fmt: skip
def test_a_damaged_baseline_is_refused(settings: Settings, tmp_path: Path, text: str) -> None:
    make_marts(settings)
    file = tmp_path / "baseline.json"
    file.write_text(text)
    result = call(settings, "--against", str(file))
    assert result.exit_code == 1
    assert "is no baseline" in result.stderr


def test_no_baseline_is_written_without_figures(settings: Settings, tmp_path: Path) -> None:
    make_marts(settings, **few(3))
    result = call(settings, "--write-baseline", str(tmp_path / "baseline.json"))
    assert result.exit_code == 1
    assert "there are no figures to guard" in result.stderr


# -- when a date cannot be built again ---------------------------------------------------------
def write_profile(settings: Settings, **output: Any) -> None:
    made = {
        "type": "duckdb",
        "path": "{{ env_var('CUSTOMER_HEALTH_HOME') }}/build.duckdb",
        "attach": [{"path": "{{ env_var('CUSTOMER_HEALTH_HOME') }}/candidate.duckdb"}],
        **output,
    }
    profile = {"customer_health": {"target": "dev", "outputs": {"dev": made}}}
    (settings.project_dir / "profiles.yml").write_text(json.dumps(profile))
    project = settings.project_dir / "dbt_project.yml"
    if "profile:" not in project.read_text():
        project.write_text(project.read_text() + "\nprofile: customer_health\n")


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ({"path": "/data/build.duckdb"}, "not below CUSTOMER_HEALTH_HOME"),
        ({"attach": [{"path": "/data/marts.duckdb"}]}, "not below CUSTOMER_HEALTH_HOME"),
        ({}, "there are no raw tables"),
    ],
)
def test_leak_tests_1_and_2_say_why_they_did_not_run(
    settings: Settings, output: dict[str, Any], why: str
) -> None:
    make_marts(settings)
    write_profile(settings, **output)
    result = call(settings, "--json", rebuild_too=True)
    assert result.exit_code == 0, result.output
    tests = json.loads(result.stdout)["leak_tests"][:2]
    assert [test["status"] for test in tests] == ["skipped", "skipped"]
    assert all(why in test["finding"] for test in tests)
    assert math.isfinite(json.loads(result.stdout)["guarded"]["auc_headline"])


def test_a_rebuild_in_a_database_elsewhere_is_not_tried(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would write to what the profile names: the scratch folder must hold all of it."""
    make_marts(settings)
    settings.landing.touch()
    write_profile(settings, path="/data/{{ env_var('CUSTOMER_HEALTH_HOME') }}/build.duckdb")
    monkeypatch.setattr(rebuild, "_build", lambda *_: pytest.fail("it was tried"))
    assert call(settings, rebuild_too=True).exit_code == 0
