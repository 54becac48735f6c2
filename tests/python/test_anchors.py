"""Anchors and base rates from a reference window: percentiles, exclusions, and careful writing."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customer_health.anchors import (
    AnchorReport,
    BaseRateReport,
    MetricAnchors,
    anchors_from_percentiles,
    score_values,
    write_anchors,
    write_base_rates,
)
from customer_health.errors import HealthError
from customer_health.policy import check_policy, find_seed_files

ROOT = Path(__file__).resolve().parents[2]
SUNDAY = date(2025, 1, 5)
WINDOW_FROM, WINDOW_TO = date(2025, 1, 1), date(2025, 7, 6)
SUNDAYS = [SUNDAY + timedelta(days=7 * week) for week in range(26)]  # to 2025-06-29


class Marts:
    """A candidate database with only the columns that are read here."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[tuple[str, pa.Table]] = []
        self.run(
            """
            create schema customer_health;
            create table customer_health.fct_health__metric_scores (
                account_id text, as_of_date date, scoring_version text, scorecard_key text,
                metric_key text, value_state text, metric_value double, tenure_days bigint
            );
            create table customer_health.fct_health__account_scores (
                account_id text, as_of_date date, segment text, tenure_days bigint
            );
            create table customer_health.dim_health__accounts (
                account_id text, churn_date date, churn_reason text
            );
            """
        )

    def run(self, sql: str) -> None:
        with duckdb.connect(str(self._path)) as connection:
            connection.execute(sql)

    @property
    def path(self) -> Path:
        """The database with everything inserted so far (one opening for all of it)."""
        if self._waiting:
            with duckdb.connect(str(self._path)) as connection:
                for table, rows in self._waiting:
                    connection.register("rows", rows)
                    connection.execute(
                        f"insert into customer_health.{table} by name select * from rows"
                    )
            self._waiting.clear()
        return self._path

    def insert(self, table: str, **columns: list[Any]) -> None:
        """Rows given by column; a list of one holds for all rows."""
        count = max(len(column) for column in columns.values())
        rows = pa.table(
            {name: cells * count if len(cells) == 1 else cells for name, cells in columns.items()}
        )
        self._waiting.append((table, rows))

    def values(
        self,
        metric: str,
        values: list[float],
        *,
        dates: list[date] | None = None,
        version: str = "v1",
        scorecard: str = "standard",
        state: str = "observed",
        tenure_days: int = 400,
    ) -> None:
        """One account per value, the same value on every date."""
        days = dates or SUNDAYS[:1]
        self.insert(
            "fct_health__metric_scores",
            account_id=[f"a{n}" for n in range(len(values)) for _ in days],
            as_of_date=[day for _ in values for day in days],
            scoring_version=[version],
            scorecard_key=[scorecard],
            metric_key=[metric],
            value_state=[state],
            metric_value=[value for value in values for _ in days],
            tenure_days=[tenure_days],
        )

    def dates(self, days: list[date]) -> None:
        """Metric rows on these dates, of a metric without values."""
        self.values("campaign_engagement", [0.0], dates=days, state="unknown")

    def account(
        self,
        account_id: str,
        days: list[date],
        *,
        segment: str | None = "smb",
        tenure_days: int = 100,
        churn_date: date | None = None,
        churn_reason: str | None = None,
    ) -> None:
        self.insert(
            "fct_health__account_scores",
            account_id=[account_id],
            as_of_date=days,
            segment=[segment],
            tenure_days=[tenure_days],
        )
        self.insert(
            "dim_health__accounts",
            account_id=[account_id],
            churn_date=[churn_date],
            churn_reason=[churn_reason],
        )


@pytest.fixture
def marts(tmp_path: Path) -> Marts:
    return Marts(tmp_path / "candidate.duckdb")


@pytest.fixture
def anchors(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "seeds" / "metric_anchors.csv", tmp_path))


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "seeds" / "churn_base_rates.csv", tmp_path))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _points(path: Path, metric: str, scorecard: str = "*") -> list[tuple[float, float]]:
    return [
        (float(row["value"]), float(row["score"]))
        for row in _rows(path)
        if (row["metric_key"], row["scorecard_key"]) == (metric, scorecard)
    ]


def _write(marts: Marts, seed: Path, **more: Any) -> AnchorReport:
    arguments: dict[str, Any] = {
        "scoring_version": "v1",
        "window_from": WINDOW_FROM,
        "window_to": WINDOW_TO,
    } | more
    return write_anchors(marts.path, seed, **arguments)


def _of(report: AnchorReport, metric: str) -> MetricAnchors:
    return next(one for one in report.metrics if one.metric_key == metric)


# ---- percentiles --------------------------------------------------------------------------------


def test_percentiles_become_anchors(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    report = _write(marts, anchors)
    assert _points(anchors, "logins") == [(2, 0), (10, 2), (25, 5), (50, 7), (90, 10)]
    found = _of(report, "logins")
    assert (found.value_count, found.account_count, found.is_written) == (101, 101, True)
    assert found.percentiles == {2: 2, 10: 10, 25: 25, 50: 50, 75: 75, 90: 90, 98: 98}
    assert found.share_at_0 == pytest.approx(3 / 101)
    assert found.share_at_10 == pytest.approx(11 / 101)
    assert found.standard_deviation == pytest.approx(2.7, abs=0.2)
    assert found.warnings == found.notes == ()
    assert (report.first_date, report.last_date, report.date_count) == (
        SUNDAYS[0],
        SUNDAYS[-1],
        26,
    )


def test_lower_is_better_is_mirrored(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("resolution_hours", [float(n) for n in range(101)])
    _write(marts, anchors)
    expected = [(10, 10), (50, 7), (75, 5), (90, 2), (98, 0)]
    assert _points(anchors, "resolution_hours") == expected


def test_tied_percentiles_keep_the_higher_score(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", [0.0] * 30 + [float(n) for n in range(1, 71)])
    report = _write(marts, anchors)
    points = _points(anchors, "logins")
    assert points[0] == (0, 5)
    assert [score for _, score in points] == [5, 7, 10]
    warnings = _of(report, "logins").warnings
    assert "tied percentiles leave 3 of 5 points" in warnings


def test_of_tied_percentiles_lower_is_better_keeps_the_higher_score_too() -> None:
    percentiles = {2: 0.0, 10: 0.0, 25: 0.0, 50: 0.0, 75: 0.0, 90: 2.0, 98: 5.0}
    points = anchors_from_percentiles(percentiles, is_rising=False)
    assert points == ((Decimal(0), 10), (Decimal(2), 2), (Decimal(5), 0))


def test_values_are_rounded_to_three_digits() -> None:
    percentiles = {2: 0.012345, 10: 1.23456, 25: 12.3456, 50: 1234.56, 90: 1234567.0}
    points = anchors_from_percentiles(percentiles, is_rising=True)
    assert [str(value) for value, _ in points] == ["0.0123", "1.23", "12.3", "1230", "1230000"]


def test_large_values_are_written_without_exponent(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("lifetime_value", [12345.6 * n for n in range(101)])
    _write(marts, anchors)
    values = [r["value"] for r in _rows(anchors) if r["metric_key"] == "lifetime_value"]
    assert values == ["24700", "123000", "309000", "617000", "1110000"]


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50),
    is_rising=st.booleans(),
)
def test_anchors_are_always_a_monotone_line_within_bounds(
    values: list[float], is_rising: bool
) -> None:
    array = np.array(values)
    percentiles = {p: float(np.percentile(array, p)) for p in (2, 10, 25, 50, 75, 90, 98)}
    points = anchors_from_percentiles(percentiles, is_rising=is_rising)
    places = [value for value, _ in points]
    scores = [score if is_rising else -score for _, score in points]
    assert places == sorted(set(places))
    assert scores == sorted(set(scores))
    assert max(abs(score) for score in scores) == 10
    computed = score_values(array, points)
    assert computed.min() >= 0
    assert computed.max() <= 10


def test_step_scores_take_the_anchor_to_the_left() -> None:
    points = ((Decimal(1), Decimal(4)), (Decimal(12), Decimal(8)))
    values = np.array([0.0, 1.0, 11.9, 12.0, 99.0])
    assert list(score_values(values, points, is_step=True)) == [4, 4, 4, 8, 8]
    assert list(score_values(values, points)) == pytest.approx([4, 4, 7.9636, 8, 8], abs=1e-4)


# ---- which values count -------------------------------------------------------------------------


def test_only_known_settled_values_of_the_window_count(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    good = [float(n) for n in range(101)]
    marts.values("logins", good)
    marts.values("logins", good, scorecard="expansion")  # the same values once more
    odd = [1e6] * 500
    marts.values("logins", odd, tenure_days=27)
    marts.values("logins", odd, dates=[SUNDAY + timedelta(days=1)])
    marts.values("logins", odd, dates=[WINDOW_FROM - timedelta(days=3)])
    marts.values("logins", odd, dates=[WINDOW_TO])
    marts.values("logins", odd, version="v2")
    marts.values("logins", odd, state="unknown")
    marts.values("logins", [float("nan"), float("inf"), float("-inf")], dates=[SUNDAYS[3]])
    assert WINDOW_FROM - timedelta(days=3) == date(2024, 12, 29)
    found = _of(_write(marts, anchors), "logins")
    assert found.value_count == 101
    assert found.percentiles[98] == 98


def test_zeros_and_tenure_of_four_weeks_count(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", [0.0] * 40, state="zero", tenure_days=28)
    marts.values("logins", [float(n) for n in range(60)], dates=[SUNDAYS[1]], tenure_days=28)
    assert _of(_write(marts, anchors), "logins").value_count == 100


# ---- what is left alone -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "values", "note"),
    [
        ("tickets", [float(n) for n in range(100)], "its anchors go up and down, or are flat"),
        ("champion_present", [0.0, 1.0] * 50, "only 2 different values"),
        ("logins", [5.0 + n / 1e5 for n in range(100)], "all percentiles are tied"),
        ("logins", [float(n) for n in range(29)], "values of 29 accounts only, 30 are needed"),
        ("logins", [], "no values in the window"),
        ("churn_probability", [n / 100 for n in range(100)], "a probability means something"),
    ],
)
def test_a_metric_that_percentiles_do_not_suit_is_left_alone(
    marts: Marts, anchors: Path, metric: str, values: list[float], note: str
) -> None:
    before = anchors.read_bytes()
    marts.dates(SUNDAYS)
    if values:
        marts.values(metric, values)
    found = _of(_write(marts, anchors), metric)
    assert not found.is_written
    assert found.notes[0].startswith(f"left alone: {note}")
    assert anchors.read_bytes() == before
    assert [float(score) for _, score in found.points] == [
        score for _, score in sorted(_points(anchors, metric))
    ]


@pytest.mark.parametrize(
    "values", [[float(n) for n in range(30)], [float(n) for n in range(6)] * 10]
)
def test_just_enough_accounts_and_values_are_enough(
    marts: Marts, anchors: Path, values: list[float]
) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", values)
    assert _of(_write(marts, anchors), "logins").is_written


def test_flat_anchors_are_left_alone(marts: Marts, anchors: Path) -> None:
    lines = anchors.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("v1,*,logins,")]
    flat = ["v1,*,logins,0,1,5\n", "v1,*,logins,0,2,5\n"]
    anchors.write_text("".join([*kept, *flat]), encoding="utf-8")
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(100)])
    assert "are flat" in _of(_write(marts, anchors), "logins").notes[0]


def test_step_metrics_are_left_alone(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("billing_term_months", [float(n) for n in range(100)])
    report = _write(marts, anchors, step_metrics=["billing_term_months"])
    found = _of(report, "billing_term_months")
    assert found.notes == ("left alone: its anchors are steps; set them by hand",)
    assert found.share_at_10 == pytest.approx(0.76)  # 24 months and more, by steps


def test_churn_probability_is_set_if_named(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("churn_probability", [n / 1000 for n in range(101)])
    report = _write(marts, anchors, metrics=["churn_probability"])
    assert [one.metric_key for one in report.metrics] == ["churn_probability"]
    assert _points(anchors, "churn_probability")[0] == (0.01, 10)


def test_only_the_named_metrics_are_written(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    marts.values("events", [float(n) for n in range(101)])
    before = _points(anchors, "events")
    _write(marts, anchors, metrics=["logins"])
    assert _points(anchors, "events") == before
    assert _points(anchors, "logins")[0] == (2, 0)


# ---- lint ---------------------------------------------------------------------------------------


def test_lint_warns_of_scores_that_hardly_differ(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("tickets", [1 + n / 1000 for n in range(100)])
    (warning, other) = _of(_write(marts, anchors), "tickets").warnings
    assert "standard deviation 0.00" in warning
    assert other == "100% of the values score 10"


def test_lint_warns_of_many_at_an_end(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("champion_present", [0.0] * 10 + [1.0] * 90)
    assert _of(_write(marts, anchors), "champion_present").warnings == (
        "90% of the values score 10",
    )
    marts.values("tickets", [20.0] * 26 + [0.0] * 74)
    assert _of(_write(marts, anchors), "tickets").warnings == ("26% of the values score 0",)


def test_lint_warns_of_a_metric_that_few_accounts_have(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(500)])
    marts.values("events", [float(n) for n in range(99)])
    marts.values("mrr", [float(n) for n in range(100)])
    report = _write(marts, anchors)
    assert _of(report, "events").warnings == (
        "known for 99 accounts and dates, other metrics for 500: these anchors suit the few "
        "scorecards that weigh it",
    )
    assert _of(report, "mrr").warnings == ()


# ---- the window ---------------------------------------------------------------------------------


def test_a_short_window_is_refused(marts: Marts, anchors: Path) -> None:
    before = anchors.read_bytes()
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    with pytest.raises(HealthError, match="shorter than 6 months"):
        _write(marts, anchors, window_from=date(2025, 1, 7))
    assert anchors.read_bytes() == before
    _write(marts, anchors, window_from=SUNDAY, window_to=date(2025, 6, 1), force=True)
    assert anchors.read_bytes() != before


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (date(2025, 8, 31), date(2026, 3, 1)),  # no 31 February: the first of March
        (date(2025, 1, 5), date(2025, 7, 5)),
        (date(2025, 6, 30), date(2025, 12, 30)),
    ],
)
def test_six_months_are_calendar_months(
    marts: Marts, anchors: Path, first: date, last: date
) -> None:
    with pytest.raises(HealthError, match="metric rows of 0 Sundays"):
        _write(marts, anchors, window_from=first, window_to=last)
    with pytest.raises(HealthError, match="shorter than 6 months"):
        _write(marts, anchors, window_from=first, window_to=last - timedelta(days=1))


def test_a_window_that_the_data_do_not_fill_is_refused(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS[:24])
    marts.values("logins", [float(n) for n in range(101)])
    with pytest.raises(HealthError, match=r"24 Sundays in the reference window .*--force"):
        _write(marts, anchors)
    assert _of(_write(marts, anchors, force=True), "logins").is_written


def test_no_data_at_all_are_refused_even_with_force(marts: Marts, anchors: Path) -> None:
    with pytest.raises(HealthError, match=r"0 Sundays in the reference window \(none\)"):
        _write(marts, anchors, force=True)


def test_a_challenger_takes_the_values_of_the_version_in_force(marts: Marts, anchors: Path) -> None:
    text = anchors.read_text(encoding="utf-8")
    anchors.write_text(text + text.split("\n", 1)[1].replace("v1,", "v2,"), encoding="utf-8")
    shipped = [
        float(row["value"])
        for row in _rows(anchors)
        if (row["scoring_version"], row["metric_key"]) == ("v1", "logins")
    ]
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    marts.values("logins", [1e6] * 50, version="v2", dates=SUNDAYS[20:])
    report = _write(marts, anchors, scoring_version="v2")
    assert (report.scoring_version, report.values_version) == ("v2", "v1")
    written = {
        version: [
            float(row["value"])
            for row in _rows(anchors)
            if (row["scoring_version"], row["metric_key"]) == (version, "logins")
        ]
        for version in ("v1", "v2")
    }
    assert written == {"v1": shipped, "v2": [2, 10, 25, 50, 90]}


def test_a_version_that_was_in_force_takes_its_own_values(marts: Marts, anchors: Path) -> None:
    marts.dates([SUNDAY - timedelta(days=7), *SUNDAYS])
    marts.values("logins", [1e6] * 50, version="v0", dates=[SUNDAY - timedelta(days=7), *SUNDAYS])
    marts.values("logins", [float(n) for n in range(101)])
    report = _write(marts, anchors, window_from=date(2024, 12, 25))
    assert report.values_version == "v1"  # though v0 has one Sunday more
    assert _points(anchors, "logins")[0] == (2, 0)


# ---- files --------------------------------------------------------------------------------------


def test_all_other_rows_stay_as_they_are(marts: Marts, anchors: Path) -> None:
    own = "v1,standard,logins,0,1,1\nv1,standard,logins,0,2,9\nv1,*,logins,90,3,1\n"
    other = "v1,*,logins,90,4,9\nv2,*,logins,0,1.50,1\nv2,*,logins,0,2.50,9\n"
    anchors.write_text(anchors.read_text(encoding="utf-8") + own + other, encoding="utf-8")
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    before = anchors.read_text(encoding="utf-8").splitlines()
    _write(marts, anchors)
    after = anchors.read_text(encoding="utf-8").splitlines()
    replaced = "v1,*,logins,0,"
    assert [line for line in after if not line.startswith(replaced)] == [
        line for line in before if not line.startswith(replaced)
    ]
    # the new rows stand where the old ones did
    assert after[1] == "v1,*,logins,0,2,0"
    written = anchors.stat().st_mtime_ns
    _write(marts, anchors)
    assert anchors.stat().st_mtime_ns == written


def test_written_anchors_are_good_policy(marts: Marts, anchors: Path) -> None:
    marts.dates(SUNDAYS)
    metrics = {row["metric_key"]: "a signal" for row in _rows(anchors)}
    for metric in metrics:
        marts.values(metric, [n**1.5 for n in range(100)])
    report = _write(marts, anchors)
    assert sum(one.is_written for one in report.metrics) > 25
    files = find_seed_files(ROOT) | {"metric_anchors": anchors}
    assert check_policy(files, known_metrics=metrics, today=date(2026, 6, 30)) == []


def test_line_ends_and_byte_order_mark(marts: Marts, anchors: Path) -> None:
    anchors.write_bytes(b"\xef\xbb\xbf" + anchors.read_bytes().replace(b"\n", b"\r\n"))
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])
    _write(marts, anchors)
    content = anchors.read_bytes()
    assert content.startswith(b"scoring_version,")
    assert content.count(b"\r\n") == content.count(b"\n") > 100


def test_an_unknown_metric_or_version_is_refused(marts: Marts, anchors: Path) -> None:
    with pytest.raises(HealthError, match=r"the metric login has no anchors .*nearest: logins"):
        _write(marts, anchors, metrics=["login"])
    with pytest.raises(HealthError, match=r"no anchors of scorecard .* in version v9"):
        _write(marts, anchors, scoring_version="v9")


def test_a_broken_seed_is_not_written_over(marts: Marts, anchors: Path) -> None:
    anchors.write_text(anchors.read_text(encoding="utf-8") + "v1,*,logins\n", encoding="utf-8")
    before = anchors.read_bytes()
    with pytest.raises(HealthError, match="the row has 3 cells and the header 6"):
        _write(marts, anchors)
    assert anchors.read_bytes() == before


def test_a_missing_database_or_table_is_one_line(marts: Marts, anchors: Path) -> None:
    with pytest.raises(HealthError, match=r"no nowhere\.duckdb yet: run"):
        write_anchors(
            marts.path.with_name("nowhere.duckdb"),
            anchors,
            scoring_version="v1",
            window_from=WINDOW_FROM,
            window_to=WINDOW_TO,
        )
    marts.run("drop table customer_health.fct_health__metric_scores")
    with pytest.raises(HealthError, match="lacks a table that is read here"):
        _write(marts, anchors)
    marts.path.write_bytes(b"not a database")
    with pytest.raises(HealthError, match="DuckDB: "):
        _write(marts, anchors)


def test_the_seed_is_as_it_was_if_writing_fails(
    marts: Marts, anchors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = anchors.read_bytes()
    marts.dates(SUNDAYS)
    marts.values("logins", [float(n) for n in range(101)])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HealthError, match="No space left on device"):
        _write(marts, anchors)
    assert anchors.read_bytes() == before


# ---- base rates ---------------------------------------------------------------------------------

FIRST_SUNDAYS = [date(2025, 1, 5), date(2025, 2, 2), date(2025, 3, 2)]
LAST = date(2025, 3, 2) + timedelta(days=104)  # horizon 90 + grace 14


def _base_rates(marts: Marts, seed: Path, **more: Any) -> BaseRateReport:
    marts.account("clock", [LAST], segment=None)
    arguments: dict[str, Any] = {
        "scoring_version": "v1",
        "window_from": date(2025, 1, 1),
        "window_to": date(2025, 12, 31),
    } | more
    return write_base_rates(marts.path, seed, **arguments)


def _rates_of(seed: Path) -> Iterator[tuple[str, int, float, int]]:
    for row in _rows(seed):
        yield (
            row["segment"],
            int(row["tenure_days_from"]),
            float(row["churn_rate"]),
            int(row["account_count"]),
        )


def test_rates_by_segment_and_tenure(marts: Marts, rates: Path) -> None:
    day = FIRST_SUNDAYS[0]
    soon = day + timedelta(days=30)
    for n in range(10):
        marts.account(f"s{n}", [day], tenure_days=89, churn_date=soon if n < 4 else None)
        marts.account(f"m{n}", [day], tenure_days=90, churn_date=soon if n < 2 else None)
        marts.account(f"l{n}", [day], segment="enterprise", tenure_days=365)
    report = _base_rates(marts, rates)
    assert list(_rates_of(rates)) == [
        ("*", 0, 0.4, 10),
        ("*", 90, 0.2, 10),
        ("*", 365, 0.0, 10),
        ("enterprise", 0, 0.4, 0),  # nobody there: the rate of all segments
        ("enterprise", 90, 0.2, 0),
        ("enterprise", 365, 0.0, 10),
        ("smb", 0, 0.4, 10),
        ("smb", 90, 0.2, 10),
        ("smb", 365, 0.0, 0),
    ]
    assert report.dates == (day,)
    assert (report.account_count, report.churner_count) == (30, 6)
    assert report.warnings[0].startswith("not enough outcomes (6 churners, 30 are needed)")


def test_a_bucket_that_nobody_was_in_takes_the_rate_of_all(marts: Marts, rates: Path) -> None:
    for n in range(3):
        churn_date = FIRST_SUNDAYS[0] + timedelta(days=1) if n == 0 else None
        marts.account(f"a{n}", FIRST_SUNDAYS[:1], segment=None, churn_date=churn_date)
    report = _base_rates(marts, rates)
    assert [(rate.segment, float(rate.churn_rate)) for rate in report.rates] == [
        ("*", 0.3333),
        ("*", 0.3333),
        ("*", 0.3333),
    ]
    assert [rate.account_count for rate in report.rates] == [0, 3, 0]


def test_the_horizon_is_half_open(marts: Marts, rates: Path) -> None:
    day = FIRST_SUNDAYS[0]
    for name, days in (("on", 0), ("within", 89), ("after", 90)):
        marts.account(name, [day], churn_date=day + timedelta(days=days))
    report = _base_rates(marts, rates)
    assert (report.account_count, report.churner_count) == (3, 2)
    shorter = _base_rates(marts, rates, horizon_days=89)
    assert shorter.churner_count == 1


def test_observations_are_first_sundays_whose_horizon_is_over(marts: Marts, rates: Path) -> None:
    sundays = [SUNDAY + timedelta(days=7 * week) for week in range(20)]
    weekdays = [day + timedelta(days=1) for day in FIRST_SUNDAYS]
    marts.account("a", sorted({*sundays, *weekdays}))
    assert _base_rates(marts, rates).dates == tuple(FIRST_SUNDAYS)
    one_less = _base_rates(marts, rates, grace_days=15)
    assert one_less.dates == tuple(FIRST_SUNDAYS[:2])
    assert _base_rates(marts, rates, window_to=date(2025, 2, 2)).dates == (FIRST_SUNDAYS[0],)
    later = _base_rates(marts, rates, window_from=date(2025, 2, 2))
    assert later.dates == tuple(FIRST_SUNDAYS[1:])


def test_involuntary_ends_and_ended_accounts_are_left_out(marts: Marts, rates: Path) -> None:
    day = FIRST_SUNDAYS[0]
    soon, late = day + timedelta(days=10), day + timedelta(days=300)
    marts.account("stays", [day])
    marts.account("leaves", [day], churn_date=soon, churn_reason="voluntary")
    marts.account("broke", [day], churn_date=soon, churn_reason="involuntary")
    marts.account("merged", [day], churn_date=soon, churn_reason="merged")
    marts.account("broke later", [day], churn_date=late, churn_reason="involuntary")
    marts.account("in grace", [day], churn_date=day - timedelta(days=1))
    report = _base_rates(marts, rates)
    assert (report.account_count, report.churner_count) == (3, 1)


def test_an_account_counts_once_a_month_and_once_as_a_churner(marts: Marts, rates: Path) -> None:
    marts.account("a", FIRST_SUNDAYS, churn_date=FIRST_SUNDAYS[2] + timedelta(days=3))
    report = _base_rates(marts, rates)
    assert (report.account_count, report.churner_count) == (3, 1)
    assert report.rates[1].churner_count == 3


def test_enough_churners_need_no_warning(marts: Marts, rates: Path) -> None:
    for n in range(30):
        marts.account(f"a{n}", FIRST_SUNDAYS[:1], churn_date=FIRST_SUNDAYS[0])
    assert _base_rates(marts, rates).warnings == ()


def test_rates_of_other_versions_stay(marts: Marts, rates: Path) -> None:
    text = rates.read_text(encoding="utf-8")
    rates.write_text(text + text.split("\n", 1)[1].replace("v1,", "v2,"), encoding="utf-8")
    marts.account("a", FIRST_SUNDAYS)
    before = [row for row in _rows(rates) if row["scoring_version"] == "v2"]
    _base_rates(marts, rates)
    after = _rows(rates)
    assert [row for row in after if row["scoring_version"] == "v2"] == before
    assert [row["scoring_version"] for row in after] == ["v1"] * 6 + ["v2"] * 12
    _base_rates(marts, rates, scoring_version="v3")
    assert [row["scoring_version"] for row in _rows(rates)][-6:] == ["v3"] * 6


def test_written_rates_are_good_policy(marts: Marts, rates: Path) -> None:
    marts.account("a", FIRST_SUNDAYS)
    _base_rates(marts, rates)
    known = {row["metric_key"]: "a signal" for row in _rows(ROOT / "seeds" / "metrics.csv")}
    files = find_seed_files(ROOT) | {"churn_base_rates": rates}
    assert check_policy(files, known_metrics=known, today=date(2026, 6, 30)) == []


def test_no_finished_window_is_refused(marts: Marts, rates: Path) -> None:
    before = rates.read_bytes()
    with pytest.raises(HealthError, match="there are no scores yet"):
        write_base_rates(
            marts.path,
            rates,
            scoring_version="v1",
            window_from=date(2025, 1, 1),
            window_to=date(2026, 1, 1),
        )
    marts.account("a", [date(2025, 4, 6)])
    with pytest.raises(HealthError, match=r"no first Sunday .* before 2025-06-14"):
        _base_rates(marts, rates)
    assert rates.read_bytes() == before
