"""Erasing an account or a person from files: DuckDB databases, Parquet and text.

DuckDB leaves the bytes of deleted rows in free blocks, and Parquet files cannot be changed. So
every file is written anew without the rows, compared with what it was meant to become, synced and
put in place by one `os.replace`: who has the old file open goes on reading that, everybody else
finds the old or the new one. A half-written file ends in `.tmp` and is removed by the next run.
"""

from __future__ import annotations

import html
import json
import mmap
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from customer_health.errors import HealthError
from customer_health.publication import (
    ACCOUNT_SCORES,
    PUBLICATIONS,
    _clone,
    _digest,
    _quote,
    _sync,
    _sync_folder,
    _wal,
    marts_schema,
)

ERASED = "[erased]"
MARK = ".forget.tmp"
# Tables whose rows are the person's own, by the end of their name: raw, staged or reduced.
OWN_ROWS = ("product_users", "crm_contacts", "product_events", "usage_user_days")
SAYS_WHO = ("product_users", "crm_contacts")  # those that tell ids and addresses of persons
# Key columns of the raw tables, of which the row_key of a rejected row is made.
RAW_KEYS: dict[str, tuple[str, ...]] = {
    "crm_accounts": ("account_id",),
    "crm_contacts": ("contact_id",),
    "crm_opportunities": ("opportunity_id",),
    "crm_touchpoints": ("touchpoint_id",),
    "crm_csm_sentiments": ("sentiment_id",),
    "crm_health_overrides": ("override_id",),
    "crm_action_updates": ("update_id",),
    "product_users": ("user_id",),
    "product_events": ("event_id",),
    "product_usage_daily": ("account_id", "usage_date", "event_name"),
    "product_features": ("event_name", "plan"),
    "support_tickets": ("ticket_id",),
    "survey_responses": ("response_id",),
    "billing_subscriptions": ("subscription_id",),
    "billing_invoices": ("invoice_id",),
    "billing_exchange_rates": ("currency_code", "rate_date"),
    "onboarding_milestones": ("milestone_id",),
    "marketing_engagements": ("engagement_id",),
    "success_goals": ("goal_id",),
}
_PLAIN = re.compile(r"[A-Za-z0-9_.@+-]+")
_TOKEN = re.compile(rb"[A-Za-z0-9_.@+-]+")
_ADDRESS = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# Ids of other things may be the same numbers: a column is emptied where its name fits the id.
_NAMES_A_PERSON = ("user", "contact", "person", "author", "owner", "requester", "member", "mail")
_LEAST_DISTINCTIVE = 5  # characters
_WORDS_AT_ONCE = 500  # in one pattern, whose size DuckDB limits
_LONG = 16  # characters of an id that needs no digit to be distinctive
_ROWS_AT_ONCE = 122_880


@dataclass(frozen=True)
class Identity:
    """Everything by which an account or a person is known in the data.

    Attributes:
        kind: `account` or `user`.
        account_ids: the account; empty for a user.
        person_ids: ids of users and contacts.
        addresses: e-mail addresses, as written.
        names: names and numbers of theirs, only searched for in texts and bytes.
        shared: values that others have too; they are not erased elsewhere.
    """

    kind: str
    account_ids: frozenset[str] = frozenset()
    person_ids: frozenset[str] = frozenset()
    addresses: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    shared: frozenset[str] = frozenset()

    @property
    def ids(self) -> frozenset[str]:
        """Ids and addresses."""
        return self.account_ids | self.person_ids | self.addresses

    def searched(self) -> list[str]:
        """What is searched for in texts and bytes: what cannot be mistaken for something else."""
        return sorted({each for each in self.ids if is_distinctive(each)} | self.names)


@dataclass
class Erased:
    """What was done to one place (a table, or a file that is no database)."""

    place: str
    rows: int = 0
    values: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"place": self.place, "rows_deleted": self.rows, "values_erased": self.values}


@dataclass(frozen=True)
class _Column:
    """A column of a table."""

    name: str
    type_name: str
    is_nullable: bool

    @property
    def quoted(self) -> str:
        """Its name for SQL."""
        return _quote(self.name)

    @property
    def is_text(self) -> bool:
        """Whether it is plain text."""
        return self.type_name == "VARCHAR"

    @property
    def may_hold_ids(self) -> bool:
        """Whether a value of it could be one of the ids: texts, ids of any type, nested values."""
        plain = ("TIMESTAMP", "DATE", "TIME", "INTERVAL", "BOOLEAN", "DOUBLE", "FLOAT", "DECIMAL")
        if self.type_name.endswith("INT") or self.type_name in ("INTEGER", "UINTEGER"):
            return self.name.endswith("_id")
        nested = any(mark in self.type_name for mark in ("[", "(", "JSON"))
        return not self.type_name.startswith(plain) or (
            nested and not self.type_name.startswith("DECIMAL")
        )


@dataclass
class Eraser:
    """Erases one identity; its working tables live in an in-memory database.

    Tables (all of one text column `value`, besides `gone_key`): `gone_account`, `gone_person`,
    `gone_text` (distinctive ids and addresses, lower case), `gone_key(source_table, row_key)`.
    """

    identity: Identity
    connection: duckdb.DuckDBPyConnection
    done: list[Erased] = field(default_factory=list)

    def prepare(self) -> None:
        """Fill the working tables."""
        for table, values in (
            ("gone_account", self.identity.account_ids),
            ("gone_person", self.identity.person_ids),
            ("gone_text", {each.lower() for each in self.identity.ids if is_distinctive(each)}),
        ):
            self.connection.execute(f"create or replace temp table {table} (value varchar)")
            if values:
                self.connection.executemany(
                    f"insert into {table} values (?)", [[each] for each in sorted(values)]
                )
        self.connection.execute(
            "create or replace temp table gone_key (source_table varchar, row_key varchar)"
        )

    def note_row_keys(self, relation: str, source_table: str) -> None:
        """Remember the keys of the raw rows that will go: rejected rows are known by those."""
        keys = RAW_KEYS.get(source_table)
        columns = {each.name: each for each in self.columns(relation)}
        if keys is None or not set(keys) <= columns.keys():
            return
        condition = self.own_rows(source_table, list(columns.values()))
        if condition is None:
            return
        key = " || '|' || ".join(f"coalesce(cast({_quote(name)} as varchar), '')" for name in keys)
        self.connection.execute(
            f"insert into gone_key select distinct ?, {key} from {relation} where {condition}",
            [source_table],
        )

    def columns(self, relation: str) -> list[_Column]:
        """The columns of a table or view."""
        rows = self.connection.execute(f"describe {relation}").fetchall()
        return [_Column(row[0], row[1].upper(), row[2] == "YES") for row in rows]

    def own_rows(self, table: str, columns: list[_Column]) -> str | None:
        """The condition of the rows that go as a whole; None when no row of the table can."""
        names = {each.name for each in columns}
        found = []
        if self.identity.account_ids:
            key = next((each for each in ("account_id", "parent_account_id") if each in names), "")
            if key:
                found.append(_is_in(key, "gone_account"))
        if self.identity.person_ids and table.endswith(OWN_ROWS):
            is_contact = table.endswith("crm_contacts")
            for key in ("user_id", "contact_id") if is_contact else ("user_id",):
                if key in names:
                    found.append(_is_in(key, "gone_person"))
            mails = [each for each in sorted(names) if "mail" in each.lower()]
            if table.endswith(SAYS_WHO):
                found += [_is_in(each, "gone_text", "lower") for each in mails]
        source = next((text_literal(each) for each in RAW_KEYS if table.endswith(each)), None)
        if "source_table" in names:
            source = "source_table"
        if {"row_key", "rejection_reason"} <= names and source is not None:
            # the key of a row is hashed where it is an address
            found.append(
                f"({source}, row_key) in (select (source_table, row_key) from gone_key union all "
                "select (source_table, md5(row_key)) from gone_key)"
            )
            found.append(
                "list_has_any(string_split(lower(row_key), '|'), (select list(value) from "
                "gone_text)) or row_key in (select md5(value) from gone_text)"
            )
        return " or ".join(f"({each})" for each in found) if found else None

    def erase_table(self, relation: str, table: str, place: str) -> Erased:
        """Delete the rows of the identity from a table, and empty what else names it."""
        columns = self.columns(relation)
        erased = Erased(place)
        condition = self.own_rows(table, columns)
        if condition is not None:
            erased.rows = self._changed(f"delete from {relation} where {condition}")
        self._empty_own_words(relation, table, columns, erased)
        for column, is_hit, is_in_text in self._look(relation, columns):
            if is_hit:
                self._empty_values(relation, column, erased)
            if is_in_text:
                self._clean_words(relation, column, erased)
        if erased.rows or erased.values:
            self.done.append(erased)
        return erased

    def count_left(self, relation: str, table: str) -> int:
        """Number of rows of a table or view that still name the identity."""
        columns = self.columns(relation)
        hits = [self._hit(each) for each in columns if each.may_hold_ids]
        words = [self._has_word(each) for each in columns if each.is_text]
        own = self.own_rows(table, columns)
        condition = " or ".join(f"({each})" for each in (*hits, *words, own) if each)
        if not condition:
            return 0
        rows = self.connection.execute(f"select count(*) from {relation} where {condition}")
        return int(rows.fetchall()[0][0])

    def _look(self, relation: str, columns: list[_Column]) -> list[tuple[_Column, bool, bool]]:
        """Which columns name the identity, as a value or as a word in a text; one scan for all."""
        looked = [each for each in columns if each.may_hold_ids]
        if not looked:
            return []
        selected = ", ".join(
            f"{self._hit(each)} as hit_{number}, "
            f"{self._has_word(each) if each.is_text else 'false'} as word_{number}"
            for number, each in enumerate(looked)
        )
        summed = ", ".join(
            f"coalesce(bool_or(hit_{number}), false), coalesce(bool_or(word_{number}), false)"
            for number in range(len(looked))
        )
        found = self.connection.execute(
            f"select {summed} from (select {selected} from {relation})"
        ).fetchall()[0]
        return [
            (each, found[2 * number], found[2 * number + 1]) for number, each in enumerate(looked)
        ]

    def _has_word(self, column: _Column) -> str:
        """The condition of texts that hold one of the ids or addresses as a word."""
        words = sorted({each.lower() for each in self.identity.ids if is_distinctive(each)})
        conditions = []
        for first in range(0, len(words), _WORDS_AT_ONCE):
            trie = trie_pattern(words[first : first + _WORDS_AT_ONCE])
            pattern = f"(^|[^a-z0-9_@+.-])[.-]*{trie}[.-]*($|[^a-z0-9_@+.-])"
            conditions.append(f"regexp_matches(lower({column.quoted}), {text_literal(pattern)})")
        return " or ".join(conditions) or "false"

    def _hit(self, column: _Column) -> str:
        """The condition of values that are one of the ids."""
        conditions = []
        if "account" in column.name:
            conditions.append(_is_in(column.name, "gone_account"))
        if any(word in column.name for word in _NAMES_A_PERSON):
            conditions.append(_is_in(column.name, "gone_person"))
        as_text = f"lower(cast({column.quoted} as varchar))"
        if column.is_text:
            conditions.append(f"trim({as_text}) in (from gone_text)")
        elif not column.type_name.endswith(("INT", "INTEGER")):
            conditions.append(
                f"exists (select 1 from gone_text where contains({as_text}, gone_text.value))"
            )
        return " or ".join(conditions) or "false"

    def _empty_values(self, relation: str, column: _Column, erased: Erased) -> None:
        """Empty the values of a column that are ids."""
        hit = self._hit(column)
        if column.is_nullable:
            erased.values += self._changed(
                f"update {relation} set {column.quoted} = null where {hit}"
            )
        else:
            erased.rows += self._changed(f"delete from {relation} where {hit}")

    def _clean_words(self, relation: str, column: _Column, erased: Erased) -> None:
        """Take ids and addresses out of longer texts."""
        texts = self.connection.execute(
            f"select distinct {column.quoted} from {relation} where {self._has_word(column)}"
        ).fetchall()
        needles = Needles(each for each in self.identity.ids if is_distinctive(each))
        for (text,) in texts:
            cleaned, count = needles.redact(text.encode())
            if count:
                erased.values += self._changed(
                    f"update {relation} set {column.quoted} = ? where {column.quoted} = ?",
                    [cleaned.decode(), text],
                )

    def _empty_own_words(
        self, relation: str, table: str, columns: list[_Column], erased: Erased
    ) -> None:
        """Empty what a person wrote in rows that stay, such as tickets and survey answers.

        The account's row stays for its score; of its texts, those of the input contract are codes,
        and every other one (a comment, a subject, a phone number) may be the person's.
        """
        from customer_health.demo.schema import TABLES

        if table not in TABLES or table.endswith(OWN_ROWS):
            return
        links = [each.name for each in columns if each.name in ("contact_id", "user_id")]
        free = [
            each.quoted for each in columns if each.is_text and each.name not in TABLES[table].names
        ]
        if not links or not free:
            return
        owned = " or ".join(_is_in(each, "gone_person") for each in links)
        filled = " or ".join(f"{each} is not null" for each in free)
        emptied = ", ".join(f"{each} = null" for each in free)
        erased.values += len(free) * self._changed(
            f"update {relation} set {emptied} where ({owned}) and ({filled})"
        )

    def _changed(self, statement: str, values: list[Any] | None = None) -> int:
        """Run a statement; the number of rows that it changed."""
        return int(self.connection.execute(statement, values or []).fetchall()[0][0])

    def count_publications_again(self, catalog: str) -> None:
        """Take the account out of the counts that the publications of a database name.

        A publication says how many accounts it holds; after this it says so again. Called before
        rows are deleted.
        """
        tables = {
            f"{row[0]}.{row[1]}"
            for row in self.connection.execute(
                "select schema_name, table_name from duckdb_tables() where database_name = ?",
                [catalog],
            ).fetchall()
        }
        marts = marts_schema(self.connection, catalog)
        publications, scores = f"{marts}.{PUBLICATIONS}", f"{marts}.{ACCOUNT_SCORES}"
        if not self.identity.account_ids or not {publications, scores} <= tables:
            return
        self.connection.execute(
            f"""
            update {catalog}.{publications} as publications
            set
                account_count = account_count - gone.accounts,
                scored_account_count = scored_account_count - gone.scored
            from (
                select as_of_date, count(*) as accounts, count(health_score) as scored
                from {catalog}.{scores}
                where {_is_in("account_id", "gone_account")}
                group by 1
            ) as gone
            where publications.as_of_date = gone.as_of_date
            """
        )


def _is_in(column: str, table: str, form: str = "") -> str:
    """Condition: the trimmed text of a column (`form`: a function on it) is in a working table."""
    return f"{form}(trim(cast({_quote(column)} as varchar))) in (from {table})"


def is_distinctive(value: str) -> bool:
    """Whether a value found in a text or among bytes can only mean this identity.

    A short or purely numeric id is also part of dates, counts and other ids.
    """
    if "@" in value:
        return True
    if len(value) < _LEAST_DISTINCTIVE or value.isdigit():
        return False
    return any(letter.isdigit() for letter in value) or len(value) >= _LONG


# -- databases ---------------------------------------------------------------------------------
def rewrite_database(path: Path, eraser: Eraser, where: str) -> None:
    """Write a DuckDB file anew without the identity, and put it in place.

    Args:
        path: the database; nobody may have it open for writing.
        eraser: with its working tables prepared.
        where: what the report calls it.

    Raises:
        HealthError: when the new file is not what it was meant to become; the old one stays.
        duckdb.Error, OSError
    """
    connection = eraser.connection
    mode = path.stat().st_mode
    work, fresh = (path.with_name(f".{path.name}.{name}{MARK}") for name in ("work", "fresh"))
    _remove(work, fresh)
    if _wal(path).exists() and mode & 0o200:
        with duckdb.connect(str(path)) as own:
            own.execute("checkpoint")
    try:
        _clone(path, work)
        work.chmod(0o600)
        connection.execute(f"attach {text_literal(str(work))} as work")
        eraser.count_publications_again("work")
        for schema, table in _tables(connection, "work"):
            relation = f"work.{_quote(schema)}.{_quote(table)}"
            eraser.erase_table(relation, table, f"{where}: {schema}.{table}")
        version = text_literal(_storage_version(connection, "work"))
        connection.execute(
            f"attach {text_literal(str(fresh))} as fresh (storage_version {version})"
        )
        connection.execute("copy from database work to fresh")
        _refuse_difference(connection, path)
        connection.execute("detach fresh")
        connection.execute("detach work")
        with duckdb.connect(str(fresh)) as own:
            own.execute("checkpoint")
        _sync(fresh)
        fresh.chmod(mode)
        _wal(path).unlink(missing_ok=True)
        os.replace(fresh, path)
        _sync_folder(path.parent)
    finally:
        for name in ("fresh", "work"):
            connection.execute(f"detach database if exists {name}")
        _remove(work, fresh)


def _remove(*paths: Path) -> None:
    """Remove databases and their logs."""
    for path in paths:
        path.unlink(missing_ok=True)
        _wal(path).unlink(missing_ok=True)


def _storage_version(connection: duckdb.DuckDBPyConnection, catalog: str) -> str:
    """The format of an attached file, as ATTACH takes it: the oldest DuckDB that can read it."""
    rows = connection.execute(
        "select tags['storage_version'] from duckdb_databases() where database_name = ?", [catalog]
    ).fetchall()
    return str(rows[0][0]).rstrip("+")


def _tables(connection: duckdb.DuckDBPyConnection, catalog: str) -> list[tuple[str, str]]:
    """Schema and name of the tables of an attached database."""
    return connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = ? "
        "order by schema_name, table_name",
        [catalog],
    ).fetchall()


_CATALOG_PARTS = (
    "select 'table', schema_name, table_name, sql, comment from duckdb_tables() "
    "where database_name = ? order by all",
    "select 'view', schema_name, view_name, sql, comment from duckdb_views() "
    "where not internal and database_name = ? order by all",
    "select 'index', schema_name, index_name, sql, comment from duckdb_indexes() "
    "where database_name = ? order by all",
    "select 'column', schema_name, table_name, column_name, comment from duckdb_columns() "
    "where not internal and database_name = ? and comment is not null order by all",
    "select 'macro', schema_name, function_name, macro_definition from duckdb_functions() "
    "where not internal and database_name = ? order by all",
    "select 'sequence', schema_name, sequence_name, last_value from duckdb_sequences() "
    "where database_name = ? order by all",
)


def _refuse_difference(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Compare the new database with what it was copied from: definitions, comments and rows.

    Raises:
        HealthError: naming the first thing that differs.
    """
    for query in _CATALOG_PARTS:
        old = connection.execute(query, ["work"]).fetchall()
        new = connection.execute(query, ["fresh"]).fetchall()
        if old != new:
            odd = next(iter(set(map(repr, old)) ^ set(map(repr, new))), "their order")
            raise HealthError(f"{path.name} could not be written anew: {odd[:160]} differs")
    for schema, table in _tables(connection, "work"):
        name = f"{_quote(schema)}.{_quote(table)}"
        if _digest(connection, f"work.{name}") != _digest(connection, f"fresh.{name}"):
            raise HealthError(f"{path.name} could not be written anew: rows of {table} differ")


# -- Parquet -----------------------------------------------------------------------------------
def rewrite_parquet(path: Path, eraser: Eraser, table: str, where: str) -> bool:
    """Write a Parquet file anew without the identity, if it names it; whether it did.

    Columns, types, compression and the order of rows stay as they were.
    """
    import pyarrow.parquet as pq

    connection = eraser.connection
    fresh = path.with_name(f".{path.name}{MARK}")
    connection.execute(
        "create or replace temp table part as "
        f"from read_parquet({text_literal(literal_glob(path))}, hive_partitioning = false)"
    )
    try:
        erased = eraser.erase_table("part", table, where)
        if not erased.rows and not erased.values:
            return False
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            groups = file.metadata.num_row_groups
            codec = file.metadata.row_group(0).column(0).compression if groups else "SNAPPY"
            has_schema = b"ARROW:schema" in (file.metadata.metadata or {})
        reader = connection.execute("from part").fetch_record_batch(_ROWS_AT_ONCE)
        import pyarrow as pa

        compression = "none" if codec == "UNCOMPRESSED" else codec.lower()
        with pq.ParquetWriter(
            fresh, schema, compression=compression, store_schema=has_schema
        ) as writer:
            for batch in reader:
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
        _sync(fresh)
        fresh.chmod(path.stat().st_mode)
        os.replace(fresh, path)
        _sync_folder(path.parent)
        return True
    finally:
        connection.execute("drop table if exists part")
        fresh.unlink(missing_ok=True)


# -- texts -------------------------------------------------------------------------------------
class Needles:
    """Values that are looked for in texts, as whole words."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in written_forms(value)}
        self.words = {form.lower().encode() for form in forms if _PLAIN.fullmatch(form)}
        self.phrases = sorted(
            (form.encode() for form in forms if not _PLAIN.fullmatch(form)), key=len, reverse=True
        )

    def redact(self, content: bytes) -> tuple[bytes, int]:
        """The text with the values replaced by `[erased]`, and how many there were."""
        count = 0
        for phrase in self.phrases:
            found = content.count(phrase)
            if found:
                content, count = content.replace(phrase, ERASED.encode()), count + found

        def replace(match: re.Match[bytes]) -> bytes:
            nonlocal count
            word = match.group()
            core = word.strip(b".-")
            if core.lower() not in self.words:
                return word
            count += 1
            return word.replace(core, ERASED.encode())

        return (_TOKEN.sub(replace, content) if self.words else content), count


def written_forms(value: str) -> set[str]:
    """A value as plain text, in JSON and in HTML."""
    in_json = json.dumps(value)[1:-1]
    return {value, in_json, json.dumps(value, ensure_ascii=False)[1:-1], html.escape(value)}


def redact_file(path: Path, needles: Needles) -> int:
    """Replace the values in a text file; how many there were.

    Raises:
        OSError
    """
    content = path.read_bytes()
    cleaned, count = needles.redact(content)
    if count:
        fresh = path.with_name(f".{path.name}{MARK}")
        fresh.write_bytes(cleaned)
        _sync(fresh)
        fresh.chmod(path.stat().st_mode)
        os.replace(fresh, path)
    return count


# -- proof -------------------------------------------------------------------------------------
def search_bytes(files: Iterable[Path], values: Iterable[str]) -> Iterator[tuple[Path, str, int]]:
    """Search files byte by byte for values, wherever they stand; nothing is loaded as a whole.

    Args:
        files: what to look into.
        values: what to look for, in any of its written forms.

    Yields:
        File, value and number of places. Compressed contents (DuckDB's and Parquet's encodings)
        are not seen through: those are asked by query.
    """
    forms = {form.encode(): value for value in values for form in written_forms(value)}
    if not forms:
        return
    pattern = re.compile(trie_pattern(form.decode() for form in forms).encode())
    for path in files:
        if not path.stat().st_size:
            continue
        counts: dict[str, int] = {}
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            for match in pattern.finditer(view):
                value = forms[match.group()]
                counts[value] = counts.get(value, 0) + 1
        for value, count in counts.items():
            yield path, value, count


def trie_pattern(words: Iterable[str]) -> str:
    """A regular expression of many words that shares their beginnings, so that it stays quick.

    Example: {"U1", "U2"} -> "U(?:1|2)"; the longest possible word is taken.
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for letter in word:
            node = node.setdefault(letter, {})
        node[""] = {}

    def write(node: dict[str, Any]) -> str:
        options = [
            re.escape(letter) + write(after) for letter, after in sorted(node.items()) if letter
        ]
        if "" in node:
            return f"(?:{'|'.join(options)})?" if options else ""
        return options[0] if len(options) == 1 else f"(?:{'|'.join(options)})"

    return write(tree)


def values_with(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: list[str], value: str
) -> int:
    """Number of rows of a table in which a text contains the value."""
    if not columns:
        return 0
    condition = " or ".join(f"contains({_quote(each)}, ?)" for each in columns)
    rows = connection.execute(
        f"select count(*) from {relation} where {condition}", [value] * len(columns)
    ).fetchall()
    return int(rows[0][0])


def address_in(value: object) -> str | None:
    """The value if it is an e-mail address."""
    text = str(value).strip()
    return text if _ADDRESS.fullmatch(text) else None


def text_literal(value: str) -> str:
    """A SQL string literal (ATTACH and COPY take no bound values)."""
    return "'" + value.replace("'", "''") + "'"


def literal_glob(path: Path) -> str:
    """A path in which `*`, `?` and `[` mean themselves to DuckDB."""
    return re.sub(r"([*?\[])", r"[\1]", path.as_posix())
