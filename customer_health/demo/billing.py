"""Billing: subscriptions, invoices and exchange rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from customer_health.demo.columns import (
    DAY_US,
    FAR,
    HOUR_US,
    NEVER,
    BoolArray,
    FloatArray,
    IntArray,
    id_width,
    instants,
    loaded,
    padded_ids,
    pick,
    raw_table,
    sigmoid,
    stage_rng,
)
from customer_health.demo.troubles import Aspect
from customer_health.demo.world import CURRENCIES, PLANS, USD_RATES, Role, World

_STATUSES = ("trialing", "active", "past_due", "cancelled")
_INVOICE_TYPES = ("charge", "refund")
_INVOICE_STATUSES = ("paid", "open", "overdue", "void")


@dataclass(frozen=True)
class _Invoices:
    """Invoices, sorted by issue; instants in microseconds since 1970, NEVER for not yet."""

    term: IntArray  # row of Terms
    account: IntArray
    is_refund: BoolArray
    amount: FloatArray
    issued: IntArray
    due: IntArray
    paid: IntArray
    status: IntArray


def billing(world: World) -> dict[str, pa.Table]:
    """Return subscriptions and invoices; open rows of late payers are `past_due`."""
    ids = padded_ids("S", np.arange(1, len(world.terms.account) + 1), _width(world))
    invoices = _make_invoices(world)
    return {
        "billing_subscriptions": _subscriptions(world, ids, invoices),
        "billing_invoices": _invoice_table(world, ids, invoices),
    }


def _width(world: World) -> int:
    return id_width(len(world.terms.account))


def _subscriptions(world: World, ids: pa.Array, invoices: _Invoices) -> pa.Table:
    """Return one row per term.

    A row that was superseded (renewed, upgraded) keeps the status it ran under: only an ending
    is `cancelled`, and a trial stays `trialing`.
    """
    terms, people, clock = world.terms, world.population, world.clock
    rng = stage_rng(world.seed, "billing_subscriptions")
    is_open = (terms.end_day == FAR) & ~terms.is_trial
    long_overdue = invoices.account[
        (invoices.paid == NEVER) & (invoices.due < clock.end_us - 20 * DAY_US)
    ]
    late = is_open & np.isin(terms.account, long_overdue)
    status = np.where(terms.is_trial, 0, np.where(late, 2, 1))
    status = np.where(terms.is_cancelled, 3, status)
    # A trial starts in the moment of sign-up, everything else at midnight.
    started = np.where(
        terms.is_trial, people.created_us[terms.account], clock.instants(terms.start_day)
    )
    ended = np.where(terms.end_day < FAR, clock.instants(terms.end_day), NEVER)
    notice_us = clock.instants(terms.cancel_day + rng.uniform(0.3, 0.9, len(ids)))
    notice = np.where(terms.cancel_day < FAR, notice_us, NEVER)
    renews = np.where(terms.renews_day < FAR, clock.instants(terms.renews_day), NEVER)
    updated = np.maximum(np.maximum(started, ended), notice)
    updated = np.minimum(updated + rng.integers(0, 3_600, len(ids)) * 1_000_000, clock.end_us - 1)
    months = np.where(people.is_annual[terms.account] & ~terms.is_trial, 12, 1)
    return raw_table(
        "billing_subscriptions",
        {
            "subscription_id": ids,
            "account_id": world.account_ids.take(pa.array(terms.account)),
            "plan": pick(PLANS, terms.plan),
            "seats": terms.seats,
            "mrr_amount": terms.mrr,
            "currency_code": pick(CURRENCIES, people.currency[terms.account]),
            "started_at": instants(started),
            "ended_at": instants(ended),
            "renews_at": instants(renews),
            "cancel_requested_at": instants(notice),
            "status": pick(_STATUSES, status),
            "billing_period_months": months,
            "updated_at": instants(updated),
            "loaded_at": loaded(rng, updated, clock),
        },
    )


def _make_invoices(world: World) -> _Invoices:
    """Bill every term in advance, credit what a mid-term change leaves unused."""
    terms, clock = world.terms, world.clock
    rng = stage_rng(world.seed, "billing_invoices")
    annual = world.population.is_annual[terms.account]
    until = np.minimum(terms.end_day, clock.days)
    last = clock.before_month_end(until)
    start = clock.before_month_end(terms.start_day)
    months = np.maximum(clock.months_between(start, last), 0)
    months += clock.add_months(start, months) < until  # a begun month is billed
    renews = np.where(terms.renews_day < FAR, terms.renews_day, start)
    ahead = np.maximum(clock.months_between(start, renews), 1)
    billed = np.where(annual, 1, months)
    billed = np.where(terms.is_trial | (terms.mrr <= 0) | (start >= clock.days), 0, billed)

    term = np.repeat(np.arange(len(billed)), billed)
    period = np.arange(len(term)) - np.repeat(np.cumsum(billed) - billed, billed)
    amount = terms.mrr[term] * np.where(annual[term], ahead[term], 1)
    issued_day = clock.add_months(start[term], period)

    cut = annual & (terms.end_day < np.minimum(terms.renews_day, clock.days)) & (billed > 0)
    credit_term = np.flatnonzero(cut)
    unused = np.maximum(clock.months_between(last[cut], renews[cut]), 0)
    credit_term, unused = credit_term[unused > 0], unused[unused > 0]
    is_refund = np.concatenate([np.zeros(len(term), bool), np.ones(len(credit_term), bool)])
    amount = np.concatenate([amount, -terms.mrr[credit_term] * unused])
    issued_day = np.concatenate([issued_day, terms.end_day[credit_term]])
    term = np.concatenate([term, credit_term])
    order = np.lexsort((term, issued_day))
    return _payments(
        rng,
        world,
        term[order],
        is_refund=is_refund[order],
        amount=amount[order],
        issued_day=issued_day[order],
    )


def _payments(
    rng: np.random.Generator,
    world: World,
    term: IntArray,
    *,
    is_refund: BoolArray,
    amount: FloatArray,
    issued_day: IntArray,
) -> _Invoices:
    """Decide when invoices are paid: unhealthy accounts pay late, bankrupt ones not at all."""
    clock, count = world.clock, len(term)
    account = world.terms.account[term]
    issued = clock.instants(issued_day) + rng.integers(1, 11, count) * HOUR_US
    net_days = np.where(world.population.is_annual[account], 30, 14)
    due = issued + net_days * DAY_US
    health = world.health_on(Aspect.MONEY, account, issued_day)
    is_late = rng.random(count) < sigmoid(-2.0 - 0.9 * health)
    delay = rng.gamma(1.5, 9.0, count) * np.exp(-0.3 * health)
    late_days = np.where(is_late, 1 + delay, -net_days * rng.beta(1.2, 3.0, count))
    paid = due + (late_days * DAY_US).astype(np.int64)
    paid = np.where(is_refund, issued + 2 * DAY_US, paid)
    end_us = clock.instants(np.minimum(world.end_day, FAR))[account]
    bankrupt = world.population.role[account] == Role.INVOLUNTARY
    unpaid = bankrupt & (issued > end_us - 80 * DAY_US)
    quarrel = (world.churn_reason[account] == 0) & (issued > end_us - 40 * DAY_US)
    unpaid |= quarrel & (rng.random(count) < 0.3)
    unpaid &= ~is_refund
    paid = np.where(unpaid | (paid >= clock.end_us), NEVER, paid)
    status = np.where(paid > NEVER, 0, np.where(due < clock.end_us, 2, 1))
    written_off = (status == 2) & (end_us < clock.end_us - 60 * DAY_US)
    return _Invoices(
        term=term,
        account=account,
        is_refund=is_refund,
        amount=np.round(amount, 2),
        issued=issued,
        due=due,
        paid=paid,
        status=np.where(written_off, 3, status),
    )


def overdue(world: World, days: int) -> tuple[IntArray, FloatArray]:
    """Return account and day of every invoice that is not paid so many days after it was due."""
    invoices, clock = _make_invoices(world), world.clock
    limit = invoices.due + days * DAY_US
    is_late = (limit < clock.end_us) & ((invoices.paid == NEVER) | (invoices.paid > limit))
    first_us = clock.instants(np.array([0]))[0]
    return invoices.account[is_late], (limit[is_late] - first_us) / DAY_US


def _invoice_table(world: World, subscription_ids: pa.Array, invoices: _Invoices) -> pa.Table:
    """Return the raw table of invoices, those issued before the end of the window."""
    known = invoices.issued < world.clock.end_us
    term, account = invoices.term[known], invoices.account[known]
    rng = stage_rng(world.seed, "billing_invoices loaded")
    paid = invoices.paid[known]
    moved = np.maximum(invoices.issued[known], paid)
    return raw_table(
        "billing_invoices",
        {
            "invoice_id": padded_ids("I", np.arange(1, len(term) + 1), id_width(len(term))),
            "account_id": world.account_ids.take(pa.array(account)),
            "subscription_id": subscription_ids.take(pa.array(term)),
            "invoice_type": pick(_INVOICE_TYPES, invoices.is_refund[known].astype(np.int64)),
            "amount": invoices.amount[known],
            "currency_code": pick(CURRENCIES, world.population.currency[account]),
            "issued_at": instants(invoices.issued[known]),
            "due_at": instants(invoices.due[known]),
            "paid_at": instants(paid),
            "status": pick(_INVOICE_STATUSES, invoices.status[known]),
            "loaded_at": loaded(rng, moved, world.clock),
        },
    )


def exchange_rates(world: World) -> pa.Table:
    """Return weekly rates to USD, from before the first subscription to the end of the window."""
    clock = world.clock
    rng = stage_rng(world.seed, "billing_exchange_rates")
    first = min(0, int(world.terms.start_day.min(initial=0))) - 7
    first -= int(clock.weekday(np.array([first]))[0])  # on Mondays
    day = np.arange(first, clock.days, 7)
    steps = rng.normal(0.0, 0.006, (len(day), len(CURRENCIES)))
    steps[:, 0] = 0.0
    drift = np.zeros(len(CURRENCIES))
    rates = np.empty((len(day), len(CURRENCIES)))
    for week in range(len(day)):
        drift = 0.98 * drift + steps[week]
        rates[week] = np.round(USD_RATES * np.exp(drift), 6)
    dates = np.repeat(day, len(CURRENCIES))
    codes = np.tile(np.arange(len(CURRENCIES)), len(day))
    return raw_table(
        "billing_exchange_rates",
        {
            "currency_code": pick(CURRENCIES, codes),
            "rate_date": pa.array(clock.dates(dates)),
            "rate_to_reporting_currency": rates.reshape(-1),
            "loaded_at": loaded(rng, clock.instants(dates), clock),
        },
    )
