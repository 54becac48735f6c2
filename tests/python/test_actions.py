"""Actions: what fires, recomputed in plain Python from the tables of a small company.

The oracle reads scores, bands, signals, contacts and usage from the warehouse, takes the triggers
of the playbooks apart by itself, walks the days of each account and playbook, and keeps a playbook
quiet for its cooldown. What it finds has to be what the SQL found: no action more and none fewer.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warehouse import PROJECT_DIR, Rows, Warehouse, different

from customer_health import demo

AS_OF = date(2026, 6, 12)
# Tracking is down for everybody: data incidents on two dates, the last of them that of the scores.
OUTAGE = "not (occurred_at >= '2026-06-08' and occurred_at < '2026-06-12')"
VARS = {
    "history_from": "2026-02-15",
    "daily_from": "2026-05-18",
    "change_history_days": 30,
    "incident_least_accounts": 5,  # a small company; below that a drop is chance
}
Row = dict[str, Any]
AccountDay = tuple[str, date]
Match = tuple[str, date, str]  # account, date, playbook


# -- reading ---------------------------------------------------------------------------------------


def connect(home: Path) -> duckdb.DuckDBPyConnection:
    """The databases of a home under the names that the models use, for reading."""
    connection = duckdb.connect(str(home / "build.duckdb"), read_only=True)
    connection.execute("set timezone = 'UTC'")
    connection.execute(f"attach '{home / 'landing.duckdb'}' as landing (read_only)")
    connection.execute(f"attach '{home / 'candidate.duckdb'}' as marts (read_only)")
    return connection


def read(home: Path, query: str) -> list[Row]:
    """The rows of a query, by column. `int.` and `mart.` stand for the two schemas."""
    query = query.replace(" int.", " build.customer_health_intermediate.")
    query = query.replace(" mart.", " marts.customer_health.")
    with connect(home) as connection:
        found = connection.execute(query)
        columns = [column[0] for column in found.description]
        return [dict(zip(columns, values, strict=True)) for values in found.fetchall()]


def day_of(moment: datetime | None) -> date | None:
    """The day of a moment (UTC)."""
    return None if moment is None else moment.date()


@dataclass(frozen=True)
class Playbook:
    """A row of the seed, its trigger taken apart."""

    key: str
    status: str
    trigger: str
    name: str
    number: float
    conditions: Mapping[str, str]
    min_arr: float | None
    owner_role: str
    channel: str
    priority: int
    due_days: int
    cooldown_days: int

    @classmethod
    def of(cls, row: Mapping[str, str]) -> Playbook:
        """Of a row of the seed: `name:number`, `number:number`, `number` or nothing."""
        first, _, second = row["trigger_value"].partition(":")
        return cls(
            key=row["playbook_key"],
            status=row["status"],
            trigger=row["trigger_type"],
            name=first,
            number=float(second or (first if first.isdigit() else 0)),
            conditions={
                name: row[f"condition_{name}"]
                for name in ("segment", "plan", "lifecycle_stage")
                if row[f"condition_{name}"]
            },
            min_arr=float(row["min_arr_amount"]) if row["min_arr_amount"] else None,
            owner_role=row["owner_role"],
            channel=row["channel"],
            priority=int(row["priority"]),
            due_days=int(row["due_days"]),
            cooldown_days=max(1, int(row["cooldown_days"])),
        )


def shipped_playbooks() -> dict[str, Playbook]:
    """The playbooks of the project, by key."""
    with (PROJECT_DIR / "seeds" / "playbooks.csv").open(encoding="utf-8", newline="") as file:
        return {row["playbook_key"]: Playbook.of(row) for row in csv.DictReader(file)}


# -- the oracle ------------------------------------------------------------------------------------


class Company:
    """What the oracle knows of a built company: rows of scores and sources, by account and date."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.playbooks = shipped_playbooks()

    def by_day(self, query: str) -> dict[AccountDay, Row]:
        """Rows of one account and date each."""
        return {(row["account_id"], row["as_of_date"]): row for row in read(self.home, query)}

    @cached_property
    def spine(self) -> dict[AccountDay, Row]:
        return self.by_day("from int.int_health__spine")

    @cached_property
    def scores(self) -> dict[AccountDay, Row]:
        return self.by_day("from mart.fct_health__account_scores")

    @cached_property
    def bands(self) -> dict[tuple[str, str], list[Row]]:
        """The bands of each scorecard from the worst on: its own, or those of any (`*`)."""
        found: dict[tuple[str, str], list[Row]] = defaultdict(list)
        seeds = "build.customer_health_policy"
        rows = read(self.home, f"from {seeds}.bands order by band_rank")
        for card in read(self.home, f"from {seeds}.scorecards"):
            version, key = card["scoring_version"], card["scorecard_key"]
            of_version = [row for row in rows if row["scoring_version"] == version]
            own = [row for row in of_version if row["scorecard_key"] == key]
            found[version, key] = own or [row for row in of_version if row["scorecard_key"] == "*"]
        return found

    @cached_property
    def other_scores(self) -> dict[tuple[str, date, str], int | None]:
        rows = read(self.home, "from mart.fct_health__scorecard_scores where is_in_force")
        return {
            (row["account_id"], row["as_of_date"], row["purpose"]): row["health_score"]
            for row in rows
        }

    @cached_property
    def metric_scores(self) -> dict[AccountDay, list[Row]]:
        found: dict[AccountDay, list[Row]] = defaultdict(list)
        for row in read(self.home, "from mart.fct_health__metric_scores where purpose = 'health'"):
            found[row["account_id"], row["as_of_date"]].append(row)
        return found

    @cached_property
    def signals(self) -> dict[tuple[str, date, str], float]:
        """Values of the version in force that are not stale, by account, date and metric."""
        stale = {
            (row["scoring_version"], row["metric_key"]): row["stale_after_days"]
            for row in read(self.home, "from build.customer_health_policy.metrics")
        }
        in_force = {
            row["as_of_date"]: row["scoring_version"]
            for row in read(self.home, "from int.int_health__scored_versions where is_in_force")
        }
        found = {}
        for row in read(self.home, "from int.int_health__signals"):
            day, version = row["as_of_date"], row["scoring_version"]
            if version != in_force[day] or row["metric_value"] is None:
                continue
            limit = stale[version, row["metric_key"]]
            if limit is None or (day - row["observed_at"].date()).days <= limit:
                found[row["account_id"], day, row["metric_key"]] = row["metric_value"]
        return found

    @cached_property
    def champions(self) -> dict[str, list[Row]]:
        found = defaultdict(list)
        for row in read(self.home, "from int.int_health__valid_crm_contacts"):
            if row["role"] == "champion":
                left = row["left_at"] or (None if row["is_active"] else row["updated_at"])
                found[row["account_id"]].append(row | {"left_on": day_of(left)})
        return found

    @cached_property
    def talks(self) -> dict[str, list[Row]]:
        found = defaultdict(list)
        for row in read(self.home, "from int.int_health__valid_crm_touchpoints"):
            if row["direction"] == "two_way":
                found[row["account_id"]].append(row)
        return found

    @cached_property
    def used(self) -> dict[tuple[str, str], set[date]]:
        """Days on which an account had an event, by account and event."""
        found = defaultdict(set)
        for row in read(self.home, "from int.int_health__usage_account_days"):
            found[row["account_id"], row["event_name"]].add(row["usage_date"])
        return found

    @cached_property
    def features(self) -> list[Row]:
        return read(self.home, "from int.int_health__valid_product_features")

    @cached_property
    def usage_coverage(self) -> dict[date, Row]:
        rows = read(self.home, "from int.int_health__source_coverage")
        return {row["as_of_date"]: row for row in rows if row["source_key"] == "product_usage"}

    def score(self, account: str, day: date) -> Row:
        return self.scores.get((account, day), {})

    def has_incident(self, account: str, day: date) -> bool:
        return bool(self.score(account, day).get("has_data_incident"))

    # -- one question for each trigger: the value that it found, None where it does not hold --

    def band_entered(self, account: str, day: date, playbook: Playbook) -> float | None:
        row = self.score(account, day)
        if row.get("band") != playbook.name:
            return None
        judged = [
            then
            for days in range(1, 61)
            if (then := day - timedelta(days)) and (account, then) in self.scores
            if not self.has_incident(account, then)
        ]
        is_new = row["band_since_date"] > max(judged, default=day - timedelta(60))
        return row["health_score"] if is_new else None

    def band_held(self, account: str, day: date, playbook: Playbook) -> float | None:
        row = self.score(account, day)
        if row.get("band") != playbook.name:
            return None
        days = (day - row["band_since_date"]).days
        return days if days >= playbook.number else None

    def score_fell(self, account: str, day: date, playbook: Playbook) -> float | None:
        now = self.score(account, day).get("health_score")
        then = self.score(account, day - timedelta(playbook.number)).get("health_score")
        if now is None or then is None:
            return None
        return then - now if then - now >= int(playbook.name) else None

    def metric_below(self, account: str, day: date, playbook: Playbook) -> float | None:
        for row in self.metric_scores[account, day]:
            score = row["metric_score"]
            if row["metric_key"] == playbook.name and score is not None:
                return score if score < playbook.number else None
        return None

    def category_below(self, account: str, day: date, playbook: Playbook) -> float | None:
        for row in self.metric_scores[account, day]:
            score = row["category_score"]
            if row["category_key"] == playbook.name and score is not None:
                return score if score < playbook.number else None
        return None

    def feature_unused(self, account: str, day: date, playbook: Playbook) -> float | None:
        row, source, days = self.spine[account, day], self.usage_coverage[day], int(playbook.number)
        begins = day - timedelta(days)
        if not source["is_connected"] or source["available_from"] is None:
            return None
        if source["available_from"] > begins or source["available_to"] < begins:
            return None
        in_plan = [
            one["event_name"]
            for one in self.features
            if one["feature_key"] == playbook.name and one["plan"] in (None, row["plan"])
        ]
        events = {one["event_name"] for one in self.features if one["feature_key"] == playbook.name}
        window = {day - timedelta(back) for back in range(1, days + 1)}
        is_used = any(self.used[account, event] & window for event in events)
        return days if in_plan and row["tenure_days"] >= days and not is_used else None

    def present_champions(self, account: str, day: date) -> list[Row]:
        return [
            row
            for row in self.champions[account]
            if row["created_at"].date() < day and (row["left_on"] is None or row["left_on"] >= day)
        ]

    def champion_gone(self, account: str, day: date, _: Playbook) -> float | None:
        if self.present_champions(account, day):
            return None
        left = [row["left_on"] for row in self.champions[account] if row["created_at"].date() < day]
        return (day - max(left)).days if left else None

    def champion_silent(self, account: str, day: date, playbook: Playbook) -> float | None:
        present = self.present_champions(account, day)
        if not present:
            return None
        names = {row["contact_id"] for row in present} | {None}
        known = max(row["created_at"].date() for row in present)
        spoken = [
            row["occurred_at"].date()
            for row in self.talks[account]
            if row["occurred_at"].date() < day and row["contact_id"] in names
        ]
        silent = (day - max([known, *spoken])).days
        return silent if silent >= playbook.number else None

    def renewal_not_healthy(self, account: str, day: date, playbook: Playbook) -> float | None:
        renewal, row = self.spine[account, day]["renewal_date"], self.score(account, day)
        if renewal is None or row.get("band_rank") is None:
            return None
        bands = self.bands[row["scoring_version"], row["scorecard_key"]]
        light = next(one for one in bands if one["band_rank"] == row["band_rank"])["traffic_light"]
        days = (renewal - day).days
        return days if 0 <= days <= playbook.number and light != "green" else None

    def score_above(self, account: str, day: date, playbook: Playbook) -> float | None:
        purpose = playbook.trigger.removesuffix("_above")
        score = self.other_scores.get((account, day, purpose))
        return score if score is not None and score >= playbook.number else None

    def overdue(self, account: str, day: date, playbook: Playbook) -> float | None:
        metric = {"checkin_overdue": "checkin_overdue_days"}.get(
            playbook.trigger, "invoice_overdue_days"
        )
        days = self.signals.get((account, day, metric))
        return days if days is not None and days >= playbook.number else None

    def sentiment_gap(self, account: str, day: date, playbook: Playbook) -> float | None:
        row = self.score(account, day)
        judged = self.signals.get((account, day, "csm_sentiment"))
        if judged is None or row.get("band_rank") is None:
            return None
        bands = self.bands[row["scoring_version"], row["scorecard_key"]]
        stretched = (judged - 1) * 25
        rank = max(one["band_rank"] for one in bands if one["lower_bound"] <= stretched)
        gap = abs(rank - row["band_rank"])
        return gap if gap >= playbook.number else None

    def meets_conditions(self, account: str, day: date, playbook: Playbook) -> bool:
        row = self.spine[account, day]
        if any(row[name] != wanted for name, wanted in playbook.conditions.items()):
            return False
        arr = row["arr_amount"]
        return playbook.min_arr is None or (arr is not None and arr >= playbook.min_arr)

    def would_match(self) -> Iterator[tuple[Match, float]]:
        """What each trigger found where its conditions hold, data incidents or not."""
        questions: dict[str, Callable[[str, date, Playbook], float | None]] = {
            "expansion_above": self.score_above,
            "conversion_above": self.score_above,
            "checkin_overdue": self.overdue,
            "payment_overdue": self.overdue,
        }
        for account, day in self.spine:
            for key, playbook in self.playbooks.items():
                ask = questions.get(playbook.trigger) or getattr(self, playbook.trigger)
                found = ask(account, day, playbook)
                if found is not None and self.meets_conditions(account, day, playbook):
                    yield (account, day, key), float(found)

    @cached_property
    def all_matches(self) -> dict[Match, float]:
        return dict(self.would_match())

    @cached_property
    def matches(self) -> dict[Match, float]:
        """Where a playbook matches: not while a data incident holds everything."""
        return {
            match: found
            for match, found in self.all_matches.items()
            if not self.has_incident(match[0], match[1])
        }


def spaced(days: Iterable[date], cooldown: int, last: date | None = None) -> list[date]:
    """The days, in order, that are the cooldown or more after the last one that was taken."""
    taken = [] if last is None else [last]
    for day in sorted(days):
        if not taken or (day - taken[-1]).days >= cooldown:
            taken.append(day)
    return taken if last is None else taken[1:]


def fired(matches: Iterable[Match], playbooks: Mapping[str, Playbook]) -> set[Match]:
    """What fires of the matches where all of history is built at once."""
    days: dict[tuple[str, str], list[date]] = defaultdict(list)
    for account, day, key in matches:
        days[account, key].append(day)
    return {
        (account, day, key)
        for (account, key), of_pair in days.items()
        for day in spaced(of_pair, playbooks[key].cooldown_days)
    }


# -- the company -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("actions_raw")
    demo.generate(folder / "raw", accounts=60, days=250, events=60_000, seed=7)
    return folder / "raw"


@pytest.fixture(scope="module")
def at_once(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """All of it scored at once."""
    warehouse = Warehouse(tmp_path_factory.mktemp("actions"), raw_tables, VARS)
    warehouse.read_raw(OUTAGE)
    warehouse.build(AS_OF)
    return warehouse


@pytest.fixture(scope="module")
def company(at_once: Warehouse) -> Company:
    """What the oracle knows of it."""
    return Company(at_once.home)


FIRINGS = "from int.int_health__playbook_firings order by action_id"


@pytest.fixture(scope="module")
def firings(company: Company) -> list[Row]:
    return read(company.home, FIRINGS)


def test_each_playbook_matches_where_its_trigger_holds(company: Company) -> None:
    rows = read(company.home, "from int.int_health__playbook_matches")
    found = {
        (row["account_id"], row["as_of_date"], row["playbook_key"]): row["found_value"]
        for row in rows
    }
    assert len(found) == len(rows) > 1_000
    assert found.keys() == company.matches.keys()
    off = {key for key, value in company.matches.items() if abs(found[key] - value) > 1e-9}
    assert off == set()
    assert {key for _, _, key in found} >= company.playbooks.keys() - {"trial_ready"}


def test_a_playbook_fires_and_is_quiet_for_its_cooldown(
    company: Company, firings: list[Row]
) -> None:
    expected = fired(company.matches, company.playbooks)
    found = {(row["account_id"], row["as_of_date"], row["playbook_key"]) for row in firings}
    assert len(found) == len(firings)
    assert found == expected
    assert len(found) < len(company.matches) / 2
    again = 0
    days = defaultdict(list)
    for account, day, key in sorted(found):
        days[account, key].append(day)
    for (_, key), of_pair in days.items():
        gaps = [(later - earlier).days for earlier, later in pairwise(of_pair)]
        assert all(gap >= company.playbooks[key].cooldown_days for gap in gaps)
        again += len(gaps)
    assert again > 20


def test_nothing_fires_while_the_data_are_to_blame(company: Company, firings: list[Row]) -> None:
    spoilt = {key for key in company.scores if company.has_incident(*key)}
    assert AS_OF in {day for _, day in spoilt}
    assert len({day for _, day in spoilt}) > 1
    held = {match for match in company.all_matches if match[:2] in spoilt}
    assert len(held) > 10
    assert [row for row in firings if (row["account_id"], row["as_of_date"]) in spoilt] == []


def test_an_action_says_what_its_playbook_says(company: Company, firings: list[Row]) -> None:
    for row in firings:
        playbook = company.playbooks[row["playbook_key"]]
        account, day = row["account_id"], row["as_of_date"]
        text = f"{account}|{playbook.key}|{day}"
        assert row["action_id"] == hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        assert row["found_value"] == company.matches[account, day, playbook.key]
        assert row["due_date"] == day + timedelta(playbook.due_days)
        longest = max(playbook.due_days, playbook.cooldown_days)
        assert row["expires_on"] == day + timedelta(longest)
        named = ("owner_role", "channel", "priority", "cooldown_days")
        assert [row[name] for name in named] == [getattr(playbook, name) for name in named]
        score, spine = company.score(account, day), company.spine[account, day]
        for name in ("band", "health_score", "churn_probability"):
            assert row[name] == score.get(name)
        for name in ("segment", "csm_id", "lifecycle_stage", "arr_amount"):
            assert row[name] == spine[name]
        assert not row["is_draft"]
        assert row["why_text"]
        assert "{" not in row["action_text"]


def test_what_became_of_each_action(company: Company, firings: list[Row]) -> None:
    updates = defaultdict(list)
    for row in read(company.home, "from int.int_health__valid_crm_action_updates"):
        if row["recorded_at"].date() < AS_OF:
            updates[row["account_id"], row["playbook_key"]].append(row)
    accounts = {
        row["account_id"]: row for row in read(company.home, "from mart.dim_health__accounts")
    }
    days = defaultdict(list)
    for row in firings:
        days[row["account_id"], row["playbook_key"]].append(row["as_of_date"])
    expected = {}
    for row in firings:
        account, key, day = row["account_id"], row["playbook_key"], row["as_of_date"]
        later = min((one for one in days[account, key] if one > day), default=None)
        heard = sorted(
            (one["recorded_at"], one["update_id"], one["state"], one["author_id"])
            for one in updates[account, key]
            if day <= one["recorded_at"].date() < (later or AS_OF)
        )
        first: dict[str, tuple[date, str | None]] = {}
        for moment, _, state, author in heard:
            first.setdefault(state, (moment.date(), author))
        is_here = accounts[account]["is_current"]
        if "done" in first:
            state = "done"
        elif later:
            state = "superseded"
        elif row["expires_on"] < AS_OF or not is_here:
            state = "expired"
        else:
            state = "acknowledged" if "acknowledged" in first else "open"
        playbook = company.playbooks[key]
        is_true: bool | None = (account, AS_OF, key) in company.matches
        if not is_here:
            is_true = False
        elif company.has_incident(account, AS_OF):
            is_true = None
        elif playbook.trigger == "band_entered":
            is_true = company.score(account, AS_OF).get("band") == playbook.name
        expected[row["action_id"]] = (
            state,
            state in ("open", "acknowledged"),
            is_true,
            first.get("acknowledged", (None, None))[0],
            *first.get("done", (None, None)),
        )
    shown = read(company.home, "from mart.act_health__actions")
    named = ("state", "is_open", "is_still_true", "acknowledged_on", "done_on", "done_by")
    found = {row["action_id"]: tuple(row[name] for name in named) for row in shown}
    assert len(shown) == len(found)
    assert found == expected
    assert {state for state, *_ in found.values()} == {
        "open", "acknowledged", "done", "superseded", "expired"
    }  # fmt: skip
    assert {true for _, _, true, *_ in found.values()} == {True, False, None}


def test_the_queue_of_each_owner_is_in_order(company: Company) -> None:
    """ARR at risk times urgency, of what is still true first."""
    queues = defaultdict(list)
    for row in read(company.home, "from mart.act_health__actions where is_open"):
        queues[row["owner_role"], row["owner_id"]].append(row)
    assert len(queues) > 3
    assert all(owner is None for role, owner in queues if role != "csm")
    for queue in queues.values():
        queue.sort(
            key=lambda row: (
                row["is_still_true"] is False,
                -(row["priority_score"] or 0),
                row["priority"],
                row["due_date"],
                row["action_id"],
            )
        )
        assert [row["queue_rank"] for row in queue] == list(range(1, len(queue) + 1))
        for row in queue:
            score = company.score(row["account_id"], AS_OF)
            if score.get("churn_probability") is not None and score["arr_amount"] is not None:
                at_risk = score["arr_amount"] * score["churn_probability"]
                assert row["priority_score"] == pytest.approx(at_risk * (6 - row["priority"]))
            else:
                assert row["priority_score"] is None


# -- steps and drafts ------------------------------------------------------------------------------


class Steps(Warehouse):
    """A warehouse built in steps, that remembers what each run matched."""

    def __init__(self, home: Path, raw_tables: Path) -> None:
        super().__init__(home, raw_tables, VARS)
        self.read_raw(OUTAGE)
        self.runs: list[tuple[set[date], bool, list[Match]]] = []

    def step(self, as_of: date, is_draft: bool = False) -> None:
        """Build up to a date, with one playbook as a draft or not, and note the matches."""
        if self.runs:
            self.set_status("draft" if is_draft else "active")
            self.build(as_of, "--exclude-resource-type", "seed")
        else:
            self.build(as_of)
        dates = {
            row["as_of_date"]
            for row in read(self.home, "select as_of_date from int.int_health__build_dates")
        }
        rows = read(self.home, "from int.int_health__playbook_matches")
        matches = [(row["account_id"], row["as_of_date"], row["playbook_key"]) for row in rows]
        self.runs.append((dates, is_draft, matches))

    def set_status(self, status: str) -> None:
        with duckdb.connect(str(self.home / "build.duckdb")) as connection:
            connection.execute(
                "update customer_health_policy.playbooks set status = ? where playbook_key = ?",
                [status, DRAFTED],
            )


def all_rows(warehouse: Warehouse) -> Rows:
    """The rows of the marts, and all firings."""
    return warehouse.rows() | {"firings": sorted(map(repr, read(warehouse.home, FIRINGS)))}


DRAFTED = "checkin_overdue"


@pytest.fixture(scope="module")
def in_steps(raw_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """Built up to nine days before, and then to the date."""
    warehouse = Steps(tmp_path_factory.mktemp("actions_steps"), raw_tables)
    for days in (9, 0):
        warehouse.step(AS_OF - timedelta(days))
    return warehouse


def test_days_one_after_another_give_the_actions_of_all_at_once(
    at_once: Warehouse, in_steps: Steps
) -> None:
    expected = all_rows(at_once)
    assert len(in_steps.runs[-1][0]) < len(in_steps.runs[0][0])
    assert different(expected, all_rows(in_steps)) == {}
    in_steps.step(AS_OF)  # the same day again
    assert different(expected, all_rows(in_steps)) == {}


def fired_in_runs(
    runs: Sequence[tuple[set[date], bool, list[Match]]], playbooks: Mapping[str, Playbook]
) -> set[tuple[str, date, str, bool]]:
    """What fires over several runs: each replaces the dates it builds, and a playbook is quiet
    after what it did in earnest only, or as a draft only."""
    found: set[tuple[str, date, str, bool]] = set()
    for dates, is_drafted, matches in runs:
        found = {one for one in found if one[1] < min(dates)}
        days = defaultdict(list)
        for account, day, key in matches:
            days[account, key].append(day)
        for (account, key), of_pair in days.items():
            is_draft = is_drafted and key == DRAFTED
            earlier = [
                one[1] for one in found if (one[0], one[2], one[3]) == (account, key, is_draft)
            ]
            taken = spaced(of_pair, playbooks[key].cooldown_days, max(earlier, default=None))
            found |= {(account, day, key, is_draft) for day in taken}
    return found


def test_a_draft_is_counted_and_keeps_nothing_quiet(company: Company, in_steps: Steps) -> None:
    in_steps.step(AS_OF + timedelta(4), is_draft=True)
    drafted = read(in_steps.home, FIRINGS)
    shown = {row["action_id"] for row in read(in_steps.home, "from mart.act_health__actions")}
    drafts = {row["action_id"] for row in drafted if row["is_draft"]}
    assert drafts
    assert shown == {row["action_id"] for row in drafted} - drafts
    weeks = read(in_steps.home, "from mart.act_health__csm_capacity")
    for count, is_draft in (("action_count", False), ("draft_action_count", True)):
        expected: dict[tuple[str, date], int] = defaultdict(int)
        for row in drafted:
            if row["owner_role"] == "csm" and row["is_draft"] is is_draft:
                monday = row["as_of_date"] - timedelta(row["as_of_date"].weekday())
                expected[row["csm_id"] or "(none)", monday] += 1
        found = {(row["csm_id"], row["week_start_date"]): row[count] for row in weeks}
        assert {key: number for key, number in found.items() if number} == expected

    in_steps.step(AS_OF + timedelta(14))
    firings = {
        (row["account_id"], row["as_of_date"], row["playbook_key"], row["is_draft"])
        for row in read(in_steps.home, FIRINGS)
    }
    assert firings == fired_in_runs(in_steps.runs, company.playbooks)
    cooldown = timedelta(company.playbooks[DRAFTED].cooldown_days)
    assert [
        (account, day)
        for account, day, key, is_draft in firings
        for other, drafted_on, _, was_draft in firings
        if other == account and key == DRAFTED and was_draft and not is_draft
        if drafted_on < day < drafted_on + cooldown
    ]


# -- days apart ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spaced_in_sql(
    company: Company,
) -> Iterator[Callable[[Mapping[str, tuple[int, set[int]]]], Any]]:
    """The compiled macro on days and cooldowns of one's own."""
    compiled = company.home / "target/compiled/customer_health/models/intermediate/actions"
    query = (compiled / "int_health__firing_days.sql").read_text(encoding="utf-8")
    connection = duckdb.connect(config={"threads": 2, "preserve_insertion_order": False})
    connection.execute("attach ':memory:' as build")
    connection.execute("create schema build.customer_health_intermediate")
    table = "build.customer_health_intermediate.int_health__firing_candidates"
    connection.execute(
        f"create table {table} (account_id text, playbook_key text, day_number bigint,"
        " cooldown_days integer, match_number bigint)"
    )

    def run(days: Mapping[str, tuple[int, set[int]]]) -> dict[str, list[int]]:
        connection.execute(f"delete from {table}")
        rows = [
            (account, "p", day, cooldown, number)
            for account, (cooldown, of_account) in days.items()
            for number, day in enumerate(sorted(of_account), start=1)
        ]
        connection.executemany(f"insert into {table} values (?, ?, ?, ?, ?)", rows)
        found = defaultdict(list)
        for account, _, day in connection.execute(query).fetchall():
            found[account].append(day)
        return {account: sorted(of_account) for account, of_account in found.items()}

    yield run
    connection.close()


# runs of days, gaps, and days exactly a cooldown apart or one less
cooldowns = st.one_of(st.integers(1, 40), st.integers(1, 3660))


@st.composite
def days_and_cooldowns(draw: st.DrawFn) -> tuple[int, set[int]]:
    cooldown = draw(cooldowns)
    first = draw(st.integers(0, 40_000))
    steps = draw(
        st.lists(
            st.one_of(
                st.integers(1, 3),
                st.sampled_from([max(1, cooldown - 1), cooldown, cooldown + 1, 2 * cooldown]),
            ),
            max_size=40,
        )
    )
    days = [first]
    for step in steps:
        days.append(days[-1] + step)
    return cooldown, set(days)


@settings(
    deadline=None,
    derandomize="CI" in os.environ,
    database=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(days=st.dictionaries(st.sampled_from("abc"), days_and_cooldowns(), min_size=1))
def test_days_are_spaced_as_a_loop_spaces_them(
    spaced_in_sql: Callable[[Mapping[str, tuple[int, set[int]]]], dict[str, list[int]]],
    days: dict[str, tuple[int, set[int]]],
) -> None:
    expected = {}
    for account, (cooldown, of_account) in days.items():
        taken: list[int] = []
        for day in sorted(of_account):
            if not taken or day - taken[-1] >= cooldown:
                taken.append(day)
        expected[account] = taken
    assert spaced_in_sql(days) == expected
