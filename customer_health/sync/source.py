"""The rows to send, from what readers have and nothing else.

Readers have passed publications only, and never one that `rollback` withdrew. All queries of one
reader see the same publication, on every engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import Any

from customer_health.errors import HealthError
from customer_health.sync.config import Destination, Records
from customer_health.sync.mapping import (
    OF_THE_PUBLICATION,
    FieldMapping,
    Published,
    compile_mapping,
)
from customer_health.warehouses import Reader, Warehouse


@dataclass(frozen=True)
class Relation:
    """A read view that is synced.

    Attributes:
        name: of the view.
        key: column that is the key at the destination.
        key_columns: columns that hold the same key.
        columns: column -> type (text, bigint, double, date, timestamp).
        band: column that the breaker watches; None where there is none.
        plural: what its rows are, for people.
    """

    name: str
    key: str
    key_columns: tuple[str, ...]
    columns: dict[str, str]
    band: str | None
    plural: str


RELATIONS = {
    Records.ACCOUNTS: Relation(
        name="sync_health__crm_accounts_current",
        key="sync_key",
        key_columns=("sync_key", "account_id"),
        columns={
            "sync_key": "text",
            "account_id": "text",
            "as_of_date": "date",
            "scoring_version": "text",
            "lifecycle_stage": "text",
            "health_score": "bigint",
            "band": "text",
            "band_label": "text",
            "band_reason": "text",
            "band_note": "text",
            "health_score_change_28_days": "bigint",
            "trend": "text",
            "top_positive_driver": "text",
            "top_negative_driver": "text",
            "next_action": "text",
            "next_action_due_date": "date",
            "renewal_date": "date",
            "renewal_risk": "text",
            "expansion_score": "bigint",
            "payload_changed_on": "date",
            "payload_hash": "text",
        },
        band="band",
        plural="accounts",
    ),
    Records.ACTIONS: Relation(
        name="sync_health__actions_current",
        key="action_id",
        key_columns=("action_id",),
        columns={
            "action_id": "text",
            "account_id": "text",
            "account_name": "text",
            "playbook_key": "text",
            "fired_on": "date",
            "due_date": "date",
            "state": "text",
            "owner_role": "text",
            "csm_id": "text",
            "channel": "text",
            "priority": "bigint",
            "arr_amount": "double",
            "action_text": "text",
            "why_text": "text",
        },
        band=None,
        plural="actions",
    ),
}
PUBLICATION_TYPES = {
    "publication_id": "text",
    "published_at": "timestamp",
    "as_of_date": "date",
}


def relation_of(destination: Destination) -> Relation:
    """What a destination gets."""
    return RELATIONS[destination.records]


def mapping_of(destination: Destination) -> FieldMapping:
    """The mapping of a destination, ready to use."""
    relation = relation_of(destination)
    return compile_mapping(
        destination.fields, key_columns=relation.key_columns, table_columns=tuple(relation.columns)
    )


def read_published(reader: Reader) -> Published:
    """Which publication readers have.

    Raises:
        HealthError: when the copy lists none.
    """
    rows = reader.rows(
        """
        select publication_id, published_at, as_of_date
        from {marts}.fct_health__publications
        order by published_at desc, publication_id desc
        limit 1
        """
    )
    if not rows:
        raise HealthError(
            "the published copy lists no publication: `customer-health run` makes one"
        )
    publication_id, published_at, as_of_date = rows[0]
    return Published(str(publication_id), _moment(published_at), _day(as_of_date))


def read(
    warehouse: Warehouse, destination: Destination, mapping: FieldMapping
) -> tuple[Published, list[tuple[Any, ...]]]:
    """The publication, and its rows as (key, band, values of the mapping's columns …).

    Raises:
        HealthError: when nothing is published, the copy has no such view, a column of the mapping
            is none of the view's (with the nearest that is), or a key is null or stands twice.
    """
    relation = relation_of(destination)
    # a null without a type is none to every engine
    listed = (relation.key, relation.band or "cast(null as varchar(1))", *mapping.columns)
    try:
        with warehouse.reader() as reader:
            published = read_published(reader)
            rows = reader.rows(f"select {', '.join(listed)} from {{marts}}.{relation.name}")
    except HealthError as error:
        raise _explained(warehouse, destination, mapping) or error from error
    _check_keys(relation, rows)
    return published, rows


def _check_keys(relation: Relation, rows: Sequence[tuple[Any, ...]]) -> None:
    """Refuse keys that say nothing or mean two records."""
    keys = {row[0] for row in rows}
    if len(keys) == len(rows) and all(isinstance(key, str) and key.strip() for key in keys):
        return
    seen = set()
    for row in rows:
        if not isinstance(row[0], str) or not row[0].strip() or row[0] in seen:
            raise HealthError(
                f"{relation.name}: {relation.key} {row[0]!r} is empty or stands twice: look at "
                "the model that makes it; nothing was sent"
            )
        seen.add(row[0])


def _explained(
    warehouse: Warehouse, destination: Destination, mapping: FieldMapping
) -> HealthError | None:
    """Why the rows could not be read, if it is for their columns; None for other reasons.

    Asked one by one, each of a reader of its own: after an error some engines answer no more.
    """
    relation = relation_of(destination)
    if not _answers(warehouse, "select 1 from {marts}.fct_health__publications where 1 = 0"):
        return None
    if not _answers(warehouse, f"select 1 from {{marts}}.{relation.name} where 1 = 0"):
        return HealthError(
            f"the published copy has no {relation.name}: publish with this version of "
            "customer_health (`customer-health run`) and sync again"
        )
    for column in mapping.columns:
        if _has(warehouse, relation, column):
            continue
        there = [each for each in relation.columns if _has(warehouse, relation, each)]
        near = get_close_matches(column, [*there, *OF_THE_PUBLICATION], n=1, cutoff=0)[0]
        field = next(name for name, each in destination.fields.items() if column in each.columns)
        return destination.refusal(
            f"fields: {field}: {relation.name} has no column {column}; the nearest is {near}"
        )
    return None


def _has(warehouse: Warehouse, relation: Relation, column: str) -> bool:
    """Whether the view has a column; its name has passed the form of a column."""
    return _answers(warehouse, f"select {column} from {{marts}}.{relation.name} where 1 = 0")


def _answers(warehouse: Warehouse, sql: str) -> bool:
    """Whether a query can be answered."""
    try:
        with warehouse.reader() as reader:
            reader.rows(sql)
    except HealthError:
        return False
    return True


def _moment(value: Any) -> datetime:
    """An instant in UTC without a zone, whatever an engine gives."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found.replace(tzinfo=None)


def _day(value: Any) -> date:
    """A date, whatever an engine gives."""
    if isinstance(value, datetime):
        return value.date()
    return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
