"""Bad rows that real sources have, planted in a small known share, one fault per row.

The kinds are the reason codes of the rejected rows, and `exact_duplicate`, which is dropped
without a rejection. Every bad row is an added row: the good ones all stay.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from customer_health.demo.columns import (
    DAY_US,
    HOUR_US,
    BoolArray,
    IntArray,
    instants,
    padded_ids,
    stage_rng,
)
from customer_health.demo.schema import TABLES
from customer_health.demo.world import World

_KIND_SHARE = 0.0006  # of the good rows, for each kind
_TOTAL_SHARE = 0.007  # of the good rows, at most for all kinds together
_UNKNOWN_CURRENCY = "CHF"  # has no exchange rates
_UNKNOWN_ACCOUNTS = 40

_Change = Callable[["_Copies"], pa.Table]


@dataclass(frozen=True)
class _Copies:
    """Good rows that are about to be spoiled, and what is needed for it."""

    rows: pa.Table
    rng: np.random.Generator
    world: World

    def set(self, column: str, values: pa.Array) -> pa.Table:
        """Return the rows with other values in a column."""
        place = self.rows.schema.get_field_index(column)
        field_ = self.rows.schema.field(column)
        return self.rows.set_column(place, field_, values.cast(field_.type))

    def constant(self, column: str, value: object) -> pa.Table:
        """Return the rows with the same value everywhere in a column."""
        kind = self.rows.schema.field(column).type
        return self.set(column, pa.array([value] * len(self.rows), kind))

    def micros(self, column: str) -> IntArray:
        """Return an instant column (without nulls) as microseconds since 1970."""
        values: IntArray = self.rows[column].cast(pa.int64()).to_numpy()
        return values


@dataclass(frozen=True)
class Fault:
    """One kind of bad row: which good rows may be spoiled, and how."""

    kind: str
    change: _Change
    where: Callable[[pa.Table], pa.ChunkedArray] | None = None
    keeps_key: bool = False


@dataclass(frozen=True)
class Source:
    """The prefix of a table's ids (None: it has no ids) and the faults that its rows get."""

    key_prefix: str | None
    faults: tuple[Fault, ...]


def _duplicate() -> Fault:
    return Fault("exact_duplicate", lambda copies: copies.rows, keeps_key=True)


def _null_account() -> Fault:
    return Fault("null_key", lambda copies: copies.constant("account_id", None))


def _orphan() -> Fault:
    def change(copies: _Copies) -> pa.Table:
        many = min(_UNKNOWN_ACCOUNTS, copies.world.count)
        unknown = copies.world.unknown_account_ids(many)
        return copies.set("account_id", unknown.take(pa.array(np.arange(len(copies.rows)) % many)))

    return Fault("orphan", change)


def _future(column: str) -> Fault:
    def change(copies: _Copies) -> pa.Table:
        late = copies.rng.integers(2 * DAY_US, 40 * DAY_US, len(copies.rows))
        return copies.set(column, instants(copies.micros("loaded_at") + late))

    return Fault("future", change)


def _future_ticket() -> Fault:
    """Move a ticket into the future, unsolved, or it would be wrong twice."""

    def change(copies: _Copies) -> pa.Table:
        rows = _future("opened_at").change(copies)
        for column in ("first_response_at", "solved_at"):
            rows = _Copies(rows, copies.rng, copies.world).constant(column, None)
        return rows

    return Fault("future", change)


def _value(kind: str, column: str, values: tuple[float, ...]) -> Fault:
    """Put impossible values into a column, one after the other."""

    def change(copies: _Copies) -> pa.Table:
        number = np.arange(len(copies.rows)) % len(values)
        return copies.set(column, pa.array(np.array(values)[number]))

    return Fault(kind, change)


def _word(kind: str, column: str, word: str) -> Fault:
    """Put a word that the input contract does not know into a column."""
    return Fault(kind, lambda copies: copies.constant(column, word))


def _score_outside() -> Fault:
    """NPS answers of 11 and -1."""
    fault = _value("out_of_range", "score", (11.0, -1.0))
    return Fault(fault.kind, fault.change, lambda table: pc.equal(table["survey_type"], "nps"))


def _negative(column: str, where: Callable[[pa.Table], pa.ChunkedArray]) -> Fault:
    def change(copies: _Copies) -> pa.Table:
        return copies.set(column, pc.negate(pc.abs(copies.rows[column])))

    return Fault("negative_amount", change, where)


def _missing_rate(where: Callable[[pa.Table], pa.ChunkedArray]) -> Fault:
    return Fault(
        "missing_rate", lambda copies: copies.constant("currency_code", _UNKNOWN_CURRENCY), where
    )


def _closed_first(closed: str, opened: str) -> Fault:
    def change(copies: _Copies) -> pa.Table:
        early = copies.rng.integers(HOUR_US, 20 * DAY_US, len(copies.rows))
        return copies.set(closed, instants(copies.micros(opened) - early))

    return Fault("closed_before_opened", change, lambda table: pc.is_valid(table[closed]))


def _other_version(column: str, value: object, *, has_updated_at: bool) -> Fault:
    """Give a row a second version: the same id with another value.

    With `updated_at` it is an hour older than the good row, else it was loaded an hour later: in
    both cases the good row is the one to keep.
    """

    def change(copies: _Copies) -> pa.Table:
        changed = _Copies(copies.constant(column, value), copies.rng, copies.world)
        if has_updated_at:
            older = instants(changed.micros("updated_at") - HOUR_US)
            return changed.set("updated_at", older)
        return changed.set("loaded_at", instants(changed.micros("loaded_at") + HOUR_US))

    def differs(table: pa.Table) -> pa.ChunkedArray:
        return pc.fill_null(pc.not_equal(table[column], value), True)

    return Fault("conflicting_duplicate", change, differs, keeps_key=True)


def _is_paid(table: pa.Table) -> pa.ChunkedArray:
    return pc.greater(table["mrr_amount"], 0.0)


def _is_charge(table: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.equal(table["invoice_type"], "charge"), pc.greater(table["amount"], 0.0))


def _is_sold(table: pa.Table) -> pa.ChunkedArray:
    return pc.greater(table["amount"], 0.0)


_SOURCES: dict[str, Source] = {
    "crm_accounts": Source(
        "A",
        (
            _duplicate(),
            _other_version("industry", "other", has_updated_at=True),
            _null_account(),
        ),
    ),
    "crm_contacts": Source(
        "C",
        (
            _duplicate(),
            _other_version("role", "user", has_updated_at=True),
            _null_account(),
            _orphan(),
        ),
    ),
    "crm_opportunities": Source(
        "O",
        (
            _closed_first("closed_at", "created_at"),
            _negative("amount", _is_sold),
            _value("not_finite", "amount", (float("nan"), float("inf"))),
            _orphan(),
            _duplicate(),
        ),
    ),
    "crm_touchpoints": Source(
        "P",
        (
            _duplicate(),
            _other_version("channel", "call", has_updated_at=False),
            _null_account(),
            _orphan(),
            _future("occurred_at"),
        ),
    ),
    "crm_csm_sentiments": Source(
        "F", (_value("out_of_range", "sentiment", (9, 0)), _orphan(), _duplicate())
    ),
    "crm_action_updates": Source(
        "D",
        (
            _duplicate(),
            _word("out_of_range", "state", "snoozed"),
            _other_version("state", "done", has_updated_at=False),
            _null_account(),
            _orphan(),
            _future("recorded_at"),
        ),
    ),
    "product_users": Source(
        "U",
        (
            _duplicate(),
            _other_version("role", "viewer", has_updated_at=False),
            _null_account(),
            _orphan(),
        ),
    ),
    "product_usage_daily": Source(None, (_duplicate(), _null_account(), _orphan())),
    "support_tickets": Source(
        "T",
        (
            _closed_first("solved_at", "opened_at"),
            _duplicate(),
            _other_version("priority", "urgent", has_updated_at=True),
            _null_account(),
            _orphan(),
            _future_ticket(),
        ),
    ),
    "survey_responses": Source(
        "R",
        (
            _score_outside(),
            _duplicate(),
            _other_version("score", 5.0, has_updated_at=False),
            _null_account(),
            _orphan(),
            _future("responded_at"),
        ),
    ),
    "billing_subscriptions": Source(
        "S",
        (
            _negative("mrr_amount", _is_paid),
            _value("not_finite", "mrr_amount", (float("nan"),)),
            _missing_rate(_is_paid),
            _other_version("seats", 1, has_updated_at=True),
            _closed_first("ended_at", "started_at"),
            _orphan(),
            _duplicate(),
        ),
    ),
    "billing_invoices": Source(
        "I",
        (
            _negative("amount", _is_charge),
            _value("not_finite", "amount", (float("nan"), float("inf"))),
            _missing_rate(_is_charge),
            _duplicate(),
            _other_version("amount", 99.0, has_updated_at=False),
            _null_account(),
            _orphan(),
        ),
    ),
    "billing_exchange_rates": Source(
        None,
        (
            _duplicate(),
            Fault("null_key", lambda copies: copies.constant("currency_code", None)),
        ),
    ),
    "onboarding_milestones": Source("M", (_duplicate(), _null_account(), _orphan())),
    "marketing_engagements": Source(
        "G",
        (
            _duplicate(),
            _other_version("channel", "event", has_updated_at=False),
            _null_account(),
            _orphan(),
            _future("occurred_at"),
        ),
    ),
    "success_goals": Source(
        "L",
        (
            _duplicate(),
            _other_version("goal_name", "Draft of a goal", has_updated_at=True),
            _orphan(),
        ),
    ),
}


def plant(
    world: World, name: str, table: pa.Table, part: int = 0
) -> tuple[pa.Table, dict[str, int]]:
    """Append the bad rows of a table; return it and the number of rows per kind.

    Tables too small for all kinds get one row of the first few, so that the bad share stays
    below 1%.
    """
    source = _SOURCES.get(name)
    if source is None:
        return table, {}
    rng = stage_rng(world.seed, f"faults of {name}", part)
    budget = int(_TOTAL_SHARE * len(table))
    each = max(1, int(_KIND_SHARE * len(table)))
    used = np.zeros(len(table), dtype=bool)
    pieces, counts, number = [table], {}, len(table)
    for fault in source.faults[:budget]:
        chosen = _choose(rng, table, fault, used, each)
        used[chosen] = True
        if len(chosen) == 0:
            continue
        rows = fault.change(_Copies(table.take(pa.array(chosen)), rng, world))
        if source.key_prefix and not fault.keeps_key and rows.column(0).null_count == 0:
            rows = _renumbered(name, source.key_prefix, rows, number)
            number += len(chosen)
        pieces.append(rows)
        counts[fault.kind] = len(chosen)
    return pa.concat_tables(pieces).combine_chunks(), counts


def _choose(
    rng: np.random.Generator, table: pa.Table, fault: Fault, used: BoolArray, many: int
) -> IntArray:
    """Choose rows for a fault: different ones for every fault, and only such that can have it."""
    able = ~used
    if fault.where is not None:
        able &= pc.fill_null(fault.where(table), False).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(able)
    return rng.choice(places, min(many, len(places)), replace=False)


def _renumbered(name: str, prefix: str, rows: pa.Table, number: int) -> pa.Table:
    """Give copied rows ids of their own, in the style of the good rows and after them."""
    key = TABLES[name].names[0]
    width = len(rows[key][0].as_py()) - len(prefix)
    ids = padded_ids(prefix, number + 1 + np.arange(len(rows)), width)
    return rows.set_column(0, rows.schema.field(key), ids)
