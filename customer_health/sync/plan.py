"""What a sync would send: the publication compared with what the destination has confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from customer_health.errors import HealthError
from customer_health.sync.config import Limits
from customer_health.sync.ledger import Known
from customer_health.sync.mapping import HASH_BYTES, FieldMapping, Published


class Why(StrEnum):
    """Why a record is sent."""

    NEW = "new"
    CHANGED = "changed"
    AGAIN = "again"  # the answer to its last sending never came
    CLEARED = "cleared"


# What stands for the payload of a record that is cleared; no hash of a row is all zeros.
CLEARED_HASH = bytes(HASH_BYTES)


@dataclass(frozen=True, slots=True)
class Item:
    """A record to send.

    Attributes:
        key: at the destination.
        why: see there.
        hash: of the payload; CLEARED_HASH for one that is cleared.
        band: it would have; None for one that is cleared.
        row: values of the mapping's columns; empty for one that is cleared.
        known: what the ledger knows about it; None for one that it does not know.
    """

    key: str
    why: Why
    hash: bytes
    band: str | None
    row: Sequence[Any]
    known: Known | None

    @property
    def is_clearing(self) -> bool:
        """Whether the account has left."""
        return self.why is Why.CLEARED

    @property
    def earlier_refusals(self) -> int:
        """How often in a row the destination has rejected this payload."""
        if self.known is None or self.known.refused_hash != self.hash:
            return 0
        return self.known.refused_times

    @property
    def was_unsure(self) -> bool:
        """Whether it is unknown what the destination has."""
        return self.known is not None and self.known.is_unsure


@dataclass
class Plan:
    """The difference.

    Attributes:
        items: what to send, by key.
        unchanged: records that the destination has as they are.
        dead: dead letters, which are not sent.
        had: records that the destination has confirmed.
        moves: (band at the destination, band now) -> records among the items.
        settled: keys whose rejected payload is not wanted any more.
        gone: keys that left without the destination ever having had them.
    """

    items: list[Item] = field(default_factory=list)
    unchanged: int = 0
    dead: int = 0
    had: int = 0
    moves: Counter[tuple[str | None, str | None]] = field(default_factory=Counter)
    settled: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Records by what happens to them."""
        by_reason = Counter(item.why for item in self.items)
        return {
            **{str(why): by_reason[why] for why in Why},
            "unchanged": self.unchanged,
            "dead": self.dead,
        }

    @property
    def retried(self) -> int:
        """Records to send whose payload was rejected before."""
        return sum(item.earlier_refusals > 0 for item in self.items)


def make_plan(
    rows: Sequence[tuple[Any, ...]],
    known: Mapping[str, Known],
    mapping: FieldMapping,
    *,
    retry_dead: bool = False,
) -> Plan:
    """Compare the rows of a publication with the ledger.

    Args:
        rows: (key, band, values of the mapping's columns …).
        known: the ledger.
        mapping: of the destination.
        retry_dead: send dead letters too.

    Raises:
        HealthError: for a value that no CRM can take, with its key.
    """
    plan = Plan()
    seen = set()
    values = [row[2:] for row in rows]
    digests = _digests(rows, values, mapping)
    for whole, row, digest in zip(rows, values, digests, strict=True):
        key, band = whole[0], whole[1]
        seen.add(key)
        ours = known.get(key)
        if ours is None:
            plan.items.append(Item(key, Why.NEW, digest, band, row, None))
            continue
        if not ours.is_unsure and ours.confirmed_hash == digest:
            plan.unchanged += 1
            if ours.refused_times:
                plan.settled.append(key)
            continue
        if ours.is_dead and ours.refused_hash == digest and not retry_dead:
            plan.dead += 1
            continue
        why = Why.AGAIN
        if not ours.is_unsure:
            why = Why.NEW if ours.confirmed_hash is None else Why.CHANGED
        if ours.confirmed_hash is not None and ours.confirmed_band != band:
            plan.moves[ours.confirmed_band, band] += 1
        plan.items.append(Item(key, why, digest, band, row, ours))
    for key, ours in known.items():
        if key not in seen:
            _plan_leaving(plan, key, ours, retry_dead=retry_dead)
    plan.had = sum(ours.confirmed_hash is not None for ours in known.values())
    plan.items.sort(key=lambda item: item.key)
    return plan


def _digests(
    rows: Sequence[tuple[Any, ...]], values: Sequence[tuple[Any, ...]], mapping: FieldMapping
) -> list[bytes]:
    """The hashes of all rows.

    Raises:
        HealthError: for a value that no CRM can take, with its key.
    """
    try:
        return mapping.digests(values)
    except (ValueError, HealthError):
        for row in rows:
            try:
                mapping.digests([row[2:]])
            except (ValueError, HealthError) as error:
                raise HealthError(
                    f"record {row[0]!r}: a number that is not finite, or a value of a type that "
                    f"cannot be sent ({error}): look at the publication"
                ) from error
        raise


def _plan_leaving(plan: Plan, key: str, ours: Known, *, retry_dead: bool) -> None:
    """What happens to a record that is no longer in the publication."""
    if ours.confirmed_hash is None and not ours.is_unsure:
        plan.gone.append(key)
    elif ours.is_dead and ours.refused_hash == CLEARED_HASH and not retry_dead:
        plan.dead += 1
    else:
        plan.items.append(Item(key, Why.CLEARED, CLEARED_HASH, None, (), ours))


def shaken(plan: Plan) -> tuple[int, int]:
    """How many records of the destination would change band, and how many would be cleared."""
    cleared = sum(
        item.is_clearing and item.known is not None and item.known.confirmed_hash is not None
        for item in plan.items
    )
    return sum(plan.moves.values()), cleared


def refuse_upheaval(plan: Plan, limits: Limits, plural: str) -> None:
    """The breaker: refuse a sync that would change the picture of too many accounts at once.

    It does not watch a first sync, which finds nothing confirmed, nor new records; and it lets
    `breaker_least` accounts through however few there are, so that a base of ten is not stopped
    by three.

    Raises:
        HealthError: with both numbers and what to do; nothing was sent.
    """
    moved, cleared = shaken(plan)
    if not plan.had or moved + cleared <= max(limits.breaker_least, 0):
        return
    share = (moved + cleared) / plan.had
    if share <= limits.breaker_share:
        return
    raise HealthError(
        f"{moved + cleared:,} of the {plan.had:,} {plural} at the destination ({share:.0%}) would "
        f"change band ({moved:,}) or be cleared ({cleared:,}), more than the "
        f"{limits.breaker_share:.0%} of limits.breaker_share: look with --dry-run, then sync with "
        "--accept-changes (nothing was sent)",
        details={"moved": moved, "cleared": cleared, "had": plan.had},
    )


def refuse_older(published: Published, last: Published | None) -> None:
    """Refuse to take a destination back in time.

    Raises:
        HealthError: naming both publications; nothing was sent.
    """
    if last is None or published.published_at >= last.published_at:
        return
    raise HealthError(
        f"readers have {published.publication_id}, published "
        f"{published.published_at:%Y-%m-%d %H:%M} UTC: older than what the destination confirmed "
        f"last, "
        f"{last.publication_id} ({last.published_at:%Y-%m-%d %H:%M} UTC): wait for the next run, "
        "or after a rollback sync with --accept-older (nothing was sent)"
    )
