"""CRM, support, survey, onboarding, marketing and success records: views of the world's health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from customer_health.demo import billing, names
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
    optional,
    padded_ids,
    pick,
    raw_table,
    sigmoid,
    stage_rng,
)
from customer_health.demo.troubles import Aspect
from customer_health.demo.usage import Users
from customer_health.demo.world import (
    CHURN_REASONS,
    CURRENCIES,
    PLANS,
    REGIONS,
    SEGMENTS,
    USD_RATES,
    Changes,
    Role,
    World,
)

_CONTACT_ROLES = ("champion", "sponsor", "admin", "user", "billing")
_WITH_LOGIN = (0, 2, 3)  # roles of contacts that are product users as well
_MILESTONES = (  # key, weight, due after days
    ("kickoff", 0.10, 7),
    ("data_connected", 0.25, 21),
    ("first_report", 0.20, 30),
    ("team_invited", 0.15, 45),
    ("go_live", 0.30, 60),
)
_MILESTONES_SINCE_DAY = -400  # accounts that are older had no onboarding plan yet
# What makes a CSM act: the mean health of the last weeks in an aspect lies at or below a level.
_LOWS = (  # playbook, aspect, level, least ARR in USD, weeks until it is worth doing again
    ("critical_entered", Aspect.OVERALL, -1.6, 0, 6),
    ("at_risk_held", Aspect.OVERALL, -0.5, 10_000, 7),
    ("adoption_low", Aspect.USAGE, -0.2, 0, 9),
    ("support_pain", Aspect.SERVICE, -1.9, 0, 9),
    ("champion_silent", Aspect.USAGE, 0.2, 5_000, 5),
    ("checkin_overdue", Aspect.MOOD, -0.3, 8_000, 3),
)
_UNUSED_LEVEL, _UNUSED_WEEKS = 0.0, 13  # growth plan only: it includes what they do not use
_CHAMPION_ARR = 5_000  # from here on a champion who left is worth a call
_EXPANSION_LEVEL, _EXPANSION_WEEKS = 0.9, 13  # the same upwards, in what people say
_FALL, _FALL_WEEKS = 0.9, 4  # of the overall health, in so many weeks
_SEEN_WEEKS = 4  # troubles show in a score by the mean of so many weeks
_OVERDUE_DAYS = 30
_RENEWAL_DAYS = 90
_DROPPED_PLAYBOOK = "quarterly_call"  # some go on doing what no playbook asks for any more


def _csm(world: World) -> IntArray:
    """Return the CSM number of every account, -1 for the small ones that share a mailbox."""
    rng = stage_rng(world.seed, "csm")
    team = max(4, world.count // 40)
    own = rng.integers(0, team, world.count)
    pooled = (world.population.segment == 0) & (rng.random(world.count) < 0.2)
    return np.where(pooled, -1, own)


def _csm_ids(csm: IntArray) -> pa.Array:
    return padded_ids("csm_", np.where(csm < 0, -1, csm + 1), 3)


def crm_accounts(world: World) -> pa.Table:
    """Return one row per account, as the CRM shows it at the end of the window."""
    rng = stage_rng(world.seed, "crm_accounts")
    people, clock, count = world.population, world.clock, world.count
    plain = names.account_names(rng, count)
    odd_places = rng.permutation(count)[: len(names.ODD_NAMES)]
    odd = np.full(count, -1)
    odd[odd_places] = np.arange(len(odd_places))
    account_names = pc.coalesce(pick(names.ODD_NAMES, odd), plain)
    slug = pc.replace_substring(pc.utf8_lower(plain), " ", "-")
    domain = pc.binary_join_element_wise(slug, "example", ".")
    no_domain = rng.random(count) < 0.03
    parent = _parents(rng, world)
    segment = people.segment
    cadence = np.array([90, 60, 30])[segment]
    has_cadence = (segment > 0) | (rng.random(count) < 0.3)
    churned = np.where(world.churn_reason >= 0, clock.instants(world.end_day), NEVER)
    trial_end = np.where(people.trial_end_day < FAR, clock.instants(people.trial_end_day), NEVER)
    deleted = world.deleted_day < FAR
    last_change = np.full(count, NEVER)
    before = world.changes.day < clock.days
    np.maximum.at(
        last_change, world.changes.account[before], clock.instants(world.changes.day[before])
    )
    edited = clock.instants(
        np.maximum(world.active_from, clock.days - 1 - rng.exponential(90, count))
    )
    deleted_us = np.where(deleted, clock.instants(world.deleted_day + 0.5), NEVER)
    updated = np.maximum.reduce([last_change, edited, people.created_us, deleted_us])
    updated = np.where(world.churn_reason >= 0, np.maximum(churned, last_change), updated)
    updated = np.where(deleted, deleted_us, updated)
    updated = np.minimum(updated + 60_000_000, clock.end_us - 1_000_000)
    return raw_table(
        "crm_accounts",
        {
            "account_id": world.account_ids,
            "account_name": account_names,
            "parent_account_id": _other_account(world, parent),
            "domain": pc.if_else(pa.array(no_domain), None, domain),
            "segment": pick(SEGMENTS, segment),
            "industry": pick(names.INDUSTRIES, rng.integers(0, len(names.INDUSTRIES), count)),
            "region": pick(REGIONS, people.region),
            "plan": pick(PLANS, world.plan_now),
            "seats_licensed": world.seats_now,
            "csm_id": _csm_ids(_csm(world)),
            "created_at": instants(people.created_us),
            "trial_ends_at": instants(trial_end),
            "churned_at": instants(churned),
            "churn_reason": pick(CHURN_REASONS, world.churn_reason),
            "merged_into_account_id": _other_account(world, world.merged_into),
            "is_deleted": deleted,
            "review_cadence_days": optional(cadence, has_cadence),
            "updated_at": instants(updated),
            "loaded_at": loaded(rng, updated, clock),
        },
    )


def _other_account(world: World, account: IntArray) -> pa.Array:
    return world.account_ids.take(pa.array(account, mask=account < 0))


def _parents(rng: np.random.Generator, world: World) -> IntArray:
    """Give about 3% of the ordinary accounts two to four children; return each one's parent."""
    parent = np.full(world.count, -1)
    free = np.flatnonzero(world.population.has_role(Role.ORDINARY))
    free = rng.permutation(free)
    families = max(1, world.count * 3 // 100)
    families = min(families, len(free) // 5)
    sizes = rng.integers(2, 5, families)
    heads, children = free[:families], free[families : families + sizes.sum()]
    parent[children] = np.repeat(heads, sizes)[: len(children)]
    return parent


@dataclass(frozen=True)
class Contacts:
    """People at the accounts, sorted by account; `first` has accounts + 1 entries."""

    first: IntArray
    steady: IntArray  # per account: contacts from `first` on, without a later successor
    champion_left_day: IntArray  # per account: when the first of them leaves, FAR: stays
    ids: pa.Array


def crm_contacts(world: World, users: Users) -> tuple[Contacts, pa.Table]:
    """Return contacts; champions leave when the world says so, and half are replaced."""
    rng = stage_rng(world.seed, "crm_contacts")
    people, clock, count = world.population, world.clock, world.count
    plain = np.array([2, 3, 5])[people.segment] + rng.integers(0, 3, count)
    lives = (people.champion_left_day >= world.active_from) & (
        people.champion_left_day < world.active_to - 1
    )
    new_day = people.champion_left_day + rng.integers(20, 90, count)
    replaced = lives & (rng.random(count) < 0.5) & (new_day < world.active_to)
    per_account = plain + replaced
    account = np.repeat(np.arange(count), per_account)
    first = np.concatenate([[0], np.cumsum(per_account)])
    place = np.arange(len(account)) - first[account]
    # Champion, admin, billing, then sponsor in larger accounts, then users; the successor last.
    order = np.array([0, 2, 4, 1, 3, 3, 3, 3, 3])
    role = order[np.minimum(place, len(order) - 1)]
    is_small = people.segment[account] == 0
    role = np.where(is_small & (role == 1), 3, role)
    successor = (place == plain[account]) & replaced[account]
    role = np.where(successor, 0, role)

    left = (place == 0) & lives[account]
    left_us = np.where(left, clock.instants(people.champion_left_day + 0.6)[account], NEVER)
    created = people.created_us[account] + (rng.exponential(6.0, len(account)) * DAY_US).astype(
        np.int64
    )
    latest = clock.instants(np.maximum(world.active_to - 1, world.active_from))[account]
    created = np.where(place > 0, np.minimum(created, latest), people.created_us[account])
    created = np.maximum(created, people.created_us[account])
    created = np.where(successor, clock.instants(new_day + 0.4)[account], created)
    updated = np.maximum(created, left_us)

    has_login = np.isin(role, _WITH_LOGIN) & ~successor & (place < np.diff(users.first)[account])
    user = np.where(has_login, users.first[account] + place, -1)
    ids = padded_ids("C", np.arange(1, len(account) + 1), id_width(len(account)))
    table = raw_table(
        "crm_contacts",
        {
            "contact_id": ids,
            "account_id": world.account_ids.take(pa.array(account)),
            "user_id": users.ids.take(pa.array(user, mask=user < 0)),
            "role": pick(_CONTACT_ROLES, role),
            "is_active": ~left,
            "left_at": instants(left_us),
            "created_at": instants(created),
            "updated_at": instants(updated),
            "loaded_at": loaded(rng, updated, clock),
        },
    )
    left_day = np.where(lives, people.champion_left_day, FAR)
    return Contacts(first, plain, left_day, ids), table


def _moments(
    rng: np.random.Generator, world: World, weekly_rate: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Draw moments from weekly rates (accounts × weeks) while accounts live.

    Returns account and day (with a fraction, working hours more often), sorted by day.
    """
    hits = rng.poisson(weekly_rate)
    account, week = np.nonzero(hits)
    times = hits[account, week]
    account, week = np.repeat(account, times), np.repeat(week, times)
    day = 7 * week + rng.integers(0, 7, len(account)) + 0.25 + 0.6 * rng.beta(2, 2, len(account))
    keep = world.is_active(account, day)
    account, day = account[keep], day[keep]
    order = np.lexsort((account, day))
    return account[order], day[order]


def _contact_of(
    rng: np.random.Generator, contacts: Contacts, account: IntArray, day: FloatArray
) -> IntArray:
    """Pick a contact of each account, not the champion after he or she has left."""
    place = rng.integers(0, contacts.steady[account])
    left = (place == 0) & (day >= contacts.champion_left_day[account])
    contact: IntArray = contacts.first[account] + place + left
    return contact


def crm_touchpoints(world: World, contacts: Contacts) -> pa.Table:
    """Return calls, meetings, mails and reviews: healthy accounts answer, weak ones are chased."""
    rng = stage_rng(world.seed, "crm_touchpoints")
    health = world.weekly_health(Aspect.MOOD)
    base = np.array([0.12, 0.4, 0.8])[world.population.segment][:, None]
    mutual = base * np.exp(0.55 * health)
    chasing = 0.5 * base * np.exp(-0.15 * health)
    account, day = _moments(rng, world, mutual + chasing)
    week = (day // 7).astype(np.int64)
    share = (mutual / (mutual + chasing))[account, week]
    two_way = rng.random(len(account)) < share
    inbound = ~two_way & (rng.random(len(account)) < 0.25)
    direction = np.where(two_way, 2, np.where(inbound, 0, 1))
    talk = rng.choice([0, 1, 3], len(account), p=[0.5, 0.38, 0.12])
    channel = np.where(two_way, talk, 2)
    occurred = world.clock.instants(day)
    planned = occurred + rng.integers(14, 60, len(account)) * DAY_US
    has_plan = two_way & (rng.random(len(account)) < 0.6)
    contact = _contact_of(rng, contacts, account, day)
    return raw_table(
        "crm_touchpoints",
        {
            "touchpoint_id": padded_ids(
                "P", np.arange(1, len(account) + 1), id_width(len(account))
            ),
            "account_id": world.account_ids.take(pa.array(account)),
            "contact_id": contacts.ids.take(pa.array(contact)),
            "channel": pick(("call", "meeting", "email", "review"), channel),
            "direction": pick(("inbound", "outbound", "two_way"), direction),
            "occurred_at": instants(occurred),
            "next_planned_at": instants(np.where(has_plan, planned, NEVER)),
            "loaded_at": loaded(rng, occurred, world.clock),
        },
    )


def crm_csm_sentiments(world: World) -> pa.Table:
    """Return what CSMs felt, about every six weeks, seeing the health of the week before."""
    rng = stage_rng(world.seed, "crm_csm_sentiments")
    csm = _csm(world)
    rate = np.where(csm < 0, 0.0, np.array([0.05, 0.14, 0.2])[world.population.segment])
    account, day = _moments(rng, world, np.repeat(rate[:, None], world.clock.weeks, axis=1))
    health = world.health_on(Aspect.MOOD, account, day - 7)
    felt = 3.4 + 0.8 * health + rng.normal(0, 0.6, len(account))
    recorded = world.clock.instants(day)
    return raw_table(
        "crm_csm_sentiments",
        {
            "sentiment_id": padded_ids("F", np.arange(1, len(account) + 1), id_width(len(account))),
            "account_id": world.account_ids.take(pa.array(account)),
            "sentiment": np.clip(np.round(felt), 1, 5).astype(np.int64),
            "note_present": rng.random(len(account)) < 0.7,
            "author_id": _csm_ids(csm[account]),
            "recorded_at": instants(recorded),
            "loaded_at": loaded(rng, recorded, world.clock),
        },
    )


def crm_health_overrides(world: World) -> pa.Table:
    """Return a few overrides by CSMs: about half of them still in force at the end."""
    rng = stage_rng(world.seed, "crm_health_overrides")
    clock, csm = world.clock, _csm(world)
    able = (csm >= 0) & (world.active_from < clock.days - 85) & (world.active_to >= clock.days)
    able &= world.population.has_role(Role.ORDINARY)
    chosen = rng.permutation(np.flatnonzero(able))[: max(4, world.count // 100)]
    count = len(chosen)
    in_force = np.arange(count) % 2 == 0
    created = np.where(in_force, rng.integers(3, 25, count), rng.integers(60, 80, count))
    expires = np.where(in_force, rng.integers(10, 45, count), -rng.integers(5, 30, count))
    created_us = clock.instants(clock.days - created + 0.45)
    # Trust is lent to weak accounts, doubt to strong ones.
    health = world.health_on(Aspect.OVERALL, chosen, np.full(count, clock.days))
    band = np.where(health < 0, 1, 0)
    return raw_table(
        "crm_health_overrides",
        {
            "override_id": padded_ids("V", np.arange(1, count + 1), 6),
            "account_id": world.account_ids.take(pa.array(chosen)),
            "band_key": pick(("at_risk", "healthy"), band),
            "reason": pick(
                names.OVERRIDE_REASONS,
                np.where(band == 1, np.arange(count) % 2 * 4, 1 + np.arange(count) % 3),
            ),
            "author_id": _csm_ids(csm[chosen]),
            "created_at": instants(created_us),
            "expires_at": instants(clock.instants(clock.days + expires)),
            "loaded_at": loaded(rng, created_us, clock),
        },
    )


def crm_action_updates(world: World) -> pa.Table:
    """Return what CSMs wrote about the actions of playbooks: acknowledged, done.

    Which actions will come of the scores nobody knows here, so that the hidden world gives the
    reasons, and some updates match no action. Whether anything was done has no effect on an
    account: the world was made before, and who acts, and how soon, is drawn without a look at
    what comes after. So whoever asks this data whether actions helped must find nothing.
    """
    rng = stage_rng(world.seed, "crm_action_updates")
    clock, csm = world.clock, _csm(world)
    playbook, account, day = _reasons(rng, world)
    # One entry a CSM, and a last one (-1) for the shared mailbox.
    team = int(csm.max(initial=0)) + 1
    reads = rng.uniform(0.4, 0.9, team + 1)
    closes = rng.beta(3.0, 1.5, team + 1)
    closes[rng.permutation(team)[: max(1, team // 5)]] = 0.0  # some never close anything
    who = csm[account]
    acted = rng.random(len(day)) < reads[who]
    playbook, account, day, who = playbook[acted], account[acted], day[acted], who[acted]
    count = len(day)
    seen_day = np.floor(day + rng.uniform(0, 5, count)) + rng.uniform(0.3, 0.5, count)
    done_day = np.floor(day + rng.uniform(2, 20, count)) + rng.uniform(0.5, 0.75, count)
    done_day = np.where(done_day < seen_day, np.floor(seen_day) + 0.75, done_day)
    is_done = rng.random(count) < closes[who]
    # Some close an action without a word before.
    is_seen = ~is_done | (rng.random(count) < 0.8)
    parts = np.concatenate([np.flatnonzero(is_seen), np.flatnonzero(is_done)])
    state = np.repeat([0, 1], [is_seen.sum(), is_done.sum()])
    moment = np.concatenate([seen_day[is_seen], done_day[is_done]])
    order = np.lexsort((state, account[parts], moment))
    order = order[moment[order] < clock.days]
    parts, state, recorded = parts[order], state[order], clock.instants(moment[order])
    return raw_table(
        "crm_action_updates",
        {
            "update_id": padded_ids("D", np.arange(1, len(parts) + 1), id_width(len(parts))),
            "account_id": world.account_ids.take(pa.array(account[parts])),
            "playbook_key": pa.array(playbook[parts], pa.string()),
            "state": pick(("acknowledged", "done"), state),
            "author_id": _csm_ids(who[parts]),
            "recorded_at": instants(recorded),
            "loaded_at": loaded(rng, recorded, clock),
        },
    )


def _reasons(
    rng: np.random.Generator, world: World
) -> tuple[npt.NDArray[np.object_], IntArray, FloatArray]:
    """Return playbook, account and day wherever the world gives a CSM a reason to act."""
    people, terms, clock = world.population, world.terms, world.clock
    found: list[tuple[str, IntArray, npt.NDArray[Any]]] = []
    arr = 12 * people.mrr * USD_RATES[people.currency]
    for playbook, aspect, level, least_arr, weeks in _LOWS:
        is_low = (_seen_health(world, aspect) <= level) & (arr >= least_arr)[:, None]
        found.append((playbook, *_calls(is_low, weeks)))
    growing = (people.plan == PLANS.index("growth"))[:, None]
    little_used = (_seen_health(world, Aspect.USAGE) <= _UNUSED_LEVEL) & growing
    found.append(("feature_unused", *_calls(little_used, _UNUSED_WEEKS)))
    mood = _seen_health(world, Aspect.MOOD)
    found.append(("expansion_ready", *_calls(mood >= _EXPANSION_LEVEL, _EXPANSION_WEEKS)))
    overall = _seen_health(world, Aspect.OVERALL)
    fell = np.zeros(overall.shape, dtype=bool)
    fell[:, _FALL_WEEKS:] = overall[:, _FALL_WEEKS:] <= overall[:, :-_FALL_WEEKS] - _FALL
    found.append(("score_fell", *_calls(fell, 5)))

    gone = np.flatnonzero((people.champion_left_day < FAR) & (arr >= _CHAMPION_ARR))
    found.append(("champion_gone", gone, people.champion_left_day[gone] + 1.0))
    trials = np.flatnonzero(people.trial_end_day < FAR)
    found.append(
        ("trial_ready", trials, people.trial_end_day[trials] - rng.integers(4, 11, len(trials)))
    )
    found.append(("payment_overdue", *billing.overdue(world, _OVERDUE_DAYS)))
    due = np.flatnonzero((terms.renews_day < FAR) & ~terms.is_trial)
    due_account, due_day = terms.account[due], terms.renews_day[due] - float(_RENEWAL_DAYS)
    weak = world.health_on(Aspect.OVERALL, due_account, due_day) < 0
    found.append(("renewal_not_healthy", due_account[weak], due_day[weak]))
    # A CSM's own doubts, and habits: these come at any time.
    for playbook, rate in (("sentiment_gap", 0.006), (_DROPPED_PLAYBOOK, 0.004)):
        weekly = np.full((world.count, clock.weeks), rate)
        found.append((playbook, *_moments(rng, world, weekly)))

    playbook_of = np.repeat(
        np.array([name for name, _, _ in found], dtype=object), [len(day) for *_, day in found]
    )
    account = np.concatenate([which for _, which, _ in found])
    day = np.concatenate([each for *_, each in found]).astype(np.float64)
    kept = world.is_active(account, day)
    # What was seen on a day is known on the next.
    return playbook_of[kept], account[kept], np.ceil(day[kept])


def _seen_health(world: World, aspect: Aspect) -> FloatArray:
    """Return the mean health of the last weeks: accounts × weeks of the window."""
    health = world.weekly_health(aspect)
    sums = np.cumsum(np.pad(health, ((0, 0), (_SEEN_WEEKS, 0)), mode="edge"), axis=1)
    result: FloatArray = (sums[:, _SEEN_WEEKS:] - sums[:, :-_SEEN_WEEKS]) / _SEEN_WEEKS
    return result


def _calls(is_so: BoolArray, weeks: int) -> tuple[IntArray, FloatArray]:
    """Return account and day where something is so (accounts × weeks) that calls for an action.

    It calls when it begins to be so, and again after so many weeks if it still or again is.
    """
    called = np.zeros_like(is_so)
    last = np.full(len(is_so), -weeks)
    for week in range(is_so.shape[1]):
        called[:, week] = is_so[:, week] & (week - last >= weeks)
        last[called[:, week]] = week
    account, in_week = np.nonzero(called)
    # A week is over before its mean is known.
    return account, (7.0 * (in_week + 1)).astype(np.float64)


def crm_opportunities(world: World) -> pa.Table:
    """Return trial conversions, renewals, expansions and contractions, won, lost and open."""
    rng = stage_rng(world.seed, "crm_opportunities")
    sold = [
        _conversions(world),
        _from_changes(rng, world),
        _due_renewals(rng, world),
        _hopes(rng, world),
    ]
    account, kind, stage, amount, created, closed = (
        np.concatenate([part[i] for part in sold]) for i in range(6)
    )
    clock = world.clock
    created_us = clock.instants(created)
    created_us = np.maximum(created_us, world.population.created_us[account] + HOUR_US)
    closed_us = np.where(closed < FAR, clock.instants(closed), NEVER)
    order = np.lexsort((kind, account, created_us))
    account, created_us, closed_us = account[order], created_us[order], closed_us[order]
    return raw_table(
        "crm_opportunities",
        {
            "opportunity_id": padded_ids("O", np.arange(1, len(order) + 1), id_width(len(order))),
            "account_id": world.account_ids.take(pa.array(account)),
            "opportunity_type": pick(
                ("new", "renewal", "expansion", "contraction"), kind[order].astype(np.int64)
            ),
            "stage": pick(("open", "won", "lost"), stage[order].astype(np.int64)),
            "amount": np.round(np.abs(amount[order]), 2),
            "currency_code": pick(CURRENCIES, world.population.currency[account]),
            "created_at": instants(created_us),
            "closed_at": instants(closed_us),
            "loaded_at": loaded(rng, np.maximum(created_us, closed_us), clock),
        },
    )


_Sold = tuple[IntArray, IntArray, IntArray, FloatArray, npt.NDArray[Any], npt.NDArray[Any]]


def _conversions(world: World) -> _Sold:
    """Trials: open while they run, then won or lost."""
    people, clock = world.population, world.clock
    who = np.flatnonzero(people.trial_end_day < FAR)
    over = people.trial_end_day[who] < clock.days
    stage = np.where(over, np.where(people.paid_day[who] < FAR, 1, 2), 0)
    closed = np.where(over, people.trial_end_day[who] - 0.2, FAR)
    created = people.created_day[who] + 0.9
    return who, np.zeros_like(who), stage, 12 * people.mrr[who], created, closed


def _from_changes(rng: np.random.Generator, world: World) -> _Sold:
    """Every change of the contracts had its opportunity; churn of annual accounts a lost one."""
    changes: Changes = world.changes
    annual = world.population.is_annual[changes.account]
    kept = (changes.kind != 3) | annual
    account, day, kind = changes.account[kept], changes.day[kept], changes.kind[kept]
    amount = changes.amount[kept]
    lead = np.where(np.isin(kind, [0, 3]), 90, np.where(kind == 1, 35, 18)) * rng.uniform(
        0.7, 1.1, len(account)
    )
    late = (world.population.role[account] == Role.LATE_RENEWAL) & (kind == 0)
    closed = day - 0.1 - rng.uniform(0, 6, len(account))
    closed = np.where(late, day + 9.6, closed)
    opportunity = np.array([1, 2, 3, 1])[kind]
    stage = np.where(kind == 3, 2, 1)
    return account, opportunity, stage, amount, day - lead, closed


def _due_renewals(rng: np.random.Generator, world: World) -> _Sold:
    """Renewals of the next three months are open."""
    terms, days = world.terms, world.clock.days
    due = (terms.end_day == FAR) & (terms.renews_day < days + 80) & ~terms.is_trial
    due &= terms.renews_day >= days
    account = terms.account[due]
    created = terms.renews_day[due] - 90 + rng.uniform(0, 9, len(account))
    one = np.ones_like(account)
    amount = 12 * terms.mrr[due]
    return account, one, 0 * one, amount, created, np.full(len(account), float(FAR))


def _hopes(rng: np.random.Generator, world: World) -> _Sold:
    """Expansions that salespeople saw and that did not come, or not yet."""
    rate = 0.008 * np.exp(0.5 * world.weekly_health(Aspect.MOOD))
    rate[world.population.has_role(Role.FREE, Role.TRIAL_RUNNING, Role.TRIAL_LOST)] = 0.0
    account, day = _moments(rng, world, rate)
    closed = day + rng.uniform(20, 70, len(account))
    still_open = closed >= world.active_to[account]
    stage = np.where(still_open, 0, 2)
    ended = world.active_to[account] < world.clock.days
    closed = np.where(still_open, np.where(ended, world.active_to[account] - 0.01, FAR), closed)
    stage = np.where(still_open & ended, 2, stage)
    amount = 12 * world.population.mrr[account] * rng.uniform(0.1, 0.4, len(account))
    return account, np.full(len(account), 2), stage, amount, day, closed


def support_tickets(world: World, contacts: Contacts) -> pa.Table:
    """Return tickets: interest asks questions, trouble asks more, harder ones, and rates worse."""
    rng = stage_rng(world.seed, "support_tickets")
    people, clock = world.population, world.clock
    size = np.array([0.09, 0.15, 0.3])[people.segment][:, None]
    age = 7 * np.arange(clock.weeks)[None, :] - people.created_day[:, None]
    interest = np.exp(0.25 * world.weekly_health(Aspect.USAGE)) * np.where(age < 60, 1.7, 1.0)
    pain = 0.5 * np.exp(-0.9 * world.weekly_health(Aspect.SERVICE))
    account, day = _moments(rng, world, size * (interest + np.minimum(pain, 12.0)))
    count = len(account)
    health = world.health_on(Aspect.SERVICE, account, day)
    complexity = 1 + rng.binomial(4, sigmoid(-0.7 - 0.45 * health))
    weight = rng.random(count) - 0.08 * health + 0.08 * (complexity - 2)
    priority = np.searchsorted([0.25, 0.75, 0.95], weight)
    opened = clock.instants(day)
    response = rng.lognormal(1.2, 0.8, count) * np.array([2.0, 1.0, 0.6, 0.3])[priority]
    work = rng.lognormal(3.0, 0.9, count) * complexity / 2 * np.exp(-0.15 * health)
    reopened = rng.poisson(0.12 * np.exp(-0.6 * health))
    responded = opened + (response * HOUR_US).astype(np.int64)
    solved = responded + ((work * (1 + 0.8 * reopened) + 0.1) * HOUR_US).astype(np.int64)
    abandoned = rng.random(count) < 0.01
    end_us = clock.end_us
    answered = responded < end_us
    is_solved = (solved < end_us) & ~abandoned
    is_closed = is_solved & (solved + 7 * DAY_US < end_us)
    status = np.where(is_closed, 3, np.where(is_solved, 2, np.where(answered, 1, 0)))
    rated = is_solved & (rng.random(count) < 0.4)
    rating = 1 + rng.binomial(4, sigmoid(1.5 + 0.75 * health - 0.2 * (complexity - 2)))
    escalated = rng.random(count) < sigmoid(-3.6 + 0.5 * (complexity - 2) - 0.5 * health)
    touched = np.where(answered, responded, opened)
    touched = np.where(is_solved, solved, touched)
    contact = _contact_of(rng, contacts, account, day)
    return raw_table(
        "support_tickets",
        {
            "ticket_id": padded_ids("T", np.arange(1, count + 1), id_width(count)),
            "account_id": world.account_ids.take(pa.array(account)),
            "contact_id": contacts.ids.take(pa.array(contact)),
            "opened_at": instants(opened),
            "first_response_at": instants(np.where(answered, responded, NEVER)),
            "solved_at": instants(np.where(is_solved, solved, NEVER)),
            "status": pick(("open", "pending", "solved", "closed"), status),
            "priority": pick(("low", "normal", "high", "urgent"), priority),
            "complexity": complexity.astype(np.int64),
            "ticket_type": pick(
                ("question", "defect", "request"), rng.choice(3, count, p=[0.5, 0.3, 0.2])
            ),
            "reopen_count": np.where(answered, reopened, 0),
            "is_escalated": escalated,
            "csat_score": optional(rating.astype(np.float64), rated),
            "csat_scale_max": optional(np.full(count, 5.0), rated),
            "updated_at": instants(touched),
            "loaded_at": loaded(rng, touched, clock),
        },
    )


def survey_responses(world: World, contacts: Contacts) -> pa.Table:
    """Return NPS (0-10), CSAT (1-5) and a few CES (1-7) answers."""
    rng = stage_rng(world.seed, "survey_responses")
    size = np.array([0.07, 0.12, 0.25])[world.population.segment][:, None]
    # The content answer a little more often.
    rate = size * np.exp(0.1 * world.weekly_health(Aspect.MOOD))
    account, day = _moments(rng, world, rate)
    count = len(account)
    mood = world.health_on(Aspect.MOOD, account, day) + rng.normal(0, 0.8, count)
    kind = rng.choice(3, count, p=[0.5, 0.42, 0.08])
    low, high = np.array([0.0, 1.0, 1.0])[kind], np.array([10.0, 5.0, 7.0])[kind]
    middle, spread = np.array([7.6, 3.9, 5.0])[kind], np.array([1.4, 0.65, 0.9])[kind]
    score = np.clip(np.round(middle + spread * mood), low, high)
    responded = world.clock.instants(day)
    contact = _contact_of(rng, contacts, account, day)
    return raw_table(
        "survey_responses",
        {
            "response_id": padded_ids("R", np.arange(1, count + 1), id_width(count)),
            "account_id": world.account_ids.take(pa.array(account)),
            "contact_id": contacts.ids.take(pa.array(contact)),
            "survey_type": pick(("nps", "csat", "ces"), kind),
            "score": score,
            "scale_min": low,
            "scale_max": high,
            "responded_at": instants(responded),
            "loaded_at": loaded(rng, responded, world.clock),
        },
    )


def onboarding_milestones(world: World) -> pa.Table:
    """Return five milestones per account since the plan exists; healthy accounts keep the dates."""
    rng = stage_rng(world.seed, "onboarding_milestones")
    people, clock = world.population, world.clock
    who = np.flatnonzero(people.created_day >= _MILESTONES_SINCE_DAY)
    steps = len(_MILESTONES)
    account = np.repeat(who, steps)
    step = np.tile(np.arange(steps), len(who))
    offset = np.array([due for _, _, due in _MILESTONES])[step]
    created = people.created_day[account]
    mood = world.health_on(Aspect.USAGE, account, created + offset // 2)
    pace = np.exp(-0.35 * mood + rng.normal(0, 0.3, len(account)))
    never = rng.random(len(account)) < sigmoid(-3.2 + 0.35 * step - 1.0 * mood)
    done = created + 1 + offset * pace
    done = np.maximum.accumulate(done.reshape(-1, steps), axis=1).reshape(-1)
    happened = ~never & (done < np.minimum(world.end_day, world.deleted_day)[account])
    happened &= done < clock.days
    due = people.created_us[account] + offset * DAY_US
    completed = np.where(happened, clock.instants(done), NEVER)
    return raw_table(
        "onboarding_milestones",
        {
            "milestone_id": padded_ids("M", np.arange(1, len(account) + 1), id_width(len(account))),
            "account_id": world.account_ids.take(pa.array(account)),
            "milestone_key": pick([key for key, _, _ in _MILESTONES], step),
            "weight": np.array([weight for _, weight, _ in _MILESTONES])[step],
            "due_at": instants(due),
            "completed_at": instants(completed),
            "loaded_at": loaded(rng, np.maximum(people.created_us[account], completed), clock),
        },
    )


def marketing_engagements(world: World, contacts: Contacts) -> pa.Table:
    """Return mails sent, opened and clicked, webinars attended and papers downloaded."""
    rng = stage_rng(world.seed, "marketing_engagements")
    clock = world.clock
    health = world.weekly_health(Aspect.MOOD)
    sent_account, sent_day = _moments(rng, world, np.full_like(health, 0.45))
    opened = rng.random(len(sent_account)) < sigmoid(
        -0.4 + 0.7 * world.health_on(Aspect.MOOD, sent_account, sent_day)
    )
    open_account, open_day = (
        sent_account[opened],
        sent_day[opened] + rng.exponential(0.7, opened.sum()),
    )
    clicked = rng.random(len(open_account)) < sigmoid(
        -0.9 + 0.4 * world.health_on(Aspect.MOOD, open_account, open_day)
    )
    click_account = open_account[clicked]
    click_day = open_day[clicked] + rng.exponential(0.01, clicked.sum())
    own_account, own_day = _moments(rng, world, 0.05 * np.exp(0.6 * health))
    attends = rng.random(len(own_account)) < 0.4

    contact_sent = _contact_of(rng, contacts, sent_account, sent_day)
    contact = np.concatenate(
        [
            contact_sent,
            contact_sent[opened],
            contact_sent[opened][clicked],
            _contact_of(rng, contacts, own_account, own_day),
        ]
    )
    account = np.concatenate([sent_account, open_account, click_account, own_account])
    day = np.concatenate([sent_day, open_day, click_day, own_day])
    kind = np.concatenate(
        [
            np.full(len(sent_account), 0),
            np.full(len(open_account), 1),
            np.full(len(click_account), 2),
            np.where(attends, 3, 4),
        ]
    )
    keep = np.flatnonzero(world.is_active(account, day))
    keep = keep[np.lexsort((kind[keep], account[keep], day[keep]))]
    account, day, kind, contact = account[keep], day[keep], kind[keep], contact[keep]
    occurred = clock.instants(day)
    return raw_table(
        "marketing_engagements",
        {
            "engagement_id": padded_ids(
                "G", np.arange(1, len(account) + 1), id_width(len(account))
            ),
            "account_id": world.account_ids.take(pa.array(account)),
            "contact_id": contacts.ids.take(pa.array(contact)),
            "channel": pick(("email", "webinar", "website"), np.array([0, 0, 0, 1, 2])[kind]),
            "engagement_type": pick(("sent", "open", "click", "attend", "download"), kind),
            "occurred_at": instants(occurred),
            "loaded_at": loaded(rng, occurred, clock),
        },
    )


def success_goals(world: World) -> pa.Table:
    """Return what customers want to reach, as the success plan shows it at the end."""
    rng = stage_rng(world.seed, "success_goals")
    people, clock = world.population, world.clock
    has_plan = rng.random(world.count) < np.array([0.3, 0.8, 0.95])[people.segment]
    has_plan &= world.active_to > world.active_from
    has_plan &= ~people.has_role(Role.TRIAL_RUNNING, Role.TRIAL_LOST)
    goals = np.where(has_plan, rng.integers(1, 4, world.count), 0)
    account = np.repeat(np.arange(world.count), goals)
    count = len(account)
    last_day = world.active_to[account] - 1
    begun = np.maximum(people.created_day[account], last_day - rng.integers(60, 300, count))
    length = rng.integers(120, 330, count)
    elapsed = np.clip((last_day - begun) / length, 0.0, 1.3)
    health = world.health_on(Aspect.USAGE, account, last_day)
    drive = 0.85 + 0.3 * health + rng.normal(0, 0.2, count)
    progress = np.clip(elapsed * drive, -0.1, 1.1)
    baseline = np.round(rng.uniform(5, 60, count), 1)
    growth = rng.uniform(0.3, 1.2, count) * np.where(rng.random(count) < 0.3, -0.5, 1.0)
    target = np.round(baseline * (1 + growth), 1)
    current = np.round(baseline + (target - baseline) * progress, 1)
    achieved = progress >= 1.0
    updated_day = np.maximum(last_day + 0.5 - rng.exponential(9, count), begun + 0.6)
    updated_day = np.minimum(updated_day, last_day + 0.9)
    updated = np.maximum(clock.instants(updated_day), people.created_us[account] + HOUR_US)
    updated = np.minimum(updated, clock.end_us - HOUR_US)
    achieved_us = updated - rng.integers(0, 20, count) * DAY_US
    achieved_us = np.maximum(achieved_us, people.created_us[account])
    unknown: BoolArray = rng.random(count) < 0.04
    unknown &= ~achieved
    return raw_table(
        "success_goals",
        {
            "goal_id": padded_ids("L", np.arange(1, count + 1), id_width(count)),
            "account_id": world.account_ids.take(pa.array(account)),
            "goal_name": pick(names.GOALS, rng.integers(0, len(names.GOALS), count)),
            "baseline_value": baseline,
            "target_value": target,
            "current_value": optional(current, ~unknown),
            "due_at": instants(clock.instants(begun + length)),
            "achieved_at": instants(np.where(achieved, achieved_us, NEVER)),
            "updated_at": instants(updated),
            "loaded_at": loaded(rng, updated, clock),
        },
    )
