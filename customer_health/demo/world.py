"""What truly happens in the demo: who the accounts are, how healthy, when they end or change.

Every table is a view of this. Each account has a latent health, weekly, around 0 with a standard
deviation near 1, and troubles that lower it, in some aspects more than in others. Tickets, usage,
answers and payments show the health of their week; whether an account churns, grows or shrinks
depends on its health one to three months before. Most of those who leave drift away for three to
six months before they do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from customer_health.demo.columns import (
    DAY_US,
    FAR,
    BoolArray,
    Clock,
    FloatArray,
    IntArray,
    padded_ids,
    stage_rng,
)
from customer_health.demo.troubles import Aspect, Troubles, passing_troubles, with_declines

SEGMENTS = ("smb", "mid_market", "enterprise")
REGIONS = ("amer", "emea", "apac")
CURRENCIES = ("USD", "EUR", "GBP")
PLANS = ("starter", "growth", "enterprise")
USD_RATES = np.array([1.0, 1.08, 1.27])
CHURN_REASONS = ("voluntary", "involuntary", "merged")

EVENTS_PER_USER_DAY = 18.0
VOLUNTARY_CHURN_PER_YEAR = 0.17
CHURN_SLOPE = 1.5  # log hazard of churn per unit of latent health
EXPANSION_SLOPE = 1.0

_SEGMENT_SHARES = (0.6, 0.3, 0.1)
_ANNUAL_SHARES = np.array([0.4, 0.75, 0.95])
_CHURN_BY_SEGMENT = np.array([0.35, 0.0, -0.6])
_CHURN_WHEN_YOUNG = 0.4  # more log hazard in the first six months
_SEATS = np.array([4.0, 9.0, 22.0])
_MRR_USD = np.array([320.0, 2_400.0, 14_000.0])
_PLAN_SHARES = np.array([[0.6, 0.4, 0.0], [0.1, 0.7, 0.2], [0.0, 0.2, 0.8]])
_USER_DAYS_PER_ACCOUNT_MONTH = 10.5  # what the seats above can carry at a natural activity
_BURN_WEEKS = 30  # weeks of health before the window, for the lagged means
_AHEAD_WEEKS = 12  # and after it, for cancellations that are known but not yet due
_AHEAD_DAYS = 45


class Role(IntEnum):
    """Accounts that are there to be awkward; every other account is ordinary."""

    ORDINARY = 0
    FREE = 1
    SEASONAL = 2
    SILENT = 3
    TRIAL_RUNNING = 4
    TRIAL_LOST = 5
    TRIAL_CONVERTED = 6
    INVOLUNTARY = 7
    MERGED = 8
    DELETED = 9
    LATE_RENEWAL = 10
    OVERAGE = 11
    ZERO_SEATS = 12
    IN_NOTICE = 13


# Role -> (share of the accounts, at least). Lost trials are split from the converted ones later.
_ROLE_SHARES: dict[Role, tuple[float, int]] = {
    Role.FREE: (0.02, 2),
    Role.SEASONAL: (0.05, 2),
    Role.SILENT: (0.01, 2),
    Role.TRIAL_RUNNING: (0.02, 2),
    Role.TRIAL_CONVERTED: (0.07, 4),
    Role.INVOLUNTARY: (0.008, 2),
    Role.MERGED: (0.004, 1),
    Role.DELETED: (0.002, 1),
    Role.LATE_RENEWAL: (0.002, 1),
    Role.OVERAGE: (0.002, 1),
    Role.ZERO_SEATS: (0.002, 1),
    Role.IN_NOTICE: (0.006, 2),
}
MIN_ACCOUNTS = 40
MIN_DAYS = 90

_TRIALS = (Role.TRIAL_RUNNING, Role.TRIAL_LOST, Role.TRIAL_CONVERTED)
_NEVER_CHURN = (
    Role.FREE,
    Role.TRIAL_RUNNING,
    Role.TRIAL_LOST,
    Role.INVOLUNTARY,
    Role.MERGED,
    Role.DELETED,
    Role.LATE_RENEWAL,
    Role.OVERAGE,
    Role.IN_NOTICE,
)
_NEVER_CHANGE = (Role.FREE, Role.DELETED, Role.OVERAGE, Role.ZERO_SEATS, Role.LATE_RENEWAL)


@dataclass
class Population:
    """Who the accounts are. Arrays of one entry an account; days count from the window's start."""

    role: IntArray
    segment: IntArray
    region: IntArray
    currency: IntArray
    plan: IntArray
    is_annual: BoolArray
    seats: IntArray
    mrr: FloatArray
    created_us: IntArray
    created_day: IntArray
    trial_end_day: IntArray  # FAR: no trial
    paid_day: IntArray  # FAR: never paid
    champion_left_day: IntArray  # FAR: still there

    def has_role(self, *roles: Role) -> BoolArray:
        """Tell which accounts have one of the roles."""
        return np.isin(self.role, np.array(roles))


@dataclass
class Terms:
    """Subscription rows as they happened, sorted by account and start (days of the window)."""

    account: IntArray
    start_day: IntArray
    end_day: IntArray  # FAR: open
    renews_day: IntArray  # FAR: rolls on without a date
    seats: IntArray
    mrr: FloatArray
    plan: IntArray
    is_trial: BoolArray
    is_cancelled: BoolArray
    cancel_day: IntArray  # FAR: no notice given


@dataclass
class Changes:
    """Commercial events inside the window: renewals, expansions, contractions and endings."""

    account: IntArray
    day: IntArray
    kind: IntArray  # index into KINDS
    amount: FloatArray  # yearly value of the change, in the account's currency

    KINDS = ("renewal", "expansion", "contraction", "churn")


@dataclass
class World:
    """The accounts, their health and their contracts.

    `health` is what nothing in particular explains; troubles are taken off it where it is read.
    """

    clock: Clock
    seed: int
    population: Population
    account_ids: pa.Array
    health: npt.NDArray[np.float32]  # accounts × weeks, the first _BURN_WEEKS before the window
    troubles: Troubles  # the same weeks
    end_day: IntArray  # FAR: no end; otherwise the first day without the product
    churn_reason: IntArray  # -1: none
    merged_into: IntArray  # -1: none
    deleted_day: IntArray  # FAR: not deleted
    terms: Terms
    changes: Changes
    plan_now: IntArray
    seats_now: IntArray
    seats_peak: IntArray
    grown_day: IntArray  # first expansion, FAR: none
    active_from: IntArray = field(init=False)  # first day on which something can happen
    active_to: IntArray = field(init=False)  # the day after the last one

    def __post_init__(self) -> None:
        last = np.minimum(np.minimum(self.end_day, self.deleted_day), self.clock.days)
        self.active_from = np.maximum(self.population.created_day + 1, 0)
        self.active_to = np.maximum(last, self.active_from)

    @property
    def count(self) -> int:
        """Number of accounts."""
        return len(self.population.role)

    def unknown_account_ids(self, count: int) -> pa.Array:
        """Return ids in the style of the accounts' that belong to no account."""
        width = len(self.account_ids[0].as_py()) - 1
        return padded_ids("A", self.count + 1 + np.arange(count), width)

    def weekly_health(self, aspect: Aspect, accounts: IntArray | None = None) -> FloatArray:
        """Return the health in the weeks of the window: accounts (all, or some) × weeks."""
        weeks = slice(_BURN_WEEKS, _BURN_WEEKS + self.clock.weeks)
        which = slice(None) if accounts is None else accounts
        health = self.health[which, weeks].astype(np.float64)
        return health - self.troubles.weekly(aspect, which, weeks)

    def health_on(self, aspect: Aspect, account: IntArray, day: npt.NDArray[Any]) -> FloatArray:
        """Return the latent health of accounts on days (days beyond the matrix are clipped)."""
        week = np.floor(np.asarray(day, dtype=np.float64) / 7).astype(np.int64) + _BURN_WEEKS
        week = np.clip(week, 0, self.health.shape[1] - 1)
        health = self.health[account, week].astype(np.float64)
        return health - self.troubles.at(aspect, account, week)

    def is_active(self, account: IntArray, day: npt.NDArray[Any]) -> BoolArray:
        """Tell on which (account, day) pairs the account can act inside the window."""
        result: BoolArray = (day >= self.active_from[account]) & (day < self.active_to[account])
        return result


def build_world(clock: Clock, seed: int, accounts: int, events: int) -> World:
    """Simulate the accounts of the demo."""
    population = _population(clock, seed, accounts, events)
    health = _latent_health(clock, seed, population)
    troubles = passing_troubles(seed, accounts, health.shape[1])
    troubles.depth[population.role == Role.OVERAGE] = 0.0
    overall = health - troubles.overall
    _split_trials(seed, population, overall)
    endings = _Endings.simulate(clock, seed, population, overall)
    troubles = with_declines(
        troubles, seed, clock, leaves_day=endings.leaves_day, first_week=_BURN_WEEKS
    )
    terms, changes = _contracts(clock, seed, population, endings)
    return _assemble(
        clock,
        seed,
        population,
        health,
        troubles=troubles,
        endings=endings,
        terms=terms,
        changes=changes,
    )


def _roles(rng: np.random.Generator, accounts: int) -> IntArray:
    """Deal the roles out over a random order of the accounts."""
    role = np.zeros(accounts, dtype=np.int64)
    order = rng.permutation(accounts)
    taken = 0
    for name, (share, at_least) in _ROLE_SHARES.items():
        many = max(at_least, round(share * accounts))
        role[order[taken : taken + many]] = name
        taken += many
    return role


def _start_days(
    rng: np.random.Generator, clock: Clock, role: IntArray
) -> tuple[IntArray, IntArray, IntArray]:
    """Draw created_day, trial_end_day and paid_day of every account."""
    count, days = len(role), clock.days
    is_new = rng.random(count) < 0.36
    old_day = rng.integers(-1_400, -19, count)
    new_day = rng.integers(3, days - 10, count)
    settled = np.isin(role, [r for r in Role if r not in (Role.ORDINARY, Role.SEASONAL)])
    paid = clock.before_month_end(np.where(is_new & ~settled, new_day, old_day))
    # The late renewal must fall inside the window, with room for its ten days.
    late = role == Role.LATE_RENEWAL
    falls_due = clock.before_month_end(rng.integers(40, max(41, min(days - 20, 400)), count))
    paid = np.where(late, clock.add_months(falls_due, -24), paid)
    # Those in notice end soon after the window.
    ends_soon = clock.before_month_end(days + rng.integers(8, 40, count))
    paid = np.where(role == Role.IN_NOTICE, clock.add_months(ends_soon, -24), paid)

    length = rng.choice([14, 30], count)
    running = role == Role.TRIAL_RUNNING
    on_trial = np.isin(role, [Role.TRIAL_CONVERTED, Role.TRIAL_LOST])
    trial_end = clock.before_month_end(rng.integers(40, days - 20, count))
    created = np.where(on_trial, trial_end - length, paid)
    ends_later = days + rng.integers(3, 13, count)
    created = np.where(running, ends_later - length, created)
    trial_end = np.where(running, ends_later, np.where(on_trial, trial_end, FAR))
    paid = np.where(on_trial, trial_end, np.where(running, FAR, paid))
    return created, trial_end, paid


def _population(clock: Clock, seed: int, accounts: int, events: int) -> Population:
    """Draw who the accounts are; more events mean more seats, not superhuman users."""
    rng = stage_rng(seed, "population")
    role = _roles(rng, accounts)
    segment = rng.choice(3, accounts, p=_SEGMENT_SHARES)
    segment[rng.permutation(accounts)[:3]] = np.arange(3)
    segment = np.where(np.isin(role, [Role.FREE, Role.ZERO_SEATS]), 0, segment)
    region = rng.choice(3, accounts, p=[0.45, 0.35, 0.2])
    british = rng.random(accounts) < 0.3
    currency = np.where(region == 1, np.where(british, 2, 1), 0)
    plan = (rng.random(accounts)[:, None] > _PLAN_SHARES.cumsum(axis=1)[segment]).sum(axis=1)
    plan = np.where(role == Role.FREE, 0, np.minimum(plan, 2))
    is_annual = rng.random(accounts) < _ANNUAL_SHARES[segment]
    is_annual = np.where(np.isin(role, [Role.FREE, Role.INVOLUNTARY]), False, is_annual)
    is_annual = np.where(np.isin(role, [Role.LATE_RENEWAL, Role.IN_NOTICE]), True, is_annual)

    user_days = events / EVENTS_PER_USER_DAY
    account_months = accounts * clock.days / 30.4 * 0.78
    scale = max(1.0, user_days / account_months / _USER_DAYS_PER_ACCOUNT_MONTH)
    size = rng.lognormal(0.0, 0.45, accounts)
    seats = np.maximum(2, np.round(_SEATS[segment] * scale * size)).astype(np.int64)
    seats = np.where(role == Role.OVERAGE, 5 * np.maximum(2, seats // 5), seats)
    price = _MRR_USD[segment] * size * np.array([0.8, 1.0, 1.3])[plan]
    price = price * rng.lognormal(0.0, 0.25, accounts) / USD_RATES[currency]
    mrr = np.where(role == Role.FREE, 0.0, np.round(price, 2))

    created, trial_end, paid = _start_days(rng, clock, role)
    # Signed a few hours before the first subscription starts; trials start when they sign up.
    hours = rng.integers(1, 10, accounts)
    day_us = clock.instants(created)
    signed_us = day_us - hours * (DAY_US // 24)
    sign_up_us = day_us + rng.integers(0, 20 * 3_600, accounts) * 1_000_000
    created_us = np.where(trial_end < FAR, sign_up_us, signed_us)
    left = np.maximum(created, -7 * _BURN_WEEKS) + 30 + rng.exponential(365 / 0.18, accounts)
    left_day = np.where(left < clock.days, left, FAR).astype(np.int64)
    left_day = np.where(role == Role.OVERAGE, FAR, left_day)
    return Population(
        role=role,
        segment=segment,
        region=region,
        currency=currency,
        plan=plan.astype(np.int64),
        is_annual=is_annual.astype(bool),
        seats=seats,
        mrr=mrr,
        created_us=created_us,
        created_day=created,
        trial_end_day=trial_end,
        paid_day=paid,
        champion_left_day=left_day,
    )


def _latent_health(clock: Clock, seed: int, population: Population) -> npt.NDArray[np.float32]:
    """Simulate the weekly latent health: mean-reverting, with drift, shocks and lost champions."""
    rng = stage_rng(seed, "health")
    count = len(population.role)
    weeks = _BURN_WEEKS + clock.weeks + _AHEAD_WEEKS
    pull, noise = 0.06, 0.19
    level = rng.normal(0.1, 0.7, count)
    drift = rng.normal(0.0, 0.25, count) / 52
    left_week = population.champion_left_day // 7 + _BURN_WEEKS
    missed_weeks = rng.integers(10, 40, count)
    health = np.empty((count, weeks), dtype=np.float32)
    now = level + rng.normal(0.0, 0.5, count)
    for week in range(weeks):
        gone = (week >= left_week) & (week < left_week + missed_weeks)
        target = level + drift * (week - _BURN_WEEKS) - 0.5 * gone
        blow = (rng.random(count) < 0.5 / 52) * rng.exponential(0.9, count)
        lift = (rng.random(count) < 0.25 / 52) * rng.exponential(0.6, count)
        now = now + pull * (target - now) + rng.normal(0.0, noise, count) - blow + lift
        now = now - 1.0 * (week == left_week)
        health[:, week] = now
    overage = population.role == Role.OVERAGE
    health[overage] = np.maximum(health[overage], 0.8)
    return health


def _mean_before(
    health: npt.NDArray[np.float32], day: IntArray, first: int, last: int
) -> FloatArray:
    """Return the mean health from `first` to `last` weeks before each day.

    `day` has the shape steps × accounts; so has the result.
    """
    sums = np.zeros((health.shape[0], health.shape[1] + 1))
    np.cumsum(health, axis=1, dtype=np.float64, out=sums[:, 1:])
    week = np.clip(day // 7 + _BURN_WEEKS, first, health.shape[1] - 1)
    rows = np.arange(health.shape[0])[None, :]
    result: FloatArray = (sums[rows, week - last + 1] - sums[rows, week - first]) / (
        first - last + 1
    )
    return result


def _split_trials(seed: int, population: Population, health: npt.NDArray[np.float32]) -> None:
    """Let the healthier part of the finished trials convert; the others never pay."""
    rng = stage_rng(seed, "trials")
    trials = np.flatnonzero(population.role == Role.TRIAL_CONVERTED)
    end = population.trial_end_day[trials]
    week = np.clip(end // 7 + _BURN_WEEKS - 1, 0, health.shape[1] - 1)
    wish = health[trials, week] + rng.normal(0.0, 0.5, len(trials))
    lost = trials[np.argsort(wish, kind="stable")[: len(trials) // 2]]
    population.role[lost] = Role.TRIAL_LOST
    population.paid_day[lost] = FAR


@dataclass
class _Endings:
    """Monthly decision points (steps × accounts) and what was decided at them."""

    day: IntArray
    month: IntArray  # months since the first paid day
    is_renewal: BoolArray
    lagged: FloatArray
    end_day: IntArray
    leaves_day: IntArray  # end of those who leave of their own will, also soon after the window
    reason: IntArray
    notice_day: IntArray  # cancellation announced, FAR: never

    @classmethod
    def simulate(
        cls,
        clock: Clock,
        seed: int,
        population: Population,
        health: npt.NDArray[np.float32],
    ) -> _Endings:
        """Decide at each month's end (or renewal) who leaves.

        The level of the hazard is solved for, so that VOLUNTARY_CHURN_PER_YEAR of the paying
        account-years end in a voluntary churn, whatever the seed and the size.
        """
        rng = stage_rng(seed, "endings")
        count = len(population.role)
        steps = int((clock.days + _AHEAD_DAYS) / 30.4) + 2
        paid = np.where(population.paid_day < FAR, population.paid_day, clock.days + 400)
        paid = clock.before_month_end(paid)
        start = np.zeros(count, dtype=np.int64)
        first = np.maximum(clock.months_between(paid, start), 1)
        first = first + (clock.add_months(paid, first) < 0)
        month = first[None, :] + np.arange(steps)[:, None]
        day = np.stack([clock.add_months(paid, row) for row in month])
        is_renewal = (month % 12 == 0) & population.is_annual[None, :]
        lagged = _mean_before(health, day, 14, 3)

        draws = rng.random((steps, count))
        weight = np.where(population.is_annual, 12.0, 1.0)[None, :]
        young = np.where(month <= 6, _CHURN_WHEN_YOUNG, 0.0)
        lean = _CHURN_BY_SEGMENT[population.segment][None, :] + young - CHURN_SLOPE * lagged
        needed = np.log(-np.log1p(-draws) / weight) - lean
        can = (is_renewal | ~population.is_annual[None, :]) & (day < clock.days + _AHEAD_DAYS)
        can &= ~population.has_role(*_NEVER_CHURN)[None, :]
        needed = np.where(can, needed, np.inf)
        leaves = _voluntary_ends(clock, day, needed, paid)

        reason = np.where(leaves < clock.days, 0, -1)
        notice = np.where(
            (leaves < FAR) & (rng.random(count) < 0.6), leaves - rng.integers(10, 46, count), FAR
        )
        notice = np.where(notice < clock.days, np.maximum(notice, paid + 1), FAR)
        in_notice = population.has_role(Role.IN_NOTICE)
        notice = np.where(in_notice, clock.days - rng.integers(2, 20, count), notice)
        end = np.where(leaves < clock.days, leaves, FAR)
        leaves = np.where(in_notice, clock.days + 14, leaves)
        for role, code in ((Role.INVOLUNTARY, 1), (Role.MERGED, 2)):
            members = np.flatnonzero(population.role == role)
            inside = (day[:, members] < clock.days).sum(axis=0)
            step = (rng.random(len(members)) * (inside - 2)).astype(np.int64) + 2
            end[members] = day[np.minimum(step, inside - 1), members]
            reason[members] = code
        return cls(day, month, is_renewal, lagged, end, leaves, reason, notice)


def _voluntary_ends(clock: Clock, day: IntArray, needed: FloatArray, paid: IntArray) -> IntArray:
    """Return the day on which each account leaves, FAR if it stays.

    `needed` is the hazard level from which on an account leaves at a step; bisection finds the
    level that gives the wanted rate.
    """
    columns = np.arange(day.shape[1])

    def ends(level: float) -> IntArray:
        leaves = needed < level
        step = leaves.argmax(axis=0)
        return np.where(leaves.any(axis=0), day[step, columns], FAR)

    low, high = -15.0, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        end = ends(middle)
        churned = int((end < clock.days).sum())
        lived = np.minimum(end, clock.days) - np.maximum(paid, 0)
        years = np.maximum(lived, 0).sum() / 365.25
        if churned > VOLUNTARY_CHURN_PER_YEAR * years:
            high = middle
        else:
            low = middle
    return ends(high)


@dataclass
class _Running:
    """The open subscription row of every account while the months pass."""

    start: IntArray
    renews: IntArray
    seats: IntArray
    mrr: FloatArray
    plan: IntArray


def _contracts(
    clock: Clock, seed: int, population: Population, endings: _Endings
) -> tuple[Terms, Changes]:
    """Write subscription rows: past terms, renewals, upgrades, contractions and endings."""
    rng = stage_rng(seed, "contracts")
    count = len(population.role)
    rows: list[tuple[npt.NDArray[Any], ...]] = []
    changes: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    running = _past_terms(clock, population, endings, rows)
    can_change = ~population.has_role(*_NEVER_CHANGE)

    def close(who: IntArray, day: IntArray, cancelled: bool) -> None:
        notice = endings.notice_day[who] if cancelled else np.full(len(who), FAR)
        notice = np.where(notice < FAR, np.maximum(notice, running.start[who] + 1), FAR)
        rows.append(_term_rows(who, running, day, cancelled, notice))

    def note(who: IntArray, day: IntArray, kind: int, amount: FloatArray) -> None:
        changes.append((who, day, np.full(len(who), kind), amount))

    for step in range(endings.day.shape[0]):
        day, lagged = endings.day[step], endings.lagged[step]
        growth, shrink, factor, upgrade = (rng.random(count) for _ in range(4))
        alive = (day < clock.days) & (population.paid_day < FAR)
        ends = alive & (day == endings.end_day)
        alive &= day < endings.end_day
        in_notice = day >= endings.notice_day
        renews = alive & endings.is_renewal[step]
        grows = alive & can_change & ~in_notice
        grows &= growth < -np.expm1(-0.018 * np.exp(EXPANSION_SLOPE * lagged))
        shrinks = alive & can_change & ~grows & ~in_notice & (renews | ~population.is_annual)
        rate = np.where(population.is_annual, 0.06, 0.006) * np.exp(-lagged)
        shrinks &= shrink < -np.expm1(-rate)
        climbs = grows & (upgrade < 0.2) & (running.plan < 2)

        old = running.mrr.copy()
        changed = np.flatnonzero(renews | grows | shrinks)
        close(changed, day[changed], cancelled=False)
        ratio = np.where(grows, 1.12 + 0.5 * factor, np.where(shrinks, 0.6 + 0.3 * factor, 1.0))
        seats = np.round(running.seats * ratio).astype(np.int64)
        seats = np.where(grows, np.maximum(seats, running.seats + 1), seats)
        seats = np.where(shrinks, np.maximum(seats, np.minimum(running.seats, 1)), seats)
        price = ratio * np.where(climbs, 1.5, 1.0) * np.where(renews & ~shrinks, 1.03, 1.0)
        running.seats = seats
        running.mrr = np.round(running.mrr * price, 2)
        running.plan = running.plan + climbs
        late = renews & (population.role == Role.LATE_RENEWAL)
        running.start = np.where(renews | grows | shrinks, day + 10 * late, running.start)
        next_term = clock.add_months(clock.before_month_end(day), 12)
        running.renews = np.where(renews, next_term, running.renews)

        gone = np.flatnonzero(ends)
        close(gone, day[gone], cancelled=True)
        running.start[gone] = FAR
        for kind, mask, amount in (
            (0, renews, running.mrr),
            (1, grows, running.mrr - old),
            (2, shrinks, running.mrr - old),
            (3, ends & (endings.reason == 0), -old),
        ):
            who = np.flatnonzero(mask)
            note(who, day[who], kind, 12 * amount[who])

    open_rows = np.flatnonzero((running.start < FAR) & (population.paid_day < FAR))
    rows.append(
        _term_rows(
            open_rows,
            running,
            np.full(len(open_rows), FAR),
            False,
            endings.notice_day[open_rows],
        )
    )
    rows.append(_trial_rows(clock, population))
    return _sorted_terms(rows), Changes(
        *(np.concatenate([part[i] for part in changes]) for i in range(4))
    )


def _past_terms(
    clock: Clock,
    population: Population,
    endings: _Endings,
    rows: list[tuple[npt.NDArray[Any], ...]],
) -> _Running:
    """Write the annual terms that were over before the window and return the running rows."""
    paid = np.where(population.paid_day < FAR, population.paid_day, 0)
    paid = clock.before_month_end(paid)
    is_annual = population.is_annual
    terms = np.where(is_annual, np.maximum(endings.month[0] - 1, 0) // 12, 0)
    terms = np.where(population.paid_day < FAR, terms, 0)
    for term in range(int(terms.max(initial=0))):
        who = np.flatnonzero(terms > term)
        shrunk = 0.93 ** (terms[who] - term)
        past = _Running(
            start=clock.add_months(paid[who], 12 * term),
            renews=clock.add_months(paid[who], 12 * (term + 1)),
            seats=np.round(population.seats[who] * shrunk).astype(np.int64),
            mrr=np.round(population.mrr[who] * shrunk, 2),
            plan=population.plan[who],
        )
        own = np.arange(len(who))
        never = np.full(len(who), FAR)
        row = _term_rows(own, past, past.renews, False, never)
        rows.append((who, *row[1:]))
    return _Running(
        start=clock.add_months(paid, 12 * terms),
        renews=np.where(is_annual, clock.add_months(paid, 12 * (terms + 1)), FAR),
        seats=np.where(population.role == Role.ZERO_SEATS, 0, population.seats),
        mrr=population.mrr.copy(),
        plan=population.plan.copy(),
    )


def _term_rows(
    who: IntArray, running: _Running, end: IntArray, cancelled: bool, notice: IntArray
) -> tuple[npt.NDArray[Any], ...]:
    """Return the fields of Terms for the running rows of `who`, ended on `end`."""
    return (
        who,
        running.start[who],
        end,
        running.renews[who],
        running.seats[who],
        running.mrr[who],
        running.plan[who],
        np.zeros(len(who), dtype=bool),
        np.full(len(who), cancelled),
        notice,
    )


def _trial_rows(clock: Clock, population: Population) -> tuple[npt.NDArray[Any], ...]:
    """Return the fields of Terms for the trials: MRR 0, ended when the trial is over."""
    who = np.flatnonzero(population.trial_end_day < FAR)
    end = population.trial_end_day[who]
    far = np.full(len(who), FAR)
    return (
        who,
        population.created_day[who],
        np.where(end < clock.days, end, FAR),
        far,
        population.seats[who],
        np.zeros(len(who)),
        population.plan[who],
        np.ones(len(who), dtype=bool),
        np.zeros(len(who), dtype=bool),
        far,
    )


def _sorted_terms(rows: list[tuple[npt.NDArray[Any], ...]]) -> Terms:
    """Join the collected rows and sort them by account and start."""
    fields = [np.concatenate([row[i] for row in rows]) for i in range(10)]
    order = np.lexsort((fields[1], fields[0]))
    return Terms(*(column[order] for column in fields))


def _assemble(
    clock: Clock,
    seed: int,
    population: Population,
    health: npt.NDArray[np.float32],
    *,
    troubles: Troubles,
    endings: _Endings,
    terms: Terms,
    changes: Changes,
) -> World:
    """Put the results together and add what depends on all of them."""
    rng = stage_rng(seed, "endings of others")
    count = len(population.role)
    lost = population.role == Role.TRIAL_LOST
    end_day = np.where(lost, population.trial_end_day, endings.end_day)
    deleted = np.full(count, FAR)
    members = population.role == Role.DELETED
    deleted[members] = clock.days - rng.integers(30, 70, int(members.sum()))

    plan_now, seats_now = population.plan.copy(), population.seats.copy()
    paid_rows = ~terms.is_trial
    # Rows are in the order of their start, so the last assignment to an account wins.
    plan_now[terms.account[paid_rows]] = terms.plan[paid_rows]
    seats_now[terms.account[paid_rows]] = terms.seats[paid_rows]
    seats_peak = population.seats.copy()
    np.maximum.at(seats_peak, terms.account, terms.seats)
    grown = np.full(count, FAR)
    expansions = changes.kind == 1
    np.minimum.at(grown, changes.account[expansions], changes.day[expansions])

    merged_into = np.full(count, -1)
    staying = np.flatnonzero(
        population.has_role(Role.ORDINARY) & (end_day == FAR) & (population.created_day < 0)
    )
    merged = np.flatnonzero(population.role == Role.MERGED)
    merged_into[merged] = rng.choice(staying, len(merged))
    digits = max(4, len(str(2 * count)))
    return World(
        clock=clock,
        seed=seed,
        population=population,
        account_ids=padded_ids("A", np.arange(1, count + 1), digits),
        health=health,
        troubles=troubles,
        end_day=end_day,
        churn_reason=endings.reason,
        merged_into=merged_into,
        deleted_day=deleted,
        terms=terms,
        changes=changes,
        plan_now=plan_now,
        seats_now=seats_now,
        seats_peak=seats_peak,
        grown_day=grown,
    )


__all__ = ["Changes", "Population", "Role", "Terms", "World", "build_world"]
