"""The demo data generator: from a handful of numbers to every raw table of the input contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from customer_health.demo import billing, records, usage
from customer_health.demo.columns import FAR, Clock
from customer_health.demo.faults import plant
from customer_health.demo.files import RawFiles
from customer_health.demo.world import (
    CHURN_REASONS,
    EVENTS_PER_USER_DAY,
    MIN_ACCOUNTS,
    MIN_DAYS,
    Changes,
    Role,
    World,
    build_world,
)
from customer_health.errors import UsageError

Progress = Callable[[str, float], None]
_MIN_EVENTS = 1_000
_WORLD_SHARE, _RECORDS_SHARE = 0.05, 0.3  # of the progress bar, when the stage is done


@dataclass(frozen=True)
class DemoSummary:
    """What was generated.

    `rows` counts all rows of the files, bad ones included. `bad_rows` counts the planted ones by
    table and kind: the reason codes of the rejected rows, and `exact_duplicate`. `special`
    lists the accounts that are there to be awkward, by what is special about them.
    """

    target: str
    accounts: int
    days: int
    seed: int
    start_date: date
    end_date: date
    rows: dict[str, int]
    bad_rows: dict[str, dict[str, int]]
    churns: dict[str, int]
    changes: dict[str, int]
    special: dict[str, list[str]]

    @property
    def row_count(self) -> int:
        """Rows of all tables together."""
        return sum(self.rows.values())

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; dates as ISO text."""
        plain = asdict(self)
        plain["start_date"] = self.start_date.isoformat()
        plain["end_date"] = self.end_date.isoformat()
        return plain


def generate(
    target: Path,
    *,
    accounts: int = 500,
    days: int = 540,
    events: int = 1_000_000,
    seed: int = 20260630,
    end_date: date = date(2026, 6, 30),
    progress: Progress | None = None,
) -> DemoSummary:
    """Write every raw table as `target/<table>/part-*.parquet`, replacing earlier ones.

    Args:
        target: folder of the raw tables; created if missing.
        accounts: number of accounts, trials and former customers included.
        days: length of the history in days, up to `end_date`.
        events: wanted number of product events; met within about 1%.
        seed: same arguments and seed, same rows. Each table has a random stream of its own.
        end_date: nothing that happened is later than this day, 00:00 UTC (exclusive).
        progress: called with a stage's name and the share that is done (0-1).

    Raises:
        UsageError: a size is too small to show anything.

    """
    for name, value, least in (
        ("accounts", accounts, MIN_ACCOUNTS),
        ("days", days, MIN_DAYS),
        ("events", events, _MIN_EVENTS),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UsageError(f"demo data need {name} of at least {least}, not {value}")
    tell = progress or (lambda stage, share: None)
    clock = Clock.ending(end_date, days)
    tell("accounts", 0.0)
    world = build_world(clock, seed, accounts, events)
    users = usage.make_users(world)
    bad_rows: dict[str, dict[str, int]] = {}
    with RawFiles(target) as files:
        tell("records", _WORLD_SHARE)
        for name, table in raw_records(world, users):
            spoiled, bad_rows[name] = plant(world, name, table)
            files.write(name, spoiled)
        tell("events", _RECORDS_SHARE)
        _write_usage(world, users, events, files, bad_rows=bad_rows, tell=tell)
        rows = files.rows
    tell("done", 1.0)
    return _summary(target, world, end_date, rows, bad_rows)


def raw_records(world: World, users: usage.Users) -> Iterator[tuple[str, pa.Table]]:
    """Yield every raw table but the events and their daily counts, without bad rows."""
    yield "crm_accounts", records.crm_accounts(world)
    contacts, contact_table = records.crm_contacts(world, users)
    yield "crm_contacts", contact_table
    yield "crm_opportunities", records.crm_opportunities(world)
    yield "crm_touchpoints", records.crm_touchpoints(world, contacts)
    yield "crm_csm_sentiments", records.crm_csm_sentiments(world)
    yield "crm_health_overrides", records.crm_health_overrides(world)
    yield "crm_action_updates", records.crm_action_updates(world)
    yield "product_users", usage.product_users(world, users)
    yield "product_features", usage.product_features(world)
    yield "support_tickets", records.support_tickets(world, contacts)
    yield "survey_responses", records.survey_responses(world, contacts)
    yield from billing.billing(world).items()
    yield "billing_exchange_rates", billing.exchange_rates(world)
    yield "onboarding_milestones", records.onboarding_milestones(world)
    yield "marketing_engagements", records.marketing_engagements(world, contacts)
    yield "success_goals", records.success_goals(world)


def _write_usage(
    world: World,
    users: usage.Users,
    events: int,
    files: RawFiles,
    *,
    bad_rows: dict[str, dict[str, int]],
    tell: Progress,
) -> None:
    """Write events and their daily aggregates, part by part."""
    activity = usage.make_activity(world, users, events, EVENTS_PER_USER_DAY)
    for part, piece in enumerate(usage.usage_parts(world, users, activity)):
        daily, bad_daily = plant(world, "product_usage_daily", piece.daily, part)
        files.write("product_events", piece.events)
        files.write("product_usage_daily", daily)
        _add(bad_rows, "product_events", piece.bad_rows)
        _add(bad_rows, "product_usage_daily", bad_daily)
        share = min(1.0, files.rows["product_events"] / events)
        tell("events", _RECORDS_SHARE + (1 - _RECORDS_SHARE) * share)


def _add(bad_rows: dict[str, dict[str, int]], name: str, counts: dict[str, int]) -> None:
    """Add the counts of one part file."""
    sums = bad_rows.setdefault(name, {})
    for kind, count in counts.items():
        sums[kind] = sums.get(kind, 0) + count


def _summary(
    target: Path,
    world: World,
    end_date: date,
    rows: dict[str, int],
    bad_rows: dict[str, dict[str, int]],
) -> DemoSummary:
    """Count what happened in the world."""
    reasons = {
        name: int((world.churn_reason == code).sum()) for code, name in enumerate(CHURN_REASONS)
    }
    changes = {
        kind: int((world.changes.kind == code).sum()) for code, kind in enumerate(Changes.KINDS)
    }
    special = {}
    for role in Role:
        if role != Role.ORDINARY:
            members = np.flatnonzero(world.population.role == role)
            special[role.name.lower()] = world.account_ids.take(pa.array(members)).to_pylist()
    open_notice = (world.terms.cancel_day < FAR) & (world.terms.end_day == FAR)
    noticed = world.terms.account[open_notice]
    special["in_notice"] = world.account_ids.take(pa.array(noticed)).to_pylist()
    return DemoSummary(
        target=str(target),
        accounts=world.count,
        days=world.clock.days,
        seed=world.seed,
        start_date=end_date - timedelta(days=world.clock.days),
        end_date=end_date,
        rows=dict(rows),
        bad_rows={name: counts for name, counts in bad_rows.items() if any(counts.values())},
        churns=reasons,
        changes=changes,
        special=special,
    )
