"""Product usage: users, events in sessions, and their daily aggregates.

Users are active on some days (more of them when the account is healthy), and every active day
holds one or two sessions. The active days of all users fit in memory (a few bytes each); events
are made from them in date order, part by part, so that their number is bounded by the disk only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from customer_health.demo.columns import (
    DAY_US,
    FAR,
    HOUR_US,
    NEVER,
    FloatArray,
    IntArray,
    id_width,
    instants,
    loaded,
    optional,
    padded_ids,
    pick,
    raw_table,
    sigmoid,
    stage_rng,
)
from customer_health.demo.troubles import Aspect
from customer_health.demo.world import PLANS, Role, World

# event_name -> (feature_key, counts as key success, counts as integration, popularity)
_PRODUCT: dict[str, tuple[str, bool, bool, float] | None] = {
    "login": None,
    "view_dashboard": ("dashboards", False, False, 3.0),
    "create_report": ("reports", False, False, 1.9),
    "share_report": ("sharing", True, False, 1.3),
    "export_data": ("exports", False, False, 1.1),
    "invite_user": ("invitations", False, False, -0.6),
    "api_call": ("api", False, True, 0.9),
    "connect_integration": ("integrations", False, True, -0.2),
    "sync_integration": ("integration_sync", False, True, 1.2),
    "comment": ("collaboration", False, False, 1.0),
    "create_automation": ("automations", True, False, 0.2),
    "run_automation": ("automation_runs", True, False, 1.2),
    "view_help": None,
    "mobile_session": ("mobile", False, False, 1.2),
}
EVENT_NAMES = tuple(_PRODUCT)
_NAMES = len(EVENT_NAMES)
_LOGIN = EVENT_NAMES.index("login")
_HELP = EVENT_NAMES.index("view_help")
_FEATURES = tuple(i for i, name in enumerate(EVENT_NAMES) if _PRODUCT[name])
_PAID_FEATURES = ("automations", "automation_runs", "integrations", "integration_sync", "api")
_NOT_IN_PLAN: tuple[tuple[str, ...], ...] = (_PAID_FEATURES, ("api",), ())
_USER_ROLES = ("admin", "editor", "viewer")

PART_EVENTS = 2_000_000  # rows of one part file, at most
_CHUNK_CELLS = 8_000_000  # users × days that are drawn at once
_SAMPLE_USERS = 1_500  # from which the level of activity is solved
_WORKDAYS = np.array([1.15, 1.25, 1.25, 1.2, 0.95, 0.12, 0.1], dtype=np.float32)
_WORK_STARTS = np.array([13.0, 7.0, 0.5])  # hour of the day in UTC, by region
_USAGE_SLOPE = 0.6  # log of a user's active days per unit of health

EVENT_FAULTS = (
    "exact_duplicate",
    "conflicting_duplicate",
    "null_key",
    "orphan",
    "before_start",
    "future",
)
_FAULT_SHARE = 0.0004  # of the events, for each of them


@dataclass(frozen=True)
class Users:
    """Product users, sorted by account."""

    account: IntArray
    created_day: IntArray  # may lie before the window
    left_day: IntArray  # FAR: still there
    energy: npt.NDArray[np.float32]  # own activity, mean about 1
    first: IntArray  # position of each account's first user; accounts + 1 entries
    ids: pa.Array


@dataclass(frozen=True)
class Activity:
    """One entry per user and active day, sorted by day, then account."""

    user: npt.NDArray[np.int32]
    day: npt.NDArray[np.int16]
    events: npt.NDArray[np.int32]


@dataclass(frozen=True)
class UsagePart:
    """The rows of one part file of events, their daily aggregates, and the planted bad rows."""

    events: pa.Table
    daily: pa.Table
    bad_rows: dict[str, int]


def features_of(plan: int) -> tuple[int, ...]:
    """Return the event codes (index into EVENT_NAMES) that are features of a plan."""
    missing = _NOT_IN_PLAN[plan]
    return tuple(code for code in _FEATURES if _feature(EVENT_NAMES[code])[0] not in missing)


def _feature(event_name: str) -> tuple[str, bool, bool, float]:
    """Return what is known of an event that is a feature."""
    feature = _PRODUCT[event_name]
    assert feature is not None, event_name
    return feature


def product_features(world: World) -> pa.Table:
    """Return which event is which feature in which plan."""
    plans: list[str] = []
    events: list[str] = []
    for plan, plan_name in enumerate(PLANS):
        for code in features_of(plan):
            plans.append(plan_name)
            events.append(EVENT_NAMES[code])
    facts = [_feature(name) for name in events]
    since = np.full(len(events), world.clock.instants(np.zeros(1))[0])
    return raw_table(
        "product_features",
        {
            "event_name": events,
            "feature_key": [fact[0] for fact in facts],
            "plan": plans,
            "is_key_success_event": [fact[1] for fact in facts],
            "is_integration": [fact[2] for fact in facts],
            "loaded_at": instants(since),
        },
    )


def make_users(world: World) -> Users:
    """Draw the users of every account: about three for four seats, some of them joining later."""
    rng = stage_rng(world.seed, "users")
    people = world.population
    fill = rng.uniform(0.6, 0.95, world.count)
    at_start = np.maximum(1, np.round(people.seats * fill)).astype(np.int64)
    at_peak = np.maximum(at_start, np.round(world.seats_peak * fill).astype(np.int64))
    crowded = people.role == Role.OVERAGE
    at_start = np.where(crowded, people.seats * 6 // 5, at_start)
    at_peak = np.where(crowded, at_start, at_peak)

    account = np.repeat(np.arange(world.count), at_peak)
    count = len(account)
    first = np.concatenate([[0], np.cumsum(at_peak)])
    place = np.arange(count) - first[account]
    is_crowded = crowded[account]
    arrival = people.created_day[account] + 1
    waits = rng.exponential(25.0, count) * (rng.random(count) < 0.5)
    created = arrival + np.minimum(np.where(place == 0, 0, waits), 150).astype(np.int64)
    grown = np.where(world.grown_day < FAR, world.grown_day, 0)[account]
    grown = grown + rng.integers(0, 30, count)
    created = np.where(place >= at_start[account], grown, created)
    created = np.where(is_crowded, arrival, created)
    created = np.maximum(np.minimum(created, world.active_to[account] - 1), arrival)
    stays = 20 + rng.exponential(365 / 0.15, count).astype(np.int64)
    left = np.maximum(created, -180) + stays
    gone = (left < world.active_to[account]) & (place > 0) & ~is_crowded
    energy = (0.05 + 0.95 * rng.gamma(1.6, 1 / 1.6, count)).astype(np.float32)
    return Users(
        account=account,
        created_day=created,
        left_day=np.where(gone, left, FAR),
        energy=energy,
        first=first,
        ids=padded_ids("U", np.arange(1, count + 1), id_width(count)),
    )


def product_users(world: World, users: Users) -> pa.Table:
    """Return the raw table of users."""
    rng = stage_rng(world.seed, "product_users")
    count = len(users.account)
    role = np.where(
        np.arange(count) == users.first[users.account], 0, rng.choice([1, 2], count, p=[0.45, 0.55])
    )
    # Created in the first minutes of the day, before anybody's first session.
    created = world.clock.instants(users.created_day + rng.uniform(0, 0.015, count))
    left_at = world.clock.instants(users.left_day + rng.uniform(0.3, 0.9, count))
    left_us = np.where(users.left_day < FAR, left_at, NEVER)
    return raw_table(
        "product_users",
        {
            "user_id": users.ids,
            "account_id": world.account_ids.take(pa.array(users.account)),
            "role": pick(_USER_ROLES, role),
            "created_at": instants(created),
            "deactivated_at": instants(left_us),
            "loaded_at": loaded(rng, np.maximum(created, left_us), world.clock),
        },
    )


def _daily_level(
    world: World, accounts: IntArray, factor: FloatArray, noise: FloatArray
) -> npt.NDArray[np.float32]:
    """Return the activity of some accounts on every day, 0 outside their life: accounts × days.

    `factor` has one entry per account of the world, `noise` one row per asked account and one
    column per week.
    """
    people, clock = world.population, world.clock
    day = np.arange(clock.days)
    health = world.weekly_health(Aspect.USAGE, accounts)
    weekly = np.exp(_USAGE_SLOPE * health + noise) * factor[accounts][:, None]
    level = weekly.astype(np.float32)[:, day // 7]
    level *= _WORKDAYS[clock.weekday(day)][None, :]
    month = clock.dates(day).astype("datetime64[M]").astype(np.int64) % 12 + 1
    quarter_end = np.where(month % 3 == 0, 2.4, 0.12).astype(np.float32)
    level[people.role[accounts] == Role.SEASONAL] *= quarter_end
    age = day[None, :] - people.created_day[accounts][:, None]
    level *= np.clip(0.4 + 0.6 * age / 28, 0.4, 1.0).astype(np.float32)
    alive = day[None, :] >= world.active_from[accounts][:, None]
    alive &= day[None, :] < world.active_to[accounts][:, None]
    level *= alive
    level[people.role[accounts] == Role.SILENT] = 0.0
    return level


def _rates(users: Users, who: IntArray, level: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the activity of users on every day, given that of their accounts: users × days.

    `level` holds one row per user: that of the user's account.
    """
    day = np.arange(level.shape[1])[None, :]
    rate = level * users.energy[who][:, None]
    rate *= (day >= users.created_day[who][:, None]) & (day < users.left_day[who][:, None])
    return rate


def _activity_scale(world: World, users: Users, factor: FloatArray, user_days: float) -> float:
    """Solve for the level at which the users have `user_days` active days, on a sample of them."""
    every = max(1, len(users.account) // _SAMPLE_USERS)
    who = np.arange(every // 2, len(users.account), every)
    accounts, place = np.unique(users.account[who], return_inverse=True)
    # The noise that is left out here has mean 1.
    quiet = np.full((len(accounts), world.clock.weeks), 0.0)
    rate = _rates(users, who, _daily_level(world, accounts, factor, quiet)[place])
    rate = rate[rate > 0]
    wanted = user_days * len(who) / len(users.account)
    low, high = -12.0, 6.0
    for _ in range(18):
        middle = (low + high) / 2
        if -np.expm1(-np.exp(np.float32(middle)) * rate).sum(dtype=np.float64) < wanted:
            low = middle
        else:
            high = middle
    return float(np.exp((low + high) / 2))


def make_activity(world: World, users: Users, events: int, mean_events: float) -> Activity:
    """Draw who is active on which day, and how many events each active day holds.

    `events` is the wanted total (reached within a percent), `mean_events` the wanted number per
    user and active day.
    """
    factor = stage_rng(world.seed, "account activity").lognormal(-0.1, 0.45, world.count)
    scale = np.float32(_activity_scale(world, users, factor, events / mean_events))
    crowded = world.population.role == Role.OVERAGE
    found: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int16]]] = []
    for part, (low, high) in enumerate(_account_chunks(world, users)):
        rng = stage_rng(world.seed, "active days", part)
        noise = rng.normal(-0.03, 0.25, (high - low, world.clock.weeks))
        level = _daily_level(world, np.arange(low, high), factor, noise)
        who = np.arange(users.first[low], users.first[high])
        rate = _rates(users, who, level[users.account[who] - low])
        rate *= scale
        busy = np.flatnonzero(crowded[users.account[who]])
        rate[busy] = np.where(rate[busy] > 0, np.maximum(rate[busy], 0.3), 0)
        # An exponential draw is below the rate with probability 1 - exp(-rate).
        row, on = np.nonzero(rng.standard_exponential(rate.shape, dtype=np.float32) < rate)
        found.append(((row + who[0]).astype(np.int32), on.astype(np.int16)))
    user = np.concatenate([part[0] for part in found])
    day = np.concatenate([part[1] for part in found])
    order = np.argsort(day, kind="stable")
    user, day = user[order], day[order]

    rng = stage_rng(world.seed, "events per day")
    health = world.health_on(Aspect.USAGE, users.account[user], day)
    lust = np.exp(0.1 * health) * rng.gamma(2.0, 0.5, len(user))
    more = max(0.0, events - len(user)) / max(1.0, lust.sum())
    return Activity(user, day, (1 + rng.poisson(lust * more)).astype(np.int32))


def _account_chunks(world: World, users: Users) -> list[tuple[int, int]]:
    """Cut the accounts into runs of at most _CHUNK_CELLS users × days (an account stays whole)."""
    room = max(1, _CHUNK_CELLS // world.clock.days)
    chunks, low = [], 0
    while low < world.count:
        high = int(np.searchsorted(users.first, users.first[low] + room, side="right")) - 1
        high = min(max(high, low + 1), world.count)
        chunks.append((low, high))
        low = high
    return chunks


def usage_parts(world: World, users: Users, activity: Activity) -> Iterator[UsagePart]:
    """Make the events, one part file at a time, each with its daily aggregates."""
    taste = _tastes(world)
    total = int(activity.events.sum(dtype=np.int64))
    account = users.account[activity.user]
    key = activity.day.astype(np.int64) * world.count + account
    starts = np.flatnonzero(np.diff(key, prepend=-1))  # first entry of each account-day
    events_before = np.concatenate([[0], np.cumsum(activity.events, dtype=np.int64)])
    low, part, planted = 0, 0, 0
    while low < len(activity.user):
        limit = np.searchsorted(events_before, events_before[low] + PART_EVENTS, side="right") - 1
        cut = starts[max(np.searchsorted(starts, limit, side="right") - 1, 0)]
        if limit >= len(activity.user):
            cut = len(activity.user)
        elif cut <= low:  # one account-day larger than a part
            following = np.searchsorted(starts, low, side="right")
            cut = starts[following] if following < len(starts) else len(activity.user)
        high = int(cut)
        piece = Activity(activity.user[low:high], activity.day[low:high], activity.events[low:high])
        rng = stage_rng(world.seed, "events", part)
        # Shares are taken of the running total, so that small parts get their share as well.
        done = [int(_FAULT_SHARE * events_before[place]) for place in (low, high)]
        result = _one_part(
            rng,
            world,
            users,
            piece,
            taste,
            first_number=int(events_before[low]),
            first_bad_number=total + planted,
            fault_range=done,
        )
        planted += sum(result.bad_rows.values())
        yield result
        low, part = high, part + 1


@dataclass(frozen=True)
class _Tastes:
    """Which features an account uses: in which order it takes them up, and how many."""

    order: npt.NDArray[np.int8]  # accounts × plans × features: event codes, favourites first
    breadth: npt.NDArray[np.int8]  # accounts × weeks: number of features in use
    plan: npt.NDArray[np.int8]  # accounts × weeks
    help_share: npt.NDArray[np.float32]  # accounts × weeks: share of events in the help pages


def _tastes(world: World) -> _Tastes:
    """Draw the order in which accounts take up features; healthy weeks use more of them."""
    rng = stage_rng(world.seed, "feature tastes")
    liking = rng.gumbel(0.0, 1.0, (world.count, len(_FEATURES)))
    liking += np.array([_feature(EVENT_NAMES[code])[3] for code in _FEATURES])[None, :]
    order = np.zeros((world.count, len(PLANS), len(_FEATURES)), dtype=np.int8)
    sizes = np.zeros(len(PLANS), dtype=np.int64)
    for plan in range(len(PLANS)):
        included = np.isin(_FEATURES, features_of(plan))
        best_first = np.argsort(-np.where(included, liking, -np.inf), axis=1, kind="stable")
        order[:, plan, :] = np.array(_FEATURES, dtype=np.int8)[best_first]
        sizes[plan] = included.sum()

    terms, clock = world.terms, world.clock
    plan_in_week = np.repeat(world.population.plan[:, None], clock.weeks, axis=1)
    for row in np.flatnonzero(terms.plan != world.population.plan[terms.account]):
        week = max(0, -(-int(terms.start_day[row]) // 7))
        plan_in_week[terms.account[row], week:] = terms.plan[row]
    curiosity = rng.normal(0.0, 0.4, (world.count, 1))
    health = world.weekly_health(Aspect.USAGE)
    share = sigmoid(0.35 + 0.75 * health + curiosity)
    breadth = 1 + np.round((sizes[plan_in_week] - 1) * share)
    help_share = 0.03 + 0.05 * sigmoid(-1.0 - health)
    return _Tastes(
        order=order,
        breadth=breadth.astype(np.int8),
        plan=plan_in_week.astype(np.int8),
        help_share=help_share.astype(np.float32),
    )


def _one_part(
    rng: np.random.Generator,
    world: World,
    users: Users,
    piece: Activity,
    taste: _Tastes,
    *,
    first_number: int,
    first_bad_number: int,
    fault_range: list[int],
) -> UsagePart:
    """Make the events of some user-days, their aggregates and the bad rows among them."""
    per_day = piece.events.astype(np.int64)
    account = users.account[piece.user]
    row = np.repeat(np.arange(len(per_day)), per_day)
    starts = np.cumsum(per_day) - per_day
    place = np.arange(len(row)) - starts[row]
    again = (per_day >= 8) & (rng.random(len(per_day)) < 0.45)
    again_at = np.where(again, (per_day * rng.uniform(0.35, 0.65, len(per_day))), -1)
    again_at = again_at.astype(np.int64)
    is_login = (place == 0) | (place == again_at[row])

    occurred = _moments(rng, world, account, piece.day, row, starts=starts, again_at=again_at)
    code = _names(rng, account, piece.day, row, taste)
    code[is_login] = _LOGIN
    seconds = np.ceil(50.0 * rng.standard_exponential(len(row)))
    seconds[is_login] = np.nan
    # Loaded by an hourly job; now and then a phone was offline for a day or more.
    late_days = np.where(rng.random(len(per_day)) < 0.003, rng.uniform(1, 3, len(per_day)), 0.0)
    arrived = occurred + (late_days * DAY_US).astype(np.int64)[row] + 5 * 60_000_000
    loaded_us = (arrived // HOUR_US + 1) * HOUR_US + 10 * 60_000_000
    loaded_us = np.minimum(loaded_us, world.clock.end_us + 20 * HOUR_US)

    columns: dict[str, npt.NDArray[Any]] = {
        "number": first_number + np.arange(len(row)),
        "account": account[row].astype(np.int32),
        "user": piece.user[row],
        "code": code,
        "occurred": occurred,
        "seconds": seconds,
        "loaded": loaded_us,
    }
    daily = _daily_table(world, piece, account, row, columns)
    columns, bad_rows = _plant(rng, world, columns, first_bad_number, fault_range)
    return UsagePart(_event_table(world, users, columns), daily, bad_rows)


def _moments(
    rng: np.random.Generator,
    world: World,
    account: IntArray,
    day: npt.NDArray[np.int16],
    row: IntArray,
    *,
    starts: IntArray,
    again_at: IntArray,
) -> IntArray:
    """Return when events happen, in microseconds: seconds apart, within the UTC day."""
    gaps = 4.0 + 70.0 * rng.standard_exponential(len(row), dtype=np.float32).astype(np.float64)
    gaps[starts] = 0.0
    back = np.flatnonzero(again_at > 0)
    gaps[starts[back] + again_at[back]] += rng.uniform(1.5, 5.0, len(back)) * 3_600
    since = np.cumsum(gaps)
    since -= since[starts][row]
    begin = _WORK_STARTS[world.population.region[account]] + 7.5 * rng.beta(1.5, 1.8, len(account))
    begin = begin * 3_600
    ends = np.append(starts[1:], len(row)) - 1
    shrink = np.minimum(1.0, (86_380 - begin) / np.maximum(since[ends], 1.0))
    milliseconds = ((begin[row] + since * shrink[row]) * 1_000).astype(np.int64)
    day_us = world.clock.instants(day.astype(np.int64))
    result: IntArray = day_us[row] + milliseconds * 1_000
    return result


def _names(
    rng: np.random.Generator,
    account: IntArray,
    day: npt.NDArray[np.int16],
    row: IntArray,
    taste: _Tastes,
) -> npt.NDArray[np.int8]:
    """Return the event code of every event, favourite features most often."""
    week = day.astype(np.int64) // 7
    breadth = taste.breadth[account, week].astype(np.float32)
    plans, features = taste.order.shape[1:]
    first = (account * plans + taste.plan[account, week]) * features
    draw = rng.random(len(row), dtype=np.float32)
    rank = (breadth[row] * draw * draw).astype(np.int64)
    code: npt.NDArray[np.int8] = taste.order.reshape(-1)[first[row] + rank]
    needs_help = rng.random(len(row), dtype=np.float32) < taste.help_share[account, week][row]
    code[needs_help] = _HELP
    return code


def _daily_table(
    world: World,
    piece: Activity,
    account: IntArray,
    row: IntArray,
    columns: dict[str, npt.NDArray[Any]],
) -> pa.Table:
    """Aggregate clean events to account, day and event name."""
    key = piece.day.astype(np.int64) * world.count + account
    first = np.flatnonzero(np.diff(key, prepend=-1))
    group = np.repeat(np.arange(len(first)), np.diff(np.append(first, len(key))))
    cell = group[row] * _NAMES + columns["code"]
    size = len(first) * _NAMES
    counts = np.bincount(cell, minlength=size)
    seconds = np.bincount(cell, weights=np.nan_to_num(columns["seconds"]), minlength=size)
    used = np.zeros((len(key), _NAMES), dtype=np.int32)
    used[row, columns["code"]] = 1
    people = np.add.reduceat(used, first, axis=0).reshape(-1)
    some = np.flatnonzero(counts)
    code = some % _NAMES
    day = piece.day[first].astype(np.int64)[some // _NAMES]
    return raw_table(
        "product_usage_daily",
        {
            "account_id": world.account_ids.take(pa.array(account[first][some // _NAMES])),
            "usage_date": pa.array(world.clock.dates(day)),
            "event_name": pick(EVENT_NAMES, code),
            "event_count": counts[some],
            "active_users": people[some].astype(np.int64),
            "duration_seconds": optional(seconds[some], code != _LOGIN),
            "loaded_at": instants(world.clock.instants(day + 1) + 2 * HOUR_US),
        },
    )


def _plant(
    rng: np.random.Generator,
    world: World,
    columns: dict[str, npt.NDArray[Any]],
    first_bad_number: int,
    fault_range: list[int],
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, int]]:
    """Append the bad rows of this part; `fault_range` is the running share before and after it."""
    many = fault_range[1] - fault_range[0]
    count = len(columns["number"])
    if many <= 0 or many * len(EVENT_FAULTS) > count:
        return columns, dict.fromkeys(EVENT_FAULTS, 0)
    chosen = rng.choice(count, (len(EVENT_FAULTS), many), replace=False)
    pieces = [columns]
    number = first_bad_number
    for fault, rows in zip(EVENT_FAULTS, chosen, strict=True):
        bad = {name: values[rows].copy() for name, values in columns.items()}
        if fault == "conflicting_duplicate":
            bad["code"] = ((bad["code"] + 1 + rng.integers(0, 5, many)) % _NAMES).astype(np.int8)
            bad["loaded"] = bad["loaded"] + HOUR_US
        elif fault != "exact_duplicate":
            bad["number"] = number + np.arange(many)
            number += many
        if fault == "null_key":
            half = np.arange(many) % 2 == 0
            bad["account"] = np.where(half, -1, bad["account"]).astype(np.int32)
            bad["number"] = np.where(half, bad["number"], -1)
        elif fault == "orphan":
            bad["account"] = (world.count + np.arange(many) % 5).astype(np.int32)
        elif fault == "before_start":
            created = world.population.created_us[bad["account"]]
            bad["occurred"] = created - rng.integers(DAY_US, 300 * DAY_US, many)
        elif fault == "future":
            bad["occurred"] = bad["loaded"] + rng.integers(2 * DAY_US, 40 * DAY_US, many)
        pieces.append(bad)
    joined = {name: np.concatenate([piece[name] for piece in pieces]) for name in columns}
    return joined, dict.fromkeys(EVENT_FAULTS, many)


def _event_table(world: World, users: Users, columns: dict[str, npt.NDArray[Any]]) -> pa.Table:
    """Turn the numbers of a part into the raw table; repeated texts stay dictionaries."""
    known = pa.concat_arrays([world.account_ids, world.unknown_account_ids(5)])
    account = columns["account"]
    # Few of all users occur in one part: a dictionary of those alone keeps files small.
    present, place = np.unique(columns["user"], return_inverse=True)
    schema_columns = {
        "event_id": padded_ids("E", columns["number"], 10),
        "account_id": pa.DictionaryArray.from_arrays(pa.array(account, mask=account < 0), known),
        "user_id": pa.DictionaryArray.from_arrays(
            pa.array(place.astype(np.int32)), users.ids.take(pa.array(present))
        ),
        "event_name": pa.DictionaryArray.from_arrays(
            pa.array(columns["code"]), pa.array(EVENT_NAMES)
        ),
        "occurred_at": instants(columns["occurred"]),
        "duration_seconds": optional(columns["seconds"], ~np.isnan(columns["seconds"])),
        "loaded_at": instants(columns["loaded"]),
    }
    return pa.table(schema_columns)
