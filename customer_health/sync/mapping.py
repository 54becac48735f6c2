"""From a row of the publication to the fields of a CRM record, and to the hash that tells change.

A field is a column, or a text with columns in braces. Which publication a record is of changes
every day without anything having changed for the account; so `publication_id`, `published_at` and
`as_of_date` are sent along with a record, but are no part of its hash.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from operator import itemgetter
from string import Formatter
from typing import Any
from urllib.parse import quote

from customer_health.errors import HealthError

PUBLICATION_ID = "publication_id"
# Known of the publication as a whole, not of the account.
OF_THE_PUBLICATION = (PUBLICATION_ID, "published_at", "as_of_date")
HASH_BYTES = 16
_ROWS_AT_ONCE = 5_000
_BETWEEN = "\x1f"
_COLUMN = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_IS_A_LINK = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Where a field comes from.

    Attributes:
        written: as sync.yml has it.
        parts: texts and column names in turn, beginning and ending with a text, which may be
            empty.
        is_template: whether it is a text with columns, and so gives text.
    """

    written: str
    parts: tuple[str, ...]
    is_template: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it names."""
        return self.parts[1::2]

    @property
    def is_of_publication(self) -> bool:
        """Whether it says nothing about the account."""
        return all(column in OF_THE_PUBLICATION for column in self.columns)


def parse_source(written: str) -> Source:
    """Read a column or a template.

    Example: `band` is a column; `https://dash.example.com/?account={account_id}` a template.

    Raises:
        ValueError: in words, when it is neither.
    """
    if "{" not in written and "}" not in written:
        if not _COLUMN.fullmatch(written):
            raise ValueError("is no name of a column, and no text with a {column} in it")
        return Source(written, ("", written, ""), False)
    parts = [""]
    try:
        for text, column, form, conversion in Formatter().parse(written):
            parts[-1] += text
            if column is None:
                continue
            if form or conversion or not _COLUMN.fullmatch(column):
                raise ValueError(
                    f"has {{{column}}}: braces hold the name of a column, nothing else"
                )
            parts.extend((column, ""))
    except ValueError as error:
        if "braces hold" in str(error):
            raise
        raise ValueError("has a brace without its partner; a brace as text is doubled") from None
    if len(parts) < 2:
        raise ValueError("names no column; braces hold the name of one")
    return Source(written, tuple(parts), True)


@dataclass(frozen=True)
class Published:
    """The publication that a sync sends. `published_at` is naive and in UTC."""

    publication_id: str
    published_at: datetime
    as_of_date: date


@dataclass(frozen=True)
class FieldMapping:
    """How the rows of one destination become records.

    Attributes:
        columns: what is read, in the order of the values of a row.
        render: the fields of a row, as (row, publication) -> {property: value}.
        clear: the fields of an account that has left, as (publication) -> {property: value}.
        digests: the hashes of rows, without what is of the publication; a number that is not
            finite is a ValueError.
        fingerprint: of the mapping itself; part of every hash.
    """

    columns: tuple[str, ...]
    render: Callable[[Sequence[Any], Published], dict[str, Any]]
    clear: Callable[[Published], dict[str, Any]]
    digests: Callable[[Sequence[Sequence[Any]]], list[bytes]]
    fingerprint: str


def compile_mapping(
    fields: Mapping[str, Source], *, key_columns: Sequence[str], table_columns: Sequence[str] = ()
) -> FieldMapping:
    """Make the functions of a mapping.

    Args:
        fields: property at the CRM -> source.
        key_columns: columns that hold the key itself; a field that is one of them is not cleared.
        table_columns: columns of the publication that the table has too; they are read from it,
            so that the date is that of the row.
    """
    columns = tuple(
        dict.fromkeys(
            column
            for source in fields.values()
            for column in source.columns
            if column not in OF_THE_PUBLICATION or column in table_columns
        )
    )
    place = {column: number for number, column in enumerate(columns)}
    fingerprint = hashlib.sha256(
        json.dumps({name: source.written for name, source in fields.items()}).encode()
    ).hexdigest()

    def render(row: Sequence[Any], published: Published) -> dict[str, Any]:
        return {
            name: _value(source, lambda column: _of_row(column, row, place, published))
            for name, source in fields.items()
        }

    def clear(published: Published) -> dict[str, Any]:
        return {
            name: published.publication_id if source.columns == (PUBLICATION_ID,) else None
            for name, source in fields.items()
            if source.is_template or source.columns[0] not in key_columns
        }

    return FieldMapping(
        columns, render, clear, _digests_of(fields, place, fingerprint), fingerprint
    )


def _digests_of(
    fields: Mapping[str, Source], place: Mapping[str, int], fingerprint: str
) -> Callable[[Sequence[Sequence[Any]]], list[bytes]]:
    """The function that hashes rows: of each the values of its fields, in their order.

    Many rows are written as one JSON text, which is several times as quick as one by one. What
    separates them there is a control character, which JSON never leaves as it is in a text.
    """
    own = [source for source in fields.values() if not source.is_of_publication]
    # A text with one column of the account changes exactly when that column does.
    single = [place[_own_columns(each)[0]] for each in own if len(_own_columns(each)) == 1]
    several = [each for each in own if len(_own_columns(each)) > 1]
    start = hashlib.blake2b(fingerprint.encode(), digest_size=HASH_BYTES)
    encode = json.JSONEncoder(
        ensure_ascii=False, separators=(_BETWEEN, ":"), allow_nan=False, default=plain
    ).encode

    def without_publication(column: str, row: Sequence[Any]) -> Any:
        return "" if column in OF_THE_PUBLICATION else row[place[column]]

    def texts(row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            _value(source, lambda column: without_publication(column, row)) for source in several
        )

    # itemgetter gives a tuple of two and more; what is asked for twice is hashed twice, no harm
    pick = itemgetter(*(single * 2 if len(single) == 1 else single)) if single else lambda row: ()

    def values(row: Sequence[Any]) -> Any:
        return pick(row) + texts(row) if several else pick(row)

    def digests(rows: Sequence[Sequence[Any]]) -> list[bytes]:
        found = []
        for begin in range(0, len(rows), _ROWS_AT_ONCE):
            part = [values(row) for row in rows[begin : begin + _ROWS_AT_ONCE]]
            for text in encode(part)[2:-2].split(f"]{_BETWEEN}["):
                hasher = start.copy()
                hasher.update(text.encode("utf-8", "surrogatepass"))
                found.append(hasher.digest())
        return found

    return digests


def _own_columns(source: Source) -> list[str]:
    """The columns of a source that are the account's, each once."""
    return [column for column in dict.fromkeys(source.columns) if column not in OF_THE_PUBLICATION]


def _of_row(column: str, row: Sequence[Any], place: Mapping[str, int], published: Published) -> Any:
    """The value of a column in a row, or of the publication."""
    number = place.get(column)
    return row[number] if number is not None else getattr(published, column)


def _value(source: Source, look_up: Callable[[str], Any]) -> Any:
    """The value of a field; a template with a column that is null is null.

    In a template that is a link, values are percent-encoded.
    """
    if not source.is_template:
        return plain(look_up(source.columns[0]))
    is_link = bool(_IS_A_LINK.match(source.written))
    texts = [source.parts[0]]
    for number in range(1, len(source.parts)):
        if number % 2 == 0:
            texts.append(source.parts[number])
            continue
        value = plain(look_up(source.parts[number]))
        if value is None:
            return None
        texts.append(quote(str(value), safe="") if is_link else str(value))
    return "".join(texts)


def plain(value: Any) -> Any:
    """A value as JSON knows it: dates as ISO texts, instants with a Z, decimals as numbers.

    Raises:
        HealthError: for a number that is not finite, or a type that no mart has.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise HealthError(f"{value} is no number that a CRM can take: look at the publication")
        return value
    if isinstance(value, datetime):
        return value.isoformat() + ("Z" if value.tzinfo is None else "")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    raise HealthError(
        f"a value of type {type(value).__name__} cannot be sent: choose other columns"
    )
